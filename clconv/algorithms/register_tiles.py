"""Which register tile of positions by channel blocks suits which map: a small model of the inner loop, calibrated by measurement.

Measured with PoCL, share of the peak of multiply-adds, where the tile divides the map. Zen 1 (AVX2, 16 registers):

    positions x blocks   2x2  3x2  4x2  5x2  6x2 | 2x3  3x3  4x3 | 2x4 | 4x1 to 14x1 | 7x2, 3x4 (registers spilled)
    share                .70  .89  .92  .94  .96 | .87  .95  .96 | .89 | .68 to .72  | .72

Sapphire Rapids (AVX-512, 32 registers):

    positions x blocks   8x2  10x2  12x2  13x2 | 7x3  8x3 | 4x4  5x4  6x4 | 14x1  24x1 | 14x2, 9x3, 7x4 (registers spilled)
    share                .84  .88   .90   .90  | .91  .95 | .86  .87  .93 | .83   .81  | .86, .81, .76

`InnerLoop` holds what they follow from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class InnerLoop:
    """What one step (an input channel at a tap) costs, in multiply-add slots.

    An input or weight vector costs `fetch` to load, side by side with the multiply-adds; every step `step` beside them, and that much more
    for each of its positions and blocks. Where sums, weights and one input value leave fewer than `spare` registers, it takes `spilled`
    times as long. A core does `vectors_per_second` multiply-adds of a vector. Beside them it waits for weights that come from memory or a
    far cache at `weights_per_second`, or at `chunks_per_second` where they are prefetched chunk by chunk. Plain weights that work-items
    pack themselves go at `packed_per_second`, those that a kernel of its own packs or transforms at `reordered_per_second`, read and
    written. Rates are bytes of two cores together; more cores share the memory.
    """

    vectors_per_second: float
    weights_per_second: float
    chunks_per_second: float
    packed_per_second: float
    reordered_per_second: float
    spare: int
    fetch: float
    step: float
    position: float
    block: float
    spilled: float


# With 32 registers compilers load the next weights early, into registers that sums would need.
SIXTEEN = InnerLoop(
    2.5e9, weights_per_second=math.inf, chunks_per_second=math.inf, packed_per_second=20e9, reordered_per_second=8e9,
    spare=0, fetch=1.35, step=0.3, position=0.0, block=0.1, spilled=1.33,
)  # fmt: skip
THIRTY_TWO = InnerLoop(
    5.5e9, weights_per_second=12e9, chunks_per_second=35e9, packed_per_second=40e9, reordered_per_second=22e9,
    spare=2, fetch=1.0, step=1.0, position=0.14, block=0.0, spilled=1.15,
)  # fmt: skip


def inner_loop(registers: int) -> InnerLoop:
    return THIRTY_TWO if registers > 16 else SIXTEEN


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
    """Multiply-add slots that one step takes, on a device of that many vector registers."""
    loop = inner_loop(registers)
    slots = max(positions * blocks, loop.fetch * (positions + blocks)) + loop.step + loop.position * positions + loop.block * blocks
    return slots * (loop.spilled if positions * blocks + blocks + 1 > registers - loop.spare else 1.0)


def widest(blocks: int, registers: int) -> int:
    """The most positions by `blocks` whose sums stay in registers.

    >>> widest(2, 16), widest(2, 32)
    (6, 13)
    """
    return (registers - inner_loop(registers).spare - 1 - blocks) // blocks


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
def ranked_tiles(maps: tuple[Map, ...], channel_blocks: int, registers: int, most_blocks: int = MOST_BLOCKS) -> tuple[Tile, ...]:
    """All sensible tiles for these maps, best first; `channel_blocks` are the output blocks of one group.

    Of tiles about as good as the best, one of those comes first that fill the registers with a single row of positions: what suits most
    maps is built once.
    """
    most_rows, most_columns = max(m.rows for m in maps), max(m.columns for m in maps)
    tiles = set()
    for blocks in range(1, min(most_blocks, channel_blocks) + 1):
        for rows in range(1, min(4, most_rows) + 1):
            most = max(1, (registers - 1) // (blocks * rows))
            widths = {Cut.of(most_columns, columns).width for columns in range(1, most + 1)}
            tiles |= {Tile(score(maps, rows, w, blocks, channel_blocks, registers), rows, w, blocks) for w in widths}
    ordered = sorted(tiles, key=lambda t: (-t.score, t.rows, t.columns, t.blocks))
    shared = [(1, widest(blocks, registers), blocks) for blocks in (2, 3, 4)]
    first = next((t for t in ordered if (t.rows, t.columns, t.blocks) in shared), ordered[0])
    if first.score >= SHARED_WORTH * ordered[0].score:
        ordered.remove(first)
        ordered.insert(0, first)
    return tuple(ordered)
