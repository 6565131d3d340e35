"""Operations that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from clconv.errors import ArrayError, GeometryError
from clconv.functional.check import axis_of
from clconv.functional.eager import operation
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops import shape as rules
from clconv.runtime.arrays import is_array


@operation
def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors joined along `dim`; the other axes must agree."""
    nodes = [as_node(t, "cat") for t in tensors]
    if not nodes:
        raise GeometryError("cat: needs at least one tensor, got none")
    if len({n.dtype for n in nodes}) > 1:
        raise ArrayError(f"cat: element types {', '.join(sorted({n.dtype for n in nodes}))} differ; convert with astype")
    return make("cat", *nodes, axis=axis_of(dim, nodes[0].ndim, "cat"))


@operation
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Any:
    """Padding as torch.nn.functional.pad: pairs (begin, end) from the last axis backwards; negative numbers cut. mode "constant" only."""
    x = as_node(input, "pad")
    if mode != "constant":
        raise GeometryError(f'pad: mode {mode!r} is not supported; only "constant" is')
    whole = isinstance(pad, list | tuple) and all(isinstance(n, int | np.integer) for n in pad)
    if not whole or len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise GeometryError(f"pad: {pad!r} must hold one (begin, end) pair for each of at most {x.ndim} axes, last axis first")
    pairs = [(int(pad[2 * i]), int(pad[2 * i + 1])) for i in range(len(pad) // 2)]
    return rules.window(x, ((0, 0),) * (x.ndim - len(pairs)) + tuple(reversed(pairs)), float(value or 0.0))


@partial(operation, name="reshape")
def _reshape(input: Any, shape: Sequence[int]) -> Any:
    return rules.reshape(as_node(input, "reshape"), tuple(shape))


def reshape(input: Any, shape: Sequence[int]) -> Any:
    """The same elements in C order under another shape, one entry of which may be -1. A contiguous array shares its memory."""
    if is_array(input) and input.flags.c_contiguous and input.size and -1 not in shape and math.prod(shape) == input.size:
        return input.reshape(tuple(shape))
    return _reshape(input, tuple(shape))


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Axes start_dim to end_dim as one, as torch.flatten."""
    shape = tuple(input.shape if is_array(input) or isinstance(input, Node) else as_node(input, "flatten").shape)
    first, last = axis_of(start_dim, len(shape), "flatten"), axis_of(end_dim, len(shape), "flatten")
    if first > last:
        raise GeometryError(f"flatten: start_dim {start_dim} lies behind end_dim {end_dim}")
    return reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@operation
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes exchanged (a copy, not a view)."""
    x = as_node(input, "transpose")
    a, b = axis_of(dim0, x.ndim, "transpose"), axis_of(dim1, x.ndim, "transpose")
    order = list(range(x.ndim))
    order[a], order[b] = order[b], order[a]
    return rules.transpose(x, order)
