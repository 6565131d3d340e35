"""Sums and maxima over any axes of plain and strided operands, shared by work-groups: for GPUs. Always in the same order, without atomics.

Where few outputs have many terms, work-groups leave partial results, which a second launch combines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import power_above, sharing_group
from clconv.algorithms.conv_gemm import LAUNCH_SECONDS, machine_of
from clconv.algorithms.reduce_strided import COMBINE, KEPT, OUTER_LOOPS, REDUCED, Walk, stride_bindings
from clconv.algorithms.strides import Access, Nest, Target, access, check_addressable, declared, element_strides, offset, pieces
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ReduceProblem
from clconv.problem.elementwise import Statements
from clconv.tensor import Plain

SIDE_BY_SIDE = 32
"""Neighbouring outputs that are read together, where neighbours are outputs."""
TERMS_EACH = 8
"""Terms that a work-item combines at least before it shares them with others."""
GROUPS_PER_UNIT = 4
LEAST_PIECE = 4096
"""Terms that a work-group combines at least: below, another launch costs more than idle units."""


@dataclass(frozen=True)
class ReduceGroupsParams:
    """`group`: work-items of a group, a power of two; `pieces`: work-groups that share an output, where there is so much to combine."""

    group: int
    pieces: int


@dataclass(frozen=True)
class Shares:
    """Who does what: `slices` work-items share an output, `lanes` of them a row; the reduced loops are cut into pieces of `rows` times
    `columns`."""

    slices: int
    lanes: int
    row_pieces: int
    rows: int
    column_pieces: int
    columns: int

    @property
    def pieces(self) -> int:
        return self.row_pieces * self.column_pieces


def shares(walk: Walk, outputs: int, group: int, wanted: int) -> Shares:
    """How the loops are dealt out, the reduced ones in about `wanted` pieces."""
    rows = math.prod(walk.reduced)
    row_pieces, rows_each = pieces(rows, -(-rows // wanted))
    column_pieces, columns = 1, walk.columns
    if walk.inner_reduced:
        column_pieces, columns = pieces(walk.columns, max(group, -(-walk.columns * row_pieces // wanted)), group)
    terms = rows_each * (min(columns, walk.columns) if walk.inner_reduced else 1)
    # Where neighbours share an output, so many of them that each request reads a run; where they are outputs, so few that they do.
    run = min(SIDE_BY_SIDE, power_above(min(columns, walk.columns) if walk.inner_reduced else outputs))
    least, most = (run, group) if walk.inner_reduced else (1, group // run)
    slices = max(1, min(most, max(least, power_above(-(-terms // TERMS_EACH)))))
    lanes = min(slices, power_above(min(columns, walk.columns)))
    return Shares(slices, lanes, row_pieces, rows_each, column_pieces, columns)


def walk_of(problem: ReduceProblem) -> Walk:
    labels = [REDUCED if axis in problem.axes else KEPT for axis in range(len(problem.shape))]
    strides = [element_strides(problem.spec(f"x{i}"), problem.shape, str(problem)) for i in range(len(problem.operands))]
    return Walk.of(Nest.make(problem.shape, strides, labels).coalesced(), OUTER_LOOPS)


class ReduceGroups(Algorithm[ReduceProblem]):
    """A work-group, or some work-items of it, for an output; neighbouring work-items read neighbouring elements."""

    name = "reduce_groups"
    takes = ReduceProblem
    takes_strided = True

    def why_not(self, problem: ReduceProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: ReduceProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: ReduceProblem, traits: DeviceTraits) -> ReduceGroupsParams:
        group = sharing_group(traits)
        outputs = math.prod(problem.out_shape)
        own = group // shares(walk_of(problem), outputs, group, 1).slices
        wanted = GROUPS_PER_UNIT * max(1, traits.compute_units // traits.start.units_per_group)
        return ReduceGroupsParams(group, max(1, min(wanted // -(-outputs // own), problem.count * own // LEAST_PIECE)))

    def seconds(self, problem: ReduceProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ReduceGroupsParams)
        return problem.bytes_moved / machine_of(traits).bandwidth + LAUNCH_SECONDS * (1 + (params.pieces > 1))

    def plan(self, problem: ReduceProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ReduceGroupsParams)
        check_addressable(problem, problem.shape)
        for name in problem.outputs:
            assert isinstance(problem.layout(name), Plain), f"{problem}: {name} must be plain, got {problem.layout(name)}"
        specs = {f"x{i}": problem.spec(f"x{i}") for i in range(len(problem.operands))}
        walk = walk_of(problem)
        operands = tuple(access(name, spec, walk.strides[i][-1]) for i, (name, spec) in enumerate(specs.items()))
        offsets = {f"{x.name}_offset": offset(specs[x.name]) for x in operands if x.shifted}
        outputs = math.prod(problem.out_shape)
        cut = shares(walk, outputs, params.group, params.pieces)
        first = _call(problem, params, walk, operands, offsets, problem.statements, cut, final=cut.pieces == 1)
        if cut.pieces == 1:
            return Plan((first,))
        parts, totals = _parts(problem), _totals(problem)
        again = Walk.of(Nest.make((cut.pieces, outputs), [(outputs, 1)] * len(parts), (REDUCED, KEPT)), OUTER_LOOPS)
        accesses = tuple(Access(part, "float32", flat=False, shifted=False, step="1") for part in parts)
        statements = tuple(zip(totals, parts, strict=True))
        second = _call(problem, params, again, accesses, {}, statements, shares(again, outputs, params.group, 1), final=True)
        return Plan((first, second), tuple((part, 4 * cut.pieces * outputs) for part in parts))


def _totals(problem: ReduceProblem) -> tuple[str, ...]:
    return tuple(f"r{i}" for i in range(len(problem.post)))


def _parts(problem: ReduceProblem) -> tuple[str, ...]:
    return tuple(f"part{i}" for i in range(len(problem.post)))


def _call(
    problem: ReduceProblem, params: ReduceGroupsParams, walk: Walk, operands: tuple[Access, ...], offsets: dict[str, int],
    statements: Statements, cut: Shares, final: bool,
) -> KernelCall:  # fmt: skip
    """One launch; `final` if it stores outputs rather than partial results."""
    targets = tuple(Target(name, problem.dtype if final else "float32") for name in (problem.outputs if final else _parts(problem)))
    arguments = {
        "operands": operands, "outputs": targets, "totals": _totals(problem), "statements": declared(statements),
        "post": problem.post if final else None, "inner_reduced": walk.inner_reduced, "kept": len(walk.kept), "reduced": len(walk.reduced),
    }  # fmt: skip
    constants = names({"GROUP": params.group}, **COMBINE[problem.combine])
    source = KernelSource("reduce_groups", "reduce_groups", constants, names(arguments), group=(params.group, 1, 1))
    outputs = math.prod(problem.out_shape)
    bindings: dict[str, str | int | float] = {f"{x.name}_data": x.name for x in operands}
    bindings |= {f"{y.name}_data": y.name for y in targets}
    bindings |= offsets
    for x, strides in zip(operands, walk.strides, strict=True):
        bindings |= stride_bindings(x, strides, len(walk.kept))
    bindings |= {f"kept_extent{axis}": n for axis, n in enumerate(walk.kept) if axis}
    bindings |= {f"reduced_extent{axis}": n for axis, n in enumerate(walk.reduced) if axis}
    bindings |= {
        "output_count": outputs, "slices": cut.slices, "row_count": math.prod(walk.reduced), "rows_per_piece": cut.rows,
        "column_count": walk.columns,
    }  # fmt: skip
    if walk.inner_reduced:
        bindings |= {"lanes": cut.lanes, "columns_per_piece": cut.columns, "column_pieces": cut.column_pieces}
    if final:
        bindings["count"] = float(problem.count)
    groups = -(-outputs // (params.group // cut.slices))
    return KernelCall(source, (groups * params.group, cut.pieces, 1), names(bindings))
