"""The NumPy oracle's activations, products, normalisations and losses: the formulas element by element, central differences, edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clconv import reference

NAN, INF = math.nan, math.inf


def reals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def check_gradient(f, x: np.ndarray, gradient: np.ndarray) -> None:
    """`gradient` is that of the scalar function `f` at `x`."""
    numerical = reference.central_difference(f, x)
    assert gradient.shape == x.shape
    # eps = 1e-5: the rounding of f over eps and the cubic term are both near 1e-10 times f.
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)


# --- Activations and products --------------------------------------------------------------------------------------

ACTIVATIONS = [
    ("relu", (), lambda v: max(v, 0.0)),
    ("leaky_relu", (0.1,), lambda v: v if v > 0 else 0.1 * v),
    ("elu", (1.5,), lambda v: v if v > 0 else 1.5 * (math.exp(v) - 1)),
    ("sigmoid", (), lambda v: 1 / (1 + math.exp(-v))),
    ("tanh", (), lambda v: (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1)),
    ("gelu", (), lambda v: v * 0.5 * math.erfc(-v / math.sqrt(2))),
    ("gelu", ("tanh",), lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))),
    ("silu", (), lambda v: v / (1 + math.exp(-v))),
]


@pytest.mark.parametrize(("name", "arguments", "formula"), ACTIVATIONS, ids=lambda v: str(v) if not callable(v) else "")
def test_activations_are_their_formulas_and_derivatives(name, arguments, formula):
    f, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    x, dy = 2 * reals(15, 4, 5), reals(16, 4, 5)
    np.testing.assert_allclose(f(x, *arguments), np.vectorize(formula)(x), rtol=1e-13, atol=1e-15)
    check_gradient(lambda v: np.vdot(f(v, *arguments), dy), x, backward(dy, x, *arguments))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isnan(f(NAN, *arguments))
        assert f(0.0, *arguments) == formula(0.0)
        np.testing.assert_allclose(f([500.0, 1000.0], *arguments), [1, 1] if name in ("sigmoid", "tanh") else [500, 1000], rtol=1e-15)


def test_derivatives_at_zero_are_those_of_torch():
    assert reference.relu_backward(1.0, 0.0) == 0
    assert reference.leaky_relu_backward(1.0, 0.0, 0.25) == 0.25
    assert reference.elu_backward(1.0, 0.0, 1.5) == 1.5
    assert reference.relu_backward(1.0, NAN) == 1  # torch zeroes where x <= 0, which NaN is not


def test_activations_at_infinity():
    ends = [-INF, INF]
    np.testing.assert_array_equal(reference.relu(ends), [0, INF])
    np.testing.assert_array_equal(reference.leaky_relu(ends, 0.1), ends)
    np.testing.assert_array_equal(reference.elu(ends, 2.0), [-2, INF])
    np.testing.assert_array_equal(reference.sigmoid(ends), [0, 1])
    np.testing.assert_array_equal(reference.tanh(ends), [-1, 1])
    for product in (reference.silu, reference.gelu):  # -inf times 0
        np.testing.assert_array_equal(product(ends), [NAN, INF])


def test_matmul_broadcasts_batches_and_its_gradients_sum_back():
    a, b = reals(17, 2, 1, 3, 4), reals(18, 5, 4, 2)
    y = reference.matmul(a, b)
    assert y.shape == (2, 5, 3, 2)
    for i, j in np.ndindex(2, 5):
        for row, column in np.ndindex(3, 2):
            assert y[i, j, row, column] == pytest.approx(sum(a[i, 0, row, k] * b[j, k, column] for k in range(4)), rel=1e-12)
    dy = reals(19, *y.shape)
    da, db = reference.matmul_backward(dy, a, b)
    check_gradient(lambda v: np.vdot(reference.matmul(v, b), dy), a, da)
    check_gradient(lambda v: np.vdot(reference.matmul(a, v), dy), b, db)


def test_linear_and_its_gradients():
    x, w, b = reals(20, 2, 3, 4), reals(21, 5, 4), reals(22, 5)
    y = reference.linear(x, w, b)
    assert y[1, 2, 3] == pytest.approx(sum(x[1, 2, i] * w[3, i] for i in range(4)) + b[3])
    np.testing.assert_allclose(reference.linear(x, w, None), y - b, atol=1e-14)
    dy = reals(23, *y.shape)
    dx, dw, db = reference.linear_backward(dy, x, w)
    check_gradient(lambda v: np.vdot(reference.linear(v, w, b), dy), x, dx)
    check_gradient(lambda v: np.vdot(reference.linear(x, v, b), dy), w, dw)
    check_gradient(lambda v: np.vdot(reference.linear(x, w, v), dy), b, db)


# --- Normalisation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(), (4,), (2, 3), (2, 1, 2)])
def test_batch_norm_normalises_and_its_gradients_are_right(size):
    x, gamma, beta = 3 * reals(24, 4, 3, *size) + 5, reals(25, 3), reals(26, 3)
    y, mean, var = reference.batch_norm_train(x, gamma, beta, 1e-3)
    for c in range(3):
        values = [x[at] for at in np.ndindex(x.shape) if at[1] == c]
        centre = math.fsum(values) / len(values)
        assert mean[c] == pytest.approx(centre, rel=1e-12)
        assert var[c] == pytest.approx(math.fsum((v - centre) ** 2 for v in values) / len(values), rel=1e-12)
        expected = (x[:, c] - centre) / math.sqrt(var[c] + 1e-3) * gamma[c] + beta[c]
        np.testing.assert_allclose(y[:, c], expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(reference.batch_norm(x, gamma, beta, mean, var, 1e-3), y)
    dy = reals(27, *x.shape)
    train, frozen = reference.batch_norm_train_backward(dy, x, gamma, 1e-3), reference.batch_norm_backward(dy, x, gamma, mean, var, 1e-3)
    for at, value in enumerate((x, gamma, beta)):

        def swapped(v, at=at):
            return [v if i == at else original for i, original in enumerate((x, gamma, beta))]

        check_gradient(lambda v, swapped=swapped: np.vdot(reference.batch_norm_train(*swapped(v), 1e-3)[0], dy), value, train[at])
        check_gradient(lambda v, swapped=swapped: np.vdot(reference.batch_norm(*swapped(v), mean, var, 1e-3), dy), value, frozen[at])


@pytest.mark.parametrize("window", [1, 2, 3, 5, 9])
def test_local_response_norm_is_the_definition(window):
    x, (alpha, beta, k) = reals(28, 2, 6, 3), (0.7, 0.75, 1.5)
    y = reference.local_response_norm(x, window, alpha, beta, k)
    for n, c, i in np.ndindex(x.shape):
        near = [x[n, j, i] ** 2 for j in range(c - window // 2, c - window // 2 + window) if 0 <= j < 6]
        assert y[n, c, i] == pytest.approx(x[n, c, i] / (k + alpha * sum(near) / window) ** beta, rel=1e-12)
    dy = reals(29, *x.shape)
    gradient = reference.local_response_norm_backward(dy, x, window, alpha, beta, k)
    check_gradient(lambda v: np.vdot(reference.local_response_norm(v, window, alpha, beta, k), dy), x, gradient)


# --- Softmax and losses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax_and_its_logarithm(axis):
    x, dy = reals(30, 2, 3, 4), reals(31, 2, 3, 4)
    y, log = reference.softmax(x, axis), reference.log_softmax(x, axis)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(log, np.log(y), rtol=1e-13, atol=1e-14)
    check_gradient(lambda v: np.vdot(reference.softmax(v, axis), dy), x, reference.softmax_backward(dy, y, axis))
    check_gradient(lambda v: np.vdot(reference.log_softmax(v, axis), dy), x, reference.log_softmax_backward(dy, log, axis))


def test_softmax_of_extremes():
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_array_equal(reference.softmax([[1e4, 1e4, -1e4, -INF]]), [[0.5, 0.5, 0, 0]])
        np.testing.assert_allclose(reference.log_softmax([[1e4, 0.0]]), [[0, -1e4]])
    assert np.isnan(reference.softmax([[-INF, -INF]])).all()
    assert np.isnan(reference.softmax([[NAN, 1.0]])).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)])
def test_cross_entropy_is_the_definition(reduction, smoothing, shape):
    logits = reals(32, *shape)
    target = np.random.default_rng(33).integers(0, 3, (shape[0], *shape[2:]))
    target.flat[1] = 7  # ignored
    losses = np.zeros(target.shape)
    for at in np.ndindex(target.shape):
        if target[at] != 7:
            scores = logits[(at[0], slice(None), *at[1:])]
            weights = [smoothing / 3 + (1 - smoothing) * (c == target[at]) for c in range(3)]
            losses[at] = sum(q * (math.log(sum(math.exp(v) for v in scores)) - v) for q, v in zip(weights, scores, strict=True))
    expected = {"mean": losses.sum() / (target.size - 1), "sum": losses.sum(), "none": losses}[reduction]
    got = reference.cross_entropy(logits, target, reduction, smoothing, 7)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    dy = reals(34, *np.shape(got))
    gradient = reference.cross_entropy_backward(dy, logits, target, reduction, smoothing, 7)
    check_gradient(lambda v: np.vdot(reference.cross_entropy(v, target, reduction, smoothing, 7), dy), logits, gradient)
    assert not gradient[np.broadcast_to(np.expand_dims(target == 7, 1), shape)].any()


def test_cross_entropy_at_the_edges():
    assert reference.cross_entropy([[0.0, -INF]], [0]) == 0
    assert reference.cross_entropy([[0.0, -INF]], [1]) == INF
    ignored = np.array([-100, -100])
    assert np.isnan(reference.cross_entropy(np.zeros((2, 3)), ignored))  # a mean over nothing, as torch
    assert reference.cross_entropy(np.zeros((2, 3)), ignored, "sum") == 0
    np.testing.assert_array_equal(reference.cross_entropy_backward(1.0, np.zeros((2, 3)), ignored), np.zeros((2, 3)))


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 2.5), ("sum", 5.0), ("none", [1.0, 4.0])])
def test_mse_loss(reduction, expected):
    x, target = np.array([1.0, 5.0]), np.array([2.0, 3.0])
    got = reference.mse_loss(x, target, reduction)
    np.testing.assert_array_equal(got, expected)
    dy = reals(35, *np.shape(got))
    gradient = reference.mse_loss_backward(dy, x, target, reduction)
    check_gradient(lambda v: np.vdot(reference.mse_loss(v, target, reduction), dy), x, gradient)
