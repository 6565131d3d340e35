"""Liveness to addresses: temporaries whose lives do not overlap share the arena."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

ALIGNMENT = 256


@dataclass(frozen=True)
class Lifetime:
    """A buffer of `nbytes` used by the steps `first` to `last`, both included; `uses` are just those that write or read it."""

    key: Hashable
    nbytes: int
    first: int
    last: int
    uses: tuple[int, ...] = ()

    def meets(self, other: Lifetime) -> bool:
        return other.first <= self.last and self.first <= other.last


@dataclass(frozen=True)
class MemoryPlan:
    """Byte offsets into an arena of `total` bytes."""

    offsets: dict[Hashable, int]
    total: int


def plan_memory(
    lifetimes: Sequence[Lifetime], alignment: int = ALIGNMENT, may_meet: Callable[[Sequence[int], Sequence[int]], bool] | None = None
) -> MemoryPlan:
    """Greedy by size (Pisarchyk and Lee 2020): the largest buffers first, each at the lowest offset free during its life.

    Where steps may run in another order than they are numbered, `may_meet` says whether two buffers' uses may be at one time.

    >>> plan_memory([Lifetime("a", 100, 0, 1), Lifetime("b", 100, 1, 2), Lifetime("c", 100, 2, 3)], alignment=4).total
    200
    """
    placed: list[tuple[int, int, Lifetime]] = []
    offsets: dict[Hashable, int] = {}
    for life in sorted(lifetimes, key=lambda entry: (-entry.nbytes, entry.first)):
        size = -(-max(life.nbytes, 1) // alignment) * alignment
        busy = sorted((o, o + s) for o, s, other in placed if (may_meet(other.uses, life.uses) if may_meet else other.meets(life)))
        offset = 0
        for start, end in busy:
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed.append((offset, size, life))
        offsets[life.key] = offset
    return MemoryPlan(offsets, max((offset + size for offset, size, _ in placed), default=0))
