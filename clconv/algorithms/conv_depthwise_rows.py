"""Depthwise convolution forward on plain maps of one or two axes, on CPU devices: bands of rows, in vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.bands import Band, header, launch, why_no_band
from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import two_sizes
from clconv.algorithms.common import check_operands
from clconv.codegen.expressions import bounded_activation
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Pass

MOST_TAPS = 49
MOST_WHOLE = 9
BYTES_PER_SECOND = 10e9


@dataclass(frozen=True)
class ConvDepthwiseRowsParams:
    """Nothing to choose."""


class ConvDepthwiseRows(Algorithm[ConvProblem]):
    """One channel a group, any number of filters a channel; what stands alone between plain tensors needs no reorder for it."""

    name = "conv_depthwise_rows"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        g = problem.geometry
        if problem.direction is not Pass.FORWARD:
            return f"computes the forward pass, got {problem.direction.name.lower()}"
        if g.groups != problem.channels or g.groups == 1:
            return f"needs one channel a group, got {problem.channels} in {g.groups} groups"
        if math.prod(g.kernel) > MOST_TAPS:
            return f"writes out at most {MOST_TAPS} taps, got a kernel of {g.kernel}"
        return why_no_band(problem, traits)

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvDepthwiseRowsParams:
        return ConvDepthwiseRowsParams()

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        g, fused = problem.geometry, problem.epilogue
        macro, low = bounded_activation(fused.activation)
        items, sizes = launch(problem, traits)
        band, rows = Band.of(problem, traits.simd_width).rows, two_sizes(problem.output_size)[0]
        bindings: dict[str, str | int | float] = {
            "x": "x", "w": "w", "y": "y", "has_bias": int(fused.bias), "bias": "bias" if fused.bias else "w",
            "has_residual": int(fused.residual), "residual": "residual" if fused.residual else "x", "low": low,
            "filters": problem.filters, "multiplier": problem.filters // problem.channels, "band": band, "bands": -(-rows // band),
            **sizes,
        }  # fmt: skip
        constants = names(header(problem, traits.simd_width), **macro)
        arguments = names(stride=g.stride[-1], whole=math.prod(g.kernel) <= MOST_WHOLE)
        source = KernelSource("conv_depthwise_rows", "conv_depthwise_rows", constants, arguments, problem.dtype)
        return Plan((KernelCall(source, (items, 1, 1), tuple(sorted(bindings.items()))),))

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        rate = 0.5e9 * traits.simd_width * traits.compute_units  # 3 x 3 and 5 x 5 alike, measured with AVX-512
        return max(problem.multiply_adds / rate, problem.bytes_moved / BYTES_PER_SECOND) + 5e-6
