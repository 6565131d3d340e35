"""Sums, means, products and extremes over axes, and losses."""

from __future__ import annotations

import numpy as np

from clconv.graph.node import Node
from clconv.onnx.emit.base import Rules, reduced
from clconv.onnx.writer import Writer

BY_NAME = {"amax": "ReduceMax", "mean": "ReduceMean", "prod": "ReduceProd", "sum": "ReduceSum"}


def reduction(writer: Writer, node: Node) -> str:
    x = writer.value(node.inputs[0], node.dtype)
    if node.op == "mean" and node["axes"] == tuple(range(2, node.ndim)) and node.ndim > 2:
        return writer.emit("GlobalAveragePool", x)
    return reduced(writer, BY_NAME[node.op], x, node["axes"])


def variance(writer: Writer, node: Node) -> str:
    """The mean square of what is left when the mean, the second input, is taken away."""
    x, mean = (writer.value(part, node.dtype) for part in node.inputs)
    far = writer.emit("Sub", x, mean)
    return reduced(writer, "ReduceMean", writer.emit("Mul", far, far), node["axes"])


def pick(writer: Writer, node: Node) -> str:
    """Minus the logarithm of the target's probability, smoothed, and 0 for targets that are ignored."""
    scores, target, numbers = node.inputs
    x, classes = writer.value(scores), writer.value(target)
    zero = writer.constant(np.zeros((), scores.dtype))

    def times(factor: float) -> str:
        return x if factor == 1.0 else writer.emit("Mul", x, writer.constant(np.array(factor, scores.dtype)))

    found = writer.emit("Where", writer.emit("Equal", classes, writer.value(numbers)), times(1.0 - node["smoothing"]), zero)
    if node["smoothing"]:
        found = writer.emit("Add", found, times(node["smoothing"] / node["classes"]))
    ignored = writer.emit("Equal", classes, writer.constant(np.array(node["ignore_index"], np.int32)))
    minus = writer.emit("Mul", writer.emit("Where", ignored, zero, found), writer.constant(np.array(-1, scores.dtype)))
    return reduced(writer, "ReduceSum", minus, node["axes"])


def count_valid(writer: Writer, node: Node) -> str:
    ignored = writer.emit("Equal", writer.value(node.inputs[0]), writer.constant(np.array(node["ignore_index"], np.int32)))
    one, zero = (writer.constant(np.array(number, node.dtype)) for number in (1, 0))
    return reduced(writer, "ReduceSum", writer.emit("Where", ignored, zero, one), node["axes"])


RULES: Rules = {**dict.fromkeys(BY_NAME, reduction), "count_valid": count_valid, "pick": pick, "variance": variance}
