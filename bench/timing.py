"""How times are taken: warmed up, in blocks of several calls, alternating between the candidates; medians with their spread."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAST_REPEATS = 15
BLOCK_SECONDS = 0.004
MOST_CALLS = 1000

# Against other libraries: their threads go on spinning for a while after a call and slow whoever runs next, and the first block of a
# process is up to 1.4 times slow. Calls this long need no company in their block: spinning lasts a small part of one.
PAUSE_SECONDS = 0.15
# After the pause a processor's cores and drivers take some calls to come back: measured, a network of 10 ms takes 15 for the first two.
WARM_SECONDS = 0.05
SLOW_SECONDS = 0.2
LEAST_CALLS = 3

Candidate = Callable[[int], object]


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


@dataclass(frozen=True)
class Manner:
    """How blocks are separated: `pause` seconds of sleep and `warm` seconds of untimed calls, one at least, before each, the first
    `dropped` rounds thrown away, and at least `least_calls` calls in a block unless one takes SLOW_SECONDS."""

    pause: float = 0.0
    warm: float = 0.0
    dropped: int = 0
    least_calls: int = 1


ALONE = Manner()
AGAINST_RIVALS = Manner(PAUSE_SECONDS, WARM_SECONDS, 1, LEAST_CALLS)


def measure(
    candidates: Sequence[Candidate],
    repeats: int = LEAST_REPEATS,
    clock: Callable[[], float] = time.perf_counter,
    *,
    manner: Manner = ALONE,
    sleep: Callable[[float], object] = time.sleep,
    step: Callable[[], object] = lambda: None,
) -> list[Timing]:
    """Times every candidate in `repeats` blocks, one block of each in turn, so that a slow spell of the machine hits all alike.

    `candidate(n)` makes n calls and returns when the last has finished; n is raised until a block takes 4 ms. One untimed call goes
    before every block: the one before may have left the caches to another candidate. `step` is called after each block, for progress.

    >>> measure([lambda n: None])[0].calls
    1000
    """
    if repeats < LEAST_REPEATS:
        raise ValueError(f"measure: repeats must be at least {LEAST_REPEATS} for a median worth printing, got {repeats}")
    blocks = [_calls(candidate, clock, manner.least_calls) for candidate in candidates]
    counts = [count for count, _ in blocks]
    rows: list[list[float]] = [[] for _ in candidates]
    for round_number in range(repeats + manner.dropped):
        for candidate, (count, seconds), row in zip(candidates, blocks, rows, strict=True):
            if manner.pause:
                sleep(manner.pause)
            candidate(max(1, math.ceil(manner.warm / max(seconds, 1e-6))) if manner.warm else 1)
            begin = clock()
            candidate(count)
            taken = (clock() - begin) / count
            if round_number >= manner.dropped:
                row.append(taken)
            step()
    return [Timing(tuple(row), count) for row, count in zip(rows, counts, strict=True)]


def _calls(candidate: Candidate, clock: Callable[[], float], least: int) -> tuple[int, float]:
    """How many calls fill a block, and the seconds of one; running them is the warm-up."""
    candidate(1)
    count = 1
    while True:
        begin = clock()
        candidate(count)
        taken = clock() - begin
        if taken >= BLOCK_SECONDS or count >= MOST_CALLS:
            return count if taken / count >= SLOW_SECONDS else max(count, least), taken / count
        count = min(MOST_CALLS, count * 2 if taken <= 0 else max(count + 1, min(count * 8, round(count * 1.2 * BLOCK_SECONDS / taken))))


def rotating(instances: Sequence[Callable[[], object]]) -> Candidate:
    """A candidate that calls the instances in turn: with copies of the operands larger than the caches, each call finds them cold.

    >>> log = []
    >>> rotating([lambda: log.append("a"), lambda: log.append("b")])(3)
    >>> log
    ['a', 'b', 'a']
    """
    place = 0

    def run(times: int) -> None:
        nonlocal place
        for _ in range(times):
            instances[place]()
            place = (place + 1) % len(instances)

    return run
