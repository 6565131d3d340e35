"""Losses, composed of log_softmax, reductions and maps."""

from __future__ import annotations

import numpy as np

from clconv.errors import GeometryError
from clconv.graph.node import Node
from clconv.graph.ops.base import make
from clconv.graph.ops.reduce import mean_over, sum_over
from clconv.graph.ops.shape import reshape

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction: str, operation: str) -> None:
    if reduction not in REDUCTIONS:
        raise GeometryError(f'{operation}: reduction {reduction!r} is not one of "mean", "sum", "none"')


def cross_entropy(logits: Node, target: Node, ignore_index: int, reduction: str, smoothing: float) -> Node:
    """Of logits (N, C, ...) and class numbers (N, ...); semantics of torch.nn.functional.cross_entropy."""
    check_reduction(reduction, "cross_entropy")
    if logits.ndim < 2 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise GeometryError(
            f"cross_entropy: target of shape {target.shape} does not fit logits {logits.shape}; "
            f"expected {(logits.shape[0], *logits.shape[2:])}"
        )
    if not 0.0 <= smoothing <= 1.0:
        raise GeometryError(f"cross_entropy: label_smoothing must lie between 0 and 1, got {smoothing}")
    classes = logits.shape[1]
    numbers = np.arange(classes, dtype=np.int32).reshape(1, classes, *(1,) * (logits.ndim - 2))
    column = reshape(target, (logits.shape[0], 1, *logits.shape[2:]))
    scores = make("softmax", logits, axis=1, log=True)
    each = make("pick", scores, column, numbers, axes=(1,), smoothing=float(smoothing), ignore_index=int(ignore_index), classes=classes)
    each = reshape(each, target.shape)
    if reduction == "none":
        return each
    axes = tuple(range(each.ndim))
    total = reshape(sum_over(each, axes), ())
    if reduction == "sum":
        return total
    count = make("count_valid", target, axes=axes, ignore_index=int(ignore_index), dtype="float32")
    return total / reshape(count, ())


def mse_loss(x: Node, target: Node, reduction: str) -> Node:
    """Mean (or sum, or each) of (x - target)^2."""
    check_reduction(reduction, "mse_loss")
    if x.shape != target.shape:
        raise GeometryError(f"mse_loss: target of shape {target.shape} must have that of the input, {x.shape}; use reshape")
    each = make("square", x - target)
    if reduction == "none":
        return each
    axes = tuple(range(each.ndim))
    if reduction == "mean" and each.spec.elements:
        return reshape(mean_over(each, axes), ())  # divided before it is stored: the sum may be beyond float16
    total = reshape(sum_over(each, axes), ())
    return total if reduction == "sum" else total * float("nan")
