"""Element-wise maps on channel-blocked tensors: broadcasts, several outputs, halos, slices, NaN, and random bits as in the plain layout."""

from __future__ import annotations

import numpy as np
import pyopencl.array as cla
import pytest

from clconv.algorithms.blocked_view import FLAT_ROW
from clconv.algorithms.map_blocked import MapBlocked
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import MapProblem
from clconv.reference import dropout_mask
from clconv.runtime.context import default_queue
from clconv.runtime.launch import bind
from clconv.runtime.programs import programs_for
from clconv.tensor import Blocked, TensorSpec
from tests.support import integers, load, run_plan, store

ALGORITHM = MapBlocked()
CPU = DeviceTraits.cpu(8)
SHAPES = [(2, 17, 5, 7), (1, 3, 1, 1), (3, 8, 4, 4), (1, 33, 3, 2), (2, 1, 6, 3), (1, 9, 23, 37)]
RELU = "{0} < 0.0f ? 0.0f : {0}"


def add_relu(shape: tuple[int, ...], *operands: tuple[int, ...], dtype: str = "float32") -> MapProblem:
    specs = tuple(TensorSpec(o, dtype) for o in operands)
    return MapProblem(shape, specs, (("t0", "x0 + x1"), ("y0", RELU.format("t0"))), (dtype,), label="add_relu")


def widened(name: str, channels: int, block: int) -> Blocked:
    own = -(-channels // block)
    number = int(name[1:])
    if name.startswith("x"):
        return Blocked(block, ((number, 1), (2, 0)), own + 1 + number, 1)
    return Blocked(block, ((1, 2), (1, 3 + number)), own + 3, 2 - number)


def run(problem: MapProblem, operands: list[np.ndarray], wide: bool = False, traits: DeviceTraits = CPU,
        scalars: dict[str, float] | None = None) -> list[np.ndarray]:
    assert ALGORITHM.why_not(problem, traits) is None
    results: dict[str, np.ndarray] = {}
    for params in ALGORITHM.space(problem, traits):
        layouts = dict(ALGORITHM.wants(problem, traits, params))
        if wide:
            layouts = {name: widened(name, problem.shape[1], traits.block) for name in layouts}
        stored = problem.with_layouts(**layouts)
        plan = ALGORITHM.plan(stored, traits, params)
        assert len(plan.calls) == 1
        now = run_plan(plan, stored, {f"x{i}": x for i, x in enumerate(operands)}, scalars=scalars)
        for name, array in now.items():
            np.testing.assert_array_equal(array, results.setdefault(name, array))
    return [results[name] for name in problem.outputs]


@pytest.mark.parametrize("wide", [False, True])
def test_add_and_relu(wide: bool) -> None:
    rng = np.random.default_rng(1)
    for shape in SHAPES:
        x = [integers(rng, shape), integers(rng, shape)]
        (y,) = run(add_relu(shape, shape, shape), x, wide)
        np.testing.assert_array_equal(y, np.maximum(x[0] + x[1], 0))


@pytest.mark.parametrize("wide", [False, True])
def test_operands_with_one_value_for_a_channel_an_image_or_all(wide: bool) -> None:
    rng = np.random.default_rng(2)
    for shape in SHAPES:
        n, c, *_ = shape
        for small in ((1, c, 1, 1), (c, 1, 1), (n, c, 1, 1), (n, 1, 1, 1), (1, 1, 1, 1), (1,), ()):
            x = [integers(rng, shape), integers(rng, small)]
            (y,) = run(add_relu(shape, shape, small), x, wide)
            np.testing.assert_array_equal(y, np.maximum(x[0] + x[1], 0), err_msg=f"{shape} {small}")


def test_broadcast_of_small_operands_only() -> None:
    rng = np.random.default_rng(3)
    shape = (2, 11, 3, 5)
    x = [integers(rng, (2, 11, 1, 1)), integers(rng, (1, 11, 1, 1))]
    (y,) = run(add_relu(shape, *(a.shape for a in x)), x, wide=True)
    np.testing.assert_array_equal(y, np.broadcast_to(np.maximum(x[0] + x[1], 0), shape))


def test_several_outputs_and_run_time_scalars() -> None:
    rng = np.random.default_rng(4)
    statements = (("t0", "x0 * momentum + x1"), ("y0", "t0 + 1.0f"), ("y1", "x0 - rate * t0"))
    for shape in ((2, 19, 4, 5), (1, 8, 7, 1)):
        problem = MapProblem(shape, (TensorSpec(shape),) * 2, statements, ("float32",) * 2, (("momentum", "float"), ("rate", "float")))
        x = [integers(rng, shape), integers(rng, shape)]
        for wide in (False, True):
            y0, y1 = run(problem, x, wide, scalars={"momentum": 0.5, "rate": 2.0})
            np.testing.assert_array_equal(y0, x[0] * 0.5 + x[1] + 1)
            np.testing.assert_array_equal(y1, x[0] - 2 * (x[0] * 0.5 + x[1]))


def test_index_and_random_bits_are_those_of_the_plain_layout() -> None:
    rng = np.random.default_rng(5)
    word = "random_word(index, step, seed_low, seed_high)"
    kept = f"(float)({word} >> 8) * 5.9604644775390625e-8f >= 0.25f ? x0 * 1.3333334f : 0.0f"
    kinds = (("step", "uint"), ("seed_low", "uint"), ("seed_high", "uint"))
    for shape in ((2, 11, 5, 3), (1, 8, 300, 2), (3, 5, 17)):
        problem = MapProblem(shape, (TensorSpec(shape),), (("y0", kept), ("y1", "(float)index")), ("float32",) * 2, kinds, uses_index=True)
        x = np.abs(integers(rng, shape)) + 1
        for wide in (False, True):
            y0, y1 = run(problem, [x], wide, scalars={"step": 3, "seed_low": 7, "seed_high": 1})
            mask = dropout_mask(shape, 0.25, 7 + (1 << 32), 3) > 0
            np.testing.assert_array_equal(y0, np.where(mask, x * np.float32(1.3333334), 0))
            np.testing.assert_array_equal(y1, np.arange(x.size).reshape(shape))


def test_tail_channels_are_zero_where_the_map_of_zero_is_not() -> None:
    shape = (2, 13, 4, 3)
    x = integers(np.random.default_rng(6), shape)
    problem = MapProblem(shape, (TensorSpec(shape),), (("y0", "1.0f / x0"),))
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(run(problem, [x], wide=True)[0], np.float32(1) / x)


def test_nan_and_infinities_pass_through_relu() -> None:
    shape = (1, 10, 3, 3)
    x = integers(np.random.default_rng(7), shape)
    x[0, 9, 1, 1], x[0, 2, 0, 2], x[0, 3, 2, 2] = np.nan, -np.inf, np.inf
    zero = np.zeros(shape, np.float32)
    np.testing.assert_array_equal(run(add_relu(shape, shape, shape), [x, zero])[0], np.where(x < 0, 0, x))


def test_one_spatial_axis_and_long_rows() -> None:
    rng = np.random.default_rng(8)
    for shape in ((2, 9, 2 * FLAT_ROW + 3), (1, 4, 1)):
        x = [integers(rng, shape), integers(rng, (1, shape[1], 1))]
        for wide in (False, True):
            np.testing.assert_array_equal(run(add_relu(shape, shape, (1, shape[1], 1)), x, wide)[0], np.maximum(x[0] + x[1], 0))


@pytest.mark.exhaustive
def test_half_storage_and_conversion() -> None:
    rng = np.random.default_rng(9)
    shape = (2, 11, 5, 3)
    a, b = (rng.standard_normal(s).astype(np.float16) for s in (shape, (1, 11, 1, 1)))
    expected = np.maximum(a.astype(np.float32) + b, 0)
    (y,) = run(add_relu(shape, shape, (1, 11, 1, 1), dtype="float16"), [a, b], wide=True)
    np.testing.assert_array_equal(y, expected.astype(np.float16))
    mixed = MapProblem(shape, (TensorSpec(shape, "float16"),), (("y0", "x0"), ("y1", "x0 + x0")), ("float32", "float16"))
    y0, y1 = run(mixed, [a], wide=True)
    assert (y0.dtype, y1.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(y0, a)
    np.testing.assert_array_equal(y1, a + a)


def test_an_operand_may_be_the_memory_of_the_output() -> None:
    shape, layout = (2, 11, 9, 13), Blocked(8, ((1, 0), (2, 1)))
    rng = np.random.default_rng(11)
    x = [integers(rng, shape), integers(rng, (1, 11, 1, 1))]
    problem = add_relu(shape, shape, (1, 11, 1, 1)).with_layouts(x0=layout, y0=layout)
    (call,) = ALGORITHM.plan(problem, CPU, ALGORITHM.defaults(problem, CPU)).calls
    queue = default_queue()
    memory = [cla.to_device(queue, store(x[i], problem.spec(f"x{i}"))) for i in (0, 1)]
    buffers = {"x0": memory[0].data, "x1": memory[1].data, "y0": memory[0].data}
    bind(call, programs_for(queue.context, queue.device), buffers).enqueue(queue)
    np.testing.assert_array_equal(load(memory[0].get(), problem.spec("y0")), np.maximum(x[0] + x[1], 0))


@pytest.mark.parametrize("block", [pytest.param(4, marks=pytest.mark.exhaustive), 16])
def test_other_vector_widths(block: int) -> None:
    shape = (2, 19, 5, 3)
    x = [integers(np.random.default_rng(10), s) for s in (shape, (1, 19, 1, 1))]
    (y,) = run(add_relu(shape, shape, (1, 19, 1, 1)), x, wide=True, traits=DeviceTraits.cpu(block))
    np.testing.assert_array_equal(y, np.maximum(x[0] + x[1], 0))


def test_refusals_are_sentences() -> None:
    shape = (2, 8, 4, 4)
    assert ALGORITHM.why_not(add_relu(shape, shape, shape), DeviceTraits.gpu()) == "needs a CPU device with SIMD width of at least 4, got 1"
    rows = add_relu((2, 8), (2, 8), (2, 8))
    assert ALGORITHM.why_not(rows, CPU) == "needs a shape of N, C and one or two spatial axes, got (2, 8)"
    partial = add_relu(shape, shape, (1, 8, 1, 4))
    wanted = "needs operands of shape (2, 8, 4, 4) or with one value for all positions of a plane, got (1, 8, 1, 4)"
    assert ALGORITHM.why_not(partial, CPU) == wanted
    counted = MapProblem(shape, (TensorSpec(shape, "int32"),), (("y0", "x0"),))
    assert ALGORITHM.why_not(counted, CPU) == "needs float operands, got int32 of shape (2, 8, 4, 4)"
    integer = MapProblem(shape, (TensorSpec(shape),), (("y0", "x0"),), ("int32",))
    assert ALGORITHM.why_not(integer, CPU) == "needs float outputs, got int32"


def test_a_plain_output_is_refused_with_the_layout_it_needs() -> None:
    shape = (1, 8, 4, 4)
    problem = add_relu(shape, shape, shape).with_layouts(x0=Blocked(8), x1=Blocked(8))
    with pytest.raises(UnsupportedError, match=r"y0 must be stored as blocked 8.*got plain; reorder it first"):
        ALGORITHM.plan(problem, CPU, ALGORITHM.defaults(problem, CPU))
