"""Sums and maxima: every set of axes, views and broadcasts, several results in one pass, the same bits at every run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from clconv.algorithms.reduce_strided import ReduceStrided
from clconv.codegen.render import render
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ReduceProblem
from clconv.tensor import Strided, TensorSpec
from tests.support import integers, run_plan, sum_bound, traits

ALGORITHM = ReduceStrided()
MOMENTS = (("t0", "x0 - x1"), ("r0", "t0"), ("r1", "t0 * t0"))
GPU = DeviceTraits.gpu()
RARELY_GPU = pytest.mark.parametrize("device", [pytest.param(None, id="own"), pytest.param(GPU, id="gpu", marks=pytest.mark.exhaustive)])
AXES_OF_3 = [axes for n in (1, 2, 3) for axes in itertools.combinations(range(3), n)]


def both_devices(names: str, cases: list[tuple], as_gpu: list[tuple]) -> pytest.MarkDecorator:
    """All cases on both devices; a default run has those of `as_gpu` only on the made-up one, because each is kernels of its own."""
    rows = [
        pytest.param(*case, device, marks=() if device is None or case in as_gpu else pytest.mark.exhaustive)
        for case in cases
        for device in (None, GPU)
    ]
    return pytest.mark.parametrize(f"{names}, device", rows)


def plan_of(problem: ReduceProblem, device: DeviceTraits | None = None):
    device = device or traits()
    assert ALGORITHM.why_not(problem, device) is None
    return ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device))


def run(problem: ReduceProblem, operands: dict[str, np.ndarray], device: DeviceTraits | None = None) -> dict[str, np.ndarray]:
    return run_plan(plan_of(problem, device), problem, operands)


def moments(shape: tuple[int, ...], other: tuple[int, ...], axes: tuple[int, ...], **more: object) -> ReduceProblem:
    operands = (TensorSpec(shape), TensorSpec(other))
    return ReduceProblem(shape=shape, operands=operands, axes=axes, statements=MOMENTS, post=("r", "r1 - 2.0f * r0"), **more)  # type: ignore[arg-type]


@both_devices("axes", [(axes,) for axes in AXES_OF_3], [])
def test_sums_over_every_set_of_axes(axes, device):
    rng = np.random.default_rng(0)
    for shape in ((3, 17, 7), (1, 33, 49), (5, 3, 1), (2, 1, 1031), (67, 2, 3), (1, 1, 1), (300, 5, 40)):
        for other in (shape, (shape[1], 1)) if device is None else ((shape[1], 1),):
            x, mean = integers(rng, shape), integers(rng, other)
            out = run(moments(shape, other, axes), {"x0": x, "x1": mean}, device)
            d = (x - mean).astype(np.float64)
            total, squares = d.sum(axis=axes, keepdims=True), (d * d).sum(axis=axes, keepdims=True)
            np.testing.assert_array_equal(out["y0"], total, err_msg=f"{shape} {axes}")
            np.testing.assert_array_equal(out["y1"], squares - 2 * total, err_msg=f"{shape} {axes}")


@RARELY_GPU
def test_count_is_the_number_of_reduced_elements(device):
    shape, axes = (4, 3, 8), (0, 2)
    x = integers(np.random.default_rng(1), shape)
    problem = ReduceProblem(shape=shape, operands=(TensorSpec(shape),), axes=axes, statements=(("r0", "x0"),), post=("r / count",))
    np.testing.assert_array_equal(run(problem, {"x0": x}, device)["y0"], x.mean(axis=axes, keepdims=True, dtype=np.float64))


@both_devices("axes", [(axes,) for axes in ((0,), (1,), (0, 1), (2,), (1, 2))], [((2,),)])
def test_max_propagates_nan_and_starts_below_everything(axes, device):
    x = np.random.default_rng(2).standard_normal((6, 9, 21)).astype(np.float32)
    x[2, 4, 5], x[1], x[:, 3], x[5, 8, 20] = np.nan, -np.inf, -np.inf, np.inf
    problem = ReduceProblem(shape=x.shape, operands=(TensorSpec(x.shape),), axes=axes, statements=(("r0", "x0"),), combine="max")
    np.testing.assert_array_equal(run(problem, {"x0": x}, device)["y0"], x.max(axis=axes, keepdims=True))


@RARELY_GPU
def test_views_and_other_types(device):
    shape, axes = (4, 6, 10), (0, 2)
    rng = np.random.default_rng(3)
    x, label = integers(rng, shape), rng.integers(0, 6, shape)
    problem = ReduceProblem(
        shape=shape,
        operands=(TensorSpec(shape, "float16"), TensorSpec(shape, "int32")),
        axes=axes,
        statements=(("r0", "x1 == 3 ? x0 : 0.0f"), ("r1", "(float)(x1 != 2)")),
        post=("r", "r"),
    )
    for layouts in ({"x0": Strided((1, 4, 24), 5)}, {"x0": Strided((60, -10, 1), 50), "x1": Strided((120, 20, 2), 1)}):
        out = run(problem.with_layouts(**layouts), {"x0": x, "x1": label}, device)
        np.testing.assert_array_equal(out["y0"], np.where(label == 3, x, 0).sum(axis=axes, keepdims=True))
        np.testing.assert_array_equal(out["y1"], (label != 2).sum(axis=axes, keepdims=True))


@pytest.mark.parametrize("axes", [(0,), pytest.param((1,), marks=pytest.mark.exhaustive)], ids=str)
def test_half_results_are_rounded_from_float_sums(axes):
    x = np.random.default_rng(4).standard_normal((3, 700)).astype(np.float16)
    operands = (TensorSpec(x.shape, "float16"),)
    problem = ReduceProblem(shape=x.shape, operands=operands, axes=axes, statements=(("r0", "x0 * 64.0f"),), dtype="float16")
    exact = (x.astype(np.float64) * 64).sum(axis=axes, keepdims=True)
    # The half nearest to a float sum: half a unit in the last place of the half, and the error of the sum.
    bound = np.abs(exact) * 2.0**-11 + sum_bound(700, (np.abs(x.astype(np.float64)) * 64).sum(axis=axes, keepdims=True))
    assert (np.abs(run(problem, {"x0": x})["y0"] - exact) <= bound).all()


LARGE = [((8, 5, 1200), (0, 2)), ((3000, 7), (0,)), ((5, 3000), (1,)), ((100003,), (0,))]


@both_devices("shape, axes", LARGE, [])
def test_real_data_stays_within_the_bound_and_repeats_bit_for_bit(shape, axes, device):
    x = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    problem = ReduceProblem(shape=shape, operands=(TensorSpec(shape),), axes=axes, statements=(("r0", "x0"),))
    first = run(problem, {"x0": x}, device)["y0"]
    np.testing.assert_array_equal(first, run(problem, {"x0": x}, device)["y0"])
    exact = x.astype(np.float64)
    magnitude = np.abs(exact).sum(axis=axes, keepdims=True)
    assert (np.abs(first - exact.sum(axis=axes, keepdims=True)) <= sum_bound(problem.count, magnitude)).all()


def test_the_number_of_launches_depends_on_the_axes_only():
    for device in (DeviceTraits.cpu(), GPU):
        for shape in ((1, 1, 1), (1, 17, 1), (64, 3, 5000), (1000, 2, 2)):
            for axes in AXES_OF_3:
                assert len(plan_of(moments(shape, shape, axes), device).calls) == (2 if 0 in axes else 1), (shape, axes)
        for count in (1, 7, 10**6):
            assert len(plan_of(moments((count,), (count,), (0,)), device).calls) == 1


def test_sizes_are_not_in_the_source():
    for device in (DeviceTraits.cpu(), GPU):
        texts = {
            render(call.source).text
            for shape in ((1, 17, 5, 7), (64, 17, 5, 7), (3, 33, 8, 9))
            for call in plan_of(moments(shape, (1, shape[1], 1, 1), (0, 2, 3)), device).calls
        }
        assert len(texts) == 2


def test_more_positions_than_can_be_counted_are_refused():
    problem = moments((2**16, 2**16), (1,), (0,))
    with pytest.raises(UnsupportedError, match="2147483647; split the batch"):
        plan_of(problem, GPU)
    outer = ReduceProblem(
        shape=(2**16, 2**16), operands=(TensorSpec((2**16, 1)), TensorSpec((2**16,))), axes=(0, 1), statements=(("r0", "x0 * x1"),)
    )
    with pytest.raises(UnsupportedError, match="4294967296 positions, kernels count at most 2147483647"):
        plan_of(outer, GPU)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 700_000), (1,)), ((2, 350_000, 3), (1,)), pytest.param((1_400_000, 3), (0,), marks=pytest.mark.exhaustive)],
)
def test_errors_of_a_million_terms_do_not_add_up(shape, axes):
    """Equal terms are rounded to the same side for as long as their sum keeps its exponent: one chain of additions passes the bound."""
    x = np.full(shape, 1.1, np.float32)
    problem = ReduceProblem(shape=shape, operands=(TensorSpec(shape),), axes=axes, statements=(("r0", "x0"),), post=("r",))
    total = x.sum(axis=axes, keepdims=True, dtype=np.float64)
    assert (np.abs(run(problem, {"x0": x})["y0"] - total) <= sum_bound(problem.count, total)).all()
