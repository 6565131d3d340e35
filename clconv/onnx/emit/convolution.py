"""Convolution, its transpose, and products of matrices."""

from __future__ import annotations

from typing import Any

from clconv.graph.node import Node
from clconv.onnx.emit.base import Rules, onnx_pads, refuse
from clconv.onnx.writer import Writer
from clconv.problem import Pass


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
        raise refuse(node, "the gradient of a convolution's weights has no ONNX operator; save the network without it")
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


RULES: Rules = {"conv": conv, "matmul": matmul}
