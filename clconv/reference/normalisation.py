"""Batch normalisation (Ioffe and Szegedy 2015) and local response normalisation (Krizhevsky et al. 2012), with their gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clconv.reference.arrays import F64, f64, per_channel


def _others(x: F64) -> tuple[int, ...]:
    """Every axis but the channels'."""
    return (0, *range(2, x.ndim))


def batch_norm(x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, mean: ArrayLike, var: ArrayLike, eps: float = 1e-5) -> F64:
    """gamma (x - mean) / sqrt(var + eps) + beta with given statistics; x (N, C, *), the rest (C,).

    >>> batch_norm([[5.0]], [2.0], [1.0], [3.0], [4.0], eps=0.0)
    array([[3.]])
    """
    x = f64(x)
    centred = x - per_channel(mean, x.ndim)
    return centred * per_channel(f64(gamma) / np.sqrt(f64(var) + eps), x.ndim) + per_channel(beta, x.ndim)


def batch_norm_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike, mean: ArrayLike, var: ArrayLike, eps: float = 1e-5
) -> tuple[F64, F64, F64]:
    """(dx, dgamma, dbeta) of `batch_norm`, whose statistics are constants."""
    dy, x = f64(dy), f64(x)
    scale = per_channel(1.0 / np.sqrt(f64(var) + eps), x.ndim)
    normalised = (x - per_channel(mean, x.ndim)) * scale
    return dy * scale * per_channel(gamma, x.ndim), (dy * normalised).sum(_others(x)), dy.sum(_others(x))


def batch_norm_train(x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, eps: float = 1e-5) -> tuple[F64, F64, F64]:
    """(y, mean, biased variance): `batch_norm` with the statistics of the batch itself.

    >>> y, mean, var = batch_norm_train([[1.0], [3.0]], [1.0], [0.0], eps=0.0)
    >>> y.ravel(), mean, var
    (array([-1.,  1.]), array([2.]), array([1.]))
    """
    x = f64(x)
    mean = x.mean(_others(x))
    var = ((x - per_channel(mean, x.ndim)) ** 2).mean(_others(x))
    return batch_norm(x, gamma, beta, mean, var, eps), mean, var


def batch_norm_train_backward(dy: ArrayLike, x: ArrayLike, gamma: ArrayLike, eps: float = 1e-5) -> tuple[F64, F64, F64]:
    """(dx, dgamma, dbeta) of `batch_norm_train`: the mean and variance depend on x, so both of their gradients are projected out."""
    dy, x = f64(dy), f64(x)
    ones = np.ones(x.shape[1])
    normalised, _, var = batch_norm_train(x, ones, 0.0 * ones, eps)
    dgamma, dbeta = (dy * normalised).sum(_others(x)), dy.sum(_others(x))
    count = x.size // x.shape[1]
    residue = dy - per_channel(dbeta / count, x.ndim) - normalised * per_channel(dgamma / count, x.ndim)
    return residue * per_channel(f64(gamma) / np.sqrt(var + eps), x.ndim), dgamma, dbeta


def _channel_window_sum(x: F64, before: int, after: int) -> F64:
    """out[:, c] = sum of x[:, c - before .. c + after], with zeros beyond the channels."""
    channels = x.shape[1]
    out = np.zeros_like(x)
    for c in range(channels):
        out[:, c] = x[:, max(0, c - before) : min(channels, c + after + 1)].sum(axis=1)
    return out


def local_response_norm(x: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> F64:
    """x / (k + alpha / size sum of x^2 over `size` neighbouring channels)^beta, zeros beyond the ends, as torch; x (N, C, *).

    The window of channel c is c - size // 2 .. c + (size - 1) // 2.

    >>> local_response_norm([[[3.0], [4.0]]], size=2, alpha=2.0, beta=1.0, k=0.0).ravel()
    array([0.33333333, 0.16      ])
    """
    x = f64(x)
    return x / (k + alpha / size * _channel_window_sum(x**2, size // 2, (size - 1) // 2)) ** beta


def local_response_norm_backward(dy: ArrayLike, x: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> F64:
    """The gradient of `local_response_norm`: channel j gets back from every channel whose window holds it, so the window is mirrored."""
    dy, x = f64(dy), f64(x)
    base = k + alpha / size * _channel_window_sum(x**2, size // 2, (size - 1) // 2)
    back = _channel_window_sum(dy * x * base ** (-beta - 1.0), (size - 1) // 2, size // 2)
    return dy * base**-beta - 2.0 * alpha * beta / size * x * back


def layer_norm(x: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-5) -> F64:
    """weight (x - mean) / sqrt(var + eps) + bias with mean and biased variance over the last axes, those of weight; Ba et al. 2016.

    >>> layer_norm([[1.0, 3.0]], [2.0, 2.0], [0.0, 1.0], eps=0.0)
    array([[-2.,  3.]])
    """
    x, weight = f64(x), f64(weight)
    axes = tuple(range(x.ndim - weight.ndim, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps) * weight + f64(bias)


def group_norm(x: ArrayLike, groups: int, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-5) -> F64:
    """`layer_norm` of each group of channels, weight and bias by channel; x (N, C, *); Wu and He 2018."""
    x = f64(x)
    y = np.empty_like(x)
    size = x.shape[1] // groups
    for c in range(0, x.shape[1], size):
        part = x[:, c : c + size]
        y[:, c : c + size] = layer_norm(part, np.ones(part.shape[1:]), np.zeros(part.shape[1:]), eps)
    return y * per_channel(weight, x.ndim) + per_channel(bias, x.ndim)


def rms_norm(x: ArrayLike, weight: ArrayLike, eps: float) -> F64:
    """weight x / sqrt(mean of x^2 + eps), the mean over the last axes, those of weight; Zhang and Sennrich 2019.

    >>> rms_norm([[3.0, 4.0, 0.0, 0.0]], [1.0, 1.0, 1.0, 1.0], 0.0)
    array([[1.2, 1.6, 0. , 0. ]])
    """
    x, weight = f64(x), f64(weight)
    axes = tuple(range(x.ndim - weight.ndim, x.ndim))
    return x / np.sqrt((x**2).mean(axes, keepdims=True) + eps) * weight
