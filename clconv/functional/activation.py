"""Element-wise non-linearities, softmax and dropout."""

from __future__ import annotations

from functools import partial
from typing import Any

from clconv.errors import GeometryError
from clconv.functional.check import axis_of, floating, number
from clconv.functional.eager import operation
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.graph.trace import current_recording


@operation
def relu(input: Any) -> Any:
    """max(x, 0); NaN stays NaN."""
    return make("relu", floating(input, "relu"))


@operation
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, else negative_slope * x."""
    return make("leaky_relu", floating(input, "leaky_relu"), slope=number(negative_slope, "negative_slope", "leaky_relu"))


@operation
def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where positive, else alpha (exp(x) - 1) (Clevert et al. 2016)."""
    return make("elu", floating(input, "elu"), alpha=number(alpha, "alpha", "elu"))


@operation
def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return make("sigmoid", floating(input, "sigmoid"))


@operation
def tanh(input: Any) -> Any:
    """Hyperbolic tangent."""
    return make("tanh", floating(input, "tanh"))


@operation
def gelu(input: Any, approximate: str = "none") -> Any:
    """x Phi(x) with the normal distribution's Phi (Hendrycks and Gimpel 2016); approximate="tanh" for the paper's approximation."""
    if approximate not in ("none", "tanh"):
        raise GeometryError(f'gelu: approximate {approximate!r} is not one of "none", "tanh"')
    return make("gelu" if approximate == "none" else "gelu_tanh", floating(input, "gelu"))


@operation
def silu(input: Any) -> Any:
    """x sigmoid(x)."""
    return make("silu", floating(input, "silu"))


def _softmax(input: Any, dim: int, log: bool, what: str) -> Node:
    x = floating(input, what)
    return make("softmax", x, axis=axis_of(dim, x.ndim, what), log=log)


@operation
def softmax(input: Any, dim: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `dim`."""
    return _softmax(input, dim, False, "softmax")


@operation
def log_softmax(input: Any, dim: int = -1) -> Any:
    """Logarithm of softmax along `dim`, without overflow."""
    return _softmax(input, dim, True, "log_softmax")


@partial(operation, name="dropout")
def _dropout(input: Any, p: float, stream: int) -> Any:
    return make("dropout", floating(input, "dropout"), p=p, stream=stream)


def dropout(input: Any, p: float = 0.5, training: bool = True, *, seed: int | None = None) -> Any:
    """Zeros each element with probability p and scales the rest by 1 / (1 - p) (Srivastava et al. 2014).

    Counter-based: one seed gives the same bits on every device. On arrays, `seed` None draws a new one; in a network, the run's seed and
    step number decide, and every call of dropout draws its own numbers. In a graph made by hand all calls draw the same ones.
    """
    if not 0.0 <= number(p, "probability p", "dropout") <= 1.0:
        raise GeometryError(f"dropout: probability p must lie between 0 and 1, got {p}")
    if not training or p == 0.0:
        return input
    record = current_recording()
    if record is not None:
        record.streams += 1
        return _dropout(input, p, stream=record.streams * 0x9E3779B1 & 0xFFFFFFFF)
    if not isinstance(input, Node):
        return _dropout(input, p, stream=0, seed=seed)
    return _dropout(input, p, stream=0)
