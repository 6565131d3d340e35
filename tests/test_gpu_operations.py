"""What GPUs run beside convolution: who shares what, what is refused, text forms; and, on the device at hand, what the shared cases leave
out, a network as on a GPU, and PyTorch's numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.algorithms import ALGORITHMS, for_problem
from clconv.algorithms.conv_depthwise_strips import ConvDepthwiseStripsParams, lines_of
from clconv.algorithms.gemm_shape import ConvGemmParams
from clconv.algorithms.matmul_gemm import MatmulGemm, fits
from clconv.algorithms.matmul_vector import MatmulVectorParams, Sides
from clconv.algorithms.reduce_groups import ReduceGroupsParams, shares, walk_of
from clconv.cli.options import algorithm_name
from clconv.device import CDNA, INTEL, NVIDIA, RDNA, START_TILES, UNKNOWN, XE, DeviceTraits, GemmTile
from clconv.errors import GeometryError, UnsupportedError
from clconv.problem import Epilogue, MatmulProblem, Pass, Problem, ReduceProblem, SoftmaxProblem, parse, parse_any
from clconv.runtime.context import traits_of
from clconv.tensor import Strided, TensorSpec
from clconv.train import SGD, Trainer
from clconv.tuning.select import choose
from tests.cases import check, largest, operands_of, prepare, summed

GPU, BACK = DeviceTraits.gpu(), Pass.BACKWARD_DATA
CLASSES = (NVIDIA, CDNA, RDNA, XE, INTEL, UNKNOWN)
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}
NAMES = ("conv_depthwise_strips", "matmul_gemm", "matmul_vector", "pool_strips", "reduce_groups", "softmax_groups")


def gpu(name: str, units: int = 64) -> DeviceTraits:
    return replace(DeviceTraits.gpu(units * START_TILES[name].units_per_group, name), local_memory_bytes=49152)


# What is chosen


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("matmul m1024n1024k1024", "matmul_gemm"), ("matmul b8m512n512k60:tt+bias+relu", "matmul_gemm"),
        ("matmul m1n1000k2048:nt+bias", "matmul_vector"), ("matmul m4096n1k4096", "matmul_vector"),
        ("matmul m1n10k400:nt", "matmul_vector"),
        ("sum 32x64x56x56 over 0,2,3", "reduce_groups"), ("max 64x1000 over 1", "reduce_groups"),
        ("softmax 64x1000 axis 1", "softmax_groups"), ("log_softmax 8x21x64x64 axis 1:bwd_d", "softmax_groups"),
        ("n32c96i112x112k96f3x3s2p1g96", "conv_depthwise_strips"), ("n32c96i56x56k96f3x3p1g96:bwd_d", "conv_depthwise_strips"),
        ("n32c96i56x56k96f3x3p1g96:bwd_w", "conv_depthwise_strips"), ("n8c32i28x28k64f3x3p1g32:f16", "conv_depthwise_strips"),
        ("maxpool n32c64i112x112f3x3s2p1:idx", "pool_strips"), ("avgpool n32c64i28x28f3x3s1p1:nopad", "pool_strips"),
        ("maxpool n32c64i112x112f3x3s2p1:bwd_d", "pool_direct"), ("avgpool n1c64i28x28f13x13", "pool_direct"),
    ],
)  # fmt: skip
def test_gpus_get_kernels_shaped_for_them_and_processors_do_not(text: str, chosen: str, name: str) -> None:
    problem = parse_any(text)
    assert choose(problem, gpu(name), tuned=False).algorithm.name == chosen
    choice = choose(problem, DeviceTraits.cpu(8), tuned=False)
    assert choice.algorithm.name not in NAMES
    for other, why in choice.refused:
        assert other not in NAMES or "is shaped for GPUs" in why


def test_each_stands_before_what_takes_everything() -> None:
    for text, last in (("matmul m8n8k8", "matmul_tiled"), ("sum 8x8 over 1", "reduce_strided"), ("softmax 8x8 axis 1", "softmax_rows")):
        names = [a.name for a in for_problem(parse_any(text))]
        assert names[-1] == last and set(names) & set(NAMES)


# What is refused


@pytest.mark.parametrize(
    ("name", "problem", "why"),
    [
        ("matmul_gemm", MatmulProblem(4, 4, 0), "needs terms to sum, got k 0"),
        ("matmul_gemm", MatmulProblem(64, 4, 4, 40000), "needs at most 65535 tiles of rows, got 80000 in a batch of 40000"),
        ("matmul_vector", MatmulProblem(17, 17, 4), "is meant for at most 16 rows or columns, got 17 and 17"),
        ("matmul_vector", MatmulProblem(1, 4, 4, 70000), "needs at most 65535 rows of all entries, got 70000 times 1"),
        ("conv_depthwise_strips", parse("n1c8i9x9x9k8f3x3x3g8"), "needs 1 or 2 spatial axes, got 3"),
        ("conv_depthwise_strips", parse("n1c8i9x9k8f3x3g4"), "needs one channel a group, got 8 in 4 groups"),
        ("conv_depthwise_strips", parse("n1c8i99k8f13g8"), "writes out at most 49 taps, 11 in a row, got a kernel of (13,)"),
        ("conv_depthwise_strips", parse("n1c8i9x9k16f7x7g8:bwd_d"), "writes out at most 25 taps, 11 in a row, got a kernel of (7, 7)"),
        ("pool_strips", parse("maxpool n1c8i9x9f6x6"), "writes out at most 25 taps, 11 in a row, got a window of (6, 6)"),
        ("pool_strips", parse("maxpool n1c8i9x9f2x2:bwd_d"), "computes the forward pass, got backward_data"),
    ],
)  # fmt: skip
def test_refusals_say_why(name: str, problem: Problem, why: str) -> None:
    assert BY_NAME[name].why_not(problem, GPU) == why


def test_room_in_a_group_is_asked_for() -> None:
    small = replace(GPU, max_work_group_size=16)
    assert "needs work-groups of 64 with 4352 bytes" in str(BY_NAME["matmul_gemm"].why_not(MatmulProblem(64, 64, 64), small))
    weights = parse("n1c8i9x9k8f7x7g8:bwd_w")
    why = BY_NAME["conv_depthwise_strips"].why_not(weights, replace(GPU, local_memory_bytes=4096))
    assert why == "needs 7168 bytes of local memory, made-up GPU has 4096"
    tuned = ConvGemmParams(128, 128, 8, 8, 8)
    with pytest.raises(UnsupportedError, match="made-up GPU allows 16 with 32768; tune it on this device"):
        MatmulGemm().plan(MatmulProblem(128, 128, 64), small, tuned)


# Who does what


@pytest.mark.parametrize("name", CLASSES)
def test_all_start_tiles_suit_all_transposes(name: str) -> None:
    start = START_TILES[name]
    for a, b in ((False, False), (False, True), (True, False), (True, True)):
        problem = MatmulProblem(512, 512, 512, 1, a, b)
        assert all(fits(problem, tile, gpu(name)) for tile in (start.large, *start.small))


@pytest.mark.parametrize("name", CLASSES)
def test_products_with_few_results_split_their_sums(name: str) -> None:
    assert MatmulGemm().defaults(MatmulProblem(64, 64, 32768), gpu(name)).parts > 1
    assert MatmulGemm().defaults(MatmulProblem(4096, 4096, 512), gpu(name)).parts == 1


def test_parts_of_a_product_cover_k_once() -> None:
    problem = MatmulProblem(33, 40, 100)
    sums, add = MatmulGemm().plan(problem, GPU, ConvGemmParams(32, 32, 8, 4, 4, parts=5)).calls
    assert dict(sums.bindings)["k_each"] == 24 and sums.items[2] == dict(add.bindings)["parts"] == 5
    assert (dict(add.bindings)["channels"], dict(add.bindings)["plane"]) == (40, 1), "a bias is that of a column"


def test_the_few_may_be_rows_or_columns() -> None:
    assert Sides.of(MatmulProblem(3, 70, 9)) == Sides("a", "b", 3, 70, True, False)
    assert Sides.of(MatmulProblem(70, 3, 9, 1, False, True)) == Sides("b", "a", 3, 70, True, True)


def test_reductions_are_dealt_out_along_what_is_contiguous() -> None:
    planes = shares(walk_of(summed((32, 64, 56, 56), (0, 2, 3))), 64, 256, 6)
    assert (planes.slices, planes.lanes, planes.row_pieces, planes.rows, planes.column_pieces) == (256, 256, 6, 6, 1)
    rows = shares(walk_of(summed((64, 7), (1,))), 64, 256, 1)
    assert (rows.slices, rows.lanes) == (8, 8), "few work-items for a short row, the others for other rows"
    columns = shares(walk_of(summed((64, 1000), (0,))), 1000, 256, 1)
    assert columns.slices == 8 and columns.pieces == 1, "32 neighbours side by side, 8 rows at a time"
    whole = shares(walk_of(summed((64, 1000), (0, 1))), 1, 256, 15)
    assert whole.pieces * whole.columns >= 64000 > (whole.pieces - 1) * whole.columns


@pytest.mark.parametrize("stride, taps, step", [(1, 3, 1), (2, 3, 1), (1, 3, 2), (3, 2, 1), (1, 1, 1)])
def test_each_window_of_a_strip_meets_each_of_its_rows_once(stride: int, taps: int, step: int) -> None:
    met = sorted((i, r, line) for line, uses in lines_of(4, stride, taps, step) for i, r in uses)
    assert met == [(i, r, i * stride + r * step) for i in range(4) for r in range(taps)]


# Text forms


@pytest.mark.parametrize(
    "problem",
    [
        MatmulProblem(3, 4, 5, 2, False, True, "float16", Epilogue(True, False, ("leaky_relu", 0.5))), MatmulProblem(1, 1, 1, 1, True),
        SoftmaxProblem((3, 4), 1, True, BACK), SoftmaxProblem((3, 4, 5), 0), summed((3, 4, 5), (0, 2)), largest((7,), (0,)),
        parse("n1c8i9x9k8f3x3"), parse("maxpool n1c8i9x9f3x3"),
    ],
    ids=str,
)  # fmt: skip
def test_texts_are_read_back(problem: Problem) -> None:
    text = str(replace(problem, label=problem.combine)) if isinstance(problem, ReduceProblem) else str(problem)
    again = parse_any(text)
    assert str(again) == text and (isinstance(problem, ReduceProblem) or again == problem)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("matmul m1n1", "expected a text such as 'matmul b1m64n1000k2048:nt[+]bias'"), ("matmul m0n1k1", "must be at least 1, got 1, 0, 1"),
        ("matmul m1n1k1+no", "epilogue [+]no is not one of"), ("softmax 3x4 axis 2", r"axis 2 is none of the 2 of \(3, 4\)"),
        ("softmax 3x4", "such as 'softmax 64x1000 axis 1:bwd_d'"), ("sum 3x4 over 0,0", "must be distinct"),
        ("sum 3x0 over 0", "must have elements"), ("mean 3x4 over 0", "kind 'mean' is not one of"),
    ],
)  # fmt: skip
def test_texts_that_are_wrong_say_how(text: str, what: str) -> None:
    with pytest.raises(GeometryError, match=what):
        parse_any(text)


def test_algorithms_go_by_their_names_without_the_family() -> None:
    assert algorithm_name(parse_any("matmul m8n8k8"), "gemm") == "matmul_gemm"
    assert algorithm_name(parse_any("softmax 8x8 axis 1"), "groups") == "softmax_groups"
    assert algorithm_name(parse("n1c8i9x9k8f3x3"), "gemm") == "conv_gemm" and algorithm_name(parse("n1c8i9x9k8f3x3"), None) is None


# On the device, as on a GPU


def hard_products() -> Iterator[tuple[str, Problem, object]]:
    fused = Epilogue(True, True, ("leaky_relu", 0.5))
    for a, b in ((False, False), (False, True), (True, False), (True, True)):
        for m, n, k, batch in ((7, 17, 33, 3), (70, 65, 40, 1), (33, 64, 64, 2)):
            for dtype in ("float32", "float16"):
                problem = MatmulProblem(m, n, k, batch, a, b, dtype, fused)
                for tile, parts in ((GemmTile(32, 32, 8, 4, 4), 3), (GemmTile(64, 64, 16, 8, 4), 1)):
                    params = ConvGemmParams.of(tile, parts, GPU)
                    yield from (("matmul_gemm", problem, replace(params, indices=indices)) for indices in (False, True))
        for m, n, k, batch in ((1, 17, 33, 3), (5, 65, 40, 1), (65, 3, 64, 2), (64, 1, 1300, 1), (16, 16, 7, 2)):
            for params in (MatmulVectorParams(2, 8, 3), MatmulVectorParams(8, 32), MatmulVectorParams(1, 256)):
                yield "matmul_vector", MatmulProblem(m, n, k, batch, a, b, epilogue=fused), params


def hard_reductions() -> Iterator[tuple[str, Problem, object]]:
    shapes = (
        ((32, 8, 9, 11), (0, 2, 3)), ((700, 40), (0,)), ((40, 700), (1,)), ((5000,), (0,)), ((3, 4, 5, 6, 7), (1, 3)),
        ((3, 4, 5, 6, 7), (0, 2, 4)), ((2, 3, 40, 40), (2, 3)), ((4, 300), (0, 1)),
    )  # fmt: skip
    problems: list[Problem] = [make(shape, axes) for shape, axes in shapes for make in (summed, largest)]
    problems.append(summed((3, 17, 5, 7), (0, 2, 3)).with_layouts(x0=Strided((1190, 2, 238, 34), 3)))
    for problem in problems:
        for params in (BY_NAME["reduce_groups"].defaults(problem, GPU), ReduceGroupsParams(64, 3), ReduceGroupsParams(16, 1)):
            yield "reduce_groups", problem, params
    for shape, axis in (((5, 1000), 1), ((2, 21, 9, 8), 1), ((2, 300, 3), 1), ((70, 3), 0)):
        for direction in (Pass.FORWARD, BACK):
            problem = SoftmaxProblem(shape, axis, axis == 1, direction)
            yield from (("softmax_groups", problem, params) for params in BY_NAME["softmax_groups"].space(problem, GPU))


def hard_windows() -> Iterator[tuple[str, Problem, object]]:
    for text in (
        "n2c5i9x11k5f3x3s2p1g5+bias+leaky_relu(0.5)+res", "n2c4i9x11k8f5x5p2g4+bias", "n2c4i13x11k4f3x2s2x3p1d2x1g4", "n2c4i17k8f4s2p1g4",
        "n1c3i13x15k3f7x7s2p3g3", "n2c4i9x11k8f2x2s3g4", "deconv n2c4i5x6k4f4x4s2p1g4", "n2c4i9x11k8f3x3p1g4:f16+bias+relu",
        "n3c3i9x130k6f3x3p1g3",
    ):  # fmt: skip
        for direction in Pass:
            problem = replace(parse(text), direction=direction)
            if direction is Pass.BACKWARD_WEIGHTS:
                problem = replace(problem, epilogue=Epilogue())
            yield from (("conv_depthwise_strips", problem, ConvDepthwiseStripsParams(rows)) for rows in (1, 2, 4))
    for text in ("maxpool n2c3i9x7f3x3s1p1:f16", "maxpool n2c3i9f3s1p1:idx", "avgpool n2c3i19x17f5x5s2p2:nopad", "maxpool n1c2i9x9f2x5d2"):
        problem = parse(text)
        yield from (("pool_strips", problem, params) for params in BY_NAME["pool_strips"].space(problem, GPU))


@pytest.mark.exhaustive
@pytest.mark.parametrize("cases", [hard_products, hard_reductions, hard_windows])
def test_hard_cases(cases) -> None:  # type: ignore[no-untyped-def]
    """Ragged and whole tiles, all transposes and storage types, split sums, phases without taps, strips beyond the last row."""
    count = 0
    for name, problem, params in cases():
        check(prepare(BY_NAME[name], problem, GPU, params))
        count += 1
    assert count > 50


@pytest.mark.exhaustive
def test_nan_and_infinities_stay_where_they_belong() -> None:
    """What fills up tiles and strips is zero times zero, or not taken: never a number that happens to lie there."""
    product = MatmulProblem(33, 35, 21)
    given = operands_of(product)
    given["a"][2, 20], given["b"][20, 4] = np.nan, np.inf
    check(prepare(BY_NAME["matmul_gemm"], product, GPU, ConvGemmParams(32, 32, 8, 4, 4)), given)
    for text in ("n2c3i9x7k3f3x3p1g3", "n2c3i9x7k3f3x3s2p1g3:bwd_d"):
        problem = parse(text)
        given = operands_of(problem)
        next(iter(given.values()))[1, 2, 0, 0] = np.nan
        check(prepare(BY_NAME["conv_depthwise_strips"], problem, GPU, ConvDepthwiseStripsParams(4)), given)


# Whole networks as on a GPU, and PyTorch


class Small(nn.Module):
    """Depthwise and pointwise convolution, batch normalisation, both kinds of pooling, a classifier."""

    def __init__(self) -> None:
        self.pointwise = nn.Conv2d(3, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x):  # type: ignore[no-untyped-def]
        x = F.max_pool2d(F.relu(self.norm(self.depthwise(self.pointwise(x)))), 3, 2, 1)
        return self.classifier(F.flatten(F.adaptive_avg_pool2d(x, 1), 1))


@pytest.mark.peers
def test_a_network_trains_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps, with all kernels of a GPU on the device at hand and with its own; they round differently, that is all."""
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((8, 3, 15, 13)).astype(np.float32), rng.integers(0, 5, 8).astype(np.int32)
    losses, explained = [], []
    own = traits_of
    for as_gpu in (False, True):
        if as_gpu:
            for module in ("clconv.graph.run", "clconv.runtime.executor", "clconv.runtime.programs"):
                monkeypatch.setattr(f"{module}.traits_of", lambda device: replace(own(device), is_cpu=False, name="as a GPU"))
        with nn.init.seeded(0):
            net = Small()
        trainer = Trainer(net, optimiser=SGD(lr=0.1, momentum=0.9))
        losses.append([float(trainer.step(images, labels).get()) for _ in range(4)])
        explained.append(clconv.compile(net, images.shape, clconv.default_queue()).explain())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]
    own_choice, as_gpus = (set(re.findall(r"^    (\w+)\(", text, re.M)) for text in explained)
    assert {"conv_depthwise_strips", "matmul_vector", "pool_strips", "reduce_groups"} <= as_gpus and not own_choice & set(NAMES)


@pytest.mark.peers
def test_torch_agrees() -> None:
    torch = pytest.importorskip("torch")
    queue, rng = clconv.default_queue(), np.random.default_rng(1)
    x, w = rng.standard_normal((2, 8, 13, 11)).astype(np.float32), rng.standard_normal((8, 1, 3, 3)).astype(np.float32)
    y = F.conv2d(*(cla.to_device(queue, a) for a in (x, w)), padding=1, groups=8, algorithm="depthwise_strips").get()
    np.testing.assert_allclose(y, torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w), padding=1, groups=8), atol=1e-5)
    for name, problem, call in (
        ("matmul_gemm", MatmulProblem(33, 40, 50), torch.matmul), ("matmul_vector", MatmulProblem(2, 40, 50), torch.matmul),
        ("softmax_groups", SoftmaxProblem((7, 300), 1), lambda x: torch.softmax(x, 1)),
        ("reduce_groups", ReduceProblem((7, 300), (TensorSpec((7, 300)),), (1,), (("r0", "x0"),), label="sum"), lambda x: x.sum(1, True)),
    ):  # fmt: skip
        from tests.support import run_plan

        given = {n: rng.standard_normal(problem.spec(n).shape).astype(np.float32) for n in problem.inputs}
        plan = prepare(BY_NAME[name], problem, GPU, BY_NAME[name].defaults(problem, GPU)).plan
        (got,) = run_plan(plan, problem, given).values()
        np.testing.assert_allclose(got, call(*map(torch.tensor, given.values())).numpy(), atol=1e-4, err_msg=name)
