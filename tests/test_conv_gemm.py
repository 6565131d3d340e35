"""Products of matrices for GPUs: which tiles and parts, what is refused, addresses beyond 4 GB, and on the device whatever the shared cases
leave out: split sums, whole and ragged tiles, halves, NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyopencl.array as cla
import pytest

import clconv.functional as F
from clconv import reference
from clconv.algorithms import for_problem
from clconv.algorithms.conv_gemm import ConvGemm
from clconv.algorithms.conv_winograd import ERROR_FACTORS
from clconv.algorithms.gemm_model import Machine, Product, global_bytes, multiply_adds, seconds
from clconv.algorithms.gemm_shape import ConvGemmParams, fits, is_flat, products
from clconv.codegen.render import render
from clconv.device import CDNA, INTEL, NVIDIA, QUIRKS, RDNA, START_TILES, UNKNOWN, XE, DeviceTraits, GemmTile, apply_quirks
from clconv.errors import UnsupportedError
from clconv.geometry import ConvGeometry
from clconv.problem import ConvProblem, Pass, parse
from clconv.runtime.context import default_queue
from clconv.tensor import Packed
from clconv.tuning.select import choose
from tests.cases import check, operands_of, prepare
from tests.support import integers, sum_bound

GEMM = ConvGemm()
CLASSES = (NVIDIA, CDNA, RDNA, XE, INTEL, UNKNOWN)
SMALL = GemmTile(32, 32, 8, 4, 4)
MIDDLE = GemmTile(64, 64, 8, 8, 4)


def gpu(name: str, units: int = 64) -> DeviceTraits:
    return replace(DeviceTraits.gpu(units, name), local_memory_bytes=49152)


def asked(text: str, direction: Pass = Pass.FORWARD) -> ConvProblem:
    return replace(parse(text), direction=direction)


def params(tile: GemmTile, parts: int = 1, device: DeviceTraits | None = None) -> ConvGemmParams:
    return ConvGemmParams.of(tile, parts, device or DeviceTraits.gpu())


def planned(problem: ConvProblem, chosen: ConvGemmParams, device: DeviceTraits) -> list[dict]:
    """The bindings of each launch."""
    return [dict(call.bindings) for call in prepare(GEMM, problem, device, chosen).plan.calls]


# The model


def test_the_model_on_a_product_worked_by_hand() -> None:
    """100 x 70 by 20 steps of 8, in tiles of 32 x 32: 4 x 3 = 12 tiles, in two parts 24 work-groups of 10 steps, on 10 units 3 waves."""
    product, machine = Product(m=100, n=70, steps=20), Machine(units=10, rate=1e9, bandwidth=1e9)
    assert product.tiles(SMALL) == 12
    assert multiply_adds(product, SMALL, 2, machine.units) == 30 * 10 * (32 * 32 * 8)
    assert global_bytes(product, SMALL, 2) == 12 * 20 * 8 * (32 + 32) * 4 + 100 * 70 * 2 * 4
    work = 30 * 10 * 8192 / (10 * 1e9 * 0.8)
    assert seconds(product, SMALL, 2, machine, 0.8) == pytest.approx(max(work, 547520e-9)) == pytest.approx(547520e-9)
    assert seconds(product, SMALL, 2, replace(machine, bandwidth=1e12), 0.8) == pytest.approx(307.2e-6)


def test_the_products_of_a_pass_count_what_fills_up_steps() -> None:
    data = asked("n2c16i9x9k32f3x3s2p1", Pass.BACKWARD_DATA)
    # Rows and columns 0, 2, ..., 8 (5) meet one tap of three, rows and columns 1, 3, 5, 7 (4) two.
    assert [(p.m, p.n, p.steps) for p in products(data, SMALL)] == [(16, 50, 4), (16, 40, 8), (16, 40, 8), (16, 32, 16)]
    (weights,) = products(asked("n2c3i9x9k32f3x3p1", Pass.BACKWARD_WEIGHTS), SMALL)
    assert (weights.m, weights.n, weights.steps) == (32, 27, 21)


# Tiles


@pytest.mark.parametrize("name", START_TILES)
def test_all_start_tiles_suit_their_passes(name: str) -> None:
    start, device = START_TILES[name], gpu(name if name in CLASSES else UNKNOWN)
    device = replace(device, max_work_group_size=256)
    forward, weights = asked("n1c64i8x8k64f3x3p1"), asked("n1c64i8x8k64f3x3p1", Pass.BACKWARD_WEIGHTS)
    assert all(64 <= tile.items <= 256 for tile in (start.large, *start.small, *start.weights))
    assert all(fits(forward, tile, device) for tile in (start.large, *start.small))
    assert all(fits(weights, tile, device) for tile in start.weights)


@pytest.mark.parametrize(
    ("platform", "device", "name"),
    [
        ("NVIDIA CUDA", "NVIDIA H100 80GB HBM3", NVIDIA), ("AMD Accelerated Parallel Processing", "gfx90a:sramecc+:xnack-", CDNA),
        ("AMD Accelerated Parallel Processing", "gfx942:sramecc+", CDNA), ("AMD Accelerated Parallel Processing", "gfx1030", RDNA),
        ("AMD Accelerated Parallel Processing", "gfx1100", RDNA), ("Intel(R) OpenCL Graphics", "Intel(R) Arc(TM) A770 Graphics", XE),
        ("Intel(R) OpenCL Graphics", "Intel(R) UHD Graphics 770", INTEL), ("rusticl", "some GPU", UNKNOWN),
    ],
)  # fmt: skip
def test_drivers_names_tell_the_class(platform: str, device: str, name: str) -> None:
    traits = apply_quirks(replace(DeviceTraits.gpu(), platform=platform, name=device))
    assert traits.gpu_class == name and traits.start is START_TILES[name]
    assert all(dict(row.changes)["gpu_class"] in START_TILES for row in QUIRKS if "gpu_class" in dict(row.changes))


@pytest.mark.parametrize("name", CLASSES)
def test_small_grids_split_their_sums_and_large_ones_do_not(name: str) -> None:
    device = gpu(name, 64 * START_TILES[name].units_per_group)
    assert GEMM.defaults(asked("n1c2048i7x7k512f1x1"), device).parts > 1
    assert GEMM.defaults(asked("n32c128i56x56k128f3x3p1"), device).parts == 1
    assert GEMM.defaults(asked("n32c64i56x56k64f3x3p1", Pass.BACKWARD_WEIGHTS), device).parts > 1


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "text", ["n32c64i56x56k64f3x3p1", "n1c256i14x14k1024f1x1", "n8c3i224x224k64f7x7s2p3", "deconv n8c64i8x8k32f4x4s2p1"]
)
def test_gpus_prefer_it_to_the_direct_kernel(text: str, name: str) -> None:
    for direction in Pass:
        if direction is Pass.BACKWARD_DATA and "c3i" in text:
            continue  # three rows of a tile: whoever wins, it is not by multiplying
        choice = choose(asked(text, direction), gpu(name), tuned=False)
        assert choice.algorithm.name in ("conv_gemm", "conv_winograd_gemm")
        assert "conv_direct" in [other for other, _, _ in choice.others]
    assert choose(asked("n8c64i56x56k64f3x3p1g64"), gpu(name), tuned=False).algorithm.name == "conv_depthwise_strips"


def test_few_channels_are_walked_with_their_taps_as_far_as_the_table_reaches() -> None:
    assert is_flat(asked("n1c3i64x64k64f7x7"), SMALL) and not is_flat(asked("n1c8i64x64k64f7x7"), SMALL)
    assert is_flat(asked("n1c17i64x64k64f3x3"), SMALL) and not is_flat(asked("n1c17i64x64k64f7x7"), SMALL)
    assert is_flat(asked("n340c3i1024x1024k8f3x3p1"), SMALL) and not is_flat(asked("n342c3i1024x1024k8f3x3p1"), SMALL), "32-bit offsets"
    assert is_flat(asked("n1c3i64x64k64f3x3", Pass.BACKWARD_WEIGHTS), SMALL)
    assert not is_flat(asked("n1c32i64x64k64f3x3", Pass.BACKWARD_WEIGHTS), SMALL)


# What is refused, and what must be asked for


def test_processors_take_it_only_by_name() -> None:
    problem, cpu = asked("n1c8i9x9k8f3x3p1"), DeviceTraits.cpu(8)
    assert "is shaped for GPUs" in (GEMM.why_not(problem, cpu) or "")
    choice = choose(problem, cpu, tuned=False)
    assert choice.algorithm.name != "conv_gemm" and "conv_gemm" in dict(choice.refused)
    forced = choose(problem, cpu, forced="conv_gemm", tuned=False).params
    assert isinstance(forced, ConvGemmParams) and forced.tile == SMALL
    with pytest.raises(UnsupportedError, match=r"conv_gemm, asked for by name, does not take this on .*: needs 1 or 2 spatial axes, got 3"):
        choose(asked("n1c8i9x9x9k8f3x3x3"), cpu, forced="conv_gemm", tuned=False)


def test_refusals_say_why() -> None:
    device = DeviceTraits.gpu()
    assert GEMM.why_not(asked("n1c8i9x9x9k8f3x3x3"), device) == "needs 1 or 2 spatial axes, got 3"
    assert "has one channel a group (8 groups)" in (GEMM.why_not(asked("n1c8i9x9k8f3x3g8"), device) or "")
    why = GEMM.why_not(asked("n1c8i9x9k8f3x3"), replace(device, max_work_group_size=16))
    assert why == "needs work-groups of 64 with 4096 bytes of local memory, made-up GPU allows 16 with 32768"
    assert "allows 256 with 4000" in (GEMM.why_not(asked("n1c8i9x9k8f3x3"), replace(device, local_memory_bytes=4000)) or "")


@pytest.mark.parametrize("name", ["conv_gemm", "conv_winograd_gemm"])
def test_a_tile_tuned_on_a_larger_device_is_refused_by_a_smaller_one(name: str) -> None:
    problem = asked("n1c64i9x9k64f3x3p1")
    algorithm = next(a for a in for_problem(problem) if a.name == name)
    small = replace(gpu(NVIDIA), max_work_group_size=64, local_memory_bytes=8192)
    tuned = next(p for p in algorithm.space(problem, gpu(NVIDIA)) if p.rows * p.columns == 128 * 128)
    why = r"rows=128, .*\) needs work-groups of 256 with \d+ bytes of local memory, made-up GPU allows 64 with 8192; tune it on this device"
    with pytest.raises(UnsupportedError, match=why):
        prepare(algorithm, problem, small, tuned)
    assert algorithm.why_not_params(problem, small, algorithm.defaults(problem, small)) is None
    uneven = replace(tuned, rows=36, item_rows=36, columns=40, item_columns=8)
    assert "does not deal out the loads of a step evenly among 5 work-items" in str(algorithm.why_not_params(problem, gpu(NVIDIA), uneven))


@pytest.mark.parametrize(("text", "offset"), [("n15c64i1024x1024k8f1x1", "uint"), ("n17c64i1024x1024k8f1x1", "ulong")])
def test_offsets_beyond_four_gigabytes_have_64_bits(text: str, offset: str) -> None:
    for direction in Pass:
        problem = asked(text, direction)
        if direction is Pass.BACKWARD_DATA:  # which reads the output gradient
            problem = replace(problem, channels=problem.filters, filters=problem.channels)
        source = prepare(GEMM, problem, DeviceTraits.gpu(), params(SMALL)).plan.calls[0].source
        assert dict(source.constants)["OFFSET"] == offset
        assert f"#define OFFSET {offset}\n" in render(source).text


# The launches


def test_geometry_is_arguments() -> None:
    """Layers of different kernels, strides and sizes are one kernel."""
    texts = ("n1c64i56x56k64f3x3p1", "n8c128i28x28k256f3x3s2p1+bias+relu", "n2c32i9x7k32f5x2p2d2", "n1c64i8x8k64f4x4s2p1:bwd_d")
    plans = [prepare(GEMM, parse(text), DeviceTraits.gpu(), params(MIDDLE)).plan for text in texts]
    assert len({call.source for plan in plans for call in plan.calls}) == 1


def test_weights_that_are_packed_already_decide_over_the_tile() -> None:
    """A compiled network keeps them for another batch or image size, for which another tile would be chosen."""
    small, large, device = asked("n1c64i14x14k256f1x1"), asked("n64c64i56x56k256f1x1"), gpu(NVIDIA)
    before, after = GEMM.defaults(small, device), GEMM.defaults(large, device)
    assert before.rows != after.rows
    stored = large.with_layouts(**GEMM.wants(small, device, before))
    (call,) = GEMM.plan(stored, device, after).calls
    assert dict(call.source.constants)["TILE_M"] == before.rows and dict(call.bindings)["m_tiles"] == 256 // before.rows
    with pytest.raises(UnsupportedError, match="operands must be plain but for .*, got .*; reorder them first"):
        GEMM.plan(large.with_layouts(w=Packed(48, 8, 1)), device, after)


def test_a_data_gradient_multiplies_no_zeros() -> None:
    problem = asked("n2c16i9x9k32f3x3s2p1", Pass.BACKWARD_DATA)
    calls = planned(problem, params(SMALL), DeviceTraits.gpu())
    assert [(c["taps_y"], c["taps_x"], c["rows"], c["columns"]) for c in calls] == [(1, 1, 5, 5), (1, 2, 5, 4), (2, 1, 4, 5), (2, 2, 4, 4)]
    assert [c["all_steps"] for c in calls] == [4, 8, 8, 16]


def test_split_sums_cover_every_step_once() -> None:
    calls = planned(asked("n1c100i7x7k64f3x3p1"), params(SMALL, 7), DeviceTraits.gpu())
    assert (calls[0]["all_steps"], calls[0]["steps_each"]) == (9 * 13, 17) and calls[1]["parts"] == 7
    weights, add = planned(asked("n3c32i7x7k64f3x3p1", Pass.BACKWARD_WEIGHTS), params(SMALL, 7), DeviceTraits.gpu())
    assert (weights["all_positions"], weights["steps_each"], add["parts"]) == (147, 3, 7)
    assert (weights["step_image"], weights["step_y"], weights["step_x"]) == (0, 1, 1)


def test_it_stands_before_the_direct_kernel() -> None:
    names = [a.name for a in for_problem(parse("n1c8i9x9k8f3x3"))]
    assert names.index("conv_gemm") < names.index("conv_direct")


# On the device, as on a GPU


HARD = (
    "n2c5i9x7k10f3x3p1+bias+leaky_relu(0.5)+res", "n2c101i5x7k33f3x3s2p1+bias+relu", "n2c64i6x5k32f1x1", "n3c100i7x5k32f1x1+res",
    "n1c64i6x5k64f3x2", "n3c64i3x2k32f3x3p1", "n2c64i5x7k96f3x3p1g2", "n1c33i7k17f4s3p1d2", "n2c3i13x11k9f7x7s2p3",
    "n1c17i8x11k33f3x2s3x2p2,1x0,1d2x3", "n2c9i7x8k33f3x3p1+bias+clip(0,6)+res",
    "n2c9i7x8k33f3x3s2p1+hardswish", "n1c64i6x5k32f1x1+bias+silu",
)  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("parts", [1, 3, 64])
@pytest.mark.parametrize("tile", [SMALL, GemmTile(64, 64, 16, 4, 4), GemmTile(64, 128, 8, 8, 8)], ids=str)
@pytest.mark.parametrize("text", HARD)
def test_hard_cases(text: str, tile: GemmTile, parts: int, dtype: str) -> None:
    """More parts than some phases have steps; pixels beyond the last image, channels beyond the last tile."""
    for direction in Pass:
        problem = replace(asked(text, direction), dtype=dtype)
        if direction is Pass.BACKWARD_WEIGHTS:
            problem = replace(problem, epilogue=type(problem.epilogue)())
        for indices in (False, True):
            check(prepare(GEMM, problem, DeviceTraits.gpu(), replace(params(tile, parts), indices=indices)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["NVIDIA", "AMD CDNA", "Intel Xe", "unknown GPU"])
def test_the_start_tiles_of_every_class(name: str) -> None:
    """But for the sub-groups, which are Intel's."""
    for text in ("n2c128i9x7k128f3x3p1+bias+relu", "n2c3i15x17k70f5x5s2p2", "n1c130i6x6k129f1x1"):
        for direction in Pass:
            problem = asked(text, direction)
            if direction is Pass.BACKWARD_WEIGHTS:
                problem = replace(problem, epilogue=type(problem.epilogue)())
            for chosen in GEMM.space(problem, gpu(name)):
                check(prepare(GEMM, problem, gpu(name), replace(chosen, sub_group=0)))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("algorithm", "factor"), [("conv_gemm", 0.0), ("conv_winograd_gemm", max(ERROR_FACTORS[m] for m in (2, 4)))]
)
def test_a_caller_may_ask_for_it_anywhere(algorithm: str, factor: float) -> None:
    """As one operation on the device at hand, packed weights and all; straight sums of whole numbers are exact."""
    queue, rng = default_queue(), np.random.default_rng(1)
    x, w, b = integers(rng, (2, 16, 9, 7)), integers(rng, (20, 16, 3, 3)), integers(rng, (20,))
    y = F.conv2d(*(cla.to_device(queue, a) for a in (x, w, b)), padding=1, algorithm=algorithm).get()
    geometry = ConvGeometry.make((3, 3), padding=1)
    magnitude = reference.conv(np.abs(x), np.abs(w), np.abs(b), geometry).max()
    np.testing.assert_allclose(y, reference.conv(x, w, b, geometry), rtol=0, atol=factor * float(sum_bound(9 * 16, magnitude)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("text", ["n2c5i9x7k10f3x3p1+bias+relu", "n2c16i9x7k10f3x3p1+relu"])
def test_nan_and_infinities_stay_where_they_belong(text: str) -> None:
    """What fills up tiles and steps is zero times zero, not times a number that happens to lie there."""
    problem, given = asked(text), operands_of(parse(text))
    given["x"][1, 2, 3, 4] = np.nan
    given["w"][3, 1, 0, 0] = np.inf
    check(prepare(GEMM, problem, DeviceTraits.gpu(), params(SMALL)), given)
