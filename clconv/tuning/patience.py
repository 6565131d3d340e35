"""How long a process may take before it counts as hung: on a busy machine, time that others got does not count."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BUSY = 0.1
"""With less than this share of all processors idle, who has no time may not have been given any."""
SLICE_SECONDS = 1.0


@dataclass(frozen=True)
class Reading:
    """Seconds of processor time so far: of the process, of nobody, and of all processors together."""

    own: float
    idle: float
    every: float


def reader(pid: int, root: Path = Path("/proc")) -> Callable[[], Reading | None]:
    """Reads the counters of process `pid` and of the machine (proc(5)); None where there are none."""

    def read() -> Reading | None:
        try:
            machine = [int(n) for n in (root / "stat").read_text().partition("\n")[0].split()[1:9]]
            fields = (root / str(pid) / "stat").read_text().rpartition(")")[2].split()  # a name in brackets may hold anything
            ticks = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, AttributeError):
            return None
        return Reading((int(fields[11]) + int(fields[12])) / ticks, sum(machine[3:5]) / ticks, sum(machine) / ticks)

    return read


class Patience:
    """Seconds that are `left`. While the machine is busy they pass as slowly as the process runs, up to `stretched` times as slowly.

    >>> readings = iter([Reading(0, 0, 0), Reading(1, 0, 20)])
    >>> patience = Patience(30, lambda: next(readings), stretched=8)
    >>> patience.spend(10)     # of which the process got one
    >>> patience.left
    29.0
    """

    def __init__(self, seconds: float, read: Callable[[], Reading | None], stretched: float = 1.0) -> None:
        self.left, self._at_most, self._read = seconds, stretched * seconds, read
        self._last = read()

    @property
    def is_over(self) -> bool:
        return self.left <= 0 or self._at_most <= 0

    def spend(self, seconds: float) -> None:
        """So many seconds have passed without an answer."""
        before, now = self._last, self._read()
        self._last = now
        self._at_most -= seconds
        share = 1.0
        if before and now and now.every > before.every and now.idle - before.idle < BUSY * (now.every - before.every):
            share = min(1.0, (now.own - before.own) / seconds)
        self.left -= share * seconds
