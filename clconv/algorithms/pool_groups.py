"""The mean of whole maps, as the end of most networks takes it: a sum that work-items share, for GPUs."""

from __future__ import annotations

from dataclasses import replace

from clconv.algorithms.base import Algorithm
from clconv.algorithms.reduce_groups import ReduceGroups, ReduceGroupsParams
from clconv.codegen.plan import KernelCall, Plan
from clconv.device import DeviceTraits
from clconv.problem import Pass, PoolProblem, ReduceProblem

REDUCE = ReduceGroups()
OPERANDS = {"x0": "x", "y0": "y"}


def as_reduction(problem: PoolProblem) -> ReduceProblem:
    """The sum over all spatial axes, divided by how many elements there are."""
    axes, x = tuple(range(2, 2 + len(problem.size))), problem.tensors()["x"]
    return ReduceProblem(x.shape, (x,), axes, (("r0", "x0"),), ("r / count",), dtype=problem.dtype, label=str(problem))


class PoolGroups(Algorithm[PoolProblem]):
    """Global mean pooling by reduce_groups."""

    name = "pool_groups"
    takes = PoolProblem

    def why_not(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        if problem.direction is not Pass.FORWARD:
            return f"computes the forward pass, got {problem.direction.name.lower()}"
        if problem.geometry is not None or set(problem.out_size) != {1}:
            return "takes the mean of whole maps, got windows"
        return None

    def defaults(self, problem: PoolProblem, traits: DeviceTraits) -> ReduceGroupsParams:
        return REDUCE.defaults(as_reduction(problem), traits)

    def seconds(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> float:
        return REDUCE.seconds(as_reduction(problem), traits, params)

    def plan(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Plan:
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        plan = REDUCE.plan(as_reduction(problem), traits, params)
        return replace(plan, calls=tuple(map(_renamed, plan.calls)))


def _renamed(call: KernelCall) -> KernelCall:
    """With pooling's names for the operands."""
    return replace(call, bindings=tuple((key, OPERANDS.get(str(value), value)) for key, value in call.bindings))
