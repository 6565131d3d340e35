"""Activations with their derivatives, matrix products and the fully connected layer. NaN in gives NaN out, everywhere.

Derivatives at a kink are torch's: relu and leaky_relu take the lower side at 0, elu takes alpha.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clconv.reference.arrays import F64, f64

_TANH_SCALE, _TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715
_erf = np.vectorize(math.erf, otypes=[np.float64])


def matmul(a: ArrayLike, b: ArrayLike) -> F64:
    """torch.matmul: c[..., i, j] = sum over k of a[..., i, k] b[..., k, j], leading axes broadcast; vectors as in torch.

    >>> matmul([[1, 2]], [[3], [4]])
    array([[11.]])
    """
    return np.asarray(f64(a) @ f64(b))


def matmul_backward(dy: ArrayLike, a: ArrayLike, b: ArrayLike) -> tuple[F64, F64]:
    """The gradients of `matmul` of matrices or batches of them: (dy b^T, a^T dy), summed over the axes that were broadcast."""
    dy, a, b = f64(dy), f64(a), f64(b)
    return _sum_to(dy @ b.swapaxes(-1, -2), a.shape), _sum_to(a.swapaxes(-1, -2) @ dy, b.shape)


def _sum_to(x: F64, shape: tuple[int, ...]) -> F64:
    """The transpose of broadcasting `shape` to the shape of `x`."""
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def linear(x: ArrayLike, w: ArrayLike, b: ArrayLike | None) -> F64:
    """y = x w^T + b; x (*, inputs), w (outputs, inputs), b (outputs,).

    >>> linear([[1, 2]], [[3, 4]], [100])
    array([[111.]])
    """
    y = f64(x) @ f64(w).T
    return np.asarray(y if b is None else y + f64(b))


def linear_backward(dy: ArrayLike, x: ArrayLike, w: ArrayLike) -> tuple[F64, F64, F64]:
    """(dx, dw, db) of `linear`; dy (*, outputs)."""
    dy, x, w = f64(dy), f64(x), f64(w)
    rows, seen = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ w, rows.T @ seen, rows.sum(axis=0)


def relu(x: ArrayLike) -> F64:
    """max(x, 0), with relu(NaN) = NaN."""
    x = f64(x)
    return np.where(x < 0, 0.0, x)


def relu_backward(dy: ArrayLike, x: ArrayLike) -> F64:
    """dy where x is above 0 (or NaN), else 0."""
    return np.where(f64(x) <= 0, 0.0, f64(dy))


def leaky_relu(x: ArrayLike, slope: float = 0.01) -> F64:
    """x where positive, else slope x.

    >>> leaky_relu([-2.0, 3.0], 0.5)
    array([-1.,  3.])
    """
    x = f64(x)
    return np.where(x < 0, x * slope, x)


def leaky_relu_backward(dy: ArrayLike, x: ArrayLike, slope: float = 0.01) -> F64:
    """dy where x is positive, else slope dy."""
    return np.where(f64(x) > 0, f64(dy), f64(dy) * slope)


def elu(x: ArrayLike, alpha: float = 1.0) -> F64:
    """x where positive, else alpha (exp(x) - 1); Clevert et al. 2016."""
    x = f64(x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def elu_backward(dy: ArrayLike, x: ArrayLike, alpha: float = 1.0) -> F64:
    """dy where x is positive, else dy alpha exp(x)."""
    x = f64(x)
    return f64(dy) * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0.0)))


def sigmoid(x: ArrayLike) -> F64:
    """1 / (1 + exp(-x)), from the side on which the exponential cannot overflow.

    >>> sigmoid([0.0, 1000.0])
    array([0.5, 1. ])
    """
    x = f64(x)
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def sigmoid_backward(dy: ArrayLike, x: ArrayLike) -> F64:
    """dy s (1 - s) with s = sigmoid(x)."""
    return f64(dy) * sigmoid(x) * sigmoid(-f64(x))


def tanh(x: ArrayLike) -> F64:
    """The hyperbolic tangent."""
    return np.tanh(f64(x))


def tanh_backward(dy: ArrayLike, x: ArrayLike) -> F64:
    """dy (1 - tanh(x)^2)."""
    return f64(dy) * (1.0 - np.tanh(f64(x)) ** 2)


def gelu(x: ArrayLike, approximate: Literal["none", "tanh"] = "none") -> F64:
    """x Phi(x) with the normal distribution's Phi, or its approximation by tanh; Hendrycks and Gimpel 2016.

    >>> gelu([0.0, 1.0]).round(4)
    array([0.    , 0.8413])
    """
    x = f64(x)
    with np.errstate(invalid="ignore"):  # an infinite x times 0 is NaN, as in torch
        if approximate == "tanh":
            return 0.5 * x * (1.0 + np.tanh(_TANH_SCALE * (x + _TANH_CUBIC * x**3)))
        return 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))


def gelu_backward(dy: ArrayLike, x: ArrayLike, approximate: Literal["none", "tanh"] = "none") -> F64:
    """dy (Phi(x) + x phi(x)), or the derivative of the approximation."""
    dy, x = f64(dy), f64(x)
    with np.errstate(invalid="ignore"):
        if approximate == "tanh":
            t = np.tanh(_TANH_SCALE * (x + _TANH_CUBIC * x**3))
            return dy * 0.5 * (1.0 + t + x * (1.0 - t**2) * _TANH_SCALE * (1.0 + 3.0 * _TANH_CUBIC * x**2))
        return dy * (0.5 * (1.0 + _erf(x / math.sqrt(2.0))) + x * np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi))


def silu(x: ArrayLike) -> F64:
    """x sigmoid(x)."""
    with np.errstate(invalid="ignore"):  # an infinite x times 0 is NaN, as in torch
        return f64(x) * sigmoid(x)


def silu_backward(dy: ArrayLike, x: ArrayLike) -> F64:
    """dy s (1 + x (1 - s)) with s = sigmoid(x)."""
    x = f64(x)
    with np.errstate(invalid="ignore"):
        return f64(dy) * sigmoid(x) * (1.0 + x * sigmoid(-x))


def hardsigmoid(x: ArrayLike) -> F64:
    """x / 6 + 1/2 between 0 and 1; Howard et al. 2019."""
    return np.clip(f64(x) / 6.0 + 0.5, 0.0, 1.0)


def hardswish(x: ArrayLike) -> F64:
    """x hardsigmoid(x)."""
    return f64(x) * hardsigmoid(x)


def activated(x: ArrayLike, name: str | None = None, *numbers: float) -> F64:
    """The activation that an epilogue calls `name`, with its numbers; None leaves x as it is.

    >>> activated([-1.0, 3.0, 9.0], "clip", 0.0, 6.0)
    array([0., 3., 6.])
    """
    if name is None:
        return f64(x)
    if name == "clip":
        least, most = numbers
        return np.clip(f64(x), least, most)
    if name == "leaky_relu":
        return leaky_relu(x, *numbers)
    return {"relu": relu, "hardswish": hardswish, "silu": silu}[name](x)


def selu(x: ArrayLike) -> F64:
    """Scaled ELU; Klambauer et al. 2017.

    >>> selu([1.0]).round(4)
    array([1.0507])
    """
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def celu(x: ArrayLike, alpha: float = 1.0) -> F64:
    """x where positive, else alpha (exp(x / alpha) - 1); Barron 2017."""
    return alpha * elu(f64(x) / alpha)


def softplus(x: ArrayLike) -> F64:
    """log(1 + exp(x)).

    >>> softplus([0.0, 1000.0]).round(4)
    array([6.931e-01, 1.000e+03])
    """
    return np.logaddexp(0.0, f64(x))


def softsign(x: ArrayLike) -> F64:
    """x / (1 + |x|)."""
    return f64(x) / (1.0 + np.abs(f64(x)))


def prelu(x: ArrayLike, weight: ArrayLike) -> F64:
    """x where positive, else weight x, a weight for all or for each channel; He et al. 2015."""
    x, slopes = f64(x), f64(weight).reshape(-1)
    return np.where(x < 0, x * slopes.reshape(-1, *(1,) * (x.ndim - 2)), x)


def erf(x: ArrayLike) -> F64:
    """The error function."""
    return np.asarray(_erf(f64(x)))
