"""What else the machine did while a measurement ran: time stolen by its host, and time that other programs took."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MOST_STOLEN = 0.03
MOST_TAKEN = 0.10
MOST_SPREAD = 0.10
USUAL_CACHE = 32 << 20
MOST_COPIES = 16


@dataclass(frozen=True)
class Ticks:
    """Counters of all processors since the machine started, in ticks, and those of this process and its threads."""

    busy: int
    idle: int
    stolen: int
    own: float


@dataclass(frozen=True)
class Use:
    """Shares of the processors' time between two readings: `stolen` by the host of a virtual machine, `taken` by other programs."""

    stolen: float = 0.0
    taken: float = 0.0


def read_ticks(text: str, own_seconds: float, ticks_per_second: int = 100) -> Ticks:
    """From the text of /proc/stat (proc(5): user, nice, system, idle, iowait, irq, softirq, steal).

    >>> read_ticks("cpu  10 0 5 100 1 0 0 2 0 0", 0.1)
    Ticks(busy=15, idle=101, stolen=2, own=10.0)
    """
    user, nice, system, idle, wait, irq, soft, stolen = (int(n) for n in text.partition("\n")[0].split()[1:9])
    return Ticks(user + nice + system + irq + soft, idle + wait, stolen, own_seconds * ticks_per_second)


def use_between(before: Ticks, after: Ticks) -> Use:
    """
    >>> use_between(Ticks(0, 0, 0, 0.0), Ticks(90, 0, 10, 60.0))
    Use(stolen=0.1, taken=0.3)
    """
    busy, stolen = after.busy - before.busy, after.stolen - before.stolen
    total = busy + stolen + after.idle - before.idle
    if total <= 0:
        return Use()
    return Use(stolen / total, max(0.0, busy - (after.own - before.own)) / total)


class Watch:
    """Reads the counters when made; `use()` says what happened since. Nothing is known where there is no /proc/stat."""

    def __init__(self, path: str = "/proc/stat") -> None:
        self.path = Path(path)
        self.before = self._read()

    def _read(self) -> Ticks | None:
        try:
            times = os.times()
            return read_ticks(self.path.read_text(), times.user + times.system, os.sysconf("SC_CLK_TCK"))
        except (OSError, ValueError, AttributeError):
            return None

    def use(self) -> Use:
        after = self._read()
        return use_between(self.before, after) if self.before and after else Use()


def disturbance(use: Use, spreads: dict[str, float]) -> str:
    """What makes a measurement doubtful, as a phrase; empty if nothing does. `spreads` by name of the library.

    >>> disturbance(Use(0.05, 0.0), {"clconv": 0.02})
    '5 % of processor time stolen by the host'
    """
    parts = []
    if use.stolen > MOST_STOLEN:
        parts.append(f"{use.stolen:.0%} of processor time stolen by the host".replace("%", " %"))
    if use.taken > MOST_TAKEN:
        parts.append(f"{use.taken:.0%} of processor time taken by other programs".replace("%", " %"))
    parts += [f"spread of {name} {spread:.2f}" for name, spread in spreads.items() if spread > MOST_SPREAD]
    return ", ".join(parts)


def cache_bytes(device: object) -> int:
    """Size of the last cache before main memory: what the driver says, on processors at least what the system says."""
    sizes = [int(getattr(device, "global_mem_cache_size", 0) or 0)]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            sizes.append(int(path.read_text().strip().removesuffix("K")) << 10)
        except (OSError, ValueError):
            continue
    return max(sizes) or USUAL_CACHE


def copies_for(nbytes: int, device: object) -> int:
    """How many copies of something of `nbytes` make twice the last cache: a cold run rotates through them.

    A single one that is larger is cold by itself.
    """
    return max(1, min(MOST_COPIES, -(-2 * cache_bytes(device) // max(1, nbytes))))
