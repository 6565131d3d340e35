"""Activations and dropout as layers; in a compiled network they become part of the layer before them."""

from __future__ import annotations

from typing import Any, Literal

import clconv.functional as F
from clconv.errors import GeometryError
from clconv.graph.node import Node
from clconv.nn.module import Module


class Elementwise(Module):
    """Base of layers that treat every element by itself, so that they mean the same on any shape. Derive your own activation from it."""


class ReLU(Elementwise):
    """max(x, 0)."""

    def forward(self, input: Node) -> Any:
        return F.relu(input)


class LeakyReLU(Elementwise):
    """x where x > 0, negative_slope x elsewhere."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = float(negative_slope)

    def forward(self, input: Node) -> Any:
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return str(self.negative_slope)


class ELU(Elementwise):
    """x where x > 0, alpha (exp(x) - 1) elsewhere (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = float(alpha)

    def forward(self, input: Node) -> Any:
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return str(self.alpha)


class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Node) -> Any:
        return F.sigmoid(input)


class Tanh(Elementwise):
    """tanh(x)."""

    def forward(self, input: Node) -> Any:
        return F.tanh(input)


class ScaledTanh(Elementwise):
    """1.7159 tanh(2/3 x), which maps 1 to 1 and -1 to -1 (LeCun et al. 1998, appendix A)."""

    def forward(self, input: Node) -> Any:
        return F.tanh(input * (2.0 / 3.0)) * 1.7159


class GELU(Elementwise):
    """x Phi(x), Phi the normal distribution function; or its tanh approximation (Hendrycks and Gimpel 2016)."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise GeometryError(f'GELU: approximate must be "none" or "tanh", got {approximate!r}')
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, input: Node) -> Any:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Elementwise):
    """x sigmoid(x)."""

    def forward(self, input: Node) -> Any:
        return F.silu(input)


class Softmax(Module):
    """exp(x) / sum of exp(x) along dim."""

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Node) -> Any:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Dropout(Elementwise):
    """In training zeroes each element with probability p and divides the rest by 1 - p (Srivastava et al. 2014); else returns its input."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise GeometryError(f"Dropout: p must be at least 0 and below 1, got {p}")
        self.p = float(p)

    def forward(self, input: Node) -> Any:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return str(self.p)
