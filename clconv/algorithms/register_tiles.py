"""Which register tile of positions by channel blocks suits which map: a small model of the inner loop, calibrated by measurement.

Measured with PoCL on Zen 1 (AVX2, 16 registers), share of the peak of multiply-adds, where the tile divides the map:

    positions x blocks   2x2  3x2  4x2  5x2  6x2 | 2x3  3x3  4x3 | 2x4 | 4x1 to 14x1 | 7x2, 3x4 (registers spilled)
    share                .70  .89  .92  .94  .96 | .87  .95  .96 | .89 | .68 to .72  | .72

They follow from one line: an input or weight vector costs 1.35 multiply-adds to fetch, side by side with the multiply-adds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

FETCH = 1.35
STEP_OVERHEAD = 0.3
# Weights stream from the second-level cache.
WEIGHTS_OVERHEAD = 0.1
SPILLED = 1.33
MOST_BLOCKS = 4
# A kernel takes half a second to build: what a tile of another shape must gain over one that most maps of a network can share.
SHARED_WORTH = 0.955


@dataclass(frozen=True)
class Cut:
    """A row of positions in `tiles` tiles of nearly equal width: the first `wide` of `width` columns, the others one column less.

    >>> Cut.of(7, 4)
    Cut(tiles=2, width=4, wide=1)
    """

    tiles: int
    width: int
    wide: int

    @classmethod
    def of(cls, columns: int, tile_w: int) -> Cut:
        """The fewest tiles of at most `tile_w` columns."""
        tiles = -(-columns // tile_w)
        width = -(-columns // tiles)
        return cls(tiles, width, columns - tiles * (width - 1))


def step_cost(positions: int, blocks: int, registers: int) -> float:
    """Multiply-add slots that one step (an input channel at a tap) takes: the sums, the weights and one input value want registers."""
    slots = max(positions * blocks, FETCH * (positions + blocks)) + STEP_OVERHEAD + WEIGHTS_OVERHEAD * blocks
    return slots * (SPILLED if positions * blocks + blocks + 1 > registers else 1.0)


@dataclass(frozen=True)
class Map:
    """`rows` x `columns` positions with `taps` kernel taps each."""

    rows: int
    columns: int
    taps: int


@dataclass(frozen=True)
class Tile:
    """A register tile with the share of the peak of multiply-adds that the model expects, waste included."""

    score: float
    rows: int
    columns: int
    blocks: int


def score(maps: Iterable[Map], rows: int, columns: int, blocks: int, channel_blocks: int, registers: int) -> float:
    """Useful multiply-adds over the slots that the tile takes for all maps and channel blocks together."""
    useful = slots = 0.0
    for m in maps:
        cut, high = Cut.of(m.columns, columns), min(rows, m.rows)
        row = cut.wide * step_cost(high * cut.width, blocks, registers)
        if cut.wide < cut.tiles:
            row += (cut.tiles - cut.wide) * step_cost(high * (cut.width - 1), blocks, registers)
        slots += -(-m.rows // high) * row * -(-channel_blocks // blocks) * m.taps
        useful += m.rows * m.columns * channel_blocks * m.taps
    return useful / slots if slots else 1.0


@lru_cache(maxsize=1024)
def ranked_tiles(maps: tuple[Map, ...], channel_blocks: int, registers: int) -> tuple[Tile, ...]:
    """All sensible tiles for these maps, best first; `channel_blocks` are the output blocks of one group.

    Of tiles about as good as the best, one of those comes first that fill the registers with a single row of positions: what suits most
    maps is built once.
    """
    most_rows, most_columns = max(m.rows for m in maps), max(m.columns for m in maps)
    tiles = set()
    for blocks in range(1, min(MOST_BLOCKS, channel_blocks) + 1):
        for rows in range(1, min(4, most_rows) + 1):
            widest = max(1, (registers - 1) // (blocks * rows))
            widths = {Cut.of(most_columns, columns).width for columns in range(1, widest + 1)}
            tiles |= {Tile(score(maps, rows, w, blocks, channel_blocks, registers), rows, w, blocks) for w in widths}
    ordered = sorted(tiles, key=lambda t: (-t.score, t.rows, t.columns, t.blocks))
    shared = [(1, (registers - 1 - blocks) // blocks, blocks) for blocks in (2, 3)]
    first = next((t for t in ordered if (t.rows, t.columns, t.blocks) in shared), ordered[0])
    if first.score >= SHARED_WORTH * ordered[0].score:
        ordered.remove(first)
        ordered.insert(0, first)
    return tuple(ordered)
