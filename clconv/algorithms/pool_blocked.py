"""Maximum and mean pooling on channel-blocked tensors, and their gradients: a vector of channels at a time, windows cut, never tested."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_view import (
    ZERO_INTS,
    ZERO_RUN,
    bindings,
    check_layouts,
    halo,
    prefixed,
    rows_per_item,
    strides,
    two_axes,
    two_pads,
    two_sizes,
    why_not_blocked,
    why_not_rank,
)
from clconv.algorithms.column_reads import parts_of
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import Pass, PoolProblem
from clconv.tensor import Blocked, Layout

# Neighbouring windows that share what they read, and the elements of a window up to which it is written out for them.
TILE = 4
MOST_WRITTEN_OUT = 25
# As conv_depthwise, which reads maps alike: measured 26e9 to 44e9 with two cores and AVX-512, 28 x 28 x 192 to 56 x 56 x 192.
BYTES_PER_SECOND = 25e9


@dataclass(frozen=True)
class PoolBlockedParams:
    """`rows`: rows of the written plane in one work-item."""

    rows: int


class PoolBlocked(Algorithm[PoolProblem]):
    """All operands blocked, indices too (int32 positions in the input plane). No halo is needed: padding is where the window is cut."""

    name = "pool_blocked"
    takes = PoolProblem

    def why_not(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        if problem.geometry is None:
            return f"needs windows of one size, got {problem.kind} pooling to {problem.out_size}"
        return why_not_blocked(traits) or why_not_rank(problem.geometry.rank)

    def defaults(self, problem: PoolProblem, traits: DeviceTraits) -> PoolBlockedParams:
        height, width = two_sizes(problem.output_size if problem.direction is Pass.FORWARD else problem.size)
        planes = problem.batch * -(-problem.channels // traits.block)
        return PoolBlockedParams(rows_per_item(height, width * traits.block, planes, traits.compute_units))

    def space(self, problem: PoolProblem, traits: DeviceTraits) -> Iterator[PoolBlockedParams]:
        first = self.defaults(problem, traits)
        yield first
        height, _ = two_sizes(problem.output_size if problem.direction is Pass.FORWARD else problem.size)
        for rows in dict.fromkeys((max(1, first.rows // 4), min(height, first.rows * 4))):
            if rows != first.rows:
                yield PoolBlockedParams(rows)

    def wants(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        return dict.fromkeys(problem.tensors(), Blocked(traits.block))

    def plan(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, PoolBlockedParams)
        check_layouts(problem, self.wants(problem, traits, params))
        (h, w), (p, q) = two_sizes(problem.size), two_sizes(problem.output_size)
        rows = p if problem.direction is Pass.FORWARD else h
        items = (-(-rows // params.rows), -(-problem.channels // traits.block), problem.batch)
        sizes = {"h": h, "w": w, "p_count": p, "q_count": q, "rows_per_item": params.rows}
        views: dict[str, int] = {}
        for name in problem.tensors():
            spec = problem.spec(name)
            views |= prefixed(name, strides(spec), ("column",))
            if name in problem.outputs:
                views |= prefixed(name, halo(spec))
        if "indices" in problem.outputs:
            sizes["channels"] = problem.channels
        operands = {name: name for name in problem.tensors()}
        return Plan((KernelCall(self.source(problem, traits), items, bindings(operands, views, sizes)),))

    def source(self, problem: PoolProblem, traits: DeviceTraits) -> KernelSource:
        g = problem.geometry
        assert g is not None
        kernel, stride, dilation, pads = two_axes(g.kernel), two_axes(g.stride), two_axes(g.dilation), two_pads(g.padding)
        constants: dict[str, int | str] = {"BLOCK": traits.block, "ivec": f"int{traits.block}", **ZERO_RUN, **ZERO_INTS}
        for axis, letter in enumerate("HW"):
            constants[f"KERNEL_{letter}"], constants[f"STRIDE_{letter}"] = kernel[axis], stride[axis]
            constants[f"DILATION_{letter}"] = dilation[axis]
            constants[f"PAD_{letter}"], constants[f"END_{letter}"] = pads[axis]
        forward = problem.direction is Pass.FORWARD
        divisor: int | str = problem.divisor or ("padded" if problem.count_include_pad else "inside")
        if problem.divisor is None and not g.ceil_mode and all(pair == (0, 0) for pair in g.padding):
            divisor = math.prod(kernel)
        shared = forward and not problem.with_indices and math.prod(kernel) <= MOST_WRITTEN_OUT and kernel[1] > 1
        if shared:
            constants["TILE"] = TILE
        arguments = names(
            rows=kernel[0], tile=TILE, reads=parts_of(kernel[1], dilation[1], stride[1], TILE, kernel[1])[0].reads if shared else (),
            kernel="forward" if forward else "backward", block=traits.block, kind=problem.kind,
            with_indices=problem.with_indices and forward, divisor=divisor if problem.kind == "avg" else 1,
        )
        return KernelSource(self.name, "pool_forward" if forward else "pool_backward", names(constants), arguments, problem.dtype)

    def seconds(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> float:
        rate = 0.5e9 * traits.block * traits.compute_units
        return max(problem.multiply_adds / rate, problem.bytes_moved / BYTES_PER_SECOND) + 5e-6
