"""What an installation holds: the wheel and the editable install both find the templates. Built from a copy, without the network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("clconv", "kernels", "bench")
FILES = ("pyproject.toml", "README.md", "LICENSE")

# Run without site-packages: whatever is found is found in the folder given, by the standard library's means alone.
FIND = """\
import importlib.resources, site, sys
site.addsitedir(sys.argv[1])
import clconv, clconv.bench
folder = importlib.resources.files("clconv.kernels")
print(clconv.__file__, clconv.bench.__file__, folder.joinpath("__init__.py"), sep="\\n")
print(*sorted(f.name for f in folder.iterdir() if f.name.endswith(".cl.mako")), sep="\\n")
"""


@pytest.fixture(scope="module", autouse=True)
def builder() -> None:
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.fail("building needs setuptools>=77, which the extra `test` brings: pip install '.[test]'")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's sources alone, where a build may leave its traces."""
    folder = tmp_path_factory.mktemp("sources")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(sources: Path, hook: str, target: Path) -> Path:
    """The wheel that pip would install, by the same hook of the build backend."""
    code = f"import sys, setuptools.build_meta as backend; print(backend.{hook}(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(target)], cwd=sources, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def found_in(folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-I", "-S", "-c", FIND, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(sources, "build_wheel", tmp_path_factory.mktemp("wheel"))


def templates() -> list[str]:
    return sorted(p.name for p in (ROOT / "kernels").glob("*.cl.mako"))


def test_the_wheel_holds_every_module_and_template(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "clconv").rglob("*.py")}
    outside = {f"clconv/{p.relative_to(ROOT)}" for folder in ("kernels", "bench") for p in (ROOT / folder).rglob("*.py")}
    assert names == modules | outside | {f"clconv/kernels/{t}" for t in templates()} | {"clconv/py.typed", "clconv/tuning/shipped.json"}
    assert len(templates()) > 5


def test_the_wheel_carries_licence_entry_point_and_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(n for n in archive.namelist() if n.endswith("/METADATA")).rsplit("/", 1)[0]
        metadata = archive.read(f"{info}/METADATA").decode()
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert "License-Expression: MIT" in metadata
    for extra in ("pocl", "demo", "test", "peers"):
        assert f"Provides-Extra: {extra}\n" in metadata
    assert "clconv = clconv.cli:main" in entry_points


def test_an_installed_wheel_finds_its_templates(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    package, bench, kernels, *names = found_in(tmp_path)
    assert [Path(p) for p in (package, bench, kernels)] == [
        tmp_path / "clconv" / "__init__.py", tmp_path / "clconv" / "bench" / "__init__.py", tmp_path / "clconv" / "kernels" / "__init__.py"
    ]  # fmt: skip
    assert names == templates()


def test_an_editable_install_finds_the_templates_in_the_repository(sources: Path, tmp_path: Path) -> None:
    built = build(sources, "build_editable", tmp_path)
    site = tmp_path / "site"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(site)
    package, bench, kernels, *names = found_in(site)
    assert [Path(p) for p in (package, bench, kernels)] == [sources / name / "__init__.py" for name in FOLDERS[:1] + ("bench", "kernels")]
    assert names == templates()


def test_every_package_is_listed() -> None:
    """setuptools takes the packages by name: a new folder must be added there."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "clconv").rglob("__init__.py")}
    found = [p.parent.relative_to(ROOT).parts for name in ("kernels", "bench") for p in (ROOT / name).rglob("__init__.py")]
    outside = {".".join(("clconv", *parts)) for parts in found}
    assert listed == folders | outside
