"""Fully connected layers."""

from __future__ import annotations

from typing import Any

from clconv.errors import GeometryError
from clconv.functional.check import floating
from clconv.functional.eager import operation
from clconv.graph.ops import make
from clconv.graph.ops.shape import reshape


@operation
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """x W^T + b: x (..., in), weight (out, in), bias (out,) -> (..., out), as torch.nn.functional.linear."""
    x, w = floating(input, "linear"), floating(weight, "linear")
    if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[1]:
        raise GeometryError(f"linear: input features do not fit: x {x.shape}, weight {w.shape}, which must be (out, in)")
    if w.shape[1] == 0:
        raise GeometryError(f"linear: weight {w.shape} takes no input features; at least one is needed")
    if x.ndim == 1:
        raise GeometryError(f"linear: input of shape {x.shape} has no batch axis; add one with x[None]")
    extra = []
    if bias is not None:
        b = floating(bias, "linear")
        if b.shape != (w.shape[0],):
            raise GeometryError(f"linear: bias has shape {b.shape}, expected ({w.shape[0]},)")
        extra.append(b)
    flat = make(
        "matmul", reshape(x, (-1, x.shape[-1])) if x.ndim > 2 else x, w, *extra, transpose_b=True, bias=bias is not None, operation="linear"
    )
    return reshape(flat, (*x.shape[:-1], w.shape[0]))
