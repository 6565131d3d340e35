"""Sparse linear maps along one axis, such as gathering and resizing, row by row; accepts everything."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import GROUP, check_operands, tasks_each
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ResampleProblem


@dataclass(frozen=True)
class ResampleAxisParams:
    """Nothing to choose."""


class ResampleAxis(Algorithm[ResampleProblem]):
    """y[o, j, i] = sum over t of weights[j, t] x[o, sources[j, t], i]; the tables come as operands, so one kernel does for all of them."""

    name = "resample_axis"
    takes = ResampleProblem

    def why_not(self, problem: ResampleProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: ResampleProblem, traits: DeviceTraits) -> ResampleAxisParams:
        return ResampleAxisParams()

    def plan(self, problem: ResampleProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        outer, inner = math.prod(problem.shape[: problem.axis]), math.prod(problem.shape[problem.axis + 1 :])
        group = traits.group(GROUP)
        rows = outer if inner == 1 else outer * problem.out
        each = tasks_each(rows, traits)
        bindings: dict[str, str | int] = {name: name for name in problem.tensors()}
        bindings |= {"outer": outer, "size": problem.shape[problem.axis], "out": problem.out, "inner": inner}
        source = KernelSource("resample_axis", "resample_axis", names(GROUP=group), names(last=inner == 1), problem.dtype, (group, 1, 1))
        call = KernelCall(source, (group, -(-rows // each), 1), names(bindings, taps=problem.taps, tasks_each=each))
        return Plan((call,))
