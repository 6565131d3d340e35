"""Export rules: what each operation of a graph becomes in ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.geometry import Pads
from clconv.graph.node import Node
from clconv.onnx.writer import Writer
from clconv.problem import Pass

Rule = Callable[[Writer, Node], str]

# Operators without attributes, by the operation's name.
PLAIN = {
    "add": "Add", "div": "Div", "exp": "Exp", "log": "Log", "mul": "Mul", "relu": "Relu", "sigmoid": "Sigmoid", "sqrt": "Sqrt",
    "sub": "Sub", "tanh": "Tanh",
}  # fmt: skip
FIRST_WITH_GELU = 20


def refuse(node: Node, why: str) -> OnnxError:
    return OnnxError(f"save: {node!r}: {why}")


def onnx_pads(pads: Pads) -> tuple[int, ...]:
    """(begin, end) pairs as ONNX has them: all begins, then all ends."""
    return tuple(begin for begin, _ in pads) + tuple(end for _, end in pads)


def _epilogue(writer: Writer, node: Node, result: str, rest: tuple[Node, ...]) -> str:
    """A residual and an activation that are part of a convolution or product."""
    for residual in rest:
        result = writer.emit("Add", result, writer.value(residual))
    activation = node.attributes.get("activation")
    if activation is None:
        return result
    name, slope = activation
    return writer.emit("Relu", result) if name == "relu" else writer.emit("LeakyRelu", result, alpha=float(slope))


def conv(writer: Writer, node: Node) -> str:
    geometry, direction = node["geometry"], node["direction"]
    count = 3 if node.attributes.get("bias") else 2
    inputs = [writer.value(n) for n in node.inputs[:count]]
    window: dict[str, Any] = {
        "kernel_shape": geometry.kernel,
        "strides": geometry.stride,
        "pads": onnx_pads(geometry.padding),
        "dilations": geometry.dilation,
        "group": geometry.groups,
    }
    if direction is Pass.FORWARD:
        result = writer.emit("Conv", *inputs, **window)
    elif direction is Pass.BACKWARD_DATA:
        axes = zip(node.shape[2:], node.inputs[0].shape[2:], geometry.stride, geometry.effective_kernel, geometry.padding, strict=True)
        extra = [n - (s * (p - 1) + m - begin - end) for n, p, s, m, (begin, end) in axes]
        result = writer.emit("ConvTranspose", *inputs, **window, output_padding=extra if any(extra) else None)
    else:
        raise refuse(node, "gradients of weights have no ONNX operator")
    return _epilogue(writer, node, result, node.inputs[count:])


def matmul(writer: Writer, node: Node) -> str:
    flags = node.attributes
    turned = (bool(flags.get("transpose_a")), bool(flags.get("transpose_b")))
    count = 3 if flags.get("bias") else 2
    inputs = [writer.value(n) for n in node.inputs[:count]]
    if node.ndim == 2 and (count == 3 or any(turned)):
        result = writer.emit("Gemm", *inputs, transA=int(turned[0]), transB=int(turned[1]))
    else:
        for i, flag in enumerate(turned):
            if flag:
                inputs[i] = writer.emit("Transpose", inputs[i], perm=(*range(node.ndim - 2), node.ndim - 1, node.ndim - 2))
        result = writer.emit("MatMul", *inputs[:2])
        result = writer.emit("Add", result, inputs[2]) if count == 3 else result
    return _epilogue(writer, node, result, node.inputs[count:])


def batch_norm(writer: Writer, node: Node) -> str:
    if node["training"]:
        raise refuse(node, "only inference can be saved")
    x, mean, variance, gamma, beta = node.inputs
    parts = [_flat(writer, part, node.shape[1]) for part in (gamma, beta, mean, variance)]
    return writer.emit("BatchNormalization", writer.value(x), *parts, epsilon=float(node["eps"]))


def _flat(writer: Writer, part: Node, channels: int) -> str:
    """One number a channel as ONNX wants it, of shape (C,)."""
    source = part.inputs[0] if part.op == "reshape" else part
    if source.shape == (channels,):
        return writer.value(source)
    if part.op == "constant":
        return writer.constant(part["value"].reshape(-1))
    return writer.emit("Reshape", writer.value(part), writer.integers((channels,)))


def pool(writer: Writer, node: Node) -> str:
    kind, x = node["kind"], writer.value(node.inputs[0])
    if kind == "adaptive_avg":
        raise refuse(node, f"windows of unequal length ({node.inputs[0].shape[2:]} to {node['out_size']}) have no ONNX operator")
    geometry = node["geometry"]
    window: dict[str, Any] = {
        "kernel_shape": geometry.kernel,
        "strides": geometry.stride,
        "pads": onnx_pads(geometry.padding),
        "ceil_mode": int(geometry.ceil_mode),
    }
    if kind == "max":
        return writer.emit("MaxPool", x, **window, dilations=geometry.dilation)
    divisor = node.attributes.get("divisor")
    if divisor is None:
        return writer.emit("AveragePool", x, **window, count_include_pad=int(node.attributes.get("count_include_pad", True)))
    if geometry.ceil_mode:
        raise refuse(node, "a divisor of one's own together with ceil_mode has no ONNX operator; leave one out")
    mean = writer.emit("AveragePool", x, **window, count_include_pad=1)
    return writer.emit("Mul", mean, writer.constant(np.array(math.prod(geometry.kernel) / divisor, np.float32)))


def item(writer: Writer, node: Node) -> str:
    if node["index"] != 0:
        raise refuse(node, "positions of maxima are counted differently in ONNX; return the values only")
    return writer.value(node.inputs[0])


def mean(writer: Writer, node: Node) -> str:
    if node["axes"] == tuple(range(2, node.ndim)) and node.ndim > 2:
        return writer.emit("GlobalAveragePool", writer.value(node.inputs[0]))
    if writer.version < 18:
        return writer.emit("ReduceMean", writer.value(node.inputs[0]), axes=node["axes"], keepdims=1)
    return writer.emit("ReduceMean", writer.value(node.inputs[0]), writer.integers(node["axes"]), keepdims=1)


def total(writer: Writer, node: Node) -> str:
    return writer.emit("ReduceSum", writer.value(node.inputs[0]), writer.integers(node["axes"]), keepdims=1)


def softmax(writer: Writer, node: Node) -> str:
    return writer.emit("LogSoftmax" if node["log"] else "Softmax", writer.value(node.inputs[0]), axis=node["axis"])


def reshape(writer: Writer, node: Node) -> str:
    """A batch that stays in front is written as "keep", so that the file takes any."""
    (source,) = node.inputs
    keeps = bool(source.shape and node.shape) and source.shape[0] == node.shape[0] and node.op == "reshape"
    if keeps and node.ndim == 2:
        return writer.emit("Flatten", writer.value(source), axis=1)
    if 0 in node.shape:
        raise refuse(node, "an empty tensor cannot be saved; give an input shape with a batch of at least 1")
    sizes = (0, *node.shape[1:]) if keeps else node.shape
    return writer.emit("Reshape", writer.value(source), writer.integers(sizes))


def view(writer: Writer, node: Node) -> str:
    if any(node["flipped"]):
        raise refuse(node, "turning an axis around is not supported in files; turn the weights before")
    return writer.emit("Transpose", writer.value(node.inputs[0]), perm=node["order"])


def window(writer: Writer, node: Node) -> str:
    pads, fill = writer.integers(onnx_pads(node["pads"])), writer.constant(np.array(node["fill"], np.float32))
    return writer.emit("Pad", writer.value(node.inputs[0]), pads, fill, mode="constant")


def cat(writer: Writer, node: Node) -> str:
    return writer.emit("Concat", *map(writer.value, node.inputs), axis=node["axis"])


def lrn(writer: Writer, node: Node) -> str:
    if node["window"] % 2 == 0:
        raise refuse(node, f"a window of an even number of channels ({node['window']}) reaches the other way in ONNX; use an odd one")
    numbers = {"alpha": float(node["alpha"]), "beta": float(node["beta"]), "bias": float(node["k"])}
    return writer.emit("LRN", writer.value(node.inputs[0]), size=node["window"], **numbers)


def silu(writer: Writer, node: Node) -> str:
    x = writer.value(node.inputs[0])
    return writer.emit("Mul", x, writer.emit("Sigmoid", x))


def square(writer: Writer, node: Node) -> str:
    x = writer.value(node.inputs[0])
    return writer.emit("Mul", x, x)


def gelu(writer: Writer, node: Node) -> str:
    return writer.emit("Gelu", writer.value(node.inputs[0]), approximate="tanh" if node.op == "gelu_tanh" else "none")


def leaky_relu(writer: Writer, node: Node) -> str:
    return writer.emit("LeakyRelu", writer.value(node.inputs[0]), alpha=float(node["slope"]))


def elu(writer: Writer, node: Node) -> str:
    return writer.emit("Elu", writer.value(node.inputs[0]), alpha=float(node["alpha"]))


def plain(writer: Writer, node: Node) -> str:
    return writer.emit(PLAIN[node.op], *map(writer.value, node.inputs))


RULES: dict[str, Rule] = {
    "batch_norm": batch_norm,
    "cat": cat,
    "conv": conv,
    "elu": elu,
    "gelu": gelu,
    "gelu_tanh": gelu,
    "item": item,
    "leaky_relu": leaky_relu,
    "lrn": lrn,
    "matmul": matmul,
    "mean": mean,
    "pool": pool,
    "reshape": reshape,
    "silu": silu,
    "softmax": softmax,
    "square": square,
    "sum": total,
    "view": view,
    "window": window,
    **dict.fromkeys(PLAIN, plain),
}
