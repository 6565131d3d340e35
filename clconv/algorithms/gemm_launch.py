"""The launches of conv_gemm: one a call of forward or backward-data, the weight gradient's, and the second pass over split sums."""

from __future__ import annotations

import math
from dataclasses import replace

from clconv.algorithms.blocked_calls import AxisCall, Roles, plane_calls
from clconv.algorithms.gemm_shape import ConvGemmParams, is_flat, is_weights, pitches, step_count, table_rows
from clconv.codegen.expressions import activation_macro
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, MatmulProblem
from clconv.tensor import DTYPES


def plan_sums(problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams) -> Plan:
    """Forward, and backward-data phase by phase; the parts of a split sum are added up by one more launch."""
    return finished(problem, traits, params, [sums_call(problem, params, rows, columns) for rows, columns in plane_calls(problem)])


def finished(problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams, calls: list[KernelCall]) -> Plan:
    """`calls`, and the launch that adds up what they have split."""
    if params.parts == 1:
        return Plan(tuple(calls))
    return with_second_pass(problem, traits, calls, params.parts)


def with_second_pass(problem: ConvProblem | MatmulProblem, traits: DeviceTraits, calls: list[KernelCall], parts: int) -> Plan:
    """`calls` leave partial sums [parts][as the result]; one launch more adds them up and finishes them. A bias has an entry for each
    channel, which is the last axis of a product of matrices."""
    out = problem.spec(problem.outputs[0])
    channel = -1 if isinstance(problem, MatmulProblem) else 1
    source = KernelSource("conv_gemm_sum", "conv_gemm_sum", names(activation(problem)), (), problem.dtype, (traits.group(64), 1, 1))
    bindings: dict[str, str | int | float] = {"partial": "partial", "out": problem.outputs[0], "parts": parts, "count": out.elements}
    plane = math.prod(out.shape[channel + 1 :]) if channel > 0 else 1
    bindings |= {"channels": out.shape[channel], "plane": plane} | epilogue(problem, "partial")
    add = KernelCall(source, (out.elements, 1, 1), names(bindings))
    return Plan((*calls, add), (("partial", 4 * parts * out.elements),))


SLOPED = ("relu", "leaky_relu")


def activation(problem: ConvProblem | MatmulProblem) -> dict[str, str]:
    """ACTIVATE(v); up to a leaky ReLU by the argument `slope`: 1 for none, 0 for ReLU, which must not multiply infinity."""
    fused = problem.epilogue.activation
    if fused is not None and fused[0] not in SLOPED:
        return {**activation_macro(fused), "vec": "float"}
    return {"ACTIVATE(v)": "((v) < 0.0f ? (slope == 0.0f ? 0.0f : (v) * slope) : (v))"}


def epilogue(problem: ConvProblem | MatmulProblem, stand_in: str) -> dict[str, str | int | float]:
    """The arguments for bias, residual and activation; `stand_in` is bound where there is none of them, and not read."""
    fused = problem.epilogue
    name, *numbers = fused.activation or ("leaky_relu", 1.0)
    slope = numbers[0] if name == "leaky_relu" else 0.0
    return {
        "has_bias": int(fused.bias), "bias": "bias" if fused.bias else stand_in,
        "has_residual": int(fused.residual), "residual": "residual" if fused.residual else stand_in, "slope": slope,
    }  # fmt: skip


def constants(problem: ConvProblem, params: ConvGemmParams) -> dict[str, object]:
    """The header: the tile, and how addresses are made."""
    pitch_a, pitch_b = pitches(problem, params.tile)
    largest = max(problem.spec(name).nbytes for name in problem.inputs)
    return {
        "TILE_M": params.rows, "TILE_N": params.columns, "TILE_K": params.depth,
        "ITEM_M": params.item_rows, "ITEM_N": params.item_columns, "GROUP": params.tile.items,
        "PITCH_A": pitch_a, "PITCH_B": pitch_b,
    } | address_constants(problem.dtype, largest, params.sub_group, params.indices)  # fmt: skip


def address_constants(dtype: str, largest: int, sub_group: int, indices: bool) -> dict[str, object]:
    """Loads at a uniform position u plus o bytes of each work-item's own, where no operand is larger than `largest` bytes."""
    address = "((__global const char *)(p) + ((u) + (o)))" if indices else "((__global const char *)(u) + (o))"
    if dtype == "float16":
        one, four = (f"vload_half{n}(0, (__global const half *){address})" for n in ("", 4))
    else:
        one, four = (f"(*(__global const float{n} *){address})" for n in ("", 4))
    moves: dict[str, object] = {"OFFSET": "uint" if largest < 2**32 else "ulong", "SIZE": DTYPES[dtype]}
    moves |= {"LOAD_AT(p, u, o)": one, "LOAD4_AT(p, u, o)": four}
    if indices:
        moves |= {"POSITION": "OFFSET", "START(p)": "0", "STEP(n)": "((OFFSET)(n) * SIZE)"}
    else:
        moves |= {"POSITION": "__global const real *", "START(p)": "(p)", "STEP(n)": "(n)"}
    return moves | {"SUB_GROUP": sub_group_attribute(sub_group)}


def sub_group_attribute(width: int) -> str:
    """Tells the compiler the width of sub-groups, which decides how many registers a work-item has; 0 leaves it the choice."""
    return f"__attribute__((intel_reqd_sub_group_size({width})))" if width else ""


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
    roles, tile = Roles.of(problem), params.tile
    flat, split = is_flat(problem, tile), params.parts > 1
    lines = tile.items // tile.columns
    arguments = {
        "flat": flat, "taps": not flat and has_taps(problem), "bounds": flat or reads_outside(problem),
        "ragged": not flat and roles.inputs % tile.depth != 0, "split": split, "item_m": tile.item_rows, "item_n": tile.item_columns,
        "loads_a": tile.depth * tile.rows // 4 // tile.items, "loads_b": tile.depth // lines,
    }  # fmt: skip
    more = ({"TABLE": table_rows(problem, tile)} if flat else {}) | ({} if split else activation(problem))
    source = KernelSource(
        "conv_gemm", "conv_gemm", names(constants(problem, params) | more), names(arguments), problem.dtype, (tile.items, 1, 1)
    )
    return walk_call(source, problem, params, rows, columns)


def walk_call(source: KernelSource, problem: ConvProblem, params: ConvGemmParams, rows: AxisCall, columns: AxisCall) -> KernelCall:
    """A launch of a kernel that walks through taps and channels (conv_gemm_walk.cl.mako), over positions `rows` x `columns`."""
    roles, tile, groups = Roles.of(problem), params.tile, problem.geometry.groups
    kernel = (1, *problem.geometry.kernel)[-2:]
    steps = step_count(problem, tile, rows, columns)
    if not steps:
        rows, columns = (replace(axis, taps=1, offset=0, tap0=0) for axis in (rows, columns))
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
    bindings |= {"partial": "partial"} if params.parts > 1 else {"out": roles.target} | epilogue(problem, roles.source)
    n_tiles = -(-problem.batch * rows.count * columns.count // tile.columns)
    return KernelCall(source, (n_tiles * tile.items, m_tiles * groups, params.parts), names(bindings))


def plan_weights(problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams) -> Plan:
    """Backward-weights: parts of the sums over all positions, then their totals."""
    tile, g = params.tile, problem.geometry
    own, channels = problem.filters // g.groups, problem.channels // g.groups
    flat, lines = is_flat(problem, tile), tile.items // tile.depth
    arguments = {
        "flat": flat, "bounds": flat or reads_outside(problem), "ragged": own % tile.rows != 0,
        "item_m": tile.item_rows, "item_n": tile.item_columns, "loads_a": tile.rows // lines, "loads_b": tile.columns // lines,
    }  # fmt: skip
    source = KernelSource(
        "conv_gemm_weights", "conv_gemm_weights", names(constants(problem, params)), names(arguments), problem.dtype, (tile.items, 1, 1)
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
