"""Batch normalisation (Ioffe and Szegedy 2015) and local response normalisation (Krizhevsky et al. 2012) as layers."""

from __future__ import annotations

from typing import ClassVar

import clconv.functional as F
from clconv.errors import GeometryError
from clconv.geometry import per_axis
from clconv.graph.node import Node
from clconv.graph.parameter import Parameter
from clconv.nn.init import Initialiser, constant, draw
from clconv.nn.module import Module


class BatchNorm(Module):
    """What BatchNorm1d, 2d and 3d share: per channel, weight (x - mean) / sqrt(var + eps) + bias.

    In training mean and var are the batch's, and running_mean and running_var move towards them by `momentum`; otherwise they are the
    running ones. weight, bias, running_mean, running_var: (num_features,). The running two are Parameters that no optimiser touches.
    """

    axes: ClassVar[tuple[int, ...]]

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, *, weight_init: Initialiser | None = None
    ) -> None:
        super().__init__()
        operation = type(self).__name__
        (self.num_features,) = per_axis(num_features, 1, "num_features", 1, operation)
        if not eps > 0:
            raise GeometryError(f"{operation}: eps must be above 0, got {eps}")
        if not 0 <= momentum <= 1:
            raise GeometryError(f"{operation}: momentum must lie between 0 and 1, got {momentum}")
        self.eps, self.momentum = float(eps), float(momentum)
        shape = (self.num_features,)
        self.weight = Parameter(draw(weight_init or constant(1.0), shape)) if affine else None
        self.bias = Parameter(draw(constant(0.0), shape)) if affine else None
        self.running_mean = Parameter(draw(constant(0.0), shape), trainable=False)
        self.running_var = Parameter(draw(constant(1.0), shape), trainable=False)

    def forward(self, input: Node) -> Node:
        operation = type(self).__name__
        if len(input.shape) not in self.axes:
            expected = " or ".join(str(axes) for axes in self.axes)
            raise GeometryError(f"{operation}: takes inputs of {expected} axes (N, C, *size), got shape {input.shape}")
        if input.shape[1] != self.num_features:
            raise GeometryError(f"{operation}: input channels {input.shape[1]} != num_features {self.num_features}; x {input.shape}")
        result: Node = F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )
        return result

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}" + ", affine=False" * (self.weight is None)


class BatchNorm1d(BatchNorm):
    """Batch normalisation of x (N, C) or (N, C, L)."""

    axes = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of x (N, C, H, W).

    >>> BatchNorm2d(64)
    BatchNorm2d(64, eps=1e-05, momentum=0.1)
    """

    axes = (4,)


class BatchNorm3d(BatchNorm):
    """Batch normalisation of x (N, C, D, H, W)."""

    axes = (5,)


class LocalResponseNorm(Module):
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta, as torch.

    The formula of Krizhevsky et al. 2012 (section 3.3) does not divide by size: its alpha = 1e-4 with n = 5 is alpha = 5e-4 here.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        (self.size,) = per_axis(size, 1, "size", 1, "LocalResponseNorm")
        self.alpha, self.beta, self.k = float(alpha), float(beta), float(k)

    def forward(self, input: Node) -> Node:
        result: Node = F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)
        return result

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
