"""Pooling (torch.nn.functional.max_pool*, avg_pool*, adaptive_avg_pool*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clconv.errors import GeometryError
from clconv.functional.check import batched, floating, number
from clconv.functional.eager import operation
from clconv.geometry import IntLike, Padding, PoolGeometry, Size, adaptive_window, per_axis
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.reduce import mean_over
from clconv.graph.ops.resample import take
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
    sizes = _adaptive_sizes(x, output_size, rank, what)
    if sizes == (1,) * rank:
        return mean_over(x, tuple(range(2, x.ndim)))
    if all(n % o == 0 for n, o in zip(x.shape[2:], sizes, strict=True)):
        window = tuple(n // o for n, o in zip(x.shape[2:], sizes, strict=True))
        return x if window == (1,) * rank else make("pool", x, kind="avg", geometry=PoolGeometry.make(window, rank=rank, operation=what))
    return make("pool", x, kind="adaptive_avg", out_size=sizes)


def _adaptive_sizes(x: Node, output_size: Any, rank: int, what: str) -> Size:
    wanted = output_size if isinstance(output_size, list | tuple) else (output_size,) * rank
    if len(wanted) == rank:
        wanted = tuple(n if o is None else o for o, n in zip(wanted, x.shape[2:], strict=True))
    return per_axis(wanted, rank, "output_size", 1, what)


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


def _adaptive_max(rank: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    what = f"adaptive_max_pool{rank}d"
    x = batched(input, rank, what)
    sizes = _adaptive_sizes(x, output_size, rank, what)
    if any(n % o for n, o in zip(x.shape[2:], sizes, strict=True)):
        if return_indices:
            raise GeometryError(f"{what}: indices need sizes that divide the input, got {x.shape[2:]} -> {sizes}")
        windows = [[adaptive_window(n, o, i) for i in range(o)] for n, o in zip(x.shape[2:], sizes, strict=True)]
        lengths = [max(end - begin for begin, end in axis) for axis in windows]
        for axis, (spans, length) in enumerate(zip(windows, lengths, strict=True), 2):
            # Windows of one length, the shorter ones with their first element again.
            x = take(x, axis, [i if i < end else begin for begin, end in spans for i in range(begin, begin + length)])
    else:
        lengths = [n // o for n, o in zip(x.shape[2:], sizes, strict=True)]
    node = make("pool", x, kind="max", geometry=PoolGeometry.make(tuple(lengths), rank=rank, operation=what), with_indices=True)
    return (item(node, 0), item(node, 1)) if return_indices else item(node, 0)


@operation
def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over `output_size` windows of equal or nearly equal length along one axis. See adaptive_max_pool2d."""
    return _adaptive_max(1, input, output_size, return_indices)


@operation
def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over windows floor(i n / o) .. ceil((i + 1) n / o): (N, C, H, W) -> (N, C, *output_size); None keeps an axis, as in torch.

    Indices are given where the output's sizes divide the input's.
    """
    return _adaptive_max(2, input, output_size, return_indices)


@operation
def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over windows of three axes. See adaptive_max_pool2d."""
    return _adaptive_max(3, input, output_size, return_indices)


def _lp_pool(
    rank: int, input: Any, norm_type: float, kernel: IntLike, stride: IntLike | None, ceil_mode: bool
) -> Node:
    what = f"lp_pool{rank}d"
    x = batched(input, rank, what)
    p = number(norm_type, "norm_type", what)
    if p <= 0:
        raise GeometryError(f"{what}: norm_type must be above 0, got {norm_type}")
    geometry = PoolGeometry.make(kernel, stride, 0, 1, ceil_mode, rank=rank, input_size=x.shape[2:], operation=what)
    return lp_over(make("pow", x, p), p, geometry)


def lp_over(powers: Node, p: float, geometry: PoolGeometry) -> Node:
    """The p-th root of the sum of `powers` over windows; windows that reach beyond the end count what is there."""
    total = make("pool", powers, kind="avg", geometry=geometry, count_include_pad=True, divisor=1)
    return make("pow", total, 1.0 / p)


@operation
def lp_pool1d(input: Any, norm_type: float, kernel_size: IntLike, stride: IntLike | None = None, ceil_mode: bool = False) -> Any:
    """The p-norm over windows of one axis. See lp_pool2d."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


@operation
def lp_pool2d(input: Any, norm_type: float, kernel_size: IntLike, stride: IntLike | None = None, ceil_mode: bool = False) -> Any:
    """The p-th root of the sum of x^p over windows, as torch.nn.functional.lp_pool2d; odd p want inputs that are not negative."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


@operation
def lp_pool3d(input: Any, norm_type: float, kernel_size: IntLike, stride: IntLike | None = None, ceil_mode: bool = False) -> Any:
    """The p-norm over windows of three axes. See lp_pool2d."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _max_unpool(
    rank: int, input: Any, indices: Any, kernel: IntLike, stride: IntLike | None, padding: IntLike, output_size: Sequence[int] | None
) -> Node:
    what = f"max_unpool{rank}d"
    x = batched(input, rank, what)
    steps = per_axis(kernel if stride is None else stride, rank, "stride", 1, what)
    windows, pads = per_axis(kernel, rank, "kernel_size", 1, what), per_axis(padding, rank, "padding", 0, what)
    size = tuple((n - 1) * s - 2 * a + m for n, s, a, m in zip(x.shape[2:], steps, pads, windows, strict=True))
    if output_size is not None:
        wanted = tuple(output_size)[-rank:]
        if len(wanted) != rank or any(abs(n - o) >= s for n, o, s in zip(size, wanted, steps, strict=True)):
            raise GeometryError(f"{what}: output_size {tuple(output_size)} must lie less than a stride {steps} from {size}")
        size = wanted
    if any(n < 1 for n in size):
        raise GeometryError(f"{what}: the output would have size {size}; padding {pads} is too large")
    return make("unpool", x, as_node(indices, what), size=size)


@operation
def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: IntLike = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Maxima back to where they were, zeros elsewhere. See max_unpool2d."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


@operation
def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: IntLike = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Maxima back to where they were, zeros elsewhere, as torch.nn.functional.max_unpool2d; `indices` (int32) are those of max_pool2d.

    Of several maxima at one position the last one stays; positions outside of the plane are left out.
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


@operation
def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: IntLike,
    stride: IntLike | None = None,
    padding: IntLike = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Maxima back to where they were, zeros elsewhere. See max_unpool2d."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


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
