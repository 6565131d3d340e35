"""Normalisation within an image: over its last axes, or over groups of its channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clconv.errors import GeometryError
from clconv.functional.check import floating, number
from clconv.functional.eager import operation
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.shape import reshape


def rows_normalised(x: Node, rows: int, eps: float) -> tuple[Node, Node, Node]:
    """((x - mean) / sqrt(var + eps), mean, var) of x cut into `rows` equal rows, in order; mean and (biased) variance are (1, rows, 1).

    It is batch normalisation of one image with a channel a row, whose gradient goes through mean and variance.
    """
    flat = reshape(x, (1, rows, x.spec.elements // max(1, rows)))
    mean = make("mean", flat, axes=(0, 2), dtype="float32")
    var = make("variance", flat, mean, axes=(0, 2), dtype="float32")
    one, zero = (as_node(np.full((1, rows, 1), value, np.float32)) for value in (1.0, 0.0))
    normal = make("batch_norm", flat, mean, var, one, zero, eps=eps, training=True)
    return reshape(normal, x.shape), mean, var


@operation
def layer_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """weight (x - mean) / sqrt(var + eps) + bias with mean and (biased) variance over the last axes (Ba et al. 2016).

    As torch.nn.functional.layer_norm: `normalized_shape` are the sizes of those axes, and the shape of weight and bias.
    """
    x = floating(input, "layer_norm")
    shape = _last_sizes(x, normalized_shape, "layer_norm")
    rows = math.prod(x.shape[: x.ndim - len(shape)])
    normal, _, _ = rows_normalised(x, rows, number(eps, "eps", "layer_norm"))
    return _scaled(normal, shape, shape, weight, bias, "layer_norm")


@operation
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """weight (x - mean) / sqrt(var + eps) + bias with mean and (biased) variance of each group of channels of each image (Wu, He 2018).

    As torch.nn.functional.group_norm: x (N, C, ...), weight and bias (C,), C a multiple of `num_groups`.
    """
    x = floating(input, "group_norm")
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise GeometryError(f"group_norm: the channels of input {x.shape} must be a multiple of num_groups {num_groups}")
    normal, _, _ = rows_normalised(x, x.shape[0] * num_groups, number(eps, "eps", "group_norm"))
    return _scaled(normal, (x.shape[1],), (x.shape[1], *(1,) * (x.ndim - 2)), weight, bias, "group_norm")


@operation
def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """weight x / sqrt(mean of x^2 + eps) over the last axes (Zhang, Sennrich 2019), as torch.nn.functional.rms_norm.

    `eps` is the distance from 1 to the next number of float32 if left out.
    """
    x = floating(input, "rms_norm")
    shape = _last_sizes(x, normalized_shape, "rms_norm")
    least = number(2.0**-23 if eps is None else eps, "eps", "rms_norm")
    return _scaled(over_root_mean_square(x, len(shape), least), shape, shape, weight, None, "rms_norm")


def over_root_mean_square(x: Node, axes: int, eps: float) -> Node:
    """x / sqrt(mean of x^2 + eps), the mean over the last `axes` axes; squares of float16 would leave its range, hence float32."""
    wide = x if x.dtype == "float32" else make("cast", x, dtype="float32")
    squares = make("mean", make("square", wide), axes=tuple(range(x.ndim - axes, x.ndim)))
    y = make("div", wide, make("sqrt", make("add", squares, as_node(np.float32(eps)))))
    return y if x.dtype == "float32" else make("cast", y, dtype=x.dtype)


def _last_sizes(x: Node, normalized_shape: Sequence[int], name: str) -> tuple[int, ...]:
    shape = tuple(int(n) for n in normalized_shape)
    if not shape or len(shape) > x.ndim or x.shape[x.ndim - len(shape) :] != shape:
        raise GeometryError(f"{name}: normalized_shape {shape} must be the last sizes of the input, which has the shape {x.shape}")
    return shape


def _scaled(x: Node, shape: tuple[int, ...], seen: tuple[int, ...], weight: Any, bias: Any, name: str) -> Node:
    """x weight + bias; both have `shape`, and broadcast as `seen`."""
    for what, value, how in (("weight", weight, "mul"), ("bias", bias, "add")):
        if value is None:
            continue
        node = as_node(value, name)
        if node.shape != shape:
            raise GeometryError(f"{name}: {what} has shape {node.shape}, expected {shape} for x {x.shape}")
        x = make(how, x, reshape(node, (1,) * (x.ndim - len(seen)) + seen))
    return x
