"""From and to the channel-blocked layout, and between halos and channel slices of it, on CPU devices: a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import FLAT_ROW, Operand, bindings, halo, prefixed, rows_per_item, strides, two_sizes, why_not_blocked
from clconv.algorithms.strides import VALUE_TYPES, Target, unaligned_moves
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.tensor import Blocked, Layout, Packed, TensorSpec


@dataclass(frozen=True)
class ReorderBlockedParams:
    """`rows`: rows of a plane in one work-item."""

    rows: int


def block_of(layout: Layout) -> int:
    """Channels in a block; 1 for layouts that have none."""
    return layout.block if isinstance(layout, Blocked) else 1


def contiguous_plane(spec: TensorSpec) -> bool:
    """Whether the positions of a plane lie at one distance from each other, from row to row too."""
    view = strides(spec)
    _, _, height, width = spec.planes
    return not any(halo(spec).values()) and (height == 1 or view["row"] == width * view["column"])


class ReorderBlocked(Algorithm[ReorderProblem]):
    """Plain or strided to blocked and back, and blocked to blocked. The layouts are the request, so `why_not` looks at them."""

    name = "reorder_blocked"
    takes = ReorderProblem

    def why_not(self, problem: ReorderProblem, traits: DeviceTraits) -> str | None:
        given = (problem.layout("x"), problem.layout("y"))
        if len(problem.shape) not in (3, 4):
            return f"needs a shape of N, C and one or two spatial axes, got {problem.shape}"
        if any(isinstance(layout, Packed) for layout in given):
            return f"moves activations, got {given[0]} -> {given[1]}"
        if not any(isinstance(layout, Blocked) for layout in given):
            return f"needs a channel-blocked side, got {given[0]} -> {given[1]}"
        blocks = tuple(block_of(layout) for layout in given)
        if blocks[0] != blocks[1] and 1 not in blocks:
            return f"needs equal blocks or one of 1 channel, got {blocks[0]} and {blocks[1]}"
        if (problem.dtype == "int32") != (problem.out_dtype == "int32"):
            return f"converts between float types, got {problem.dtype} to {problem.out_dtype}"
        return why_not_blocked(traits)

    def rows(self, problem: ReorderProblem) -> tuple[int, int]:
        """(rows, positions in a row) that the kernel walks: a plane without gaps on both sides is cut into rows of FLAT_ROW."""
        height, width = two_sizes(problem.shape[2:])
        if not (contiguous_plane(problem.spec("x")) and contiguous_plane(problem.spec("y"))):
            return height, width
        row = max(1, min(FLAT_ROW, height * width))
        return -(-height * width // row), row

    def defaults(self, problem: ReorderProblem, traits: DeviceTraits) -> ReorderBlockedParams:
        rows, width = self.rows(problem)
        block = self.block(problem)
        planes = problem.shape[0] * -(-problem.shape[1] // block)
        return ReorderBlockedParams(rows_per_item(rows, width * block, planes, traits.compute_units))

    def space(self, problem: ReorderProblem, traits: DeviceTraits) -> Iterator[ReorderBlockedParams]:
        first = self.defaults(problem, traits)
        yield first
        for rows in dict.fromkeys((max(1, first.rows // 4), min(self.rows(problem)[0], first.rows * 4))):
            if rows != first.rows:
                yield ReorderBlockedParams(rows)

    def block(self, problem: ReorderProblem) -> int:
        return max(block_of(problem.layout("x")), block_of(problem.layout("y")))

    def wants(self, problem: ReorderProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        return dict(problem.layouts)

    def plan(self, problem: ReorderProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ReorderBlockedParams)
        for name in ("x", "y"):
            problem.spec(name).check_addressable(str(problem))
        batch, channels, *size = problem.shape
        rows, width = self.rows(problem)
        block = self.block(problem)
        numbers = {"channels": channels, "positions": math.prod(size), "row_count": rows, "width": width, "rows_per_item": params.rows}
        for name in ("x", "y"):
            view = strides(problem.spec(name))
            numbers |= prefixed(name, view if width == size[-1] else view | {"row": width * view["column"]})
        numbers |= prefixed("y", halo(problem.spec("y")))
        items = (-(-rows // params.rows), -(-channels // block), batch)
        return Plan((KernelCall(self.source(problem), items, bindings({"x_data": "x", "y_data": "y"}, numbers)),))

    def source(self, problem: ReorderProblem) -> KernelSource:
        x, y = block_of(problem.layout("x")), block_of(problem.layout("y"))
        steps = {
            f"{name.upper()}_STEP": "1" if block > 1 or strides(problem.spec(name))["column"] == 1 else f"{name}_column"
            for name, block in (("x", x), ("y", y))
        }
        source = problem.spec("x")
        gathers_floats = x == 1 < y and (problem.dtype, problem.out_dtype) == ("float32", "float32")
        transposed = gathers_floats and strides(source)["column"] == 1 and contiguous_plane(source)
        arguments = names(
            mode="rows" if x == y else "gather" if x == 1 else "scatter",
            x=Operand("x", problem.dtype),
            y=Target("y", problem.out_dtype),
            value=VALUE_TYPES[problem.out_dtype],
            block=max(x, y),
            transposed=transposed,
        )
        moves = unaligned_moves("float32", y) if transposed else {}
        return KernelSource(self.name, "reorder_blocked", names(steps | moves, BLOCK=max(x, y)), arguments)

    def rate(self, problem: ReorderProblem, traits: DeviceTraits) -> float:
        return 0.5e9 * traits.block
