"""What the operating system says about OpenCL drivers: files that the loader reads, device nodes and who may open them, graphics cards."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

VARIABLES = ("OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH")
USUAL_FOLDER = "etc/OpenCL/vendors"
NODES = ("dev/dri/renderD*", "dev/kfd", "dev/nvidiactl")
MAKERS = {"0x1002": "AMD", "0x8086": "Intel", "0x10de": "NVIDIA"}
"""PCI numbers of those who make graphics cards."""


@dataclass(frozen=True)
class Icd:
    """A file that names a driver's library to the loader; `missing` if that is an absolute path at which nothing is. `error` is what the
    linker says of it, where that was asked."""

    file: str
    library: str
    missing: bool
    error: str = ""


@dataclass(frozen=True)
class Node:
    """A device node, the group it belongs to, and whether this process may open it."""

    path: str
    group: str
    usable: bool


@dataclass(frozen=True)
class Surroundings:
    """`folder` is where the loader looks for drivers, `variable` the environment variable that says so, if any; `exists` if it is there.
    `icds` are all that it finds, those that come with pyopencl included (`bundled` names them)."""

    folder: str
    variable: str = ""
    exists: bool = True
    icds: tuple[Icd, ...] = ()
    bundled: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    cards: tuple[str, ...] = ()
    in_container: bool = False


def look(root: Path = Path("/"), environment: Mapping[str, str] = os.environ, package: Path | None = None) -> Surroundings:
    """Read all of it below `root`. `package` is pyopencl's folder, found by itself if left out (without importing it).

    >>> look().folder  # doctest: +SKIP
    '/etc/OpenCL/vendors'
    """
    variable = next((name for name in VARIABLES if environment.get(name)), "")
    folder = Path(environment[variable]) if variable else root / USUAL_FOLDER
    own = package or _pyopencl()
    bundled = sorted((own / ".libs").glob("*.icd")) if own else []
    files = [folder] if folder.suffix == ".icd" else sorted(folder.glob("*.icd")) if folder.is_dir() else []
    return Surroundings(
        folder=str(folder),
        variable=variable,
        exists=folder.exists(),
        icds=tuple(_icd(file) for file in (*files, *bundled)),
        bundled=tuple(file.name for file in bundled),
        nodes=tuple(_node(path) for pattern in NODES for path in sorted(root.glob(pattern))),
        cards=_cards(root),
        in_container=any((root / name).exists() for name in (".dockerenv", "run/.containerenv")),
    )


def with_load_errors(around: Surroundings, patience: float = 10.0) -> Surroundings:
    """The same, with what the linker says of each driver that is there: it may need a library that is not. In processes of their own."""
    return replace(around, icds=tuple(icd if icd.missing or icd.file in around.bundled else _linked(icd, patience) for icd in around.icds))


def _linked(icd: Icd, patience: float) -> Icd:
    command = [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", icd.library]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=patience)
    except subprocess.TimeoutExpired:
        return replace(icd, error=f"loading it takes longer than {patience:g} s")
    if done.returncode < 0:
        return replace(icd, error=f"loading it ends the process with code {done.returncode}")
    return replace(icd, error=done.stderr.strip().rpartition("\n")[2].removeprefix("OSError: ") if done.returncode else "")


def _pyopencl() -> Path | None:
    found = importlib.util.find_spec("pyopencl")
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) if places else None


def _icd(file: Path) -> Icd:
    try:
        library = file.read_text(errors="replace").strip()
    except OSError as error:
        return Icd(file.name, f"cannot be read: {error.strerror}", True)
    path = Path(library)
    return Icd(file.name, library, path.is_absolute() and not path.exists())


def _node(path: Path) -> Node:
    return Node(str(path), _group_of(path), os.access(path, os.R_OK | os.W_OK))


def _group_of(path: Path) -> str:
    if sys.platform == "win32":
        return ""
    import grp

    number = path.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _cards(root: Path) -> tuple[str, ...]:
    """Makers of the graphics cards that the kernel lists."""
    return tuple(dict.fromkeys(maker for text in _texts(root.glob("sys/class/drm/card*/device/vendor")) if (maker := MAKERS.get(text))))


def _texts(files: Iterable[Path]) -> Iterable[str]:
    for file in sorted(files):
        try:
            yield file.read_text().strip()
        except OSError:
            continue
