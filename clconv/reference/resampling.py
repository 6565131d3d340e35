"""Resizing and unpooling, element by element from their definitions, with torch's rules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from clconv.geometry import PoolGeometry, Size, adaptive_window
from clconv.reference.arrays import F64, Index, f64
from clconv.reference.pooling import avg_pool

CUBIC = -0.75


def interpolate(x: ArrayLike, size: Size, mode: str = "nearest", align_corners: bool = False, scales: Sequence[float] | None = None) -> F64:
    """x (N, C, *) resized axis by axis; mode "nearest", "linear" or "cubic" along each; `scales` where they are not size / input.

    >>> interpolate([[[1, 2]]], (4,))
    array([[[1., 1., 2., 2.]]])
    >>> interpolate([[[0, 4]]], (4,), "linear")
    array([[[0., 1., 3., 4.]]])
    """
    y = f64(x)
    for axis, out in enumerate(size, 2):
        n = y.shape[axis]
        scale = out / n if scales is None else scales[axis - 2]
        y = np.stack([_between(y, axis, *_place(i, n, out, scale, mode, align_corners), mode) for i in range(out)], axis)
    return y


def _place(i: int, n: int, out: int, scale: float, mode: str, align_corners: bool) -> tuple[int, float]:
    """The element before result `i`, and how far behind it the result lies."""
    if mode == "nearest":
        return min(n - 1, math.floor(i / scale)), 0.0
    at = (i * (n - 1) / (out - 1) if out > 1 else 0.0) if align_corners else (i + 0.5) / scale - 0.5
    return math.floor(at), at - math.floor(at)


def _between(y: F64, axis: int, before: int, share: float, mode: str) -> F64:
    def element(k: int) -> F64:
        return np.take(y, min(max(k, 0), y.shape[axis] - 1), axis)

    if mode == "nearest":
        return element(before)
    if mode == "linear":
        return element(before) * (1 - share) + element(before + 1) * share
    total: F64 = np.zeros_like(element(0))
    for k in range(before - 1, before + 3):
        d = abs(k - before - share)
        if d <= 1:
            weight = (CUBIC + 2) * d**3 - (CUBIC + 3) * d**2 + 1
        else:
            weight = CUBIC * d**3 - 5 * CUBIC * d**2 + 8 * CUBIC * d - 4 * CUBIC
        total = total + weight * element(k)
    return total


def max_unpool(x: ArrayLike, indices: ArrayLike, size: Size) -> F64:
    """Elements to the flat positions `indices` of planes of `size`; the last of several stays, positions outside are left out.

    >>> max_unpool([[[5, 7]]], [[[2, 0]]], (4,))
    array([[[7., 0., 5., 0.]]])
    """
    x, where = f64(x), np.asarray(indices)
    y = np.zeros((*x.shape[:2], math.prod(size)))
    for n, c in np.ndindex(*x.shape[:2]):
        for value, at in zip(x[n, c].flat, where[n, c].flat, strict=True):
            if 0 <= at < y.shape[2]:
                y[n, c, at] = value
    return y.reshape(*x.shape[:2], *size)


def adaptive_max_pool(x: ArrayLike, outputs: Size) -> F64:
    """The maximum over windows floor(i n / o) .. ceil((i + 1) n / o).

    >>> adaptive_max_pool([[[1, 5, 2]]], (2,))
    array([[[5., 5.]]])
    """
    x = f64(x)
    y = np.zeros((*x.shape[:2], *outputs))
    for index in np.ndindex(*outputs):
        spans: Index = tuple(slice(*adaptive_window(n, o, i)) for n, o, i in zip(x.shape[2:], outputs, index, strict=True))
        y[(..., *index)] = x[(..., *spans)].reshape(*x.shape[:2], -1).max(axis=-1)
    return y


def lp_pool(x: ArrayLike, p: float, geometry: PoolGeometry) -> F64:
    """The p-th root of the sum of x^p over windows."""
    return np.asarray(avg_pool(f64(x) ** p, geometry, divisor_override=1) ** (1.0 / p))


def instance_norm(x: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-5) -> F64:
    """weight (x - mean) / sqrt(var + eps) + bias, mean and variance of each plane; Ulyanov et al. 2016."""
    x = f64(x)
    axes, shape = tuple(range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps) * f64(weight).reshape(shape) + f64(bias).reshape(shape)
