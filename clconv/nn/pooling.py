"""Maximum and mean pooling layers in 1, 2 and 3 dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import clconv.functional as F
from clconv.geometry import IntLike, Padding, PoolGeometry, Size, per_axis, resolve_padding
from clconv.graph.node import Node
from clconv.nn.module import Module

_MAX: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG: dict[int, Callable[..., Any]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_AVG: dict[int, Callable[..., Any]] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


class MaxPool(Module):
    """What MaxPool1d, 2d and 3d share: the maximum of each window; stride defaults to the window. Padding never wins."""

    rank: ClassVar[int]

    def __init__(
        self,
        kernel_size: IntLike,
        stride: IntLike | None = None,
        padding: Padding = 0,
        dilation: IntLike = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        operation = type(self).__name__
        # What "same" comes to with a stride depends on the input: here only its spelling is checked.
        numbers = 0 if isinstance(padding, str) else padding
        geometry = PoolGeometry.make(kernel_size, stride, numbers, dilation, ceil_mode, rank=self.rank, operation=operation)
        resolve_padding(padding, geometry.kernel, (1,) * self.rank, geometry.dilation, None, operation)
        self.kernel_size, self.stride, self.dilation = geometry.kernel, geometry.stride, geometry.dilation
        self.padding, self.ceil_mode, self.return_indices = padding, geometry.ceil_mode, bool(return_indices)

    def forward(self, input: Node) -> Any:
        pool = _MAX[self.rank]
        return pool(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}" + ", ceil_mode=True" * self.ceil_mode


class MaxPool1d(MaxPool):
    """Maximum over windows of x (N, C, L)."""

    rank = 1


class MaxPool2d(MaxPool):
    """Maximum over windows of x (N, C, H, W).

    >>> MaxPool2d(3, stride=2)
    MaxPool2d(kernel_size=(3, 3), stride=(2, 2), padding=0)
    """

    rank = 2


class MaxPool3d(MaxPool):
    """Maximum over windows of x (N, C, D, H, W)."""

    rank = 3


class AvgPool(Module):
    """What AvgPool1d, 2d and 3d share: the mean of each window; stride defaults to the window.

    With count_include_pad padding counts as zeros; divisor_override replaces the number of elements divided by.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        kernel_size: IntLike,
        stride: IntLike | None = None,
        padding: IntLike = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        geometry = PoolGeometry.make(kernel_size, stride, padding, 1, ceil_mode, rank=self.rank, operation=type(self).__name__)
        self.kernel_size, self.stride, self.ceil_mode = geometry.kernel, geometry.stride, geometry.ceil_mode
        self.padding, self.count_include_pad, self.divisor_override = padding, bool(count_include_pad), divisor_override

    def forward(self, input: Node) -> Node:
        override = {} if self.divisor_override is None else {"divisor_override": self.divisor_override}
        pool = _AVG[self.rank]
        result: Node = pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, **override)
        return result

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}" + ", ceil_mode=True" * self.ceil_mode


class AvgPool1d(AvgPool):
    """Mean over windows of x (N, C, L)."""

    rank = 1

    def __init__(
        self,
        kernel_size: IntLike,
        stride: IntLike | None = None,
        padding: IntLike = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(AvgPool):
    """Mean over windows of x (N, C, H, W)."""

    rank = 2


class AvgPool3d(AvgPool):
    """Mean over windows of x (N, C, D, H, W)."""

    rank = 3


class AdaptiveAvgPool(Module):
    """What AdaptiveAvgPool1d, 2d and 3d share: means over as many windows as the output has elements, whatever the input's size."""

    rank: ClassVar[int]

    def __init__(self, output_size: IntLike) -> None:
        super().__init__()
        self.output_size: Size = per_axis(output_size, self.rank, "output_size", 1, type(self).__name__)

    def forward(self, input: Node) -> Node:
        result: Node = _ADAPTIVE_AVG[self.rank](input, self.output_size)
        return result

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """x (N, C, L) -> (N, C, output_size)."""

    rank = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """x (N, C, H, W) -> (N, C, *output_size); AdaptiveAvgPool2d(1) is global average pooling."""

    rank = 2


class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """x (N, C, D, H, W) -> (N, C, *output_size)."""

    rank = 3
