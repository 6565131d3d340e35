"""The weight gradient on channel-blocked tensors, in register tiles: the fast kernel of CPU devices.

Two launches, whatever the sizes: partial sums over ranges of output rows, then their total in the plain layout. Same sizes, same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import (
    bindings,
    check_layouts,
    prefixed,
    strides,
    two_axes,
    two_pads,
    two_sizes,
    why_not_blocked,
    why_not_rank,
)
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Blocked, Layout

# Inputs of so few channels are read unblocked: a block would be mostly padding.
FEW_CHANNELS = 4
SCRATCH_BYTES = 64 << 20
# Bytes of dy and x that one unit reads: half of a first-level cache.
UNIT_BYTES = 16 << 10
ITEMS_PER_CORE = 4


@dataclass(frozen=True)
class ConvBlockedWeightsParams:
    """A register tile of `tile_k` output blocks x `tile_c` input channels x `tile_s` kernel columns; an item has `run` input blocks and
    works through units of `rows` output rows."""

    tile_k: int
    tile_c: int
    tile_s: int
    run: int
    rows: int


def x_block(problem: ConvProblem, traits: DeviceTraits) -> int:
    """Channels in a block of x: 1 where there are only a few."""
    return 1 if problem.channels <= FEW_CHANNELS and problem.geometry.groups == 1 else traits.block


def column_tiles(columns: int, most: int) -> tuple[tuple[int, int], ...]:
    """Kernel columns in parts as equal as possible: (first, count) of each.

    >>> column_tiles(7, 4)
    ((0, 4), (4, 3))
    """
    parts = -(-columns // most)
    ends = [-(-i * columns // parts) for i in range(parts + 1)]
    return tuple((first, end - first) for first, end in pairwise(ends))


@dataclass(frozen=True)
class Shape:
    """Counts of one group in blocks and tiles, for given parameters."""

    channel_blocks: int
    filter_blocks: int
    k_tiles: int
    c_tiles: int
    slab_bytes: int


def shape_of(problem: ConvProblem, traits: DeviceTraits, params: ConvBlockedWeightsParams) -> Shape:
    groups, block = problem.geometry.groups, x_block(problem, traits)
    channel_blocks = -(-(problem.channels // groups) // block)
    filter_blocks = -(-(problem.filters // groups) // traits.block)
    k_tiles = -(-filter_blocks // params.tile_k)
    kernel_h, kernel_w = two_axes(problem.geometry.kernel)
    slab = groups * k_tiles * channel_blocks * kernel_h * kernel_w * block * params.tile_k * traits.block
    return Shape(channel_blocks, filter_blocks, k_tiles, -(-channel_blocks // params.run), 4 * slab)


def loads_per_step(params: ConvBlockedWeightsParams) -> float:
    """Loads that go with one multiply-add of the register tile: what ranks tiles."""
    values = params.tile_c * params.tile_s
    return (params.tile_k + values) / (params.tile_k * values)


class ConvBlockedWeights(Algorithm[ConvProblem]):
    """x and dy blocked, dw plain. Of grouped convolutions those whose groups are whole blocks."""

    name = "conv_blocked_weights"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        g, c = problem.geometry, traits.block
        if problem.direction is not Pass.BACKWARD_WEIGHTS:
            return f"computes the weight gradient, got pass {problem.direction.value}"
        if refusal := why_not_blocked(traits) or why_not_rank(g.rank):
            return refusal
        own = (problem.channels // g.groups, problem.filters // g.groups)
        if g.groups > 1 and (own[0] % c or own[1] % c):
            return f"needs groups of whole blocks of {c} channels, got {own[0]} input and {own[1]} output channels in a group"
        return None

    def tiles(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[tuple[int, int, int]]:
        """Register tiles that leave room for dy and a broadcast value."""
        registers, block = traits.vector_registers, x_block(problem, traits)
        _, kernel_w = two_axes(problem.geometry.kernel)
        filter_blocks = -(-(problem.filters // problem.geometry.groups) // traits.block)
        for k in range(1, min(4, filter_blocks) + 1):
            for c in (n for n in (1, 2, 4, 8) if block % n == 0):
                for parts in range(1, kernel_w + 1):
                    s = -(-kernel_w // parts)
                    if k * c * s + k + 1 <= registers:
                        yield k, c, s

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvBlockedWeightsParams]:
        first = self.defaults(problem, traits)
        yield first
        tiles = dict.fromkeys(self.tiles(problem, traits))
        ranked = sorted(tiles, key=lambda tile: self.cost(problem, traits, replace(first, tile_k=tile[0], tile_c=tile[1], tile_s=tile[2])))
        for k, c, s in ranked[:5]:
            for run in dict.fromkeys((1, first.run, 2 * first.run)):
                for rows in dict.fromkeys((first.rows, max(1, first.rows // 2), 2 * first.rows)):
                    other = ConvBlockedWeightsParams(k, c, s, run, rows)
                    if other != first:
                        yield other

    def cost(self, problem: ConvProblem, traits: DeviceTraits, params: ConvBlockedWeightsParams) -> float:
        """Relative time of a multiply-add: loads beyond two a cycle, sums too few to hide their latency, output blocks computed twice."""
        sums = params.tile_k * params.tile_c * params.tile_s
        shape = shape_of(problem, traits, params)
        waste = shape.k_tiles * params.tile_k / shape.filter_blocks
        return max(1.0, 8 / sums, 1.25 * loads_per_step(params)) * waste + 0.1 * loads_per_step(params)

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvBlockedWeightsParams:
        rough = [ConvBlockedWeightsParams(k, c, s, 1, 1) for k, c, s in self.tiles(problem, traits)]
        best = min(rough, key=lambda params: self.cost(problem, traits, params))
        height, width = two_sizes(problem.output_size)
        kernel_h, _ = two_axes(problem.geometry.kernel)
        # A run of input blocks shares what it reads of dy; a large kernel has work enough in one.
        run = max(1, 4 // kernel_h) if x_block(problem, traits) > 1 else problem.channels
        row_bytes = 4 * width * traits.block * (best.tile_k + 1)
        return replace(best, run=run, rows=max(1, min(height, UNIT_BYTES // row_bytes)))

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        g = problem.geometry
        reach = g.end_reach(problem.size)
        pads = two_pads(tuple((begin, end) for (begin, _), end in zip(g.padding, reach, strict=True)))
        return {"x": Blocked(x_block(problem, traits), pads), "dy": Blocked(traits.block)}

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvBlockedWeightsParams)
        check_layouts(problem, self.wants(problem, traits, params))
        g, shape = problem.geometry, shape_of(problem, traits, params)
        splits, rows = self.splits(problem, traits, params)
        height, width = two_sizes(problem.output_size)
        per_image = -(-height // rows)
        x = strides(problem.spec("x"))
        top, left = (begin for begin, _ in two_pads(g.padding))
        x["offset"] -= top * x["row"] + left * x["column"]
        tiles = g.groups * shape.k_tiles
        first = KernelCall(
            self.partial_source(problem, traits, params),
            (shape.c_tiles, tiles, splits),
            bindings(
                {"x": "x", "dy": "dy", "partial": "partial"},
                prefixed("x", x, ("column",)),
                prefixed("dy", strides(problem.spec("dy")), ("column",)),
                {"channel_blocks": shape.channel_blocks, "filter_blocks": shape.filter_blocks, "k_tiles": shape.k_tiles},
                {"blocks_per_item": params.run, "p_count": height, "q_count": width, "rows_per_unit": rows},
                {"units_per_image": per_image, "units": problem.batch * per_image, "splits": splits},
            ),
        )
        total = KernelSource(
            self.name, "conv_weights_sum", names(BLOCK=traits.block), names(kernel="sum", block=traits.block), problem.dtype
        )
        kernel = two_axes(g.kernel)
        second = KernelCall(
            total,
            (shape.channel_blocks, tiles, 1),
            bindings(
                {"partial": "partial", "dw": "dw"},
                {"channels": problem.channels // g.groups, "filters": problem.filters // g.groups, "k_tiles": shape.k_tiles},
                {"taps": kernel[0] * kernel[1], "x_block": x_block(problem, traits), "tile_k": params.tile_k, "splits": splits},
            ),
        )
        return Plan((first, second), (("partial", splits * shape.slab_bytes),))

    def partial_source(self, problem: ConvProblem, traits: DeviceTraits, params: ConvBlockedWeightsParams) -> KernelSource:
        g = problem.geometry
        kernel, stride, dilation = (two_axes(v) for v in (g.kernel, g.stride, g.dilation))
        constants = names(
            BLOCK=traits.block, X_BLOCK=x_block(problem, traits), TILE_K=params.tile_k * traits.block,
            KERNEL_H=kernel[0], KERNEL_W=kernel[1], STRIDE_H=stride[0], STRIDE_W=stride[1], DILATION_H=dilation[0], DILATION_W=dilation[1],
        )
        tile = names(kernel="partial", tile_k=params.tile_k, tile_c=params.tile_c, column_tiles=column_tiles(kernel[1], params.tile_s))
        return KernelSource(self.name, "conv_weights_partial", constants, tile, problem.dtype)

    def splits(self, problem: ConvProblem, traits: DeviceTraits, params: ConvBlockedWeightsParams) -> tuple[int, int]:
        """Into how many parts the sums are split, and the rows of a unit: enough work-items for all cores within the bounded scratch."""
        shape = shape_of(problem, traits, params)
        height, _ = two_sizes(problem.output_size)
        wanted = -(-ITEMS_PER_CORE * traits.compute_units // (shape.c_tiles * shape.k_tiles * problem.geometry.groups))
        wanted = max(1, min(wanted, SCRATCH_BYTES // shape.slab_bytes, problem.batch * height))
        rows = max(1, min(params.rows, problem.batch * height // wanted))
        return min(wanted, problem.batch * -(-height // rows)), rows

    def rate(self, problem: ConvProblem, traits: DeviceTraits) -> float:
        return 2.0e9 * traits.block
