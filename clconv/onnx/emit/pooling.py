"""Pooling, the positions of maxima, and the way back to them.

clconv counts positions in each plane, ONNX in the whole tensor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clconv.geometry import PoolGeometry, Size, adaptive_window, effective_kernel
from clconv.graph.node import Node
from clconv.onnx.emit.base import ENDLESS, Rules, onnx_pads, reduced, refuse, sliced
from clconv.onnx.writer import Writer


def pool(writer: Writer, node: Node) -> str:
    x = writer.value(node.inputs[0])
    if node["kind"] == "adaptive_avg":
        return _adaptive_mean(writer, x, node.inputs[0].shape[2:], node["out_size"])
    if node["kind"] == "max":
        maxima, positions = _maximum(writer, node)
        writer.set_second(node, positions)
        return maxima
    return _mean(writer, node, x)


def _window(geometry: PoolGeometry) -> dict[str, Any]:
    return {"kernel_shape": geometry.kernel, "strides": geometry.stride, "pads": onnx_pads(geometry.padding)}


def _rounded(node: Node) -> dict[str, Any]:
    """The window and how it ends. Where the last one would begin in the padding, and so is dropped, ONNX's older operators count it all
    the same: there, padding that ends with the last window says how many there are."""
    geometry = node["geometry"]
    reach = effective_kernel(geometry.kernel, geometry.dilation)
    axes = list(zip(node.inputs[0].shape[2:], node.shape[2:], reach, geometry.stride, geometry.padding, strict=True))
    dropped = geometry.ceil_mode and any(-(-(n + begin + end - m) // s) + 1 != out for n, out, m, s, (begin, end) in axes)
    if not dropped:
        return {**_window(geometry), "ceil_mode": int(geometry.ceil_mode)}
    pads = tuple((begin, max(0, (out - 1) * s + m - n - begin)) for n, out, m, s, (begin, _) in axes)
    return {**_window(geometry), "pads": onnx_pads(pads), "ceil_mode": 0}


def _maximum(writer: Writer, node: Node, storage_order: int | None = None) -> tuple[str, str]:
    """The maxima, and where they lie in the whole tensor; what nobody reads is left out of the file."""
    window = {**_rounded(node), "dilations": node["geometry"].dilation, "storage_order": storage_order}
    return writer.emit_pair("MaxPool", writer.value(node.inputs[0]), **window)


def _mean(writer: Writer, node: Node, x: str) -> str:
    """A divisor of one's own turns means over padding and all, also what the last windows would have beyond it, into sums."""
    geometry, divisor = node["geometry"], node.attributes.get("divisor")
    dilation = geometry.dilation if is_dilated_mean(node) else None
    if divisor is None:
        counted = int(node.attributes.get("count_include_pad", True))
        return writer.emit("AveragePool", x, **_rounded(node), dilations=dilation, count_include_pad=counted)
    reach = effective_kernel(geometry.kernel, geometry.dilation)
    axes = zip(node.inputs[0].shape[2:], node.shape[2:], reach, geometry.stride, geometry.padding, strict=True)
    pads = tuple((begin, max(0, (out - 1) * s + m - n - begin) if geometry.ceil_mode else end) for n, out, m, s, (begin, end) in axes)
    window = {**_window(geometry), "pads": onnx_pads(pads), "dilations": dilation}
    mean = writer.emit("AveragePool", x, **window, ceil_mode=0, count_include_pad=1)
    return writer.emit("Mul", mean, writer.constant(np.array(math.prod(geometry.kernel) / divisor, node.dtype)))


def is_dilated_mean(node: Node) -> bool:
    """Whether it is a mean over windows with gaps, which ONNX has had since operator set 19."""
    return node.op == "pool" and node["kind"] == "avg" and any(d > 1 for d in node["geometry"].dilation)


def _adaptive_mean(writer: Writer, x: str, size: Size, outputs: Size) -> str:
    """Windows of unequal length one by one, axis after axis: the mean over a box is the mean of means."""
    for axis, (n, out) in enumerate(zip(size, outputs, strict=True), 2):
        if out == 1:
            x = reduced(writer, "ReduceMean", x, (axis,))
        elif n != out:
            spans = (adaptive_window(n, out, i) for i in range(out))
            windows = (x if (a, b) == (0, n) else sliced(writer, x, (axis,), (a,), (b - n or ENDLESS,)) for a, b in spans)
            parts = [reduced(writer, "ReduceMean", part, (axis,)) for part in windows]
            x = writer.emit("Concat", *parts, axis=axis)
    return x


def _covers_all(node: Node) -> bool:
    """Whether there is one window alone, which holds the whole plane."""
    geometry = node["geometry"]
    return geometry.kernel == node.inputs[0].shape[2:] and not any(map(any, geometry.padding)) and not any(d > 1 for d in geometry.dilation)


def item(writer: Writer, node: Node) -> str:
    """One of several results: maxima, or where they lie in their planes."""
    (source,) = node.inputs
    if node["index"] == 0:
        return writer.value(source)
    x = source.inputs[0]
    if _covers_all(source):
        rows = writer.value(x)
        if x.ndim > 3:
            rows = writer.emit("Reshape", rows, writer.integers((0, 0, -1)))
        found = writer.cast(writer.emit("ArgMax", rows, axis=2, keepdims=1), node.dtype)
        return writer.emit("Reshape", found, writer.integers((0, 0, *(1,) * (x.ndim - 2)))) if x.ndim > 3 else found
    in_tensor = writer.cast(writer.second(source), node.dtype)
    return writer.emit("Mod", in_tensor, writer.constant(np.array(math.prod(x.shape[2:]), node.dtype)))


def computed_map(writer: Writer, node: Node) -> str:
    """What loading makes of operators that clconv has no operation for: positions in tensors, and remainders."""
    named = node.attributes.get("named")
    if named in ("mod", "fmod"):
        return _remainder(writer, node, named == "fmod")
    if named != "flat_indices":
        raise refuse(node, f"a computation of single elements ({named or 'unnamed'}) without an operator; compose it of clconv.functional")
    pooled = node.inputs[0].inputs[0]
    by_columns = len(node.inputs) > 2
    return writer.cast(_maximum(writer, pooled, storage_order=1)[1] if by_columns else writer.second(pooled), node.dtype)


def _remainder(writer: Writer, node: Node, of_dividend: bool) -> str:
    """For numbers that are not whole ONNX has only the remainder with the sign of the dividend."""
    x, y = (writer.value(part, node.dtype) for part in node.inputs)
    if of_dividend or node.dtype == "int32":
        return writer.emit("Mod", x, y, fmod=1 if of_dividend else None)
    rest = writer.emit("Mod", x, y, fmod=1)
    other_way = writer.emit("Less", writer.emit("Mul", rest, y), writer.constant(np.zeros((), node.dtype)))
    return writer.emit("Where", other_way, writer.emit("Add", rest, y), rest)


def unpool(writer: Writer, node: Node) -> str:
    """By the positions that a maximum pooling found in maps of this size, or by known ones."""
    x, places = node.inputs
    size = tuple(node["size"])
    if places.op == "item" and places.inputs[0].op == "pool":
        pooled = places.inputs[0].inputs[0].shape[2:]
        if pooled != size:
            raise refuse(node, f"positions count in maps of {pooled} but are written into maps of {size}; give output_size={pooled}")
        geometry = places.inputs[0]["geometry"]
        return writer.emit("MaxUnpool", writer.value(x), writer.second(places.inputs[0]), **_way_back(geometry, x.shape[2:], size))
    if places.op != "constant":
        raise refuse(node, "positions are computed; they must be those that max_pool gave, as they are, or constants")
    rows = places["value"].astype(np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() < math.prod(size):
        raise refuse(node, f"positions from {rows.min()} to {rows.max()} reach beyond maps of {size}")
    planes = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *(1,) * len(size)) * math.prod(size)
    geometry = PoolGeometry.make((1,) * len(size), rank=len(size))
    return writer.emit("MaxUnpool", writer.value(x), writer.constant(rows + planes), **_way_back(geometry, x.shape[2:], size))


def _way_back(geometry: PoolGeometry, size: Size, wanted: Size) -> dict[str, Any]:
    """A window that leads from maps of `size` to exactly the `wanted` ones: ONNX computes the size from it, and nothing else."""
    axes = zip(wanted, size, geometry.stride, geometry.padding, strict=True)
    kernel = tuple(n - (p - 1) * s + begin + end for n, p, s, (begin, end) in axes)
    return {**_window(geometry), "kernel_shape": kernel}


RULES: Rules = {"item": item, "map": computed_map, "pool": pool, "unpool": unpool}
