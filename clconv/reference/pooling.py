"""Maximum and mean pooling with torch's rules for padding, ceil_mode, NaN and divisors, and their gradients."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clconv.geometry import PoolGeometry, Size, adaptive_window
from clconv.reference.arrays import F64, I32, Index, f64


def _positions(geometry: PoolGeometry, outputs: Size, tap: Size) -> list[np.ndarray]:
    """Input position that window element `tap` meets in every window, one broadcasting array an axis; may lie outside."""
    grids = np.ix_(*(np.arange(o) for o in outputs))
    axes = zip(grids, geometry.stride, geometry.padding, tap, geometry.dilation, strict=True)
    return [grid * s - a + r * d for grid, s, (a, _), r, d in axes]


def _within(positions: list[np.ndarray], limits: Size) -> np.ndarray:
    """Which windows' element lies in [0, limit) on every axis, a boolean array over the outputs."""
    flags = [(position >= 0) & (position < limit) for position, limit in zip(positions, limits, strict=True)]
    return math.prod(flags[1:], start=flags[0])


def _flat(positions: list[np.ndarray], size: Size) -> np.ndarray:
    """Position in the flattened input plane, clipped into it."""
    clipped = np.broadcast_arrays(*(np.clip(position, 0, n - 1) for position, n in zip(positions, size, strict=True)))
    return np.ravel_multi_index(tuple(clipped), size)


def max_pool(x: ArrayLike, geometry: PoolGeometry) -> tuple[F64, I32]:
    """The largest element of every window and its flat position in the input plane; x (N, C, *) -> two arrays (N, C, *outputs).

    Padding never wins. The first of equal elements wins; an all -inf window gives -inf and its first element inside. NaN propagates, and
    of several NaN the last one's position is given, as in torch.

    >>> y, indices = max_pool([[[1, 3, 2, 5]]], PoolGeometry.make(2, rank=1))
    >>> y, indices
    (array([[[3., 5.]]]), array([[[1, 3]]], dtype=int32))
    """
    x = f64(x)
    size = x.shape[2:]
    outputs = geometry.output_size(size)
    plane = x.reshape(*x.shape[:2], math.prod(size))
    best = np.full(x.shape[:2] + outputs, -np.inf)
    indices = np.full(best.shape, -1)
    for tap in np.ndindex(*geometry.kernel):
        positions = _positions(geometry, outputs, tap)
        flat = _flat(positions, size)
        value = plane[..., flat]
        better = np.isnan(value) | (value > best) | (indices < 0)
        better &= _within(positions, size)
        best = np.where(better, value, best)
        indices = np.where(better, flat, indices)
    return best, indices.astype(np.int32)


def max_pool_backward(dy: ArrayLike, indices: ArrayLike, input_size: Size) -> F64:
    """Every gradient goes to the element that won: dy and indices (N, C, *outputs) -> (N, C, *input_size).

    >>> max_pool_backward([[[10, 20]]], [[[1, 1]]], (3,))
    array([[[ 0., 30.,  0.]]])
    """
    dy, where = f64(dy), np.asarray(indices)
    planes, outputs = dy.shape[0] * dy.shape[1], math.prod(dy.shape[2:])
    dx = np.zeros((planes, math.prod(input_size)))
    rows = np.arange(planes)[:, None]
    np.add.at(dx, (rows, where.reshape(planes, outputs)), dy.reshape(planes, outputs))
    return dx.reshape(*dy.shape[:2], *input_size)


def _divisors(geometry: PoolGeometry, size: Size, count_include_pad: bool, divisor_override: int | None) -> F64:
    """What every window's sum is divided by: its elements in the input, or up to the end of the padding, not beyond."""
    outputs = geometry.output_size(size)
    if divisor_override is not None:
        return np.full(outputs, float(divisor_override))
    count = np.zeros(outputs)
    for tap in np.ndindex(*geometry.kernel):
        positions = _positions(geometry, outputs, tap)
        if count_include_pad:
            shifted = [position + a for position, (a, _) in zip(positions, geometry.padding, strict=True)]
            count += _within(shifted, tuple(a + n + b for n, (a, b) in zip(size, geometry.padding, strict=True)))
        else:
            count += _within(positions, size)
    return count


def avg_pool(x: ArrayLike, geometry: PoolGeometry, count_include_pad: bool = True, divisor_override: int | None = None) -> F64:
    """The mean of every window; x (N, C, *) -> (N, C, *outputs).

    >>> avg_pool([[[2, 4, 6]]], PoolGeometry.make(2, stride=2, ceil_mode=True, rank=1))
    array([[[3., 6.]]])
    """
    x = f64(x)
    size = x.shape[2:]
    outputs = geometry.output_size(size)
    plane = x.reshape(*x.shape[:2], math.prod(size))
    total = np.zeros(x.shape[:2] + outputs)
    for tap in np.ndindex(*geometry.kernel):
        positions = _positions(geometry, outputs, tap)
        total += np.where(_within(positions, size), plane[..., _flat(positions, size)], 0.0)
    return total / _divisors(geometry, size, count_include_pad, divisor_override)


def avg_pool_backward(
    dy: ArrayLike, geometry: PoolGeometry, input_size: Size, count_include_pad: bool = True, divisor_override: int | None = None
) -> F64:
    """Every element of a window receives its share of the gradient: dy (N, C, *outputs) -> (N, C, *input_size).

    >>> avg_pool_backward([[[2, 8]]], PoolGeometry.make(2, rank=1), (4,))
    array([[[1., 1., 4., 4.]]])
    """
    dy = f64(dy)
    outputs = dy.shape[2:]
    share = dy / _divisors(geometry, input_size, count_include_pad, divisor_override)
    dx = np.zeros((*dy.shape[:2], math.prod(input_size)))
    for tap in np.ndindex(*geometry.kernel):
        positions = _positions(geometry, outputs, tap)
        inside = _within(positions, input_size)
        where: Index = (..., _flat(positions, input_size)[inside])
        np.add.at(dx, where, share[..., inside])
    return dx.reshape(*dy.shape[:2], *input_size)


def _adaptive_window(size: Size, outputs: Size, at: Size) -> Index:
    return (..., *(slice(*adaptive_window(n, o, i)) for n, o, i in zip(size, outputs, at, strict=True)))


def adaptive_avg_pool(x: ArrayLike, output_size: Size) -> F64:
    """The means of `output_size` windows that cover the input, neighbours overlapping where sizes do not divide; x (N, C, *).

    >>> adaptive_avg_pool([[[1, 2, 3]]], (2,))
    array([[[1.5, 2.5]]])
    """
    x = f64(x)
    y = np.zeros(x.shape[:2] + tuple(output_size))
    spatial = tuple(range(2, x.ndim))
    for at in np.ndindex(*output_size):
        y[(..., *at)] = x[_adaptive_window(x.shape[2:], output_size, at)].mean(axis=spatial)
    return y


def adaptive_avg_pool_backward(dy: ArrayLike, input_size: Size) -> F64:
    """The gradient of `adaptive_avg_pool`: dy (N, C, *outputs) -> (N, C, *input_size).

    >>> adaptive_avg_pool_backward([[[2, 4]]], (3,))
    array([[[1., 3., 2.]]])
    """
    dy = f64(dy)
    dx = np.zeros(dy.shape[:2] + tuple(input_size))
    spatial = tuple(range(2, dy.ndim))
    for at in np.ndindex(*dy.shape[2:]):
        window = dx[_adaptive_window(input_size, dy.shape[2:], at)]
        window += np.expand_dims(dy[(..., *at)], spatial) / math.prod(window.shape[2:])
    return dx
