"""What becomes of NaN, infinities, padding and random numbers, and that a result has the same bits every time."""

from __future__ import annotations

import numpy as np
import pytest

import clconv.functional as F
from clconv import reference
from clconv.geometry import ConvGeometry, PoolGeometry
from tests.functional_support import algorithms_for, exactly, problem_of_call, send
from tests.support import integers

NAN, INF = np.nan, np.inf
THREE = ConvGeometry.make((3, 3), padding=1)


def planted(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers with NaN and both infinities among them, far enough apart for windows that hold one, none, or several."""
    x = integers(rng, shape)
    for value in (NAN, INF, -INF, NAN):
        x[tuple(rng.integers(0, n) for n in shape)] = value
    return x


def same(result, expected: np.ndarray) -> None:
    """Equal bit for bit, NaN equal to NaN and the sign of 0 left out."""
    np.testing.assert_array_equal(result.get(), expected.astype(result.dtype))


# Max-pooling: padding never wins, NaN does


@pytest.mark.parametrize("keywords", [{"stride": 4, "padding": 1, "ceil_mode": True}, {"stride": 2, "padding": 1, "ceil_mode": True}])
def test_padding_never_wins_a_maximum(queue, keywords):
    x = -5 - integers(np.random.default_rng(1), (2, 3, 6, 7))
    x[0, 0] = -INF
    y, indices = F.max_pool2d(send(queue, x), 3, **keywords, return_indices=True)
    expected, where = reference.max_pool(x, PoolGeometry.make(3, **keywords, rank=2))
    same(y, expected)
    assert (y.get()[0, 0] == -INF).all() and (y.get()[0, 1:] < 0).all()
    got = indices.get()
    np.testing.assert_array_equal(got, where)
    assert got.min() >= 0 and got.max() < 6 * 7


def test_nan_wins_every_maximum_that_sees_it(queue):
    """Wherever it lies in the window, beside infinities too, and its gradient goes to it."""
    for at in ((0, 0), (1, 2), (3, 4), (5, 6), (2, 1)):
        x = integers(np.random.default_rng(2), (1, 2, 6, 7))
        x[0, 0][at] = NAN
        x[0, 1, 2, 2], x[0, 1, 2, 3] = INF, NAN
        y, indices = F.max_pool2d(send(queue, x), 3, 2, 1, return_indices=True)
        expected, where = reference.max_pool(x, PoolGeometry.make(3, 2, 1, rank=2))
        assert np.isnan(expected).any()
        same(y, expected)
        np.testing.assert_array_equal(indices.get(), where)


def test_mean_pooling_divides_by_what_the_window_holds(queue):
    """Ones stay ones without the padding; with it, the end of a window beyond the padding does not count."""
    x = send(queue, np.ones((1, 1, 6, 7)))
    rules = {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0), "ceil_mode": True}
    exactly(F.avg_pool2d(x, **rules, count_include_pad=False), np.ones((1, 1, 4, 3)))
    # Rows from -1, 1, 3, 5: the first has one row of padding, the last one row of the image, one of padding and one beyond it.
    y = F.avg_pool2d(x, **rules).get()
    np.testing.assert_allclose(y[0, 0], np.repeat([[2 / 3], [1], [1], [1 / 2]], 3, axis=1), rtol=2.0**-23)


def test_nan_and_infinities_pass_through_mean_pooling(queue):
    x = planted(np.random.default_rng(3), (2, 3, 8, 8))
    with np.errstate(invalid="ignore"):
        same(F.avg_pool2d(send(queue, x), 2), reference.avg_pool(x, PoolGeometry.make(2, rank=2)))


# NaN through kernels with a fused epilogue


@pytest.mark.parametrize("activation", ["relu", ("leaky_relu", 0.25)])
def test_nan_passes_through_a_convolution_and_its_epilogue(queue, activation):
    """From input, weight, bias and residual alike: to exactly those outputs that are NaN by the definition."""
    rng = np.random.default_rng(4)
    x, w, b, r = integers(rng, (2, 3, 6, 7)), integers(rng, (5, 3, 3, 3)), integers(rng, (5,)), integers(rng, (2, 5, 6, 7))
    slope = 0.0 if activation == "relu" else 0.25
    w[w == 0] = 1  # an infinity times 0 is NaN: not what is tested here
    plants = ((x, (1, 2, 3, 4), NAN), (x, (0, 0, 0, 0), -INF), (w, (2, 1, 1, 1), NAN), (b, (3,), NAN), (r, (0, 4, 5, 6), NAN))
    for operand, at, value in plants:
        kept, operand[at] = operand[at], value
        with np.errstate(invalid="ignore"):
            z = reference.conv(x, w, b, THREE) + r
            expected = np.where(z < 0, z * slope if slope else 0.0, z)
        assert np.isnan(expected).any() or value == -INF
        for algorithm in algorithms_for(queue, problem_of_call(F.conv2d, x, w, b, padding=1, activation=activation, residual=r)):
            sent = [send(queue, a) for a in (x, w, b)]
            y = F.conv2d(*sent, padding=1, activation=activation, residual=send(queue, r), algorithm=algorithm)
            same(y, expected)
        operand[at] = kept


def test_nan_passes_through_a_fully_connected_layer(queue):
    rng = np.random.default_rng(5)
    x, w, b = integers(rng, (5, 17)), integers(rng, (19, 17)), integers(rng, (19,))
    x[2, 3], b[11] = NAN, NAN
    expected = reference.linear(x, w, b)
    assert np.isnan(expected).sum() == 19 + 5 - 1
    same(F.linear(send(queue, x), send(queue, w), send(queue, b)), expected)
    same(F.relu(F.linear(send(queue, x), send(queue, w), send(queue, b))), reference.relu(expected))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "sigmoid", "tanh", "gelu", "silu"])
def test_nan_and_infinities_through_activations(queue, name):
    x = np.array([NAN, INF, -INF, -0.0, 1.0, NAN], np.float32)
    more = (1.5,) if name == "elu" else ()
    result, expected = getattr(F, name)(send(queue, x), *more).get(), getattr(reference, name)(x, *more).astype(np.float32)
    np.testing.assert_allclose(result, expected, rtol=1e-6)  # NaN is equal to NaN only, an infinity to itself only
    assert np.isnan(result[[0, 5]]).all()


def test_relu_of_nan_in_half_precision(queue):
    x = np.array([NAN, -1, 2, INF, -INF], np.float16)
    same(F.relu(send(queue, x)), np.array([NAN, 0, 2, INF, 0]))


# Softmax and losses


def test_softmax_with_infinities_and_large_numbers(queue):
    """-inf has probability 0, a row of -inf only is NaN, nothing overflows."""
    x = np.array([[1e4, 1e4 - 1, -1e4], [0, -INF, 0], [-INF, -INF, -INF], [NAN, 0, 0]], np.float32)
    for function, oracle in ((F.softmax, reference.softmax), (F.log_softmax, reference.log_softmax)):
        np.testing.assert_allclose(function(send(queue, x), 1).get(), oracle(x, 1), rtol=1e-6, atol=1e-7)
    assert F.softmax(send(queue, x), 1).get()[1].tolist() == [0.5, 0.0, 0.5]


def test_cross_entropy_of_impossible_and_ignored_classes(queue):
    """A class of probability 0 that is not the target costs nothing; of ignored targets alone the mean is NaN."""
    x = np.array([[0, -INF, 0], [0, 1, 2]], np.float32)
    for target in ([0, 2], [0, -100], [-100, -100]):
        t = np.array(target, np.int32)
        np.testing.assert_allclose(F.cross_entropy(send(queue, x), send(queue, t)).get(), reference.cross_entropy(x, t), rtol=1e-6)
    assert np.isinf(F.cross_entropy(send(queue, x), send(queue, np.array([1, 2], np.int32))).get())


# The same bits every time


def test_the_same_bits_at_every_run(queue):
    rng = np.random.default_rng(6)
    x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in ((4, 17, 19, 23), (33, 17, 3, 3), (4, 33, 19, 23)))

    def once() -> list[bytes]:
        a, b, c = send(queue, x), send(queue, w), send(queue, dy)
        results = (
            F.conv2d(a, b, padding=1), F.conv2d_weight(a, w.shape, c, padding=1), F.conv2d_input(x.shape, b, c, padding=1),
            F.sum(a), F.sum(a, (0, 2, 3)), F.softmax(a, 1), F.batch_norm(a, None, None, training=True),
            F.linear(F.flatten(a, 2), send(queue, dy.reshape(-1, 437)[:11])),
        )  # fmt: skip
        return [y.get().tobytes() for y in results]

    first = once()
    for _ in range(4):
        assert once() == first


# Dropout


@pytest.mark.parametrize(("p", "seed"), [(0.5, 0), (0.5, 12345), (0.5, 2**40 + 7), (0.1, 2**32 - 1)])
def test_dropout_draws_the_documented_bits(queue, p, seed):
    """Element i is kept where word 0 of Philox4x32-10 at counter i, under the seed as key, says so."""
    for shape in ((3, 5, 7), (1000,), (1, 1)):
        mask = reference.dropout_mask(shape, p, seed).astype(np.float32)
        exactly(F.dropout(send(queue, np.full(shape, 3.0)), p, seed=seed), np.float32(3) * mask)
    y = F.dropout(send(queue, np.ones(10000)), p, seed=seed).get()
    assert abs(np.count_nonzero(y) - 10000 * (1 - p)) < 5 * np.sqrt(10000 * p * (1 - p))


def test_dropout_of_all_or_nothing(queue):
    x = send(queue, np.arange(6) - 2)
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.5, training=False) is x
    np.testing.assert_array_equal(np.abs(F.dropout(x, 1.0).get()), np.zeros(6))
    ones = send(queue, np.ones(1000))
    one, other = F.dropout(ones, 0.5).get(), F.dropout(ones, 0.5).get()
    assert (one != other).any()
