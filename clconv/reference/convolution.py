"""Convolution (as networks call cross-correlation), its two gradients and its transpose, for 1 to 3 spatial axes.

All four walk the same relation: output position o and kernel element r meet input position o s + r d - begin, per axis.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clconv.geometry import ConvGeometry, Size
from clconv.reference.arrays import F64, Index, f64, per_channel, taps_at


def _padded_size(geometry: ConvGeometry, size: Size, outputs: Size) -> Size:
    """Spatial size of the input with its padding, and with whatever else the last window reaches (only a transpose's inputs can)."""
    return tuple(
        max(n + a + b, (o - 1) * s + m)
        for n, (a, b), o, s, m in zip(size, geometry.padding, outputs, geometry.stride, geometry.effective_kernel, strict=True)
    )


def _inside(geometry: ConvGeometry, size: Size) -> Index:
    """Where the input itself lies in its padded copy."""
    return (..., *(slice(a, a + n) for n, (a, _) in zip(size, geometry.padding, strict=True)))


def _padded(x: F64, geometry: ConvGeometry, outputs: Size) -> F64:
    out = np.zeros(x.shape[:2] + _padded_size(geometry, x.shape[2:], outputs))
    out[_inside(geometry, x.shape[2:])] = x
    return out


def flip(w: ArrayLike) -> F64:
    """`w` (K, C, *kernel) turned by 180 degrees on every spatial axis: cross-correlation with it is true convolution with `w`.

    >>> flip([[[1, 2, 3]]])
    array([[[3., 2., 1.]]])
    """
    w = f64(w)
    return np.flip(w, tuple(range(2, w.ndim)))


def conv(x: ArrayLike, w: ArrayLike, b: ArrayLike | None, geometry: ConvGeometry) -> F64:
    """y[n, k, o] = b[k] + sum over c, r of w[k, c, r] x[n, c, o s + r d - begin]; x (N, C, *), w (K, C / groups, *kernel), b (K,).

    >>> conv([[[1, 2, 3]]], [[[1, 1]]], [10], ConvGeometry.make((2,), padding=1))
    array([[[11., 13., 15., 13.]]])
    """
    x, w, g = f64(x), f64(w), geometry.groups
    outputs = geometry.output_size(x.shape[2:])
    batch, kernels, channels, points = x.shape[0], w.shape[0] // g, x.shape[1] // g, math.prod(outputs)
    padded = _padded(x, geometry, outputs)
    y = np.zeros((batch, g, kernels, points))
    for tap in np.ndindex(*geometry.kernel):
        seen = padded[taps_at(tap, outputs, geometry.stride, geometry.dilation)]
        y += w[(..., *tap)].reshape(g, kernels, channels) @ seen.reshape(batch, g, channels, points)
    out = y.reshape(batch, w.shape[0], *outputs)
    return out if b is None else out + per_channel(b, x.ndim)


def conv_backward_data(dy: ArrayLike, w: ArrayLike, geometry: ConvGeometry, input_size: Size) -> F64:
    """The gradient of `conv` with respect to x: dy (N, K, *outputs), w (K, C / groups, *kernel) -> (N, C, *input_size).

    >>> conv_backward_data([[[1, 10]]], [[[1, 2]]], ConvGeometry.make((2,)), (3,))
    array([[[ 1., 12., 20.]]])
    """
    dy, w, g = f64(dy), f64(w), geometry.groups
    outputs = dy.shape[2:]
    batch, kernels, channels, points = dy.shape[0], w.shape[0] // g, w.shape[1], math.prod(outputs)
    dx = np.zeros((batch, g * channels, *_padded_size(geometry, input_size, outputs)))
    grouped = dy.reshape(batch, g, kernels, points)
    for tap in np.ndindex(*geometry.kernel):
        spread = w[(..., *tap)].reshape(g, kernels, channels).transpose(0, 2, 1) @ grouped
        dx[taps_at(tap, outputs, geometry.stride, geometry.dilation)] += spread.reshape(batch, g * channels, *outputs)
    return dx[_inside(geometry, input_size)]


def conv_backward_weights(x: ArrayLike, dy: ArrayLike, geometry: ConvGeometry) -> F64:
    """The gradient of `conv` with respect to w: x (N, C, *), dy (N, K, *outputs) -> (K, C / groups, *kernel).

    >>> conv_backward_weights([[[1, 2, 3]]], [[[1, 10]]], ConvGeometry.make((2,)))
    array([[[21., 32.]]])
    """
    x, dy, g = f64(x), f64(dy), geometry.groups
    outputs = dy.shape[2:]
    batch, kernels, channels, points = x.shape[0], dy.shape[1] // g, x.shape[1] // g, math.prod(outputs)
    padded, grouped = _padded(x, geometry, outputs), dy.reshape(batch, g, kernels, points)
    dw = np.zeros((dy.shape[1], channels, *geometry.kernel))
    for tap in np.ndindex(*geometry.kernel):
        seen = padded[taps_at(tap, outputs, geometry.stride, geometry.dilation)].reshape(batch, g, channels, points)
        dw[(..., *tap)] = (grouped @ seen.transpose(0, 1, 3, 2)).sum(axis=0).reshape(dy.shape[1], channels)
    return dw


def conv_transpose(x: ArrayLike, w: ArrayLike, b: ArrayLike | None, geometry: ConvGeometry) -> F64:
    """The transpose of `conv` as an operation of its own: x (N, Cin, *), w (Cin, Cout / groups, *kernel), b (Cout,).

    >>> conv_transpose([[[1, 2]]], [[[1, 1, 1]]], None, ConvGeometry.make((3,), stride=2))
    array([[[1., 1., 3., 2., 2.]]])
    """
    x = f64(x)
    y = conv_backward_data(x, w, geometry, geometry.transposed_output_size(x.shape[2:]))
    return y if b is None else y + per_channel(b, x.ndim)
