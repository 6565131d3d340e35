"""Sums and maxima of channel-blocked tensors over planes, and over planes and batch: exact on whole numbers, bounded on real data."""

from __future__ import annotations

import numpy as np
import pytest

from clconv.algorithms.reduce_blocked import ReduceBlocked, ReduceBlockedParams
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ReduceProblem
from clconv.tensor import Blocked, TensorSpec
from tests.support import integers, run_plan, sum_bound

ALGORITHM = ReduceBlocked()
CPU = DeviceTraits.cpu(8)
SHAPES = [(2, 17, 5, 7), (1, 3, 1, 1), (3, 8, 4, 4), (1, 33, 3, 2), (2, 1, 6, 3), (3, 9, 23, 37)]
SUM = ((("r0", "x0"),), ("r",))
MEAN = ((("r0", "x0"),), ("r / count",))


def widened(name: str, channels: int, block: int) -> Blocked:
    number = int(name[1:])
    return Blocked(block, ((number, 1), (2, 0)), -(-channels // block) + 1 + number, 1)


def run(problem: ReduceProblem, operands: list[np.ndarray], wide: bool = False, traits: DeviceTraits = CPU,
        params: ReduceBlockedParams | None = None) -> list[np.ndarray]:
    assert ALGORITHM.why_not(problem, traits) is None
    chosen = params or ALGORITHM.defaults(problem, traits)
    layouts = dict(ALGORITHM.wants(problem, traits, chosen))
    if wide:
        layouts = {name: widened(name, problem.shape[1], traits.block) for name in layouts}
    stored = problem.with_layouts(**layouts)
    plan = ALGORITHM.plan(stored, traits, chosen)
    assert len(plan.calls) == (2 if 0 in problem.axes else 1)
    out = run_plan(plan, stored, {f"x{i}": x for i, x in enumerate(operands)})
    return [out[name] for name in problem.outputs]


def axes_of(shape: tuple[int, ...], batch: bool) -> tuple[int, ...]:
    return (*((0,) if batch else ()), *range(2, len(shape)))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("batch", [False, True])
def test_sum_and_maximum(batch: bool, wide: bool) -> None:
    rng = np.random.default_rng(1)
    for shape in (*SHAPES, (2, 9, 517), (3, 5, 1)):
        x, axes = integers(rng, shape), axes_of(shape, batch)
        (total,) = run(ReduceProblem(shape, (TensorSpec(shape),), axes, *SUM), [x], wide)
        np.testing.assert_array_equal(total, x.sum(axes, keepdims=True))
        (most,) = run(ReduceProblem(shape, (TensorSpec(shape),), axes, *SUM, combine="max"), [x - 9], wide)
        np.testing.assert_array_equal(most, (x - 9).max(axes, keepdims=True))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("batch", [pytest.param(False, marks=pytest.mark.exhaustive), True])
def test_several_results_from_operands_of_all_kinds(batch: bool, wide: bool) -> None:
    rng = np.random.default_rng(2)
    statements, post = (("t0", "x1 - x2"), ("r0", "x0"), ("r1", "x0 * t0"), ("r2", "x3")), ("r", "2.0f * r", "r / count")
    for shape in SHAPES[:5]:
        n, c, *_ = shape
        shapes = (shape, shape, (1, c, 1, 1), (n, c, 1, 1))
        x, axes = [integers(rng, s) for s in shapes], axes_of(shape, batch)
        problem = ReduceProblem(shape, tuple(map(TensorSpec, shapes)), axes, statements, post)
        got = run(problem, x, wide)
        terms = (x[0], 2 * x[0] * (x[1] - x[2]), np.broadcast_to(x[3], shape))
        np.testing.assert_array_equal(got[0], terms[0].sum(axes, keepdims=True))
        np.testing.assert_array_equal(got[1], terms[1].sum(axes, keepdims=True))
        mean = terms[2].sum(axes, keepdims=True, dtype=np.float64) / problem.count
        np.testing.assert_array_equal(got[2], mean.astype(np.float32))


def test_every_split_gives_the_same_whole_numbers() -> None:
    shape = (3, 17, 9, 31)
    x = integers(np.random.default_rng(3), shape)
    problem = ReduceProblem(shape, (TensorSpec(shape),), (0, 2, 3), *SUM)
    for cores in (1, 2, 7, 64):
        traits = DeviceTraits.cpu(8, cores)
        for params in ALGORITHM.space(problem, traits):
            (total,) = run(problem, [x], traits=traits, params=params)
            np.testing.assert_array_equal(total, x.sum((0, 2, 3), keepdims=True))


@pytest.mark.parametrize("batch", [False, True])
def test_real_data_within_the_bound_and_the_same_bits_twice(batch: bool) -> None:
    shape = (3, 12, 41, 67)
    x, axes = np.random.default_rng(4).standard_normal(shape).astype(np.float32), axes_of(shape, batch)
    problem = ReduceProblem(shape, (TensorSpec(shape),), axes, *MEAN)
    (got,) = run(problem, [x])
    wide = x.astype(np.float64)
    bound = sum_bound(problem.count, np.abs(wide).mean(axes, keepdims=True))
    assert (np.abs(got - wide.mean(axes, keepdims=True)) <= bound).all()
    np.testing.assert_array_equal(run(problem, [x])[0], got)


@pytest.mark.parametrize("batch", [False, True])
def test_nan_and_infinities(batch: bool) -> None:
    shape = (2, 11, 5, 3)
    x, axes = integers(np.random.default_rng(5), shape), axes_of(shape, batch)
    x[1, 4, 0, 0], x[0, 10, 4, 2], x[0, 3] = np.nan, np.inf, -np.inf
    x[1, 3] = -np.inf
    for combine, expected in (("sum", x.sum(axes, keepdims=True)), ("max", x.max(axes, keepdims=True))):
        (got,) = run(ReduceProblem(shape, (TensorSpec(shape),), axes, *SUM, combine=combine), [x])
        np.testing.assert_array_equal(got, expected)


@pytest.mark.exhaustive
@pytest.mark.parametrize("batch", [False, True])
def test_half_storage_sums_in_float(batch: bool) -> None:
    shape = (3, 11, 16, 16)
    x, axes = np.random.default_rng(6).integers(0, 9, shape).astype(np.float16), axes_of(shape, batch)
    problem = ReduceProblem(shape, (TensorSpec(shape, "float16"),), axes, *MEAN, dtype="float16")
    (got,) = run(problem, [x], wide=True)
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, x.mean(axes, keepdims=True, dtype=np.float32).astype(np.float16))


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", [4, 16])
def test_other_vector_widths(block: int) -> None:
    shape = (2, 19, 5, 3)
    x = integers(np.random.default_rng(7), shape)
    (total,) = run(ReduceProblem(shape, (TensorSpec(shape),), (0, 2, 3), *SUM), [x], wide=True, traits=DeviceTraits.cpu(block))
    np.testing.assert_array_equal(total, x.sum((0, 2, 3), keepdims=True))


def test_refusals_are_sentences() -> None:
    shape = (2, 8, 4, 4)
    problem = ReduceProblem(shape, (TensorSpec(shape),), (0, 2, 3), *SUM)
    assert ALGORITHM.why_not(problem, DeviceTraits.gpu()) == "needs a CPU device with SIMD width of at least 4, got 1"
    channels = ReduceProblem(shape, (TensorSpec(shape),), (1,), *SUM)
    assert ALGORITHM.why_not(channels, CPU) == "needs axes (2, 3) or (0, 2, 3), got (1,)"
    counted = ReduceProblem(shape, (TensorSpec(shape, "int32"),), (2, 3), *SUM)
    assert ALGORITHM.why_not(counted, CPU) == "needs float operands, got int32 of shape (2, 8, 4, 4)"
    rows = ReduceProblem((2, 8), (TensorSpec((2, 8)),), (0,), *SUM)
    assert ALGORITHM.why_not(rows, CPU) == "needs a shape of N, C and one or two spatial axes, got (2, 8)"


def test_a_plain_operand_is_refused_with_the_layout_it_needs() -> None:
    shape = (2, 8, 4, 4)
    problem = ReduceProblem(shape, (TensorSpec(shape),), (2, 3), *SUM)
    with pytest.raises(UnsupportedError, match=r"x0 must be stored as blocked 8.*got plain; reorder it first"):
        ALGORITHM.plan(problem, CPU, ALGORITHM.defaults(problem, CPU))
