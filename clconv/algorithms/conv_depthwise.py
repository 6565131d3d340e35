"""Depthwise convolution and its data gradient on channel-blocked tensors, one lane a channel, and convolutions whose groups of 2, 4, ...
channels lie whole in a block.

A work-item slides a register tile of `tile_w` output positions along some rows of one plane of blocks. An input vector is loaded once for
all positions and kernel columns of a row that use it; for groups of several channels its lanes are then turned within the groups, so that
each lane meets every channel of its own group and no multiply-add is spent on others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_calls import AxisCall, Roles, addresses, needed_halo, plane_calls
from clconv.algorithms.blocked_view import check_layouts, rows_per_item, why_not_blocked, why_not_rank
from clconv.algorithms.column_reads import Part, parts_of
from clconv.algorithms.register_tiles import Cut
from clconv.codegen.expressions import bounded_activation
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Blocked, Layout, Packed

# Maps come from a cache or stream through the kernel: measured with two cores of Zen 1.
BYTES_PER_SECOND = 25e9
# Kernel columns written out in a row, at most: wider kernels are cut into parts.
MOST_COLUMNS = 8
# Multiply-adds of a register tile that are written out for one kernel row, at most: more outgrow the cache of decoded instructions.
MOST_WRITTEN_OUT = 160


@dataclass(frozen=True)
class ConvDepthwiseParams:
    """A register tile of `tile_w` positions, which narrower maps cut; `rows` rows of output positions in one work-item."""

    tile_w: int
    rows: int


def turns(group: int, block: int) -> tuple[str, ...]:
    """Vector components by which lane l gets channel j of its own group, one for each j; of groups of one channel there is nothing to turn.

    >>> turns(2, 4)
    ('.s0022', '.s1133')
    """
    if group == 1:
        return ("",)
    return tuple(".s" + "".join(f"{lane // group * group + j:x}" for lane in range(block)) for j in range(group))


def why_not_lanes(problem: ConvProblem, traits: DeviceTraits) -> str | None:
    """The refusal of groups that do not lie whole in a block, as many channels in as out, or None."""
    if refusal := why_not_blocked(traits) or why_not_rank(problem.geometry.rank):
        return refusal
    groups, c, k = problem.geometry.groups, problem.channels, problem.filters
    if groups == 1:
        return "needs groups, got 1"
    if c != k:
        return f"needs as many output as input channels, got {k} and {c}"
    if traits.block % (c // groups) or c // groups == traits.block:
        return f"needs groups of which several fill a block of {traits.block} channels, got {c // groups} channels in a group"
    return None


class ConvDepthwise(Algorithm[ConvProblem]):
    """Blocked tensors with halo, and weights of all groups side by side in the lanes."""

    name = "conv_depthwise"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return "computes the forward and backward_data passes, got backward_weights"
        return why_not_lanes(problem, traits)

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvDepthwiseParams:
        return next(self.space(problem, traits))

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvDepthwiseParams]:
        rows, columns = max(plane_calls(problem), key=lambda call: call[0].count * call[1].count)
        most = max(1, min(traits.vector_registers // 2, MOST_WRITTEN_OUT // (max(1, min(columns.taps, MOST_COLUMNS)) * own(problem))))
        planes = problem.batch * -(-Roles.of(problem).outputs * problem.geometry.groups // traits.block)
        each = rows_per_item(rows.count, columns.count * traits.block, planes, traits.compute_units, least=8192)
        width = Cut.of(columns.count, most).width
        yield ConvDepthwiseParams(width, each)
        for other in dict.fromkeys((Cut.of(columns.count, max(1, most * 3 // 4)).width, Cut.of(columns.count, max(1, most // 2)).width)):
            if other != width:
                yield ConvDepthwiseParams(other, each)
        for run in dict.fromkeys((max(1, each // 2), min(rows.count, 2 * each))):
            if run != each:
                yield ConvDepthwiseParams(width, run)

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        roles, c, groups = Roles.of(problem), traits.block, problem.geometry.groups
        turned = problem.direction is Pass.BACKWARD_DATA
        out: dict[str, Layout] = {
            roles.source: Blocked(c, needed_halo(problem)),
            "w": Packed(c, own(problem), 1, groups, turned, "lanes"),
            roles.target: Blocked(c),
        }
        if problem.epilogue.residual:
            out["residual"] = Blocked(c)
        return out

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvDepthwiseParams)
        check_layouts(problem, self.wants(problem, traits, params))
        calls = plane_calls(problem)
        return Plan(tuple(kernel_call(problem, traits, params, rows, columns, i == 0) for i, (rows, columns) in enumerate(calls)))

    def stand_ins(self, call: KernelCall) -> Iterator[Plan]:
        """Tiles of other widths, of which the last in a row may overlap its neighbour; wider ones first."""
        constants, arguments, bindings = dict(call.source.constants), dict(call.source.arguments), dict(call.bindings)
        width, columns = map(int, (constants["TILE_W"], bindings["out_w"]))  # type: ignore[arg-type]
        for other in range(min(columns, 2 * width), width // 2, -1):
            if other != width:
                parts = _parts(other, constants, bool(arguments["looped"])) if arguments["parts"] else ()
                source = replace(
                    call.source, constants=names({**constants, "TILE_W": other}), arguments=names(arguments, tile_w=other, parts=parts)
                )
                yield Plan((replace(call, source=source),))

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        return seconds_in_lanes(problem, traits)


def seconds_in_lanes(problem: ConvProblem, traits: DeviceTraits) -> float:
    """Few sums for what is read: with one channel a group memory matters as much as arithmetic, with more the turning of lanes does."""
    lanes_used = problem.channels / (-(-problem.channels // traits.block))
    rate = (1.8e9 if own(problem) == 1 else 1.3e9) * lanes_used * traits.compute_units
    return max(problem.multiply_adds / rate, problem.bytes_moved / BYTES_PER_SECOND) + 5e-6


def own(problem: ConvProblem) -> int:
    """Channels in a group."""
    return problem.channels // problem.geometry.groups


def kernel_call(
    problem: ConvProblem, traits: DeviceTraits, params: ConvDepthwiseParams, rows: AxisCall, columns: AxisCall, halo: bool
) -> KernelCall:
    """One launch: the positions of `rows` x `columns`; `halo` says that it also zeroes the halo of the target."""
    c = traits.block
    tile_w = Cut.of(columns.count, params.tile_w).width
    each = min(params.rows, rows.count)
    bindings: dict[str, str | int | float] = {"x": Roles.of(problem).source, "w": "w", "y": Roles.of(problem).target}
    bindings |= addresses(problem, rows, columns, 1, halo)
    kernel_w = problem.geometry.kernel[-1]
    bindings["w_offset"] = (rows.tap0 * kernel_w + columns.tap0) * own(problem) * c
    bindings |= {"channels": problem.channels, "out_h": rows.count, "out_w": columns.count, "rows_per_item": each}
    source = kernel_source(problem, traits, replace(params, tile_w=tile_w), rows, columns)
    items = (-(-rows.count // each), -(-problem.channels // c), problem.batch)
    return KernelCall(source, items, tuple(sorted(bindings.items())))


def kernel_source(
    problem: ConvProblem, traits: DeviceTraits, params: ConvDepthwiseParams, rows: AxisCall, columns: AxisCall
) -> KernelSource:
    """What of the call is in the code: everything but sizes, positions and channel counts."""
    kernel = (1, *problem.geometry.kernel)[-2:]
    empty = not rows.taps or not columns.taps
    constants: dict[str, int | str] = {"BLOCK": traits.block, "TILE_W": params.tile_w, "GROUP": own(problem)}
    for name, axis, size in (("H", rows, kernel[0]), ("W", columns, kernel[1])):
        shape = {"KERNEL": size, "TAPS": axis.taps, "STEP": axis.step, "TAP_STEP": axis.tap_step, "READ_STRIDE": axis.read_stride}
        constants |= {f"{key}_{name}": 1 if empty else value for key, value in shape.items()}
        constants[f"OUT_STRIDE_{name}"] = axis.out_stride
    constants |= bounded_activation(problem.epilogue.activation)[0]
    # Turned vectors are used once each: written out for several columns they and the weights would only crowd the registers.
    looped = own(problem) > 1
    arguments = {
        "block": traits.block, "tile_w": params.tile_w, "turns": turns(own(problem), traits.block),
        "parts": () if empty else _parts(params.tile_w, constants, looped), "looped": looped,
    }  # fmt: skip
    return KernelSource("conv_depthwise", "conv_depthwise", names(constants), names(arguments), problem.dtype)


def _parts(tile_w: int, constants: Mapping[str, Any], looped: bool) -> tuple[Part, ...]:
    """The kernel columns in runs, for a tile of that width."""
    taps, step, read_stride = (int(constants[name]) for name in ("TAPS_W", "STEP_W", "READ_STRIDE_W"))
    return parts_of(1 if looped else taps, step, read_stride, tile_w, MOST_COLUMNS)
