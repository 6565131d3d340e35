"""Products of matrices: all transposes, ragged sizes, batches, epilogues and storage types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.matmul_tiled import MatmulTiled
from clconv.codegen.render import render
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import Epilogue, MatmulProblem
from tests.support import integers, run_plan, sum_bound, traits

ALGORITHM = MatmulTiled()
GPU = DeviceTraits.gpu()
DEVICES = pytest.mark.parametrize("device", [pytest.param(None, id="own"), pytest.param(GPU, id="gpu")])
FLAGS = [(False, False), (False, True), (True, False), (True, True)]
TRANSPOSES = pytest.mark.parametrize("transpose_a, transpose_b", FLAGS)
EPILOGUES = {
    "all": Epilogue(bias=True, residual=True, activation=("leaky_relu", 0.25)),
    "bias and relu": Epilogue(bias=True, activation=("relu", 0.0)),
}


def device_and_flags(default: set[tuple[str, bool, bool]]) -> pytest.MarkDecorator:
    """Both devices with all transposes; a default run has those of `default` only, because each is a kernel of its own."""
    rows = [
        pytest.param(device, a, b, id=f"{name}-{a}-{b}", marks=() if (name, a, b) in default else pytest.mark.exhaustive)
        for name, device in (("own", None), ("gpu", GPU))
        for a, b in FLAGS
    ]
    return pytest.mark.parametrize("device, transpose_a, transpose_b", rows)


# (m, n, k): one row, few rows (dot products, b in place), one tile and one more, several chunks of k and blocks of rows, ragged everywhere
SIZES = [
    (1, 10, 400), (1, 1000, 37), (4, 33, 130), (5, 16, 129), (6, 48, 300), (7, 17, 3), (3, 3, 3), (12, 32, 128),
    (64, 120, 40), (97, 31, 17), (100, 1, 260), (103, 16, 1), (1, 1, 1), (193, 7, 5),
]  # fmt: skip


def operands(problem: MatmulProblem, rng: np.random.Generator, exact: bool = True) -> dict[str, np.ndarray]:
    def make(shape: tuple[int, ...]) -> np.ndarray:
        return integers(rng, shape) if exact else rng.standard_normal(shape).astype(problem.dtype)

    return {name: make(problem.spec(name).shape) for name in problem.inputs}


def expected(problem: MatmulProblem, given: dict[str, np.ndarray]) -> np.ndarray:
    a = given["a"].swapaxes(-1, -2) if problem.transpose_a else given["a"]
    b = given["b"].swapaxes(-1, -2) if problem.transpose_b else given["b"]
    y = reference.matmul(a, b) + given.get("bias", 0.0) + given.get("residual", 0.0)
    if problem.epilogue.activation is None:
        return y
    name, slope = problem.epilogue.activation
    return reference.relu(y) if name == "relu" else reference.leaky_relu(y, slope)


def run(problem: MatmulProblem, given: dict[str, np.ndarray], device: DeviceTraits | None = None, **params: int) -> np.ndarray:
    device = device or traits()
    assert ALGORITHM.why_not(problem, device) is None
    plan = ALGORITHM.plan(problem, device, replace(ALGORITHM.defaults(problem, device), **params))
    assert len(plan.calls) == 1
    return run_plan(plan, problem, given)["y"]


@DEVICES
@TRANSPOSES
def test_whole_numbers_are_exact(transpose_a, transpose_b, device):
    rng = np.random.default_rng(0)
    for m, n, k in SIZES:
        problem = MatmulProblem(m, n, k, transpose_a=transpose_a, transpose_b=transpose_b)
        given = operands(problem, rng)
        np.testing.assert_array_equal(run(problem, given, device), expected(problem, given), err_msg=str(problem))


@DEVICES
@TRANSPOSES
def test_batches(transpose_a, transpose_b, device):
    rng = np.random.default_rng(1)
    for batch, m, n, k in ((3, 5, 7, 11), (2, 50, 33, 20), (5, 1, 18, 9)):
        problem = MatmulProblem(m, n, k, batch, transpose_a, transpose_b)
        given = operands(problem, rng)
        np.testing.assert_array_equal(run(problem, given, device), expected(problem, given), err_msg=str(problem))


def check_epilogue(epilogue: Epilogue, device: DeviceTraits | None, transpose_a: bool, transpose_b: bool) -> None:
    rng = np.random.default_rng(2)
    for batch, m, n, k in ((1, 2, 37, 10), (1, 31, 10, 20), (2, 5, 16, 9), (1, 6, 21, 5)):
        problem = MatmulProblem(m, n, k, batch, transpose_a, transpose_b, epilogue=epilogue)
        given = operands(problem, rng)
        np.testing.assert_array_equal(run(problem, given, device), expected(problem, given), err_msg=str(problem))


@device_and_flags({("own", False, True), ("own", True, False), ("gpu", True, True)})
def test_epilogue_of_everything(transpose_a, transpose_b, device):
    check_epilogue(EPILOGUES["all"], device, transpose_a, transpose_b)


@device_and_flags({("own", False, True)})
def test_epilogue_of_bias_and_relu(transpose_a, transpose_b, device):
    check_epilogue(EPILOGUES["bias and relu"], device, transpose_a, transpose_b)


@TRANSPOSES
def test_real_data_stays_within_the_bound(transpose_a, transpose_b):
    rng = np.random.default_rng(3)
    for m, n, k in ((1, 10, 4096), (33, 40, 1000), (100, 17, 513)):
        problem = MatmulProblem(m, n, k, transpose_a=transpose_a, transpose_b=transpose_b)
        given = operands(problem, rng, exact=False)
        magnitude = expected(problem, {name: np.abs(value) for name, value in given.items()})
        assert (np.abs(run(problem, given) - expected(problem, given)) <= sum_bound(k, magnitude)).all(), problem


@device_and_flags({("own", False, False), ("own", True, True), ("gpu", False, True)})
def test_half_storage_has_float_sums(transpose_a, transpose_b, device):
    rng = np.random.default_rng(4)
    epilogue = Epilogue(bias=True, residual=True)
    for m, n, k in ((1, 10, 400), (13, 33, 129), (70, 16, 40)):
        problem = MatmulProblem(m, n, k, transpose_a=transpose_a, transpose_b=transpose_b, dtype="float16", epilogue=epilogue)
        given = operands(problem, rng)  # sums of whole numbers are exact, so the only rounding is that of the result
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(run(problem, given, device), expected(problem, given).astype(np.float16), err_msg=str(problem))


@DEVICES
def test_nan_stays_in_its_row_and_column_and_passes_the_activation(device):
    for m, n, k in ((2, 40, 20), (40, 21, 20)):
        problem = MatmulProblem(m, n, k, transpose_b=True, epilogue=EPILOGUES["bias and relu"])
        given = operands(problem, np.random.default_rng(5))
        given["a"][1, 3], given["b"][n - 1, 2], given["bias"][0] = np.nan, np.inf, np.nan
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(run(problem, given, device), expected(problem, given))


@pytest.mark.parametrize("params", [{"width": 4, "rows": 6, "vectors": 3}, {"width": 16, "rows": 12, "vectors": 1, "chunk": 32}])
def test_other_tiles_and_widths(params):
    rng = np.random.default_rng(6)
    for m, n, k in ((1, 50, 20), (29, 33, 130)):
        problem = MatmulProblem(m, n, k, transpose_a=True)
        given = operands(problem, rng)
        np.testing.assert_array_equal(run(problem, given, DeviceTraits.cpu(), **params), expected(problem, given))


def test_sizes_are_not_in_the_source():
    for device in (DeviceTraits.cpu(), DeviceTraits.cpu(simd_width=16), GPU):
        problems = [
            MatmulProblem(m, n, k, batch, transpose_b=True) for m, n, k, batch in ((1, 10, 5, 1), (640, 1000, 2048, 1), (7, 8, 9, 64))
        ]
        plans = [ALGORITHM.plan(p, device, ALGORITHM.defaults(p, device)) for p in problems]
        assert len({render(plan.calls[0].source).text for plan in plans}) == 1


def test_every_compute_unit_gets_work():
    for units in (2, 16):
        device = DeviceTraits.cpu(compute_units=units)
        problem = MatmulProblem(4096, 16, 64)
        assert ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device)).calls[0].items[0] >= 2 * units


def test_operands_beyond_32_bits_are_refused():
    problem = MatmulProblem(2**16, 2**15, 4)
    with pytest.raises(UnsupportedError, match="matmul b1m65536n32768k4:nn.*address at most 2147483647"):
        ALGORITHM.plan(problem, GPU, ALGORITHM.defaults(problem, GPU))
