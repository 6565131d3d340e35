"""Pooling forward on plain maps of one or two axes, on CPU devices: rows of windows, in loops that become vectors."""

from __future__ import annotations

from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import two_pads, two_sizes, window_constants
from clconv.algorithms.common import check_operands, tasks_each
from clconv.algorithms.pool_direct import shared_divisor
from clconv.algorithms.reduce_strided import COMBINE
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.geometry import PoolGeometry
from clconv.problem import Pass, PoolProblem

WIDEST = 4096
MOST_UNROLLED = 8


@dataclass(frozen=True)
class PoolRowsParams:
    """Nothing to choose."""


def span(problem: PoolProblem, geometry: PoolGeometry) -> int:
    """Elements of a row, padding included, that the windows of one row reach over."""
    return (problem.output_size[-1] - 1) * geometry.stride[-1] + geometry.effective_kernel[-1]


class PoolRows(Algorithm[PoolProblem]):
    """Maxima and means without indices; rows of up to WIDEST elements, whose borders are written out instead of tested."""

    name = "pool_rows"
    takes = PoolProblem

    def why_not(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        geometry = problem.geometry
        if problem.direction is not Pass.FORWARD:
            return "computes the forward pass"
        if not traits.is_cpu:
            return f"is written for the vectors of CPU devices, got {traits.label}"
        if geometry is None or problem.with_indices:
            return "needs windows of one size, and gives no positions of maxima"
        if geometry.rank > 2:
            return f"needs 1 or 2 spatial axes, got {geometry.rank}"
        if span(problem, geometry) > WIDEST:
            return f"needs rows of at most {WIDEST} elements, got {span(problem, geometry)}"
        return None

    def defaults(self, problem: PoolProblem, traits: DeviceTraits) -> PoolRowsParams:
        return PoolRowsParams()

    def plan(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        geometry = problem.geometry
        assert geometry is not None
        mean = problem.kind == "avg"
        (height, width), (p_count, q_count) = two_sizes(problem.size), two_sizes(problem.output_size)
        window = window_constants(geometry.kernel, geometry.stride, geometry.dilation, geometry.padding)
        constants = {"WIDEST": WIDEST, **COMBINE["sum" if mean else "max"], **window}
        planes = problem.batch * problem.channels
        each = tasks_each(planes * p_count, traits)
        bindings: dict[str, str | int | float] = {"x": "x", "y": "y", "planes": planes, "height": height, "width": width}
        bindings |= {"p_count": p_count, "q_count": q_count, "tasks_each": each}
        if mean:
            bindings |= self._divisors(problem, geometry)
        arguments = names(mean=mean, unrolled=geometry.kernel[-1] <= MOST_UNROLLED)
        source = KernelSource("pool_rows", "pool_rows", names(constants), arguments, problem.dtype)
        return Plan((KernelCall(source, (-(-planes * p_count // each), 1, 1), tuple(sorted(bindings.items()))),))

    @staticmethod
    def _divisors(problem: PoolProblem, geometry: PoolGeometry) -> dict[str, int | float]:
        """The divisor of all windows, or between which positions their elements count."""
        shared = shared_divisor(problem, geometry)
        out: dict[str, int | float] = {"divisor": shared or 0.0}
        for letter, size, (a, b) in zip("hw", two_sizes(problem.size), two_pads(geometry.padding), strict=True):
            low, high = (-a, size + b) if problem.count_include_pad else (0, size)
            out |= {f"low_{letter}": low, f"high_{letter}": high}
        return out

    def rate(self, problem: PoolProblem, traits: DeviceTraits) -> float:
        return 0.4e9 * traits.simd_width
