"""Max unpooling: elements to the positions that a maximum had in its plane, and the gradient back; accepts everything."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import GROUP, check_operands
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import Pass, UnpoolProblem


@dataclass(frozen=True)
class UnpoolPlanesParams:
    """Nothing to choose."""


class UnpoolPlanes(Algorithm[UnpoolProblem]):
    """A plane to a work-group; several elements at one position are written in order, without atomics."""

    name = "unpool_planes"
    takes = UnpoolProblem

    def why_not(self, problem: UnpoolProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: UnpoolProblem, traits: DeviceTraits) -> UnpoolPlanesParams:
        return UnpoolPlanesParams()

    def plan(self, problem: UnpoolProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        backward, group = problem.direction is not Pass.FORWARD, traits.group(GROUP)
        planes = math.prod(problem.shape[:2])
        bindings: dict[str, str | int] = {name: name for name in problem.tensors()}
        bindings |= {"planes": planes, "count": math.prod(problem.shape[2:]), "size": math.prod(problem.size)}
        entry = "unpool_planes_backward" if backward else "unpool_planes"
        source = KernelSource("unpool_planes", entry, names(GROUP=group), names(backward=backward), problem.dtype, (group, 1, 1))
        return Plan((KernelCall(source, (group, planes, 1), names(bindings)),))
