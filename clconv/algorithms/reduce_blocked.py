"""Sums and maxima over the planes, or over planes and batch, of channel-blocked tensors; results are plain, one for a channel.

Over planes in one launch, with the batch always in two, whatever the sizes. Same sizes, same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import (
    bindings,
    check_layouts,
    full_operands,
    prefixed,
    row_strides,
    rows_of,
    small_operands,
    small_strides,
    why_not_blocked,
    why_not_operands,
)
from clconv.algorithms.reduce_strided import COMBINE, PIECE
from clconv.algorithms.strides import Target, declared, inlined
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ReduceProblem
from clconv.tensor import Blocked, Layout


@dataclass(frozen=True)
class ReduceBlockedParams:
    """`items_per_core`: work-items for each core that a reduction with the batch is split into, all channels together."""

    items_per_core: int


class ReduceBlocked(Algorithm[ReduceProblem]):
    """Operands of the full shape are blocked; those with one value for a channel or an image, and the results, are plain."""

    name = "reduce_blocked"
    takes = ReduceProblem

    def why_not(self, problem: ReduceProblem, traits: DeviceTraits) -> str | None:
        if refusal := why_not_blocked(traits) or why_not_operands(problem.shape, problem.operands):
            return refusal
        plane = tuple(range(2, len(problem.shape)))
        if tuple(sorted(problem.axes)) not in (plane, (0, *plane)):
            return f"needs axes {plane} or {(0, *plane)}, got {problem.axes}"
        if problem.dtype == "int32":
            return "needs float outputs, got int32"
        return None

    def defaults(self, problem: ReduceProblem, traits: DeviceTraits) -> ReduceBlockedParams:
        return ReduceBlockedParams(4)

    def space(self, problem: ReduceProblem, traits: DeviceTraits) -> Iterator[ReduceBlockedParams]:
        yield self.defaults(problem, traits)
        if 0 in problem.axes:
            yield ReduceBlockedParams(1)
            yield ReduceBlockedParams(16)

    def wants(self, problem: ReduceProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        return {x.name: Blocked(traits.block) for x in full_operands(problem.shape, problem.operands)}

    def plan(self, problem: ReduceProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ReduceBlockedParams)
        check_layouts(problem, self.wants(problem, traits, params))
        batch, channels, *size = problem.shape
        blocks = -(-channels // traits.block)
        rows, width = rows_of(problem, problem.shape[2:])
        with_batch = 0 in problem.axes
        units = batch * rows
        splits = min(units, -(-params.items_per_core * traits.compute_units // blocks)) if with_batch else batch
        numbers = {"channels": channels, "positions": math.prod(size), "row_count": rows, "width": width, "units": units, "splits": splits}
        for x in full_operands(problem.shape, problem.operands):
            numbers |= prefixed(x.name, row_strides(problem.spec(x.name), width), ("column",))
        for x in small_operands(problem.shape, problem.operands):
            numbers |= prefixed(x.name, small_strides(problem.spec(x.name), len(problem.shape)))
        inputs = {f"{name}_data": name for name in problem.inputs}
        outputs: dict[str, str | float] = {f"{name}_data": name for name in problem.outputs}
        outputs["count"] = float(problem.count)
        if not with_batch:
            return Plan((KernelCall(self.rows_source(problem, traits), (blocks, splits, 1), bindings(inputs, outputs, numbers)),))
        partial = {"partial": "partial"}
        first = KernelCall(self.rows_source(problem, traits), (blocks, splits, 1), bindings(inputs, partial, numbers))
        rest = bindings(partial, outputs, {"channels": channels, "splits": splits})
        second = KernelCall(self.splits_source(problem, traits), (blocks, 1, 1), rest)
        return Plan((first, second), (("partial", 4 * splits * len(problem.post) * blocks * traits.block),))

    def rows_source(self, problem: ReduceProblem, traits: DeviceTraits) -> KernelSource:
        arguments = names(
            kernel="rows",
            post=None if 0 in problem.axes else problem.post,
            outputs=() if 0 in problem.axes else self.targets(problem),
            results=len(problem.post),
            full=tuple(full_operands(problem.shape, problem.operands)),
            small=tuple(small_operands(problem.shape, problem.operands)),
            statements=declared(problem.statements),
            inlined=inlined((*(text for _, text in problem.statements), *(() if 0 in problem.axes else problem.post)), traits),
        )
        return KernelSource(self.name, "reduce_rows", names(COMBINE[problem.combine], BLOCK=traits.block, PIECE=PIECE), arguments)

    def splits_source(self, problem: ReduceProblem, traits: DeviceTraits) -> KernelSource:
        written_out = inlined(problem.post, traits)
        arguments = names(
            kernel="splits", post=problem.post, outputs=self.targets(problem), results=len(problem.post), inlined=written_out
        )
        return KernelSource(self.name, "reduce_splits", names(COMBINE[problem.combine], BLOCK=traits.block), arguments)

    def targets(self, problem: ReduceProblem) -> tuple[Target, ...]:
        return tuple(Target(name, problem.dtype) for name in problem.outputs)

    def rate(self, problem: ReduceProblem, traits: DeviceTraits) -> float:
        return 0.5e9 * traits.block
