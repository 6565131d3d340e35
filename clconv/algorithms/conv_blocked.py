"""Convolution and its data gradient on channel-blocked tensors, in register tiles: the fast kernel of CPU devices.

A work-item keeps the sums of `tile_h` x `tile_w` output positions times `tile_k` blocks of output channels in vector registers. Forward
and data gradient share one kernel: a forward pass is one call, a data gradient one dense call for each residue of the positions modulo the
stride.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from clconv.algorithms.base import Algorithm
from clconv.algorithms.register_tiles import Cut, Map, Tile, ranked_tiles
from clconv.codegen.expressions import bounded_activation
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.geometry import ConvGeometry
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Blocked, Layout, Packed, TensorSpec, input_blocks

Halo = tuple[tuple[int, int], tuple[int, int]]

# Inputs of so few channels are read plain: a block would be mostly padding.
FEW_CHANNELS = 4
# Work-items per compute unit: few enough to share weights between tiles, enough to spread evenly.
ITEMS_PER_UNIT = 64


@dataclass(frozen=True)
class ConvBlockedParams:
    """A register tile of `tile_h` x `tile_w` positions by `tile_k` channel blocks; `unroll` input channels are written out in a row.

    Maps smaller than the tile cut it; weights that are packed already decide over `tile_k`.
    """

    tile_h: int
    tile_w: int
    tile_k: int
    unroll: int


@dataclass(frozen=True)
class AxisCall:
    """One axis of one call: output number j < `count` lies at `first` + j * `out_stride` and sums, for t < `taps`, the input at
    `offset` + j * `read_stride` + t * `step` times the stored weights of tap `tap0` + t * `tap_step`."""

    first: int = 0
    count: int = 1
    out_stride: int = 1
    read_stride: int = 1
    offset: int = 0
    taps: int = 1
    step: int = 1
    tap0: int = 0
    tap_step: int = 1

    def __post_init__(self) -> None:
        if self.taps == 1:  # steps that are never taken must not make another kernel
            object.__setattr__(self, "step", 1)
            object.__setattr__(self, "tap_step", 1)

    def reach(self, size: int) -> tuple[int, int]:
        """How far the call reads before and behind an input of `size`."""
        if not self.taps:
            return 0, 0
        last = self.offset + (self.count - 1) * self.read_stride + (self.taps - 1) * self.step
        return max(0, -self.offset), max(0, last + 1 - size)


def axis_calls(problem: ConvProblem, axis: int) -> tuple[AxisCall, ...]:
    """The calls along `axis`: one of a forward pass, one for each phase with outputs of a data gradient.

    The weights of a data gradient are stored turned, so that its taps are walked backwards: stored tap r' is r = kernel - 1 - r', and the
    gradient is read in ascending order.
    """
    g: ConvGeometry = problem.geometry
    if problem.direction is Pass.FORWARD:
        count = problem.output_size[axis]
        return (AxisCall(0, count, 1, g.stride[axis], -g.padding[axis][0], g.kernel[axis], g.dilation[axis]),)
    calls = []
    for phase in g.phases(axis):
        count = -(-(problem.size[axis] - phase.first) // g.stride[axis])
        if count < 1:
            continue
        call = AxisCall(phase.first, count, g.stride[axis], taps=0)
        if phase.taps:
            last = phase.taps - 1
            call = replace(
                call, offset=phase.offset + last * phase.step, taps=phase.taps, step=-phase.step,
                tap0=g.kernel[axis] - 1 - phase.tap0 - last * phase.tap_step, tap_step=phase.tap_step,
            )  # fmt: skip
        calls.append(call)
    return tuple(calls)


def plane_calls(problem: ConvProblem) -> tuple[tuple[AxisCall, AxisCall], ...]:
    """The calls of the whole pass as (rows, columns); one spatial axis counts as one row."""
    rank = problem.geometry.rank
    rows = axis_calls(problem, 0) if rank == 2 else (AxisCall(),)
    return tuple(product(rows, axis_calls(problem, rank - 1)))


@dataclass(frozen=True)
class Roles:
    """The operands by what they do, whatever the pass: `source` is read, `target` written; channels are those of one group."""

    source: str
    target: str
    inputs: int
    outputs: int

    @classmethod
    def of(cls, problem: ConvProblem) -> Roles:
        c, k = problem.channels // problem.geometry.groups, problem.filters // problem.geometry.groups
        return cls("x", "y", c, k) if problem.direction is Pass.FORWARD else cls("dy", "dx", k, c)


def share_blocks(problem: ConvProblem, traits: DeviceTraits) -> bool:
    """Whether some block holds channels of several groups: its weights are then zero where the groups differ."""
    roles = Roles.of(problem)
    return problem.geometry.groups > 1 and bool(roles.inputs % traits.block or roles.outputs % traits.block)


def useful_share(problem: ConvProblem, traits: DeviceTraits, tile_k: int) -> float:
    """The share of multiply-adds that are not with weights of zero for other groups, in tiles of `tile_k` blocks."""
    roles, groups, c = Roles.of(problem), problem.geometry.groups, traits.block
    if not share_blocks(problem, traits):
        return 1.0
    touched = input_blocks(groups, roles.inputs, roles.outputs, c, tile_k * c)
    return groups * roles.outputs * roles.inputs / (sum(touched) * c * c * tile_k)


def needed_halo(problem: ConvProblem) -> Halo:
    """Zeros that the pass reads around the planes of its source."""
    _, _, height, width = problem.tensors()[Roles.of(problem).source].planes
    calls = plane_calls(problem)
    ends = []
    for axis, size in enumerate((height, width)):
        reaches = [call[axis].reach(size) for call in calls]
        ends.append((max(begin for begin, _ in reaches), max(end for _, end in reaches)))
    return ends[0], ends[1]


def covers(halo: Halo, needed: Halo) -> bool:
    """Whether `halo` is at least `needed` on every side."""
    return all(have >= need for sides, needs in zip(halo, needed, strict=True) for have, need in zip(sides, needs, strict=True))


def check_layouts(problem: ConvProblem, traits: DeviceTraits) -> None:
    """UnsupportedError, with both layouts named, where an operand is not stored as this kernel reads or writes it."""
    roles, c = Roles.of(problem), traits.block
    check_maps(problem, traits, (1, c), needed_halo(problem))
    source, packed = problem.layout(roles.source), problem.layout("w")
    assert isinstance(source, Blocked)
    turned = problem.direction is Pass.BACKWARD_DATA
    tile = packed.tile if isinstance(packed, Packed) else 1
    wanted = Packed(c, source.block, tile, problem.geometry.groups, turned, "blocks" if share_blocks(problem, traits) else "")
    if packed != wanted:
        raise UnsupportedError(f"{problem}: w must be {wanted} in {wanted.groups} groups, got {packed}; pack it first")


def check_maps(problem: ConvProblem, traits: DeviceTraits, blocks: tuple[int, ...], halo: Halo) -> None:
    """The part of `check_layouts` about all operands but the weights; the source may have any of `blocks`, and `halo` at least."""
    roles, c = Roles.of(problem), traits.block
    source = problem.layout(roles.source)
    if not isinstance(source, Blocked) or source.block not in blocks or not covers(source.halo, halo):
        least = Blocked(c, halo)
        other = " (or blocked 1)" if 1 in blocks else ""
        raise UnsupportedError(f"{problem}: {roles.source} must be {least} at least{other}, got {source}; reorder it first")
    for name in (roles.target, *(["residual"] if problem.epilogue.residual else [])):
        layout = problem.layout(name)
        if not isinstance(layout, Blocked) or layout.block != c:
            raise UnsupportedError(f"{problem}: {name} must be blocked {c}, got {layout}; reorder it first")


@dataclass(frozen=True)
class Steps:
    """Distances in the buffer of a blocked tensor, in elements; `origin` is where channel 0 of the map's first position lies."""

    image: int
    plane: int
    row: int
    origin: int
    column: int

    @classmethod
    def of(cls, spec: TensorSpec) -> Steps:
        assert isinstance(spec.layout, Blocked)
        rows, columns = spec.padded_plane
        (top, _), (left, _) = spec.layout.halo
        row = columns * spec.layout.block
        plane = rows * row
        origin = spec.layout.first * plane + top * row + left * spec.layout.block
        return cls(spec.blocks_in_buffer * plane, plane, row, origin, spec.layout.block)

    def at(self, row: int, column: int) -> int:
        return self.origin + row * self.row + column * self.column


def can_flatten(problem: ConvProblem, rows: AxisCall, columns: AxisCall) -> bool:
    """Whether all positions lie in one run: a 1 x 1 kernel that neither skips nor pads, on tensors without halo."""
    maps = [layout for name, layout in problem.layouts if name != "w"]
    dense = all(a.taps == 1 and a.read_stride == a.out_stride == 1 and a.offset == 0 for a in (rows, columns))
    same = problem.size == problem.output_size
    return dense and same and all(isinstance(m, Blocked) and m.halo == ((0, 0), (0, 0)) for m in maps)


def kernel_call(
    problem: ConvProblem, traits: DeviceTraits, params: ConvBlockedParams, rows: AxisCall, columns: AxisCall, halo: bool
) -> KernelCall:
    """One launch: the positions of `rows` x `columns`; `halo` says that it also zeroes the halo of the target."""
    roles, geometry = Roles.of(problem), problem.geometry
    tile_h, tile_w = params.tile_h, params.tile_w
    if can_flatten(problem, rows, columns):
        rows, columns = AxisCall(), replace(columns, count=rows.count * columns.count)
        tile_h, tile_w = 1, tile_h * tile_w
    tile_h, cut = min(tile_h, rows.count), Cut.of(columns.count, tile_w)
    tiles = -(-rows.count // tile_h) * cut.tiles
    run, joint = params.tile_k * traits.block, share_blocks(problem, traits)
    channel_tiles = -(-geometry.groups * roles.outputs // run) if joint else geometry.groups * -(-roles.outputs // run)
    per_item = max(1, min(tiles, tiles * channel_tiles * problem.batch // (ITEMS_PER_UNIT * traits.compute_units)))
    bindings: dict[str, str | int | float] = {"x": roles.source, "w": "w", "y": roles.target}
    bindings |= addresses(problem, rows, columns, params.tile_k, halo)
    bindings |= {"channels": roles.inputs, "filters": roles.outputs, "out_h": rows.count}
    if joint:
        across = max(input_blocks(geometry.groups, roles.inputs, roles.outputs, traits.block, run))
        bindings |= {"channels": across * traits.block, "filters": geometry.groups * roles.outputs}
        bindings |= {"group_channels": roles.inputs, "group_filters": roles.outputs}
    # Tiles that are all narrower than asked for are the narrow ones of the next width, which others may share.
    width, wide = (cut.width + 1, 0) if cut.wide == cut.tiles and cut.width < max(2, tile_w) else (cut.width, cut.wide)
    bindings |= {"tiles_in_row": cut.tiles, "wide": wide, "tiles": tiles, "tiles_per_item": per_item}
    source = kernel_source(problem, traits, replace(params, tile_h=tile_h, tile_w=width), rows, columns)
    items = (-(-tiles // per_item), channel_tiles, problem.batch)
    return KernelCall(source, items, tuple(sorted(bindings.items())))


def addresses(problem: ConvProblem, rows: AxisCall, columns: AxisCall, tile_k: int, halo: bool) -> dict[str, str | int | float]:
    """The arguments that say where things lie in their buffers."""
    x = Steps.of(problem.spec(Roles.of(problem).source))
    out = target_addresses(problem, rows.first, columns.first, halo)
    empty = not rows.taps or not columns.taps
    out |= {"x_image": x.image, "x_plane": x.plane, "x_row": x.row, "x_offset": 0 if empty else x.at(rows.offset, columns.offset)}
    target = problem.layout(Roles.of(problem).target)
    assert isinstance(target, Blocked)
    out["w_offset"] = (rows.tap0 * problem.geometry.kernel[-1] + columns.tap0) * x.column * tile_k * target.block
    return out


def target_addresses(problem: ConvProblem, row: int, column: int, halo: bool = True) -> dict[str, str | int | float]:
    """The part of `addresses` about the target from position (`row`, `column`) on, its halo and its epilogue."""
    target = problem.spec(Roles.of(problem).target)
    assert isinstance(target.layout, Blocked)
    y = Steps.of(target)
    padded_rows, padded_columns = target.padded_plane
    (top, _), (left, _) = target.layout.halo
    _, _, height, width = target.planes
    out: dict[str, str | int | float] = {
        "y_image": y.image, "y_plane": y.plane, "y_row": y.row, "y_offset": y.at(row, column),
        "writes_halo": int(halo and target.layout.halo != ((0, 0), (0, 0))), "y_first": target.layout.first * y.plane,
        "y_rows": padded_rows, "y_columns": padded_columns, "y_top": top, "y_left": left, "y_h": height, "y_w": width,
    }  # fmt: skip
    return out | epilogue(problem, row, column)


def epilogue(problem: ConvProblem, row: int, column: int) -> dict[str, str | int | float]:
    """The arguments for bias, residual and activation; where there is none of them, another operand stands in, which is not read."""
    fused, stand_in = problem.epilogue, Roles.of(problem).source
    more = Steps.of(problem.spec("residual" if fused.residual else stand_in))
    return {
        "has_bias": int(fused.bias), "bias": "bias" if fused.bias else stand_in,
        "has_residual": int(fused.residual), "residual": "residual" if fused.residual else stand_in,
        "residual_image": more.image, "residual_plane": more.plane, "residual_row": more.row, "residual_offset": more.at(row, column),
        "low": bounded_activation(fused.activation)[1],
    }  # fmt: skip


def kernel_source(
    problem: ConvProblem, traits: DeviceTraits, tile: ConvBlockedParams, rows: AxisCall, columns: AxisCall
) -> KernelSource:
    """What of the call is in the code: everything but sizes, positions and channel counts."""
    layout = problem.layout(Roles.of(problem).source)
    assert isinstance(layout, Blocked)
    kernel = (1, *problem.geometry.kernel)[-2:]
    empty = not rows.taps or not columns.taps
    constants: dict[str, int | str] = {"BLOCK": traits.block, "BLOCK_IN": layout.block, "UNROLL": tile.unroll}
    constants |= {"TILE_H": tile.tile_h, "TILE_W": tile.tile_w, "TILE_K": tile.tile_k, "STEP_WEIGHTS": tile.tile_k * traits.block}
    for name, axis, size in (("H", rows, kernel[0]), ("W", columns, kernel[1])):
        shape = {"KERNEL": size, "TAPS": axis.taps, "STEP": axis.step, "TAP_STEP": axis.tap_step, "READ_STRIDE": axis.read_stride}
        constants |= {f"{key}_{name}": 1 if empty else value for key, value in shape.items()}
        constants[f"OUT_STRIDE_{name}"] = axis.out_stride
    constants |= bounded_activation(problem.epilogue.activation)[0]
    joint = share_blocks(problem, traits)
    arguments = {
        "block": traits.block, "tile_h": tile.tile_h, "tile_w": tile.tile_w, "tile_k": tile.tile_k, "empty": empty, "joint": joint,
        "blocked_input": layout.block > 1, "tail": Roles.of(problem).inputs % layout.block > 0 and not joint,
        # Measured on Zen 1: 1 x 1 maps of 256 and more channels from .75 to .95 of the peak, 3 x 3 a little; of no use to other strides.
        "prefetch": layout.block > 1 and not empty and columns.read_stride == 1,
    }  # fmt: skip
    return KernelSource("conv_blocked", "conv_blocked", names(constants), names(arguments), problem.dtype)


def ranked(problem: ConvProblem, traits: DeviceTraits) -> tuple[Tile, ...]:
    """Register tiles for the calls of `problem`, best first. A 1 x 1 kernel counts by rows, though it may come to run over whole planes."""
    maps = tuple(Map(rows.count, columns.count, rows.taps * columns.taps) for rows, columns in plane_calls(problem))
    registers = traits.vector_registers
    if reads_plain(problem):
        # The loop over the kernel's columns is written out whole and keeps more values alive: 6 x 2 reaches .80 of the peak, 4 x 2 .90.
        registers = registers * 3 // 4
    outputs = Roles.of(problem).outputs
    if share_blocks(problem, traits):
        tiles = ranked_tiles(maps, -(-problem.geometry.groups * outputs // traits.block), registers)
        return tuple(sorted(tiles, key=lambda t: -t.score * useful_share(problem, traits, t.blocks)))
    return ranked_tiles(maps, -(-outputs // traits.block), registers)


def reads_plain(problem: ConvProblem) -> bool:
    """Whether the source has too few channels for a block to be worth it."""
    return problem.geometry.groups == 1 and Roles.of(problem).inputs <= FEW_CHANNELS


class ConvBlocked(Algorithm[ConvProblem]):
    """Direct convolution in register tiles; wants blocked tensors with halo and packed weights.

    Groups that share blocks are multiplied by weights of zero where they meet: a NaN or infinity of one shows in its neighbours.
    """

    name = "conv_blocked"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        g = problem.geometry
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return "computes the forward and backward_data passes, got backward_weights"
        if not traits.is_cpu or traits.simd_width < 4:
            return f"needs a CPU device with vectors of at least 4 floats, got {traits.label} with {traits.simd_width}"
        if g.rank > 2:
            return f"needs 1 or 2 spatial axes, got {g.rank}"
        if problem.depthwise:
            return f"a depthwise convolution has one channel a group ({g.groups} groups), which leaves vectors empty"
        return None

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvBlockedParams:
        return next(self.space(problem, traits))

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvBlockedParams]:
        best = ranked(problem, traits)
        for tile in best[:7]:
            yield ConvBlockedParams(tile.rows, tile.columns, tile.blocks, traits.block)
        yield ConvBlockedParams(best[0].rows, best[0].columns, best[0].blocks, traits.block // 2)

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        assert isinstance(params, ConvBlockedParams)
        roles, c, groups = Roles.of(problem), traits.block, problem.geometry.groups
        block_in = 1 if reads_plain(problem) else c
        joint: Literal["", "blocks"] = "blocks" if share_blocks(problem, traits) else ""
        turned = problem.direction is Pass.BACKWARD_DATA
        out: dict[str, Layout] = {
            roles.source: Blocked(block_in, needed_halo(problem)),
            "w": Packed(c, block_in, params.tile_k, groups, turned, joint),
            roles.target: Blocked(c),
        }
        if problem.epilogue.residual:
            out["residual"] = Blocked(c)
        return out

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvBlockedParams)
        for name in problem.tensors():
            problem.spec(name).check_addressable(str(problem))
        check_layouts(problem, traits)
        packed = problem.spec("w").layout
        assert isinstance(packed, Packed)
        params = replace(params, tile_k=packed.tile)
        calls = plane_calls(problem)
        return Plan(tuple(kernel_call(problem, traits, params, rows, columns, i == 0) for i, (rows, columns) in enumerate(calls)))

    def stand_ins(self, call: KernelCall) -> Iterator[Plan]:
        """Where all tiles are of one width: the other kernel that has it, as that of its wide or of its narrow tiles."""
        constants, bindings = dict(call.source.constants), dict(call.bindings)
        width, wide, tiles = map(int, (constants["TILE_W"], bindings["wide"], bindings["tiles_in_row"]))  # type: ignore[arg-type]
        if 0 < wide < tiles or (not wide and width < 3):
            return
        width, wide = (width - 1, tiles) if not wide else (width + 1, 0)
        arguments = names(dict(call.source.arguments), tile_w=width)
        source = replace(call.source, constants=names(constants, TILE_W=width), arguments=arguments)
        yield Plan((replace(call, source=source, bindings=tuple(sorted({**bindings, "wide": wide}.items()))),))

    def rate(self, problem: ConvProblem, traits: DeviceTraits) -> float:
        outputs, best = Roles.of(problem).outputs, ranked(problem, traits)[0]
        lanes_used = outputs / (-(-outputs // traits.block) * traits.block)
        if share_blocks(problem, traits):
            lanes_used = useful_share(problem, traits, best.blocks)
        return 2.5e9 * traits.simd_width * lanes_used * best.score
