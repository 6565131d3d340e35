"""Element-wise maps on channel-blocked tensors, with per-channel and other small operands in the plain layout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import (
    bindings,
    check_layouts,
    full_operands,
    halo,
    prefixed,
    row_strides,
    rows_of,
    rows_per_item,
    small_operands,
    small_strides,
    why_not_blocked,
    why_not_operands,
)
from clconv.algorithms.strides import Target, declared, inlined
from clconv.codegen.plan import KernelCall, KernelSource, Plan, Scalar, names
from clconv.device import DeviceTraits
from clconv.problem import MapProblem
from clconv.tensor import Blocked, Layout


@dataclass(frozen=True)
class MapBlockedParams:
    """`rows`: rows of a plane in one work-item."""

    rows: int


class MapBlocked(Algorithm[MapProblem]):
    """Operands of the full shape and outputs are blocked; those with one value for a channel or an image are plain."""

    name = "map_blocked"
    takes = MapProblem

    def why_not(self, problem: MapProblem, traits: DeviceTraits) -> str | None:
        if "int32" in problem.dtypes:
            return "needs float outputs, got int32"
        return why_not_blocked(traits) or why_not_operands(problem.shape, problem.operands)

    def defaults(self, problem: MapProblem, traits: DeviceTraits) -> MapBlockedParams:
        rows, width = rows_of(problem, problem.shape[2:])
        planes = problem.shape[0] * -(-problem.shape[1] // traits.block)
        return MapBlockedParams(rows_per_item(rows, width * traits.block, planes, traits.compute_units))

    def space(self, problem: MapProblem, traits: DeviceTraits) -> Iterator[MapBlockedParams]:
        first = self.defaults(problem, traits)
        yield first
        for rows in dict.fromkeys((max(1, first.rows // 4), min(rows_of(problem, problem.shape[2:])[0], first.rows * 4))):
            if rows != first.rows:
                yield MapBlockedParams(rows)

    def wants(self, problem: MapProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        full = [operand.name for operand in full_operands(problem.shape, problem.operands)]
        return dict.fromkeys((*full, *problem.outputs), Blocked(traits.block))

    def plan(self, problem: MapProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, MapBlockedParams)
        check_layouts(problem, self.wants(problem, traits, params))
        batch, channels, *size = problem.shape
        rows, width = rows_of(problem, problem.shape[2:])
        full, small = (pick(problem.shape, problem.operands) for pick in (full_operands, small_operands))
        numbers = {"channels": channels, "positions": math.prod(size), "row_count": rows, "width": width, "rows_per_item": params.rows}
        for name in (*(x.name for x in full), *problem.outputs):
            numbers |= prefixed(name, row_strides(problem.spec(name), width), ("column",))
        for name in problem.outputs:
            numbers |= prefixed(name, halo(problem.spec(name)))
        for x in small:
            numbers |= prefixed(x.name, small_strides(problem.spec(x.name), len(problem.shape)))
        operands = {f"{name}_data": name for name in problem.tensors()}
        scalars = {name: Scalar(name) for name, _ in problem.scalars}
        items = (-(-rows // params.rows), -(-channels // traits.block), batch)
        return Plan((KernelCall(self.source(problem, traits), items, bindings(operands, numbers, scalars)),))

    def source(self, problem: MapProblem, traits: DeviceTraits) -> KernelSource:
        outputs = tuple(Target(name, dtype) for name, dtype in zip(problem.outputs, problem.dtypes, strict=True))
        arguments = names(
            full=tuple(full_operands(problem.shape, problem.operands)),
            small=tuple(small_operands(problem.shape, problem.operands)),
            outputs=outputs,
            statements=declared(problem.statements, outputs),
            scalars=problem.scalars,
            uses_index=problem.uses_index,
            random_word=any("random_word" in value for _, value in problem.statements),
            inlined=inlined((text for _, text in problem.statements), traits),
        )
        return KernelSource(self.name, "map_blocked", names(BLOCK=traits.block), arguments)

    def rate(self, problem: MapProblem, traits: DeviceTraits) -> float:
        return 0.5e9 * traits.block
