"""Pooling over windows and over whole maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import clconv.functional as F
from clconv.graph.node import Node
from clconv.onnx.rules.base import Call, Rule, Rules
from clconv.onnx.rules.window import Window, read_window

_MAX: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG: dict[int, Callable[..., Any]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _read(call: Call) -> tuple[Node, Window, bool]:
    """x (N, C, spatial...), the window, and whether a last window may be incomplete."""
    x = call.node(0)
    if x.ndim not in (3, 4, 5):
        raise call.error(f"input of shape {x.shape} must have N, C and 1, 2 or 3 spatial axes")
    return x, read_window(call, None, x.shape[2:]), call.attributes.flag("ceil_mode")


def max_pool(call: Call) -> Node:
    """The values alone: nobody may read the positions of the maxima."""
    x, window, ceil = _read(call)
    call.attributes.flag("storage_order")  # the order in which positions would be counted
    result: Node = _MAX[x.ndim - 2](x, window.kernel, window.stride, window.padding, window.dilation, ceil)
    return result


def average_pool(call: Call) -> Node:
    x, window, ceil = _read(call)
    count_padding = call.attributes.flag("count_include_pad")
    if set(window.dilation) != {1}:
        raise call.error(f"attribute dilations {list(window.dilation)} is not supported for means; only 1 is")
    if _covers_all(x, window, ceil) and (not count_padding or not any(map(any, window.padding))):
        whole: Node = F.global_avg_pool(x)
        return whole
    result: Node = _AVG[x.ndim - 2](x, window.kernel, window.stride, window.padding, ceil, count_padding)
    return result


def _covers_all(x: Node, window: Window, ceil: bool) -> bool:
    """Whether there is one window alone, which holds the whole map."""
    axes = zip(x.shape[2:], window.kernel, window.stride, window.padding, strict=True)
    return all(m >= n + begin and 0 <= n + begin + end - m < (1 if ceil else s) for n, m, s, (begin, end) in axes)


def global_average_pool(call: Call) -> Node:
    result: Node = F.global_avg_pool(call.node(0))
    return result


def global_max_pool(call: Call) -> Node:
    result: Node = F.global_max_pool(call.node(0))
    return result


RULES: Rules = {
    "AveragePool": Rule(average_pool, (1, 1)),
    "GlobalAveragePool": Rule(global_average_pool, (1, 1)),
    "GlobalMaxPool": Rule(global_max_pool, (1, 1)),
    "MaxPool": Rule(max_pool, (1, 1)),
}
