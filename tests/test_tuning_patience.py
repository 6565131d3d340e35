"""How long a process may take: counted in what the machine gave it, by made-up readings of the counters."""

from __future__ import annotations

import os
from pathlib import Path

from clconv.tuning.patience import Patience, Reading, reader


def passing(seconds: float, *readings: Reading | None) -> Patience:
    """A patience of 30 s after `seconds` between each two readings."""
    given = iter(readings)
    patience = Patience(30.0, lambda: next(given), stretched=8.0)
    for _ in readings[1:]:
        patience.spend(seconds)
    return patience


def test_time_that_a_busy_machine_gives_to_others_does_not_count() -> None:
    """Of ten seconds of two processors: all to others, most to the process, or to nobody at all."""
    start = Reading(5.0, 100.0, 1000.0)
    assert passing(10, start, Reading(6.0, 100.0, 1020.0)).left == 29.0
    assert passing(10, start, Reading(25.0, 100.0, 1020.0)).left == 20.0, "two threads count once"
    assert passing(10, start, Reading(5.0, 119.0, 1020.0)).left == 20.0, "who waits on an idle machine hangs"
    assert passing(10, None, None).left == 20.0


def test_even_a_busy_machine_does_not_stretch_it_for_ever() -> None:
    readings = [Reading(0.0, 0.0, 20.0 * i) for i in range(26)]
    assert not passing(10, *readings[:24]).is_over and passing(10, *readings).is_over


def test_without_stretching_seconds_are_seconds() -> None:
    readings = iter([Reading(0.0, 0.0, 0.0), Reading(0.0, 0.0, 20.0)])
    patience = Patience(10.0, lambda: next(readings))
    patience.spend(10.0)
    assert patience.is_over


def test_the_counters_of_a_process_are_read(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "stat").write_text("cpu  1000 100 200 3000 500 0 0 200 0 0\ncpu0 1 1 1\n")
    (tmp_path / "7" / "stat").write_text("7 (a name) with) R 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0")
    ticks = os.sysconf("SC_CLK_TCK")
    assert reader(7, tmp_path)() == Reading(200 / ticks, 3500 / ticks, 5000 / ticks)
    assert reader(8, tmp_path)() is None
