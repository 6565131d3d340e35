"""Mistakes planted in the templates: each must make a small suite of exact cases fail, and the suite must pass without it.

A mutant is a template with one piece of text replaced, written into a directory that goes before the library's own. It has to build: what
the compiler refuses would prove nothing. If a template changes so that the text is gone, the mutant fails and must be planted anew.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from clconv.algorithms import ALGORITHMS
from clconv.algorithms.conv_blocked import ConvBlockedParams
from clconv.algorithms.conv_blocked_weights import ConvBlockedWeightsParams
from clconv.algorithms.conv_depthwise import ConvDepthwiseParams
from clconv.algorithms.conv_depthwise_weights import ConvDepthwiseWeightsParams
from clconv.algorithms.conv_direct import DirectParams, WeightsParams
from clconv.algorithms.conv_gemm_subgroups import LANES
from clconv.algorithms.conv_winograd import ConvWinogradParams
from clconv.algorithms.conv_winograd_gemm import ConvWinogradGemmParams
from clconv.algorithms.gemm_shape import ConvGemmParams
from clconv.algorithms.matmul_tiled import MatmulTiledParams
from clconv.algorithms.matmul_vector import MatmulVectorParams
from clconv.algorithms.reduce_groups import ReduceGroupsParams
from clconv.algorithms.reduce_strided import ReduceStridedParams
from clconv.algorithms.reorder_blocked import ReorderBlockedParams
from clconv.device import DeviceTraits
from clconv.problem import (
    LrnProblem,
    MapProblem,
    MatmulProblem,
    Pass,
    PoolProblem,
    Problem,
    ReduceProblem,
    ReorderProblem,
    ResampleProblem,
    ShuffleProblem,
    SoftmaxProblem,
    UnpoolProblem,
    WindowProblem,
    parse,
)
from clconv.problem.conv import Epilogue
from clconv.tensor import Blocked, Layout, Packed, Strided, TensorSpec, Transformed
from tests.cases import Arrays, Prepared, check, operands_of, prepare
from tests.support import traits

CPU, BACK = DeviceTraits.cpu(8), Pass.BACKWARD_DATA
HALO = Blocked(8, ((1, 1), (0, 1)))
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}
Run = tuple[Prepared, Arrays]


def run(
    algorithm: str,
    problem: Problem | str,
    params: object = None,
    change: Callable[[Arrays], None] | None = None,
    device: DeviceTraits = CPU,
    **layouts: Layout,
) -> Run:
    """One case: `change` puts values of its own into the operands, `layouts` replace what the algorithm wants."""
    entry, asked = BY_NAME[algorithm], parse(problem) if isinstance(problem, str) else problem
    prepared = prepare(entry, asked, device, params or entry.defaults(asked, device), layouts)
    given = operands_of(asked)
    if change:
        change(given)
    return prepared, given


def exactly(case: Run) -> Run:
    """The case without the error that its algorithm may make: for filters whose fractions are exact."""
    return replace(case[0], factor=None), case[1]


# What is put into the operands


def nan_in_the_second_image(given: Arrays) -> None:
    given["x"][1, 3, 2, 3] = np.nan


def nan_at_all_positions(given: Arrays) -> None:
    """Of one channel: it spreads over tiles, which are all full of it already."""
    given["x"][1, 3] = np.nan


def nan_in_a_late_column(given: Arrays) -> None:
    """Column 19 meets the kernel columns 1 and 2 only; behind the last output lies what column 0 would meet."""
    given["x"][0, 1, 2, 19] = np.nan


def negative_with_nan(given: Arrays) -> None:
    given["x"] -= 9
    given["x"][0, 1, 2, 2], given["x"][0, 0] = np.nan, -np.inf


SHAPE = (2, 11, 3, 5)
FULL, CHANNEL = TensorSpec(SHAPE), TensorSpec((1, 11, 1, 1))
MAP = MapProblem(SHAPE, (FULL, CHANNEL), (("y0", "x0 + x1 + 1.0f"), ("y1", "(float)index")), ("float32",) * 2, uses_index=True,
                 label="shift_and_index")
SUM = (("r0", "x0"),)


def reduced(axes: tuple[int, ...], shape: tuple[int, ...] = SHAPE) -> ReduceProblem:
    return ReduceProblem(shape, (TensorSpec(shape),), axes, SUM, label="sum")


GPU = DeviceTraits.gpu()
FILTERING = ConvWinogradParams(outputs=2, tile_k=1, width=3, part=6, chunk=16, slices=1)
TILE = MatmulTiledParams(8, 2, vectors=2, chunk=16, rows_most=4)
DEPTHWISE_WEIGHTS = ConvDepthwiseWeightsParams(tile_r=2, tile_s=3)
GEMM = ConvGemmParams(32, 32, 8, 4, 4)
WEIGHTS = ConvBlockedWeightsParams(tile_k=2, tile_c=2, tile_s=2, run=1, rows=2)

# Name -> the cases of a suite; small, with tails, padding, strides, groups and epilogues where the templates have them.
SUITES: dict[str, Callable[[], list[Run]]] = {
    "conv_direct": lambda: [run("conv_direct", "n2c4i5x19k6f3x2s2p1d1x2g2+bias+leaky_relu(0.5)+res", DirectParams(2, 1, 1, 8))],
    "conv_direct phases": lambda: [run("conv_direct", "n1c2i5x9k3f3x3s2p1:bwd_d", DirectParams(1, 4, 1, 8))],
    "conv_direct weights": lambda: [
        run("conv_direct", "n2c4i5x22k6f3x3s1x2p1d1x2g2:bwd_w", WeightsParams(2, 1, 2, 8), device=DeviceTraits.cpu(8, 16)),
        run("conv_direct", "n2c4i5x22k6f3x3s1x2p1d1x2g2:bwd_w", WeightsParams(2, 1, 2, 8), nan_in_a_late_column),
    ],
    "conv_blocked": lambda: [
        run("conv_blocked", "n2c9i5x19k17f3x3s1x2p1d1x2+bias+leaky_relu(0.5)+res", ConvBlockedParams(2, 4, 2, 4), nan_in_the_second_image,
            y=HALO)
    ],
    "conv_blocked phases": lambda: [run("conv_blocked", "n1c9i5x6k9f2x3s2x1p1,0x1:bwd_d", ConvBlockedParams(1, 2, 1, 4))],
    "conv_blocked groups": lambda: [run("conv_blocked", "n1c16i3x4k16f1x1s2g2+bias", ConvBlockedParams(1, 1, 1, 4))],
    "conv_blocked joint groups": lambda: [run("conv_blocked", "n1c34i3x4k20f1x1g2", ConvBlockedParams(1, 1, 1, 4))],
    "conv_blocked chunks": lambda: [run("conv_blocked", "n2c41i7x9k33f3x3p1+bias", ConvBlockedParams(2, 4, 2, 4, 2), y=HALO)],
    "conv_blocked_unpacked": lambda: [
        run("conv_blocked_unpacked", "n2c41i7x9k33f3x3p1+bias", ConvBlockedParams(2, 4, 2, 4, 2), y=HALO)
    ],
    "conv_depthwise": lambda: [
        run("conv_depthwise", "n2c9i5x15k9f3x3s1x2p1d1x2g9+bias+leaky_relu(0.5)+res", ConvDepthwiseParams(3, 2), y=HALO)
    ],
    "conv_depthwise phases": lambda: [run("conv_depthwise", "n1c9i5x6k9f2x3s2x1p1,0x1g9:bwd_d", ConvDepthwiseParams(2, 2))],
    "conv_depthwise groups": lambda: [run("conv_depthwise", "n1c20i5x6k20f2x3p1g5+bias", ConvDepthwiseParams(2, 2))],
    "conv_depthwise_weights": lambda: [run("conv_depthwise_weights", "n2c12i5x11k12f3x3s1x2p1d1x2g6:bwd_w", DEPTHWISE_WEIGHTS)],
    "conv_blocked_weights": lambda: [run("conv_blocked_weights", "n2c9i5x11k9f3x3s1x2p1d1x2:bwd_w", WEIGHTS)],
    "conv_blocked_weights tail": lambda: [run("conv_blocked_weights", "n1c1i3x3k9f1x1:bwd_w")],
    "conv_gemm": lambda: [run("conv_gemm", "n2c16i5x7k33f3x3s2p1+bias+leaky_relu(0.5)+res", GEMM, device=DeviceTraits.gpu())],
    "conv_gemm phases": lambda: [run("conv_gemm", "n2c33i5x7k17f3x2s2p1:bwd_d", GEMM, device=DeviceTraits.gpu())],
    "conv_gemm parts": lambda: [run("conv_gemm", "n1c16i5x7k9f3x3p1+bias", replace(GEMM, parts=4), device=DeviceTraits.gpu())],
    "conv_gemm weights": lambda: [
        run("conv_gemm", f"n3c{c}i5x6k33f3x2s2x1p1:bwd_w", replace(GEMM, parts=2), device=DeviceTraits.gpu()) for c in (17, 32)
    ],
    "conv_gemm_subgroups": lambda: [
        run("conv_gemm_subgroups", "n2c16i5x7k33f3x3p1+bias+relu", replace(GEMM, columns=16, item_rows=16, item_columns=2),
            device=replace(GPU, sub_group_sizes=(8,)))
    ],
    "conv_winograd_gemm": lambda: [
        run("conv_winograd_gemm", "n2c16i9x7k33f3x3p1+bias+leaky_relu(0.5)+res", ConvWinogradGemmParams(2, 32, 32, 8, 4, 4),
            device=DeviceTraits.gpu())
    ],
    "conv_winograd": lambda: [
        exactly(run("conv_winograd", "n2c17i5x7k33f3x3p1+bias+leaky_relu(0.5)+res", FILTERING, nan_at_all_positions, y=HALO))
    ],
    "winograd_weights": lambda: [
        run("winograd_weights", ReorderProblem((12, 5, 3, 3)).with_layouts(y=Transformed(8, 1, (2, 2), groups=2, turned=turned)))
        for turned in (False, True)
    ],
    "pack_weights joint groups": lambda: [
        run("pack_weights", ReorderProblem((9, 2, 2, 3)).with_layouts(y=Packed(8, 8, 1, 3, turned, "blocks"))) for turned in (False, True)
    ],
    "pack_weights": lambda: [
        run("pack_weights", ReorderProblem((9, 5, 2, 3)).with_layouts(y=Packed(8, 8, 1, turned=turned))) for turned in (False, True)
    ],
    "conv_depthwise_strips": lambda: [
        run("conv_depthwise_strips", "n2c3i9x7k6f3x2s2p1g3+bias+leaky_relu(0.5)+res", device=GPU),
        run("conv_depthwise_strips", "n2c3i6x7k6f3x3s2p1g3:bwd_d", device=GPU),
    ],
    "conv_depthwise_strips weights": lambda: [run("conv_depthwise_strips", "n3c3i9x130k6f3x2s1x2p1g3:bwd_w", device=GPU)],
    "matmul_gemm": lambda: [
        run("matmul_gemm", MatmulProblem(33, 34, 21, 2, epilogue=Epilogue(True, True, ("leaky_relu", 0.5))), GEMM, device=GPU),
        run("matmul_gemm", MatmulProblem(33, 34, 40, 1, True, True), replace(GEMM, parts=2), device=GPU),
    ],
    "matmul_vector": lambda: [
        run("matmul_vector", MatmulProblem(3, 70, 41, 2, False, True, epilogue=Epilogue(True, True, ("relu", 0.0))), device=GPU),
        run("matmul_vector", MatmulProblem(70, 3, 41, 1, True), MatmulVectorParams(2, 8, 2), device=GPU),
    ],
    "reduce_groups": lambda: [
        run("reduce_groups", reduced((1,), (3, 300)), device=GPU), run("reduce_groups", reduced((0, 3), (6, 5, 2, 9)), device=GPU),
        run("reduce_groups", reduced((0, 2), (5, 7, 3, 11)), ReduceGroupsParams(64, 2), device=GPU),
    ],
    "softmax_groups": lambda: [
        run("softmax_groups", SoftmaxProblem((3, 300), 1), device=GPU), run("softmax_groups", SoftmaxProblem((3, 50, 11), 1), device=GPU),
    ],
    "pool_strips": lambda: [
        run("pool_strips", "maxpool n2c3i7x5f3x3s2p1:idx", change=negative_with_nan, device=GPU),
        run("pool_strips", "maxpool n2c3i7x5f2x3s2p1d2:idx", device=GPU),
        run("pool_strips", "avgpool n2c3i8x11f3x3s2p1:nopad", device=GPU),
    ],
    "pool_direct maximum": lambda: [run("pool_direct", "maxpool n2c3i7x5f3x3s2p1:idx", change=negative_with_nan)],
    "pool_direct mean": lambda: [run("pool_direct", "avgpool n2c3i8x11f3x3s2p1:ceil")],
    "pool_direct maximum's gradient": lambda: [run("pool_direct", "maxpool n2c3i6x5f3x3s2p1:bwd_d")],
    "pool_direct mean's gradient": lambda: [run("pool_direct", "avgpool n2c3i6x5f3x3s2p1:bwd_d")],
    "pool_direct adaptive": lambda: [run("pool_direct", PoolProblem("adaptive_avg", None, 2, 3, (7, 5), (3, 2)))],
    "pool_direct adaptive's gradient": lambda: [run("pool_direct", PoolProblem("adaptive_avg", None, 2, 3, (7, 5), (3, 2), BACK))],
    "pool_blocked maximum": lambda: [run("pool_blocked", "maxpool n2c9i7x13f3x3s2p1", change=negative_with_nan, y=HALO)],
    "pool_blocked indices": lambda: [run("pool_blocked", "maxpool n2c9i7x5f3x3s2p1:idx", change=negative_with_nan, y=HALO)],
    "pool_blocked mean": lambda: [run("pool_blocked", "avgpool n1c9i8x8f3x3s2p1:ceil", y=HALO)],
    "pool_blocked mean's gradient": lambda: [run("pool_blocked", "avgpool n1c9i8x5f3x2s1x2p1,0x0,1d2x1:nopad:bwd_d")],
    "pool_blocked maximum's gradient": lambda: [run("pool_blocked", "maxpool n2c9i7x5f3x3s2p1:bwd_d")],
    "lrn_blocked": lambda: [
        run("lrn_blocked", LrnProblem((2, 11, 3, 5), 4, 2.0, 0.5, 2.0), y=HALO),
        run("lrn_blocked", LrnProblem((2, 11, 3, 5), 4, 2.0, 0.5, 2.0, BACK)),
    ],
    "lrn_direct": lambda: [run("lrn_direct", LrnProblem((2, 7, 3, 5), 4, 2.0, 0.5, 2.0, BACK))],
    "map_blocked": lambda: [run("map_blocked", MAP, y0=HALO)],
    "map_strided": lambda: [run("map_strided", MAP)],
    "reduce_blocked": lambda: [run("reduce_blocked", reduced((0, 2, 3)))],
    "reduce_strided rows": lambda: [run("reduce_strided", reduced((1,), (3, 21)))],
    "reduce_strided columns": lambda: [run("reduce_strided", reduced((0,), (300, 7)), ReduceStridedParams(256, 16, 8, 64))],
    "reorder_blocked gather": lambda: [run("reorder_blocked", ReorderProblem(SHAPE).with_layouts(y=HALO), ReorderBlockedParams(3))],
    "reorder_blocked scatter": lambda: [run("reorder_blocked", ReorderProblem(SHAPE).with_layouts(x=HALO))],
    "reorder_strided tiled": lambda: [run("reorder_strided", ReorderProblem((5, 11)).with_layouts(x=Strided((1, 5))))],
    "matmul_tiled": lambda: [run("matmul_tiled", MatmulProblem(7, 25, 19, 2, epilogue=Epilogue(True, True, ("leaky_relu", 0.5))), TILE)],
    "softmax_rows along": lambda: [run("softmax_rows", SoftmaxProblem((3, 19), 1))],
    "softmax_rows across": lambda: [run("softmax_rows", SoftmaxProblem((3, 5, 11), 1))],
    "conv_depthwise_rows": lambda: [run("conv_depthwise_rows", parse("n2c3i67x61k6f3x3p1g3+bias+relu"))],
    "pool_rows": lambda: [run("pool_rows", parse("maxpool n2c3i9x7f3x3s2p1"))],
    "shuffle_blocked": lambda: [run("shuffle_blocked", ShuffleProblem((2, 12, 3, 5), 3), y=HALO)],
    "resample_axis": lambda: [run("resample_axis", ResampleProblem(SHAPE, axis, 9, 2)) for axis in (2, 3)],
    "unpool_planes": lambda: [run("unpool_planes", UnpoolProblem((2, 3, 5), (9,), direction)) for direction in (Pass.FORWARD, BACK)],
    "window_copy": lambda: [run("window_copy", WindowProblem(SHAPE, (0, 1, -1, 2), (2, 13, 4, 8), fill=-2.0))],
}


@dataclass(frozen=True)
class Mutant:
    """`old` stands once in the template; with `new` in its place the suite must fail."""

    what: str
    template: str
    suite: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.template}-{self.what}".replace(" ", "_")


DIRECT, BLOCKED, GRADIENT, DEPTHWISE = "conv_direct", "conv_blocked", "conv_blocked_weights", "conv_depthwise"
FILTER = "conv_winograd"
TILE_SUM = "sum${k}_${h}_${c}"
ADDED = "LOADV(more, ${k} * residual_plane + ${h} * OUT_STRIDE_H * residual_row + ${c} * OUT_STRIDE_W * BLOCK)"

MUTANTS = [
    Mutant("epilogue order", DIRECT, "conv_direct",
           "                value += READ(residual + at);\n            % endif\n                WRITE(ACTIVATE(value), out + at);",
           "            % endif\n                WRITE(ACTIVATE(value) + READ(residual + at), out + at);"),
    Mutant("zeros of the padding", "conv_direct_stage", "conv_direct", "for (; i < pitch; i += GROUP) to[i] = 0.0f;", ""),
    Mutant("tail", "conv_direct_backward_weights", "conv_direct weights",
           "inside ? READ_STAGED(x_row + x_${c}_at + column_${s} + q) : (vec)(0.0f)", "READ_STAGED(x_row + x_${c}_at + column_${s} + q)"),
    Mutant("first split", "conv_direct_backward_weights", "conv_direct weights", "for (int split = 0; split < splits; ++split)",
           "for (int split = 1; split < splits; ++split)"),
    Mutant("halo", BLOCKED, "conv_blocked", "if (writes_halo && tile0 == 0) {", "if (writes_halo > 1) {"),
    Mutant("lanes that are no channels", BLOCKED, "conv_blocked", "mask${k} ? ACTIVATE(sum${k}_${h}_${c}) : (vec)(0.0f));",
           "ACTIVATE(sum${k}_${h}_${c}));"),
    Mutant("last rows", BLOCKED, "conv_blocked", "min(tile_row * TILE_H, out_h - TILE_H)", "tile_row * TILE_H"),
    Mutant("phase", BLOCKED, "conv_blocked phases", "* STEP_WEIGHTS * BLOCK_IN)) + w_offset;", "* STEP_WEIGHTS * BLOCK_IN));"),
    Mutant("sums of earlier rows", GRADIENT, "conv_blocked_weights", "if (unit != begin_unit) {", "if (unit > begin_unit + 1) {"),
    Mutant("tap order", "pack_weights", "pack_weights", "source + t * tap_step", "source + t"),
    Mutant("NaN", "pool_direct_forward", "pool_direct maximum", "best[j] = value != value ? value : larger;", "best[j] = larger;"),
    Mutant("divisor", "pool_direct_forward", "pool_direct mean", "TAPS_BELOW(${start}, ${size} + PAD_END_${axis}, ${axis})",
           "TAPS_BELOW(${start}, ${size}, ${axis})"),
    Mutant("window beyond the last", "pool_direct_backward", "pool_direct mean's gradient", "p >= p_count) continue;",
           "p > p_count) continue;"),
    Mutant("NaN", "pool_blocked", "pool_blocked maximum", "lost${i} |= odd;", "lost${i} |= (ivec)(0);"),
    Mutant("mirrored window", "lrn_direct", "lrn_direct", "below = c - (WINDOW - 1) / 2, above = c + WINDOW / 2;",
           "below = c - WINDOW / 2, above = c + (WINDOW - 1) / 2;"),
    Mutant("rest of a row", "reduce_strided", "reduce_strided rows", "for (; column < piece_end; ++column) {",
           "for (; column + 1 < piece_end; ++column) {"),
    Mutant("tail channels", "reorder_blocked", "reorder_blocked gather",
           '${zero("to", "column * BLOCK + lanes", "(column + 1) * BLOCK")}', ""),
    Mutant("last chunk", "matmul_tiled", "matmul_tiled", "const int steps = min(CHUNK, k - k0);", "const int steps = CHUNK;"),
    Mutant("lanes left out", "softmax_rows", "softmax_rows along", "${fold.name} = ${fold.merge.format(fold.name)};", ""),
    Mutant("end of a row", "window_copy", "window_copy", "x_e + before_e < y_e ? x_e + before_e : y_e", "x_e < y_e ? x_e : y_e"),
]  # fmt: skip

MORE_MUTANTS = [
    Mutant("one step too many", "gemm", "matmul_gemm", "while (step++ < steps);", "while (step++ <= steps);"),
    Mutant("end of a part", "matmul_gemm", "matmul_gemm", "k_end = min(k_begin + k_each, all_k);", "k_end = all_k;"),
    Mutant("column behind the last", "matmul_gemm", "matmul_gemm", "if (column >= n) continue;", "if (column > n) continue;"),
    Mutant("entry of the batch", "matmul_gemm", "matmul_gemm", "STEP(group * all_k * ${size})", "STEP(group * ${size})"),
    Mutant("first level of the tree", "matmul_vector", "matmul_vector", "half_way = SLICES / 2;", "half_way = SLICES / 4;"),
    Mutant("last of the few", "matmul_vector", "matmul_vector", "if (first + row >= few_count ||", "if (first + row > few_count ||"),
    Mutant("whose bias", "matmul_vector", "matmul_vector", "(first + row) * bias_few + at * bias_many", "first + row"),
    Mutant("first level of the tree", "reduce_groups", "reduce_groups", "half_way = slices / 2;", "half_way = slices / 4;"),
    Mutant("next row", "reduce_groups", "reduce_groups", "row < row_end; row += every)", "row < row_end; row += slices)"),
    Mutant("piece", "reduce_groups", "reduce_groups", "const int row_end = min(row_begin + rows_per_piece, row_count);",
           "const int row_end = row_count;"),
    Mutant("neighbours", "softmax_groups", "softmax_groups", "apart == 1 ? item / slices : item % apart", "item / slices"),
    Mutant("first level of the tree", "softmax_groups", "softmax_groups", "half_way = slices / 2;", "half_way = slices / 4;"),
    Mutant("NaN", "pool_strips", "pool_strips", "|| value${s} != value${s} ?", "?"),
    Mutant("window of a strip", "pool_strips", "pool_strips", "const int start = top + ${i} * STRIDE_H;", "const int start = top;"),
    Mutant("padding wins", "pool_strips", "pool_strips", "const int holds${s} = inside & inside${s};", "const int holds${s} = inside${s};"),
    Mutant("row outside", "conv_depthwise_strips", "conv_depthwise_strips", "inside & inside${s} ? read${s}", "inside${s} ? read${s}"),
    Mutant("end of the strips", "conv_depthwise_strips", "conv_depthwise_strips", "if (strip * ROWS + ${i} < rows) {", "{"),
    Mutant("tap of a phase", "conv_depthwise_strips", "conv_depthwise_strips", "taps_stored + tap0;", "taps_stored;"),
    Mutant("position behind the last", "conv_depthwise_strips_weights", "conv_depthwise_strips weights",
           "live${i} = row + ${i} < out_height;", "live${i} = row + ${i} <= out_height;"),
    Mutant("other strips", "conv_depthwise_strips_weights", "conv_depthwise_strips weights", "number += GROUP / lanes)",
           "number += GROUP)"),
    Mutant("row behind the last", "conv_gemm", "conv_gemm", "((uint)(y0 + down) < (uint)height)", "((uint)(y0 + down) <= (uint)height)"),
    Mutant("next row of taps", "conv_gemm_walk", "conv_gemm", "w_tap = w_row += tap_y_step;", "w_tap = w_row += tap_x_step;"),
    Mutant("channels of the last tile", "conv_gemm_walk", "conv_gemm", "if (m < outputs) {\n            % if split:",
           "if (m <= outputs) {\n            % if split:"),
    Mutant("order of the epilogue", "conv_gemm_walk", "conv_gemm", "STORE(out, at + m * out_plane, ACTIVATE(value));",
           "STORE(out, at + m * out_plane, has_residual ? value : ACTIVATE(value));"),
    Mutant("column of the phase", "conv_gemm_walk", "conv_gemm phases", "+ first_x + (pixel - row * columns) * out_step_x;",
           "+ (pixel - row * columns) * out_step_x;"),
    Mutant("taps of the phase", "conv_gemm", "conv_gemm phases", "(c * taps_stored + tap0 + t", "(c * taps_stored + t"),
    Mutant("rest of the steps", "conv_gemm_walk", "conv_gemm parts", "min(steps_each, all_steps - (int)get_group_id(2) * steps_each);",
           "steps_each;"),
    Mutant("lane of a row", "conv_gemm_subgroups", "conv_gemm_subgroups", "${i % lanes});", "${(i + 1) % lanes});"),
    Mutant("column behind the last", "conv_gemm_subgroups", "conv_gemm_subgroups", "(uint)(x${j} + right) < (uint)width) ? -1",
           "(uint)(x${j} + right) <= (uint)width) ? -1"),
    Mutant("first part", "conv_gemm_sum", "conv_gemm parts", "for (int part = 0;", "for (int part = 1;"),
    Mutant("column behind the last", "conv_winograd_gemm", "conv_winograd_gemm", "(uint)(x + ${j}) < (uint)width;",
           "(uint)(x + ${j}) <= (uint)width;"),
    Mutant("edge of the last tile", "conv_winograd_gemm", "conv_winograd_gemm", "if (y + ${i} < height && x + ${j} < width) {",
           "if (y + ${i} < height) {"),
    Mutant("steps of the products", "conv_gemm_products", "conv_winograd_gemm", "data_at + STEP(TILE_K * columns) : data_first;",
           "data_at + STEP(TILE_K * TILE_N) : data_first;"),
    Mutant("end of a row", "conv_gemm_weights", "conv_gemm weights", "const int next_row = x >= x_end;", "const int next_row = x > x_end;"),
    Mutant("next image", "conv_gemm_weights", "conv_gemm weights", "(next_image ? source_gap : 0);", "0;"),
    Mutant("end of a part", "conv_gemm_weights", "conv_gemm weights", "const int live = k < k_end;", "const int live = k <= k_end;"),
    Mutant("edge of the last tile", FILTER, "conv_winograd", "int j = wanted_w - first_w;", "int j = wanted_w - first_w + 1;"),
    Mutant("tap order", "winograd_weights", "winograd_weights", "taps += tap_step;", "++taps;"),
    Mutant("halo", FILTER, "conv_winograd", "image < tiles / (tiles_h * tiles_w);", "image < tiles / (tiles_h * tiles_w) - 1;"),
    Mutant("lanes that are no channels", FILTER, "conv_winograd", "= mask ? value : (vec)(0.0f);", "= value;"),
    Mutant("tail of the channels", FILTER, "conv_winograd", "i < end % BLOCK;", "i < end % BLOCK - 1;"),
    Mutant("product of the weights", FILTER, "conv_winograd", "* (PRODUCTS_H * PRODUCTS_W) * channels",
           "* (PRODUCTS_H * PRODUCTS_W - 1) * channels"),
    Mutant("first block of a tile", BLOCKED, "conv_blocked joint groups", "block0 * BLOCK / group_filters * group_channels / BLOCK;",
           "block0 * BLOCK / group_filters;"),
    Mutant("last columns", DEPTHWISE, "conv_depthwise", "min(first, out_w - TILE_W)", "min(first, out_w - TILE_W - 1)"),
    Mutant("bias of a block", DEPTHWISE, "conv_depthwise", "lane < live ? LOAD(bias, block * BLOCK + lane) : 0.0f",
           "lane < live ? LOAD(bias, lane) : 0.0f"),
    Mutant("halo", DEPTHWISE, "conv_depthwise", "if (writes_halo) {", "if (writes_halo > 1) {"),
    Mutant("stride", DEPTHWISE, "conv_depthwise", "column * READ_STRIDE_W * BLOCK;", "column * BLOCK;"),
    Mutant("phase", DEPTHWISE, "conv_depthwise phases", "GROUP * BLOCK) + w_offset;", "GROUP * BLOCK);"),
    Mutant("channels of a group", DEPTHWISE, "conv_depthwise groups", "sum${position} += value${turn} * w${tap}_${j};",
           "sum${position} += value * w${tap}_${j};"),
    Mutant("first row of a split", "conv_depthwise_weights", "conv_depthwise_weights", "for (int unit = begin; unit < end; ++unit) {",
           "for (int unit = begin + 1; unit < end; ++unit) {"),
    Mutant("kernel rows left over", "conv_depthwise_weights", "conv_depthwise_weights", "const int r0 = KERNEL_H - ${rest_r};",
           "const int r0 = 0;"),
    Mutant("first split", "conv_depthwise_weights", "conv_depthwise_weights", "for (int split = 1; split < splits; ++split)",
           "for (int split = 2; split < splits; ++split)"),
    Mutant("other groups", "pack_weights", "pack_weights joint groups", "group < groups && input >= 0 && input < inputs", "group < groups"),
    Mutant("next block", "lrn_blocked", "lrn_blocked", "block + ${neighbour} < blocks)", "block + ${neighbour} < blocks - 1)"),
    Mutant("lanes that are no channels", "lrn_blocked", "lrn_blocked", "terms[scratch + i] = live ? term : 0.0f;",
           "terms[scratch + i] = term + 1.0f - live;"),
    Mutant("group offset", DIRECT, "conv_direct", "w + group * w_group + (", "w + ("),
    Mutant("phase", DIRECT, "conv_direct phases", "c * w_reduced + TAP0_W(phase_w)", "c * w_reduced"),
    Mutant("index base", "pool_direct_forward", "pool_direct maximum", "inside + j * STRIDE_W : where[j];", "inside + j : where[j];"),
    Mutant("channels beyond the last", DIRECT, "conv_direct", "k < TILE_K && k0 + k < own; ++k", "k < TILE_K; ++k"),
    Mutant("narrow tiles", BLOCKED, "conv_blocked", "tile_column * TILE_W - max(0, tile_column - wide)", "tile_column * TILE_W"),
    Mutant("lanes that are no channels", "map_blocked", "map_blocked", 'f"lane < lanes ? {y.name} : 0.0f"', "y.name"),
    Mutant("bound", "conv_direct_stage", "conv_direct", "y >= 0 && y < height", "y >= 0 && y <= height"),
    Mutant("dilation", "pool_blocked", "pool_blocked mean's gradient", "if ((row - top) % DILATION_H != 0) continue;", ""),
    Mutant("carry of the loops", "map_strided", "map_strided",
           "if (position${axis} == extent${axis}) { position${axis} = 0; ++position${axis - 1}; }", ""),
    Mutant("dilation", DIRECT, "conv_direct", "BASE_W(phase_w) + tw * STEP_W", "BASE_W(phase_w) + tw"),
    Mutant("bias of a group", BLOCKED, "conv_blocked groups", "LOAD(bias, group * filters + block0", "LOAD(bias, block0"),
    Mutant("first split", GRADIENT, "conv_blocked_weights", "for (int split = 1; split < splits; ++split)",
           "for (int split = 2; split < splits; ++split)"),
    Mutant("padding wins", "pool_direct_forward", "pool_direct maximum", "best[j] = -INFINITY;", "best[j] = 0.0f;"),
    Mutant("halo", "pool_blocked", "pool_blocked maximum", "ZERO_RUN(out + q_count * BLOCK, y_right);", ""),
    Mutant("row tail", DIRECT, "conv_direct", "left >= LANES && (OUT_STEP_W == 1", "left > 0 && (OUT_STEP_W == 1"),
    Mutant("bias of a group", DIRECT, "conv_direct", "LOAD(bias, channel)", "LOAD(bias, k0 + k)"),
    Mutant("stride", DIRECT, "conv_direct", "tile_h * TILE_H * IN_STEP_H + BASE_H", "tile_h * TILE_H + BASE_H"),
    Mutant("padding", "conv_direct_stage", "conv_direct", "* width + f - begin_w : 0", "* width + f : 0"),
    Mutant("dilation", "conv_direct_backward_weights", "conv_direct weights", "KERNEL_W - 1) * DILATION_W;", "KERNEL_W - 1);"),
    Mutant("group offset", "conv_direct_backward_weights", "conv_direct weights", "(group * channels + (c0", "((c0"),
    Mutant("stride", BLOCKED, "conv_blocked", "column * READ_STRIDE_W * BLOCK_IN${", "column * BLOCK_IN${"),
    Mutant("sums of earlier chunks", BLOCKED, "conv_blocked chunks", "            if (chunk > 0) {", "            if (chunk > CHUNK) {"),
    Mutant("tail in the last chunk", BLOCKED, "conv_blocked chunks", '${"if (last) " if chunked else ""}{', "{"),
    Mutant("other half of the rows", "transpose", "conv_blocked_unpacked", ".odd = row${stage}_${row + half}.hi",
           ".odd = row${stage}_${row}.hi"),
    Mutant("what blocks leave over", "conv_blocked_pack", "conv_blocked_unpacked", "for (; e < elements; ++e)",
           "for (; e < elements - 1; ++e)"),
    Mutant("next chunk", BLOCKED, "conv_blocked_unpacked", "first_weights + chunk * (BLOCK * KERNEL_H * KERNEL_W);", "first_weights;"),
    Mutant("dilation", BLOCKED, "conv_blocked", "row${h} += STEP_W * BLOCK_IN;", "row${h} += BLOCK_IN;"),
    Mutant("epilogue order", BLOCKED, "conv_blocked", f"{TILE_SUM} += {ADDED};", f"{TILE_SUM} = ACTIVATE({TILE_SUM}) + {ADDED};"),
    Mutant("next input block", BLOCKED, "conv_blocked",
           "                source += x_plane;\n                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK;",
           "                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK;"),
    Mutant("last rows", GRADIENT, "conv_blocked_weights", "min(p0 + rows_per_unit, p_count)", "p0 + rows_per_unit"),
    Mutant("dilation", GRADIENT, "conv_blocked_weights", "LOAD(at, ${s} * DILATION_W * X_BLOCK", "LOAD(at, ${s} * X_BLOCK"),
    Mutant("filters beyond the last", GRADIENT, "conv_blocked_weights tail", "min(BLOCK, filters - filter);", "BLOCK;"),
    Mutant("tail", "pack_weights", "pack_weights", "i < live_inputs && o < live_outputs ?", "i < live_inputs ?"),
    Mutant("bound", "pool_direct_forward", "pool_direct mean", "highest < most ? highest : most;", "most;"),
    Mutant("stride", "pool_direct_backward", "pool_direct mean's gradient", "over_h % STRIDE_H != 0 || ", ""),
    Mutant("index base", "pool_direct_backward", "pool_direct maximum's gradient", "== inside + j ?", "== j ?"),
    Mutant("window's end", "pool_direct_adaptive", "pool_direct adaptive", "column1 = END(q, q_count, width)",
           "column1 = START(q + 1, q_count, width)"),
    Mutant("divisor", "pool_direct_adaptive", "pool_direct adaptive's gradient", "(float)(deep * rows * (right - left))",
           "(float)(deep * rows)"),
    Mutant("tile of windows", "pool_blocked", "pool_blocked maximum", "const int first = min(q, inside1 - TILE);",
           "const int first = min(q, inside1 - TILE - 1);"),
    Mutant("divisor", "pool_blocked", "pool_blocked mean", "(${size} + END_${axis} - (${start}) + DILATION",
           "(${size} - (${start}) + DILATION"),
    Mutant("tail of the indices", "pool_blocked", "pool_blocked indices", "live ? index : (ivec)(0)", "index"),
    Mutant("last window", "pool_blocked", "pool_blocked maximum's gradient", "(row + PAD_H) / STRIDE_H + 1)", "(row + PAD_H) / STRIDE_H)"),
    Mutant("bound", "pool_blocked", "pool_blocked maximum", "const int r1 = min(KERNEL_H, (h - start + DILATION_H - 1) / DILATION_H);",
           "const int r1 = KERNEL_H;"),
    Mutant("whole windows", "pool_blocked", "pool_blocked mean's gradient", "(PAD_${axis} + STRIDE_${axis} - 1) / STRIDE_${axis}", "0"),
    Mutant("image", "lrn_direct", "lrn_direct", "task / tiles / channels * channels", "0"),
    Mutant("index", "map_blocked", "map_blocked", "(uint)(image * channels + block * BLOCK + lane)", "(uint)(image * channels + lane)"),
    Mutant("halo", "map_blocked", "map_blocked", "i < ${y.name}_below - ${y.name}_left", "i < -${y.name}_left"),
    Mutant("only the last split", "reduce_blocked", "reduce_blocked", "COMBINE(total${i}[lane], more)", "more"),
    Mutant("first row of a split", "reduce_blocked", "reduce_blocked", "int unit = (int)((long)split * units / splits);",
           "int unit = (int)((long)split * units / splits) + 1;"),
    Mutant("only the last lane", "reduce_strided", "reduce_strided rows", "COMBINE(${total}_rest, ${total}_lane[lane])",
           "${total}_lane[lane]"),
    Mutant("pieces", "reduce_strided", "reduce_strided columns", "const int row_begin = piece * rows_per_piece;",
           "const int row_begin = 0;"),
    Mutant("halo", "reorder_blocked", "reorder_blocked gather", "row_count * y_row + y_below - y_left", "row_count * y_row - y_left"),
    Mutant("next plane", "reorder_blocked", "reorder_blocked scatter", "++lane, target += y_plane", "++lane"),
    Mutant("last columns", "reorder_strided", "reorder_strided tiled", "for (int column = first; column < end; ++column) {",
           "for (int column = first; column + 1 < end; ++column) {"),
    Mutant("bias of the tail", "matmul_tiled", "matmul_tiled", "lane[c] += LOAD(bias, column + c);", "lane[c] += LOAD(bias, c);"),
    Mutant("batch", "matmul_tiled", "matmul_tiled", "b += entry * k * n;", ""),
    Mutant("next line", "softmax_rows", "softmax_rows across", "*from = ${source} + line * length * inner;",
           "*from = ${source} + line * length;"),
    Mutant("rows of a band", "conv_depthwise_rows", "conv_depthwise_rows", "const int count = (rows - 1) * pitch",
           "const int count = (rows - 3) * pitch"),
    Mutant("channel of a filter", "conv_depthwise_rows", "conv_depthwise_rows", "+ filter / multiplier)", "+ filter)"),
    Mutant("last row", "pool_rows", "pool_rows", "rest < KERNEL_H ? rest : KERNEL_H", "rest < KERNEL_H - 1 ? rest : KERNEL_H - 1"),
    Mutant("left border", "pool_rows", "pool_rows", "for (int i = 0; i < STRIDE_W * phase; ++i) line[i] = IDENTITY;\n${band",
           "for (int i = 0; i < STRIDE_W * phase; ++i) line[i] = 99.0f;\n${band"),
    Mutant("behind the map", "band", "conv_depthwise_rows", "LANE_IDS < (mask)(inner - c) ? near : (vec)(${outside})", "near"),
    Mutant("odd columns", "band", "pool_rows", "(PAD_W + 1) % 2 * phase", "PAD_W % 2 * phase"),
    Mutant("end of a map", "band", "pool_rows", "for (int i = 0; i < live; ++i) STORE", "for (int i = 0; i + 1 < live; ++i) STORE"),
    Mutant("next row", "reorder_blocked", "reorder_blocked gather", "if (++column == width) {", "if (++column > width) {"),
    Mutant("lanes that are no channels", "reorder_blocked", "reorder_blocked gather", "lanes == BLOCK && position1", "position1"),
    Mutant("halo of later rows", "conv_depthwise", "conv_depthwise", "y_top + (int)((long)row0 * y_h / out_h)", "y_top + row0 + 1"),
    Mutant("groups", "shuffle_blocked", "shuffle_blocked", "channel % groups * (channels / groups) + channel / groups",
           "channel % (channels / groups) * groups + channel / (channels / groups)"),
    Mutant("lanes that are no channels", "shuffle_blocked", "shuffle_blocked", "live ? value : (vec)(0.0f)", "value"),
    Mutant("outer index", "resample_axis", "resample_axis", "task / out * size * inner", "task / out * out * inner"),
    Mutant("row of the result", "resample_axis", "resample_axis", "real *to = y + task * out;", "real *to = y + task * size;"),
    Mutant("position outside", "unpool_planes", "unpool_planes", "known ? value : 0.0f", "value"),
    Mutant("plane of an index", "unpool_planes", "unpool_planes", "indices[plane * count + i];\n            if",
           "indices[i];\n            if"),
    Mutant("bound", "window_copy", "window_copy", "c >= 0 && c < x_c", "c >= 0 && c <= x_c"),
]  # fmt: skip


@cache
def suite(name: str) -> list[Run]:
    return SUITES[name]()


def run_suite(name: str, directory: str | None = None) -> None:
    if name == "conv_gemm_subgroups" and LANES not in traits().sub_group_sizes:
        pytest.skip(f"the device has no sub-groups of {LANES} that a kernel can ask for")
    for prepared, given in suite(name):
        check(prepared, given, directory)


def check_caught(mutant: Mutant, folder: Path) -> None:
    name = f"{mutant.template}.cl.mako"
    text = (importlib.resources.files("clconv.kernels") / name).read_text()
    assert text.count(mutant.old) == 1, f"{name} holds {text.count(mutant.old)} times: {mutant.old}"
    (folder / name).write_text(text.replace(mutant.old, mutant.new))
    with pytest.raises(AssertionError):
        run_suite(mutant.suite, str(folder))


@pytest.mark.parametrize("name", sorted({mutant.suite for mutant in MUTANTS}))
def test_the_suite_passes_without_a_mistake(name: str) -> None:
    run_suite(name)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_planted_mistake_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    check_caught(mutant, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(SUITES))
def test_every_suite_passes_without_a_mistake(name: str) -> None:
    run_suite(name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("mutant", MORE_MUTANTS, ids=str)
def test_more_planted_mistakes_are_caught(mutant: Mutant, tmp_path: Path) -> None:
    check_caught(mutant, tmp_path)


def test_every_template_has_a_mutant_and_every_mutant_text_to_replace() -> None:
    folder = Path(str(importlib.resources.files("clconv.kernels")))
    texts = {path.name.removesuffix(".cl.mako"): path.read_text() for path in folder.glob("*.cl.mako")}
    mutants = MUTANTS + MORE_MUTANTS
    assert {mutant.template for mutant in mutants} == set(texts) - {"common", "persistent"}  # test_persistent.py plants those
    assert {mutant.suite for mutant in mutants} == set(SUITES)
    assert [str(m) for m in mutants if texts[m.template].count(m.old) != 1] == []
    assert len({str(m) for m in mutants}) == len(mutants) and len(MUTANTS) >= 20
