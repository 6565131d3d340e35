"""Local response normalisation (Krizhevsky et al. 2012) on channel-blocked tensors: the window of a vector of channels is sums of vectors
that are shifted across the borders of blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import (
    ZERO_RUN,
    bindings,
    check_layouts,
    halo,
    prefixed,
    row_strides,
    rows_of,
    rows_per_item,
    why_not_blocked,
)
from clconv.algorithms.lrn_direct import power_of
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import LrnProblem, Pass
from clconv.tensor import Blocked, Layout


@dataclass(frozen=True)
class LrnBlockedParams:
    """`rows`: rows of a plane in one work-item; `run`: positions whose sums it holds at once."""

    rows: int
    run: int


@dataclass(frozen=True)
class Shift:
    """What lies `by` channels further on: for each lane the (block counted from the own one, lane) that it gets."""

    by: int
    lanes: tuple[tuple[int, int], ...]


def shifts(first: int, last: int, block: int) -> tuple[Shift, ...]:
    """The shifts by `first` to `last` channels.

    >>> shifts(-1, -1, 4)[0].lanes
    ((-1, 3), (0, 0), (0, 1), (0, 2))
    """
    return tuple(Shift(by, tuple(divmod(lane + by, block) for lane in range(block))) for by in range(first, last + 1))


class LrnBlocked(Algorithm[LrnProblem]):
    """One launch forward, two backward, as lrn_direct; all operands blocked."""

    name = "lrn_blocked"
    takes = LrnProblem

    def why_not(self, problem: LrnProblem, traits: DeviceTraits) -> str | None:
        if refusal := why_not_blocked(traits):
            return refusal
        if len(problem.shape) not in (3, 4):
            return f"needs a shape of N, C and one or two spatial axes, got {problem.shape}"
        if problem.window > 2 * traits.block:
            return f"needs a window of at most {2 * traits.block} channels, got {problem.window}"
        return None

    def defaults(self, problem: LrnProblem, traits: DeviceTraits) -> LrnBlockedParams:
        rows, width = rows_of(problem, problem.shape[2:])
        planes = problem.shape[0] * -(-problem.shape[1] // traits.block)
        return LrnBlockedParams(rows_per_item(rows, width * traits.block, planes, traits.compute_units), 16)

    def wants(self, problem: LrnProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        return dict.fromkeys(problem.tensors(), Blocked(traits.block))

    def plan(self, problem: LrnProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, LrnBlockedParams)
        check_layouts(problem, self.wants(problem, traits, params))
        if problem.direction is Pass.FORWARD:
            return Plan((self._call(problem, traits, params, "lrn_blocked"),))
        batch, channels, *size = problem.shape
        nbytes = 4 * batch * -(-channels // traits.block) * math.prod(size) * traits.block
        calls = tuple(self._call(problem, traits, params, entry) for entry in ("lrn_blocked_terms", "lrn_blocked_backward"))
        return Plan(calls, (("powers", nbytes), ("terms", nbytes)))

    def _call(self, problem: LrnProblem, traits: DeviceTraits, params: LrnBlockedParams, entry: str) -> KernelCall:
        batch, channels, *size = problem.shape
        rows, width = rows_of(problem, problem.shape[2:])
        share = problem.alpha / problem.window
        buffers = {
            "lrn_blocked": ("x", "y"), "lrn_blocked_terms": ("x", "dy", "terms", "powers"),
            "lrn_blocked_backward": ("x", "dy", "terms", "powers", "dx"),
        }[entry]  # fmt: skip
        numbers: dict[str, int | float] = {"channels": channels, "positions": math.prod(size), "row_count": rows, "width": width}
        numbers["rows_per_item"] = params.rows
        for name in (name for name in buffers if name in problem.tensors()):
            numbers |= prefixed(name, row_strides(problem.spec(name), width), ("column",))
            if name in problem.outputs:
                numbers |= prefixed(name, halo(problem.spec(name)))
        if entry == "lrn_blocked_backward":
            numbers["factor"] = 2.0 * share * problem.beta
        else:
            numbers |= {"k": problem.k, "scale": share}
        blocks = -(-channels // traits.block)
        return KernelCall(
            self._source(problem, traits, params, entry),
            (-(-rows // params.rows), blocks, batch),
            bindings({name: name for name in buffers}, numbers),
        )

    def _source(self, problem: LrnProblem, traits: DeviceTraits, params: LrnBlockedParams, entry: str) -> KernelSource:
        backward = entry == "lrn_blocked_backward"
        before, behind = problem.window // 2, (problem.window - 1) // 2
        if backward:
            before, behind = behind, before
        power, inlined = power_of(problem, traits)
        constants: dict[str, int | str] = {"BLOCK": traits.block, "RUN": params.run, **ZERO_RUN}
        if not backward:
            constants["POWER(b)"] = power
        arguments = names(entry=entry, shifts=shifts(-before, behind, traits.block), inlined=() if backward else inlined)
        return KernelSource(self.name, entry, names(constants), arguments, problem.dtype)

    def rate(self, problem: LrnProblem, traits: DeviceTraits) -> float:
        return 0.2e9 * traits.block
