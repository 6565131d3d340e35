"""Copies between plain and strided layouts and between element types."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from clconv.algorithms.reorder_strided import ReorderStrided
from clconv.codegen.render import render
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.tensor import Blocked, Strided, contiguous_strides
from tests.support import integers, run_plan, traits

ALGORITHM = ReorderStrided()
GPU = DeviceTraits.gpu()
RARELY_GPU = pytest.mark.parametrize("device", [pytest.param(None, id="own"), pytest.param(GPU, id="gpu", marks=pytest.mark.exhaustive)])
DEVICES = pytest.mark.parametrize("device", [pytest.param(None, id="own"), pytest.param(GPU, id="gpu")])


def run(problem: ReorderProblem, x: np.ndarray, device: DeviceTraits | None = None) -> np.ndarray:
    device = device or traits()
    assert ALGORITHM.why_not(problem, device) is None
    plan = ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device))
    assert len(plan.calls) == 1
    return run_plan(plan, problem, {"x": x})["y"]


def permuted(shape: tuple[int, ...], order: tuple[int, ...], offset: int = 0, gap: int = 1) -> Strided:
    """A view of `shape` whose axes lie in memory in `order`, outermost first, `gap` elements apart."""
    own = contiguous_strides(tuple(shape[axis] for axis in order))
    strides = dict(zip(order, own, strict=True))
    return Strided(tuple(gap * strides[axis] for axis in range(len(shape))), offset)


@pytest.mark.parametrize("device", [pytest.param(None, id="own"), pytest.param(GPU, id="gpu", marks=pytest.mark.exhaustive)])
def test_every_order_of_axes_to_and_from_plain(device):
    rng = np.random.default_rng(0)
    for shape in ((5, 17, 11), (2, 3, 33), (40, 1, 70), (4, 8, 16)):
        x = integers(rng, shape, 100)
        for order in itertools.permutations(range(3)):
            layout = permuted(shape, order, offset=3)
            problem = ReorderProblem(shape)
            np.testing.assert_array_equal(run(problem.with_layouts(x=layout), x, device), x, err_msg=f"from {order}")
            np.testing.assert_array_equal(run(problem.with_layouts(y=layout), x, device), x, err_msg=f"to {order}")


@RARELY_GPU
def test_between_views_with_gaps(device):
    rng = np.random.default_rng(1)
    for shape in ((3, 5, 7, 9), (1, 16, 12, 12), (2, 1, 1, 5)):
        x = integers(rng, shape, 100)
        for source, target in (((3, 1, 2, 0), (0, 2, 3, 1)), ((0, 1, 2, 3), (1, 0, 3, 2))):
            problem = ReorderProblem(shape).with_layouts(x=permuted(shape, source, 1, 2), y=permuted(shape, target, 5, 3))
            np.testing.assert_array_equal(run(problem, x, device), x, err_msg=f"{shape} {source} {target}")


@RARELY_GPU
def test_reversed_and_repeated_inputs(device):
    shape = (6, 9)
    x = integers(np.random.default_rng(2), shape, 100)
    np.testing.assert_array_equal(run(ReorderProblem(shape).with_layouts(x=Strided((-9, -1), 53)), x, device), x)
    np.testing.assert_array_equal(run(ReorderProblem(shape).with_layouts(x=Strided((1, -6), 48)), x, device), x)
    row = np.broadcast_to(x[0], shape)
    np.testing.assert_array_equal(run(ReorderProblem(shape).with_layouts(x=Strided((0, 1))), row, device), row)
    column = np.broadcast_to(x[:, :1], shape)
    np.testing.assert_array_equal(run(ReorderProblem(shape).with_layouts(x=Strided((1, 0), 2)), column, device), column)


WAYS = {"plain": {}, "from a view": {"x": permuted((4, 21, 33), (0, 2, 1), 1)}, "to a view": {"y": permuted((4, 21, 33), (2, 0, 1), 0, 2)}}
TYPES = [("float32", "float16"), ("float16", "float32"), ("float16", "float16"), ("int32", "int32")]


def types_and_ways() -> list[object]:
    """Both devices; a default run has every type and every way on its own, not each of them together."""
    default = {
        ("own", 0, "plain"), ("own", 1, "plain"), ("own", 2, "from a view"), ("own", 3, "to a view"),
    }  # fmt: skip
    marks = {False: pytest.mark.exhaustive, True: ()}
    return [
        pytest.param(device, *dtypes, way, marks=marks[(name, i, way) in default], id=f"{name}-{'-'.join(dtypes)}-{way}")
        for name, device in (("own", None), ("gpu", GPU))
        for i, dtypes in enumerate(TYPES)
        for way in WAYS
    ]


@pytest.mark.parametrize("device, dtype, out_dtype, way", types_and_ways())
def test_element_types(device, dtype, out_dtype, way):
    shape = (4, 21, 33)
    rng = np.random.default_rng(3)
    x = rng.integers(-(2**31), 2**31, shape).astype(np.int32) if dtype == "int32" else (rng.standard_normal(shape) * 100).astype(dtype)
    problem = ReorderProblem(shape, dtype, out_dtype).with_layouts(**WAYS[way])
    np.testing.assert_array_equal(run(problem, x, device), x.astype(out_dtype))


def test_nan_infinities_and_signed_zeros_survive():
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 65519.0, 65520.0, 1e-8], np.float32)
    out = run(ReorderProblem((8,)), x)
    np.testing.assert_array_equal(out.view(np.int32)[1:], x.view(np.int32)[1:])
    assert np.isnan(out[0])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(run(ReorderProblem((8,), out_dtype="float16"), x), x.astype(np.float16))


def test_large_transposes_cross_every_tile_border():
    for shape in ((300, 517), (32, 8), (33, 9), (4, 10001), (10001, 4), (5, 6, 64, 65)):
        x = integers(np.random.default_rng(4), shape, 1000)
        order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
        np.testing.assert_array_equal(run(ReorderProblem(shape).with_layouts(x=permuted(shape, order)), x), x, err_msg=str(shape))


def test_what_it_does_not_take_it_says():
    def why_not(problem: ReorderProblem) -> str | None:
        return ALGORITHM.why_not(problem, GPU)

    assert (
        why_not(ReorderProblem((2, 8, 3, 3)).with_layouts(y=Blocked(8))) == "needs plain or strided layouts, got y blocked 8, halo 0,0 0,0"
    )
    assert why_not(ReorderProblem((2, 3)).with_layouts(y=Strided((3, -1), 2))) == "needs positive strides of y, got (3, -1)"
    assert why_not(ReorderProblem((2, 3), "int32", "float32")) == "needs one kind of numbers, got int32 -> float32"
    assert why_not(ReorderProblem((1, 3)).with_layouts(y=Strided((0, 1)))) is None


def test_sizes_are_not_in_the_source():
    for device in (DeviceTraits.cpu(), GPU):
        texts = set()
        for shape in ((1, 16, 20, 24), (8, 64, 7, 7)):
            problem = ReorderProblem(shape).with_layouts(x=permuted(shape, (0, 2, 3, 1)))
            texts.update(render(call.source).text for call in ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device)).calls)
        assert len(texts) == 1
