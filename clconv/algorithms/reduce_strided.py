"""Sums and maxima over any axes of plain and strided operands: several results in one pass over the data, always in the same order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.strides import Access, Nest, Target, access, check_addressable, declared, element_strides, inlined, offset, pieces
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ReduceProblem
from clconv.problem.elementwise import Statements
from clconv.tensor import Plain

KEPT, REDUCED = 0, 1
OUTER_LOOPS = 2
"""Outer loops of either kind that a kernel has at least, so that other sizes need no other kernel."""
PIECE = 256
"""Terms that are summed one after the other before they join a total: the errors of n terms then grow with PIECE + n / PIECE, not n."""
COMBINE = {
    "sum": {"COMBINE(a, v)": "((a) + (v))", "IDENTITY": "0.0f"},
    "max": {"COMBINE(a, v)": "((v) > (a) || (v) != (v) ? (v) : (a))", "IDENTITY": "(-INFINITY)"},
    "prod": {"COMBINE(a, v)": "((a) * (v))", "IDENTITY": "1.0f"},
}


@dataclass(frozen=True)
class ReduceStridedParams:
    """`work`: elements of one work-item, about; `run`: adjacent outputs it sums at once; `lanes`: partial sums of a contiguous row;
    `items`: work-items to split a sum over axis 0 into, all outputs together."""

    work: int
    run: int
    lanes: int
    items: int


@dataclass(frozen=True)
class Walk:
    """The loops of a reduction: outer kept, then outer reduced, then the innermost one, which is reduced or kept."""

    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    columns: int
    inner_reduced: bool
    strides: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, nest: Nest, least: int) -> Walk:
        """`nest` with its loops sorted; at least `least` outer loops of either kind."""
        nest = nest if nest.extents else nest.padded(1)
        last = len(nest.extents) - 1
        parts = [nest.ordered([i for i in range(last) if nest.labels[i] == label]) for label in (KEPT, REDUCED)]
        kept, reduced = (part.padded_with_zeros(least) for part in parts)
        steps = nest.ordered([last]).strides
        strides = tuple((*k, *r, *s) for k, r, s in zip(kept.strides, reduced.strides, steps, strict=True))
        return cls(kept.extents, reduced.extents, nest.extents[-1], nest.labels[-1] == REDUCED, strides)


class ReduceStrided(Algorithm[ReduceProblem]):
    """Where the innermost loop is reduced, a work-item sums rows into a few lanes; where it is kept, it adds whole rows of outputs.

    A reduction over axis 0 that leaves other axes is always split: partial results to scratch, then a second launch.
    """

    name = "reduce_strided"
    takes = ReduceProblem
    takes_strided = True

    def why_not(self, problem: ReduceProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: ReduceProblem, traits: DeviceTraits) -> ReduceStridedParams:
        if traits.is_cpu:
            return ReduceStridedParams(work=8192, run=1024, lanes=traits.simd_width, items=8 * traits.compute_units)
        return ReduceStridedParams(work=1, run=1, lanes=4, items=256 * traits.compute_units)

    def plan(self, problem: ReduceProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ReduceStridedParams)
        check_addressable(problem, problem.shape)
        for name in problem.outputs:
            assert isinstance(problem.layout(name), Plain), f"{problem}: {name} must be plain, got {problem.layout(name)}"
        specs = {f"x{i}": problem.spec(f"x{i}") for i in range(len(problem.operands))}
        labels = [REDUCED if axis in problem.axes else KEPT for axis in range(len(problem.shape))]
        nest = Nest.make(problem.shape, [element_strides(spec, problem.shape, str(problem)) for spec in specs.values()], labels)
        walk = Walk.of(nest.coalesced(), OUTER_LOOPS)
        operands = tuple(access(name, spec, walk.strides[i][-1]) for i, (name, spec) in enumerate(specs.items()))
        offsets = {f"{x.name}_offset": offset(specs[x.name]) for x in operands if x.shifted}
        builder = _Builder(problem, traits, params)
        if 0 not in problem.axes or len(problem.shape) == 1:
            return Plan((builder.call(walk, operands, offsets, problem.statements, builder.shares(walk, 1), final=True),))
        return builder.split(walk, operands, offsets)


@dataclass(frozen=True)
class Shares:
    """Who does what: `pieces` of the reduced loops, of them `column_pieces` side by side; `columns` of a piece or of a run of outputs;
    `runs` of outputs in a kept row; `items` work-items for each piece."""

    pieces: int
    rows_per_piece: int
    column_pieces: int
    columns: int
    runs: int
    kept_per_item: int
    items: int


@dataclass(frozen=True)
class _Builder:
    """The launches of one problem."""

    problem: ReduceProblem
    traits: DeviceTraits
    params: ReduceStridedParams

    @property
    def totals(self) -> tuple[str, ...]:
        return tuple(f"r{i}" for i in range(len(self.problem.post)))

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(f"part{i}" for i in range(len(self.problem.post)))

    def split(self, walk: Walk, operands: tuple[Access, ...], offsets: dict[str, int]) -> Plan:
        """Partial results [piece][output] by one launch, the rest by another; how many pieces depends on the sizes."""
        outputs = math.prod(self.problem.out_shape)
        work = max(self.params.work, 256) * 2
        wanted = max(1, min(self.params.items // -(-outputs // self.params.run), self.problem.multiply_adds // work))
        shares = self.shares(walk, wanted)
        first = self.call(walk, operands, offsets, self.problem.statements, shares, final=False)
        nest = Nest.make((shares.pieces, outputs), [(outputs, 1)] * len(self.parts), (REDUCED, KEPT))
        again = Walk.of(nest, 0)
        accesses = tuple(Access(part, "float32", flat=False, shifted=False, step="1") for part in self.parts)
        second = self.call(again, accesses, {}, tuple(zip(self.totals, self.parts, strict=True)), self.shares(again, 1), final=True)
        return Plan((first, second), tuple((part, 4 * shares.pieces * outputs) for part in self.parts))

    def shares(self, walk: Walk, wanted: int) -> Shares:
        """How the loops are dealt out, the reduced ones in about `wanted` pieces."""
        params = self.params
        kept_rows, rows = math.prod(walk.kept), math.prod(walk.reduced)
        row_pieces, rows_per_piece = pieces(rows, -(-rows // wanted))
        column_pieces, runs = 1, 1
        if walk.inner_reduced:
            least = max(params.lanes, -(-walk.columns * row_pieces // wanted))
            column_pieces, columns = pieces(walk.columns, least, params.lanes)
        else:
            fair = -(-walk.columns * kept_rows * row_pieces // params.items)
            runs, columns = pieces(walk.columns, min(params.run, max(64, fair)), min(params.run, 16))
        per_row = rows_per_piece * min(columns, walk.columns)
        kept_per_item = min(kept_rows, max(1, params.work // per_row))
        return Shares(
            row_pieces * column_pieces, rows_per_piece, column_pieces, columns, runs, kept_per_item, -(-kept_rows // kept_per_item) * runs
        )

    def call(
        self,
        walk: Walk,
        operands: tuple[Access, ...],
        offsets: dict[str, int],
        statements: Statements,
        shares: Shares,
        final: bool,
    ) -> KernelCall:
        """One launch; `final` if it stores outputs rather than partial results."""
        problem, params = self.problem, self.params
        names_of_results = problem.outputs if final else self.parts
        targets = tuple(Target(name, problem.dtype if final else "float32") for name in names_of_results)
        arguments = {
            "operands": operands,
            "outputs": targets,
            "totals": self.totals,
            "statements": declared(statements),
            "post": problem.post if final else None,
            "inner_reduced": walk.inner_reduced,
            "kept": len(walk.kept),
            "reduced": len(walk.reduced),
            "inlined": inlined((*(text for _, text in statements), *(problem.post if final else ())), self.traits),
        }
        constants = {"LANES": params.lanes} if walk.inner_reduced else {"RUN": params.run}
        header = names(constants, PIECE=PIECE, **COMBINE[problem.combine])
        group = (self.traits.group(64), 1, 1)
        source = KernelSource("reduce_strided", "reduce_strided", header, names(arguments), group=group)
        bindings: dict[str, str | int | float] = {f"{x.name}_data": x.name for x in operands}
        bindings.update({f"{y.name}_data": y.name for y in targets})
        bindings.update(offsets)
        for x, strides in zip(operands, walk.strides, strict=True):
            bindings.update(stride_bindings(x, strides, len(walk.kept)))
        bindings.update(_loop_bindings(walk, shares))
        if final:
            bindings.update(count=float(problem.count))
        return KernelCall(source, (shares.items * shares.pieces, 1, 1), names(bindings))  # type: ignore[arg-type]


def _loop_bindings(walk: Walk, shares: Shares) -> dict[str, int]:
    out = {f"kept_extent{axis}": n for axis, n in enumerate(walk.kept) if axis}
    out.update({f"reduced_extent{axis}": n for axis, n in enumerate(walk.reduced) if axis})
    out.update(kept_count=math.prod(walk.kept), row_count=math.prod(walk.reduced), column_count=walk.columns)
    out.update(kept_per_item=shares.kept_per_item, rows_per_piece=shares.rows_per_piece, piece_count=shares.pieces)
    if walk.inner_reduced:
        return {**out, "columns_per_piece": shares.columns, "column_pieces": shares.column_pieces}
    return {**out, "columns_per_item": shares.columns, "runs": shares.runs}


def stride_bindings(operand: Access, strides: Sequence[int], kept: int) -> dict[str, int]:
    """The arguments that say how an operand is walked, whose first `kept` strides are those of the kept loops."""
    *outer, inner = strides
    out = {f"{operand.name}_kept{i}": s for i, s in enumerate(outer[:kept])}
    out.update({f"{operand.name}_reduced{i}": s for i, s in enumerate(outer[kept:])})
    return out if operand.step in ("0", "1") else {**out, operand.step: inner}
