"""The queue under test, and the count of kernels that a default run may build."""

from __future__ import annotations

import os
from typing import Any

import pytest

# Before anything is chosen: no test may depend on what tuning has found on this machine, or elsewhere.
os.environ["CLCONV_TUNING_DB"] = ""

from clconv.runtime import context
from clconv.runtime.programs import statistics

MOST_KERNELS = 600
DEFAULT_MARKS = "not exhaustive and not peers"


@pytest.fixture(scope="session")
def queue() -> Any:
    """The queue of the device under test."""
    return context.default_queue()


def over_budget(built: int, marks: str) -> bool:
    """Whether a run of the default selection built more kernels than it may."""
    return marks == DEFAULT_MARKS and built > MOST_KERNELS


def pytest_sessionfinish(session: pytest.Session) -> None:
    if over_budget(statistics.kernels_built, session.config.option.markexpr) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    traits = context.traits_of(context.find_device())  # by its module: --device replaces the function
    terminalreporter.write_line(f"device: {traits.label}, driver {traits.driver}")
    terminalreporter.write_line(f"kernels built: {statistics.kernels_built} (a default run may build {MOST_KERNELS})")
    if over_budget(statistics.kernels_built, config.option.markexpr):
        terminalreporter.write_line(
            "FAILED: too many kernels built; use more run-time sizes per kernel, or mark cases exhaustive", red=True, bold=True
        )
