"""Softmax, its logarithm, and the losses: cross entropy on class numbers and the mean squared error, with their gradients."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clconv.reference.arrays import F64, f64

Reduction = Literal["mean", "sum", "none"]


def softmax(x: ArrayLike, axis: int = 1) -> F64:
    """exp(x) / sum of exp(x) along `axis`.

    >>> softmax([[0.0, np.log(3.0)]])
    array([[0.25, 0.75]])
    """
    return np.exp(log_softmax(x, axis))


def softmax_backward(dy: ArrayLike, y: ArrayLike, axis: int = 1) -> F64:
    """y (dy - sum of dy y), from the output `y` of `softmax`."""
    dy, y = f64(dy), f64(y)
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def log_softmax(x: ArrayLike, axis: int = 1) -> F64:
    """x - log of the sum of exp(x) along `axis`; shifted by the maximum, so nothing overflows. A row of -inf alone gives NaN."""
    x = f64(x)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(axis=axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def log_softmax_backward(dy: ArrayLike, y: ArrayLike, axis: int = 1) -> F64:
    """dy - softmax sum of dy, from the output `y` of `log_softmax`."""
    dy, y = f64(dy), f64(y)
    return dy - np.exp(y) * dy.sum(axis=axis, keepdims=True)


def _target_weights(target: ArrayLike, classes: int, label_smoothing: float, ignore_index: int) -> tuple[F64, np.ndarray]:
    """The distribution (N, C, *) that each position is compared with, all zeros where ignored, and which positions count (N, *)."""
    number = np.asarray(target)
    counted = number != ignore_index
    one_hot = np.moveaxis(np.eye(classes)[np.where(counted, number, 0)], -1, 1)
    smooth = (1.0 - label_smoothing) * one_hot + label_smoothing / classes
    return np.where(np.expand_dims(counted, 1), smooth, 0.0), counted


def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> F64:
    """-sum over classes of weight log softmax(logits); logits (N, C, *), target (N, *) class numbers -> a 0-d array, or (N, *) for "none".

    The mean is over the positions that are not ignored; of none at all it is NaN, as in torch.

    >>> float(cross_entropy([[0.0, 0.0]], [1]).round(4))
    0.6931
    """
    logits = f64(logits)
    weights, counted = _target_weights(target, logits.shape[1], label_smoothing, ignore_index)
    # A class of weight 0 contributes nothing even where its logit is -inf.
    losses = -np.multiply(weights, log_softmax(logits, 1), where=weights != 0.0, out=np.zeros_like(logits)).sum(axis=1)
    if reduction == "none":
        return losses
    total = losses.sum()
    with np.errstate(invalid="ignore"):
        return total / counted.sum() if reduction == "mean" else total


def cross_entropy_backward(
    dy: ArrayLike,
    logits: ArrayLike,
    target: ArrayLike,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> F64:
    """The gradient of `cross_entropy` with respect to the logits; dy is a number, or (N, *) for "none"."""
    logits = f64(logits)
    weights, counted = _target_weights(target, logits.shape[1], label_smoothing, ignore_index)
    scale = np.broadcast_to(f64(dy), counted.shape) / (max(1, counted.sum()) if reduction == "mean" else 1)
    return np.where(np.expand_dims(counted, 1), (softmax(logits, 1) - weights) * np.expand_dims(scale, 1), 0.0)


def mse_loss(x: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> F64:
    """(x - target)^2: its mean, its sum, or every element.

    >>> float(mse_loss([1.0, 2.0], [1.0, 4.0]))
    2.0
    """
    squares = (f64(x) - f64(target)) ** 2
    if reduction == "none":
        return squares
    return squares.mean() if reduction == "mean" else squares.sum()


def mse_loss_backward(dy: ArrayLike, x: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> F64:
    """2 dy (x - target), over the number of elements for the mean; dy is a number, or shaped as x for "none"."""
    difference = f64(x) - f64(target)
    return 2.0 * f64(dy) * difference / (difference.size if reduction == "mean" else 1)
