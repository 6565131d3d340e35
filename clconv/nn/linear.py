"""The fully connected layer, and the step from feature maps to it."""

from __future__ import annotations

import clconv.functional as F
from clconv.geometry import per_axis
from clconv.graph.node import Node
from clconv.graph.parameter import Parameter
from clconv.nn.init import Initialiser, default_bias, draw, first_value, kaiming_uniform
from clconv.nn.module import Module


class Linear(Module):
    """y = x weight^T + bias. x (N, in_features), weight (out_features, in_features), bias (out_features,).

    >>> Linear(400, 120)
    Linear(400, 120)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: Initialiser | None = None,
        bias_init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        (self.in_features,) = per_axis(in_features, 1, "in_features", 1, "Linear")
        (self.out_features,) = per_axis(out_features, 1, "out_features", 1, "Linear")
        shape = (self.out_features, self.in_features)
        self.weight = Parameter(first_value(weight_init or kaiming_uniform(), shape))
        self.bias = Parameter(draw(bias_init or default_bias(shape), shape[:1])) if bias else None

    def forward(self, input: Node) -> Node:
        result: Node = F.linear(input, self.weight, self.bias)
        return result

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ", bias=False" * (self.bias is None)


class Flatten(Module):
    """Axes start_dim to end_dim as one: (N, C, H, W) -> (N, C H W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Node) -> Node:
        result: Node = F.flatten(input, self.start_dim, self.end_dim)
        return result

    def extra_repr(self) -> str:
        return "" if (self.start_dim, self.end_dim) == (1, -1) else f"start_dim={self.start_dim}, end_dim={self.end_dim}"
