"""The weight gradient of depthwise convolutions, and of groups that lie whole in a block, on channel-blocked tensors.

Lanes are channels, so the sums over all positions are vectors that stay in registers. Two launches, whatever the sizes: partial sums over
ranges of output rows, then their total in the plain layout. Same sizes, same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import bindings, check_layouts, prefixed, strides, two_axes, two_pads, two_sizes
from clconv.algorithms.conv_blocked_weights import column_tiles
from clconv.algorithms.conv_depthwise import own, seconds_in_lanes, turns, why_not_lanes
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Blocked, Layout

SCRATCH_BYTES = 64 << 20
ITEMS_PER_CORE = 4


@dataclass(frozen=True)
class ConvDepthwiseWeightsParams:
    """Sums of `tile_r` kernel rows x `tile_s` kernel columns (x channels of a group) are held in registers at once."""

    tile_r: int
    tile_s: int


class ConvDepthwiseWeights(Algorithm[ConvProblem]):
    """x and dy blocked, dw plain."""

    name = "conv_depthwise_weights"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if problem.direction is not Pass.BACKWARD_WEIGHTS:
            return f"computes the weight gradient, got pass {problem.direction.value}"
        return why_not_lanes(problem, traits)

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvDepthwiseWeightsParams:
        return next(self.space(problem, traits))

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvDepthwiseWeightsParams]:
        """As many sums as leave room for dy and an input vector; and fewer, which reads the tensors more often."""
        kernel_h, kernel_w = two_axes(problem.geometry.kernel)
        seen = set()
        for room in (traits.vector_registers - 3, (traits.vector_registers - 3) // 2):
            most = max(1, room // own(problem))
            tile_s = -(-kernel_w // -(-kernel_w // most))
            tile_r = min(kernel_h, max(1, most // tile_s)) if tile_s == kernel_w else 1
            params = ConvDepthwiseWeightsParams(tile_r, tile_s)
            if params not in seen:
                seen.add(params)
                yield params

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        g = problem.geometry
        pads = two_pads(tuple((begin, end) for (begin, _), end in zip(g.padding, g.end_reach(problem.size), strict=True)))
        return {"x": Blocked(traits.block, pads), "dy": Blocked(traits.block)}

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvDepthwiseWeightsParams)
        check_layouts(problem, self.wants(problem, traits, params))
        kernel = two_axes(problem.geometry.kernel)
        height, width = two_sizes(problem.output_size)
        blocks, units = -(-problem.channels // traits.block), problem.batch * height
        slab = blocks * kernel[0] * kernel[1] * own(problem) * traits.block
        wanted = -(-ITEMS_PER_CORE * traits.compute_units // blocks)
        splits = max(1, min(wanted, units, SCRATCH_BYTES // (4 * slab)))
        x = strides(problem.spec("x"))
        top, left = (begin for begin, _ in two_pads(problem.geometry.padding))
        x["offset"] -= top * x["row"] + left * x["column"]
        first = KernelCall(
            self.partial_source(problem, traits, params),
            (blocks, splits, 1),
            bindings(
                {"x": "x", "dy": "dy", "partial": "partial"},
                prefixed("x", x, ("column",)),
                prefixed("dy", strides(problem.spec("dy")), ("column",)),
                {"p_count": height, "q_count": width, "units": units, "splits": splits},
            ),
        )
        constants = names(BLOCK=traits.block, KERNEL_H=kernel[0], KERNEL_W=kernel[1], GROUP=own(problem))
        total = KernelSource(self.name, "depthwise_weights_sum", constants, names(kernel="sum", block=traits.block), problem.dtype)
        second = KernelCall(
            total, (blocks, 1, 1), bindings({"partial": "partial", "dw": "dw"}, {"channels": problem.channels, "splits": splits})
        )
        return Plan((first, second), (("partial", 4 * splits * slab),))

    def partial_source(self, problem: ConvProblem, traits: DeviceTraits, params: ConvDepthwiseWeightsParams) -> KernelSource:
        g = problem.geometry
        kernel, stride, dilation = (two_axes(v) for v in (g.kernel, g.stride, g.dilation))
        constants = names(
            BLOCK=traits.block, GROUP=own(problem), KERNEL_H=kernel[0], KERNEL_W=kernel[1],
            STRIDE_H=stride[0], STRIDE_W=stride[1], DILATION_H=dilation[0], DILATION_W=dilation[1],
        )  # fmt: skip
        arguments = names(
            kernel="partial", block=traits.block, turns=turns(own(problem), traits.block), columns=column_tiles(kernel[1], params.tile_s),
            tile_r=params.tile_r, rest_r=kernel[0] % params.tile_r,
        )  # fmt: skip
        return KernelSource(self.name, "depthwise_weights_partial", constants, arguments, problem.dtype)

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        return seconds_in_lanes(problem, traits)
