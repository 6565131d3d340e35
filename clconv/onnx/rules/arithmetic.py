"""Operations on single elements: arithmetic with NumPy's broadcasting, and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.shape import reshape
from clconv.onnx.rules.base import Call, Rule, Rules, Value


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whole numbers are divided towards zero, as in C."""
    if np.result_type(a, b).kind in "iu":
        return np.trunc(a / b).astype(np.result_type(a, b))
    return np.asarray(a / b)


def _aligned(value: Value, rank: int, what: str) -> Node:
    """`value` with axes of length 1 in front, so that kernels see the channels where they are; single numbers stay as they are."""
    node = as_node(value, what)
    return node if node.ndim in (0, rank) else reshape(node, (1,) * (rank - node.ndim) + node.shape)


def binary(on_device: Callable[..., Any], on_host: Callable[[Any, Any], np.ndarray]) -> Callable[[Call], Value]:
    """A rule for two inputs or more, taken from left to right."""

    def apply(call: Call) -> Value:
        values = [call.value(i) for i in range(len(call.operation.inputs))]
        if call.on_host():
            arrays = [np.asarray(value) for value in values]
            folded = arrays[0]
            for array in arrays[1:]:
                folded = on_host(folded, array)
            return folded
        rank = max(value.ndim for value in values)
        nodes = [_aligned(value, rank, call.operation.op_type) for value in values]
        result = nodes[0]
        for node in nodes[1:]:
            result = on_device(result, node)
        return result

    return apply


def unary(function: Callable[..., Any]) -> Callable[[Call], Node]:
    """A rule for one input without attributes."""

    def apply(call: Call) -> Node:
        result: Node = function(call.node(0))
        return result

    return apply


def leaky_relu(call: Call) -> Node:
    result: Node = F.leaky_relu(call.node(0), call.attributes.number("alpha", 0.01))
    return result


def elu(call: Call) -> Node:
    result: Node = F.elu(call.node(0), call.attributes.number("alpha", 1.0))
    return result


def gelu(call: Call) -> Node:
    result: Node = F.gelu(call.node(0), call.attributes.text("approximate", "none", ("none", "tanh")))
    return result


RULES: Rules = {
    "Add": Rule(binary(F.add, np.add), (2, 2), factors=(0, 1)),
    "Div": Rule(binary(F.div, _divide), (2, 2)),
    "Elu": Rule(elu, (1, 1)),
    "Exp": Rule(unary(lambda x: make("exp", x)), (1, 1)),
    "Gelu": Rule(gelu, (1, 1)),
    "LeakyRelu": Rule(leaky_relu, (1, 1)),
    "Log": Rule(unary(lambda x: make("log", x)), (1, 1)),
    "Mul": Rule(binary(F.mul, np.multiply), (2, 2), factors=(0, 1)),
    "Relu": Rule(unary(F.relu), (1, 1)),
    "Sigmoid": Rule(unary(F.sigmoid), (1, 1)),
    "Sqrt": Rule(unary(lambda x: make("sqrt", x)), (1, 1)),
    "Sub": Rule(binary(F.sub, np.subtract), (2, 2)),
    "Sum": Rule(binary(F.add, np.add), (1, None)),
    "Tanh": Rule(unary(F.tanh), (1, 1)),
}
