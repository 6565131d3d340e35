"""Sums by sub-groups: who takes them, what is refused, what a kernel never does; and on a device that has sub-groups, the shared cases."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from clconv.algorithms import for_problem
from clconv.algorithms.conv_gemm_subgroups import LANES, TILES, ConvGemmSubgroups, share
from clconv.algorithms.gemm_shape import ConvGemmParams
from clconv.codegen.render import render
from clconv.device import INTEL, NVIDIA, UNKNOWN, XE, DeviceTraits, GemmTile, apply_quirks
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass, parse
from clconv.tuning.select import choose
from tests.cases import check, operands_of, prepare, square_texts
from tests.support import traits

SUBGROUPS = ConvGemmSubgroups()
SMALL = GemmTile(32, 16, 8, 16, 1)
WIDTHS = (8, 16, 32)


def gpu(name: str = XE, sizes: tuple[int, ...] = WIDTHS) -> DeviceTraits:
    return replace(DeviceTraits.gpu(512, name), local_memory_bytes=65536, max_work_group_size=512, sub_group_sizes=sizes)


def asked(text: str, direction: Pass = Pass.FORWARD) -> ConvProblem:
    problem = parse(text)
    assert isinstance(problem, ConvProblem)
    return problem if direction is Pass.FORWARD else replace(problem, direction=direction)


def params(tile: GemmTile = SMALL, parts: int = 1) -> ConvGemmParams:
    return ConvGemmParams.of(tile, parts, gpu())


def text_of(problem: ConvProblem, chosen: ConvGemmParams) -> str:
    return render(prepare(SUBGROUPS, problem, gpu(), chosen).plan.calls[0].source).text


# Who takes it


@pytest.mark.parametrize("name", [XE, INTEL])
@pytest.mark.parametrize("text", ["n32c64i56x56k256f1x1+relu", "n32c128i56x56k128f3x3s2p1", "n32c64i56x56k64f5x5p2:bwd_d"])
def test_intels_gpus_with_sub_groups_take_it(text: str, name: str) -> None:
    """By the model, where fewer instructions stand beside the multiply-adds; without the extensions conv_gemm stays."""
    assert choose(asked(text), gpu(name), tuned=False).algorithm.name == "conv_gemm_subgroups"
    without = choose(asked(text), gpu(name, ()), tuned=False)
    assert without.algorithm.name == "conv_gemm" and "conv_gemm_subgroups" in dict(without.refused)


def test_halves_are_left_to_conv_gemm() -> None:
    choice = choose(asked("n32c256i14x14k1024f1x1:f16"), gpu(), tuned=False)
    assert choice.algorithm.name == "conv_gemm" and "conv_gemm_subgroups" in [name for name, _, _ in choice.others]


def test_a_small_grid_is_weighed_with_the_others() -> None:
    """The model knows no special rule: whichever has the least time."""
    problem = asked("n1c2048i7x7k512f1x1")
    choice = choose(problem, gpu(), tuned=False)
    assert "conv_gemm_subgroups" in {choice.algorithm.name, *(name for name, _, _ in choice.others)}
    assert all(choice.seconds <= seconds for _, seconds, _ in choice.others)
    assert SUBGROUPS.defaults(problem, gpu()).parts > 1


def test_no_other_device_takes_it_unasked() -> None:
    for device in (DeviceTraits.cpu(8), replace(gpu(NVIDIA), sub_group_sizes=()), gpu(UNKNOWN)):
        assert "is shaped for the registers of Intel's GPUs" in str(SUBGROUPS.why_not(asked("n1c64i9x9k64f3x3p1"), device))
    cpu = replace(DeviceTraits.cpu(8), sub_group_sizes=WIDTHS)
    assert choose(asked("n1c64i9x9k64f3x3p1"), cpu, forced="conv_gemm_subgroups", tuned=False).algorithm.name == "conv_gemm_subgroups"


def test_refusals_say_why() -> None:
    problem = asked("n1c64i9x9k64f3x3p1")
    why = SUBGROUPS.why_not(problem, gpu(sizes=(16, 32)))
    assert why == "needs sub-groups of 8 that can be asked for (cl_intel_required_subgroup_size), made-up GPU has 16, 32"
    with pytest.raises(UnsupportedError, match=r"conv_gemm_subgroups, .* by name, .*: needs sub-groups of 8 .* made-up CPU has none"):
        choose(problem, DeviceTraits.cpu(8), forced="conv_gemm_subgroups", tuned=False)
    assert "got backward_weights" in str(SUBGROUPS.why_not(asked("n1c64i9x9k64f3x3p1", Pass.BACKWARD_WEIGHTS), gpu()))
    assert "fills up 3 channels to steps of 8, by more than a tenth; conv_gemm" in str(SUBGROUPS.why_not(asked("n1c3i9x9k64f3x3p1"), gpu()))
    assert SUBGROUPS.why_not(asked("n1c8i9x9x9k8f3x3x3"), gpu()) == "needs 1 or 2 spatial axes, got 3"
    assert "one channel a group" in str(SUBGROUPS.why_not(asked("n1c8i9x9k8f7x7g8"), gpu()))


@pytest.mark.parametrize(
    ("tile", "why"),
    [
        (GemmTile(48, 16, 8, 24, 1), "deals out 48 rows of the tile in block reads of 16, 32 or 64, got 24 for each sub-group"),
        (GemmTile(48, 16, 8, 32, 1), "deals out 48 rows of the tile in block reads of 16, 32 or 64, got 32 for each sub-group"),
        (GemmTile(32, 24, 8, 16, 2), "deals out 24 columns of the tile to 8 lanes, got 2 for each"),
        (GemmTile(512, 512, 8, 16, 1), "needs work-groups of 16384 with 0 bytes of local memory, made-up GPU allows 512 with 65536"),
    ],
)
def test_tiles_that_no_sub_groups_make_up_are_refused(tile: GemmTile, why: str) -> None:
    with pytest.raises(UnsupportedError, match=re.escape(f"{why}; tune it on this device")):
        prepare(SUBGROUPS, asked("n1c64i9x9k64f3x3p1"), gpu(), params(tile))


def test_steps_that_would_be_filled_up_too_much_are_refused() -> None:
    problem, tile = asked("n1c100i9x9k64f1x1"), GemmTile(32, 16, 16, 16, 1)
    assert SUBGROUPS.why_not(problem, gpu()) is None
    assert SUBGROUPS.why_not_params(problem, gpu(), params(tile)) == "fills up 100 channels to steps of 16, by more than a tenth"


def test_all_tiles_are_whole_sub_groups_whose_sums_fit_into_registers() -> None:
    problem = asked("n1c64i9x9k64f3x3p1")
    for tile in (*TILES, SUBGROUPS.smallest, SMALL):
        assert SUBGROUPS.why_not_params(problem, gpu(), params(tile)) is None and tile.items % LANES == 0
        assert tile.item_rows * tile.item_columns + tile.item_rows // LANES + tile.item_columns < 128 - 32
    small = replace(gpu(), max_work_group_size=64)
    assert all(p.tile.items <= 64 for p in SUBGROUPS.space(problem, small))
    assert share(problem, TILES[0]) > 0.9


@pytest.mark.parametrize(
    ("device", "sizes"),
    [
        ("Intel(R) Arc(TM) A770 Graphics", WIDTHS), ("Intel(R) UHD Graphics 770", WIDTHS), ("Intel(R) Arc(TM) B580 Graphics", (16, 32)),
        ("Intel(R) Arc(TM) 140V GPU", (16, 32)), ("Intel(R) Data Center GPU Max 1100", (16, 32)),
    ],
)  # fmt: skip
def test_later_gpus_have_no_sub_groups_of_8(device: str, sizes: tuple[int, ...]) -> None:
    known = apply_quirks(replace(DeviceTraits.gpu(), platform="Intel(R) OpenCL Graphics", name=device, sub_group_sizes=WIDTHS))
    assert known.sub_group_sizes == sizes


# The kernel


def test_it_stands_behind_conv_gemm() -> None:
    names = [a.name for a in for_problem(asked("n1c8i9x9k8f3x3"))]
    assert names.index("conv_gemm") < names.index("conv_gemm_subgroups") < names.index("conv_direct")


@pytest.mark.parametrize("text", ["n1c16i9x5k33f3x3s2p1+bias", "n1c101i9x5k33f7x7p3+relu", "n1c16i9x5k33f1x1:f16"])
def test_all_lanes_reach_every_broadcast(text: str) -> None:
    """What the compiler miscompiles otherwise: in the loop over k stands no branch, and behind it no broadcast."""
    kernel = text_of(asked(text), params())
    loop, rest = re.split(r"for \(int k = 0; k < TILE_K; \+\+k\) \{", kernel)[1].split("c0 += TILE_K;")
    assert loop.count("sub_group_broadcast(") == SMALL.item_rows
    assert not re.search(r"\b(if|return|continue|break|goto|for|while)\b", loop)
    assert "sub_group" not in rest.split("} while")[1].split("#undef")[0]
    assert kernel.count("sub_group_broadcast(") == SMALL.item_rows and "barrier" not in kernel and "__local" not in kernel


def test_weights_are_read_in_blocks_where_they_are_floats() -> None:
    assert "intel_sub_group_block_read4(" in text_of(asked("n1c64i9x9k64f1x1"), params(TILES[0]))
    half = text_of(asked("n1c64i9x9k64f1x1:f16"), params(TILES[0]))
    assert "block_read" not in half and "(OFFSET)(3 * LANES + lane) * SIZE)" in half


def test_geometry_is_arguments() -> None:
    texts = ("n1c64i56x56k64f3x3p1", "n8c128i28x28k256f3x3s2p1+bias+relu", "n2c32i9x7k32f5x2p2d2", "n1c64i8x8k64f4x4s2p1:bwd_d")
    assert len({call.source for text in texts for call in prepare(SUBGROUPS, asked(text), gpu(), params()).plan.calls}) == 1


@pytest.mark.parametrize(("text", "parts", "walks"), [("f1x1", 1, False), ("f3x3", 1, True), ("f1x1p1", 1, True), ("f1x1", 2, True)])
def test_a_single_tap_is_walked_beside_bounds_and_parts(text: str, parts: int, walks: bool) -> None:
    """Without the walk dg2's compiler spills registers there."""
    assert ("++tap_x == taps_x" in text_of(asked(f"n1c64i9x9k64{text}"), params(parts=parts))) == walks


# On a device that has sub-groups of 8: Intel's processors have, with Intel's driver


HARD = (
    "n2c16i9x7k33f3x3p1+bias+leaky_relu(0.5)+res", "n2c101i5x7k33f3x3s2p1+bias+relu", "n2c64i6x5k32f1x1", "n3c100i7x5k32f1x1+res",
    "n1c64i6x5k64f3x2", "n3c64i3x2k32f3x3p1", "n2c64i5x7k96f3x3p1g2", "n1c33i37k17f16s3p1d2", "n1c88i8x11k33f3x2s3x2p2,1x0,1d2x3",
    "n2c64i7x6k32f1x1s2", "n1c64i6x5k32f1x1+bias+clip(0,6)",
)  # fmt: skip
NO_SUB_GROUPS = "the device has no sub-groups of 8 that a kernel can ask for; Intel's driver for processors has (`--device Intel`)"


@pytest.fixture(scope="module")
def device() -> DeviceTraits:
    if LANES not in traits().sub_group_sizes:
        pytest.skip(NO_SUB_GROUPS)
    return traits()


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("text", HARD)
def test_hard_cases(text: str, dtype: str, device: DeviceTraits) -> None:
    """Both passes, whole sums by pointers, split ones by indices: more parts than some phases have steps."""
    for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
        problem = replace(asked(text, direction), dtype=dtype)
        if SUBGROUPS.why_not_forced(problem, device) is None:
            for parts, indices in ((1, False), (3, True), (64, True)):
                check(prepare(SUBGROUPS, problem, device, replace(params(parts=parts), indices=indices)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("tile", [*TILES, SUBGROUPS.smallest, GemmTile(64, 8, 4, 64, 1), GemmTile(16, 32, 4, 16, 2)], ids=str)
def test_every_tile(tile: GemmTile, device: DeviceTraits) -> None:
    for text in ("n2c16i9x7k70f3x3p1+bias+relu", "n1c52i6x6k129f1x1+bias+silu"):
        check(prepare(SUBGROUPS, asked(text), device, params(tile)))


@pytest.mark.exhaustive
def test_the_shared_cases(device: DeviceTraits) -> None:
    """Those with channels enough."""
    accepted = 0
    for _, text in square_texts():
        for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
            problem = replace(asked(text), direction=direction, channels=64, filters=40)
            if SUBGROUPS.why_not_forced(problem, device) is None:
                check(prepare(SUBGROUPS, problem, device, params()))
                accepted += 1
    assert accepted >= 20


@pytest.mark.exhaustive
def test_nan_and_infinities_stay_where_they_belong(device: DeviceTraits) -> None:
    """What fills up tiles, steps and columns is zero times zero, and a broadcast value goes to the row that it belongs to."""
    problem = asked("n2c101i9x7k10f3x3p1+relu")
    given = operands_of(problem)
    given["x"][1, 2, 3, 4] = np.nan
    given["w"][3, 1, 0, 0] = np.inf
    check(prepare(SUBGROUPS, problem, device, params()), given)
