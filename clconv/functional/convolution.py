"""Convolution and transposed convolution (torch.nn.functional.conv*)."""

from __future__ import annotations

from typing import Any

from clconv.errors import ArrayError, GeometryError
from clconv.functional.check import batched, floating, number
from clconv.functional.eager import operation
from clconv.geometry import ConvGeometry, IntLike, Padding
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.graph.ops.shape import flip
from clconv.problem import Pass

Activation = str | tuple[str, float] | None


def _activation(activation: Activation, what: str) -> tuple[str, float] | None:
    if activation is None:
        return None
    if activation == "relu":
        return ("relu", 0.0)
    if not (isinstance(activation, tuple) and len(activation) == 2 and activation[0] in ("relu", "leaky_relu")):
        raise GeometryError(f'{what}: activation {activation!r} is not one of "relu", ("leaky_relu", slope)')
    name, slope = activation[0], number(activation[1], "the slope of the activation", what)
    if not slope >= 0.0:
        raise GeometryError(f"{what}: the slope of a fused leaky_relu must be at least 0, got {slope}")
    return (name, slope)


def checked_weight(weight: object, rank: int, what: str, dtype: str) -> Node:
    node = floating(weight, what)
    if node.ndim != rank + 2:
        raise GeometryError(f"{what}: weight must have {rank + 2} axes (outputs, inputs/groups and {rank} spatial), got shape {node.shape}")
    if 0 in node.shape:
        raise GeometryError(f"{what}: weight of shape {node.shape} is empty on axis {node.shape.index(0)}; every size must be at least 1")
    if node.dtype != dtype:
        raise ArrayError(f"{what}: input is {dtype} but weight is {node.dtype}; convert one with astype")
    return node


def _extras(bias: object, residual: object, channels: int, what: str) -> list[Node]:
    extra = []
    if bias is not None:
        node = floating(bias, what)
        if node.shape != (channels,):
            raise GeometryError(f"{what}: bias has shape {node.shape}, expected ({channels},): one number an output channel")
        extra.append(node)
    if residual is not None:
        extra.append(floating(residual, what))
    return extra


def _convolve(
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: IntLike,
    padding: Padding,
    dilation: IntLike,
    groups: int,
    flip_kernel: bool,
    activation: Activation,
    residual: Any,
    algorithm: str | None,
    strict: bool,
) -> Node:
    what = f"conv{rank}d"
    x = batched(input, rank, what)
    w = checked_weight(weight, rank, what, x.dtype)
    geometry = ConvGeometry.make(w.shape[2:], stride, padding, dilation, groups, input_size=x.shape[2:], operation=what)
    if x.shape[1] != w.shape[1] * groups:
        raise GeometryError(
            f"{what}: input channels {x.shape[1]} != weight channels {w.shape[1]} x groups {groups} (= {w.shape[1] * groups}); "
            f"x {x.shape}, w {w.shape}"
        )
    if w.shape[0] % groups:
        raise GeometryError(f"{what}: output channels {w.shape[0]} do not divide by groups {groups}; w {w.shape}")
    geometry.output_size(x.shape[2:], what)
    if flip_kernel:
        w = flip(w, tuple(range(2, w.ndim)))
    extra = _extras(bias, residual, w.shape[0], what)
    return make(
        "conv",
        x,
        w,
        *extra,
        geometry=geometry,
        direction=Pass.FORWARD,
        bias=bias is not None,
        residual=residual is not None,
        activation=_activation(activation, what),
        algorithm=algorithm,
        strict=strict,
        operation=what,
    )


@operation
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    flip_kernel: bool = False,
    activation: Activation = None,
    residual: Any = None,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Cross-correlation over one axis: x (N, C, L), weight (K, C/groups, m), bias (K,) -> (N, K, L'). See conv2d."""
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups, flip_kernel, activation, residual, algorithm, strict)


@operation
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    flip_kernel: bool = False,
    activation: Activation = None,
    residual: Any = None,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Cross-correlation over two axes, as torch.nn.functional.conv2d: x (N, C, H, W), weight (K, C/groups, R, S) -> (N, K, H', W').

    `padding`: an int, one per axis, a (begin, end) pair per axis, or "valid" (narrow), "same", "full" (wide).
    `flip_kernel=True` turns the kernel by 180 degrees: convolution as mathematics defines it. `activation` ("relu" or
    ("leaky_relu", slope)) and `residual` (added before it, shaped like the result) are fused into the kernel. `strict=True` leaves out
    minimal filtering (Winograd), which rounds more than a straight sum and spreads a NaN or infinity of x over the tiles that read it.
    Raises GeometryError where sizes do not fit, ArrayError for arrays that cannot be taken.

    >>> y = conv2d(x, w, b, stride=2, padding=1, activation="relu")   # doctest: +SKIP
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups, flip_kernel, activation, residual, algorithm, strict)


@operation
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    flip_kernel: bool = False,
    activation: Activation = None,
    residual: Any = None,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Cross-correlation over three axes: x (N, C, D, H, W), weight (K, C/groups, T, R, S) -> (N, K, D', H', W'). See conv2d."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups, flip_kernel, activation, residual, algorithm, strict)


def _transpose(
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: IntLike,
    padding: Padding,
    output_padding: IntLike,
    groups: int,
    dilation: IntLike,
    activation: Activation,
    algorithm: str | None,
    strict: bool,
) -> Node:
    what = f"conv_transpose{rank}d"
    x = batched(input, rank, what)
    w = checked_weight(weight, rank, what, x.dtype)
    geometry = ConvGeometry.make(w.shape[2:], stride, padding, dilation, groups, output_padding, operation=what)
    if x.shape[1] != w.shape[0]:
        raise GeometryError(f"{what}: input channels {x.shape[1]} != weight's first axis {w.shape[0]}; x {x.shape}, w {w.shape}")
    if w.shape[0] % groups:
        raise GeometryError(f"{what}: input channels {w.shape[0]} do not divide by groups {groups}; w {w.shape}")
    size = geometry.transposed_output_size(x.shape[2:], what)
    extra = _extras(bias, None, w.shape[1] * groups, what)
    return make(
        "conv",
        x,
        w,
        *extra,
        geometry=geometry,
        direction=Pass.BACKWARD_DATA,
        size=size,
        bias=bias is not None,
        transposed=True,
        activation=_activation(activation, what),
        algorithm=algorithm,
        strict=strict,
        operation=what,
    )


@operation
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntLike = 1,
    padding: Padding = 0,
    output_padding: IntLike = 0,
    groups: int = 1,
    dilation: IntLike = 1,
    *,
    activation: Activation = None,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Transposed convolution over one axis: x (N, C, p), weight (C, K/groups, m) -> (N, K, s (p - 1) + m - pads). See conv_transpose2d."""
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation, activation, algorithm, strict)


@operation
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntLike = 1,
    padding: Padding = 0,
    output_padding: IntLike = 0,
    groups: int = 1,
    dilation: IntLike = 1,
    *,
    activation: Activation = None,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Transposed (fractionally strided) convolution, as torch.nn.functional.conv_transpose2d.

    x (N, C, H, W), weight (C, K/groups, R, S) -> (N, K, s (H - 1) + R' - pads + output_padding, ...). No inserted zeros are multiplied.
    """
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation, activation, algorithm, strict)


@operation
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntLike = 1,
    padding: Padding = 0,
    output_padding: IntLike = 0,
    groups: int = 1,
    dilation: IntLike = 1,
    *,
    activation: Activation = None,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Transposed convolution over three axes. See conv_transpose2d."""
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation, activation, algorithm, strict)
