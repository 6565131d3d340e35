"""Minimal filtering on GPUs: what is refused, tiles and memory between the stages, and on the device what the shared cases leave out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clconv.algorithms.conv_winograd_gemm import SMALLEST, ConvWinogradGemm, ConvWinogradGemmParams, Tiles, fits
from clconv.device import CDNA, NVIDIA, DeviceTraits, GemmTile
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass, parse
from clconv.tuning.select import choose
from tests.cases import check, operands_of, prepare
from tests.support import run_plan, weights_in

WINOGRAD = ConvWinogradGemm()
GPU = DeviceTraits.gpu()


def asked(text: str, direction: Pass = Pass.FORWARD) -> ConvProblem:
    return replace(parse(text), direction=direction)


def params(outputs: int, tile: GemmTile = SMALLEST) -> ConvWinogradGemmParams:
    return ConvWinogradGemmParams.of(outputs, tile, GPU)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("n1c8i9x9k8f3x3s2", "needs a kernel of 3 x 3 with stride 1 and dilation 1, got (3, 3), (2, 2) and (1, 1)"),
        ("n1c8i9x9k8f3x3d2", "needs a kernel of 3 x 3 with stride 1 and dilation 1, got (3, 3), (1, 1) and (2, 2)"),
        ("n1c8i9x9k8f5x5", "needs a kernel of 3 x 3 with stride 1 and dilation 1, got (5, 5), (1, 1) and (1, 1)"),
        ("n1c8i9k8f3", "needs a kernel of 3 x 3 with stride 1 and dilation 1, got (3,), (1,) and (1,)"),
        ("n1c12i9x9k8f3x3", "needs a multiple of 8 input channels in a group, got 12"),
        ("n1c16i9x9k8f3x3:f16", "computes and stores float32, got float16"),
        ("n1c16i9x9k8f3x3:bwd_w", "computes the forward and backward_data passes, got backward_weights"),
    ],
)
def test_refusals_say_why(text: str, why: str) -> None:
    assert WINOGRAD.why_not(parse(text), GPU) == why
    assert "is shaped for GPUs" in (WINOGRAD.why_not(asked("n1c8i9x9k8f3x3"), DeviceTraits.cpu(8)) or "")
    small = replace(GPU, max_work_group_size=16)
    assert "needs work-groups of 64 with 4096 bytes" in (WINOGRAD.why_not(asked("n1c8i9x9k8f3x3"), small) or "")


def test_the_data_gradient_needs_whole_steps_of_filters() -> None:
    assert WINOGRAD.why_not(asked("n1c12i9x9k16f3x3", Pass.BACKWARD_DATA), GPU) is None
    assert fits(asked("n1c24i9x9k8f3x3"), SMALLEST, GPU) and not fits(asked("n1c24i9x9k8f3x3"), GemmTile(64, 64, 16, 8, 4), GPU)


def test_tiles_of_all_images_fill_up_the_columns_once() -> None:
    """7 x 5 positions are 4 x 3 tiles of two by two, of three images 36; 64 columns hold them."""
    problem = asked("n3c16i7x5k33f3x3p1+bias")
    assert Tiles.of(problem, params(2)) == Tiles(4, 3, 64)
    prepared = prepare(WINOGRAD, problem, GPU, params(2))
    assert dict(prepared.plan.scratch) == {"data": 4 * 16 * 16 * 64, "sums": 4 * 16 * 33 * 64}
    assert [call.source.entry for call in prepared.plan.calls] == ["winograd_gemm_data", "conv_gemm_products", "winograd_gemm_outputs"]
    assert prepared.plan.calls[1].items == (2 * 64, 2, 16)


def test_weights_that_are_transformed_already_decide_over_the_tile() -> None:
    problem = asked("n1c16i20x20k32f3x3p1")
    stored = problem.with_layouts(**WINOGRAD.wants(problem, GPU, params(2)))
    plan = WINOGRAD.plan(stored, GPU, params(4))
    assert dict(plan.calls[1].bindings)["products"] == 16
    with pytest.raises(UnsupportedError, match="operands must be plain but for .*, got .*; reorder them first"):
        WINOGRAD.plan(problem, GPU, params(4))


def test_too_much_between_the_stages_is_refused() -> None:
    problem = asked("n64c64i512x512k8f3x3p1")  # 2**30 inputs, 4 times as many transformed ones
    with pytest.raises(UnsupportedError, match=r"data has 4294967296 elements between the stages, .* at most 2147483647; split the batch"):
        prepare(WINOGRAD, problem, GPU, params(2))


@pytest.mark.parametrize("name", [NVIDIA, CDNA])
def test_many_channels_are_filtered_and_strict_asks_for_straight_sums(name: str) -> None:
    device = replace(DeviceTraits.gpu(100, name), local_memory_bytes=49152)
    problem = asked("n32c512i28x28k512f3x3p1")
    assert choose(problem, device, tuned=False).algorithm.name == "conv_winograd_gemm"
    assert choose(problem, device, tuned=False, strict=True).algorithm.name == "conv_gemm"


# On the device, as on a GPU


HARD = (
    "n2c16i9x7k10f3x3p1+bias+leaky_relu(0.5)+res", "n3c32i5x3k64f3x3p2,0x1,2g2", "n1c24i11x13k40f3x3+relu", "n2c8i1x1k8f3x3p1",
    "n5c16i2x11k16f3x3p1,2x2,0", "n2c16i9x7k10f3x3p1+bias+silu",
)  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("indices", [False, True])
@pytest.mark.parametrize("tile", [SMALLEST, GemmTile(64, 128, 8, 8, 8)], ids=str)
@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("text", HARD)
def test_hard_cases(text: str, outputs: int, tile: GemmTile, indices: bool) -> None:
    for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
        problem = asked(text, direction)
        if WINOGRAD.why_not(problem, GPU) is None:
            check(prepare(WINOGRAD, problem, GPU, replace(params(outputs, tile), indices=indices)))


@pytest.mark.exhaustive
def test_a_nan_stays_in_the_tiles_that_read_it() -> None:
    problem = asked("n1c8i13x13k8f3x3p1")
    given = operands_of(problem)
    given["x"][0, 3, 12, 12] = np.nan
    prepared = prepare(WINOGRAD, problem, GPU, params(2))
    stored = {"w": weights_in(given["w"], prepared.problem.layout("w"))}
    y = run_plan(prepared.plan, prepared.problem, given, stored=stored)["y"]
    assert np.isnan(y[..., 11:, 11:]).any(axis=(0, 1)).any() and not np.isnan(y[..., :10, :]).any() and not np.isnan(y[..., :10]).any()
