"""Operations that move elements, and changes of the element type."""

from __future__ import annotations

import numpy as np

from clconv.graph.node import Node
from clconv.onnx.emit.base import ENDLESS, Rules, onnx_pads, refuse, sliced
from clconv.onnx.writer import Writer


def reshape(writer: Writer, node: Node) -> str:
    """A batch that stays in front is written as "keep", so that the file takes any; one that moves elsewhere is what is left (-1)."""
    (source,) = node.inputs
    while source.op == "reshape":
        (source,) = source.inputs
    if source.shape == node.shape:
        return writer.value(source)
    batch = writer.open_axes(node)
    keeps = bool(source.shape and node.shape) and source.shape[0] == node.shape[0] and (0 in writer.open_axes(source)) == (0 in batch)
    if keeps and node.ndim == 2:
        return writer.emit("Flatten", writer.value(source), axis=1)
    left = [axis for axis in batch if axis or not keeps]
    if len(left) > 1:
        raise refuse(node, f"axes {left} both depend on the number of inputs; save it for a fixed batch")
    sizes = [-1 if axis in left else n for axis, n in enumerate(node.shape)]
    return writer.emit("Reshape", writer.value(source), writer.integers([0, *sizes[1:]] if keeps else sizes))


def cast(writer: Writer, node: Node) -> str:
    """Parameters that the network reads in half precision alone, and that hold such numbers, are stored so."""
    (source,) = node.inputs
    return writer.value(source) if writer.is_half(source) else writer.cast(writer.value(source), node.dtype)


def view(writer: Writer, node: Node) -> str:
    """Axes in another order, some backwards; what is a constant is turned now."""
    (source,) = node.inputs
    order, backwards = node["order"], tuple(axis for axis, flipped in zip(node["order"], node["flipped"], strict=True) if flipped)
    if source.op == "constant":
        return writer.constant(np.flip(source["value"], backwards).transpose(order))
    x = writer.turned(writer.value(source), backwards) if backwards else writer.value(source)
    return x if order == tuple(range(node.ndim)) else writer.emit("Transpose", x, perm=order)


def window(writer: Writer, node: Node) -> str:
    """Padding, or cutting where no number is above 0."""
    x, pads = writer.value(node.inputs[0]), node["pads"]
    cut = [axis for axis, pair in enumerate(pads) if any(pair)]
    if not cut:
        return x
    if not any(number > 0 for pair in pads for number in pair):
        starts, ends = [-pads[axis][0] for axis in cut], [pads[axis][1] or ENDLESS for axis in cut]
        return sliced(writer, x, cut, starts, ends)
    return writer.emit("Pad", x, writer.integers(onnx_pads(pads)), writer.constant(np.array(node["fill"], node.dtype)), mode="constant")


def cat(writer: Writer, node: Node) -> str:
    return writer.emit("Concat", *map(writer.value, node.inputs), axis=node["axis"])


RULES: Rules = {"cast": cast, "cat": cat, "reshape": reshape, "view": view, "window": window}
