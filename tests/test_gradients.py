"""Gradients: of convolution by their own functions, and of every differentiable function through `clconv.grad`, against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import clconv
import clconv.functional as F
from clconv import reference as ref
from clconv.algorithms import ALGORITHMS
from clconv.geometry import ConvGeometry, PoolGeometry
from clconv.problem import ConvProblem
from tests.functional_support import (
    CONVS,
    RARE,
    Conv,
    algorithms_for,
    exactly,
    gradients,
    loosened,
    meant_for_others,
    node_of,
    numbers,
    often_and_rarely,
    problem_of_call,
    right,
    send,
    within,
)  # fmt: skip
from tests.support import integers, sum_bound

INPUT_GRADIENT: dict[int, Callable[..., Any]] = {1: F.conv1d_input, 2: F.conv2d_input, 3: F.conv3d_input}
WEIGHT_GRADIENT: dict[int, Callable[..., Any]] = {1: F.conv1d_weight, 2: F.conv2d_weight, 3: F.conv3d_weight}
NAMES = ["1d_dilated", "odd_channels", "one_sided", "groups", "depthwise", "3d_groups"]


def backward_case(case: Conv) -> tuple[ConvGeometry, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """(geometry, x, w, dy, keywords) of the gradients of a convolution."""
    geometry, rng = case.geometry(), numbers(1, *case.x)
    dy = integers(rng, (case.x[0], case.w[0], *geometry.output_size(case.x[2:])))
    keywords = {name: case.keywords[name] for name in ("stride", "padding", "dilation", "groups") if name in case.keywords}
    return geometry, integers(rng, case.x), integers(rng, case.w), dy, keywords


@pytest.mark.parametrize("name", often_and_rarely(NAMES))
def test_gradient_by_the_input(queue, name):
    """As torch.nn.grad.conv2d_input(input_size, weight, grad_output, stride, padding, dilation, groups); whole numbers, exactly."""
    case = CONVS[name]
    geometry, _, w, dy, keywords = backward_case(case)
    function, expected = INPUT_GRADIENT[case.rank], ref.conv_backward_data(dy, w, geometry, case.x[2:])
    problem = problem_of_call(function, case.x, w, dy, **keywords)
    for algorithm in algorithms_for(queue, problem):
        dx = function(case.x, send(queue, w), send(queue, dy), **keywords, algorithm=algorithm)
        right(dx, expected, queue, problem, algorithm, [dy, w])


@pytest.mark.parametrize("name", often_and_rarely(NAMES))
def test_gradient_by_the_weight(queue, name):
    """As torch.nn.grad.conv2d_weight(input, weight_size, grad_output, ...)."""
    case = CONVS[name]
    geometry, x, _, dy, keywords = backward_case(case)
    function, expected = WEIGHT_GRADIENT[case.rank], ref.conv_backward_weights(x, dy, geometry)
    for algorithm in algorithms_for(queue, problem_of_call(function, x, case.w, dy, **keywords)):
        exactly(function(send(queue, x), case.w, send(queue, dy), **keywords, algorithm=algorithm), expected)


def test_every_convolution_algorithm_was_tried(queue):
    """In both gradients together, those of the forward pass left out, which have their own test."""
    tried = set()
    for name in (name for name in NAMES if name not in RARE):
        case = CONVS[name]
        _, x, w, dy, keywords = backward_case(case)
        tried |= set(algorithms_for(queue, problem_of_call(INPUT_GRADIENT[case.rank], case.x, w, dy, **keywords)))
        tried |= set(algorithms_for(queue, problem_of_call(WEIGHT_GRADIENT[case.rank], x, case.w, dy, **keywords)))
    left_out = {"conv_depthwise_rows"} | meant_for_others(queue)  # the first is for the forward pass
    assert tried == {a.name for a in ALGORITHMS if a.takes is ConvProblem} - left_out


def test_gradients_of_real_numbers(queue):
    rng = numbers(2)
    x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in ((2, 17, 9, 7), (33, 17, 3, 3), (2, 33, 9, 7)))
    geometry = ConvGeometry.make((3, 3), padding=1)
    problem = problem_of_call(F.conv2d_input, x.shape, w, dy, padding=1)
    for algorithm in algorithms_for(queue, problem):
        dx = F.conv2d_input(x.shape, send(queue, w), send(queue, dy), padding=1, algorithm=algorithm)
        bound = sum_bound(33 * 9, ref.conv_backward_data(abs(dy), abs(w), geometry, (9, 7)))
        within(dx, ref.conv_backward_data(dy, w, geometry, (9, 7)), loosened(bound, queue, problem, algorithm))
    for algorithm in algorithms_for(queue, problem_of_call(F.conv2d_weight, x, w.shape, dy, padding=1)):
        dw = F.conv2d_weight(send(queue, x), w.shape, send(queue, dy), padding=1, algorithm=algorithm)
        bound = sum_bound(2 * 9 * 7, ref.conv_backward_weights(abs(x), abs(dy), geometry))
        within(dw, ref.conv_backward_weights(x, dy, geometry), bound)


def test_gradient_sizes_that_do_not_fit_are_refused(queue):
    w, dy = send(queue, np.ones((4, 3, 3, 3))), send(queue, np.ones((2, 4, 5, 5)))
    with pytest.raises(clconv.GeometryError, match=r"grad_output \(2, 4, 5, 5\) must be \(2, 4, 6, 6\)"):
        F.conv2d_input((2, 3, 8, 8), w, dy)
    with pytest.raises(clconv.GeometryError, match=r"grad_output \(2, 4, 5, 5\) must be \(2, 4, 6, 6\)"):
        F.conv2d_weight(send(queue, np.ones((2, 3, 8, 8))), (4, 3, 3, 3), dy)


# Exact gradients: of linear functions and of those that choose. Each: function of nodes, shapes, the oracle's gradients of (dy, *arrays)

Expected = Callable[..., Sequence[np.ndarray | None]]
POOL = PoolGeometry.make(3, 2, 1, ceil_mode=True, rank=2)
THREE, UP = ConvGeometry.make((3, 3), padding=1), ConvGeometry.make((3, 3), 2, 1, 1, 2, 1)


def fused(slope: float, flipped: bool) -> Expected:
    def expected(dy: np.ndarray, x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> Sequence[np.ndarray]:
        used = ref.flip(w) if flipped else w
        dz = ref.leaky_relu_backward(dy, ref.conv(x, used, b, THREE) + r, slope)
        dw = ref.conv_backward_weights(x, dz, THREE)
        return [ref.conv_backward_data(dz, used, THREE, x.shape[2:]), ref.flip(dw) if flipped else dw, dz.sum((0, 2, 3)), dz]

    return expected


def up_gradients(dy: np.ndarray, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Sequence[np.ndarray]:
    """The transpose's gradients are the convolution itself, and its weight gradient with x and dy in each other's place."""
    wide = ConvGeometry.make((3, 3), 2, 1, 1, 2)
    return ref.conv(dy, w, None, wide), ref.conv_backward_weights(dy, x, wide), dy.sum((0, 2, 3))


CONV_SHAPES = [(2, 3, 5, 4), (3, 3, 3, 3), (3,), (2, 3, 5, 4)]
IMAGE = (2, 3, 7, 6)
EXACT: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]], Expected]] = {
    "relu": (F.relu, [IMAGE], lambda dy, x: [ref.relu_backward(dy, x)]),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.25), [IMAGE], lambda dy, x: [ref.leaky_relu_backward(dy, x, 0.25)]),
    "max_pool": (
        lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), [IMAGE],
        lambda dy, x: [ref.max_pool_backward(dy, ref.max_pool(x, POOL)[1], x.shape[2:])],
    ),
    "avg_pool": (
        lambda x: F.avg_pool2d(x, 2), [IMAGE], lambda dy, x: [ref.avg_pool_backward(dy, PoolGeometry.make(2, rank=2), (7, 6))]
    ),
    "linear": (F.linear, [(2, 3, 4), (5, 4), (5,)], lambda dy, x, w, b: ref.linear_backward(dy, x, w)),
    "matmul": (F.matmul, [(3, 4, 5), (3, 5, 2)], ref.matmul_backward),
    "matmul_by_one": (F.matmul, [(3, 4, 5), (5, 2)], ref.matmul_backward),
    "add": (lambda a, b: F.add(a, b, alpha=2.0), [IMAGE, (3, 1, 1)], lambda dy, a, b: [dy, 2 * dy.sum((0, 2, 3))[:, None, None]]),
    "mul": (F.mul, [IMAGE, (1, 3, 1, 1)], lambda dy, a, b: [dy * b, (dy * a).sum((0, 2, 3), keepdims=True)]),
    "sum": (lambda x: F.sum(x, (0, 2)), [IMAGE], lambda dy, x: [np.broadcast_to(dy[:, None, :], x.shape)]),
    "cat": (lambda a, b: F.cat([a, b, a], 1), [IMAGE, (2, 4, 7, 6)], lambda dy, a, b: [dy[:, :3] + dy[:, 7:], dy[:, 3:7]]),
    "pad": (lambda x: F.pad(x, (-1, 2, 1, 0)), [IMAGE], lambda dy, x: [np.pad(dy[:, :, 1:, :5], ((0, 0), (0, 0), (0, 0), (1, 0)))]),
    "flatten": (lambda x: F.flatten(x, 1), [IMAGE], lambda dy, x: [dy.reshape(x.shape)]),
    "transpose": (lambda x: F.transpose(x, 1, 3), [IMAGE], lambda dy, x: [dy.swapaxes(1, 3)]),
    "conv_relu_residual": (lambda x, w, b, r: F.conv2d(x, w, b, padding=1, activation="relu", residual=r), CONV_SHAPES, fused(0, False)),
    "conv_leaky_turned": (
        lambda x, w, b, r: F.conv2d(x, w, b, padding=1, activation=("leaky_relu", 0.25), residual=r, flip_kernel=True),
        CONV_SHAPES, fused(0.25, True),
    ),
    "conv_transpose": (lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, 2), [(2, 4, 3, 4), (4, 3, 3, 3), (6,)], up_gradients),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_exact_gradient(queue, name):
    function, shapes, expected = EXACT[name]
    rng = numbers(len(name), *shapes[0])
    arrays = [integers(rng, shape) for shape in shapes]
    if "max_pool" in name:  # no two equal, so that it is clear which one wins
        arrays = [rng.permutation(np.prod(shape)).reshape(shape).astype(np.float32) for shape in shapes]
    dy = integers(rng, function(*[node_of(a) for a in arrays]).shape)
    parts = gradients(queue, function, arrays, dy)
    for part, wanted in zip(parts, expected(dy, *arrays), strict=True):
        np.testing.assert_array_equal(part, np.asarray(wanted, np.float32))


# Smooth functions: within what float32 loses; `units` counts units in the last place of the largest gradient

SMOOTH: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]], Expected, float]] = {
    "elu": (lambda x: F.elu(x, 1.5), [IMAGE], lambda dy, x: [ref.elu_backward(dy, x, 1.5)], 8),
    "sigmoid": (F.sigmoid, [IMAGE], lambda dy, x: [ref.sigmoid_backward(dy, x)], 16),
    "tanh": (F.tanh, [IMAGE], lambda dy, x: [ref.tanh_backward(dy, x)], 16),
    "gelu": (F.gelu, [IMAGE], lambda dy, x: [ref.gelu_backward(dy, x)], 32),
    "gelu_tanh": (lambda x: F.gelu(x, "tanh"), [IMAGE], lambda dy, x: [ref.gelu_backward(dy, x, "tanh")], 32),
    "silu": (F.silu, [IMAGE], lambda dy, x: [ref.silu_backward(dy, x)], 16),
    "div": (F.div, [IMAGE, IMAGE], lambda dy, a, b: [dy / b, -dy * a / b**2], 8),
    "mean": (lambda x: F.mean(x, (1, 3)), [IMAGE], lambda dy, x: [np.broadcast_to(dy[:, None, :, None], x.shape) / 18], 4),
    "avg_pool_inside": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, True, False), [IMAGE],
        lambda dy, x: [ref.avg_pool_backward(dy, POOL, (7, 6), False)], 8,
    ),
    "adaptive_avg_pool": (
        lambda x: F.adaptive_avg_pool2d(x, (3, 4)), [IMAGE], lambda dy, x: [ref.adaptive_avg_pool_backward(dy, x.shape[2:])], 16
    ),
    "global_avg_pool": (F.global_avg_pool, [IMAGE], lambda dy, x: [ref.adaptive_avg_pool_backward(dy, x.shape[2:])], 4),
    "batch_norm_training": (
        lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True), [IMAGE, (3,), (3,)],
        lambda dy, x, g, b: ref.batch_norm_train_backward(dy, x, g), 64,
    ),
    "batch_norm": (
        lambda x, m, v, g, b: F.batch_norm(x, m, F.mul(v, v), g, b), [IMAGE, (3,), (3,), (3,), (3,)],
        lambda dy, x, m, v, g, b: [*np.insert(np.array(ref.batch_norm_backward(dy, x, g, m, v * v), object), [1, 1], None)], 64,
    ),
    "local_response_norm": (
        lambda x: F.local_response_norm(x, 5, 0.5, 0.75, 2.0), [IMAGE],
        lambda dy, x: [ref.local_response_norm_backward(dy, x, 5, 0.5, 0.75, 2.0)], 32,
    ),
    "softmax": (lambda x: F.softmax(x, 1), [IMAGE], lambda dy, x: [ref.softmax_backward(dy, ref.softmax(x, 1), 1)], 32),
    "log_softmax": (lambda x: F.log_softmax(x, -1), [IMAGE], lambda dy, x: [ref.log_softmax_backward(dy, ref.log_softmax(x, -1), -1)], 32),
    "mse_loss": (F.mse_loss, [IMAGE, IMAGE], lambda dy, a, b: [ref.mse_loss_backward(dy, a, b), -ref.mse_loss_backward(dy, a, b)], 4),
}  # fmt: skip


RARELY = {"elu", "gelu_tanh", "silu", "avg_pool_inside"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.exhaustive if name in RARELY else ()) for name in SMOOTH])
def test_smooth_gradient(queue, name):
    function, shapes, expected, units = SMOOTH[name]
    rng = numbers(len(name), *shapes[0])
    arrays = [(rng.uniform(0.5, 3, shape) * rng.choice([-1, 1], shape)).astype(np.float32) for shape in shapes]
    dy = rng.standard_normal(function(*[node_of(a) for a in arrays]).shape).astype(np.float32)
    wanted = expected(dy, *arrays)
    wrt = [i for i, one in enumerate(wanted) if one is not None]
    parts = gradients(queue, function, arrays, dy, wrt)
    for part, i in zip(parts, wrt, strict=True):
        within(part, wanted[i], units * 2.0**-24 * max(1.0, np.abs(wanted[i]).max()))


@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({}, marks=pytest.mark.exhaustive),  # the network at the end has it by default
        {"label_smoothing": 0.2, "reduction": "sum"},
        {"ignore_index": 2, "reduction": "none"},
    ],
)
def test_cross_entropy_gradient(queue, keywords):
    rng = numbers(3)
    logits, target = rng.standard_normal((5, 4, 3)).astype(np.float32), rng.integers(0, 4, (5, 3)).astype(np.int32)
    dy = rng.standard_normal((5, 3) if keywords.get("reduction") == "none" else ()).astype(np.float32)
    (part,) = gradients(queue, lambda x, t: F.cross_entropy(x, t, **keywords), [logits, target], dy, [0])
    within(part, ref.cross_entropy_backward(dy, logits, target, **keywords), 2.0**-21)


def test_gradients_at_the_kink_are_torchs(queue):
    """At 0 leaky_relu takes its slope and elu its alpha."""
    x, dy = np.zeros(3, np.float32), np.array([1, -2, 4], np.float32)
    for function, slope in ((lambda x: F.leaky_relu(x, 0.25), 0.25), (lambda x: F.elu(x, 1.5), 1.5)):
        np.testing.assert_array_equal(gradients(queue, function, [x], dy)[0], slope * dy)


def test_dropout_gradient_draws_the_same_numbers(queue):
    x, upstream = node_of(np.ones((4, 50), np.float32)), node_of(np.ones((4, 50), np.float32), "dy")
    y = F.dropout(x, 0.5)
    graph = clconv.Graph((x, upstream), (y, *clconv.grad(F.sum(F.mul(y, upstream)), x)))
    dy = integers(numbers(4), (4, 50))
    kept, part = clconv.compile_graph(graph, queue)(np.ones((4, 50), np.float32), dy)
    assert 50 < np.count_nonzero(kept.get()) < 150
    exactly(part, dy * kept.get())


def test_what_the_loss_does_not_depend_on_gets_zeros(queue):
    x, other = node_of(np.ones((2, 3), np.float32)), node_of(np.ones((4,), np.float32), "other")
    graph = clconv.Graph((x, other), tuple(clconv.grad(F.sum(F.mul(x, x)), [x, other])))
    by_x, by_other = clconv.compile_graph(graph, queue)(np.full((2, 3), 3, np.float32), np.ones(4, np.float32))
    exactly(by_x, np.full((2, 3), 6))
    exactly(by_other, np.zeros(4))
    with pytest.raises(clconv.GeometryError, match=r"shape \(2, 3\); reduce it to its mean or sum"):
        clconv.grad(F.mul(x, x), [x])


# Compositions

CNN_SHAPES = [(2, 2, 7, 6), (4, 2, 3, 3), (4,), (3, 4, 3, 3), (3,), (3,), (5, 3), (5,)]
TARGET = np.array([3, 0], np.int32)


def cnn(x: Any, w1: Any, b1: Any, w2: Any, gamma: Any, beta: Any, w3: Any, b3: Any, target: Any) -> Any:
    y = F.max_pool2d(F.conv2d(x, w1, b1, padding=1, activation="relu"), 2)
    y = F.leaky_relu(F.batch_norm(F.conv2d(y, w2, stride=2, padding=1), None, None, gamma, beta, training=True), 0.25)
    y = F.flatten(F.avg_pool2d(y, 2), 1)
    return F.cross_entropy(F.linear(y, w3, b3), target)


def cnn_oracle(values: Sequence[np.ndarray]) -> float:
    x, w1, b1, w2, gamma, beta, w3, b3 = values
    y = ref.max_pool(ref.relu(ref.conv(x, w1, b1, THREE)), PoolGeometry.make(2, rank=2))[0]
    y = ref.batch_norm_train(ref.conv(y, w2, None, ConvGeometry.make((3, 3), 2, 1)), gamma, beta)[0]
    y = ref.avg_pool(ref.leaky_relu(y, 0.25), PoolGeometry.make(2, rank=2)).reshape(len(x), -1)
    return float(ref.cross_entropy(ref.linear(y, w3, b3), TARGET))


def test_gradients_of_a_composed_network_by_central_differences(queue):
    """Of the input and of all weights, on the float64 oracle."""
    rng = numbers(5)
    values = [rng.standard_normal(s).astype(np.float32) for s in CNN_SHAPES]
    nodes = [node_of(v, f"x{i}") for i, v in enumerate([*values, TARGET])]
    loss = cnn(*nodes)
    graph = clconv.Graph(tuple(nodes), (loss, *clconv.grad(loss, nodes[:-1])))
    measured = [
        ref.central_difference(lambda v, i=i: cnn_oracle([*values[:i], v, *values[i + 1 :]]), value, 1e-6) for i, value in enumerate(values)
    ]
    run = clconv.compile_graph(graph, queue)
    run.poison()
    y, *parts = run(*values, TARGET)
    within(y, cnn_oracle(values), 1e-5)
    for part, wanted in zip(parts, measured, strict=True):
        within(part, wanted, 2e-5 * max(1.0, np.abs(wanted).max()))


def test_second_derivative_of_convolution(queue):
    """For L = <dE/dx, v> with E = |conv(x, w)|^2, that is 2 <conv(x), conv(v)>: gradients of a gradient, exactly."""
    rng = numbers(6)
    x, w, v = integers(rng, (1, 3, 5, 6)), integers(rng, (4, 3, 3, 3), 2), integers(rng, (1, 3, 5, 6))
    nodes = [node_of(a, name) for a, name in ((x, "x"), (w, "w"), (v, "v"))]
    y = F.conv2d(nodes[0], nodes[1], padding=1)
    (slope,) = clconv.grad(F.sum(F.mul(y, y)), nodes[0])
    loss = F.sum(F.mul(slope, nodes[2]))
    by_x, by_w = clconv.compile_graph(clconv.Graph(tuple(nodes), tuple(clconv.grad(loss, nodes[:2]))), queue)(x, w, v)
    cx, cv = ref.conv(x, w, None, THREE), ref.conv(v, w, None, THREE)
    exactly(by_x, 2 * ref.conv_backward_data(cv, w, THREE, (5, 6)))
    exactly(by_w, 2 * (ref.conv_backward_weights(x, cv, THREE) + ref.conv_backward_weights(v, cx, THREE)))
