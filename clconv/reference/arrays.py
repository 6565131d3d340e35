"""What every part of the oracle shares: float64 arrays, strided windows and numerical gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clconv.geometry import Size

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
Index = tuple[Any, ...]


def f64(x: ArrayLike) -> F64:
    """`x` as a float64 array."""
    return np.asarray(x, np.float64)


def taps_at(tap: Size, outputs: Size, stride: Size, dilation: Size) -> Index:
    """The part of an array (..., *padded) that kernel element `tap` meets: positions o s + r d for o in range(outputs), per axis."""
    axes = zip(tap, outputs, stride, dilation, strict=True)
    return (..., *(slice(r * d, r * d + (o - 1) * s + 1, s) for r, o, s, d in axes))


def per_channel(v: ArrayLike, rank: int) -> F64:
    """A vector over channels, shaped to broadcast against an array of `rank` axes with channels second."""
    return f64(v).reshape((1, -1) + (1,) * (rank - 2))


def central_difference(f: Callable[[F64], float], x: ArrayLike, eps: float = 1e-5) -> F64:
    """The gradient of the scalar function `f` at `x`, element by element: (f(x + eps) - f(x - eps)) / (2 eps).

    >>> central_difference(lambda v: float(np.sum(v**2)), [1.0, -3.0]).round(6)
    array([ 2., -6.])
    """
    at = f64(x).copy()
    out = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        middle = at[i]
        at[i] = middle + eps
        above = f(at)
        at[i] = middle - eps
        below = f(at)
        at[i] = middle
        out[i] = (above - below) / (2 * eps)
    return out
