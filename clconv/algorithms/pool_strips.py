"""Pooling forward on plain maps of one or two axes: strips of a column's outputs, for GPUs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import SHARING, check_operands, power_above
from clconv.algorithms.conv_depthwise_strips import MOST_COLUMNS, lines_of
from clconv.algorithms.conv_gemm import LAUNCH_SECONDS, machine_of
from clconv.algorithms.pool_direct import window_constants
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import Pass, PoolProblem

FEW_TAPS, MOST_TAPS = 9, 25
"""Taps up to which strips are long, and up to which what is read stays in registers."""


@dataclass(frozen=True)
class PoolStripsParams:
    """A work-item computes `rows` outputs below each other."""

    rows: int


class PoolStrips(Algorithm[PoolProblem]):
    """Maximum (with indices) and mean of windows whose taps are written out."""

    name = "pool_strips"
    takes = PoolProblem

    def why_not(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: neighbouring work-items read neighbouring elements, which gains nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        g = problem.geometry
        if problem.direction is not Pass.FORWARD:
            return f"computes the forward pass, got {problem.direction.name.lower()}"
        if g is None:
            return "needs windows of one size, got adaptive ones"
        if len(g.kernel) > 2:
            return f"needs 1 or 2 spatial axes, got {len(g.kernel)}"
        if math.prod(g.kernel) > MOST_TAPS or g.kernel[-1] > MOST_COLUMNS:
            return f"writes out at most {MOST_TAPS} taps, {MOST_COLUMNS} in a row, got a window of {g.kernel}"
        return None

    def defaults(self, problem: PoolProblem, traits: DeviceTraits) -> PoolStripsParams:
        g = problem.geometry
        assert g is not None
        if len(g.kernel) == 1 or g.kernel[0] <= g.stride[0]:
            return PoolStripsParams(1)  # windows of a strip would share nothing
        return PoolStripsParams(min(4 if math.prod(g.kernel) <= FEW_TAPS else 2, power_above(problem.output_size[0])))

    def space(self, problem: PoolProblem, traits: DeviceTraits) -> Iterator[PoolStripsParams]:
        best = self.defaults(problem, traits)
        yield best
        yield from (PoolStripsParams(rows) for rows in (1, 2, 4) if rows != best.rows)

    def seconds(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> float:
        return problem.bytes_moved / machine_of(traits).bandwidth + LAUNCH_SECONDS

    def plan(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, PoolStripsParams) and problem.geometry is not None
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        check_operands(problem)
        g, rows = problem.geometry, params.rows
        constants, divisor = window_constants(problem, g)
        taps, strides, steps = ((1, *sizes)[-2:] for sizes in (g.kernel, g.stride, g.dilation))
        arguments = {
            "kind": problem.kind, "divisor": divisor, "indices": problem.with_indices, "taps_w": taps[1], "rows": rows,
            "lines": lines_of(rows, strides[0], taps[0], steps[0]),
        }  # fmt: skip
        group = (traits.group(SHARING), 1, 1)
        source = KernelSource("pool_strips", "pool_strips", names(constants, ROWS=rows), names(arguments), problem.dtype, group)
        (height, width), (p_count, q_count) = ((1, *sizes)[-2:] for sizes in (problem.size, problem.output_size))
        strips = -(-p_count // rows)
        items = problem.batch * problem.channels * strips * q_count
        bindings: dict[str, str | int] = {name: name for name in problem.tensors()}
        bindings |= {
            "height": height, "width": width, "p_count": p_count, "q_count": q_count, "strips": strips, "item_count": items,
        }  # fmt: skip
        return Plan((KernelCall(source, (items, 1, 1), names(bindings)),))
