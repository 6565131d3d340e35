"""Softmax and its logarithm, forward and backward, along every axis."""

from __future__ import annotations

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.softmax_rows import SoftmaxRows
from clconv.codegen.render import render
from clconv.device import DeviceTraits
from clconv.problem import Pass, SoftmaxProblem
from tests.support import run_plan, traits

ALGORITHM = SoftmaxRows()
GPU = DeviceTraits.gpu()
CASES = [
    ((64, 10), 1),
    ((3, 1000), 1),
    ((5, 1), 1),
    ((7, 17), 0),
    ((2, 3, 11, 13), 1),
    ((3, 33, 1, 1), 1),
    ((2, 19, 8), 1),
    ((4, 5, 6), -1),
]


def combinations(default: set[tuple[str, str, bool]]) -> pytest.MarkDecorator:
    """Devices, storage types and the logarithm; a default run has those of `default` only, because each is two kernels of its own."""
    rows = [
        pytest.param(device, dtype, log, id=f"{name}-{dtype}-{log}", marks=() if (name, dtype, log) in default else pytest.mark.exhaustive)
        for name, device in (("own", None), ("gpu", GPU))
        for dtype in ("float32", "float16")
        for log in (False, True)
    ]
    return pytest.mark.parametrize("device, dtype, log", rows)


EXP_ULPS = 3
"""The error of exp and log that OpenCL allows, in units in the last place of a float."""


def run(problem: SoftmaxProblem, operands: dict[str, np.ndarray], device: DeviceTraits | None = None) -> np.ndarray:
    device = device or traits()
    assert ALGORITHM.why_not(problem, device) is None
    plan = ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device))
    assert len(plan.calls) == 1
    (out,) = run_plan(plan, problem, operands).values()
    return out


def error_of_shift(x: np.ndarray, axis: int) -> np.ndarray:
    """Relative error of a float softmax: of exp and its argument x - max, of a sum of positive terms, of the division."""
    length = x.shape[axis]
    farthest = np.abs(x - x.max(axis=axis, keepdims=True))
    return 2.0**-24 * (2 * EXP_ULPS + farthest + 2 * np.sqrt(length) + farthest.max(axis=axis, keepdims=True) + 2)


@combinations({("own", "float32", False), ("own", "float32", True)})
def test_forward(log, dtype, device):
    rng = np.random.default_rng(0)
    for shape, axis in CASES:
        x = (rng.standard_normal(shape) * 4).astype(dtype)
        got = run(SoftmaxProblem(shape, axis, log, dtype=dtype), {"x": x}, device).astype(np.float64)
        x = x.astype(np.float64)
        expected = reference.log_softmax(x, axis) if log else reference.softmax(x, axis)
        relative = error_of_shift(x, axis)
        bound = relative + 2.0**-23 * np.abs(expected) if log else relative * expected
        if dtype == "float16":
            bound = bound + np.maximum(2.0**-11 * np.abs(expected), 2.0**-25)
        assert (np.abs(got - expected) <= bound).all(), (shape, axis, np.abs(got - expected).max())


@combinations({("own", "float32", False)})
def test_backward(log, dtype, device):
    rng = np.random.default_rng(1)
    for shape, axis in CASES:
        x, dy = rng.standard_normal(shape), rng.standard_normal(shape).astype(dtype)
        y = (reference.log_softmax(x, axis) if log else reference.softmax(x, axis)).astype(dtype)
        problem = SoftmaxProblem(shape, axis, log, Pass.BACKWARD_DATA, dtype)
        got = run(problem, {"y": y, "dy": dy}, device).astype(np.float64)
        y, dy = y.astype(np.float64), dy.astype(np.float64)
        expected = reference.log_softmax_backward(dy, y, axis) if log else reference.softmax_backward(dy, y, axis)
        # A sum of `length` terms, then a product and a difference, each a rounding of what it adds up.
        scale = np.exp(y) if log else np.abs(y)
        magnitude = np.abs(dy if log else dy * y).sum(axis=axis, keepdims=True)
        steps = 2 * np.sqrt(shape[axis]) + 2 * EXP_ULPS + np.abs(y) + 3
        bound = 2.0**-24 * steps * (np.abs(dy) * (1 if log else scale) + scale * magnitude)
        if dtype == "float16":
            bound = bound + np.maximum(2.0**-11 * np.abs(expected), 2.0**-25)
        assert (np.abs(got - expected) <= bound).all(), (shape, axis, np.abs(got - expected).max())


@pytest.mark.parametrize(
    "log, device",
    [
        pytest.param(False, None, id="own"),
        pytest.param(True, None, id="own-log"),
        pytest.param(False, GPU, id="gpu", marks=pytest.mark.exhaustive),
        pytest.param(True, GPU, id="gpu-log", marks=pytest.mark.exhaustive),
    ],
)
def test_nan_and_infinities(log, device):
    for shape, axis in (((6, 21), 1), ((21, 6), 0), ((2, 21, 3), 1), ((1, 21, 19), 1)):
        x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
        lines = np.moveaxis(x, axis, 0).reshape(21, -1, copy=True)
        lines[3, 0] = np.nan
        lines[:, 1] = -np.inf
        lines[5, 2] = np.inf
        lines[[0, 20], 3] = -np.inf
        lines[:, 4] = 10000.0 + np.arange(21)
        x = np.moveaxis(lines.reshape(np.moveaxis(x, axis, 0).shape), 0, axis)
        got = run(SoftmaxProblem(x.shape, axis, log), {"x": x}, device)
        expected = reference.log_softmax(x, axis) if log else reference.softmax(x, axis)
        assert np.isnan(expected).any()
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)  # assert_allclose holds NaN and infinities to be equal


def test_probabilities_sum_to_one():
    x = (np.random.default_rng(3).standard_normal((9, 1001)) * 20).astype(np.float32)
    total = run(SoftmaxProblem(x.shape, 1), {"x": x}).astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(total, 1.0, rtol=0, atol=2.0**-24 * (2 * EXP_ULPS + 2 * np.sqrt(1001) + 2))


def test_sizes_are_not_in_the_source():
    for device in (DeviceTraits.cpu(), GPU):
        for shapes, axis in ((((1, 10), (64, 1000)), 1), (((1, 10, 4, 4), (8, 21, 7, 7)), 1)):
            problems = [SoftmaxProblem(shape, axis) for shape in shapes]
            plans = [ALGORITHM.plan(p, device, ALGORITHM.defaults(p, device)) for p in problems]
            assert len({render(plan.calls[0].source).text for plan in plans}) == 1
