"""Channel shuffle on channel-blocked tensors, on CPU devices: what stands between convolutions in groups stays in their layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import (
    ZERO_RUN,
    bindings,
    check_layouts,
    halo,
    prefixed,
    rows_per_item,
    strides,
    two_sizes,
    why_not_blocked,
    why_not_rank,
)
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ShuffleProblem
from clconv.tensor import Blocked, Layout


@dataclass(frozen=True)
class ShuffleBlockedParams:
    """`rows`: rows of a plane in one work-item."""

    rows: int


class ShuffleBlocked(Algorithm[ShuffleProblem]):
    """A vector of the result is gathered element by element: still one pass over memory instead of the three by way of plain tensors."""

    name = "shuffle_blocked"
    takes = ShuffleProblem

    def why_not(self, problem: ShuffleProblem, traits: DeviceTraits) -> str | None:
        if problem.dtype == "int32":
            return "moves floats, got int32"
        return why_not_blocked(traits) or why_not_rank(len(problem.shape) - 2)

    def defaults(self, problem: ShuffleProblem, traits: DeviceTraits) -> ShuffleBlockedParams:
        height, width = two_sizes(problem.shape[2:])
        planes = problem.shape[0] * -(-problem.shape[1] // traits.block)
        return ShuffleBlockedParams(rows_per_item(height, width * traits.block, planes, traits.compute_units))

    def wants(self, problem: ShuffleProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        return dict.fromkeys(problem.tensors(), Blocked(traits.block))

    def plan(self, problem: ShuffleProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ShuffleBlockedParams)
        check_layouts(problem, self.wants(problem, traits, params))
        batch, channels, *_ = problem.shape
        height, width = two_sizes(problem.shape[2:])
        numbers = {"channels": channels, "groups": problem.groups, "h": height, "w": width, "rows_per_item": params.rows}
        for name in ("x", "y"):
            numbers |= prefixed(name, strides(problem.spec(name)), ("column",))
        numbers |= prefixed("y", halo(problem.spec("y")))
        items = (-(-height // params.rows), -(-channels // traits.block), batch)
        constants = names(ZERO_RUN, BLOCK=traits.block)
        source = KernelSource(self.name, "shuffle_blocked", constants, names(block=traits.block), problem.dtype)
        return Plan((KernelCall(source, items, bindings({"x": "x", "y": "y"}, numbers)),))

    def rate(self, problem: ShuffleProblem, traits: DeviceTraits) -> float:
        return 0.8e9
