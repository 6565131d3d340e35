"""Every public function on arrays against the oracle, with every algorithm that takes the request. Whole numbers: bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import clconv.functional as F
from clconv import reference
from clconv.algorithms import ALGORITHMS
from clconv.geometry import ConvGeometry, PoolGeometry
from clconv.problem import ConvProblem
from tests.functional_support import (
    CONV,
    CONVS,
    RARE,
    TRANSPOSE,
    TRANSPOSES,
    Conv,
    algorithms_for,
    exactly,
    loosened,
    meant_for_others,
    numbers,
    often_and_rarely,
    problem_of_call,
    right,
    send,
    within,
)  # fmt: skip
from tests.support import integers, sum_bound


def activated(z: np.ndarray, activation: Any) -> np.ndarray:
    if activation is None:
        return z
    return reference.relu(z) if activation == "relu" else reference.leaky_relu(z, activation[1])


def expected_conv(case: Conv, arrays: dict[str, np.ndarray]) -> np.ndarray:
    w = arrays["weight"]
    w = reference.flip(w) if case.keywords.get("flip_kernel") else w
    z = reference.conv(arrays["input"], w, arrays.get("bias"), case.geometry())
    return activated(z + arrays.get("residual", 0.0), case.keywords.get("activation"))


def expected_transpose(case: Conv, arrays: dict[str, np.ndarray]) -> np.ndarray:
    z = reference.conv_transpose(arrays["input"], arrays["weight"], arrays.get("bias"), case.geometry())
    return activated(z, case.keywords.get("activation"))


@pytest.mark.parametrize("name", often_and_rarely(CONVS))
def test_convolution(queue, name):
    case, function = CONVS[name], CONV[CONVS[name].rank]
    arrays = case.arrays()
    sent = {key: send(queue, value) for key, value in arrays.items()}
    expected, problem = expected_conv(case, arrays), problem_of_call(function, **arrays, **case.keywords)
    for algorithm in algorithms_for(queue, problem):
        right(function(**sent, **case.keywords, algorithm=algorithm), expected, queue, problem, algorithm, list(arrays.values()))


@pytest.mark.parametrize("name", often_and_rarely(TRANSPOSES))
def test_transposed_convolution(queue, name):
    case, function = TRANSPOSES[name], TRANSPOSE[TRANSPOSES[name].rank]
    arrays = case.arrays()
    sent = {key: send(queue, value) for key, value in arrays.items()}
    expected, problem = expected_transpose(case, arrays), problem_of_call(function, **arrays, **case.keywords)
    for algorithm in algorithms_for(queue, problem):
        right(function(**sent, **case.keywords, algorithm=algorithm), expected, queue, problem, algorithm, list(arrays.values()))


def test_every_convolution_algorithm_was_tried(queue):
    """In each pass that it has: an algorithm that none of the cases reaches would be untested. Those for other kinds of devices are not
    tried here."""
    tried = set()
    for cases, functions in ((CONVS, CONV), (TRANSPOSES, TRANSPOSE)):
        for case in (case for name, case in cases.items() if name not in RARE):
            tried |= set(algorithms_for(queue, problem_of_call(functions[case.rank], **case.arrays(), **case.keywords)))
    weights_only = {a.name for a in ALGORITHMS if a.takes is ConvProblem and a.name.endswith("_weights")}
    assert tried == {a.name for a in ALGORITHMS if a.takes is ConvProblem} - weights_only - meant_for_others(queue)


def test_the_order_of_the_arguments_is_torchs(queue):
    rng = numbers(1)
    x, w, b = integers(rng, (1, 4, 9, 8)), integers(rng, (6, 2, 3, 3)), integers(rng, (6,))
    y = F.conv2d(send(queue, x), send(queue, w), send(queue, b), 2, 1, 1, 2)
    exactly(y, reference.conv(x, w, b, ConvGeometry.make((3, 3), 2, 1, 1, 2)))
    w, b = integers(rng, (4, 3, 3, 3)), integers(rng, (6,))
    y = F.conv_transpose2d(send(queue, x), send(queue, w), send(queue, b), 2, 1, 1, 2, 1)
    exactly(y, reference.conv_transpose(x, w, b, ConvGeometry.make((3, 3), 2, 1, 1, 2, 1)))


def test_convolution_of_real_numbers(queue):
    """|error| <= 2 sqrt(K) 2^-24 sum |x w|, of the largest sum and times its factor for an algorithm that states one."""
    rng = numbers(2)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 17, 9, 7), (33, 17, 3, 3), (33,)))
    geometry = ConvGeometry.make((3, 3), padding=1)
    bound = sum_bound(17 * 9 + 1, reference.conv(np.abs(x), np.abs(w), np.abs(b), geometry))
    problem = problem_of_call(F.conv2d, x, w, b, padding=1)
    for algorithm in algorithms_for(queue, problem):
        result = F.conv2d(send(queue, x), send(queue, w), send(queue, b), padding=1, activation="relu", algorithm=algorithm)
        within(result, reference.relu(reference.conv(x, w, b, geometry)), loosened(bound, queue, problem, algorithm))


LINEAR = [n for n, c in CONVS.items() if not (c.bias or c.residual or "activation" in c.keywords)]


@pytest.mark.parametrize("name", often_and_rarely(LINEAR))
def test_convolution_and_its_transpose_are_adjoint(queue, name):
    """<conv(x), y> == <x, conv_transpose(y)>, exactly, for whole numbers."""
    case = CONVS[name]
    arrays, geometry = case.arrays(), case.geometry()
    x, w = send(queue, arrays["input"]), send(queue, arrays["weight"])
    there = CONV[case.rank](x, w, **case.keywords, strict=True).get()
    y = integers(numbers(3), there.shape)
    rest = tuple(
        (n + a + b - m) % s
        for n, (a, b), m, s in zip(case.x[2:], geometry.padding, geometry.effective_kernel, geometry.stride, strict=True)
    )
    w = send(queue, reference.flip(arrays["weight"])) if case.keywords.get("flip_kernel") else w
    steps = geometry.stride, geometry.padding, rest, geometry.groups, geometry.dilation
    back = TRANSPOSE[case.rank](send(queue, y), w, None, *steps, strict=True).get()
    assert back.shape == case.x
    assert np.vdot(there.astype(np.float64), y) == np.vdot(arrays["input"].astype(np.float64), back)


# Pooling

MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@pytest.mark.parametrize(
    ("shape", "kernel", "keywords"),
    [
        ((2, 3, 11), 3, {"stride": 2, "padding": 1}),
        ((2, 17, 9, 7), 2, {}),
        ((1, 3, 8, 9), (3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 3), "ceil_mode": True}),
        ((1, 2, 7, 7), 3, {"stride": 4, "padding": 1, "ceil_mode": True}),
        ((1, 2, 5, 4, 6), (2, 3, 2), {"stride": (1, 2, 2), "padding": 1}),
    ],
)
def test_max_pool(queue, shape, kernel, keywords):
    rank, x = len(shape) - 2, integers(numbers(*shape), shape, 3)  # few values, so that several win
    y, indices = MAX_POOL[rank](send(queue, x), kernel, **keywords, return_indices=True)
    expected, where = reference.max_pool(x, PoolGeometry.make(kernel, **keywords, rank=rank))
    exactly(y, expected)
    exactly(indices, where, np.int32)


def test_max_pool_without_indices(queue):
    x = integers(numbers(14), (2, 17, 9, 7))
    exactly(F.max_pool2d(send(queue, x), 2), reference.max_pool(x, PoolGeometry.make(2, rank=2))[0])


@pytest.mark.parametrize(
    ("shape", "kernel", "keywords", "rules"),
    [
        ((2, 17, 9, 7), 2, {}, {}),
        ((1, 3, 8, 9), (3, 2), {"stride": (2, 3), "padding": (1, 0), "ceil_mode": True}, {}),
        ((1, 3, 8, 9), (3, 2), {"stride": (2, 3), "padding": (1, 0), "ceil_mode": True}, {"count_include_pad": False}),
        ((1, 3, 8, 9), 3, {"stride": 2, "padding": 1}, {"divisor_override": 7}),
        ((1, 2, 5, 4, 6), (2, 3, 2), {"stride": (1, 2, 2), "padding": 1}, {"count_include_pad": False}),
    ],
)
def test_avg_pool(queue, shape, kernel, keywords, rules):
    rank, x = len(shape) - 2, integers(numbers(*shape), shape)
    y = AVG_POOL[rank](send(queue, x), kernel, **keywords, **rules)
    expected = reference.avg_pool(x, PoolGeometry.make(kernel, **keywords, rank=rank), **rules)
    within(y, expected, 2.0**-23 * np.abs(expected))  # the sum is exact; division or a product with the inverse rounds


def test_adaptive_and_global_pooling(queue):
    x = integers(numbers(4), (2, 3, 8, 7))
    for size, wanted in ((3, (3, 3)), ((4, 7), (4, 7)), ((None, 2), (8, 2)), ((1, 1), (1, 1))):
        expected = reference.adaptive_avg_pool(x, wanted)
        within(F.adaptive_avg_pool2d(send(queue, x), size), expected, 2.0**-22 * np.abs(expected))
    expected = x.astype(np.float64).mean(axis=(2, 3), keepdims=True)
    within(F.global_avg_pool(send(queue, x)), expected, 2.0**-22 * np.abs(expected))
    exactly(F.global_max_pool(send(queue, x)), x.max(axis=(2, 3), keepdims=True))
    line, cube = integers(numbers(5), (1, 2, 10)), integers(numbers(6), (1, 2, 4, 3, 5))
    for y, expected in (
        (F.adaptive_avg_pool1d(send(queue, line), 4), reference.adaptive_avg_pool(line, (4,))),
        (F.adaptive_avg_pool3d(send(queue, cube), (2, 2, 3)), reference.adaptive_avg_pool(cube, (2, 2, 3))),
    ):
        within(y, expected, 2.0**-22 * np.abs(expected))


# Fully connected layers and products


def test_linear_and_matmul(queue):
    rng = numbers(7)
    for rows, inputs, outputs in ((3, 17, 33), (1, 5, 1), (13, 64, 10)):
        x, w, b = integers(rng, (rows, inputs)), integers(rng, (outputs, inputs)), integers(rng, (outputs,))
        exactly(F.linear(send(queue, x), send(queue, w)), reference.linear(x, w, None))
        exactly(F.linear(send(queue, x), send(queue, w), send(queue, b)), reference.linear(x, w, b))
        exactly(F.matmul(send(queue, x), send(queue, w.T.copy())), reference.matmul(x, w.T))
    x, w = integers(rng, (2, 3, 4, 17)), integers(rng, (5, 17))
    exactly(F.linear(send(queue, x), send(queue, w)), reference.linear(x, w, None))
    exactly(F.matmul(send(queue, x), send(queue, w.T.copy())), reference.matmul(x, w.T))
    a, b = integers(rng, (2, 3, 5, 7)), integers(rng, (2, 3, 7, 4))
    exactly(F.matmul(send(queue, a), send(queue, b)), reference.matmul(a, b))


# Element by element

ACTIVATIONS = {
    "relu": (F.relu, reference.relu, 0),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.25), lambda x: reference.leaky_relu(x, 0.25), 0),
    "elu": (lambda x: F.elu(x, 1.5), lambda x: reference.elu(x, 1.5), 8),
    "sigmoid": (F.sigmoid, reference.sigmoid, 8),
    "tanh": (F.tanh, reference.tanh, 8),
    "gelu": (F.gelu, reference.gelu, 20),
    "gelu_tanh": (lambda x: F.gelu(x, "tanh"), lambda x: reference.gelu(x, "tanh"), 20),
    "silu": (F.silu, reference.silu, 8),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(queue, name):
    """Within the units in the last place that OpenCL allows to exp (3), tanh (5) and erf (16), of the larger of |x| and 1."""
    function, oracle, units = ACTIVATIONS[name]
    x = np.concatenate([np.linspace(-12, 12, 1001), [0.0, 1e-6, -1e-6, 60.0, -60.0]]).astype(np.float32)
    within(function(send(queue, x)), oracle(x), units * 2.0**-24 * np.maximum(np.abs(x), 1))


def test_add_mul_and_their_like(queue):
    rng = numbers(8)
    a, b, row = integers(rng, (2, 3, 4)), integers(rng, (2, 3, 4)), integers(rng, (3, 1))
    x, y, z = send(queue, a), send(queue, b), send(queue, row)
    exactly(F.add(x, y), a + b)
    exactly(F.add(x, z, alpha=2.0), a + 2 * row)
    exactly(F.mul(x, z), a * row)
    exactly(F.sub(x, y), a - b)
    exactly(F.div(x, 4.0), a / 4)


def test_sum_and_mean(queue):
    x = integers(numbers(9), (3, 17, 5, 8))
    exactly(F.sum(send(queue, x)), x.sum())
    exactly(F.sum(send(queue, x), (0, 2)), x.sum(axis=(0, 2)))
    exactly(F.sum(send(queue, x), -1, keepdim=True), x.sum(axis=-1, keepdims=True))
    exactly(F.mean(send(queue, x), (1, 2), keepdim=True), (x.sum(axis=(1, 2), keepdims=True) / np.float32(85)).astype(np.float32))


def test_cat_pad_flatten_and_other_moves(queue):
    rng = numbers(10)
    a, b, c = integers(rng, (2, 3, 4, 5)), integers(rng, (2, 1, 4, 5)), integers(rng, (2, 17, 4, 5))
    exactly(F.cat([send(queue, v) for v in (a, b, c)], 1), np.concatenate([a, b, c], 1))
    exactly(F.cat([send(queue, a), send(queue, a)]), np.concatenate([a, a]))
    exactly(F.pad(send(queue, a), (1, 2, 0, 3), value=7.0), np.pad(a, ((0, 0), (0, 0), (0, 3), (1, 2)), constant_values=7))
    exactly(F.pad(send(queue, a), (-1, 2)), np.pad(a, ((0, 0), (0, 0), (0, 0), (0, 2)))[..., 1:])
    exactly(F.flatten(send(queue, a)), a.ravel())
    exactly(F.flatten(send(queue, a), 1), a.reshape(2, -1))
    exactly(F.flatten(send(queue, a), 1, 2), a.reshape(2, 12, 5))
    exactly(F.reshape(send(queue, a), (6, -1)), a.reshape(6, -1))
    exactly(F.transpose(send(queue, a), 1, 3), a.swapaxes(1, 3))


# Normalisation and losses


def test_batch_norm(queue):
    rng = numbers(11)
    x = rng.standard_normal((3, 5, 6, 7)).astype(np.float32)
    gamma, beta, mean = (rng.standard_normal(5).astype(np.float32) for _ in range(3))
    var = rng.uniform(0.5, 2, 5).astype(np.float32)
    a, g, b, m, v = (send(queue, value) for value in (x, gamma, beta, mean, var))
    y = F.batch_norm(a, m, v, g, b)
    # Four roundings, of numbers that are at most max |x - mean| / min std * max |gamma| + max |beta|, about 30.
    within(y, reference.batch_norm(x, gamma, beta, mean, var), 30 * 4 * 2.0**-24)
    within(F.batch_norm(a, m, v), reference.batch_norm(x, np.ones(5), np.zeros(5), mean, var), 30 * 4 * 2.0**-24)
    y = F.batch_norm(a, m, v, g, b, training=True, momentum=0.25)
    expected, batch_mean, batch_var = reference.batch_norm_train(x, gamma, beta)
    bound = sum_bound(126, np.abs(x).max() * 10)
    within(y, expected, bound)
    within(m, 0.75 * mean + 0.25 * batch_mean, bound)
    within(v, 0.75 * var + 0.25 * batch_var * 126 / 125, bound)
    within(F.batch_norm(a, None, None, training=True), reference.batch_norm_train(x, np.ones(5), np.zeros(5))[0], bound)


@pytest.mark.parametrize("size", [pytest.param(2, marks=pytest.mark.exhaustive), 5])
def test_local_response_norm(queue, size):
    x = numbers(12).standard_normal((2, 17, 3, 4)).astype(np.float32)
    expected = reference.local_response_norm(x, size, 0.5, 0.75, 2.0)
    within(F.local_response_norm(send(queue, x), size, 0.5, 0.75, 2.0), expected, 16 * 2.0**-24 * np.maximum(np.abs(expected), 1e-3))


def test_softmax_and_losses(queue):
    rng = numbers(13)
    x = (rng.standard_normal((5, 11)) * 4).astype(np.float32)
    for axis in (0, 1, -1):
        within(F.softmax(send(queue, x), axis), reference.softmax(x, axis), 2.0**-21)
    within(F.log_softmax(send(queue, x), 1), reference.log_softmax(x, 1), 2.0**-24 * 4 * np.abs(x).max())
    t = np.array([3, 0, -100, 10, 3], np.int32)
    for keywords in ({}, {"reduction": "none"}, {"label_smoothing": 0.2, "reduction": "sum"}):
        y = F.cross_entropy(send(queue, x), send(queue, t), **keywords)
        within(y, reference.cross_entropy(x, t, **keywords), 2.0**-24 * 40 * np.abs(x).max())
    image, labels = rng.standard_normal((2, 4, 3, 2)).astype(np.float32), rng.integers(0, 4, (2, 3, 2)).astype(np.int32)
    within(F.cross_entropy(send(queue, image), send(queue, labels)), reference.cross_entropy(image, labels), 2.0**-19)
    a, b = integers(rng, (4, 8)), integers(rng, (4, 8))
    for reduction in ("mean", "none"):
        exactly(F.mse_loss(send(queue, a), send(queue, b), reduction), reference.mse_loss(a, b, reduction))
