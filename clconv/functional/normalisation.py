"""Normalisation over the batch and over neighbouring channels."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from clconv.errors import GeometryError
from clconv.functional.check import floating, number
from clconv.functional.eager import operation
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.elementwise import Body
from clconv.graph.ops.shape import reshape
from clconv.graph.trace import current_recording
from clconv.runtime.arrays import is_array


def _channels(x: Node, value: Any, what: str, default: float) -> Node:
    """A per-channel vector as (1, C, 1, ...)."""
    if x.ndim < 2:
        raise GeometryError(f"batch_norm: x of shape {x.shape} must have at least two axes, N and C")
    shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
    if value is None:
        return as_node(np.full(shape, default, np.float32))
    node = as_node(value, "batch_norm")
    if node.shape != (x.shape[1],):
        raise GeometryError(f"batch_norm: {what} has shape {node.shape}, expected ({x.shape[1]},): one number a channel of x {x.shape}")
    return reshape(node, shape)


def _normalise(x: Node, mean: Node, var: Node, weight: Any, bias: Any, eps: float, training: bool) -> Node:
    gamma, beta = _channels(x, weight, "weight", 1.0), _channels(x, bias, "bias", 0.0)
    return make("batch_norm", x, mean, var, gamma, beta, eps=float(eps), training=training)


@partial(operation, name="batch_norm")
def _inference(input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, eps: float) -> Any:
    x = floating(input, "batch_norm")
    mean, var = _channels(x, running_mean, "running_mean", 0.0), _channels(x, running_var, "running_var", 1.0)
    return _normalise(x, mean, var, weight, bias, eps, training=False)


@partial(operation, name="batch_norm")
def _training(input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, momentum: float, eps: float) -> Any:
    """(y, new running mean, new running variance), the last two only where running statistics are given."""
    x = floating(input, "batch_norm")
    axes = (0, *range(2, x.ndim))
    count = x.spec.elements // x.shape[1]
    if count < 2:
        raise GeometryError(
            f"batch_norm: training needs more than one value a channel, got x {x.shape}; use a larger batch or training=False"
        )
    mean = make("mean", x, axes=axes, dtype="float32")
    var = make("variance", x, mean, axes=axes, dtype="float32")
    y = _normalise(x, mean, var, weight, bias, eps, training=True)
    if running_mean is None or running_var is None:
        return (y,)
    blend = Body((("y0", f"x0 * {1.0 - momentum!r}f + x1 * {float(momentum)!r}f"),))
    # How many values there are is an operand, not a number in the code: another batch size builds nothing.
    share = as_node(np.full((1,), momentum * count / (count - 1), np.float32))
    unbiased = Body((("y0", f"x0 * {1.0 - momentum!r}f + x1 * x2"),))
    new_mean = make("map", as_node(running_mean), reshape(mean, (x.shape[1],)), body=blend, named="running_mean")
    new_var = make("map", as_node(running_var), reshape(var, (x.shape[1],)), share, body=unbiased, named="running_var")
    return y, new_mean, new_var


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """weight (x - mean) / sqrt(var + eps) + bias per channel, as torch.nn.functional.batch_norm: x (N, C, ...).

    When training, mean and (biased) variance are the batch's, and the running ones move towards them (variance unbiased) by `momentum`:
    arrays are written, parameters of a network when its training step runs.
    """
    momentum, eps = number(momentum, "momentum", "batch_norm"), number(eps, "eps", "batch_norm")
    if not training:
        return _inference(input, running_mean, running_var, weight, bias, eps)
    if is_array(input):
        written = (None, running_mean, running_var) if running_mean is not None and running_var is not None else (None,)
        results = _training(input, running_mean, running_var, weight, bias, momentum, eps, out=written)
        return results[0] if isinstance(results, tuple) else results
    record = current_recording()
    # A layer that is used twice moves its statistics twice, the second time from where the first left them.
    moving = {id(parameter): node for parameter, node in record.updates} if record is not None else {}
    mean, var = moving.get(id(running_mean), running_mean), moving.get(id(running_var), running_var)
    y, *moved = _training(input, mean, var, weight, bias, momentum, eps)
    if record is not None and moved:
        record.updates = [(p, n) for p, n in record.updates if p is not running_mean and p is not running_var]
        record.updates += [(running_mean, moved[0]), (running_var, moved[1])]
    return y


@operation
def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta, as torch: x (N, C, ...)."""
    x = floating(input, "local_response_norm")
    if size < 1:
        raise GeometryError(f"local_response_norm: size must be at least 1, got {size}")
    if x.ndim < 3:
        raise GeometryError(f"local_response_norm: input must have N, C and at least one spatial axis, got shape {x.shape}")
    return make("lrn", x, window=int(size), alpha=float(alpha), beta=float(beta), k=float(k))


@operation
def instance_norm(input: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """weight (x - mean) / sqrt(var + eps) + bias with the mean and (biased) variance of every channel of every image (Ulyanov et al. 2016).

    As torch.nn.functional.instance_norm without running statistics: x (N, C, ...).
    """
    x = floating(input, "instance_norm")
    if x.ndim < 3 or x.spec.elements <= x.shape[0] * x.shape[1]:
        raise GeometryError(f"instance_norm: input must have N, C and more than one spatial element, got shape {x.shape}")
    gamma, beta = _channels(x, weight, "weight", 1.0), _channels(x, bias, "bias", 0.0)
    planes = reshape(x, (1, x.shape[0] * x.shape[1], *x.shape[2:]))
    axes = (0, *range(2, x.ndim))
    mean = make("mean", planes, axes=axes, dtype="float32")
    var = make("variance", planes, mean, axes=axes, dtype="float32")
    normal = _normalise(planes, mean, var, None, None, number(eps, "eps", "instance_norm"), training=True)
    return make("add", make("mul", reshape(normal, x.shape), gamma), beta)
