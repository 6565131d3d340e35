"""Copies between plain and strided layouts, and between element types."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.strides import Nest, access, check_addressable, element_strides, pieces, stride_bindings
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.tensor import Plain, Strided

OUTER_LOOPS = 3
"""Outer loops that a kernel has at least, so that other sizes need no other kernel."""


@dataclass(frozen=True)
class ReorderStridedParams:
    """`chunk`: elements of one work-item, about. A transpose goes by tiles of `tile_rows` runs of `tile_columns` elements of y;
    a `tile_columns` of 0 leaves tiles out."""

    chunk: int
    tile_rows: int
    tile_columns: int


class ReorderStrided(Algorithm[ReorderProblem]):
    """The innermost loop is the one y has its smallest stride in; where x has its own in another loop, small tiles of both."""

    name = "reorder_strided"
    takes = ReorderProblem

    def why_not(self, problem: ReorderProblem, traits: DeviceTraits) -> str | None:
        for name in ("x", "y"):
            if not isinstance(problem.layout(name), Plain | Strided):
                return f"needs plain or strided layouts, got {name} {problem.layout(name)}"
        layout = problem.layout("y")
        if isinstance(layout, Strided) and any(s < 1 and n > 1 for s, n in zip(layout.strides, problem.shape, strict=True)):
            return f"needs positive strides of y, got {layout.strides}"
        if "int32" in (problem.dtype, problem.out_dtype) and problem.dtype != problem.out_dtype:
            return f"needs one kind of numbers, got {problem.dtype} -> {problem.out_dtype}"
        return None

    def defaults(self, problem: ReorderProblem, traits: DeviceTraits) -> ReorderStridedParams:
        return ReorderStridedParams(4096, 32, 8) if traits.is_cpu else ReorderStridedParams(1, 0, 0)

    def plan(self, problem: ReorderProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ReorderStridedParams)
        check_addressable(problem)
        strides = [element_strides(problem.spec(name), problem.shape, str(problem)) for name in ("x", "y")]
        nest = Nest.make(problem.shape, strides)
        nest = nest.ordered(sorted(range(len(problem.shape)), key=lambda axis: -strides[1][axis])).coalesced()
        across = self._across(nest) if params.tile_columns else None
        if across is not None:
            inner = len(nest.extents) - 1
            nest = nest.ordered([*(i for i in range(inner) if i != across), across, inner]).padded(OUTER_LOOPS + 2)
        else:
            nest = nest.padded(OUTER_LOOPS + 1)
        return Plan((self._call(problem, traits, params, nest, across is not None),))

    def _across(self, nest: Nest) -> int | None:
        """The loop in which x has its smallest stride, if that is not the innermost and both are long enough for tiles."""
        inner = len(nest.extents) - 1
        steps = [abs(s) for s in nest.strides[0]]
        wide = [i for i in range(inner) if steps[i] < steps[inner] and nest.extents[i] >= 4]
        return min(wide, key=lambda i: steps[i]) if wide and nest.extents[inner] >= 4 else None

    def _call(self, problem: ReorderProblem, traits: DeviceTraits, params: ReorderStridedParams, nest: Nest, tiled: bool) -> KernelCall:
        loops = 2 if tiled else 1
        outer, columns = nest.extents[:-loops], nest.extents[-1]
        rows = math.prod(outer)
        x, y = (access(name, problem.spec(name), nest.strides[i][-1]) for i, name in enumerate(("x", "y")))
        bindings: dict[str, str | int] = {"x_data": "x", "y_data": "y"}
        for operand, walk in zip((x, y), nest.strides, strict=True):
            bindings.update(stride_bindings(operand, problem.spec(operand.name), walk[:-loops], walk[-1]))
        bindings.update({f"extent{axis}": n for axis, n in enumerate(outer) if axis})
        if tiled:
            bindings.update(x_across=nest.strides[0][-2], y_across=nest.strides[1][-2])
            column_chunks, chunk = pieces(columns, max(64, params.chunk // params.tile_rows), params.tile_columns)
            lines = -(-nest.extents[-2] // params.tile_rows)
            items = rows * lines * column_chunks
            bindings.update(line_count=nest.extents[-2], line_blocks=lines)
        else:
            column_chunks, chunk = pieces(columns, params.chunk, 16 if params.chunk >= 16 else 1)
            rows_per_item = max(1, params.chunk // columns)
            items = -(-rows // rows_per_item) * column_chunks
            bindings.update(row_count=rows, rows_per_item=rows_per_item)
        bindings.update(item_count=items, column_count=columns, columns_per_item=chunk, column_chunks=column_chunks)
        constants = {"TILE_ROWS": params.tile_rows, "TILE_COLUMNS": params.tile_columns} if tiled else {}
        arguments = {"x": x, "y": y, "tiled": tiled, "outer": len(outer)}
        source = KernelSource("reorder_strided", "reorder_strided", names(constants), names(arguments), group=(traits.group(64), 1, 1))
        return KernelCall(source, (items, 1, 1), names(bindings))  # type: ignore[arg-type]
