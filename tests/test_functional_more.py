"""Functions beyond the everyday ones, and their gradients, against the oracle: values exactly or within rounding, gradients also against
central differences of the oracle in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clconv
import clconv.functional as F
from clconv import reference as ref
from clconv.geometry import PoolGeometry
from tests.functional_support import exactly, gradients, node_of, numbers, send, within
from tests.support import integers

IMAGE = (2, 3, 7, 6)
Case = tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]], float]
POOL = PoolGeometry.make((3, 2), 2, rank=2)

# function, oracle, shapes, units in the last place of the largest value that rounding may take
CASES: dict[str, Case] = {
    "hardsigmoid": (F.hardsigmoid, ref.hardsigmoid, [IMAGE], 4),
    "hardswish": (F.hardswish, ref.hardswish, [IMAGE], 4),
    "selu": (F.selu, ref.selu, [IMAGE], 8),
    "celu": (lambda x: F.celu(x, 1.5), lambda x: ref.celu(x, 1.5), [IMAGE], 8),
    "softplus": (F.softplus, ref.softplus, [IMAGE], 8),
    "softsign": (F.softsign, ref.softsign, [IMAGE], 4),
    "threshold": (lambda x: F.threshold(x, 0.75, -2.0), lambda x: np.where(x <= 0.75, -2.0, x), [IMAGE], 0),
    "prelu": (F.prelu, ref.prelu, [IMAGE, (3,)], 1),
    "prelu of one": (F.prelu, ref.prelu, [IMAGE, (1,)], 1),
    "abs": (F.abs, np.abs, [IMAGE], 0),
    "neg": (F.neg, np.negative, [IMAGE], 0),
    "reciprocal": (F.reciprocal, np.reciprocal, [IMAGE], 8),
    "exp": (F.exp, np.exp, [IMAGE], 8),
    "log": (lambda x: F.log(F.abs(x)), lambda x: np.log(np.abs(x)), [IMAGE], 8),
    "sqrt": (lambda x: F.sqrt(F.abs(x)), lambda x: np.sqrt(np.abs(x)), [IMAGE], 8),
    "square": (F.square, np.square, [IMAGE], 1),
    "erf": (F.erf, ref.erf, [IMAGE], 32),
    "pow": (lambda x, y: F.pow(F.abs(x), y), lambda x, y: np.abs(x) ** y, [IMAGE, (3, 1, 6)], 64),
    "cube": (lambda x: F.pow(x, 3.0), lambda x: x**3, [IMAGE], 16),
    "minimum": (F.minimum, np.minimum, [IMAGE, (3, 1, 1)], 0),
    "maximum": (F.maximum, np.maximum, [IMAGE, (6,)], 0),
    "clamp": (lambda x: F.clamp(x, -1.0, 0.7), lambda x: np.clip(x, -1.0, 0.7), [IMAGE], 1),
    "clamp below": (lambda x: F.clamp(x, min=0.5), lambda x: np.maximum(x, 0.5), [IMAGE], 0),
    "where": (lambda c, x, y: F.where(F.gt(c, 0.0), x, y), lambda c, x, y: np.where(c > 0, x, y), [IMAGE, IMAGE, (1, 3, 1, 1)], 0),
    "amax": (lambda x: F.amax(x, (1, 3)), lambda x: x.max(axis=(1, 3)), [IMAGE], 0),
    "amin": (lambda x: F.amin(x, 2, keepdim=True), lambda x: x.min(axis=2, keepdims=True), [IMAGE], 0),
    "prod": (lambda x: F.prod(x, 1), lambda x: x.prod(axis=1), [IMAGE], 16),
    "nearest": (lambda x: F.interpolate(x, (9, 4)), lambda x: ref.interpolate(x, (9, 4)), [IMAGE], 0),
    "bilinear": (lambda x: F.interpolate(x, (9, 4), mode="bilinear"), lambda x: ref.interpolate(x, (9, 4), "linear"), [IMAGE], 8),
    "bilinear by 1.7": (
        lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
        lambda x: ref.interpolate(x, (11, 10), "linear", scales=(1.7, 1.7)), [IMAGE], 8,
    ),
    "corners": (
        lambda x: F.interpolate(x, (13, 11), mode="bilinear", align_corners=True),
        lambda x: ref.interpolate(x, (13, 11), "linear", True), [IMAGE], 8,
    ),
    "bicubic": (lambda x: F.interpolate(x, (5, 13), mode="bicubic"), lambda x: ref.interpolate(x, (5, 13), "cubic"), [IMAGE], 8),
    "linear": (lambda x: F.interpolate(x, 17, mode="linear"), lambda x: ref.interpolate(x, (17,), "linear"), [(2, 3, 7)], 8),
    "trilinear": (
        lambda x: F.interpolate(x, (3, 5, 2), mode="trilinear"), lambda x: ref.interpolate(x, (3, 5, 2), "linear"), [(1, 2, 2, 3, 4)], 8
    ),
    "lp_pool": (
        lambda x: F.lp_pool2d(F.abs(x), 3.0, (3, 2), 2), lambda x: ref.lp_pool(np.abs(x), 3.0, POOL), [IMAGE], 64
    ),
    "lp_pool of 2": (lambda x: F.lp_pool2d(x, 2, (3, 2), 2), lambda x: ref.lp_pool(x, 2.0, POOL), [IMAGE], 64),
    "adaptive_max_pool": (lambda x: F.adaptive_max_pool2d(x, (3, 4)), lambda x: ref.adaptive_max_pool(x, (3, 4)), [IMAGE], 0),
    "adaptive_max_pool of halves": (lambda x: F.adaptive_max_pool2d(x, (None, 3)), lambda x: ref.adaptive_max_pool(x, (7, 3)), [IMAGE], 0),
    "instance_norm": (F.instance_norm, ref.instance_norm, [IMAGE, (3,), (3,)], 64),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (7, 6), w, b), ref.layer_norm, [IMAGE, (7, 6), (7, 6)], 64),
    "group_norm": (
        lambda x, w, b: F.group_norm(x, 2, w, b), lambda x, w, b: ref.group_norm(x, 2, w, b), [(2, 6, 7), (6,), (6,)], 64
    ),
    "rms_norm": (lambda x, w: F.rms_norm(x, (7, 6), w, 1e-3), lambda x, w: ref.rms_norm(x, w, 1e-3), [IMAGE, (7, 6)], 64),
}  # fmt: skip


def inputs(name: str) -> list[np.ndarray]:
    """Numbers of both signs, away from 0, where some functions have a pole or a kink."""
    rng = numbers(len(name))
    return [(rng.uniform(0.5, 3, shape) * rng.choice([-1, 1], shape)).astype(np.float32) for shape in CASES[name][2]]


# A kernel of its own for nearly each of them: by default one of every kind, the others with everything and by ONNX's own tests.
OFTEN = ("hardswish", "bilinear", "adaptive_max_pool")
SOMETIMES = pytest.mark.parametrize("name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.exhaustive) for name in CASES])


@SOMETIMES
def test_value(queue: Any, name: str) -> None:
    function, oracle, _, units = CASES[name]
    arrays = inputs(name)
    wanted = np.asarray(oracle(*(a.astype(np.float64) for a in arrays)))
    within(function(*(send(queue, a) for a in arrays)), wanted, units * 2.0**-24 * max(1.0, np.abs(wanted).max()))


@SOMETIMES
def test_gradient(queue: Any, name: str) -> None:
    function, oracle, _, _ = CASES[name]
    arrays = inputs(name)
    dy = numbers(1, *IMAGE).standard_normal(function(*map(node_of, arrays)).shape).astype(np.float32)
    parts = gradients(queue, function, arrays, dy)
    for i, part in enumerate(parts):

        def loss(v: np.ndarray, i: int = i) -> float:
            return float(np.sum(dy * oracle(*(v if k == i else a.astype(np.float64) for k, a in enumerate(arrays)))))

        wanted = ref.central_difference(loss, arrays[i])
        within(part, wanted, 2.0**-16 * max(1.0, np.abs(wanted).max()))


@pytest.mark.exhaustive
def test_comparisons_and_rounding(queue: Any) -> None:
    a, b = integers(numbers(2), (3, 5)), integers(numbers(3), (5,))
    x, y = send(queue, a), send(queue, b)
    for function, oracle in ((F.eq, np.equal), (F.lt, np.less), (F.gt, np.greater), (F.le, np.less_equal), (F.ge, np.greater_equal)):
        exactly(function(x, y), oracle(a, b).astype(np.float32))
    part = (a / 4).astype(np.float32)
    for function, oracle in ((F.floor, np.floor), (F.ceil, np.ceil), (F.trunc, np.trunc)):
        exactly(function(send(queue, part)), oracle(part))


@pytest.mark.exhaustive
def test_nan_goes_through(queue: Any) -> None:
    x = np.array([[np.nan, 1.0, -1.0, 0.0]], np.float32)
    for name in ("hardsigmoid", "hardswish", "selu", "softplus", "softsign", "abs", "erf", "floor"):
        got = getattr(F, name)(send(queue, x)).get()
        assert np.isnan(got[0, 0]) and not np.isnan(got[0, 1:]).any(), name
    for function in (F.minimum, F.maximum):
        for pair in ((x, np.zeros_like(x)), (np.zeros_like(x), x)):
            got = function(*(send(queue, one) for one in pair)).get()
            assert np.isnan(got[0, 0]) and not np.isnan(got[0, 1:]).any()
    assert np.isnan(F.clamp(send(queue, x), 0.0, 1.0).get()[0, 0])
    assert np.isnan(F.amax(send(queue, x), 1).get()[0]) and np.isnan(F.amin(send(queue, x), 1).get()[0])


@pytest.mark.exhaustive
def test_argmax(queue: Any) -> None:
    x = integers(numbers(4), (3, 17, 5))
    for axis in (0, 1, 2, -1):
        exactly(F.argmax(send(queue, x), axis), x.argmax(axis), np.int32)
    exactly(F.argmax(send(queue, x), 1, keepdim=True), x.argmax(1)[:, None], np.int32)


@pytest.mark.exhaustive
def test_equal_ones_share_the_gradient(queue: Any) -> None:
    x, dy = np.array([[2, 5, 5, 1]], np.float32), np.array([8], np.float32)
    np.testing.assert_array_equal(gradients(queue, lambda v: F.amax(v, 1), [x], dy)[0], [[0, 4, 4, 0]])
    a, b = np.array([1, 2, 3], np.float32), np.array([1, 3, 2], np.float32)
    ones = np.ones(3, np.float32)
    for part, wanted in zip(gradients(queue, F.minimum, [a, b], ones), ([0.5, 1, 0], [0.5, 0, 1]), strict=True):
        np.testing.assert_array_equal(part, wanted)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_unpool_puts_maxima_back(queue: Any, rank: int) -> None:
    pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[rank]
    unpool = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}[rank]
    x = numbers(5).permutation(2 * 3 * 6**rank).reshape(2, 3, *(6,) * rank).astype(np.float32)
    values, indices = pool(send(queue, x), 2, return_indices=True)
    exactly(unpool(values, indices, 2), ref.max_unpool(values.get(), indices.get(), (6,) * rank))
    exactly(unpool(values, indices, 2, output_size=(7,) * rank), ref.max_unpool(values.get(), indices.get(), (7,) * rank))


def test_max_unpool_of_any_positions(queue: Any) -> None:
    """Of several at one position the last one stays; positions outside are left out; the gradient reads them back."""
    x, at = integers(numbers(6), (2, 3, 4)), np.array([5, 5, -1, 0] * 6, np.int32).reshape(2, 3, 4)
    exactly(F.max_unpool1d(send(queue, x), send(queue, at), 2), ref.max_unpool(x, at, (8,)))
    dy = integers(numbers(7), (2, 3, 8))
    (part,) = gradients(queue, lambda v, i: F.max_unpool1d(v, i, 2), [x, at], dy, [0])
    np.testing.assert_array_equal(part, np.where(at >= 0, np.take_along_axis(dy, np.maximum(at, 0), 2), 0))


def test_what_is_refused(queue: Any) -> None:
    x = send(queue, np.zeros((1, 2, 4, 4), np.float32))
    for call, said in (
        (lambda: F.interpolate(x, 2, mode="linear"), r"mode 'linear' takes an input of 3 axes, got shape \(1, 2, 4, 4\)"),
        (lambda: F.interpolate(x, 2, 2.0), r"give either size or scale_factor, got size=2 and scale_factor=2\.0"),
        (lambda: F.interpolate(x, mode="bicubic"), r"give either size or scale_factor"),
        (lambda: F.interpolate(x, (2, 0)), r"size must be a positive int, or 2 of them, got \(2, 0\)"),
        (lambda: F.interpolate(x, scale_factor=0.1), r"\(4, 4\) would become \(0, 0\); every axis needs at least one element"),
        (lambda: F.interpolate(x, 2, mode="area"), r"mode 'area' is not one of 'nearest'"),
        (lambda: F.lp_pool2d(x, 0, 2), r"norm_type must be above 0, got 0"),
        (lambda: F.adaptive_max_pool2d(x, 3, return_indices=True), r"indices need sizes that divide the input, got \(4, 4\) -> \(3, 3\)"),
        (lambda: F.clamp(x), r"needs min, max or both"),
        (lambda: F.celu(x, 0.0), r"alpha must not be 0"),
        (lambda: F.instance_norm(F.amax(x, (2, 3), keepdim=True)), r"more than one spatial element, got shape \(1, 2, 1, 1\)"),
        (lambda: F.layer_norm(x, (2, 4)), r"normalized_shape \(2, 4\) must be the last sizes of the input, which"),
        (lambda: F.rms_norm(x, ()), r"normalized_shape \(\) must be the last sizes"),
        (lambda: F.group_norm(x, 3), r"the channels of input \(1, 2, 4, 4\) must be a multiple of num_groups 3"),
        (lambda: F.prelu(x, send(queue, np.zeros(3, np.float32))), r"one for each channel of x \(1, 2, 4, 4\), got shape \(3,\)"),
    ):  # fmt: skip
        with pytest.raises(clconv.GeometryError, match=said):
            call()
