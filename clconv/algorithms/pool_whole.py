"""Means over windows that are the whole map, on plain maps and CPU devices: the reduction that they are."""

from __future__ import annotations

from dataclasses import replace

from clconv.algorithms.base import Algorithm
from clconv.algorithms.reduce_strided import ReduceStrided, ReduceStridedParams
from clconv.codegen.plan import KernelCall, Plan
from clconv.device import DeviceTraits
from clconv.problem import Pass, PoolProblem, ReduceProblem

NAMES = {"x0": "x", "y0": "y"}


class PoolWhole(Algorithm[PoolProblem]):
    """The kernel of `reduce_strided`: a map is a row, whatever its sides."""

    name = "pool_whole"
    takes = PoolProblem

    def why_not(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        geometry = problem.geometry
        if not traits.is_cpu:
            return f"is written for CPU devices, got {traits.label}"
        if problem.direction is not Pass.FORWARD:
            return f"computes the forward pass, got {problem.direction.name.lower()}"
        if problem.kind == "max" or problem.divisor is not None:
            asked = "a maximum" if problem.kind == "max" else f"a divisor of {problem.divisor}"
            return f"computes means over all elements of a map, got {asked}"
        if geometry is not None and (geometry.effective_kernel != geometry.kernel or any(map(any, geometry.padding))):
            return f"needs windows without padding and dilation, got padding {geometry.padding} and dilation {geometry.dilation}"
        window = geometry.kernel if geometry is not None else problem.size
        if window != problem.size or any(n != 1 for n in problem.output_size):
            return f"needs one window for the whole map of {problem.size}, got {window} and {problem.output_size} of them"
        return None

    def defaults(self, problem: PoolProblem, traits: DeviceTraits) -> ReduceStridedParams:
        return ReduceStrided().defaults(self._reduction(problem), traits)

    def plan(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Plan:
        plan = ReduceStrided().plan(self._reduction(problem), traits, params)
        return replace(plan, calls=tuple(map(self._renamed, plan.calls)))

    @staticmethod
    def _reduction(problem: PoolProblem) -> ReduceProblem:
        x = problem.tensors()["x"]
        return ReduceProblem(x.shape, (x,), tuple(range(2, len(x.shape))), (("r0", "x0"),), ("r / count",), dtype=problem.dtype)

    @staticmethod
    def _renamed(call: KernelCall) -> KernelCall:
        """With the operands of pooling."""
        bindings = ((argument, NAMES.get(value, value) if isinstance(value, str) else value) for argument, value in call.bindings)
        return replace(call, bindings=tuple(bindings))

    def rate(self, problem: PoolProblem, traits: DeviceTraits) -> float:
        return 0.7e9 * traits.simd_width
