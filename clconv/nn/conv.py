"""Convolution and transposed convolution layers in 1, 2 and 3 dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import clconv.functional as F
from clconv.errors import GeometryError
from clconv.geometry import ConvGeometry, IntLike, Padding, per_axis, resolve_padding
from clconv.graph.node import Node
from clconv.graph.parameter import Parameter
from clconv.nn.init import Initialiser, default_bias, draw, first_value, kaiming_uniform
from clconv.nn.module import Module

_CONV: dict[int, Callable[..., Any]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Any]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _channels(operation: str, in_channels: int, out_channels: int, groups: int) -> tuple[int, int, int]:
    """The three as validated ints; groups must divide both numbers of channels."""
    (inputs,) = per_axis(in_channels, 1, "in_channels", 1, operation)
    (outputs,) = per_axis(out_channels, 1, "out_channels", 1, operation)
    (groups,) = per_axis(groups, 1, "groups", 1, operation)
    for name, count in (("in_channels", inputs), ("out_channels", outputs)):
        if count % groups:
            raise GeometryError(f"{operation}: {name} {count} is not a multiple of groups {groups}; groups must divide both channels")
    return inputs, outputs, groups


def _describe(layer: Conv | ConvTranspose, **extra: Any) -> str:
    """The arguments of a layer as one would write them; those at their default are left out."""
    rank = layer.rank

    def short(value: Any) -> Any:
        return value[0] if isinstance(value, tuple) and len(set(value)) == 1 and isinstance(value[0], int) else value

    arguments = {"stride": (layer.stride, (1,) * rank), "padding": (layer.padding, 0), "dilation": (layer.dilation, (1,) * rank)}
    parts = [f"{layer.in_channels}, {layer.out_channels}, kernel_size={short(layer.kernel_size)}"]
    parts += [f"{name}={short(value)}" for name, (value, default) in arguments.items() if value != default]
    parts += [f"{name}={short(value)}" for name, value in extra.items()]
    parts += [f"groups={layer.groups}"] * (layer.groups > 1) + ["bias=False"] * (layer.bias is None)
    return ", ".join(parts)


class Conv(Module):
    """What Conv1d, Conv2d and Conv3d share. x (N, in_channels, *size) -> (N, out_channels, *output size).

    weight (out_channels, in_channels / groups, *kernel_size), bias (out_channels,); they begin as torch's unless initialisers are given.
    padding may be numbers, (begin, end) pairs, or "same", "valid", "full". Raises GeometryError for arguments that do not fit together.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntLike,
        stride: IntLike = 1,
        padding: Padding = 0,
        dilation: IntLike = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        weight_init: Initialiser | None = None,
        bias_init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        operation = type(self).__name__
        self.in_channels, self.out_channels, self.groups = _channels(operation, in_channels, out_channels, groups)
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size", 1, operation)
        self.stride = per_axis(stride, self.rank, "stride", 1, operation)
        self.dilation = per_axis(dilation, self.rank, "dilation", 1, operation)
        # What "same" comes to with a stride depends on the input: here only its spelling is checked.
        resolve_padding(padding, self.kernel_size, (1,) * self.rank, self.dilation, None, operation)
        self.padding = padding
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(first_value(weight_init or kaiming_uniform(), shape))
        self.bias = Parameter(draw(bias_init or default_bias(shape), shape[:1])) if bias else None

    def forward(self, input: Node) -> Node:
        convolve = _CONV[self.rank]
        result: Node = convolve(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return result

    def extra_repr(self) -> str:
        return _describe(self)


class Conv1d(Conv):
    """1-D convolution layer: x (N, C, L). See `Conv` for the arguments.

    >>> Conv1d(8, 16, kernel_size=5, padding="same")
    Conv1d(8, 16, kernel_size=5, padding=same)
    """

    rank = 1


class Conv2d(Conv):
    """2-D convolution layer: x (N, C, H, W). See `Conv` for the arguments.

    >>> Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
    Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
    """

    rank = 2


class Conv3d(Conv):
    """3-D convolution layer: x (N, C, D, H, W). See `Conv` for the arguments.

    >>> Conv3d(1, 4, (1, 3, 3)).weight.shape
    (4, 1, 1, 3, 3)
    """

    rank = 3


class ConvTranspose(Module):
    """What ConvTranspose1d, 2d and 3d share. x (N, in_channels, *size) -> (N, out_channels, *larger size).

    weight (in_channels, out_channels / groups, *kernel_size), bias (out_channels,). The size becomes
    stride (n - 1) + dilation (kernel_size - 1) + 1 - 2 padding + output_padding per axis.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntLike,
        stride: IntLike = 1,
        padding: Padding = 0,
        output_padding: IntLike = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntLike = 1,
        *,
        weight_init: Initialiser | None = None,
        bias_init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        operation = type(self).__name__
        self.in_channels, self.out_channels, self.groups = _channels(operation, in_channels, out_channels, groups)
        kernel = per_axis(kernel_size, self.rank, "kernel_size", 1, operation)
        geometry = ConvGeometry.make(kernel, stride, padding, dilation, groups, output_padding, operation=operation)
        self.kernel_size, self.stride, self.dilation = geometry.kernel, geometry.stride, geometry.dilation
        self.output_padding, self.padding = geometry.output_padding, padding
        shape = (self.in_channels, self.out_channels // self.groups, *kernel)
        self.weight = Parameter(first_value(weight_init or kaiming_uniform(), shape))
        self.bias = Parameter(draw(bias_init or default_bias(shape), (self.out_channels,))) if bias else None

    def forward(self, input: Node) -> Node:
        convolve = _CONV_TRANSPOSE[self.rank]
        result: Node = convolve(input, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return result

    def extra_repr(self) -> str:
        return _describe(self, **({"output_padding": self.output_padding} if any(self.output_padding) else {}))


class ConvTranspose1d(ConvTranspose):
    """1-D transposed convolution layer: x (N, C, L). See `ConvTranspose` for the arguments."""

    rank = 1


class ConvTranspose2d(ConvTranspose):
    """2-D transposed convolution layer: x (N, C, H, W). See `ConvTranspose` for the arguments.

    >>> ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1)
    ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1)
    """

    rank = 2


class ConvTranspose3d(ConvTranspose):
    """3-D transposed convolution layer: x (N, C, D, H, W). See `ConvTranspose` for the arguments."""

    rank = 3
