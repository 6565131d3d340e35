"""Convolution and its data gradient on channel-blocked tensors, in register tiles: the fast kernel of CPU devices.

A work-item keeps the sums of `tile_h` x `tile_w` output positions times `tile_k` blocks of output channels in vector registers. Forward
and data gradient share one kernel: a forward pass is one call, a data gradient one dense call for each residue of the positions modulo the
stride.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_calls import AxisCall, Roles, addresses, check_maps, is_dense, needed_halo, plane_calls
from clconv.algorithms.conv_direct import vector_macros
from clconv.algorithms.register_tiles import MOST_BLOCKS, Cut, Map, Tile, inner_loop, ranked_tiles, widest
from clconv.codegen.expressions import bounded_activation
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass
from clconv.tensor import PLAIN, Blocked, Layout, Packed, input_blocks

# Inputs of so few channels are read plain: a block would be mostly padding.
FEW_CHANNELS = 4
# Work-items per compute unit: few enough to share weights between tiles, enough to spread evenly; and the multiply-adds of a lane squared
# from which on an item is worth its start, or else there are fewer of them.
ITEMS_PER_UNIT, FEW_ITEMS_PER_UNIT = 64, 8
WORTHWHILE = 1200
LINE_BYTES = 64
CHUNK_MACROS = ("READ(p)", "READ_LANES(p)", "WRITE_LANES(v, p)")
# Sums of a work-item that wait for the next chunk of weights, and the bytes of such a chunk: both stay in caches close by.
PARTIAL_SUMS = 8192
CHUNK_BYTES = 10240
CHUNKED_ITEMS_PER_UNIT = 4
WIDEST_TILE = 30
# Input channels of a block of 16 that are written out where a tile is 4 blocks wide: as fast as all of them, and built in .4 s instead
# of .57 s. Narrower tiles build longer if their loop is not written out as a whole.
WRITTEN_OUT = 4


def written_out(blocks: int, traits: DeviceTraits) -> int:
    """How many input channels in a row, for a tile of so many blocks."""
    return WRITTEN_OUT if blocks == 4 and traits.block == 16 else traits.block


@dataclass(frozen=True)
class ConvBlockedParams:
    """A register tile of `tile_h` x `tile_w` positions by `tile_k` channel blocks; `unroll` input channels are written out in a row.

    Maps smaller than the tile cut it; weights that are packed already decide over `tile_k`. With a `chunk`, a work-item computes all
    positions of a map, and all of them use the weights of that many input blocks before the next ones.
    """

    tile_h: int
    tile_w: int
    tile_k: int
    unroll: int
    chunk: int = 0


@dataclass(frozen=True)
class OtherCut:
    """A row of positions in tiles that a given kernel has, of `width` columns (`wide` of them) and of one less; the last may overlap."""

    tiles: int
    width: int
    wide: int

    @classmethod
    def of(cls, columns: int, width: int) -> OtherCut:
        """Columns must be at least width - 1.

        >>> OtherCut.of(14, 5), OtherCut.of(8, 7)
        (OtherCut(tiles=3, width=5, wide=2), OtherCut(tiles=2, width=7, wide=2))
        """
        tiles = -(-columns // width)
        narrowest = tiles * (width - 1)
        return cls(tiles, width, columns - narrowest if narrowest <= columns else tiles)

    @property
    def computed(self) -> int:
        return self.wide * self.width + (self.tiles - self.wide) * (self.width - 1)


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


def can_flatten(problem: ConvProblem, rows: AxisCall, columns: AxisCall) -> bool:
    """Whether all positions lie in one run: a dense 1 x 1 kernel on tensors without halo."""
    maps = [layout for name, layout in problem.layouts if name != "w"]
    return is_dense(problem, rows, columns) and all(isinstance(m, Blocked) and m.halo == ((0, 0), (0, 0)) for m in maps)


def can_chunk(problem: ConvProblem, traits: DeviceTraits, sums: int) -> bool:
    """Whether all positions of a map may wait for the next weights, with that many `sums`; phases use the taps of no whole chunk."""
    phased = problem.direction is Pass.BACKWARD_DATA and max(problem.geometry.stride) > 1
    return sums <= PARTIAL_SUMS and not phased and not reads_plain(problem) and not share_blocks(problem, traits)


def kernel_call(
    problem: ConvProblem, traits: DeviceTraits, params: ConvBlockedParams, rows: AxisCall, columns: AxisCall, halo: bool
) -> KernelCall:
    """One launch: the positions of `rows` x `columns`; `halo` says that it also zeroes the halo of the target."""
    roles, geometry = Roles.of(problem), problem.geometry
    tile_h, tile_w = params.tile_h, params.tile_w
    if can_flatten(problem, rows, columns):
        rows, columns = AxisCall(), replace(columns, count=rows.count * columns.count)
        tile_h, tile_w = 1, tile_h * tile_w
    elif params.chunk:
        tile_w = min(tile_w, columns.count)  # what serves for a narrow map serves for wider ones
    tile_h, cut = min(tile_h, rows.count), Cut.of(columns.count, tile_w)
    tiles = -(-rows.count // tile_h) * cut.tiles
    run, joint = params.tile_k * traits.block, share_blocks(problem, traits)
    channel_tiles = -(-geometry.groups * roles.outputs // run) if joint else geometry.groups * -(-roles.outputs // run)
    worth = problem.multiply_adds // (WORTHWHILE * traits.block**2 * traits.compute_units)
    wanted = max(FEW_ITEMS_PER_UNIT, min(ITEMS_PER_UNIT, worth)) * traits.compute_units
    per_item = max(1, min(tiles, tiles * channel_tiles * problem.batch // wanted))
    chunk = params.chunk if can_chunk(problem, traits, tiles * tile_h * cut.width * run) else 0
    if chunk:
        per_item = tiles
    bindings: dict[str, str | int | float] = {"x": roles.source, "w": "w", "y": roles.target}
    bindings |= addresses(problem, rows, columns, params.tile_k, halo)
    bindings |= {"channels": roles.inputs, "filters": roles.outputs, "out_h": rows.count, "out_w": columns.count}
    if joint:
        across = max(input_blocks(geometry.groups, roles.inputs, roles.outputs, traits.block, run))
        bindings |= {"channels": across * traits.block, "filters": geometry.groups * roles.outputs}
        bindings |= {"group_channels": roles.inputs, "group_filters": roles.outputs}
    # Tiles that are all narrower than asked for are the narrow ones of the next width, which others may share.
    narrow = cut.wide == cut.tiles and cut.width < max(2, tile_w) and not chunk
    width, wide = (cut.width + 1, 0) if narrow else (cut.width, cut.wide)
    bindings |= {"tiles_in_row": cut.tiles, "wide": wide, "tiles": tiles, "tiles_per_item": per_item}
    source = kernel_source(problem, traits, replace(params, tile_h=tile_h, tile_w=width, chunk=chunk), rows, columns)
    items = (-(-tiles // per_item), channel_tiles, problem.batch)
    return KernelCall(source, items, tuple(sorted(bindings.items())))


def kernel_source(
    problem: ConvProblem, traits: DeviceTraits, tile: ConvBlockedParams, rows: AxisCall, columns: AxisCall
) -> KernelSource:
    """What of the call is in the code: everything but sizes, positions and channel counts."""
    layout = problem.layout(Roles.of(problem).source)
    assert isinstance(layout, Blocked)
    kernel = (1, *problem.geometry.kernel)[-2:]
    empty = not rows.taps or not columns.taps
    constants: dict[str, object] = {"BLOCK": traits.block, "BLOCK_IN": layout.block, "UNROLL": tile.unroll}
    constants |= {"TILE_H": tile.tile_h, "TILE_W": tile.tile_w, "TILE_K": tile.tile_k, "STEP_WEIGHTS": tile.tile_k * traits.block}
    for name, axis, size in (("H", rows, kernel[0]), ("W", columns, kernel[1])):
        shape = {"KERNEL": size, "TAPS": axis.taps, "STEP": axis.step, "TAP_STEP": axis.tap_step, "READ_STRIDE": axis.read_stride}
        constants |= {f"{key}_{name}": 1 if empty else value for key, value in shape.items()}
        constants[f"OUT_STRIDE_{name}"] = axis.out_stride
    constants |= {"CHUNK": tile.chunk, "PARTIAL_SUMS": PARTIAL_SUMS} if tile.chunk else {}
    packs = problem.layout("w") == PLAIN
    if packs:
        # What a filter has in a chunk seldom begins where a cache line does.
        line = LINE_BYTES * problem.spec("w").elements // problem.spec("w").nbytes
        constants |= {"LINE": line, "LINES": -(-tile.chunk * traits.block * math.prod(kernel) // line) + 1}
        constants |= {name: macro for name, macro in vector_macros(traits.block, problem.dtype).items() if name in CHUNK_MACROS}
    constants |= bounded_activation(problem.epilogue.activation)[0]
    joint = share_blocks(problem, traits)
    arguments = {
        "block": traits.block, "tile_h": tile.tile_h, "tile_w": tile.tile_w, "tile_k": tile.tile_k, "empty": empty, "joint": joint,
        "blocked_input": layout.block > 1, "tail": Roles.of(problem).inputs % layout.block > 0 and not joint,
        # Measured on Zen 1: 1 x 1 maps of 256 and more channels from .75 to .95 of the peak, 3 x 3 a little; of no use to other strides.
        "prefetch": layout.block > 1 and not empty and columns.read_stride == 1,
        "chunked": tile.chunk > 0, "packs": packs,
    }  # fmt: skip
    return KernelSource("conv_blocked", "conv_blocked", names(constants), names(arguments), problem.dtype)


def ranked(problem: ConvProblem, traits: DeviceTraits) -> tuple[Tile, ...]:
    """Register tiles for the calls of `problem`, best first. Where positions may lie in one run they count so: halos are rare there."""
    calls = plane_calls(problem)
    maps = tuple(Map(rows.count, columns.count, rows.taps * columns.taps) for rows, columns in calls)
    if all(is_dense(problem, *axes) for axes in calls):
        maps = tuple(Map(1, m.rows * m.columns, 1) for m in maps)
    registers, most_blocks = traits.vector_registers, MOST_BLOCKS
    if reads_plain(problem):
        # The loop over the kernel's columns is written out whole and keeps more values alive. With 16 registers 6 x 2 reaches .80 of the
        # peak, 4 x 2 .90; with 32 registers 14 x 2 .54, 10 x 2 .78, 4 x 4 .76, 7 x 2 .89.
        registers, most_blocks = (12, MOST_BLOCKS) if registers <= 16 else (20, 2)
    outputs = Roles.of(problem).outputs
    if share_blocks(problem, traits):
        tiles = ranked_tiles(maps, -(-problem.geometry.groups * outputs // traits.block), registers)
        return tuple(sorted(tiles, key=lambda t: -t.score * useful_share(problem, traits, t.blocks)))
    return ranked_tiles(maps, -(-outputs // traits.block), registers, most_blocks)


def in_chunks(problem: ConvProblem, traits: DeviceTraits, fewest: int = CHUNKED_ITEMS_PER_UNIT) -> list[ConvBlockedParams]:
    """The parameters for weights in chunks, where maps are so small that they take the time, and at least the `fewest` work-items remain
    for each compute unit; else none.

    With AVX-512, 7 x 7 maps of 512 channels went from .45 of the peak to .70, 1 x 1 kernels on 14 x 14 maps from .74 to .78.
    """
    roles, c = Roles.of(problem), traits.block
    blocks, positions = -(-roles.outputs // c), math.prod(problem.tensors()[roles.target].shape[2:])
    tile_k = min(2, blocks)
    items = -(-blocks // tile_k) * problem.geometry.groups * problem.batch
    if not can_chunk(problem, traits, positions * tile_k * c) or items < fewest * traits.compute_units:
        return []
    bytes_of_block = 4 * math.prod(problem.geometry.kernel) * c * c * tile_k
    return [ConvBlockedParams(1, widest(tile_k, traits.vector_registers), tile_k, c, max(1, CHUNK_BYTES // bytes_of_block))]


def waits_for_weights(traits: DeviceTraits) -> bool:
    """Whether multiply-adds are so fast that weights from far caches hold them up."""
    return math.isfinite(inner_loop(traits.vector_registers).weights_per_second)


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
        best, chunked = ranked(problem, traits), in_chunks(problem, traits)
        tiles = [ConvBlockedParams(t.rows, t.columns, t.blocks, written_out(t.blocks, traits)) for t in best[: 7 - len(chunked)]]
        yield from chunked + tiles if waits_for_weights(traits) else tiles + chunked
        yield ConvBlockedParams(best[0].rows, best[0].columns, best[0].blocks, traits.block // 2)

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        assert isinstance(params, ConvBlockedParams)
        roles, c, groups = Roles.of(problem), traits.block, problem.geometry.groups
        block_in = 1 if reads_plain(problem) else c
        joint: Literal["", "blocks"] = "blocks" if share_blocks(problem, traits) else ""
        turned = problem.direction is Pass.BACKWARD_DATA
        out: dict[str, Layout] = {"w": Packed(c, block_in, params.tile_k, groups, turned, joint), roles.target: Blocked(c)}
        if block_in > 1 or needed_halo(problem) != ((0, 0), (0, 0)):  # else plain: that is blocks of one channel without halo
            out[roles.source] = Blocked(block_in, needed_halo(problem))
        if problem.epilogue.residual:
            out["residual"] = Blocked(c)
        return out

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvBlockedParams)
        source = Roles.of(problem).source
        if reads_plain(problem) and problem.layout(source) == PLAIN:
            problem = problem.with_layouts(**{source: Blocked(1)})
        for name in problem.tensors():
            problem.spec(name).check_addressable(str(problem))
        check_layouts(problem, traits)
        packed = problem.spec("w").layout
        assert isinstance(packed, Packed)
        if packed.tile != params.tile_k:
            most = max(1, widest(packed.tile, traits.vector_registers) // params.tile_h)
            params = replace(params, tile_k=packed.tile, tile_w=min(params.tile_w, most))
        calls = plane_calls(problem)
        return Plan(tuple(kernel_call(problem, traits, params, rows, columns, i == 0) for i, (rows, columns) in enumerate(calls)))

    def stand_ins(self, call: KernelCall) -> Iterator[Plan]:
        """Kernels with tiles of other widths, those first that need not compute columns twice."""
        constants, bindings = dict(call.source.constants), dict(call.bindings)
        columns, in_row, tiles, per_item = (bindings[name] for name in ("out_w", "tiles_in_row", "tiles", "tiles_per_item"))
        assert isinstance(columns, int) and isinstance(in_row, int) and isinstance(tiles, int) and isinstance(per_item, int)
        tile_h, tile_k, block = (constants[name] for name in ("TILE_H", "TILE_K", "BLOCK"))
        assert isinstance(tile_h, int) and isinstance(tile_k, int) and isinstance(block, int)
        cuts = [OtherCut.of(columns, width) for width in range(2, min(WIDEST_TILE, columns + 1) + 1) if width != constants["TILE_W"]]
        for cut in sorted(cuts, key=lambda cut: (cut.computed, -cut.width)):
            total = tiles // in_row * cut.tiles
            if "CHUNK" in constants and total * tile_h * cut.width * tile_k * block > PARTIAL_SUMS:
                continue
            each = total if "CHUNK" in constants else max(1, total * per_item // tiles)
            arguments = names(dict(call.source.arguments), tile_w=cut.width)
            source = replace(call.source, constants=names({**constants, "TILE_W": cut.width}), arguments=arguments)
            changed = {**bindings, "tiles_in_row": cut.tiles, "wide": cut.wide, "tiles": total, "tiles_per_item": each}
            items = (-(-total // each), *call.items[1:])
            yield Plan((replace(call, source=source, items=items, bindings=tuple(sorted(changed.items()))),))

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ConvBlockedParams)
        loop = inner_loop(traits.vector_registers)
        weights = problem.spec("w").nbytes / (loop.chunks_per_second if params.chunk else loop.weights_per_second)
        return super().seconds(problem, traits, params) + weights

    def rate(self, problem: ConvProblem, traits: DeviceTraits) -> float:
        outputs, best = Roles.of(problem).outputs, ranked(problem, traits)[0]
        lanes_used = outputs / (-(-outputs // traits.block) * traits.block)
        if share_blocks(problem, traits):
            lanes_used = useful_share(problem, traits, best.blocks)
        return inner_loop(traits.vector_registers).vectors_per_second * traits.simd_width * lanes_used * best.score
