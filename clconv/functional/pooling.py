"""Pooling (torch.nn.functional.max_pool*, avg_pool*, adaptive_avg_pool*)."""

from __future__ import annotations

from typing import Any

from clconv.errors import GeometryError
from clconv.functional.check import batched, floating
from clconv.functional.eager import operation
from clconv.geometry import IntLike, Padding, PoolGeometry, per_axis
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.graph.ops.reduce import mean_over
from clconv.graph.ops.shape import item


def _max_pool(
    rank: int,
    input: Any,
    kernel: IntLike,
    stride: IntLike | None,
    padding: Padding,
    dilation: IntLike,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    what = f"max_pool{rank}d"
    x = batched(input, rank, what)
    geometry = PoolGeometry.make(kernel, stride, padding, dilation, ceil_mode, rank=rank, input_size=x.shape[2:], operation=what)
    geometry.output_size(x.shape[2:], what)
    node = make("pool", x, kind="max", geometry=geometry, with_indices=True)
    return (item(node, 0), item(node, 1)) if return_indices else item(node, 0)


@operation
def max_pool1d(
    input: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: Padding = 0,
    dilation: IntLike = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of one axis: (N, C, L) -> (N, C, L'). See max_pool2d."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@operation
def max_pool2d(
    input: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: Padding = 0,
    dilation: IntLike = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows: (N, C, H, W) -> (N, C, H', W'), as torch.nn.functional.max_pool2d.

    Padding never wins, NaN does. With `return_indices` also the position of each maximum in its input plane (int32).

    >>> y = max_pool2d(x, 3, stride=2, padding=1)   # doctest: +SKIP
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@operation
def max_pool3d(
    input: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: Padding = 0,
    dilation: IntLike = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of three axes. See max_pool2d."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    rank: int,
    input: Any,
    kernel: IntLike,
    stride: IntLike | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Node:
    what = f"avg_pool{rank}d"
    x = batched(input, rank, what)
    geometry = PoolGeometry.make(kernel, stride, padding, 1, ceil_mode, rank=rank, input_size=x.shape[2:], operation=what)
    geometry.output_size(x.shape[2:], what)
    if divisor_override is not None and (not isinstance(divisor_override, int) or divisor_override == 0):
        raise GeometryError(f"{what}: divisor_override must be a whole number other than 0, got {divisor_override!r}")
    return make("pool", x, kind="avg", geometry=geometry, count_include_pad=bool(count_include_pad), divisor=divisor_override)


@operation
def avg_pool1d(
    input: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean over windows of one axis. See avg_pool2d."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@operation
def avg_pool2d(
    input: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Mean over windows: (N, C, H, W) -> (N, C, H', W'), as torch.nn.functional.avg_pool2d.

    Divides by the window's size clipped to input and padding (without the padding where `count_include_pad` is false), or by
    `divisor_override`.
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@operation
def avg_pool3d(
    input: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Mean over windows of three axes. See avg_pool2d."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive(rank: int, input: Any, output_size: Any) -> Node:
    what = f"adaptive_avg_pool{rank}d"
    x = batched(input, rank, what)
    wanted = output_size if isinstance(output_size, list | tuple) else (output_size,) * rank
    if len(wanted) == rank:
        wanted = tuple(n if o is None else o for o, n in zip(wanted, x.shape[2:], strict=True))
    sizes = per_axis(wanted, rank, "output_size", 1, what)
    if sizes == (1,) * rank:
        return mean_over(x, tuple(range(2, x.ndim)))
    if all(n % o == 0 for n, o in zip(x.shape[2:], sizes, strict=True)):
        window = tuple(n // o for n, o in zip(x.shape[2:], sizes, strict=True))
        return x if window == (1,) * rank else make("pool", x, kind="avg", geometry=PoolGeometry.make(window, rank=rank, operation=what))
    return make("pool", x, kind="adaptive_avg", out_size=sizes)


@operation
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Mean over `output_size` windows of equal or nearly equal length along one axis. See adaptive_avg_pool2d."""
    return _adaptive(1, input, output_size)


@operation
def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Mean over windows floor(i n / o) .. ceil((i + 1) n / o): (N, C, H, W) -> (N, C, *output_size); None keeps an axis, as in torch."""
    return _adaptive(2, input, output_size)


@operation
def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Mean over windows of three axes. See adaptive_avg_pool2d."""
    return _adaptive(3, input, output_size)


def _spatial(input: Any, what: str) -> Node:
    x = floating(input, what)
    if not 3 <= x.ndim <= 5:
        raise GeometryError(f"{what}: input must have N, C and 1 to 3 spatial axes, got shape {x.shape}")
    return batched(x, x.ndim - 2, what)


@operation
def global_avg_pool(input: Any) -> Any:
    """Mean over all spatial axes, which stay with length 1 (ONNX GlobalAveragePool)."""
    x = _spatial(input, "global_avg_pool")
    return mean_over(x, tuple(range(2, x.ndim)))


@operation
def global_max_pool(input: Any) -> Any:
    """Maximum over all spatial axes, which stay with length 1 (ONNX GlobalMaxPool)."""
    x = _spatial(input, "global_max_pool")
    geometry = PoolGeometry.make(x.shape[2:], rank=x.ndim - 2, operation="global_max_pool")
    return item(make("pool", x, kind="max", geometry=geometry, with_indices=True), 0)
