"""Products of matrices of which one has few rows or columns, as by a vector: sums shared by a work-group, for GPUs.

Tiles would stay empty there, and time goes into reading the other matrix once: by neighbouring work-items from neighbouring places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import check_operands, sharing_group
from clconv.algorithms.conv_gemm import LAUNCH_SECONDS, MOST_PARTS, machine_of
from clconv.algorithms.gemm_launch import activation, epilogue, with_second_pass
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import MatmulProblem
from clconv.tensor import DTYPES

MOST_FEW = 16
"""Rows or columns up to which this is meant; a work-item keeps at most ROWS of them, and blocks of them read the other matrix again."""
ROWS = (1, 2, 4, 8)
LEAST_TERMS = 128
"""Terms of a sum that a part has at least: below, adding up costs more than idle units."""
MOST_GROUPS = 65535
"""Work-groups along the other axes than the first that every driver counts."""


@dataclass(frozen=True)
class MatmulVectorParams:
    """A work-item keeps `rows` sums, over one of `slices` shares of k; `parts` work-groups share the sum."""

    rows: int
    slices: int
    parts: int = 1


@dataclass(frozen=True)
class Sides:
    """Which operand has the `few` vectors and which the `many`: names, numbers of vectors, and whether they are contiguous along k."""

    few: str
    many: str
    few_count: int
    many_count: int
    few_along: bool
    many_along: bool

    @classmethod
    def of(cls, problem: MatmulProblem) -> Sides:
        a, b = ("a", problem.m, not problem.transpose_a), ("b", problem.n, problem.transpose_b)
        (few, few_count, few_along), (many, many_count, many_along) = (a, b) if problem.m <= problem.n else (b, a)
        return cls(few, many, few_count, many_count, few_along, many_along)


class MatmulVector(Algorithm[MatmulProblem]):
    """A matrix times few vectors, either of them transposed or not."""

    name = "matmul_vector"
    takes = MatmulProblem

    def why_not(self, problem: MatmulProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        if min(problem.m, problem.n) > MOST_FEW:
            return f"is meant for at most {MOST_FEW} rows or columns, got {problem.m} and {problem.n}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: MatmulProblem, traits: DeviceTraits) -> str | None:
        if not problem.k:
            return "needs terms to sum, got k 0"
        if problem.batch * Sides.of(problem).few_count > MOST_GROUPS:
            return f"needs at most {MOST_GROUPS} rows of all entries, got {problem.batch} times {Sides.of(problem).few_count}"
        return None

    def defaults(self, problem: MatmulProblem, traits: DeviceTraits) -> MatmulVectorParams:
        sides, group = Sides.of(problem), sharing_group(traits)
        rows = next((r for r in ROWS if r >= sides.few_count), ROWS[-1])
        # As many of the many side by side as one request reads, the other work-items along k.
        slices = min(group, 32) if sides.many_along else max(1, group // 32)
        most = max(1, min(MOST_PARTS, problem.k // LEAST_TERMS))
        options = [MatmulVectorParams(rows, slices, 1 << i) for i in range(most.bit_length())]
        return min(options, key=lambda params: self.seconds(problem, traits, params))

    def space(self, problem: MatmulProblem, traits: DeviceTraits) -> Iterator[MatmulVectorParams]:
        best, group = self.defaults(problem, traits), sharing_group(traits)
        yield best
        for slices in dict.fromkeys((max(1, group // 64), group // 8 or 1, group)):
            for parts in dict.fromkeys((1, best.parts)):
                params = MatmulVectorParams(best.rows, slices, parts)
                if params != best:
                    yield params

    def seconds(self, problem: MatmulProblem, traits: DeviceTraits, params: object) -> float:
        """Reading the many again for every block of the few; on too few work-groups, that much slower."""
        assert isinstance(params, MatmulVectorParams)
        machine, sides, size = machine_of(traits), Sides.of(problem), DTYPES[problem.dtype]
        blocks, own = -(-sides.few_count // params.rows), sharing_group(traits) // params.slices
        groups = -(-sides.many_count // own) * blocks * problem.batch * params.parts
        read = size * problem.batch * problem.k * (sides.many_count * blocks + sides.few_count)
        stored = problem.spec("y").elements * (size if params.parts == 1 else size + 8 * params.parts)
        # A processor of multiply-adds that all come from memory reaches a tenth of its peak.
        moving = (read / min(1.0, groups / machine.units) + stored) / machine.bandwidth
        return max(moving, 10 * problem.multiply_adds / machine.peak) + LAUNCH_SECONDS * (1 + (params.parts > 1))

    def plan(self, problem: MatmulProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, MatmulVectorParams)
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        check_operands(problem)
        k_each = -(-problem.k // params.parts)
        parts = -(-problem.k // k_each)
        call = vector_call(problem, traits, params, k_each, parts)
        return Plan((call,)) if parts == 1 else with_second_pass(problem, traits, [call], parts)


def vector_call(problem: MatmulProblem, traits: DeviceTraits, params: MatmulVectorParams, k_each: int, parts: int) -> KernelCall:
    sides, group, split = Sides.of(problem), sharing_group(traits), parts > 1
    constants: dict[str, object] = {"ROWS": params.rows, "SLICES": params.slices, "GROUP": group}
    arguments = {"rows": params.rows, "along": sides.many_along, "split": split}
    source = KernelSource(
        "matmul_vector", "matmul_vector", names(constants | ({} if split else activation(problem))), names(arguments), problem.dtype,
        (group, 1, 1),
    )  # fmt: skip
    few_is_a, blocks = sides.few == "a", -(-sides.few_count // params.rows)
    bindings: dict[str, str | int | float] = {
        "few": sides.few, "many": sides.many, "batch": problem.batch, "few_count": sides.few_count, "many_count": sides.many_count,
        "all_k": problem.k, "k_each": k_each, "blocks": blocks,
        "few_step": problem.k if sides.few_along else 1, "few_k": 1 if sides.few_along else sides.few_count,
        "many_step": problem.k if sides.many_along else 1, "many_k": 1 if sides.many_along else sides.many_count,
        "y_few": sides.many_count if few_is_a else 1, "y_many": 1 if few_is_a else sides.few_count,
    }  # fmt: skip
    if split:
        bindings["partial"] = "partial"
    else:
        bindings["y"] = "y"
        bindings |= {"bias_few": int(not few_is_a), "bias_many": int(few_is_a)}
        bindings |= epilogue(problem, "a")
    items = -(-sides.many_count // (group // params.slices)) * group
    return KernelCall(source, (items, parts, blocks * problem.batch), names(bindings))
