"""What is told of the machine: stolen time, other programs, caches, and what the device can do at most."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from clconv.bench.machine import (
    MOST_COPIES,
    Ticks,
    Use,
    Watch,
    cache_bytes,
    copies_for,
    disturbance,
    read_ticks,
    use_between,
)
from clconv.bench.roofline import CHAINS, STEPS, Peaks, arithmetic_text, measure_arithmetic, measure_memory


def stat(user: int, idle: int, steal: int) -> str:
    return f"cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


def test_ticks_are_read_by_their_place() -> None:
    assert read_ticks("cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9", 2.5, 100) == Ticks(7600321, 54000, 80000000, 250.0)


@pytest.mark.parametrize("text", ["", "intr 1 2 3", "cpu  1 2 3"])
def test_what_is_no_stat_file_is_no_ticks(text: str, tmp_path) -> None:
    path = tmp_path / "stat"
    path.write_text(text)
    assert Watch(str(path)).use() == Use()


def test_shares_are_of_all_processors_time() -> None:
    before = Ticks(busy=100, idle=1000, stolen=10, own=50.0)
    after = Ticks(busy=400, idle=1650, stolen=60, own=250.0)
    assert use_between(before, after) == Use(stolen=0.05, taken=0.1)
    assert use_between(before, before) == Use()


def test_a_watch_sees_what_happened_since_it_was_made(tmp_path) -> None:
    path = tmp_path / "stat"
    path.write_text(stat(1000, 1000, 0))
    watch = Watch(str(path))
    path.write_text(stat(1500, 1400, 100))
    use = watch.use()
    assert use.stolen == pytest.approx(0.1) and use.taken == pytest.approx(0.5, abs=0.05)


def test_no_stat_file_means_nothing_is_known(tmp_path) -> None:
    assert Watch(str(tmp_path / "none")).use() == Use()


@pytest.mark.parametrize(
    "use, spreads, said",
    [
        (Use(0.02, 0.05), {"clconv": 0.09}, ""),
        (Use(0.04, 0.0), {}, "4 % of processor time stolen by the host"),
        (Use(0.0, 0.5), {"torch": 0.2}, "50 % of processor time taken by other programs, spread of torch 0.20"),
        (Use(), {"clconv": 0.11, "torch": 0.1}, "spread of clconv 0.11"),
    ],
)
def test_disturbances_are_said(use: Use, spreads: dict[str, float], said: str) -> None:
    assert disturbance(use, spreads) == said


def test_copies_exceed_the_cache() -> None:
    device = SimpleNamespace(global_mem_cache_size=1 << 30)
    assert cache_bytes(device) == 1 << 30
    assert copies_for(1 << 29, device) == 4 and copies_for(3 << 30, device) == 1
    assert copies_for(1, device) == MOST_COPIES
    assert copies_for(0, device) == MOST_COPIES


def test_shares_are_of_the_nearest_peak() -> None:
    peaks = Peaks(100.0, 20.0)
    assert peaks.share(50.0, 5.0) == 0.5 and peaks.share(10.0, 18.0) == 0.9
    assert peaks.share(None, 10.0) == 0.5 and peaks.share(None, None) == 0.0
    assert peaks.attainable(1.0) == 20.0 and peaks.attainable(5.0) == 100.0 and peaks.attainable(50.0) == 100.0


def test_the_arithmetic_kernel_has_as_many_multiply_adds_as_are_counted() -> None:
    assert arithmetic_text().count("* m + c;") == CHAINS * STEPS


def test_peaks_are_measured(queue) -> None:
    """Some number that a processor or GPU of this century can reach; how good it is nobody knows here."""
    assert 0.5 < measure_arithmetic(queue) < 1e6
    assert 0.5 < measure_memory(queue) < 1e5
