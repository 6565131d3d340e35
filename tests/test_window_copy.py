"""window_copy against numpy.pad and slicing: exact, element types as bits."""

from __future__ import annotations

import numpy as np
import pytest

from clconv.algorithms.window_copy import WindowCopy, merged_axes
from clconv.device import DeviceTraits
from clconv.problem import WindowProblem
from tests.support import NUMPY, run_plan, traits

WINDOW = WindowCopy()
# shape, before, out_shape
CASES = [
    ((7,), (2,), (12,)),
    ((7,), (-3,), (2,)),
    ((3, 5), (1, -2), (6, 3)),
    ((2, 3, 11, 13), (0, 0, 2, 1), (2, 3, 14, 17)),
    ((2, 3, 11, 13), (0, 0, -2, -1), (2, 3, 5, 12)),
    ((2, 3, 11, 13), (0, -1, 3, -4), (2, 1, 9, 20)),
    ((4, 6, 5, 5), (0, -2, 0, 0), (4, 3, 5, 5)),
    ((2, 2, 3, 4, 5), (1, 0, -1, 2, -2), (4, 2, 4, 3, 6)),
    ((3, 4), (5, 0), (4, 4)),
    ((3, 4), (0, -9), (3, 2)),
    ((2, 3, 4), (0, 0, 0), (2, 3, 4)),
    ((2, 300), (1, 70), (3, 400)),
]


def expected(problem: WindowProblem, x: np.ndarray) -> np.ndarray:
    y = np.full(problem.out_shape, problem.fill, x.dtype)
    for index in np.ndindex(*problem.out_shape):
        source = tuple(i - b for i, b in zip(index, problem.before, strict=True))
        if all(0 <= i < n for i, n in zip(source, problem.shape, strict=True)):
            y[index] = x[source]
    return y


def check(problem: WindowProblem, device: DeviceTraits | None = None) -> None:
    device = device or traits()
    assert WINDOW.why_not(problem, device) is None
    x = np.random.default_rng(0).integers(-9, 10, problem.shape).astype(NUMPY[problem.dtype])
    if problem.dtype != "int32":
        x.reshape(-1)[::5] = np.nan
    y = run_plan(WINDOW.plan(problem, device, WINDOW.defaults(problem, device)), problem, {"x": x})["y"]
    np.testing.assert_array_equal(y, expected(problem, x), err_msg=str(problem))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32"])
@pytest.mark.parametrize(("shape", "before", "out"), CASES)
def test_every_type(shape: tuple[int, ...], before: tuple[int, ...], out: tuple[int, ...], dtype: str) -> None:
    check(WindowProblem(shape, before, out, -7.0, dtype))


@pytest.mark.parametrize(("shape", "before", "out"), CASES)
def test_groups_of_work_items_as_on_gpus(shape: tuple[int, ...], before: tuple[int, ...], out: tuple[int, ...]) -> None:
    check(WindowProblem(shape, before, out), DeviceTraits.gpu())


@pytest.mark.parametrize("fill", [0.0, -np.inf, np.nan, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_fill_is_rounded_to_the_type(fill: float, dtype: str) -> None:
    check(WindowProblem((3, 5), (1, 1), (5, 8), fill, dtype))


def test_unchanged_axes_are_merged_and_more_than_five_others_refused() -> None:
    problem = WindowProblem((2, 3, 1, 4, 2, 3, 5), (0, 0, 1, 0, 0, 1, 0), (2, 3, 2, 4, 2, 5, 5), 3.0)
    assert merged_axes(problem) == [(6, 0, 6), (8, 8, 16), (15, 5, 25)]
    check(problem)
    wide = WindowProblem((1,) * 6, (1,) * 6, (2,) * 6)
    assert WINDOW.why_not(wide, traits()) == "needs at most 5 axes after merging unchanged ones, got 6"
