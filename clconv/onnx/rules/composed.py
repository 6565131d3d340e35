"""Operators that are made of others: truth values are 1 and 0."""

from __future__ import annotations

import clconv.functional as F
from clconv.graph.node import Node
from clconv.onnx.rules.arithmetic import several, unary
from clconv.onnx.rules.base import Rule, Rules


def mish(x: Node) -> Node:
    """x tanh(softplus(x)) (Misra 2019)."""
    result: Node = x * F.tanh(F.softplus(x))
    return result


def sign(x: Node) -> Node:
    """1, 0 or -1; 0 for what is no number, as in PyTorch."""
    result: Node = F.gt(x, 0.0) - F.lt(x, 0.0)
    return result


def negation(x: Node) -> Node:
    return 1.0 - x


def either(a: Node, b: Node) -> Node:
    return a + b - a * b


def different(a: Node, b: Node) -> Node:
    result: Node = 1.0 - F.eq(a, b)
    return result


RULES: Rules = {
    "And": Rule(several(F.mul), (2, 2)),
    "Mish": Rule(unary(mish), (1, 1)),
    "Not": Rule(unary(negation), (1, 1)),
    "Or": Rule(several(either), (2, 2)),
    "Sign": Rule(unary(sign), (1, 1)),
    "Xor": Rule(several(different), (2, 2)),
}
