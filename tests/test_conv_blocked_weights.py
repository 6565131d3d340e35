"""The blocked weight gradient against the oracle: bit for bit on whole numbers, within the bound of a float32 sum on real data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.conv_blocked_weights import SCRATCH_BYTES, ConvBlockedWeights, ConvBlockedWeightsParams, column_tiles
from clconv.device import DeviceTraits
from clconv.geometry import ConvGeometry
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Blocked
from tests.support import integers, run_plan, sum_bound

ALGORITHM = ConvBlockedWeights()
CPU = DeviceTraits.cpu(8)


def problem_of(
    geometry: ConvGeometry, batch: int, channels: int, filters: int, size: tuple[int, ...], dtype: str = "float32"
) -> ConvProblem:
    return ConvProblem(geometry, batch, channels, filters, size, Pass.BACKWARD_WEIGHTS, dtype)


def widen(layout: Blocked, extra: tuple[int, int, int, int], first: int, more: int, channels: int) -> Blocked:
    """The layout with a larger halo, as a slice of a wider tensor."""
    (a, b), (c, d) = layout.halo
    top, bottom, left, right = extra
    own = -(-channels // layout.block)
    return Blocked(layout.block, ((a + top, b + bottom), (c + left, d + right)), first + own + more, first)


def shared_params(problem: ConvProblem) -> ConvBlockedWeightsParams:
    """Those of one number of filters, so that other numbers run the same kernels."""
    if problem.geometry.groups > 1:
        return ALGORITHM.defaults(problem, CPU)
    return ALGORITHM.defaults(replace(problem, filters=20 if problem.channels <= 4 else 1), CPU)


def run(problem: ConvProblem, x: np.ndarray, dy: np.ndarray, traits: DeviceTraits = CPU, params: ConvBlockedWeightsParams | None = None,
        wide: bool = False) -> np.ndarray:
    chosen = params or (shared_params(problem) if traits == CPU else ALGORITHM.defaults(problem, traits))
    layouts = dict(ALGORITHM.wants(problem, traits, chosen))
    if wide:
        layouts["x"] = widen(layouts["x"], (1, 0, 2, 1), 1, 1, problem.channels)
        layouts["dy"] = widen(layouts["dy"], (0, 2, 1, 3), 2, 0, problem.filters)
    problem = problem.with_layouts(**layouts)
    plan = ALGORITHM.plan(problem, traits, chosen)
    assert len(plan.calls) == 2
    return run_plan(plan, problem, {"x": x, "dy": dy})["dw"]


GEOMETRIES = {
    "3x3": (ConvGeometry.make((3, 3), padding=1), (7, 11)),
    "1x1": (ConvGeometry.make((1, 1)), (5, 7)),
    "1x1 stride 2": (ConvGeometry.make((1, 1), stride=2), (5, 7)),
    "7x7 stride 2": (ConvGeometry.make((7, 7), stride=2, padding=3), (13, 13)),
    "even kernel, one-sided padding": (ConvGeometry.make((2, 4), stride=2, padding=((1, 0), (0, 1))), (8, 9)),
    "stride above kernel": (ConvGeometry.make((2, 2), stride=3), (11, 8)),
    "dilation with stride": (ConvGeometry.make((3, 3), stride=2, dilation=2, padding=((1, 1), (1, 1))), (9, 10)),
    "1-D": (ConvGeometry.make((5,), stride=2, padding=2), (17,)),
}
SIZES = [(3, 17, 33), (1, 33, 17), (2, 8, 1), (3, 3, 20), (2, 1, 17)]


RARE = {"1x1 stride 2", "7x7 stride 2", "dilation with stride", "stride above kernel", "even kernel, one-sided padding", "1-D"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.exhaustive if n in RARE else ()) for n in GEOMETRIES])
def test_whole_numbers_match_bit_for_bit(name: str) -> None:
    geometry, size = GEOMETRIES[name]
    rng = np.random.default_rng(1)
    for batch, channels, filters in SIZES:
        problem = problem_of(geometry, batch, channels, filters, size)
        assert ALGORITHM.why_not(problem, CPU) is None
        x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
        expected = reference.conv_backward_weights(x, dy, geometry)
        for wide in (False, True):
            np.testing.assert_array_equal(run(problem, x, dy, wide=wide), expected, err_msg=f"{problem} {wide=}")


def test_the_tiles_that_each_number_of_filters_wants() -> None:
    geometry, size = GEOMETRIES["3x3"]
    rng = np.random.default_rng(10)
    for batch, channels, filters in SIZES:
        problem = problem_of(geometry, batch, channels, filters, size)
        x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
        expected = reference.conv_backward_weights(x, dy, geometry)
        np.testing.assert_array_equal(run(problem, x, dy, params=ALGORITHM.defaults(problem, CPU)), expected, err_msg=str(problem))


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
def test_tiny_maps(size: tuple[int, int]) -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    rng = np.random.default_rng(2)
    problem = problem_of(geometry, 3, 9, 10, size)
    x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
    np.testing.assert_array_equal(run(problem, x, dy), reference.conv_backward_weights(x, dy, geometry))


def test_groups_of_whole_blocks() -> None:
    geometry = ConvGeometry.make((3, 3), padding=1, groups=3)
    rng = np.random.default_rng(3)
    for channels, filters in ((24, 48), (72, 24), (48, 72)):
        problem = problem_of(geometry, 2, channels, filters, (5, 6))
        x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
        expected = reference.conv_backward_weights(x, dy, geometry)
        for wide in (False, True):
            np.testing.assert_array_equal(run(problem, x, dy, wide=wide), expected)


@pytest.mark.parametrize(
    ("block", "few_channels"),
    [(16, True), *(pytest.param(*row, marks=pytest.mark.exhaustive) for row in ((4, False), (4, True), (16, False)))],
)
def test_other_vector_widths(block: int, few_channels: bool) -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    rng = np.random.default_rng(4)
    traits = DeviceTraits.cpu(block)
    problem = problem_of(geometry, *((1, 3, 5) if few_channels else (2, 17, 33)), (6, 7))
    x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
    np.testing.assert_array_equal(run(problem, x, dy, traits), reference.conv_backward_weights(x, dy, geometry))


def test_real_data_within_the_bound_and_the_same_bits_twice() -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    rng = np.random.default_rng(5)
    problem = problem_of(geometry, 3, 17, 20, (13, 11))
    x, dy = (rng.standard_normal(s).astype(np.float32) for s in (problem.x_shape, problem.y_shape))
    got = run(problem, x, dy)
    bound = sum_bound(3 * 13 * 11, reference.conv_backward_weights(np.abs(x), np.abs(dy), geometry))
    assert (np.abs(got - reference.conv_backward_weights(x, dy, geometry)) <= bound).all()
    np.testing.assert_array_equal(run(problem, x, dy), got)


@pytest.mark.exhaustive
@pytest.mark.parametrize("channels", [17, 3])
def test_half_storage_sums_in_float(channels: int) -> None:
    geometry = ConvGeometry.make((3, 3), stride=2, padding=1)
    rng = np.random.default_rng(6)
    problem = problem_of(geometry, 2, channels, 9, (9, 8), "float16")
    x, dy = (rng.standard_normal(s).astype(np.float16) for s in (problem.x_shape, problem.y_shape))
    exact = reference.conv_backward_weights(x, dy, geometry)
    magnitude = reference.conv_backward_weights(np.abs(x), np.abs(dy), geometry)
    got = run(problem, x, dy)
    half_ulp = np.spacing(np.abs(exact).astype(np.float16)).astype(np.float64) / 2
    assert got.dtype == np.float16
    assert (np.abs(got - exact) <= half_ulp + sum_bound(problem.batch * 20, magnitude)).all()


def test_nan_of_one_channel_stays_in_its_weights() -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    rng = np.random.default_rng(7)
    problem = problem_of(geometry, 2, 10, 11, (5, 5))
    x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
    x[1, 4, 2, 2] = np.nan
    np.testing.assert_array_equal(run(problem, x, dy), reference.conv_backward_weights(x, dy, geometry))


@pytest.mark.exhaustive
def test_every_register_tile_of_the_space_for_one_problem() -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    rng = np.random.default_rng(8)
    problem = problem_of(geometry, 3, 20, 33, (9, 5))
    x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
    expected = reference.conv_backward_weights(x, dy, geometry)
    space = list(ALGORITHM.space(problem, CPU))
    assert space[0] == ALGORITHM.defaults(problem, CPU) and len(space) == len(set(space))
    for params in space:
        np.testing.assert_array_equal(run(problem, x, dy, params=params), expected, err_msg=str(params))


def test_splits_give_every_core_work_within_bounded_scratch() -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    requests = ((8, 16, 16, (56, 56)), (1, 512, 512, (7, 7)), (1, 3, 8, (2, 2)))
    for cores in (2, 64):
        for problem in (problem_of(geometry, *request) for request in requests):
            traits = DeviceTraits.cpu(8, cores)
            params = ALGORITHM.defaults(problem, traits)
            plan = ALGORITHM.plan(problem.with_layouts(**ALGORITHM.wants(problem, traits, params)), traits, params)
            tiles, groups, splits = plan.calls[0].items
            assert tiles * groups * splits >= 4 * cores or splits == problem.batch * problem.size[0]
            assert plan.scratch[0][1] <= SCRATCH_BYTES


def test_the_number_of_splits_changes_only_rounding() -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    rng = np.random.default_rng(9)
    problem = problem_of(geometry, 3, 8, 8, (7, 5))
    x, dy = integers(rng, problem.x_shape), integers(rng, problem.y_shape)
    expected = reference.conv_backward_weights(x, dy, geometry)
    for cores in (1, 2, 3, 5, 16):
        np.testing.assert_array_equal(run(problem, x, dy, DeviceTraits.cpu(8, cores)), expected)


def test_column_tiles_cover_the_kernel_once() -> None:
    for columns in range(1, 12):
        for most in range(1, 7):
            tiles = column_tiles(columns, most)
            assert [s for first, count in tiles for s in range(first, first + count)] == list(range(columns))
            assert max(count for _, count in tiles) <= most


def test_refusals_are_sentences() -> None:
    geometry = ConvGeometry.make((3, 3), padding=1)
    problem = problem_of(geometry, 1, 8, 8, (5, 5))
    assert ALGORITHM.why_not(problem, DeviceTraits.gpu()) == "needs a CPU device with SIMD width of at least 4, got 1"
    forward = ConvProblem(geometry, 1, 8, 8, (5, 5))
    assert ALGORITHM.why_not(forward, CPU) == "computes the weight gradient, got pass fwd"
    cube = problem_of(ConvGeometry.make((3, 3, 3)), 1, 8, 8, (5, 5, 5))
    assert ALGORITHM.why_not(cube, CPU) == "needs one or two spatial axes, got 3"
    grouped = problem_of(ConvGeometry.make((3, 3), groups=2), 1, 8, 16, (5, 5))
    assert ALGORITHM.why_not(grouped, CPU) == "needs groups of whole blocks of 8 channels, got 4 input and 8 output channels in a group"
