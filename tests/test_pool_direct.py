"""pool_direct against the oracle: maximum with indices, mean and adaptive mean, forward and backward."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.pool_direct import PoolDirect
from clconv.device import DeviceTraits
from clconv.problem import Pass, PoolProblem, parse
from tests.support import integers, run_plan, sum_bound, traits

POOL = PoolDirect()
DIVISION = 2.5 * 2.0**-23  # OpenCL lets a float division be wrong by 2.5 units in the last place

# Problems of one line share their kernels: sizes are arguments.
WINDOWS = {
    "side by side": ("n3c3i10x13f2x2", "n1c17i7x200f2x2", "n1c1i2x2f2x2"),
    "overlapping, padded": ("n2c3i11x13f3x3s2p1", "n3c33i5x70f3x3s2p1", "n1c1i1x1f3x3s2p1"),
    "dilated, one-sided": ("n2c3i9x11f3x2s1x2p1,0x0,1d2x1",),
    "stride above window": ("n2c2i13x11f2x3s4x5",),
    "rounded up": ("n2c3i8x11f3x3s2p1:ceil", "n1c2i7x10f3x3s2p1:ceil"),
    "one axis, wide stride": ("n3c2i37f2s3p1", "n1c2i150f2s3p1"),
    "three axes": ("n2c3i5x6x7f2x3x2s1x2x2p1", "n1c1i3x2x2f2x3x2s1x2x2p1"),
}
ADAPTIVE = [
    ((7, 11), (3, 5)), ((7, 7), (1, 1)), ((3, 4), (5, 9)), ((100, 3), (7, 3)),
    ((23,), (4,)), ((4, 5, 6), (2, 5, 4)), ((5, 90), (2, 80)),
]  # fmt: skip


def adaptive(size: tuple[int, ...], outputs: tuple[int, ...], direction: Pass = Pass.FORWARD, dtype: str = "float32") -> PoolProblem:
    return PoolProblem("adaptive_avg", None, 2, 3, size, outputs, direction, dtype)


def run(problem: PoolProblem, given: dict[str, np.ndarray], device: DeviceTraits | None = None) -> dict[str, np.ndarray]:
    device = device or traits()
    assert POOL.why_not(problem, device) is None
    return run_plan(POOL.plan(problem, device, POOL.defaults(problem, device)), problem, given)


def image(problem: PoolProblem, seed: int = 0) -> np.ndarray:
    """Whole numbers with many ties."""
    return integers(np.random.default_rng(seed), (problem.batch, problem.channels, *problem.size))


def gradient(problem: PoolProblem, seed: int = 1) -> np.ndarray:
    return integers(np.random.default_rng(seed), (problem.batch, problem.channels, *problem.output_size))


def check_max(problem: PoolProblem, x: np.ndarray, device: DeviceTraits | None = None) -> None:
    """Values with and without indices, the indices, and the gradient that follows them."""
    assert problem.geometry is not None
    y, indices = reference.max_pool(x, problem.geometry)
    np.testing.assert_array_equal(run(problem, {"x": x}, device)["y"], y.astype(x.dtype), err_msg=str(problem))
    both = run(replace(problem, with_indices=True), {"x": x}, device)
    np.testing.assert_array_equal(both["y"], y.astype(x.dtype))
    np.testing.assert_array_equal(both["indices"], indices)
    check_max_backward(problem, gradient(problem).astype(x.dtype), indices, device)


def check_max_backward(problem: PoolProblem, dy: np.ndarray, indices: np.ndarray, device: DeviceTraits | None = None) -> None:
    dx = run(replace(problem, direction=Pass.BACKWARD_DATA), {"dy": dy, "indices": indices}, device)["dx"]
    np.testing.assert_array_equal(dx, reference.max_pool_backward(dy, indices, problem.size).astype(dy.dtype), err_msg=str(problem))


def rarely(*default: str) -> list[object]:
    """Cases of WINDOWS; those that are not named take part in the exhaustive tests only."""
    return [pytest.param(case, marks=() if case in default else pytest.mark.exhaustive) for case in WINDOWS]


@pytest.mark.parametrize("case", rarely(*(WINDOWS.keys() - {"one axis, wide stride", "stride above window"})))
def test_maximum_of_whole_numbers(case: str) -> None:
    for text in WINDOWS[case]:
        problem = parse(f"maxpool {text}")
        check_max(problem, image(problem))


@pytest.mark.parametrize("case", ["overlapping, padded", "dilated, one-sided", "three axes"])
def test_maximum_with_nan_and_minus_infinity(case: str) -> None:
    for text in WINDOWS[case]:
        problem = parse(f"maxpool {text}")
        x = image(problem)
        rng = np.random.default_rng(2)
        x[rng.random(x.shape) < 0.1] = np.nan
        x[rng.random(x.shape) < 0.1] = -np.inf
        x[0, 0] = -np.inf
        check_max(problem, x)


def test_all_minus_infinity_gives_minus_infinity_and_an_index_inside() -> None:
    problem = parse("maxpool n2c3i11x13f3x3s2p1:idx")
    out = run(problem, {"x": np.full((2, 3, 11, 13), -np.inf, np.float32)})
    assert (out["y"] == -np.inf).all()
    assert out["indices"][0, 0, 0, 0] == 0 and out["indices"][0, 0, 1, 1] == 14 and (out["indices"] >= 0).all()


def test_gradient_of_the_maximum_moves_nan_to_one_element_only() -> None:
    problem = parse("maxpool n2c3i11x13f3x3s2p1")
    _, indices = reference.max_pool(image(problem), problem.geometry)
    dy = gradient(problem)
    dy[1, 2, 3, 4] = np.nan
    dy[0, 0, 0, 0] = np.inf
    check_max_backward(problem, dy, indices)


def check_avg(problem: PoolProblem, device: DeviceTraits | None = None) -> None:
    """Sums of whole numbers are exact: only the division (and in the gradient the sum of quotients) is rounded."""
    assert problem.geometry is not None
    x, dy = image(problem), gradient(problem)
    options = (problem.count_include_pad, problem.divisor)
    y = reference.avg_pool(x, problem.geometry, *options)
    error = abs(run(problem, {"x": x}, device)["y"] - y)
    assert (error <= DIVISION * abs(y)).all(), str(problem)

    def backward(grad: np.ndarray) -> np.ndarray:
        return reference.avg_pool_backward(grad, problem.geometry, problem.size, *options)

    dx = run(replace(problem, direction=Pass.BACKWARD_DATA), {"dy": dy}, device)["dx"]
    magnitude = backward(abs(dy))
    assert (abs(dx - backward(dy)) <= DIVISION * magnitude + sum_bound(math.prod(problem.geometry.kernel), magnitude)).all(), str(problem)


@pytest.mark.parametrize("case", rarely("overlapping, padded", "rounded up"))
def test_mean(case: str) -> None:
    for text in WINDOWS[case]:
        check_avg(parse(f"avgpool {text}"))


@pytest.mark.parametrize("case", rarely("side by side", "overlapping, padded", "rounded up"))
def test_mean_of_what_lies_inside(case: str) -> None:
    for text in WINDOWS[case]:
        check_avg(parse(f"avgpool {text}:nopad"))


def test_mean_with_a_given_divisor() -> None:
    check_avg(parse("avgpool n2c3i11x13f3x3s2p1:div7"))


def test_mean_of_whole_windows_by_a_power_of_two_is_exact() -> None:
    problem = parse("avgpool n2c3i10x13f2x2")
    x = image(problem)
    np.testing.assert_array_equal(run(problem, {"x": x})["y"], reference.avg_pool(x, problem.geometry).astype(np.float32))


def test_mean_lets_nan_into_its_own_windows_only() -> None:
    problem = parse("avgpool n2c3i11x13f3x3s2p1")
    x = image(problem)
    x[0, 1, 5, 12] = np.nan
    y = run(problem, {"x": x})["y"]
    np.testing.assert_array_equal(np.isnan(y), np.isnan(reference.avg_pool(x, problem.geometry)))
    assert np.isnan(y).sum() == 2


@pytest.mark.parametrize("device", [None, pytest.param(DeviceTraits.gpu(), marks=pytest.mark.exhaustive)], ids=["cpu", "gpu"])
@pytest.mark.parametrize(("size", "outputs"), ADAPTIVE)
def test_adaptive_mean(size: tuple[int, ...], outputs: tuple[int, ...], device: DeviceTraits | None) -> None:
    problem = adaptive(size, outputs)
    x, dy = image(problem), gradient(problem)
    y = reference.adaptive_avg_pool(x, outputs)
    assert (abs(run(problem, {"x": x}, device)["y"] - y) <= DIVISION * abs(y)).all()
    dx = run(adaptive(size, outputs, Pass.BACKWARD_DATA), {"dy": dy}, device)["dx"]
    magnitude = reference.adaptive_avg_pool_backward(abs(dy), size)
    bound = DIVISION * magnitude + sum_bound(math.prod(outputs), magnitude)
    assert (abs(dx - reference.adaptive_avg_pool_backward(dy, size)) <= bound).all()


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("dilated, one-sided", "max"),
        pytest.param("rounded up", "avg", marks=pytest.mark.exhaustive),
        pytest.param("dilated, one-sided", "avg", marks=pytest.mark.exhaustive),
        pytest.param("rounded up", "max", marks=pytest.mark.exhaustive),
    ],
)
def test_groups_of_work_items_as_on_gpus(case: str, kind: str) -> None:
    for text in WINDOWS[case]:
        problem = parse(f"{kind}pool {text}")
        if kind == "max":
            check_max(problem, image(problem), DeviceTraits.gpu())
        else:
            check_avg(problem, DeviceTraits.gpu())


@pytest.mark.exhaustive
def test_float16_maximum() -> None:
    problem = parse("maxpool n2c3i11x13f3x3s2p1:f16")
    check_max(problem, image(problem).astype(np.float16))


@pytest.mark.parametrize("direction", [Pass.FORWARD, pytest.param(Pass.BACKWARD_DATA, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("kind", ["avg", "adaptive"])
def test_float16_means_are_rounded_once(kind: str, direction: Pass) -> None:
    problem = replace(parse("avgpool n2c3i10x12f2x2s1x2p1:f16"), direction=direction)
    if kind == "adaptive":
        problem = adaptive((10, 12), (5, 3), direction, "float16")
    forward = direction is Pass.FORWARD
    given = (np.random.default_rng(3).standard_normal(problem.tensors()["x" if forward else "dy"].shape)).astype(np.float16)
    out = run(problem, {"x" if forward else "dy": given})["y" if forward else "dx"]
    if kind == "adaptive":
        want = reference.adaptive_avg_pool(given, (5, 3)) if forward else reference.adaptive_avg_pool_backward(given, (10, 12))
    else:
        g = problem.geometry
        want = reference.avg_pool(given, g) if forward else reference.avg_pool_backward(given, g, problem.size)
    # One unit in the last place of half: a float sum may fall on the other side of a rounding border.
    assert out.dtype == np.float16 and (abs(out - want) <= 2.0**-10 * abs(want) + 2.0**-24).all()


@pytest.mark.parametrize("text", ["maxpool n1c6i28x28f2x2:idx", "maxpool n1c6i28x28f2x2:bwd_d", "avgpool n1c6i28x28f3x3s2p1"])
def test_batch_and_image_size_change_neither_source_nor_launch_count(text: str) -> None:
    problem, device = parse(text), traits()
    problems = [replace(problem, batch=batch, size=size) for batch, size in ((1, (28, 28)), (64, (14, 14)), (3, (56, 224)))]
    assert len({tuple(c.source for c in POOL.plan(p, device, POOL.defaults(p, device)).calls) for p in problems}) == 1
