"""The text of one representative kernel of every template, kept in tests/snapshots: a refactor changes none of it, and a change of a kernel
is seen as what it makes of the OpenCL C.

After an intended change: `python -m tests.test_snapshots` writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clconv.algorithms import ALGORITHMS
from clconv.algorithms.conv_blocked import ConvBlockedParams
from clconv.algorithms.conv_blocked_weights import ConvBlockedWeightsParams
from clconv.algorithms.conv_depthwise import ConvDepthwiseParams
from clconv.algorithms.conv_depthwise_strips import ConvDepthwiseStripsParams
from clconv.algorithms.conv_depthwise_weights import ConvDepthwiseWeightsParams
from clconv.algorithms.conv_direct import DirectParams, WeightsParams
from clconv.algorithms.conv_winograd import ConvWinogradParams
from clconv.algorithms.conv_winograd_gemm import ConvWinogradGemmParams
from clconv.algorithms.gemm_shape import ConvGemmParams
from clconv.algorithms.matmul_tiled import MatmulTiledParams
from clconv.algorithms.matmul_vector import MatmulVectorParams
from clconv.algorithms.pool_strips import PoolStripsParams
from clconv.algorithms.reduce_groups import ReduceGroupsParams
from clconv.codegen.persistent import Member, join
from clconv.codegen.plan import KernelSource
from clconv.codegen.render import render, template_names
from clconv.device import XE, DeviceTraits
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
from clconv.tensor import Blocked, Packed, Strided, TensorSpec, Transformed
from tests.cases import prepare

FOLDER = Path(__file__).parent / "snapshots"
CPU, WIDE, GPU = DeviceTraits.cpu(8), DeviceTraits.cpu(16), DeviceTraits.gpu()
GEMM, FILTERING = ConvGemmParams(32, 32, 8, 4, 4), ConvWinogradGemmParams(2, 32, 32, 8, 4, 4)
XE_GPU, SUB_GROUPS = replace(GPU, gpu_class=XE, sub_group_sizes=(8, 16, 32)), ConvGemmParams(16, 8, 8, 16, 1, sub_group=8)
SHAPE = (3, 17, 5, 7)
FULL, CHANNEL = TensorSpec(SHAPE), TensorSpec((1, 17, 1, 1))
BACK = Pass.BACKWARD_DATA
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}


def kernel(algorithm: str, problem: Problem, device: DeviceTraits, call: int = 0, params: object = None) -> KernelSource:
    """The source of one launch; small tiles given as `params` keep the text readable, and independent of how tiles are chosen."""
    entry = BY_NAME[algorithm]
    chosen = params or entry.defaults(problem, device)
    return prepare(entry, problem, device, chosen).plan.calls[call].source


def conv(algorithm: str, text: str, device: DeviceTraits, params: object, call: int = 0) -> KernelSource:
    return kernel(algorithm, parse(text), device, call, params)


def joined(*launches: tuple[str, Problem]) -> KernelSource:
    """The source of one launch that does the first of each algorithm's."""
    members = []
    for name, problem in launches:
        call = prepare(BY_NAME[name], problem, CPU, BY_NAME[name].defaults(problem, CPU)).plan.calls[0]
        places = {operand: (("arena", 0), 0) for _, operand in call.bindings if isinstance(operand, str)}
        members.append(Member(render(call.source), call, places, ()))
    return join(members, CPU.compute_units).kernel.source


MOMENTS = (("t0", "x0 - x1"), ("r0", "t0"), ("r1", "t0 * t0"))
TRANSPOSED = ReorderProblem(SHAPE).with_layouts(x=Strided((595, 1, 119, 17)))
MAP = MapProblem(SHAPE, (FULL, CHANNEL), (("t0", "x0 * x1"), ("y0", "t0 < 0.0f ? 0.0f : t0"), ("y1", "(float)index")), ("float32",) * 2,
                 uses_index=True)

# Name of the file, TEMPLATE.WHAT -> its kernel.
SNAPSHOTS: dict[str, Callable[[], KernelSource]] = {
    "conv_blocked.forward": lambda: conv(
        "conv_blocked", "n1c17i9x5k33f3x3s2p1+bias+relu+res", CPU, ConvBlockedParams(2, 2, 2, 4)),
    "conv_blocked.few_channels": lambda: conv("conv_blocked", "n1c3i9x4k16f3x3p1", WIDE, ConvBlockedParams(1, 2, 1, 4)),
    "conv_blocked.phase": lambda: conv("conv_blocked", "n1c17i9x5k33f3x3s2p1:bwd_d", CPU, ConvBlockedParams(1, 2, 1, 4), 3),
    "conv_blocked.half": lambda: conv("conv_blocked", "n1c16i4x4k16f3x3p1:f16", CPU, ConvBlockedParams(1, 2, 1, 4)),
    "conv_blocked.joint": lambda: conv("conv_blocked", "n1c6i5x4k9f3x3p1g3", CPU, ConvBlockedParams(1, 2, 1, 4)),
    "conv_blocked.chunked": lambda: conv("conv_blocked", "n1c20i4x4k16f1x1", CPU, ConvBlockedParams(1, 2, 1, 4, 2)),
    "conv_blocked.unpacked": lambda: conv(
        "conv_blocked_unpacked", "n1c20i4x4k16f3x1p1,1x0", DeviceTraits.cpu(4), ConvBlockedParams(1, 2, 1, 4, 2)),
    "conv_blocked_weights.partial": lambda: conv(
        "conv_blocked_weights", "n1c17i9x5k33f3x3s2p1:bwd_w", CPU, ConvBlockedWeightsParams(2, 2, 2, 1, 4)),
    "conv_blocked_weights.sum": lambda: conv(
        "conv_blocked_weights", "n1c17i9x5k33f3x3s2p1:bwd_w", CPU, ConvBlockedWeightsParams(2, 2, 2, 1, 4), 1),
    "conv_depthwise.forward": lambda: conv(
        "conv_depthwise", "n1c17i5x5k17f3x3s2p1g17+bias+relu+res", CPU, ConvDepthwiseParams(2, 2)),
    "conv_depthwise.groups": lambda: conv("conv_depthwise", "n1c12i5x5k12f3x3p1g3", CPU, ConvDepthwiseParams(2, 2)),
    "conv_depthwise_weights.partial": lambda: conv(
        "conv_depthwise_weights", "n1c17i5x5k17f3x2s2p1g17:bwd_w", CPU, ConvDepthwiseWeightsParams(2, 2)),
    "conv_depthwise_weights.sum": lambda: conv(
        "conv_depthwise_weights", "n1c17i5x5k17f3x2s2p1g17:bwd_w", CPU, ConvDepthwiseWeightsParams(2, 2), 1),
    "conv_direct.forward": lambda: conv("conv_direct", "n1c3i9x5k5f3x3s2p1+bias+leaky_relu(0.5)+res", CPU, DirectParams(2, 2, 1, 8), 1),
    "conv_direct.backward_data": lambda: conv("conv_direct", "n1c3i9x5k5f3x3s2p1d2:bwd_d", GPU, DirectParams(2, 1, 1, 1), 1),
    "conv_direct_stage.forward": lambda: conv("conv_direct", "n1c3i9x5k5f3x3s2p1:f16", CPU, DirectParams(2, 2, 1, 8)),
    "conv_direct_backward_weights.sums": lambda: conv("conv_direct", "n1c3i9x5k5f3x3s2p1d2:bwd_w", CPU, WeightsParams(2, 1, 3, 8), 2),
    "conv_direct_backward_weights.total": lambda: conv("conv_direct", "n1c3i9x5k5f3x3s2p1:bwd_w", GPU, WeightsParams(2, 1, 3, 1), 3),
    "conv_gemm.taps": lambda: conv("conv_gemm", "n1c16i9x5k33f3x3s2p1+bias+relu+res", GPU, GEMM),
    "conv_gemm.flat": lambda: conv("conv_gemm", "n1c3i9x5k33f3x3s2p1", GPU, GEMM),
    "conv_gemm.split_half": lambda: conv("conv_gemm", "n1c17i9x5k33f5x5p2:f16", GPU, replace(GEMM, parts=2, indices=True)),
    "conv_gemm_subgroups.taps": lambda: conv("conv_gemm_subgroups", "n1c16i9x5k33f3x3s2p1+bias+relu+res", XE_GPU, SUB_GROUPS),
    "conv_gemm_subgroups.split_half": lambda: conv(
        "conv_gemm_subgroups", "n1c101i9x5k33f5x5p2:f16", XE_GPU, replace(SUB_GROUPS, columns=16, item_columns=2, parts=2, indices=True)),
    "conv_gemm_weights.rows": lambda: conv("conv_gemm", "n1c32i9x5k32f3x3s2p1:bwd_w", GPU, GEMM),
    "conv_gemm_weights.flat": lambda: conv("conv_gemm", "n1c17i9x5k33f3x3s2p1:bwd_w", GPU, GEMM),
    "conv_gemm_sum.total": lambda: conv("conv_gemm", "n1c17i9x5k33f3x3s2p1:bwd_w", GPU, GEMM, 1),
    "conv_gemm_products.filtering": lambda: conv("conv_winograd_gemm", "n1c16i9x5k33f3x3p1", GPU, FILTERING, 1),
    "conv_winograd_gemm.data": lambda: conv("conv_winograd_gemm", "n1c16i9x5k33f3x3p1", GPU, FILTERING),
    "conv_winograd_gemm.outputs": lambda: conv("conv_winograd_gemm", "n1c16i9x5k33f3x3p1+relu", GPU, FILTERING, 2),
    "conv_depthwise_strips.forward": lambda: conv(
        "conv_depthwise_strips", "n1c9i9x5k9f3x3s2p1g9+bias+relu+res", GPU, ConvDepthwiseStripsParams(2)),
    "conv_depthwise_strips.several": lambda: conv("conv_depthwise_strips", "n1c9i9x5k18f2x3p1g9:bwd_d", GPU, ConvDepthwiseStripsParams(1)),
    "conv_depthwise_strips_weights.strips": lambda: conv(
        "conv_depthwise_strips", "n1c9i9x5k9f3x2p1g9:bwd_w", GPU, ConvDepthwiseStripsParams(2)),
    "conv_winograd.forward": lambda: conv(
        "conv_winograd", "n1c17i5x7k33f3x3p1+bias+relu", replace(CPU, local_memory_bytes=8000), ConvWinogradParams(2, 1, 2, 4, 16, 1)),
    "pool_blocked.max_indices": lambda: kernel("pool_blocked", parse("maxpool n1c9i9x9f3x3s2p1:idx"), CPU),
    "pool_blocked.max": lambda: kernel("pool_blocked", parse("maxpool n1c9i9x9f3x3s2p1"), WIDE),
    "pool_blocked.mean_inside": lambda: kernel("pool_blocked", parse("avgpool n1c9i9x9f3x3s2p1:nopad"), CPU),
    "pool_blocked.max_backward": lambda: kernel("pool_blocked", parse("maxpool n1c9i9x9f3x3s2p1:bwd_d"), CPU),
    "pool_blocked.mean_backward": lambda: kernel("pool_blocked", parse("avgpool n1c9i9x9f3x3s2p1,0x0,1d2x1:bwd_d"), CPU),
    "pool_strips.max_indices": lambda: kernel("pool_strips", parse("maxpool n1c9i9x9f3x2s2p1:idx"), GPU, params=PoolStripsParams(2)),
    "pool_strips.mean_padded": lambda: kernel("pool_strips", parse("avgpool n1c9i8x8f3x2s2p1:ceil"), GPU, params=PoolStripsParams(2)),
    "pool_direct_forward.max_indices": lambda: kernel("pool_direct", parse("maxpool n1c9i9x9f3x3s2p1:idx"), CPU),
    "pool_direct_forward.mean_padded": lambda: kernel("pool_direct", parse("avgpool n1c9i8x8f3x3s2p1:ceil"), GPU),
    "pool_direct_backward.max": lambda: kernel("pool_direct", parse("maxpool n1c9i9x9f3x3s2p1:bwd_d"), CPU),
    "pool_direct_backward.mean_inside": lambda: kernel("pool_direct", parse("avgpool n1c9i9x9f3x3s2p1:nopad:bwd_d"), CPU),
    "pool_direct_adaptive.forward": lambda: kernel("pool_direct", PoolProblem("adaptive_avg", None, 1, 9, (9, 9), (2, 4)), CPU),
    "pool_direct_adaptive.backward": lambda: kernel(
        "pool_direct", PoolProblem("adaptive_avg", None, 1, 9, (9, 9), (2, 4), BACK), CPU),
    "lrn_blocked.forward": lambda: kernel("lrn_blocked", LrnProblem(SHAPE, 5, 1e-4, 0.75, 1.0), CPU),
    "lrn_blocked.terms": lambda: kernel("lrn_blocked", LrnProblem(SHAPE, 5, 1e-4, 0.75, 1.0, BACK), CPU),
    "lrn_blocked.backward": lambda: kernel("lrn_blocked", LrnProblem(SHAPE, 4, 1e-4, 0.75, 1.0, BACK), CPU, 1),
    "lrn_direct.forward": lambda: kernel("lrn_direct", LrnProblem(SHAPE, 5, 1e-4, 0.75, 1.0), CPU),
    "lrn_direct.terms": lambda: kernel("lrn_direct", LrnProblem(SHAPE, 5, 1e-4, 0.75, 1.0, BACK), CPU),
    "lrn_direct.backward": lambda: kernel("lrn_direct", LrnProblem(SHAPE, 5, 1e-4, 0.75, 1.0, BACK), GPU, 1),
    "map_blocked.written_out": lambda: kernel(
        "map_blocked", MapProblem(SHAPE, (FULL,), (("y0", "exp(x0)"), ("y1", "log(x0) + tanh(x0) + expm1(x0)")), ("float32",) * 2),
        replace(CPU, calls_functions=True)),
    "map_blocked.two_outputs": lambda: kernel("map_blocked", MAP, CPU),
    "map_strided.two_outputs": lambda: kernel("map_strided", MAP, CPU),
    "map_strided.random": lambda: kernel(
        "map_strided",
        MapProblem((7,), (TensorSpec((7,)),), (("y0", "x0 * (float)random_word(index, 0u, seed, 0u)"),), scalars=(("seed", "uint"),),
                   uses_index=True),
        GPU,
    ),
    "reduce_blocked.planes": lambda: kernel(
        "reduce_blocked", ReduceProblem(SHAPE, (FULL, CHANNEL), (2, 3), MOMENTS, ("r", "r / count")), CPU),
    "reduce_blocked.splits": lambda: kernel(
        "reduce_blocked", ReduceProblem(SHAPE, (FULL, CHANNEL), (0, 2, 3), MOMENTS, ("r", "r / count")), CPU, 1),
    "reduce_groups.rows": lambda: kernel(
        "reduce_groups", ReduceProblem(SHAPE, (FULL, CHANNEL), (0, 2, 3), MOMENTS, ("r", "r / count")), GPU),
    "reduce_groups.pieces": lambda: kernel(
        "reduce_groups", ReduceProblem((3, 17), (TensorSpec((3, 17)),), (0,), (("r0", "x0"),)), GPU, params=ReduceGroupsParams(64, 2)),
    "reduce_strided.rows": lambda: kernel("reduce_strided", ReduceProblem(SHAPE, (FULL, CHANNEL), (2, 3), MOMENTS, ("r", "r")), CPU),
    "reduce_strided.columns": lambda: kernel("reduce_strided", ReduceProblem(SHAPE, (FULL,), (0, 1), (("r0", "x0"),), combine="max"), CPU),
    "matmul_gemm.rows": lambda: kernel("matmul_gemm", MatmulProblem(33, 40, 24, epilogue=Epilogue(True, True)), GPU, params=GEMM),
    "matmul_gemm.ragged_parts": lambda: kernel("matmul_gemm", MatmulProblem(33, 40, 21, 1, True, True), GPU, params=replace(GEMM, parts=2)),
    "matmul_vector.along": lambda: kernel("matmul_vector", MatmulProblem(2, 10, 40, 1, False, True, epilogue=Epilogue(True)), GPU),
    "matmul_vector.across": lambda: kernel("matmul_vector", MatmulProblem(2, 10, 40), GPU, params=MatmulVectorParams(2, 8, 2)),
    "matmul_tiled.panel": lambda: kernel(
        "matmul_tiled", MatmulProblem(7, 9, 300, epilogue=Epilogue(True, True, ("relu", 0.0))), CPU,
        params=MatmulTiledParams(8, 2, vectors=2, chunk=128, rows_most=96)),
    "matmul_tiled.transposed": lambda: kernel(
        "matmul_tiled", MatmulProblem(7, 9, 300, transpose_a=True, transpose_b=True), CPU,
        params=MatmulTiledParams(8, 2, vectors=2, chunk=128, rows_most=96)),
    "matmul_tiled.small": lambda: kernel("matmul_tiled", MatmulProblem(7, 9, 300, transpose_b=True), GPU),
    "softmax_groups.forward": lambda: kernel("softmax_groups", SoftmaxProblem((3, 17), 1), GPU),
    "softmax_groups.backward": lambda: kernel("softmax_groups", SoftmaxProblem((3, 17, 5), 1, True, BACK), GPU),
    "softmax_rows.along": lambda: kernel("softmax_rows", SoftmaxProblem((3, 17), 1), CPU),
    "softmax_rows.across": lambda: kernel("softmax_rows", SoftmaxProblem(SHAPE, 1, True), CPU),
    "softmax_rows.backward": lambda: kernel("softmax_rows", SoftmaxProblem((3, 17), 1, False, BACK), GPU),
    "reorder_blocked.gather": lambda: kernel("reorder_blocked", ReorderProblem(SHAPE).with_layouts(y=Blocked(8, ((1, 1), (1, 1)))), CPU),
    "reorder_blocked.scatter": lambda: kernel("reorder_blocked", ReorderProblem(SHAPE, "float16").with_layouts(x=Blocked(8)), CPU),
    "reorder_blocked.rows": lambda: kernel("reorder_blocked", ReorderProblem(SHAPE).with_layouts(x=Blocked(16), y=Blocked(16)), WIDE),
    "reorder_strided.tiled": lambda: kernel("reorder_strided", TRANSPOSED, CPU),
    "reorder_strided.rows": lambda: kernel("reorder_strided", TRANSPOSED, GPU),
    "pack_weights.lanes": lambda: kernel(
        "pack_weights", ReorderProblem((12, 4, 3, 3)).with_layouts(y=Packed(8, 4, 1, 3, False, "lanes")), CPU),
    "pack_weights.blocks": lambda: kernel(
        "pack_weights", ReorderProblem((9, 2, 3, 3)).with_layouts(y=Packed(8, 8, 1, 3, True, "blocks")), CPU),
    "winograd_weights.plain": lambda: kernel(
        "winograd_weights", ReorderProblem((17, 9, 3, 3)).with_layouts(y=Transformed(8, 2, (2, 2))), CPU),
    "pack_weights.plain": lambda: kernel("pack_weights", ReorderProblem((17, 9, 3, 3)).with_layouts(y=Packed(8, 8, 2)), CPU),
    "shuffle_blocked.float": lambda: kernel("shuffle_blocked", ShuffleProblem((3, 12, 5, 7), 4), CPU),
    "resample_axis.rows": lambda: kernel("resample_axis", ResampleProblem(SHAPE, 2, 9, 2), CPU),
    "resample_axis.last": lambda: kernel("resample_axis", ResampleProblem(SHAPE, 3, 9, 2), GPU),
    "unpool_planes.forward": lambda: kernel("unpool_planes", UnpoolProblem(SHAPE, (10, 14)), CPU),
    "unpool_planes.backward": lambda: kernel("unpool_planes", UnpoolProblem(SHAPE, (10, 14), BACK), GPU),
    "conv_depthwise_rows.dense": lambda: kernel("conv_depthwise_rows", parse("n3c4i5x7k4f3x3p1g4+bias"), CPU),
    "conv_depthwise_rows.strided": lambda: kernel("conv_depthwise_rows", parse("n3c4i9x9k8f5x5s2p2g4+relu"), CPU),
    "pool_rows.max": lambda: kernel("pool_rows", parse("maxpool n3c4i5x7f3x3s2p1"), CPU),
    "pool_rows.mean": lambda: kernel("pool_rows", parse("avgpool n3c4i5x7f3x3s2p1:nopad"), CPU),
    "window_copy.plain": lambda: kernel("window_copy", WindowProblem(SHAPE, (0, 0, 1, 1), (3, 17, 7, 9)), CPU),
    "persistent.softmax_and_pool": lambda: joined(
        ("softmax_rows", SoftmaxProblem((3, 17), 1)), ("pool_rows", parse("maxpool n3c4i5x7f3x3s2p1"))),
}  # fmt: skip


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.cl"


def difference(name: str) -> str:
    """From the file to what is rendered now, as a unified diff; empty if they are alike."""
    before = path_of(name).read_text() if path_of(name).exists() else ""
    now = render(SNAPSHOTS[name]()).text
    return "".join(difflib.unified_diff(before.splitlines(True), now.splitlines(True), f"snapshots/{name}.cl", "rendered now"))


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_kernel_is_as_it_was(name: str) -> None:
    changes = difference(name)
    assert not changes, f"{name}: the rendered kernel differs; if it should, run `python -m tests.test_snapshots`\n{changes}"


def test_a_difference_is_shown_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SNAPSHOTS, "softmax_rows.along", lambda: kernel("softmax_rows", SoftmaxProblem((3, 17), 1), WIDE))
    changes = difference("softmax_rows.along").splitlines()
    assert "-#define BLOCK 8" in changes and "+#define BLOCK 16" in changes


def test_every_template_has_a_snapshot_and_every_snapshot_a_kernel() -> None:
    parts = {"common", "band", "gemm", "conv_gemm_walk", "conv_blocked_pack", "transpose"}
    assert {name.partition(".")[0] for name in SNAPSHOTS} == set(template_names()) - parts
    assert all(SNAPSHOTS[name]().template == name.partition(".")[0] for name in SNAPSHOTS)
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.cl" for name in SNAPSHOTS}


def write_all() -> None:
    """The files as the templates are now; those that belong to no kernel are removed."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.cl"):
        path.unlink()
    for name, source in SNAPSHOTS.items():
        path_of(name).write_text(render(source()).text)


if __name__ == "__main__":
    write_all()
