"""How times are taken: warmed up, in blocks of several calls, alternating between the candidates; medians with their spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAST_REPEATS = 15
BLOCK_SECONDS = 0.004
MOST_CALLS = 1000


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the average of each timed block of `calls` calls, in the order measured.

    >>> Timing((3.0, 1.0, 2.0), 1).median
    2.0
    """

    seconds: tuple[float, ...]
    calls: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Distance between the quartiles as a share of the median: above some 0.1 the machine was disturbed."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median if self.median else 0.0


def measure(
    candidates: Sequence[Callable[[int], object]], repeats: int = LEAST_REPEATS, clock: Callable[[], float] = time.perf_counter
) -> list[Timing]:
    """Times every candidate in `repeats` blocks, one block of each in turn, so that a slow spell of the machine hits all alike.

    `candidate(n)` makes n calls and returns when the last has finished; n is raised until a block takes 4 ms. One untimed call goes
    before every block: the one before may have left the caches to another candidate.
    """
    if repeats < LEAST_REPEATS:
        raise ValueError(f"measure: repeats must be at least {LEAST_REPEATS} for a median worth printing, got {repeats}")
    counts = [_calls(candidate, clock) for candidate in candidates]
    rows: list[list[float]] = [[] for _ in candidates]
    for _ in range(repeats):
        for candidate, count, row in zip(candidates, counts, rows, strict=True):
            candidate(1)
            begin = clock()
            candidate(count)
            row.append((clock() - begin) / count)
    return [Timing(tuple(row), count) for row, count in zip(rows, counts, strict=True)]


def _calls(candidate: Callable[[int], object], clock: Callable[[], float]) -> int:
    """How many calls fill a block; running them is the warm-up."""
    candidate(1)
    count = 1
    while True:
        begin = clock()
        candidate(count)
        taken = clock() - begin
        if taken >= BLOCK_SECONDS or count >= MOST_CALLS:
            return count
        count = min(MOST_CALLS, count * 2 if taken <= 0 else max(count + 1, min(count * 8, round(count * 1.2 * BLOCK_SECONDS / taken))))
