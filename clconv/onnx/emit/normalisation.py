"""Normalisation over the batch, over planes and over neighbouring channels, and softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clconv.graph.node import Node
from clconv.onnx.emit.base import Rules
from clconv.onnx.writer import Writer


def batch_norm(writer: Writer, node: Node) -> str:
    """By statistics that are given; by the batch's own ones it is written out, as ONNX's operator would move the running ones."""
    x, mean, variance, gamma, beta = node.inputs
    if not node["training"]:
        parts = [_flat(writer, part, node.shape[1]) for part in (gamma, beta, mean, variance)]
        return writer.emit("BatchNormalization", writer.value(x), *parts, epsilon=float(node["eps"]))
    middle, spread, scale, shift = (writer.value(part, node.dtype) for part in (mean, variance, gamma, beta))
    deviation = writer.emit("Sqrt", writer.emit("Add", spread, writer.constant(np.array(node["eps"], node.dtype))))
    normal = writer.emit("Mul", writer.emit("Sub", writer.value(x), middle), writer.emit("Div", scale, deviation))
    return writer.emit("Add", normal, shift)


def _flat(writer: Writer, part: Node, channels: int) -> str:
    """One number a channel as ONNX wants it, of shape (C,)."""
    source = part.inputs[0] if part.op == "reshape" else part
    if source.shape == (channels,):
        return writer.value(source)
    if part.op == "constant":
        return writer.constant(part["value"].reshape(-1))
    return writer.emit("Reshape", writer.value(part), writer.integers((channels,)))


@dataclass(frozen=True)
class InstanceNorm:
    """x (N, C, spatial...) normalised plane by plane; gamma and beta hold one number a channel."""

    x: Node
    gamma: Node
    beta: Node
    eps: float


def as_instance_norm(node: Node) -> InstanceNorm | None:
    """What `functional.instance_norm` builds, recognised by its last addition: gamma times planes normalised as channels, plus beta."""
    product, beta = node.inputs
    if product.op != "mul" or node.ndim < 3 or product.inputs[0].shape != node.shape:
        return None
    inner, gamma = _unshaped(product.inputs[0]), product.inputs[1]
    per_channel = (1, node.shape[1], *(1,) * (node.ndim - 2))
    if inner.op != "batch_norm" or not inner["training"] or gamma.shape != per_channel or beta.shape != per_channel:
        return None
    planes, mean, variance, one, zero = inner.inputs
    x = _unshaped(planes)
    own = mean.op == "mean" and mean.inputs[0] is planes and variance.op == "variance" and variance.inputs == (planes, mean)
    plain = one.op == "constant" and np.all(one["value"] == 1) and zero.op == "constant" and not np.any(zero["value"])
    if not own or not plain or x.shape != node.shape or planes.shape[:2] != (1, x.shape[0] * x.shape[1]):
        return None
    return InstanceNorm(x, gamma, beta, float(inner["eps"]))


def _unshaped(node: Node) -> Node:
    return node.inputs[0] if node.op == "reshape" else node


def instance_norm(writer: Writer, found: InstanceNorm, dtype: str) -> str:
    channels = found.x.shape[1]
    parts = [_flat(writer, part, channels) for part in (found.gamma, found.beta)]
    if dtype != found.gamma.dtype:
        parts = [writer.cast(part, dtype) for part in parts]
    return writer.emit("InstanceNormalization", writer.value(found.x, dtype), *parts, epsilon=found.eps)


def lrn(writer: Writer, node: Node) -> str:
    """A window of an even number of channels, which runtimes do not take, is written out as the mean over a column of channels."""
    x, size = writer.value(node.inputs[0]), node["window"]
    alpha, beta, k = (float(node[name]) for name in ("alpha", "beta", "k"))
    if size % 2:
        return writer.emit("LRN", x, size=size, alpha=alpha, beta=beta, bias=k)

    def number(value: float) -> str:
        return writer.constant(np.array(value, node.dtype))

    columns = writer.emit("Reshape", writer.emit("Pow", x, number(2.0)), writer.integers((0, 1, node.shape[1], math.prod(node.shape[2:]))))
    reach = (size // 2, 0, (size - 1) // 2, 0)
    summed = writer.emit("AveragePool", columns, kernel_shape=(size, 1), strides=(1, 1), pads=reach, ceil_mode=0, count_include_pad=1)
    mean = writer.emit("Reshape", summed, writer.integers((0, *node.shape[1:])))
    base = writer.emit("Add", writer.emit("Mul", mean, number(alpha)), number(k))
    return writer.emit("Div", x, writer.emit("Pow", base, number(beta)))


def softmax(writer: Writer, node: Node) -> str:
    return writer.emit("LogSoftmax" if node["log"] else "Softmax", writer.value(node.inputs[0]), axis=node["axis"])


RULES: Rules = {"batch_norm": batch_norm, "lrn": lrn, "softmax": softmax}
