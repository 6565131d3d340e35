"""Element-wise maps over plain and strided operands: any view, any broadcast, several outputs in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.strides import (
    Access,
    Nest,
    Target,
    access,
    check_addressable,
    declared,
    element_strides,
    inlined,
    is_flat,
    mentions,
    pieces,
    stride_bindings,
)
from clconv.codegen.plan import KernelCall, KernelSource, Plan, Scalar, names
from clconv.device import DeviceTraits
from clconv.problem import MapProblem
from clconv.tensor import Plain

OUTER_LOOPS = 3
"""Broadcasts and views get at least this many outer loops, so that batch 1 and batch 8 run the same kernel."""


@dataclass(frozen=True)
class MapStridedParams:
    """`chunk`: elements of one work-item, at most; 1 on GPUs."""

    chunk: int


class MapStrided(Algorithm[MapProblem]):
    """A work-item computes a run of elements along the innermost loop, or several rows where that is short."""

    name = "map_strided"
    takes = MapProblem
    takes_strided = True

    def why_not(self, problem: MapProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: MapProblem, traits: DeviceTraits) -> MapStridedParams:
        return MapStridedParams(4096 if traits.is_cpu else 1)

    def plan(self, problem: MapProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, MapStridedParams)
        check_addressable(problem, problem.shape)
        for name in problem.outputs:
            assert isinstance(problem.layout(name), Plain), f"{problem}: {name} must be plain, got {problem.layout(name)}"
        inputs = [f"x{i}" for i in range(len(problem.operands))]
        strides = {name: element_strides(problem.spec(name), problem.shape, str(problem)) for name in inputs}
        strided = [name for name in inputs if not is_flat(strides[name], problem.shape)]
        if strided:
            nest = Nest.make(problem.shape, [strides[name] for name in strided]).coalesced().padded(OUTER_LOOPS + 1)
        else:
            nest = Nest.make((math.prod(problem.shape),), [])
        walks = dict(zip(strided, nest.strides, strict=True))
        operands = tuple(access(name, problem.spec(name), walks[name][-1] if name in walks else 1, name not in walks) for name in inputs)
        return Plan((self._call(problem, traits, params, nest, operands, walks),))

    def _call(
        self,
        problem: MapProblem,
        traits: DeviceTraits,
        params: MapStridedParams,
        nest: Nest,
        operands: tuple[Access, ...],
        walks: dict[str, tuple[int, ...]],
    ) -> KernelCall:
        *outer, columns = nest.extents
        rows = math.prod(outer)
        column_chunks, chunk = pieces(columns, params.chunk, 16 if params.chunk >= 16 else 1)
        rows_per_item = max(1, params.chunk // columns)
        items = -(-rows // rows_per_item) * column_chunks
        outputs = tuple(Target(name, dtype) for name, dtype in zip(problem.outputs, problem.dtypes, strict=True))
        arguments = {
            "operands": operands,
            "outputs": outputs,
            "statements": declared(problem.statements, outputs),
            "scalars": problem.scalars,
            "outer": len(outer),
            "uses_index": problem.uses_index,
            "random_word": mentions(problem.statements, "random_word"),
            "inlined": inlined((text for _, text in problem.statements), traits),
        }
        source = KernelSource("map_strided", "map_strided", arguments=names(arguments), group=(traits.group(64), 1, 1))
        bindings: dict[str, str | int | float | Scalar] = {f"{name}_data": name for name in problem.tensors()}
        bindings.update(item_count=items, column_count=columns, columns_per_item=chunk, column_chunks=column_chunks)
        if outer:
            bindings.update(row_count=rows, rows_per_item=rows_per_item)
            bindings.update({f"extent{axis}": n for axis, n in enumerate(outer) if axis})
        for operand in operands:
            walk = walks.get(operand.name, (1,))
            bindings.update(stride_bindings(operand, problem.spec(operand.name), walk[:-1], walk[-1]))
        bindings.update({name: Scalar(name) for name, _ in problem.scalars})
        return KernelCall(source, (items, 1, 1), names(bindings))  # type: ignore[arg-type]
