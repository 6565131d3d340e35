"""Depthwise convolution forward on plain maps of one or two axes, on CPU devices: bands of rows, in loops that become vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import two_axes, two_sizes, window_constants
from clconv.algorithms.common import check_operands, tasks_each
from clconv.codegen.expressions import bounded_activation
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Pass

WIDEST = 4096
MOST_TAPS = 49
MOST_WHOLE = 9
BYTES_PER_SECOND = 10e9


@dataclass(frozen=True)
class ConvDepthwiseRowsParams:
    """Nothing to choose."""


@dataclass(frozen=True)
class Band:
    """`rows` output rows read `pitch` elements of each of their input rows, padding included; None fit where `rows` is 0."""

    pitch: int
    rows: int

    @classmethod
    def of(cls, problem: ConvProblem) -> Band:
        g = problem.geometry
        pitch = (problem.output_size[-1] - 1) * g.stride[-1] + g.effective_kernel[-1]
        reach, stride, outputs = (two_axes(sizes)[0] for sizes in (g.effective_kernel, g.stride, problem.output_size))
        return cls(pitch, min(outputs, max(0, (WIDEST // pitch - reach) // stride + 1)))


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
        if not traits.is_cpu:
            return f"is written for the vectors of CPU devices, got {traits.label}"
        if g.rank > 2:
            return f"needs 1 or 2 spatial axes, got {g.rank}"
        if math.prod(g.kernel) > MOST_TAPS:
            return f"writes out at most {MOST_TAPS} taps, got a kernel of {g.kernel}"
        band = Band.of(problem)
        if not band.rows:
            return f"needs rows of which a kernel's reach has at most {WIDEST} elements, got {band.pitch} by {g.effective_kernel}"
        return None

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvDepthwiseRowsParams:
        return ConvDepthwiseRowsParams()

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        g, fused = problem.geometry, problem.epilogue
        (height, width), (p_count, q_count) = two_sizes(problem.size), two_sizes(problem.output_size)
        macro, low = bounded_activation(fused.activation)
        constants = {"WIDEST": WIDEST, "vec": "float", **macro, **window_constants(g.kernel, g.stride, g.dilation, g.padding)}
        band = Band.of(problem)
        bands = -(-p_count // band.rows)
        tasks = problem.batch * problem.filters * bands
        each = tasks_each(tasks, traits)
        bindings: dict[str, str | int | float] = {
            "x": "x", "w": "w", "y": "y", "has_bias": int(fused.bias), "bias": "bias" if fused.bias else "w",
            "has_residual": int(fused.residual), "residual": "residual" if fused.residual else "x", "low": low,
            "images": problem.batch, "filters": problem.filters, "multiplier": problem.filters // problem.channels,
            "height": height, "width": width, "p_count": p_count, "q_count": q_count, "tasks_each": each,
            "band": band.rows, "bands": bands, "pitch": band.pitch,
        }  # fmt: skip
        arguments = names(dense=set(g.stride) == {1}, whole=math.prod(g.kernel) <= MOST_WHOLE)
        source = KernelSource("conv_depthwise_rows", "conv_depthwise_rows", names(constants), arguments, problem.dtype)
        return Plan((KernelCall(source, (-(-tasks // each), 1, 1), tuple(sorted(bindings.items()))),))

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        rate = (0.5e9 if math.prod(problem.geometry.kernel) <= MOST_WHOLE else 0.3e9) * traits.simd_width * traits.compute_units
        return max(problem.multiply_adds / rate, problem.bytes_moved / BYTES_PER_SECOND) + 5e-6
