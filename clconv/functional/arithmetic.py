"""Sums, products and means (torch's functions of these names)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clconv.errors import ArrayError, GeometryError
from clconv.functional.check import axis_of, floating, number
from clconv.functional.eager import operation
from clconv.geometry import PoolGeometry
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.shape import item, reshape, transpose


def argmax_along(x: Node, axis: int, keepdim: bool) -> Node:
    """The position of a maximum in a plane of one column is its position in the axis."""
    last = [i for i in range(x.ndim) if i != axis] + [axis]
    column = x if last == list(range(x.ndim)) else transpose(x, last)
    count, size = math.prod(column.shape[:-1]), x.shape[axis]
    geometry = PoolGeometry.make((size,), rank=1, operation="argmax")
    found = item(make("pool", reshape(column, (count, 1, size)), kind="max", geometry=geometry, with_indices=True), 1)
    return reshape(found, tuple(1 if i == axis else n for i, n in enumerate(x.shape) if keepdim or i != axis))


@operation
def add(input: Any, other: Any, *, alpha: float = 1.0) -> Any:
    """input + alpha * other, broadcast."""
    other = as_node(other, "add")
    return make("add", input, other if number(alpha, "alpha", "add") == 1.0 else other * alpha)


@operation
def sub(input: Any, other: Any) -> Any:
    """input - other, broadcast."""
    return make("sub", input, other)


@operation
def mul(input: Any, other: Any) -> Any:
    """input * other, broadcast."""
    return make("mul", input, other)


@operation
def div(input: Any, other: Any) -> Any:
    """input / other, broadcast."""
    return make("div", input, other)


@operation
def cast(input: Any, dtype: str) -> Any:
    """The input as "float32" or "float16"."""
    if dtype not in ("float32", "float16"):
        raise ArrayError(f'cast: type {dtype!r} is not one of "float32", "float16"')
    x = floating(input, "cast")
    return x if x.dtype == dtype else make("cast", x, dtype=dtype)


def _axes(x: Node, dim: int | Sequence[int] | None, what: str) -> tuple[int, ...]:
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    return tuple(sorted({axis_of(a, x.ndim, what) for a in (dim if isinstance(dim, list | tuple) else (dim,))}))


def _reduced(kind: str, input: Any, dim: int | Sequence[int] | None, keepdim: bool) -> Node:
    x = floating(input, kind)
    axes = _axes(x, dim, kind)
    out = make(kind, x, axes=axes) if axes else x
    if kind == "mean" and math.prod(x.shape[a] for a in axes) == 0:
        out = out / 0.0  # NaN, as in torch
    return out if keepdim else reshape(out, tuple(n for axis, n in enumerate(x.shape) if axis not in axes))


@operation
def sum(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """Sum over `dim` (all axes when None); the same bits at every run."""
    return _reduced("sum", input, dim, keepdim)


@operation
def mean(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """Mean over `dim` (all axes when None)."""
    return _reduced("mean", input, dim, keepdim)


@operation
def amax(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """The largest over `dim` (all axes when None); NaN if one is. Equal ones share the gradient."""
    return _reduced("amax", input, dim, keepdim)


@operation
def amin(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """The smallest over `dim` (all axes when None); NaN if one is. Equal ones share the gradient."""
    return -_reduced("amax", -floating(input, "amin"), dim, keepdim)


@operation
def prod(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """The product over `dim` (all axes when None); its gradient is the product over x, NaN where x is 0."""
    return _reduced("prod", input, dim, keepdim)


@operation
def argmax(input: Any, dim: int, keepdim: bool = False) -> Any:
    """Where along `dim` the largest element lies, as int32: the first of equal ones, and of NaN the last."""
    x = floating(input, "argmax")
    axis = axis_of(dim, x.ndim, "argmax")
    return argmax_along(x, axis, keepdim)


@operation
def matmul(input: Any, other: Any) -> Any:
    """Product of matrices (m, k) x (k, n), or of batches (..., m, k) x (..., k, n) with equal leading axes, or one (k, n) for all."""
    a, b = floating(input, "matmul"), floating(other, "matmul")
    if a.ndim < 2 or b.ndim < 2:
        raise GeometryError(f"matmul: both operands need two axes or more, got {a.shape} and {b.shape}; add one with x[None]")
    if b.ndim == 2 and a.ndim > 2:
        flat = make("matmul", reshape(a, (-1, a.shape[-1])), b)
        return reshape(flat, (*a.shape[:-1], b.shape[-1]))
    if a.shape[:-2] != b.shape[:-2]:
        raise GeometryError(f"matmul: leading axes {a.shape[:-2]} and {b.shape[:-2]} differ; a {a.shape}, b {b.shape}")
    lead = a.shape[:-2]
    count = int(np.prod(lead)) if lead else 1
    if not lead or count == 1:
        return reshape(make("matmul", reshape(a, a.shape[-2:]), reshape(b, b.shape[-2:])), (*lead, a.shape[-2], b.shape[-1]))
    product = make("matmul", reshape(a, (count, *a.shape[-2:])), reshape(b, (count, *b.shape[-2:])))
    return reshape(product, (*lead, *product.shape[-2:]))
