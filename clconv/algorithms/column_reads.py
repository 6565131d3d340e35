"""Which input columns a row of windows reads, so that kernels load each of them once for all windows that share it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Part:
    """`taps` window columns from `first` on, with what they read: for every input column, counted from the first window's first, the
    (window, tap counted from `first`) pairs that use it."""

    first: int
    taps: int
    reads: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]


@lru_cache(maxsize=1024)
def parts_of(taps: int, step: int, read_stride: int, windows: int, most: int) -> tuple[Part, ...]:
    """The columns of `windows` neighbouring windows, `read_stride` apart, with `taps` columns `step` apart, in parts as equal as possible,
    of at most `most` taps.

    >>> parts_of(taps=2, step=1, read_stride=1, windows=2, most=8)[0].reads
    ((0, ((0, 0),)), (1, ((0, 1), (1, 0))), (2, ((1, 1),)))
    """
    count = -(-taps // most)
    bounds = [i * taps // count for i in range(count + 1)]
    out = []
    for first, end in zip(bounds[:-1], bounds[1:], strict=True):
        reads: dict[int, list[tuple[int, int]]] = {}
        for tap in range(end - first):
            for window in range(windows):
                reads.setdefault(window * read_stride + tap * step, []).append((window, tap))
        out.append(Part(first, end - first, tuple((column, tuple(sorted(uses))) for column, uses in sorted(reads.items()))))
    return tuple(out)
