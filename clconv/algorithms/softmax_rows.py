"""Softmax and its logarithm along any axis, forward and backward, one line of the axis after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.strides import check_addressable, inlined, pieces, unaligned_moves
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import Pass, SoftmaxProblem


@dataclass(frozen=True)
class SoftmaxRowsParams:
    """`work`: elements of one work-item, about; `width`: lanes of its vectors, along the axis or, where that is not the last, across it."""

    work: int
    width: int


@dataclass(frozen=True)
class Fold:
    """A total along the axis: `{0}` stands for the total so far, v (and d) for an element; `merge` joins the total and a lane's total v."""

    name: str
    identity: str
    step: str
    merge: str


MOST = Fold("most", "-INFINITY", "v > {0} ? v : {0}", "v > {0} ? v : {0}")


class SoftmaxRows(Algorithm[SoftmaxProblem]):
    """Shifts by the maximum, so nothing overflows. NaN in a line makes the line NaN, as does a line of -inf alone."""

    name = "softmax_rows"
    takes = SoftmaxProblem

    def why_not(self, problem: SoftmaxProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: SoftmaxProblem, traits: DeviceTraits) -> SoftmaxRowsParams:
        return SoftmaxRowsParams(4096, traits.simd_width) if traits.is_cpu else SoftmaxRowsParams(1, 1)

    def plan(self, problem: SoftmaxProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, SoftmaxRowsParams)
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        check_addressable(problem)
        axis = problem.axis % len(problem.shape)
        outer, length, inner = math.prod(problem.shape[:axis]), problem.shape[axis], math.prod(problem.shape[axis + 1 :])
        folds, result = formula(problem)
        constants = {**unaligned_moves(problem.dtype, params.width), "BLOCK": params.width} if params.width > 1 else {"vec": "float"}
        arguments = {
            "forward": problem.direction is Pass.FORWARD,
            "folds": folds,
            "result": result,
            "along": inner == 1,
            "width": params.width,
            "inlined": inlined((*(fold.step for fold in folds), result), traits),
        }
        source = KernelSource("softmax_rows", "softmax_rows", names(constants), names(arguments), problem.dtype, (traits.group(64), 1, 1))
        bindings: dict[str, str | int] = {name: name for name in problem.tensors()}
        if inner == 1:
            lines = max(1, params.work // length)
            items = -(-outer // lines)
            bindings.update(lines_per_item=lines)
        else:
            count, columns = pieces(inner, max(params.width, params.work // length), params.width)
            items = outer * count
            bindings.update(inner=inner, columns_per_item=columns, column_chunks=count)
        bindings.update(line_count=outer, length=length)
        return Plan((KernelCall(source, (items, 1, 1), names(bindings)),))  # type: ignore[arg-type]


def formula(problem: SoftmaxProblem) -> tuple[tuple[Fold, ...], str]:
    """The totals along the axis, in order, and the expression of an output element over v, d and the totals."""

    def total(term: str) -> Fold:
        return Fold("total", "0.0f", f"{{0}} + {term}", "{0} + v")

    if problem.direction is Pass.FORWARD:
        return (MOST, total("exp(v - most)")), "v - most - log(total)" if problem.log else "exp(v - most) / total"
    if problem.log:
        return (total("d"),), "d - exp(v) * total"
    return (total("d * v"),), "v * (d - total)"
