"""Element-wise maps: every way to walk an operand, every storage type, scalars, in-place updates and random words."""

from __future__ import annotations

import numpy as np
import pyopencl as cl
import pytest

from clconv import reference
from clconv.algorithms.map_strided import MapStrided
from clconv.codegen.render import render
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import MapProblem
from clconv.runtime.context import default_queue
from clconv.runtime.launch import bind
from clconv.runtime.programs import programs_for
from clconv.tensor import Blocked, Strided, TensorSpec, contiguous_strides
from tests.support import integers, run_plan, traits

ALGORITHM = MapStrided()
SUM = (("t0", "x0 + x1"), ("y0", "t0 < 0.0f ? 0.0f : t0"))
GPU = DeviceTraits.gpu()
RARELY_GPU = pytest.mark.parametrize("device", [pytest.param(None, id="own"), pytest.param(GPU, id="gpu", marks=pytest.mark.exhaustive)])


def run(
    problem: MapProblem, operands: dict[str, np.ndarray], device: DeviceTraits | None = None, **scalars: float
) -> dict[str, np.ndarray]:
    device = device or traits()
    assert ALGORITHM.why_not(problem, device) is None
    plan = ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device))
    assert len(plan.calls) == 1
    return run_plan(plan, problem, operands, scalars=scalars)


def added(shape: tuple[int, ...], other: tuple[int, ...], **more: object) -> MapProblem:
    return MapProblem(shape=shape, operands=(TensorSpec(shape), TensorSpec(other)), statements=SUM, **more)  # type: ignore[arg-type]


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((7,), (7,)),
    ((3, 17, 5, 7), (3, 17, 5, 7)),
    ((2, 3, 1, 10007), (2, 3, 1, 10007)),
    ((3, 17, 5, 7), (17, 1, 1)),
    ((1, 17, 5, 7), (1, 17, 1, 1)),
    ((3, 33, 1, 1), (33, 1, 1)),
    ((3, 17, 5, 7), (3, 1, 5, 7)),
    ((3, 17, 5, 7), (1, 1, 5, 1)),
    ((3, 17, 5, 7), (3, 17, 5, 1)),
    ((3, 17, 5, 7), ()),
    ((2, 3, 2, 3, 2, 3), (3, 1, 3, 1, 3)),
    ((2000, 3), (3,)),
    ((), ()),
]
AS_GPU = (SHAPES[3],)
"""What a default run has on the made-up device."""


@pytest.mark.parametrize(
    "shape, other, device",
    [
        pytest.param(*case, device, marks=() if device is None or case in AS_GPU else pytest.mark.exhaustive)
        for case in SHAPES
        for device in (None, GPU)
    ],
)
def test_broadcasts_as_numpy_does(shape, other, device):
    rng = np.random.default_rng(0)
    x, b = integers(rng, shape), integers(rng, other)
    out = run(added(shape, other), {"x0": x, "x1": b}, device)
    np.testing.assert_array_equal(out["y0"], reference.relu(x + b))


@RARELY_GPU
def test_views_of_any_strides(device):
    shape = (3, 5, 7)
    rng = np.random.default_rng(1)
    x, b = integers(rng, shape), integers(rng, shape)
    transposed, reversed_, every_third = Strided((1, 3, 15), 2), Strided((35, -7, 1), 28), Strided((105, 21, 3), 1)
    for layouts in ({"x1": transposed}, {"x0": every_third, "x1": reversed_}, {"x0": Strided((35, 7, 1), 11)}):
        out = run(added(shape, shape).with_layouts(**layouts), {"x0": x, "x1": b}, device)
        np.testing.assert_array_equal(out["y0"], reference.relu(x + b), err_msg=str(layouts))


def test_a_view_that_repeats_itself():
    shape = (4, 6)
    x, row = integers(np.random.default_rng(2), shape), integers(np.random.default_rng(3), (6,))
    out = run(added(shape, shape).with_layouts(x1=Strided((0, 1), 3)), {"x0": x, "x1": np.broadcast_to(row, shape)})
    np.testing.assert_array_equal(out["y0"], reference.relu(x + row))


@RARELY_GPU
def test_several_outputs_of_several_types(device):
    shape = (5, 203)
    rng = np.random.default_rng(4)
    x = (rng.standard_normal(shape) * 3).astype(np.float16)
    label = rng.integers(-100, 100, shape).astype(np.int32)
    problem = MapProblem(
        shape=shape,
        operands=(TensorSpec(shape, "float16"), TensorSpec(shape, "int32")),
        statements=(("y0", "x0 * 3.0f"), ("y1", "x0 * x0 + x0"), ("y2", "x1 % 7 + (x0 > 0.0f)"), ("int t0", "x1 / 2"), ("y3", "(float)t0")),
        dtypes=("float32", "float16", "int32", "float32"),
    )
    out = run(problem, {"x0": x, "x1": label}, device)
    exact = x.astype(np.float32)
    np.testing.assert_array_equal(out["y0"], exact * np.float32(3))
    once = (x.astype(np.float64) ** 2 + x).astype(np.float32).astype(np.float16)
    np.testing.assert_array_equal(out["y1"], once, err_msg="half is rounded once, at the end")
    np.testing.assert_array_equal(out["y2"], np.fmod(label, 7) + (x > 0))
    np.testing.assert_array_equal(out["y3"], np.trunc(label / 2))


def test_nan_goes_through_a_comparison():
    x = np.array([np.nan, -1.0, -np.inf, np.inf, 2.0], np.float32)
    out = run(added((5,), (5,)), {"x0": x, "x1": np.zeros(5)})
    np.testing.assert_array_equal(out["y0"], reference.relu(x))


def test_scalars_are_arguments_of_the_run():
    shape = (3, 11)
    x = integers(np.random.default_rng(5), shape)
    problem = MapProblem(
        shape=shape,
        operands=(TensorSpec(shape),),
        statements=(("y0", "x0 * rate + (float)step"),),
        scalars=(("rate", "float"), ("step", "int")),
    )
    for rate, step in ((0.5, 3), (2.0, -1)):
        np.testing.assert_array_equal(run(problem, {"x0": x}, rate=rate, step=step)["y0"], x * np.float32(rate) + step)


@RARELY_GPU
def test_index_is_the_position_in_c_order(device):
    """With broadcasting; dropout below counts along contiguous operands."""
    shape, other = (4, 3, 50), (3, 1)
    problem = MapProblem(shape=shape, operands=(TensorSpec(other),), statements=(("y0", "(float)index + x0"),), uses_index=True)
    x = integers(np.random.default_rng(6), other)
    np.testing.assert_array_equal(run(problem, {"x0": x}, device)["y0"], np.arange(np.prod(shape)).reshape(shape) + x)


@RARELY_GPU
def test_dropout_draws_the_words_of_philox(device):
    shape, p, seed, step = (6, 7, 31), 0.3, (5 << 32) + 9, 4
    keep = "(float)(random_word(index, step, seed_low, seed_high) >> 8) * 0x1p-24f >= 0.3f"
    problem = MapProblem(
        shape=shape,
        operands=(TensorSpec(shape),),
        statements=(("y0", f"({keep}) ? x0 : 0.0f"),),
        scalars=(("step", "uint"), ("seed_low", "uint"), ("seed_high", "uint")),
        uses_index=True,
    )
    out = run(problem, {"x0": np.ones(shape)}, device, step=step, seed_low=seed & 0xFFFFFFFF, seed_high=seed >> 32)
    mask = reference.dropout_mask(shape, p, seed, step) > 0
    np.testing.assert_array_equal(out["y0"], mask)
    assert 0.5 < mask.mean() < 0.9


def test_outputs_may_be_the_memory_of_operands():
    count = 10001
    spec = TensorSpec((count,))
    problem = MapProblem(
        shape=(count,), operands=(spec, spec), statements=(("y1", "0.5f * x1 + x0"), ("y0", "x0 - y1")), dtypes=("float32", "float32")
    )
    plan = ALGORITHM.plan(problem, traits(), ALGORITHM.defaults(problem, traits()))
    queue = default_queue()
    rng = np.random.default_rng(7)
    weight, velocity = integers(rng, (count,)), integers(rng, (count,))
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    w, v = (cl.Buffer(queue.context, flags, hostbuf=a) for a in (weight, velocity))
    (call,) = plan.calls
    bind(call, programs_for(queue.context, queue.device), {"x0": w, "x1": v, "y0": w, "y1": v}).enqueue(queue)
    out = np.empty_like(weight), np.empty_like(velocity)
    for host, buffer in zip(out, (w, v), strict=True):
        cl.enqueue_copy(queue, host, buffer)
    expected = np.float32(0.5) * velocity + weight
    np.testing.assert_array_equal(out[1], expected)
    np.testing.assert_array_equal(out[0], weight - expected)


def sources(problem: MapProblem, device: DeviceTraits) -> list[str]:
    return [render(call.source).text for call in ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device)).calls]


def test_sizes_are_not_in_the_source():
    for device in (DeviceTraits.cpu(), GPU):
        texts = {
            text for shape in ((1, 17, 5, 7), (64, 17, 5, 7), (3, 33, 8, 9)) for text in sources(added(shape, (1, shape[1], 1, 1)), device)
        }
        assert len(texts) == 1
        assert len({text for n in (1, 5000) for text in sources(added((n,), (n,)), device)}) == 1


def test_what_cannot_be_walked_is_refused():
    def plan(problem: MapProblem) -> object:
        return ALGORITHM.plan(problem, GPU, ALGORITHM.defaults(problem, GPU))

    with pytest.raises(UnsupportedError, match=r"shape \(4,\) does not broadcast to \(3, 5\)"):
        plan(added((3, 5), (4,)))
    with pytest.raises(UnsupportedError, match="must be plain or strided, got blocked 8"):
        plan(added((1, 8, 4, 4), (1, 8, 4, 4)).with_layouts(x1=Blocked(8)))
    with pytest.raises(UnsupportedError, match="address at most 2147483647; split the batch"):
        plan(added((2**16, 2**15), (1,)))


def test_contiguous_views_are_one_flat_loop():
    shape = (3, 4, 5)
    view = added(shape, shape).with_layouts(x0=Strided(contiguous_strides(shape), 7))
    (text,) = sources(view, DeviceTraits.cpu())
    assert "x0_offset" in text and "x0_stride" not in text


@RARELY_GPU
def test_square_roots_are_rounded_to_nearest_on_cpus(device):
    x = np.random.default_rng(8).uniform(0, 100, 4099).astype(np.float32)
    problem = MapProblem(shape=x.shape, operands=(TensorSpec(x.shape),), statements=(("y0", "sqrt(x0)"),))
    exact = np.sqrt(x.astype(np.float64))
    assert (
        np.abs(run(problem, {"x0": x}, device)["y0"] - exact) <= (0.5 if traits().is_cpu else 3) * np.spacing(exact.astype(np.float32))
    ).all()


def test_broadcast_values_are_read_once_a_row():
    (text,) = sources(added((3, 17, 5, 7), (17, 1, 1)), DeviceTraits.cpu())
    before, _, inside = text.partition("for (int column")
    assert "const float x1 = x1_row[0];" in before and "x1_row" not in inside
