"""What all tests share: the device, a cache of their own, and the count of kernels that a default run may build."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_KERNELS = 600
DEFAULT_MARKS = "not exhaustive and not peers"


def _import_installed() -> None:
    """Import clconv as it is installed. The repository's root is on the path for `tests.support`, and would win with a package that lacks
    its templates, which only an installation (editable or not) puts in their place."""
    os.environ["PYTHONSAFEPATH"] = "1"  # the same for the Python processes that tests start
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if Path(entry or ".").resolve() != ROOT]
    try:
        importlib.import_module("clconv.kernels")
    finally:
        sys.path[:] = before


_import_installed()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", metavar="NAME", default=None, help="part of the name of the OpenCL device (or platform) to test on")


def pytest_configure(config: pytest.Config) -> None:
    """Kernels of a test run are cached in a directory that goes with it, and the device asked for is every test's default."""
    folder = tempfile.TemporaryDirectory(prefix="clconv-tests-")
    config.add_cleanup(folder.cleanup)
    os.environ["CLCONV_CACHE_DIR"] = folder.name
    from clconv.errors import DeviceError
    from clconv.runtime import context

    try:
        chosen = context.find_device(config.getoption("--device"))
    except DeviceError as error:
        raise pytest.UsageError(f"the tests need an OpenCL device: {error}") from None
    context.find_device = preferring(chosen, context.find_device, lambda: context.list_devices())  # type: ignore[assignment]


def preferring(chosen: Any, find: Callable[..., Any], devices: Callable[[], list[Any]]) -> Callable[..., Any]:
    """`find_device` that takes `chosen`, where it exists, when no name is given."""

    def find_device(name: str | None = None) -> Any:
        return chosen if name is None and chosen in devices() else find(name)

    return find_device


@pytest.fixture(scope="session")
def queue() -> Any:
    """The queue of the device under test."""
    from clconv.runtime.context import default_queue

    return default_queue()


def over_budget(built: int, marks: str) -> bool:
    """Whether a run of the default selection built more kernels than it may."""
    return marks == DEFAULT_MARKS and built > MOST_KERNELS


def _built() -> int:
    from clconv.runtime.programs import statistics

    return statistics.kernels_built


def pytest_sessionfinish(session: pytest.Session) -> None:
    if over_budget(_built(), session.config.option.markexpr) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    from clconv.runtime.context import find_device, traits_of

    traits = traits_of(find_device())
    terminalreporter.write_line(f"device: {traits.label}, driver {traits.driver}")
    terminalreporter.write_line(f"kernels built: {_built()} (a default run may build {MOST_KERNELS})")
    if over_budget(_built(), config.option.markexpr):
        terminalreporter.write_line(
            "FAILED: too many kernels built; use more run-time sizes per kernel, or mark cases exhaustive", red=True, bold=True
        )
