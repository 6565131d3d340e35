"""The NumPy oracle's convolutions, pooling and random numbers: hand-worked numbers, brute force over every index, adjoints."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from clconv import reference
from clconv.geometry import ConvGeometry, PoolGeometry, adaptive_window

NAN, INF = math.nan, math.inf


def integers(seed: int, *shape: int) -> np.ndarray:
    """Small whole numbers, so that sums are exact and equality is the test."""
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float64)


def reals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# --- Convolution ---------------------------------------------------------------------------------------------------

# (kernel, input size, channels per group, kernels per group, keywords)
CONVOLUTIONS = [
    ((3,), (7,), 2, 3, {}),
    ((2,), (6,), 1, 1, {"padding": "same"}),
    ((4,), (5,), 2, 2, {"padding": "full", "stride": 2}),
    ((2,), (11,), 1, 2, {"stride": 5, "padding": ((0, 2),)}),
    ((3, 3), (5, 4), 3, 2, {"padding": 1}),
    ((3, 3), (1, 1), 2, 2, {"padding": 1}),
    ((1, 1), (3, 2), 5, 4, {}),
    ((2, 3), (5, 7), 1, 2, {"stride": (2, 3), "padding": ((0, 1), (2, 0)), "groups": 3}),
    ((3, 2), (7, 6), 2, 1, {"dilation": (2, 3), "stride": (3, 2), "padding": (1, 2), "groups": 2}),
    ((1, 2), (5, 7), 1, 1, {"stride": (3, 4)}),
    ((2, 1, 3), (3, 2, 4), 2, 2, {"stride": (1, 2, 1), "padding": (1, 0, 1), "dilation": (2, 1, 1)}),
    ((2, 2, 2), (3, 3, 2), 1, 2, {"padding": ((1, 0), (0, 1), (0, 0)), "groups": 2}),
]


@pytest.fixture(params=CONVOLUTIONS, ids=lambda case: f"{case[0]}-{case[4]}")
def convolution(request):
    """(geometry, x, w, dy): a problem with whole-number data; batch 3."""
    kernel, size, channels, kernels, keywords = request.param
    geometry = ConvGeometry.make(kernel, **keywords, input_size=size)
    x = integers(1, 3, geometry.groups * channels, *size)
    w = integers(2, geometry.groups * kernels, channels, *kernel)
    return geometry, x, w, integers(3, 3, len(w), *geometry.output_size(size))


def terms(geometry: ConvGeometry, x_shape, w_shape, y_shape):
    """Every (index of x, index of w, index of y) whose product the definition adds up, one at a time."""
    channels, kernels = w_shape[1], w_shape[0] // geometry.groups
    for y_at in np.ndindex(*y_shape):
        n, k, outputs = y_at[0], y_at[1], y_at[2:]
        for tap_at in np.ndindex(*w_shape[1:]):
            c, tap = tap_at[0], tap_at[1:]
            place = tuple(
                o * s + r * d - begin
                for o, s, r, d, (begin, _) in zip(outputs, geometry.stride, tap, geometry.dilation, geometry.padding, strict=True)
            )
            if all(0 <= i < n for i, n in zip(place, x_shape[2:], strict=True)):
                yield (n, k // kernels * channels + c, *place), (k, c, *tap), y_at


def test_convolution_and_gradients_are_the_definition(convolution):
    geometry, x, w, dy = convolution
    y, dx, dw = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(w)
    for x_at, w_at, y_at in terms(geometry, x.shape, w.shape, dy.shape):
        y[y_at] += x[x_at] * w[w_at]
        dx[x_at] += w[w_at] * dy[y_at]
        dw[w_at] += x[x_at] * dy[y_at]
    bias = np.arange(len(w)) * 100.0
    shaped = bias.reshape(-1, *[1] * geometry.rank)
    np.testing.assert_array_equal(reference.conv(x, w, None, geometry), y)
    np.testing.assert_array_equal(reference.conv(x, w, bias, geometry), y + shaped)
    np.testing.assert_array_equal(reference.conv_backward_data(dy, w, geometry, x.shape[2:]), dx)
    np.testing.assert_array_equal(reference.conv_backward_weights(x, dy, geometry), dw)


def test_gradients_are_adjoints_of_the_convolution(convolution):
    geometry, x, w, dy = convolution
    inner = np.vdot(reference.conv(x, w, None, geometry), dy)
    assert inner == np.vdot(x, reference.conv_backward_data(dy, w, geometry, x.shape[2:]))
    assert inner == np.vdot(w, reference.conv_backward_weights(x, dy, geometry))


def test_transpose_is_the_adjoint_of_the_convolution(convolution):
    geometry, x, w, dy = convolution
    used = geometry.effective_kernel
    # The elements at the end that the stride leaves out come back through output_padding.
    extra = tuple((n + a + b - m) % s for n, m, s, (a, b) in zip(x.shape[2:], used, geometry.stride, geometry.padding, strict=True))
    transpose = ConvGeometry.make(geometry.kernel, geometry.stride, geometry.padding, geometry.dilation, geometry.groups, extra)
    bias = np.arange(x.shape[1]) * 100.0
    up = reference.conv_transpose(dy, w, None, transpose)
    assert up.shape == x.shape
    assert np.vdot(reference.conv(x, w, None, geometry), dy) == np.vdot(x, up)
    np.testing.assert_array_equal(reference.conv_transpose(dy, w, bias, transpose), up + bias.reshape(-1, *[1] * geometry.rank))


@pytest.mark.parametrize(("stride", "dilation", "extra"), [(1, 2, 1), (1, 1, 0), (3, 1, 2), (2, 3, 2), (2, 1, 0)])
def test_transpose_is_every_input_stamping_the_kernel(stride, dilation, extra):
    x, w = integers(4, 2, 2, 4), integers(5, 2, 3, 3)
    geometry = ConvGeometry.make((3,), stride, 0, dilation, output_padding=extra)
    y = np.zeros((2, 3, stride * 3 + dilation * 2 + 1 + extra))
    for n, ci, co, p, r in itertools.product(range(2), range(2), range(3), range(4), range(3)):
        y[n, co, p * stride + r * dilation] += x[n, ci, p] * w[ci, co, r]
    np.testing.assert_array_equal(reference.conv_transpose(x, w, None, geometry), y)


def test_convolution_by_hand():
    x = [[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]
    w = [[[[1, 0], [0, -1]]]]
    plain = ConvGeometry.make((2, 2))
    np.testing.assert_array_equal(reference.conv(x, w, [10], plain), [[[[6, 6], [6, 6]]]])
    np.testing.assert_array_equal(reference.conv(x, reference.flip(w), None, plain), [[[[4, 4], [4, 4]]]])
    np.testing.assert_array_equal(
        reference.conv_backward_data([[[[1, 2], [3, 4]]]], w, plain, (3, 3)), [[[[1, 2, 0], [3, 3, -2], [0, -3, -4]]]]
    )
    np.testing.assert_array_equal(reference.conv_backward_weights(x, [[[[1, 0], [0, 2]]]], plain), [[[[11, 14], [20, 23]]]])
    wide = reference.conv([[[1, 2, 3]]], [[[1, 10, 100]]], None, ConvGeometry.make((3,), padding="full"))
    np.testing.assert_array_equal(wide, [[[100, 210, 321, 32, 3]]])
    holes = reference.conv([[[1, 2, 3, 4, 5]]], [[[1, 10]]], None, ConvGeometry.make((2,), dilation=3))
    np.testing.assert_array_equal(holes, [[[41, 52]]])


def test_depthwise_channels_do_not_mix():
    x = integers(6, 1, 3, 5)
    w = integers(7, 6, 1, 2)
    y = reference.conv(x, w, None, ConvGeometry.make((2,), groups=3))
    for k in range(6):
        alone = reference.conv(x[:, k // 2, None], w[k, None], None, ConvGeometry.make((2,)))
        np.testing.assert_array_equal(y[:, k, None], alone)


def test_flip_turns_every_spatial_axis_and_no_other():
    w = integers(8, 2, 3, 2, 3, 4)
    turned = reference.flip(w)
    for at in np.ndindex(w.shape):
        k, c, i, j, h = at
        assert turned[k, c, 1 - i, 2 - j, 3 - h] == w[at]


def test_an_empty_batch_gives_an_empty_result():
    geometry = ConvGeometry.make((3,), padding=1)
    assert reference.conv(np.zeros((0, 2, 5)), np.zeros((4, 2, 3)), None, geometry).shape == (0, 4, 5)
    pool = PoolGeometry.make(2, rank=1)
    y, indices = reference.max_pool(np.zeros((0, 2, 5)), pool)
    assert y.shape == indices.shape == reference.avg_pool(np.zeros((0, 2, 5)), pool).shape == (0, 2, 2)
    assert reference.max_pool_backward(y, indices, (5,)).shape == reference.avg_pool_backward(y, pool, (5,)).shape == (0, 2, 5)


def test_everything_is_computed_in_float64():
    x = np.full((1, 1, 2), 2.0**-12, np.float16)
    y = reference.conv(x, np.ones((1, 1, 2), np.float32), np.array([1.0], np.float32), ConvGeometry.make((2,)))
    assert y.dtype == np.float64 and y.item() == 1 + 2.0**-11
    assert reference.relu(np.float32([1])).dtype == np.float64
    assert reference.max_pool(np.ones((1, 1, 2), np.float32), PoolGeometry.make(2, rank=1))[1].dtype == np.int32


# --- Pooling -------------------------------------------------------------------------------------------------------

# (input size, keywords of PoolGeometry.make)
POOLS = [
    ((7,), {"kernel": 2}),
    ((7,), {"kernel": 2, "ceil_mode": True}),
    ((3,), {"kernel": 2, "stride": 2, "padding": 1, "ceil_mode": True}),
    ((6,), {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ((9,), {"kernel": 3, "stride": 2, "padding": ((0, 1),), "dilation": 2, "ceil_mode": True}),
    ((5, 6), {"kernel": (3, 2), "stride": (1, 3), "padding": (1, 0)}),
    ((5, 6), {"kernel": 3, "stride": 2, "padding": "same"}),
    ((6, 5), {"kernel": (4, 3), "stride": (3, 2), "padding": ((2, 1), (0, 1)), "ceil_mode": True}),
    ((4, 5), {"kernel": 2, "stride": 3, "dilation": (1, 3)}),
    ((3, 4, 5), {"kernel": 2, "stride": (1, 2, 2), "padding": (0, 1, 1), "ceil_mode": True}),
]


@pytest.fixture(params=POOLS, ids=lambda case: f"{case[0]}-{case[1]}")
def pool(request):
    size, keywords = request.param
    return size, PoolGeometry.make(**keywords, rank=len(size), input_size=size)


def windows(size, geometry: PoolGeometry):
    """For every output: its index and the list of positions its window meets, those outside the input included."""
    for at in np.ndindex(*geometry.output_size(size)):
        axes = [
            [o * s - begin + r * d for r in range(m)]
            for o, s, (begin, _), m, d in zip(at, geometry.stride, geometry.padding, geometry.kernel, geometry.dilation, strict=True)
        ]
        yield at, list(itertools.product(*axes))


def inside(position, size) -> bool:
    return all(0 <= i < n for i, n in zip(position, size, strict=True))


def test_max_pool_and_gradient_are_the_definition(pool):
    size, geometry = pool
    x = np.round(reals(9, 2, 2, *size))  # many equal elements
    y, indices = reference.max_pool(x, geometry)
    dy = integers(10, *y.shape)
    dx = np.zeros_like(x)
    for n, c in np.ndindex(2, 2):
        for at, positions in windows(size, geometry):
            candidates = [p for p in positions if inside(p, size)]
            first = max(candidates, key=lambda p: x[(n, c, *p)])  # max keeps the first of equals
            assert y[(n, c, *at)] == x[(n, c, *first)]
            assert indices[(n, c, *at)] == np.ravel_multi_index(first, size)
            dx[(n, c, *first)] += dy[(n, c, *at)]
    np.testing.assert_array_equal(reference.max_pool_backward(dy, indices, size), dx)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("divisor_override", [None, 4])
def test_avg_pool_and_gradient_are_the_definition(pool, count_include_pad, divisor_override):
    size, geometry = pool
    x = integers(11, 2, 2, *size)
    y = np.zeros((2, 2, *geometry.output_size(size)))
    dy, dx = integers(12, *y.shape), np.zeros_like(x)
    for at, positions in windows(size, geometry):
        padded = [p for p in positions if all(i < n + end for i, n, (_, end) in zip(p, size, geometry.padding, strict=True))]
        candidates = [p for p in positions if inside(p, size)]
        divisor = divisor_override or (len(padded) if count_include_pad else len(candidates))
        for p in candidates:
            y[(..., *at)] += x[(..., *p)] / divisor
            dx[(..., *p)] += dy[(..., *at)] / divisor
    np.testing.assert_allclose(reference.avg_pool(x, geometry, count_include_pad, divisor_override), y, rtol=1e-14, atol=1e-13)
    gradient = reference.avg_pool_backward(dy, geometry, size, count_include_pad, divisor_override)
    np.testing.assert_allclose(gradient, dx, rtol=1e-14, atol=1e-13)


def test_avg_pool_divisors_by_hand():
    x = [[[1, 2, 3, 4, 5, 6]]]
    hanging = PoolGeometry.make(3, 2, ceil_mode=True, rank=1)
    np.testing.assert_array_equal(reference.avg_pool(x, hanging), [[[2, 4, 5.5]]])  # the part that ceil_mode adds never counts
    padded = PoolGeometry.make(3, 2, 1, ceil_mode=True, rank=1)
    np.testing.assert_array_equal(reference.avg_pool(x, padded), [[[1, 3, 5, 3]]])  # the padding does
    np.testing.assert_array_equal(reference.avg_pool(x, padded, count_include_pad=False), [[[1.5, 3, 5, 6]]])
    np.testing.assert_array_equal(reference.avg_pool(x, padded, divisor_override=2), [[[1.5, 4.5, 7.5, 3]]])
    one_sided = PoolGeometry.make(2, 1, ((0, 1),), rank=1)
    np.testing.assert_array_equal(reference.avg_pool(x, one_sided), [[[1.5, 2.5, 3.5, 4.5, 5.5, 3]]])


def test_padding_never_wins_a_maximum():
    y, indices = reference.max_pool([[[-5, -7, -6]]], PoolGeometry.make(3, 1, 1, rank=1))
    np.testing.assert_array_equal(y, [[[-5, -5, -6]]])
    np.testing.assert_array_equal(indices, [[[0, 0, 2]]])


def test_a_window_of_minus_infinity_has_its_first_element_as_index():
    y, indices = reference.max_pool(np.full((1, 1, 3, 3), -INF), PoolGeometry.make(2, 2, 1, rank=2))
    assert np.all(y == -INF)
    np.testing.assert_array_equal(indices, [[[[0, 1], [3, 4]]]])


def test_nan_wins_a_maximum_and_the_last_one_is_named():
    x = [[[1, NAN, 9, 2, NAN, NAN, 3, INF]]]
    y, indices = reference.max_pool(x, PoolGeometry.make(2, rank=1))
    np.testing.assert_array_equal(y, [[[NAN, 9, NAN, INF]]])
    np.testing.assert_array_equal(indices, [[[1, 2, 5, 7]]])
    y, indices = reference.max_pool(x, PoolGeometry.make(8, rank=1))
    np.testing.assert_array_equal(y, [[[NAN]]])
    np.testing.assert_array_equal(indices, [[[5]]])


@pytest.mark.parametrize(("size", "outputs"), [((7,), (3,)), ((2,), (5,)), ((6, 5), (1, 1)), ((6, 5), (4, 5)), ((3, 4, 5), (2, 3, 1))])
def test_adaptive_pooling_and_gradient_are_the_definition(size, outputs):
    x, dy = reals(13, 2, 2, *size), reals(14, 2, 2, *outputs)
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    for at in np.ndindex(*outputs):
        bounds = [adaptive_window(n, o, i) for n, o, i in zip(size, outputs, at, strict=True)]
        positions = list(itertools.product(*(range(start, end) for start, end in bounds)))
        for p in positions:
            y[(..., *at)] += x[(..., *p)] / len(positions)
            dx[(..., *p)] += dy[(..., *at)] / len(positions)
    np.testing.assert_allclose(reference.adaptive_avg_pool(x, outputs), y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(reference.adaptive_avg_pool_backward(dy, size), dx, rtol=1e-12, atol=1e-14)


# --- Random numbers and helpers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known answers published with Random123
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_known_answers(counter, key, expected):
    words = reference.philox4x32(*(np.array([int(word, 16) for word in text.split()], np.uint32) for text in (counter, key)))
    assert words.dtype == np.uint32
    assert " ".join(f"{word:08x}" for word in words) == expected


def test_philox_of_many_counters_is_philox_of_each():
    counters = np.random.default_rng(36).integers(0, 2**32, (3, 5, 4), dtype=np.uint32)
    words = reference.philox4x32(counters, [1, 2])
    for at in np.ndindex(3, 5):
        np.testing.assert_array_equal(words[at], reference.philox4x32(counters[at], [1, 2]))


def test_dropout_mask_draws_the_words_it_says():
    seed, step, p = (5 << 32) + 3, 9, 0.4
    mask = reference.dropout_mask((3, 4), p, seed, step)
    for i in range(12):
        word = int(reference.philox4x32([i, 0, step, 0], [3, 5])[0])
        assert mask.flat[i] == (1 / 0.6 if (word >> 8) / 2**24 >= 0.4 else 0)
        exactly = (word >> 8) / 2**24  # a draw equal to p is kept
        assert reference.dropout_mask((3, 4), exactly, seed, step).flat[i] > 0


def test_dropout_mask_statistics_and_ends():
    mask = reference.dropout_mask((100, 200), 0.25, 1)
    assert set(np.unique(mask)) == {0.0, 1 / 0.75}
    # 20000 draws: five standard deviations of the share that is dropped are 5 * sqrt(0.25 * 0.75 / 20000).
    assert abs((mask == 0).mean() - 0.25) < 0.0154
    assert not np.array_equal(mask, reference.dropout_mask((100, 200), 0.25, 2))
    assert not np.array_equal(mask, reference.dropout_mask((100, 200), 0.25, 1, step=1))
    np.testing.assert_array_equal(reference.dropout_mask((7,), 0.0, 3), np.ones(7))
    np.testing.assert_array_equal(reference.dropout_mask((7,), 1.0, 3), np.zeros(7))
    assert reference.dropout_mask((0, 3), 0.5, 3).shape == (0, 3)


def test_central_difference_leaves_its_argument_alone():
    x = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(reference.central_difference(lambda v: float(v[0, 0] * v[0, 1] ** 2), x), [[4, 4]], rtol=1e-9)
    np.testing.assert_array_equal(x, [[1, 2]])
