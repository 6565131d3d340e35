"""Pooling forward on plain maps of one or two axes, on CPU devices: bands of rows, in vectors."""

from __future__ import annotations

from dataclasses import dataclass

from clconv.algorithms.bands import header, launch, why_no_band
from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import two_pads, two_sizes
from clconv.algorithms.common import check_operands
from clconv.algorithms.pool_direct import shared_divisor
from clconv.algorithms.reduce_strided import COMBINE
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.geometry import PoolGeometry
from clconv.problem import Pass, PoolProblem

MOST_UNROLLED = 8


@dataclass(frozen=True)
class PoolRowsParams:
    """Nothing to choose."""


class PoolRows(Algorithm[PoolProblem]):
    """Maxima and means without indices; the borders of rows are written out instead of tested."""

    name = "pool_rows"
    takes = PoolProblem

    def why_not(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        geometry = problem.geometry
        if problem.direction is not Pass.FORWARD:
            return "computes the forward pass"
        if geometry is None or problem.with_indices:
            return "needs windows of one size, and gives no positions of maxima"
        return why_no_band(problem, traits)

    def defaults(self, problem: PoolProblem, traits: DeviceTraits) -> PoolRowsParams:
        return PoolRowsParams()

    def plan(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        geometry = problem.geometry
        assert geometry is not None
        mean = problem.kind == "avg"
        items, sizes = launch(problem, traits)
        bindings: dict[str, str | int | float] = {"x": "x", "y": "y", **sizes}
        if mean:
            bindings |= self._divisors(problem, geometry)
        constants = names(header(problem, traits.simd_width), **COMBINE["sum" if mean else "max"])
        arguments = names(stride=geometry.stride[-1], mean=mean, unrolled=max(geometry.kernel) <= MOST_UNROLLED)
        source = KernelSource("pool_rows", "pool_rows", constants, arguments, problem.dtype)
        return Plan((KernelCall(source, (items, 1, 1), tuple(sorted(bindings.items()))),))

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
