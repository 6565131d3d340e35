"""Softmax and its logarithm along any axis, forward and backward, lines shared by the work-items of a group: for GPUs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import power_above, sharing_group
from clconv.algorithms.conv_gemm import LAUNCH_SECONDS, machine_of
from clconv.algorithms.reduce_groups import SIDE_BY_SIDE, TERMS_EACH
from clconv.algorithms.softmax_rows import formula
from clconv.algorithms.strides import check_addressable
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import Pass, SoftmaxProblem


@dataclass(frozen=True)
class SoftmaxGroupsParams:
    """`group`: work-items of a group, of which `slices` share a line; powers of two both."""

    group: int
    slices: int


class SoftmaxGroups(Algorithm[SoftmaxProblem]):
    """As softmax_rows, which shifts by the maximum: NaN in a line makes the line NaN, as does a line of -inf alone."""

    name = "softmax_groups"
    takes = SoftmaxProblem

    def why_not(self, problem: SoftmaxProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: SoftmaxProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: SoftmaxProblem, traits: DeviceTraits) -> SoftmaxGroupsParams:
        group = sharing_group(traits)
        _, length, inner = _sizes(problem)
        # Neighbours share a line, at least so many of them that a request reads a run of it; or have neighbouring lines.
        run = min(SIDE_BY_SIDE, power_above(length if inner == 1 else inner))
        least, most = (run, group) if inner == 1 else (1, group // run)
        return SoftmaxGroupsParams(group, max(1, min(most, max(least, power_above(-(-length // TERMS_EACH))))))

    def space(self, problem: SoftmaxProblem, traits: DeviceTraits) -> Iterator[SoftmaxGroupsParams]:
        best = self.defaults(problem, traits)
        yield best
        for slices in (best.slices // 2, best.slices * 2):
            if 1 <= slices <= best.group:
                yield SoftmaxGroupsParams(best.group, slices)

    def seconds(self, problem: SoftmaxProblem, traits: DeviceTraits, params: object) -> float:
        return problem.bytes_moved / machine_of(traits).bandwidth + LAUNCH_SECONDS

    def plan(self, problem: SoftmaxProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, SoftmaxGroupsParams)
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        check_addressable(problem)
        outer, length, inner = _sizes(problem)
        folds, result = formula(problem)
        arguments = {"forward": problem.direction is Pass.FORWARD, "folds": folds, "result": result}
        source = KernelSource(
            "softmax_groups", "softmax_groups", names(GROUP=params.group), names(arguments), problem.dtype, (params.group, 1, 1)
        )
        own = params.group // params.slices
        bindings: dict[str, str | int] = {name: name for name in problem.tensors()}
        bindings |= {
            "line_count": outer * inner, "length": length, "inner": inner, "slices": params.slices, "apart": 1 if inner == 1 else own,
        }  # fmt: skip
        return Plan((KernelCall(source, (-(-outer * inner // own) * params.group, 1, 1), names(bindings)),))


def _sizes(problem: SoftmaxProblem) -> tuple[int, int, int]:
    """(lines' entries before the axis, its length, elements after it)."""
    axis = problem.axis % len(problem.shape)
    return math.prod(problem.shape[:axis]), problem.shape[axis], math.prod(problem.shape[axis + 1 :])
