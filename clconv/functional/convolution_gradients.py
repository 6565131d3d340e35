"""Gradients of convolution by themselves, as torch.nn.grad has them."""

from __future__ import annotations

from typing import Any

from clconv.errors import GeometryError
from clconv.functional.check import batched
from clconv.functional.convolution import checked_weight
from clconv.functional.eager import operation
from clconv.geometry import ConvGeometry, IntLike, Padding, Size, per_axis
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.problem import Pass


def _shape(sizes: object, rank: int, name: str, least: int, what: str) -> tuple[int, ...]:
    if not isinstance(sizes, list | tuple) or len(sizes) != rank + 2:
        raise GeometryError(f"{what}: {name} {sizes!r} must hold {rank + 2} sizes, {rank} of them spatial")
    return per_axis(tuple(sizes), rank + 2, name, least, what)


def _input_gradient(
    rank: int,
    input_size: Size,
    weight: Any,
    grad_output: Any,
    stride: IntLike,
    padding: Padding,
    dilation: IntLike,
    groups: int,
    algorithm: str | None,
    strict: bool,
) -> Node:
    what = f"conv{rank}d_input"
    dy = batched(grad_output, rank, what)
    w = checked_weight(weight, rank, what, dy.dtype)
    shape = _shape(input_size, rank, "input_size", 0, what)
    geometry = ConvGeometry.make(w.shape[2:], stride, padding, dilation, groups, input_size=shape[2:], operation=what)
    expected = (shape[0], w.shape[0], *geometry.output_size(shape[2:], what))
    if dy.shape != expected or shape[1] != w.shape[1] * groups:
        raise GeometryError(
            f"{what}: grad_output {dy.shape} must be {expected} for input {shape} and weight {w.shape} with groups {groups}"
        )
    return make(
        "conv",
        dy,
        w,
        geometry=geometry,
        direction=Pass.BACKWARD_DATA,
        size=shape[2:],
        algorithm=algorithm,
        strict=strict,
        operation=what,
    )


def _weight_gradient(
    rank: int,
    input: Any,
    weight_size: Size,
    grad_output: Any,
    stride: IntLike,
    padding: Padding,
    dilation: IntLike,
    groups: int,
    algorithm: str | None,
) -> Node:
    what = f"conv{rank}d_weight"
    x, dy = batched(input, rank, what), batched(grad_output, rank, what)
    shape = _shape(weight_size, rank, "weight_size", 1, what)
    geometry = ConvGeometry.make(shape[2:], stride, padding, dilation, groups, input_size=x.shape[2:], operation=what)
    expected = (x.shape[0], shape[0], *geometry.output_size(x.shape[2:], what))
    if dy.shape != expected or x.shape[1] != shape[1] * groups:
        raise GeometryError(
            f"{what}: grad_output {dy.shape} must be {expected} for input {x.shape} and weight {shape} with groups {groups}"
        )
    return make("conv", x, dy, geometry=geometry, direction=Pass.BACKWARD_WEIGHTS, algorithm=algorithm, operation=what)


@operation
def conv1d_input(
    input_size: Size,
    weight: Any,
    grad_output: Any,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Gradient of conv1d with respect to its input of shape `input_size` (torch.nn.grad.conv1d_input)."""
    return _input_gradient(1, input_size, weight, grad_output, stride, padding, dilation, groups, algorithm, strict)


@operation
def conv2d_input(
    input_size: Size,
    weight: Any,
    grad_output: Any,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Gradient of conv2d with respect to its input of shape `input_size` (torch.nn.grad.conv2d_input). `strict` as in conv2d."""
    return _input_gradient(2, input_size, weight, grad_output, stride, padding, dilation, groups, algorithm, strict)


@operation
def conv3d_input(
    input_size: Size,
    weight: Any,
    grad_output: Any,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    algorithm: str | None = None,
    strict: bool = False,
) -> Any:
    """Gradient of conv3d with respect to its input of shape `input_size` (torch.nn.grad.conv3d_input)."""
    return _input_gradient(3, input_size, weight, grad_output, stride, padding, dilation, groups, algorithm, strict)


@operation
def conv1d_weight(
    input: Any,
    weight_size: Size,
    grad_output: Any,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    algorithm: str | None = None,
) -> Any:
    """Gradient of conv1d with respect to its weight of shape `weight_size` (torch.nn.grad.conv1d_weight)."""
    return _weight_gradient(1, input, weight_size, grad_output, stride, padding, dilation, groups, algorithm)


@operation
def conv2d_weight(
    input: Any,
    weight_size: Size,
    grad_output: Any,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    algorithm: str | None = None,
) -> Any:
    """Gradient of conv2d with respect to its weight of shape `weight_size` (torch.nn.grad.conv2d_weight)."""
    return _weight_gradient(2, input, weight_size, grad_output, stride, padding, dilation, groups, algorithm)


@operation
def conv3d_weight(
    input: Any,
    weight_size: Size,
    grad_output: Any,
    stride: IntLike = 1,
    padding: Padding = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    *,
    algorithm: str | None = None,
) -> Any:
    """Gradient of conv3d with respect to its weight of shape `weight_size` (torch.nn.grad.conv3d_weight)."""
    return _weight_gradient(3, input, weight_size, grad_output, stride, padding, dilation, groups, algorithm)
