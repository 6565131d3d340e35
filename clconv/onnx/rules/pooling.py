"""Pooling over windows and over whole maps."""

from __future__ import annotations

import math

import numpy as np

import clconv.functional as F
from clconv.functional.pooling import lp_over
from clconv.geometry import PoolGeometry, effective_kernel
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.elementwise import Body
from clconv.graph.ops.reduce import sum_over
from clconv.graph.ops.shape import item, window
from clconv.onnx.rules.base import Call, Rule, Rules, as_pair
from clconv.onnx.rules.window import Window, read_window

MOST_EXACT = 2**24
"""Positions are counted in float32 on the way out, which holds whole numbers up to here."""


def _read(call: Call) -> tuple[Node, Window, bool]:
    """x (N, C, spatial...), the window, and whether a last window may be incomplete."""
    x = call.node(0)
    if x.ndim not in (3, 4, 5):
        raise call.error(f"input of shape {x.shape} must have N, C and 1, 2 or 3 spatial axes")
    ceil = call.version >= 10 and call.attributes.flag("ceil_mode")
    return x, read_window(call, None, x.shape[2:]), ceil


def _geometry(call: Call, x: Node, span: Window, ceil: bool) -> PoolGeometry:
    """Padding may be more than half of a window, unlike in torch, but no window may lie in it altogether."""
    reach = effective_kernel(span.kernel, span.dilation)
    if any(max(pads) >= m for pads, m in zip(span.padding, reach, strict=True)):
        raise call.error(f"attribute pads {list(span.padding)} must be less than the windows' reach {list(reach)}")
    geometry = PoolGeometry(span.kernel, span.stride, span.padding, span.dilation, ceil)
    geometry.output_size(x.shape[2:], call.operation.op_type)
    return geometry


def max_pool(call: Call) -> Node | tuple[Node, Node]:
    """Maxima, and where they are: counted over the whole tensor, by columns with storage_order 1."""
    x, span, ceil = _read(call)
    by_columns = call.version >= 8 and call.attributes.flag("storage_order")
    pooled = make("pool", x, kind="max", geometry=_geometry(call, x, span, ceil), with_indices=True)
    values = item(pooled, 0)
    if len(call.operation.outputs) < 2 or not call.operation.outputs[1]:
        return values
    return values, _flat_indices(call, item(pooled, 1), x.shape, by_columns)


def _flat_indices(call: Call, places: Node, shape: tuple[int, ...], by_columns: bool) -> Node:
    """Positions in planes as positions in the tensor."""
    if math.prod(shape) > MOST_EXACT:
        raise call.error(f"the input of shape {shape} has more than {MOST_EXACT} elements, too many to say where a maximum lies")
    call.reserve(math.prod(shape[:2]))
    planes = _plane_numbers(shape[:2], len(shape)) * math.prod(shape[2:])
    body = Body((("y0", "x0 + x1"),))
    if by_columns and len(shape) > 3:
        # The last axis counts slowest: of plane, rows and columns, the position is (column * rows + row) * planes + plane.
        *deep, rows, columns = shape[2:]
        depth = math.prod(deep)
        sizes = np.array([columns, rows, depth], np.float32)
        parts = (
            ("t0", "floor((x0 + 0.5f) / x2)"), ("t1", "floor((t0 + 0.5f) / x3)"),
            ("y0", "((x0 - t0 * x2) * x3 + (t0 - t1 * x3)) * x4 + t1 + x1"),
        )  # fmt: skip
        return make("map", places, as_node(planes), *(as_node(sizes[i : i + 1]) for i in range(3)), body=Body(parts), named="flat_indices")
    return make("map", places, as_node(planes), body=body, named="flat_indices")


def _plane_numbers(planes: tuple[int, ...], rank: int) -> np.ndarray:
    return np.arange(math.prod(planes), dtype=np.float32).reshape(*planes, *(1,) * (rank - 2))


def max_unpool(call: Call) -> Node:
    """Maxima back to where MaxPool found them, in a tensor of `output_shape` or as large as strides and kernel say.

    Positions that a MaxPool of the network gives count in what it pooled, which therefore is the result's size; those that are constants
    count, as in ONNX's own tests, in the size that strides and kernel give, and what `output_shape` adds is zero.
    """
    x, found, read = call.node(0), call.value(1), call.attributes
    rank = x.ndim - 2
    kernel = read.integers("kernel_shape", rank, least=1)
    stride = read.integers("strides", rank, (1,) * rank, least=1)
    pads = as_pair(read.integers("pads", 2 * rank, (0,) * (2 * rank), least=0))
    size = tuple((n - 1) * s + m - a - b for n, s, m, (a, b) in zip(x.shape[2:], stride, kernel, pads, strict=True))
    wanted = call.integers(2) if call.has(2) else (*x.shape[:2], *size)
    if isinstance(found, Node):
        if found.attributes.get("named") != "flat_indices" or len(found.inputs) > 2:
            raise call.error("indices must be the second output of a MaxPool with storage_order 0, or constants")
        places = found.inputs[0]
        pooled = places.inputs[0].inputs[0].shape
        if wanted != pooled:
            raise call.error(f"an output of {list(wanted)} does not fit indices that count in what was pooled, {list(pooled)}")
        return make("unpool", x, places, size=pooled[2:])
    elements = math.prod(size)
    call.reserve(4 * x.spec.elements)
    rows = np.asarray(found).reshape(x.shape) - _plane_numbers(x.shape[:2], x.ndim).astype(np.int64) * elements
    y = make("unpool", x, as_node(np.where((rows >= 0) & (rows < elements), rows, -1).astype(np.int32)), size=size)
    if len(wanted) != x.ndim or any(n < m for n, m in zip(wanted, y.shape, strict=True)):
        raise call.error(f"output_shape {list(wanted)} must hold the positions of the {list(y.shape)} that strides and kernel give")
    return window(y, tuple((0, n - m) for n, m in zip(wanted, y.shape, strict=True)))


def average_pool(call: Call) -> Node:
    x, span, ceil = _read(call)
    count_padding = call.version >= 7 and call.attributes.flag("count_include_pad")
    if _covers_all(x, span, ceil) and (not count_padding or not any(map(any, span.padding))):
        whole: Node = F.global_avg_pool(x)
        return whole
    return make("pool", x, kind="avg", geometry=_geometry(call, x, span, ceil), count_include_pad=count_padding, divisor=None)


def _covers_all(x: Node, span: Window, ceil: bool) -> bool:
    """Whether there is one window alone, which holds the whole map."""
    axes = zip(x.shape[2:], span.kernel, span.stride, span.padding, span.dilation, strict=True)
    return all(d == 1 and m >= n + begin and 0 <= n + begin + end - m < (1 if ceil else s) for n, m, s, (begin, end), d in axes)


def lp_pool(call: Call) -> Node:
    """The p-th root of the sum of |x|^p over windows."""
    x, span, ceil = _read(call)
    p = _exponent(call)
    return lp_over(_powers(x, p), p, _geometry(call, x, span, ceil))


def global_lp_pool(call: Call) -> Node:
    x, p = call.node(0), _exponent(call)
    return make("pow", sum_over(_powers(x, p), tuple(range(2, x.ndim))), 1.0 / p)


def _exponent(call: Call) -> float:
    p = call.attributes.number("p", 2.0) if call.version < 2 else float(call.attributes.integer("p", 2))
    if p < 1:
        raise call.error(f"attribute p must be at least 1, got {p}")
    return p


def _powers(x: Node, p: float) -> Node:
    return make("square", x) if p == 2 else make("pow", make("abs", x), p)


def global_average_pool(call: Call) -> Node:
    result: Node = F.global_avg_pool(call.node(0))
    return result


def global_max_pool(call: Call) -> Node:
    result: Node = F.global_max_pool(call.node(0))
    return result


RULES: Rules = {
    "AveragePool": Rule(average_pool, (1, 1)),
    "GlobalAveragePool": Rule(global_average_pool, (1, 1)),
    "GlobalLpPool": Rule(global_lp_pool, (1, 1)),
    "GlobalMaxPool": Rule(global_max_pool, (1, 1)),
    "LpPool": Rule(lp_pool, (1, 1)),
    "MaxPool": Rule(max_pool, (1, 1)),
    "MaxUnpool": Rule(max_unpool, (2, 3), host=(1, 2)),
}
