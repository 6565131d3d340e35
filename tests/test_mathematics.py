"""The mathematics that the library implements, every line as a test named after it.

The numbers are whole, so sums are exact and two ways to the same result must agree bit for bit.
"""

from __future__ import annotations

import numpy as np
import pytest

import clconv.functional as F
from clconv import nn, reference
from clconv.geometry import ConvGeometry, effective_kernel
from clconv.graph.node import input_node
from clconv.nn import models
from clconv.tensor import TensorSpec
from tests.functional_support import exactly, send
from tests.support import integers

rng = np.random.default_rng(7)


def maps(*size: int) -> np.ndarray:
    """One image of one map of whole numbers: (1, 1, *size)."""
    return integers(rng, (1, 1, *size))


def output_length(n: int, m: int, stride: int = 1, padding: object = 0, dilation: int = 1) -> int:
    x, w = input_node("x", TensorSpec((1, 1, n))), input_node("w", TensorSpec((1, 1, m)))
    return F.conv1d(x, w, None, stride, padding, dilation).shape[2]


def turned(w: np.ndarray) -> np.ndarray:
    """`w` turned by 180 degrees: reversed on every spatial axis."""
    return np.ascontiguousarray(np.flip(w, tuple(range(2, w.ndim))))


def with_zeros(x: np.ndarray, step: int) -> np.ndarray:
    """`x` with step - 1 zeros between neighbours on every spatial axis."""
    out = np.zeros((*x.shape[:2], *(step * (n - 1) + 1 for n in x.shape[2:])), x.dtype)
    out[(..., *(slice(None, None, step),) * (x.ndim - 2))] = x
    return out


def matrix_1d(w: np.ndarray, n: int) -> np.ndarray:
    """The matrix C of the narrow 1-D cross-correlation z = C x: row t holds the kernel from column t on."""
    c = np.zeros((n - w.size + 1, n))
    for t in range(c.shape[0]):
        c[t, t : t + w.size] = w
    return c


def matrix_2d(w: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The same in 2-D over flattened images: element (i, j) of the output reads pixels (i + u, j + v)."""
    high, wide = rows - w.shape[0] + 1, columns - w.shape[1] + 1
    c = np.zeros((high, wide, rows, columns))
    for i in range(high):
        for j in range(wide):
            c[i, j, i : i + w.shape[0], j : j + w.shape[1]] = w
    return c.reshape(high * wide, rows * columns)


# Convolution


def test_convolution_in_one_dimension(queue):
    """y_t = sum_h w_h x_(t - h + 1), for every t where all of x is there."""
    x, w = maps(9), maps(3)
    expected = [sum(w[0, 0, h - 1] * x[0, 0, t - h] for h in range(1, 4)) for t in range(3, 10)]
    exactly(F.conv1d(send(queue, x), send(queue, w), flip_kernel=True), np.reshape(expected, (1, 1, 7)))


def test_convolution_in_two_dimensions(queue):
    """y_ij = sum_u sum_v w_uv x_(i - u + 1, j - v + 1)."""
    x, w = maps(6, 7), maps(2, 3)
    expected = np.zeros((1, 1, 5, 5))
    for i, j, u, v in np.ndindex(5, 5, 2, 3):
        expected[0, 0, i, j] += w[0, 0, u, v] * x[0, 0, i + 1 - u, j + 2 - v]
    exactly(F.conv2d(send(queue, x), send(queue, w), flip_kernel=True), expected)


def test_cross_correlation_in_two_dimensions(queue):
    """y_ij = sum_u sum_v w_uv x_(i + u - 1, j + v - 1): what networks call convolution; the kernel is not turned."""
    x, w = maps(6, 7), maps(2, 3)
    expected = np.zeros((1, 1, 5, 5))
    for i, j, u, v in np.ndindex(5, 5, 2, 3):
        expected[0, 0, i, j] += w[0, 0, u, v] * x[0, 0, i + u, j + v]
    exactly(F.conv2d(send(queue, x), send(queue, w)), expected)
    exactly(F.conv2d(send(queue, x), send(queue, turned(w)), flip_kernel=True), expected)


# Variants


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_output_sizes(m):
    """floor((n - m + 2 p) / s) + 1 outputs of n inputs, kernel m, stride s, zero padding p."""
    for n in range(m, 14):
        for s in (1, 2, 3, 4):
            for p in (0, 1, 2):
                starts = [t for t in range(-p, n + p) if (t + p) % s == 0 and t + m <= n + p]
                assert output_length(n, m, s, p) == (n - m + 2 * p) // s + 1 == len(starts)


@pytest.mark.parametrize("m", [1, 3, 4, 5])
def test_narrow_wide_and_same_convolution(m):
    """Narrow n - m + 1, wide n + m - 1, same n; same is p = (m - 1) / 2 where that is whole."""
    for n in range(m, 12):
        assert output_length(n, m) == output_length(n, m, padding="valid") == n - m + 1
        assert output_length(n, m, padding="full") == output_length(n, m, padding=m - 1) == n + m - 1
        assert output_length(n, m, padding="same") == n
        if m % 2:
            assert output_length(n, m, padding=(m - 1) // 2) == n


# Properties


@pytest.mark.parametrize(("one", "two"), [((5,), (3,)), ((3, 3), (2, 3))])
def test_wide_true_convolution_commutes(queue, one, two):
    """w * x = x * w."""
    convolve = F.conv1d if len(one) == 1 else F.conv2d
    x, w = send(queue, maps(*one)), send(queue, maps(*two))
    there = convolve(x, w, padding="full", flip_kernel=True)
    back = convolve(w, x, padding="full", flip_kernel=True)
    assert there.shape[2:] == tuple(n + m - 1 for n, m in zip(one, two, strict=True))
    exactly(there, back.get())


def test_derivative_by_the_kernel_is_the_cross_correlation_with_the_gradient(queue):
    """dL/dw = x (x) dL/dy for y = w (x) x; as y is linear in w, a step of 1 measures the derivative exactly."""
    x, w, dy = maps(4, 5), maps(2, 3), maps(3, 3)
    dw = F.conv2d_weight(send(queue, x), w.shape, send(queue, dy))
    exactly(dw, F.conv2d(send(queue, x), send(queue, dy)).get())
    measured = np.zeros(w.shape)
    for at in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[at] = 1
        measured[at] = np.sum((reference_conv(x, w + step) - reference_conv(x, w)) * dy)
    exactly(dw, measured)


def test_derivative_by_the_input_is_the_wide_convolution_of_the_gradient(queue):
    """dL/dx = the wide convolution of dL/dy with w: cross-correlation with w turned by 180 degrees, padding m - 1."""
    x, w, dy = maps(6, 5), maps(2, 3), maps(5, 3)
    dx = F.conv2d_input(x.shape, send(queue, w), send(queue, dy))
    exactly(dx, F.conv2d(send(queue, dy), send(queue, w), padding="full", flip_kernel=True).get())
    exactly(dx, F.conv2d(send(queue, dy), send(queue, turned(w)), padding=(1, 2)).get())
    measured = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = 1
        measured[at] = np.sum((reference_conv(x + step, w) - reference_conv(x, w)) * dy)
    exactly(dx, measured)


def reference_conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return reference.conv(x, w, None, ConvGeometry.make(w.shape[2:]))


def test_convolution_commutes_with_shifts(queue):
    """The convolution of a shifted image is the shifted convolution of the image."""
    x, w = np.zeros((1, 1, 14, 13), np.float32), send(queue, maps(3, 3))
    x[..., 4:9, 4:8] = integers(rng, (5, 4))
    before = F.conv2d(send(queue, x), w, padding=1).get()
    for shift in ((1, 0), (0, -2), (3, 2)):
        exactly(F.conv2d(send(queue, np.roll(x, shift, (2, 3))), w, padding=1), np.roll(before, shift, (2, 3)))


# In place of a fully connected layer


def test_a_layer_of_neurons_from_one_kernel_and_one_bias(queue):
    """n - m + 1 neurons of a 1-D layer from m weights and one bias: local connection and weight sharing."""
    n, m = 10, 3
    layer = nn.Conv1d(1, 1, m)
    assert layer.parameter_count() == m + 1
    a, w, b = maps(n), maps(m), np.array([3.0], np.float32)
    z = F.conv1d(send(queue, a), send(queue, w), send(queue, b))
    assert z.shape[2] == n - m + 1
    exactly(z, (matrix_1d(w[0, 0], n) @ a[0, 0] + b).reshape(1, 1, -1))
    assert (matrix_1d(np.ones(m), n) != 0).sum(axis=1).tolist() == [m] * (n - m + 1)


def test_input_maps_to_output_maps(queue):
    """Z^p = sum_d W^(p,d) (x) X^d + b^p and Y^p = f(Z^p), each W^(p,d) (x) X^d a convolution of its own."""
    images, kernels, biases = integers(rng, (1, 3, 5, 6)), integers(rng, (2, 3, 2, 3)), integers(rng, (2,))
    pairs = F.conv2d(send(queue, images.transpose(1, 0, 2, 3)), send(queue, kernels.reshape(6, 1, 2, 3))).get()
    expected = np.zeros((1, 2, 4, 4))
    for p in range(2):
        expected[0, p] = sum(pairs[d, p * 3 + d] for d in range(3)) + biases[p]
    z = F.conv2d(send(queue, images), send(queue, kernels), send(queue, biases))
    exactly(z, expected)
    y = F.conv2d(send(queue, images), send(queue, kernels), send(queue, biases), activation="relu")
    exactly(y, np.maximum(expected, 0))


@pytest.mark.parametrize(("maps_in", "maps_out", "kernel"), [(1, 6, (5, 5)), (3, 4, (2, 3)), (16, 33, (1, 1))])
def test_number_of_parameters(maps_in, maps_out, kernel):
    """P * D * (m * n) + P."""
    layer = nn.Conv2d(maps_in, maps_out, kernel)
    assert layer.parameter_count() == maps_out * maps_in * kernel[0] * kernel[1] + maps_out


def test_a_fully_connected_layer_equals_a_convolution(queue):
    """With a kernel as large as the image, and also with 1 x 1 kernels on one pixel."""
    x, w, b = integers(rng, (2, 3, 3, 3)), integers(rng, (6, 27)), integers(rng, (6,))
    full = F.linear(send(queue, x.reshape(2, 27)), send(queue, w), send(queue, b))
    convolved = F.conv2d(send(queue, x), send(queue, w.reshape(6, 3, 3, 3)), send(queue, b))
    exactly(full, x.reshape(2, 27) @ w.T + b)
    exactly(convolved, full.get().reshape(2, 6, 1, 1))
    pixel = F.conv2d(send(queue, x.reshape(2, 27, 1, 1)), send(queue, w.reshape(6, 27, 1, 1)), send(queue, b))
    exactly(pixel, full.get().reshape(2, 6, 1, 1))


# Pooling


def test_pooling_is_a_kernel_whose_operation_is_maximum_or_mean(queue):
    kernel, stride = (2, 2), (2, 2)
    x = integers(rng, (2, 3, 9, 8)) * kernel[0] * kernel[1]  # every sum divides by m n
    high, wide = ((n - m) // s + 1 for n, m, s in zip((9, 8), kernel, stride, strict=True))
    rows = [x[..., i * stride[0] : i * stride[0] + kernel[0], :] for i in range(high)]
    regions = np.array([[row[..., j * stride[1] : j * stride[1] + kernel[1]] for j in range(wide)] for row in rows])
    regions = regions.transpose(2, 3, 0, 1, 4, 5)
    exactly(F.max_pool2d(send(queue, x), kernel, stride), regions.max(axis=(4, 5)))
    exactly(F.avg_pool2d(send(queue, x), kernel, stride), regions.mean(axis=(4, 5)))


def test_mean_pooling_equals_a_depthwise_convolution_by_one_over_mn(queue):
    x, w = integers(rng, (2, 3, 9, 8)), np.full((3, 1, 2, 2), 1 / 4, np.float32)
    convolved = F.conv2d(send(queue, x), send(queue, w), stride=2, groups=3)
    exactly(F.avg_pool2d(send(queue, x), 2), convolved.get())


def test_max_pooling_is_invariant_to_small_shifts(queue):
    """A feature that stays inside its region leaves the pooled map as it was; one region further, the map moves by one."""
    x = np.zeros((1, 2, 12, 12), np.float32)
    x[..., 5:8:4, 1::4] = rng.integers(1, 9, (1, 2, 1, 3))
    before = F.max_pool2d(send(queue, x), 4).get()
    assert before.any()
    for shift in ((1, 0), (-1, 1), (0, 2), (2, -1)):
        exactly(F.max_pool2d(send(queue, np.roll(x, shift, (2, 3))), 4), before)
    exactly(F.max_pool2d(send(queue, np.roll(x, (4, 0), (2, 3))), 4), np.roll(before, 1, 2))


def test_pooling_leaves_fewer_parameters():
    """Maps shrunk by m x n need m n times fewer weights in the fully connected layer behind them."""
    x = input_node("x", TensorSpec((1, 6, 28, 28)))
    pooled = F.flatten(F.max_pool2d(x, 2), 1)
    assert nn.Linear(6 * 28 * 28, 10, bias=False).parameter_count() == 4 * nn.Linear(pooled.shape[1], 10, bias=False).parameter_count()


# Networks


def test_a_residual_unit_is_f_of_x_plus_x(queue):
    x, w = integers(rng, (1, 4, 5, 6)), integers(rng, (4, 4, 3, 3))
    fused = F.conv2d(send(queue, x), send(queue, w), padding="same", residual=send(queue, x))
    f = F.conv2d(send(queue, x), send(queue, w), padding="same")
    exactly(fused, f.get() + x)
    exactly(F.add(f, send(queue, x)), fused.get())


def test_inception_puts_kernels_of_several_sizes_side_by_side(queue):
    x = send(queue, integers(rng, (1, 2, 5, 6)))
    branches = [F.conv2d(x, send(queue, integers(rng, (k, 2, m, m))), padding="same") for k, m in ((3, 1), (4, 3))]
    joined = F.cat(branches, 1)
    assert joined.shape == (1, 7, 5, 6)
    exactly(joined, np.concatenate([branch.get() for branch in branches], axis=1))


def test_typical_networks():
    """Blocks of convolution, non-linearity and pooling, then fully connected layers: the seven layers of LeNet-5."""
    kinds = [type(layer).__name__ for layer in models.lenet5().children()]
    layers = [kind for kind in kinds if kind in ("Conv2d", "MaxPool2d", "Linear")]
    assert layers == ["Conv2d", "MaxPool2d", "Conv2d", "MaxPool2d", "Linear", "Linear", "Linear"]
    assert len(layers) == 7
    alexnet = [type(layer).__name__ for layer in models.alexnet().modules()]
    assert alexnet.count("Dropout") == 2 and alexnet.count("ReLU") == 7


# Transposed convolution


def test_convolution_is_the_matrix_c_and_transposed_convolution_its_transpose(queue):
    """z = C x and x' = C^T z with the explicit matrix C, in one and two dimensions."""
    x, w, z = maps(8), maps(3), maps(6)
    c = matrix_1d(w[0, 0], 8)
    exactly(F.conv1d(send(queue, x), send(queue, w)), (c @ x.ravel()).reshape(1, 1, 6))
    exactly(F.conv_transpose1d(send(queue, z), send(queue, w)), (c.T @ z.ravel()).reshape(1, 1, 8))
    x, w, z = maps(6, 5), maps(2, 3), maps(5, 3)
    c = matrix_2d(w[0, 0], 6, 5)
    exactly(F.conv2d(send(queue, x), send(queue, w)), (c @ x.ravel()).reshape(1, 1, 5, 3))
    exactly(F.conv_transpose2d(send(queue, z), send(queue, w)), (c.T @ z.ravel()).reshape(1, 1, 6, 5))


def test_transposed_convolution_is_the_wide_convolution_with_the_turned_kernel(queue):
    """rot180(w) (x) z with z padded by m - 1 on both ends: p inputs give p + m - 1 outputs."""
    z, w = maps(6), maps(3)
    x = F.conv_transpose1d(send(queue, z), send(queue, w))
    assert x.shape[2] == 6 + 3 - 1
    exactly(x, F.conv1d(send(queue, np.pad(z, ((0, 0), (0, 0), (2, 2)))), send(queue, turned(w))).get())
    z, w = maps(5, 3), maps(2, 3)
    expected = F.conv2d(send(queue, np.pad(z, ((0, 0), (0, 0), (1, 1), (2, 2)))), send(queue, turned(w)))
    exactly(F.conv_transpose2d(send(queue, z), send(queue, w)), expected.get())


def test_fractional_stride_inserts_zeros(queue):
    """Insert s - 1 zeros between inputs, pad m - 1, turn the kernel by 180 degrees, stride 1: s (p - 1) + m outputs."""
    z, w, s = maps(5), maps(3), 2
    wide = np.pad(with_zeros(z, s), ((0, 0), (0, 0), (2, 2)))
    x = F.conv_transpose1d(send(queue, z), send(queue, w), stride=s)
    assert x.shape[2] == s * (5 - 1) + 3
    exactly(x, F.conv1d(send(queue, wide), send(queue, turned(w))).get())
    z, w = maps(4, 3), maps(2, 3)
    wide = np.pad(with_zeros(z, s), ((0, 0), (0, 0), (1, 1), (2, 2)))
    expected = F.conv2d(send(queue, wide), send(queue, turned(w)))
    exactly(F.conv_transpose2d(send(queue, z), send(queue, w), stride=s), expected.get())


# Dilated convolution


def test_dilation_equals_a_kernel_with_zeros_inserted(queue):
    """d - 1 holes between kernel elements make the effective size m' = m + (m - 1)(d - 1)."""
    d = 2
    x, w = maps(11, 12), maps(2, 2)
    holes = with_zeros(w, d)
    assert holes.shape[2:] == effective_kernel((2, 2), (d, d)) == (2 + (d - 1), 2 + (d - 1))
    exactly(F.conv2d(send(queue, x), send(queue, w), dilation=d), F.conv2d(send(queue, x), send(queue, holes)).get())


def receptive_field(queue, layers) -> int:
    """How many of 40 inputs the output in the middle sees: an image for each input, with 1 there and 0 elsewhere."""
    out = layers(send(queue, np.eye(40)[:, None, :])).get()
    middle = out[:, 0, out.shape[2] // 2]
    seen = np.flatnonzero(middle)
    return int(seen[-1] - seen[0] + 1)


def test_receptive_field_grows(queue):
    """By larger kernels, more layers, pooling before the convolution, or dilation."""
    three, five = send(queue, np.ones((1, 1, 3))), send(queue, np.ones((1, 1, 5)))

    def stack(x, *dilations):
        for d in dilations:
            x = F.conv1d(x, three, dilation=d)
        return x

    assert receptive_field(queue, lambda x: F.conv1d(x, three)) == 3
    assert receptive_field(queue, lambda x: F.conv1d(x, five)) == 5
    assert receptive_field(queue, lambda x: stack(x, 1, 1)) == 5
    assert receptive_field(queue, lambda x: F.conv1d(F.avg_pool1d(x, 2), three)) == 6
    assert receptive_field(queue, lambda x: stack(x, 2)) == effective_kernel((3,), (2,))[0] == 5
    assert receptive_field(queue, lambda x: stack(x, 1, 2, 1)) == 1 + 2 * (1 + 2 + 1)
