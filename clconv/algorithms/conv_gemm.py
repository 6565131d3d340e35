"""Convolution as products of matrices in tiles of local memory, all passes, groups and geometries of one and two axes: for GPUs.

Geometry is arguments, so that a network's layers share few kernels. Forward and data gradient are one kernel, the data gradient called
once for each residue of the positions modulo the stride; the weight gradient splits its long sum and adds the parts up in a second pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import check_operands
from clconv.algorithms.conv_blocked import AxisCall, Roles, plane_calls
from clconv.algorithms.gemm_model import Machine, Product, seconds
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits, GemmTile
from clconv.problem import ConvProblem, Pass
from clconv.tensor import DTYPES, Layout, Packed, round_up

TABLES = (336, 512)
"""Rows of the table in local memory for sums that run through channels and taps one by one; the first leaves room for three large tiles
in 64 KiB."""
WORTH_FLAT = 1.1
"""Steps of whole blocks of channels over steps of such a sum, from which on it is taken."""
SMALLEST = GemmTile(32, 32, 8, 4, 4)
MOST_PARTS = 64
PARTIAL_ELEMENTS = 1 << 26
LAUNCH_SECONDS = 5e-6
STEP_INSTRUCTIONS, FLAT_LOAD_INSTRUCTIONS = 60, 12
"""Of a work-item's step beside its multiply-adds, and more for each element that is looked up: what compilers make of it (`clconv isa`)."""


@dataclass(frozen=True)
class ConvGemmParams:
    """A tile (see GemmTile), the parts that the sum over k is split into, the width of sub-groups (0: the compiler's choice), and whether
    the loop moves indices instead of pointers."""

    rows: int
    columns: int
    depth: int
    item_rows: int
    item_columns: int
    parts: int = 1
    sub_group: int = 0
    indices: bool = False

    @classmethod
    def of(cls, tile: GemmTile, parts: int, traits: DeviceTraits) -> ConvGemmParams:
        return cls(**asdict(tile), parts=parts, sub_group=traits.start.sub_group, indices=traits.start.indices)

    @property
    def tile(self) -> GemmTile:
        return GemmTile(self.rows, self.columns, self.depth, self.item_rows, self.item_columns)


def is_weights(problem: ConvProblem) -> bool:
    return problem.direction is Pass.BACKWARD_WEIGHTS


def fits(problem: ConvProblem, tile: GemmTile, traits: DeviceTraits) -> bool:
    """Whether the device has work-items and local memory enough, and the work-items can share the loads evenly."""
    items, depth = tile.items, tile.depth
    if items > traits.max_work_group_size or local_bytes(problem, tile) > traits.local_memory_bytes:
        return False
    if is_weights(problem):
        lines = items // depth
        return items % depth == 0 and tile.rows % lines == 0 and tile.columns % lines == 0
    lines = items // tile.columns
    return lines > 0 and items % tile.columns == 0 and depth % lines == 0 and depth * tile.rows // 4 % items == 0


def pitches(problem: ConvProblem, tile: GemmTile) -> tuple[int, int]:
    """Floats from one step's row to the next in local memory; the weight gradient stores columns, which must not meet in one bank."""
    apart = 4 if is_weights(problem) else 0
    return tile.rows + apart, tile.columns + apart


def local_bytes(problem: ConvProblem, tile: GemmTile) -> int:
    table = 16 * table_rows(problem, tile) if not is_weights(problem) and is_flat(problem, tile) else 0
    return 2 * 4 * tile.depth * sum(pitches(problem, tile)) + table


def is_flat(problem: ConvProblem, tile: GemmTile) -> bool:
    """Whether channels and taps are walked one by one: where whole blocks of channels would be filled up too much.

    Of the weight gradient these are the columns, of the other passes the terms of the sum, as many as the table has rows.
    """
    if is_weights(problem):
        return problem.channels // problem.geometry.groups % tile.columns != 0
    inputs = Roles.of(problem).inputs
    return table_rows(problem, tile) > 0 and round_up(inputs, tile.depth) > WORTH_FLAT * inputs


def table_rows(problem: ConvProblem, tile: GemmTile) -> int:
    """The size of the table that holds the longest sum; 0 if none does."""
    inputs = Roles.of(problem).inputs
    longest = max(inputs * max(1, rows.taps * columns.taps) for rows, columns in plane_calls(problem))
    return next((rows for rows in TABLES if round_up(longest, tile.depth) <= rows), 0)


def step_count(problem: ConvProblem, tile: GemmTile, rows: AxisCall, columns: AxisCall) -> int:
    """Steps of the loop in one call; none where no tap meets the phase."""
    inputs, taps = Roles.of(problem).inputs, rows.taps * columns.taps
    return -(-inputs * taps // tile.depth) if is_flat(problem, tile) else taps * -(-inputs // tile.depth)


def products(problem: ConvProblem, tile: GemmTile) -> list[Product]:
    """The products of all launches, for the model."""
    g, size = problem.geometry, DTYPES[problem.dtype]
    filters, channels = problem.filters // g.groups, problem.channels // g.groups
    if is_weights(problem):
        taps, positions = math.prod(g.kernel), problem.batch * math.prod(problem.output_size)
        return [Product(filters, channels * taps, -(-positions // tile.depth), g.groups, size, 4)]
    outputs = Roles.of(problem).outputs
    return [
        Product(outputs, problem.batch * rows.count * columns.count, max(1, step_count(problem, tile, rows, columns)), g.groups, size, size)
        for rows, columns in plane_calls(problem)
    ]


def machine_of(traits: DeviceTraits) -> Machine:
    start = traits.start
    return Machine(traits.compute_units, start.rate, start.bytes_per_second * traits.compute_units)


def expected_share(problem: ConvProblem, tile: GemmTile) -> float:
    """Of the inner loop's instructions, those that multiply."""
    macs = tile.depth * tile.item_rows * tile.item_columns
    looked_up = tile.depth * tile.columns // tile.items if is_flat(problem, tile) else 0
    return macs / (macs + STEP_INSTRUCTIONS + FLAT_LOAD_INSTRUCTIONS * looked_up)


def estimate(problem: ConvProblem, params: ConvGemmParams, machine: Machine, share: float | None = None) -> float:
    """The model's time of all launches; `share` of the inner loop's instructions multiply."""
    share = share or expected_share(problem, params.tile)
    total = sum(seconds(p, params.tile, params.parts, machine, share) + LAUNCH_SECONDS for p in products(problem, params.tile))
    if params.parts > 1 or is_weights(problem):
        out = problem.spec(problem.outputs[0])
        total += (4 * params.parts * out.elements + out.nbytes) / machine.bandwidth + LAUNCH_SECONDS
    return total


def tiles_for(problem: ConvProblem, traits: DeviceTraits) -> tuple[GemmTile, ...]:
    """The start tiles of the device's class that fit, else the smallest."""
    start = traits.start
    rows = start.weights if is_weights(problem) else (start.large, *start.small)
    return tuple(t for t in rows if fits(problem, t, traits)) or (SMALLEST,)


def parts_for(problem: ConvProblem, tile: GemmTile) -> tuple[int, ...]:
    """Into how many parts the sum may be split: no more than steps, and not into more memory than is reasonable."""
    steps = max(p.steps for p in products(problem, tile))
    elements = problem.spec(problem.outputs[0]).elements
    return tuple(p for p in (2**i for i in range(7)) if p == 1 or (p <= min(steps, MOST_PARTS) and p * elements <= PARTIAL_ELEMENTS))


class ConvGemm(Algorithm[ConvProblem]):
    """Products of matrices in tiles of local memory, on plain tensors and packed weights."""

    name = "conv_gemm"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if problem.geometry.rank > 2:
            return f"needs 1 or 2 spatial axes, got {problem.geometry.rank}"
        if problem.depthwise:
            return f"a depthwise convolution has one channel a group ({problem.geometry.groups} groups), which leaves tiles empty"
        if not fits(problem, SMALLEST, traits):
            needed = local_bytes(problem, SMALLEST)
            return (
                f"needs work-groups of {SMALLEST.items} with {needed} bytes of local memory, "
                f"{traits.label} allows {traits.max_work_group_size} with {traits.local_memory_bytes}"
            )
        return None

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvGemmParams:
        machine = machine_of(traits)
        options = (ConvGemmParams.of(tile, n, traits) for tile in tiles_for(problem, traits) for n in parts_for(problem, tile))
        return min(options, key=lambda params: estimate(problem, params, machine))

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvGemmParams]:
        best = self.defaults(problem, traits)
        yield best
        for tile in dict.fromkeys((*tiles_for(problem, traits), SMALLEST)):
            for parts in parts_for(problem, tile):
                params = ConvGemmParams.of(tile, parts, traits)
                if params != best and parts in (1, best.parts // 2, best.parts, 2 * best.parts):
                    yield params

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        assert isinstance(params, ConvGemmParams)
        if is_weights(problem):
            return {}
        block_in = 1 if is_flat(problem, params.tile) else params.depth
        return {"w": Packed(params.rows, block_in, 1, problem.geometry.groups, problem.direction is Pass.BACKWARD_DATA)}

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ConvGemmParams)
        return estimate(problem, params, machine_of(traits))

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvGemmParams)
        check_operands(problem)
        wanted = self.wants(problem, traits, params)
        assert dict(problem.layouts) == wanted, f"{problem}: operands must be plain but for {wanted}, got {problem.layouts}"
        if is_weights(problem):
            return plan_weights(problem, traits, params)
        return plan_sums(problem, traits, params)


def plan_sums(problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams) -> Plan:
    """Forward, and backward-data phase by phase; the parts of a split sum are added up by one more launch."""
    calls = [sums_call(problem, params, rows, columns) for rows, columns in plane_calls(problem)]
    if params.parts == 1:
        return Plan(tuple(calls))
    return with_second_pass(problem, traits, calls, params.parts)


def with_second_pass(problem: ConvProblem, traits: DeviceTraits, calls: list[KernelCall], parts: int) -> Plan:
    out = problem.spec(problem.outputs[0])
    source = KernelSource("conv_gemm_sum", "conv_gemm_sum", names(activation()), (), problem.dtype, (traits.group(64), 1, 1))
    bindings = {"partial": "partial", "out": problem.outputs[0], "parts": parts, "count": out.elements}
    bindings |= {"channels": out.shape[1], "plane": math.prod(out.shape[2:])} | epilogue(problem, "partial")
    add = KernelCall(source, (out.elements, 1, 1), names(bindings))
    return Plan((*calls, add), (("partial", 4 * parts * out.elements),))


def activation() -> dict[str, str]:
    """ACTIVATE(v) by the argument `slope`: 1 for none, 0 for ReLU, which must not multiply infinity."""
    return {"ACTIVATE(v)": "((v) < 0.0f ? (slope == 0.0f ? 0.0f : (v) * slope) : (v))"}


def epilogue(problem: ConvProblem, stand_in: str) -> dict[str, str | int | float]:
    """The arguments for bias, residual and activation; `stand_in` is bound where there is none of them, and not read."""
    fused = problem.epilogue
    slope = 1.0 if fused.activation is None else 0.0 if fused.activation[0] == "relu" else fused.activation[1]
    return {
        "has_bias": int(fused.bias), "bias": "bias" if fused.bias else stand_in,
        "has_residual": int(fused.residual), "residual": "residual" if fused.residual else stand_in, "slope": slope,
    }  # fmt: skip


def constants(problem: ConvProblem, params: ConvGemmParams) -> dict[str, object]:
    """The header: the tile, and loads at a uniform element u plus a byte offset of each work-item's own."""
    pitch_a, pitch_b = pitches(problem, params.tile)
    offset = "uint" if all(problem.spec(name).nbytes < 2**32 for name in problem.inputs) else "ulong"
    address = "((__global const char *)(p) + ((u) + (o)))" if params.indices else "((__global const char *)(u) + (o))"
    if problem.dtype == "float16":
        one, four = (f"vload_half{n}(0, (__global const half *){address})" for n in ("", 4))
    else:
        one, four = (f"(*(__global const float{n} *){address})" for n in ("", 4))
    moves = {"OFFSET": offset, "SIZE": DTYPES[problem.dtype], "LOAD_AT(p, u, o)": one, "LOAD4_AT(p, u, o)": four}
    if params.indices:
        moves |= {"POSITION": offset, "START(p)": "0", "STEP(n)": "((OFFSET)(n) * SIZE)"}
    else:
        moves |= {"POSITION": "__global const real *", "START(p)": "(p)", "STEP(n)": "(n)"}
    return {
        "TILE_M": params.rows, "TILE_N": params.columns, "TILE_K": params.depth,
        "ITEM_M": params.item_rows, "ITEM_N": params.item_columns, "GROUP": params.tile.items,
        "PITCH_A": pitch_a, "PITCH_B": pitch_b,
        "SUB_GROUP": f"__attribute__((intel_reqd_sub_group_size({params.sub_group})))" if params.sub_group else "",
    } | moves  # fmt: skip


def reads_outside(problem: ConvProblem) -> bool:
    """Whether any call reads beyond its map, or sums nothing and would read just anything."""
    if is_weights(problem):
        return problem.geometry.reads_outside(problem.size)
    heights = problem.spec(Roles.of(problem).source).planes[2:]
    return any(
        not axis.taps or axis.reach(size) != (0, 0) for call in plane_calls(problem) for axis, size in zip(call, heights, strict=True)
    )


def has_taps(problem: ConvProblem) -> bool:
    """Whether some call has more than one tap."""
    return any(rows.taps * columns.taps > 1 for rows, columns in plane_calls(problem))


def sums_call(problem: ConvProblem, params: ConvGemmParams, rows: AxisCall, columns: AxisCall) -> KernelCall:
    """One product: positions `rows` x `columns` of all images."""
    roles, tile, groups = Roles.of(problem), params.tile, problem.geometry.groups
    flat, split = is_flat(problem, tile), params.parts > 1
    kernel = (1, *problem.geometry.kernel)[-2:]
    steps = step_count(problem, tile, rows, columns)
    if not steps:
        rows, columns = (replace(axis, taps=1, offset=0, tap0=0) for axis in (rows, columns))
    lines = tile.items // tile.columns
    arguments = {
        "kind": "sums", "flat": flat, "taps": not flat and has_taps(problem), "bounds": flat or reads_outside(problem), "ragged": not flat and roles.inputs % tile.depth != 0,
        "split": split, "item_m": tile.item_rows, "item_n": tile.item_columns,
        "loads_a": tile.depth * tile.rows // 4 // tile.items, "loads_b": tile.depth // lines,
    }  # fmt: skip
    more = ({"TABLE": table_rows(problem, tile)} if flat else {}) | ({} if split else activation())
    source = KernelSource(
        "conv_gemm", "conv_gemm", names(constants(problem, params) | more), names(arguments), problem.dtype, (tile.items, 1, 1)
    )
    _, _, height, width = problem.spec(roles.source).planes
    _, _, out_height, out_width = problem.spec(roles.target).planes
    m_tiles = -(-roles.outputs // tile.rows)
    bindings: dict[str, str | int | float] = {
        "source": roles.source, "w": "w", "batch": problem.batch, "groups": groups, "inputs": roles.inputs, "outputs": roles.outputs,
        "height": height, "width": width, "out_height": out_height, "out_width": out_width, "rows": rows.count, "columns": columns.count,
        "first_y": rows.first, "out_step_y": rows.out_stride, "first_x": columns.first, "out_step_x": columns.out_stride,
        "y_offset": rows.offset, "y_stride": rows.read_stride, "y_step": rows.step, "taps_y": rows.taps,
        "x_offset": columns.offset, "x_stride": columns.read_stride, "x_step": columns.step, "taps_x": columns.taps,
        "tap0": rows.tap0 * kernel[1] + columns.tap0, "tap_y_step": rows.tap_step * kernel[1], "tap_x_step": columns.tap_step,
        "taps_stored": math.prod(kernel), "m_tiles": m_tiles, "all_steps": steps, "steps_each": max(1, -(-steps // params.parts)),
    }  # fmt: skip
    bindings |= {"partial": "partial"} if split else {"out": roles.target} | epilogue(problem, roles.source)
    n_tiles = -(-problem.batch * rows.count * columns.count // tile.columns)
    return KernelCall(source, (n_tiles * tile.items, m_tiles * groups, params.parts), names(bindings))


def plan_weights(problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams) -> Plan:
    """Backward-weights: parts of the sums over all positions, then their totals."""
    tile, g = params.tile, problem.geometry
    own, channels = problem.filters // g.groups, problem.channels // g.groups
    flat, lines = is_flat(problem, tile), tile.items // tile.depth
    arguments = {
        "kind": "weights", "flat": flat, "taps": False, "bounds": reads_outside(problem), "ragged": own % tile.rows != 0, "split": True,
        "item_m": tile.item_rows, "item_n": tile.item_columns, "loads_a": tile.rows // lines, "loads_b": tile.columns // lines,
    }  # fmt: skip
    source = KernelSource(
        "conv_gemm", "conv_gemm_weights", names(constants(problem, params)), names(arguments), problem.dtype, (tile.items, 1, 1)
    )
    (kernel, stride, dilation), (begin_y, begin_x) = two(g.kernel, g.stride, g.dilation), ((0, 0), *g.padding)[-2:]
    _, _, height, width = problem.spec("x").planes
    _, _, out_height, out_width = problem.spec("dy").planes
    pixels = out_height * out_width
    steps = -(-problem.batch * pixels // tile.depth)
    steps_each = -(-steps // params.parts)
    parts = -(-steps // steps_each)
    step_image, rest = divmod(tile.depth, pixels)
    m_tiles = -(-own // tile.rows)
    taps = math.prod(kernel)
    bindings: dict[str, str | int] = {
        "source": "x", "gradient": "dy", "partial": "partial", "batch": problem.batch, "groups": g.groups, "channels": channels, "own": own,
        "height": height, "width": width, "out_height": out_height, "out_width": out_width, "stride_y": stride[0], "stride_x": stride[1],
        "y_begin": -begin_y[0], "x_begin": -begin_x[0], "y_step": dilation[0], "x_step": dilation[1], "taps_y": kernel[0],
        "taps_x": kernel[1], "step_image": step_image, "step_y": rest // out_width, "step_x": rest % out_width, "m_tiles": m_tiles,
        "all_positions": problem.batch * pixels, "steps_each": steps_each,
    }  # fmt: skip
    n_tiles = -(-channels * taps // tile.columns) if flat else taps * (channels // tile.columns)
    sums = KernelCall(source, (n_tiles * tile.items, m_tiles * g.groups, parts), names(bindings))
    return with_second_pass(problem, traits, [sums], parts)


def two(*sizes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Sizes of one or two axes as (rows, columns)."""
    return tuple((1, *size)[-2:] for size in sizes)
