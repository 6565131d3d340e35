"""How a convolution is cut into products of matrices: tiles, steps, and what the model is told of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from clconv.algorithms.blocked_calls import AxisCall, Roles, plane_calls
from clconv.algorithms.gemm_model import Product
from clconv.device import DeviceTraits, GemmTile
from clconv.problem import ConvProblem, Pass
from clconv.tensor import DTYPES, round_up

TABLES = (336, 512)
"""Rows of the table in local memory for sums that run through channels and taps one by one; the first leaves room for three large tiles
in 64 KiB."""
WORTH_FLAT = 1.1
"""Steps of whole blocks of channels over steps of such a sum, from which on it is taken."""
STEP_INSTRUCTIONS, FLAT_LOAD_INSTRUCTIONS = 60, 12
"""Of a work-item's step beside its multiply-adds, and more for each element that is looked up: what compilers make of it (`clconv isa`)."""


@dataclass(frozen=True)
class ConvGemmParams:
    """A tile (see GemmTile), the parts that the sum over k is split into, the width of sub-groups (0: the compiler's choice), and whether
    the loop moves indices instead of pointers."""

    rows: int
    columns: int
    depth: int
    item_rows: int
    item_columns: int
    parts: int = 1
    sub_group: int = 0
    indices: bool = False

    @classmethod
    def of(cls, tile: GemmTile, parts: int, traits: DeviceTraits) -> ConvGemmParams:
        return cls(**asdict(tile), parts=parts, sub_group=traits.start.sub_group, indices=traits.start.indices)

    @property
    def tile(self) -> GemmTile:
        return GemmTile(self.rows, self.columns, self.depth, self.item_rows, self.item_columns)


def is_weights(problem: ConvProblem) -> bool:
    return problem.direction is Pass.BACKWARD_WEIGHTS


def fits(problem: ConvProblem, tile: GemmTile, traits: DeviceTraits) -> bool:
    """Whether the device has work-items and local memory enough, and the work-items can share the loads evenly."""
    items, depth = tile.items, tile.depth
    if items > traits.max_work_group_size or local_bytes(problem, tile) > traits.local_memory_bytes:
        return False
    if is_weights(problem):
        lines = items // depth
        return items % depth == 0 and tile.rows % lines == 0 and tile.columns % lines == 0
    lines = items // tile.columns
    return lines > 0 and items % tile.columns == 0 and depth % lines == 0 and depth * tile.rows // 4 % items == 0


def why_not_tile(tile: GemmTile, is_fit: bool, local: int, traits: DeviceTraits) -> str | None:
    """Why the device cannot run a tile that is not `is_fit` and needs `local` bytes of local memory, as one sentence."""
    if is_fit:
        return None
    return tile.why_no_room(local, traits) or f"does not deal out the loads of a step evenly among {tile.items} work-items"


def pitches(problem: ConvProblem, tile: GemmTile) -> tuple[int, int]:
    """Floats from one step's row to the next in local memory; the weight gradient stores columns, which must not meet in one bank."""
    apart = 4 if is_weights(problem) else 0
    return tile.rows + apart, tile.columns + apart


def local_bytes(problem: ConvProblem, tile: GemmTile) -> int:
    table = 16 * table_rows(problem, tile) if not is_weights(problem) and is_flat(problem, tile) else 0
    return 2 * 4 * tile.depth * sum(pitches(problem, tile)) + table


def is_flat(problem: ConvProblem, tile: GemmTile) -> bool:
    """Whether channels and taps are walked one by one: where whole blocks of channels would be filled up too much.

    Of the weight gradient these are the columns, of the other passes the terms of the sum, as many as the table has rows, whose offsets
    have 32 bits.
    """
    if is_weights(problem):
        return problem.channels // problem.geometry.groups % tile.columns != 0
    roles = Roles.of(problem)
    inputs = roles.inputs
    if any(problem.spec(name).nbytes >= 2**32 for name in problem.inputs):
        return False
    return table_rows(problem, tile) > 0 and round_up(inputs, tile.depth) > WORTH_FLAT * inputs


def table_rows(problem: ConvProblem, tile: GemmTile) -> int:
    """The size of the table that holds the longest sum; 0 if none does."""
    inputs = Roles.of(problem).inputs
    longest = max(inputs * max(1, rows.taps * columns.taps) for rows, columns in plane_calls(problem))
    return next((rows for rows in TABLES if round_up(longest, tile.depth) <= rows), 0)


def step_count(problem: ConvProblem, tile: GemmTile, rows: AxisCall, columns: AxisCall) -> int:
    """Steps of the loop in one call; none where no tap meets the phase."""
    inputs, taps = Roles.of(problem).inputs, rows.taps * columns.taps
    return -(-inputs * taps // tile.depth) if is_flat(problem, tile) else taps * -(-inputs // tile.depth)


def products(problem: ConvProblem, tile: GemmTile) -> list[Product]:
    """The products of all launches, for the model."""
    g, size = problem.geometry, DTYPES[problem.dtype]
    filters, channels = problem.filters // g.groups, problem.channels // g.groups
    if is_weights(problem):
        taps, positions = math.prod(g.kernel), problem.batch * math.prod(problem.output_size)
        return [Product(filters, channels * taps, -(-positions // tile.depth), g.groups, size, 4)]
    outputs = Roles.of(problem).outputs
    return [
        Product(outputs, problem.batch * rows.count * columns.count, max(1, step_count(problem, tile, rows, columns)), g.groups, size, size)
        for rows, columns in plane_calls(problem)
    ]


def expected_share(tile: GemmTile, flat: bool) -> float:
    """Of the inner loop's instructions, those that multiply."""
    macs = tile.depth * tile.item_rows * tile.item_columns
    looked_up = tile.depth * tile.columns // tile.items if flat else 0
    return macs / (macs + STEP_INSTRUCTIONS + FLAT_LOAD_INSTRUCTIONS * looked_up)
