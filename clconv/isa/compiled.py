"""What a back end says of a kernel, in one form for all vendors, and how to run their tools."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from clconv.errors import BuildError, UnsupportedError

PACKAGES = {
    "clang-19": "Debian package clang-19",
    "ocloc": "Debian package intel-opencl-icd",
    "ptxas": "Debian package nvidia-cuda-toolkit, or pip package nvidia-cuda-nvcc",
    "nvdisasm": "Debian package nvidia-cuda-toolkit, or pip package nvidia-cuda-nvdisasm",
}


@dataclass(frozen=True)
class Loop:
    """Instructions of the innermost loop that multiplies.

    `mac_slots`: issue slots of the vector unit that hold multiply-adds; `macs`: multiply-adds of a work-item in them; `vector_slots`: all
    slots of the vector unit; `loads`: from local or global memory.
    """

    mac_slots: int
    macs: int
    vector_slots: int
    loads: int
    lines: tuple[str, ...] = field(repr=False, default=())

    @property
    def share(self) -> float:
        return self.mac_slots / self.vector_slots


@dataclass(frozen=True)
class Compiled:
    """Registers of a work-item (Intel: of a sub-group), spilled ones, bytes of private memory, bytes of local memory of a group, the share
    of resident threads of what a unit can hold, and the inner loop if the kernel has one that multiplies."""

    registers: int
    spills: int
    scratch_bytes: int
    local_bytes: int
    occupancy: float
    loop: Loop | None


def tool(name: str) -> str:
    """The path of a compiler's program; UnsupportedError says which package has it."""
    found = shutil.which(name)
    if found:
        return found
    spec = find_spec("nvidia") if name in ("ptxas", "nvdisasm") else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob(f"*/bin/{name}")):
            return str(path)
    raise UnsupportedError(f"{name} is not on the PATH, it is needed to compile for this target; install {PACKAGES[name]}")


def library(name: str) -> str:
    """The path of one of libclc's libraries: beside clang, or where Debian installs them."""
    for folder in (Path(tool("clang-19")).parents[1] / "lib" / "clc", "/usr/lib/clc", "/usr/share/clc"):
        if (path := Path(folder, name)).is_file():
            return str(path)
    raise UnsupportedError(f"{name} is not in /usr/lib/clc, it is needed to compile for this target; install Debian package libclc-19")


def run(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """What `command` prints. BuildError with the end of it if it fails."""
    done = subprocess.run(
        list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False, env=environment, cwd=folder
    )
    if done.returncode:
        raise BuildError(f"{what}: {Path(command[0]).name} refused the kernel:\n{done.stdout[-3000:]}")
    return done.stdout


Edge = tuple[int, int]


def back_edges(lines: Sequence[str], label_of: Callable[[str], str | None], jumps_to: Callable[[str], str | None]) -> list[Edge]:
    """(first, last) line of every loop: from a label to a later jump to it."""
    labels: dict[str, int] = {}
    edges = []
    for i, line in enumerate(lines):
        if (label := label_of(line)) is not None:
            labels[label] = i
        elif (goal := jumps_to(line)) is not None and goal in labels:
            edges.append((labels[goal], i))
    return edges


def inner_loop(lines: Sequence[str], edges: Sequence[Edge], is_mac: Callable[[str], bool]) -> list[str]:
    """The lines of the innermost loop that multiplies; none if no loop does.

    Compilers rotate loops, so that one may have several back edges: overlapping ones with about as many multiply-adds are one loop.
    """
    counted = [(sum(map(is_mac, lines[a : b + 1])), b - a, a, b) for a, b in edges]
    most = max((count for count, *_ in counted), default=0)
    if not most:
        return []
    worthy = sorted((c for c in counted if c[0] >= 0.3 * most), key=lambda c: c[1])
    count, _, first, last = worthy[0]
    same = [c for c in worthy if c[0] <= 1.2 * count and c[3] >= first and c[2] <= last]
    return list(lines[min(c[2] for c in same) : max(c[3] for c in same) + 1])
