"""Element-wise non-linearities, softmax and dropout."""

from __future__ import annotations

from functools import partial
from typing import Any

from clconv.errors import GeometryError
from clconv.functional.check import axis_of, floating, number
from clconv.functional.eager import operation
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.shape import reshape
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


@operation
def hardsigmoid(input: Any) -> Any:
    """x / 6 + 1/2 between 0 and 1 (Howard et al. 2019)."""
    return make("hardsigmoid", floating(input, "hardsigmoid"), alpha=1.0 / 6.0, beta=0.5)


@operation
def hardswish(input: Any) -> Any:
    """x hardsigmoid(x) (Howard et al. 2019)."""
    return make("hardswish", floating(input, "hardswish"))


@operation
def selu(input: Any) -> Any:
    """Scaled ELU whose outputs keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    return make("selu", floating(input, "selu"), alpha=1.6732632423543772, gamma=1.0507009873554805)


@operation
def celu(input: Any, alpha: float = 1.0) -> Any:
    """x where positive, else alpha (exp(x / alpha) - 1) (Barron 2017)."""
    slope = number(alpha, "alpha", "celu")
    if slope == 0.0:
        raise GeometryError("celu: alpha must not be 0")
    return make("celu", floating(input, "celu"), alpha=slope)


@operation
def softplus(input: Any) -> Any:
    """log(1 + exp(x))."""
    return make("softplus", floating(input, "softplus"))


@operation
def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return make("softsign", floating(input, "softsign"))


@operation
def threshold(input: Any, threshold: float, value: float) -> Any:
    """x where above the threshold, else value."""
    at, other = number(threshold, "threshold", "threshold"), number(value, "value", "threshold")
    return make("threshold", floating(input, "threshold"), threshold=at, value=other)


@operation
def prelu(input: Any, weight: Any) -> Any:
    """x where positive, else weight x with one weight, or one for each channel (axis 1) (He et al. 2015)."""
    x, slopes = floating(input, "prelu"), as_node(weight, "prelu")
    if slopes.shape not in ((), (1,), (x.shape[1],) if x.ndim > 1 else (1,)):
        raise GeometryError(f"prelu: weight must hold one number, or one for each channel of x {x.shape}, got shape {slopes.shape}")
    return make("prelu", x, reshape(slopes, (-1, *(1,) * (x.ndim - 2))) if x.ndim > 1 else slopes)


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
