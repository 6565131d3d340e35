"""Convolution, its transpose and pooling of any geometry as the one PyTorch call that does them, after a padding where sides differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F

from clconv.errors import UnsupportedError
from clconv.geometry import ConvGeometry, Pads, PoolGeometry, Size

Call = Callable[..., Any]

CONVOLUTIONS: dict[int, Call] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Call] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAXIMA: dict[int, Call] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEANS: dict[int, Call] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def conv(geometry: ConvGeometry) -> Call:
    """(x, w, bias or None) -> y."""
    g, call = geometry, CONVOLUTIONS[geometry.rank]
    if _even(g.padding):
        padding = tuple(a for a, _ in g.padding)
        return lambda x, w, b=None: call(x, w, b, g.stride, padding, g.dilation, g.groups)
    outer = _outer(g.padding)
    return lambda x, w, b=None: call(F.pad(x, outer), w, b, g.stride, 0, g.dilation, g.groups)


def conv_transpose(geometry: ConvGeometry, size: Size, output_size: Size) -> Call:
    """(dy of the convolution, w, bias or None) -> an array of the convolution's input size."""
    g, call = geometry, TRANSPOSED[geometry.rank]
    even = _even(g.padding)
    padding = tuple(a if even else 0 for a, _ in g.padding)
    reach = [(n - 1) * s + m for n, s, m in zip(output_size, g.stride, g.effective_kernel, strict=True)]
    missing = tuple(max(0, n + (2 * p if even else 0) - r) if even else 0 for n, p, r in zip(size, padding, reach, strict=True))
    if even:
        return lambda x, w, b=None: call(x, w, b, g.stride, padding, missing, g.groups, g.dilation)
    cut = [n for (a, _), n_in, r in reversed(list(zip(g.padding, size, reach, strict=True))) for n in (-a, n_in + a - r)]
    return lambda x, w, b=None: F.pad(call(x, w, b, g.stride, 0, 0, g.groups, g.dilation), cut)


def max_pool(geometry: PoolGeometry, with_indices: bool = False) -> Call:
    """x -> y, or (y, indices)."""
    g, call = geometry, MAXIMA[len(geometry.kernel)]
    if _fits(g):
        padding = tuple(a for a, _ in g.padding)
        return lambda x: call(x, g.kernel, g.stride, padding, g.dilation, g.ceil_mode, with_indices)
    outer = _outer(g.padding)
    return lambda x: call(F.pad(x, outer, value=-math.inf), g.kernel, g.stride, 0, g.dilation, g.ceil_mode, with_indices)


def average_pool(geometry: PoolGeometry, count_include_pad: bool, divisor: int | None) -> Call:
    """x -> y."""
    g, rank = geometry, len(geometry.kernel)
    call = MEANS[rank]
    if not _fits(g) and not (count_include_pad and not g.ceil_mode):
        raise UnsupportedError("PyTorch has no mean over windows that do not count a one-sided padding")
    even = _fits(g)
    padding, outer = tuple(a if even else 0 for a, _ in g.padding), _outer(g.padding)
    options: tuple[Any, ...] = (g.kernel, g.stride, padding, g.ceil_mode, count_include_pad) + ((divisor,) if rank > 1 else ())
    return lambda x: call(x if even else F.pad(x, outer), *options)


def _even(pads: Pads) -> bool:
    return all(a == b for a, b in pads)


def _fits(geometry: PoolGeometry) -> bool:
    """Whether PyTorch's pooling takes the padding itself: both sides alike, at most half of the window."""
    return _even(geometry.padding) and all(2 * a <= m for (a, _), m in zip(geometry.padding, geometry.kernel, strict=True))


def _outer(pads: Pads) -> list[int]:
    """The argument of F.pad: (begin, end) from the last axis backwards."""
    return [n for pair in reversed(pads) for n in pair]
