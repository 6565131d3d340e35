"""What a test run promises: the device asked for, and a limit on the kernels that it builds."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from clconv.runtime import context
from clconv.runtime.programs import statistics
from conftest import preferring
from tests import conftest

ROOT = Path(__file__).resolve().parent.parent


def test_the_limit_is_for_the_default_selection() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert f"-m '{conftest.DEFAULT_MARKS}'" in options["addopts"]
    assert conftest.over_budget(601, conftest.DEFAULT_MARKS)
    assert not conftest.over_budget(600, conftest.DEFAULT_MARKS)
    assert not conftest.over_budget(99999, "exhaustive")


@pytest.mark.parametrize("built, before, after", [(600, 0, 0), (601, 0, 1), (601, 2, 2)])
def test_too_many_kernels_fail_the_session(built: int, before: int, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    session = SimpleNamespace(exitstatus=before, config=SimpleNamespace(option=SimpleNamespace(markexpr=conftest.DEFAULT_MARKS)))
    monkeypatch.setattr(conftest, "statistics", SimpleNamespace(kernels_built=built))
    conftest.pytest_sessionfinish(session)  # type: ignore[arg-type]
    assert session.exitstatus == after


def test_the_count_is_the_processs_own() -> None:
    assert conftest.statistics is statistics


def test_an_unknown_device_ends_the_run_with_those_there_are() -> None:
    command = [sys.executable, "-m", "pytest", "--device", "no such device", "tests/test_session.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the tests need an OpenCL device: no OpenCL device or platform has 'no such device' in its name" in done.stderr
    assert context.find_device().name.strip() in done.stderr


def test_the_chosen_device_is_the_default_where_it_exists() -> None:
    find = preferring("second", {None: "first", "third": "third"}.__getitem__, lambda: ["first", "second"])
    assert find() == "second" and find("third") == "third"
    absent = preferring("second", {None: "first"}.__getitem__, lambda: ["first"])
    assert absent() == "first", "drivers that a test makes up have devices of their own"
