"""What tests and benchmarks share: clconv as it is installed, the device to run on, and a kernel cache that goes with the run."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent


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
    parser.addoption("--device", metavar="NAME", default=None, help="part of the name of the OpenCL device (or platform) to run on")
    several = "run every N-th of the chosen tests from the I-th on, so that N processes share them"
    parser.addoption("--part", metavar="I/N", type=part_of, default=(1, 1), help=several)


def part_of(text: str) -> tuple[int, int]:
    """The two numbers of `--part`.

    >>> part_of("2/3")
    (2, 3)
    """
    numbers = [int(number) if number.isdecimal() else 0 for number in text.split("/")]
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise pytest.UsageError(f"--part: expected I/N with 1 <= I <= N, as 1/2, got {text!r}")
    return numbers[0], numbers[1]


@pytest.hookimpl(trylast=True)  # after the marks have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    first, step = config.getoption("--part")
    kept = items[first - 1 :: step]
    if left := [item for item in items if item not in kept]:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_configure(config: pytest.Config) -> None:
    """Kernels are cached in a directory that goes with the run, and the device asked for is everybody's default."""
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
