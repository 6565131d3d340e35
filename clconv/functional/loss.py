"""Losses."""

from __future__ import annotations

from typing import Any

from clconv.errors import ArrayError
from clconv.functional.check import floating
from clconv.functional.eager import operation
from clconv.graph.ops import as_node
from clconv.graph.ops import loss as rules


@operation
def cross_entropy(input: Any, target: Any, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    """-log softmax(logits)[target]: logits (N, C, ...), class numbers (N, ...) of int32; as torch.nn.functional.cross_entropy."""
    node = as_node(target, "cross_entropy")
    if node.dtype != "int32":
        raise ArrayError(f"cross_entropy: target must hold class numbers of type int32, got {node.dtype}; convert with astype(np.int32)")
    return rules.cross_entropy(floating(input, "cross_entropy"), node, ignore_index, reduction, label_smoothing)


@operation
def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """(input - target)^2, its mean or sum."""
    return rules.mse_loss(floating(input, "mse_loss"), floating(target, "mse_loss"), reduction)
