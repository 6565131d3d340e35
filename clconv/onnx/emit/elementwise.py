"""Operations on single elements."""

from __future__ import annotations

import math

import numpy as np

from clconv.graph.node import Node
from clconv.onnx.emit.base import Rules, broadcast, operands, refuse
from clconv.onnx.emit.normalisation import as_instance_norm, instance_norm
from clconv.onnx.writer import Writer

# Operators without attributes, by the operation's name.
PLAIN = {
    "abs": "Abs", "ceil": "Ceil", "div": "Div", "erf": "Erf", "exp": "Exp", "floor": "Floor", "hardswish": "HardSwish", "log": "Log",
    "maximum": "Max", "minimum": "Min", "reciprocal": "Reciprocal", "relu": "Relu",
    "sigmoid": "Sigmoid", "softplus": "Softplus", "softsign": "Softsign", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh",
}  # fmt: skip
# Operators with attributes: what ONNX calls each of the operation's own.
WITH_NUMBERS = {
    "elu": ("Elu", {"alpha": "alpha"}),
    "hardsigmoid": ("HardSigmoid", {"alpha": "alpha", "beta": "beta"}),
    "leaky_relu": ("LeakyRelu", {"alpha": "slope"}),
    "selu": ("Selu", {"alpha": "alpha", "gamma": "gamma"}),
}
COMPARISONS = {
    "equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less", "less_equal": "LessOrEqual",
}  # fmt: skip


def plain(writer: Writer, node: Node) -> str:
    return writer.emit(PLAIN[node.op], *operands(writer, node))


def with_numbers(writer: Writer, node: Node) -> str:
    op_type, names = WITH_NUMBERS[node.op]
    return writer.emit(op_type, *operands(writer, node), **{theirs: float(node[own]) for theirs, own in names.items()})


def add(writer: Writer, node: Node) -> str:
    """A sum, which may be the last step of what ONNX has one operator for."""
    found = as_instance_norm(node)
    return writer.emit("Add", *operands(writer, node)) if found is None else instance_norm(writer, found, node.dtype)


def comparison(writer: Writer, node: Node) -> str:
    """1.0 and 0.0 for true and false; the second result is the truth itself."""
    truth = writer.emit(COMPARISONS[node.op], *operands(writer, node))
    writer.set_second(node, truth)
    return writer.cast(truth, node.dtype)


def where(writer: Writer, node: Node) -> str:
    """A condition that is no comparison is true where it is not 0."""
    condition, chosen, other = broadcast(node)
    values = [writer.value(part, node.dtype) for part in (chosen, other)]
    if condition.op in COMPARISONS:
        return writer.emit("Where", writer.second(condition), *values)
    if condition.op == "constant":
        return writer.emit("Where", writer.constant(condition["value"] != 0), *values)
    zero = writer.constant(np.zeros((), condition.dtype))
    return writer.emit("Where", writer.emit("Equal", writer.value(condition), zero), *reversed(values))


def clamp(writer: Writer, node: Node) -> str:
    (x,) = operands(writer, node)
    least, most = (
        "" if math.isinf(bound) and bound * outwards > 0 else writer.constant(np.array(bound, node.dtype))
        for bound, outwards in ((node["least"], -1), (node["most"], 1))
    )
    return writer.emit("Clip", x, *((least, most) if most else (least,) if least else ()))


def threshold(writer: Writer, node: Node) -> str:
    (x,) = operands(writer, node)
    at, instead = node["threshold"], node["value"]
    if instead == 0.0:
        return writer.emit("ThresholdedRelu", x, alpha=float(at))
    below = writer.emit("LessOrEqual", x, writer.constant(np.array(at, node.dtype)))
    return writer.emit("Where", below, writer.constant(np.array(instead, node.dtype)), x)


def trunc(writer: Writer, node: Node) -> str:
    (x,) = operands(writer, node)
    negative = writer.emit("Less", x, writer.constant(np.zeros((), node.dtype)))
    return writer.emit("Where", negative, writer.emit("Ceil", x), writer.emit("Floor", x))


def product(writer: Writer, node: Node) -> str:
    """A whole number times 1 is what loading makes of one that is converted."""
    first, second = node.inputs
    converts = first.dtype == "int32" and second.op == "constant" and second.shape == () and second["value"] == 1
    return writer.value(first, node.dtype) if converts else writer.emit("Mul", *operands(writer, node))


def prelu(writer: Writer, node: Node) -> str:
    """The slopes with as many axes as the input, as loading aligns them."""
    x, slopes = node.inputs
    aligned = (*(1,) * (x.ndim - slopes.ndim), *slopes.shape)
    if slopes.ndim in (0, x.ndim):
        return writer.emit("PRelu", *operands(writer, node))
    source = writer.value(slopes.inputs[0] if slopes.op == "reshape" else slopes, node.dtype)
    return writer.emit("PRelu", writer.value(x, node.dtype), writer.emit("Reshape", source, writer.integers(aligned)))


def power(writer: Writer, node: Node) -> str:
    """Exponents that have operators of their own are written as those, as loading takes them."""
    base, exponent = operands(writer, node)
    last = node.inputs[1]
    if last.op == "constant" and last.spec.elements == 1 and last.ndim <= node.inputs[0].ndim:
        known = {0.5: "Sqrt", -1.0: "Reciprocal"}.get(float(last["value"].reshape(())))
        if known is not None:
            return writer.emit(known, base)
    return writer.emit("Pow", base, exponent)


def square(writer: Writer, node: Node) -> str:
    (x,) = operands(writer, node)
    return writer.emit("Pow", x, writer.constant(np.array(2.0, node.dtype)))


def silu(writer: Writer, node: Node) -> str:
    (x,) = operands(writer, node)
    return writer.emit("Mul", x, writer.emit("Sigmoid", x))


def gelu(writer: Writer, node: Node) -> str:
    return writer.emit("Gelu", *operands(writer, node), approximate="tanh" if node.op == "gelu_tanh" else "none")


def celu(writer: Writer, node: Node) -> str:
    """ONNX has it in float32 alone."""
    result = writer.emit("Celu", writer.value(node.inputs[0], "float32"), alpha=float(node["alpha"]))
    return result if node.dtype == "float32" else writer.cast(result, node.dtype)


def expand(writer: Writer, node: Node) -> str:
    """Axes that are not repeated are written as 1, which keeps them as they are in any batch."""
    (x,) = operands(writer, node)
    before = (*(1,) * (node.ndim - node.inputs[0].ndim), *node.inputs[0].shape)
    sizes = [1 if n == m else n for n, m in zip(node.shape, before, strict=True)]
    open_axes = [axis for axis in writer.open_axes(node) if sizes[axis] != 1]
    if open_axes:
        raise refuse(node, f"repeats axis {open_axes[0]} as often as there are inputs; save it for a fixed batch")
    return writer.emit("Expand", x, writer.integers(sizes))


RULES: Rules = {
    **dict.fromkeys(PLAIN, plain),
    **dict.fromkeys(WITH_NUMBERS, with_numbers),
    **dict.fromkeys(COMPARISONS, comparison),
    "add": add,
    "celu": celu,
    "clamp": clamp,
    "expand": expand,
    "gelu": gelu,
    "gelu_tanh": gelu,
    "mul": product,
    "pow": power,
    "prelu": prelu,
    "silu": silu,
    "square": square,
    "threshold": threshold,
    "trunc": trunc,
    "where": where,
}
