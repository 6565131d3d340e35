"""Activations by their names: those that exporters spell out in several operations, and those that kernels take into their epilogue."""

from __future__ import annotations

import math

from clconv.graph.node import Node
from clconv.graph.ops import make_labelled
from clconv.graph.rewrite import Context
from clconv.problem.conv import Activation


def epilogue_activation(node: Node) -> Activation | None:
    """What an epilogue calls the activation that `node` is, or None. It must leave 0 as it is, since what fills up blocks is 0."""
    if node.op == "relu":
        return ("relu", 0.0)
    if node.op == "leaky_relu" and node["slope"] >= 0:
        return ("leaky_relu", float(node["slope"]))
    if node.op == "clamp" and node["least"] <= 0.0 <= node["most"]:
        least, most = float(node["least"]), float(node["most"])
        return ("relu", 0.0) if (least, most) == (0.0, math.inf) else ("clip", least, most)
    return (node.op,) if node.op in ("hardswish", "silu") else None


def name_activation(node: Node, context: Context) -> Node | None:
    """x sigmoid(x) as silu, x hardsigmoid(x) and x clip(x + 3, 0, 6) / 6 as hardswish."""
    product, factor = _without_factor(node)
    if product.op != "mul":
        return None
    for x, other in (product.inputs, product.inputs[::-1]):
        gate, share = _without_factor(other)
        if not gate.inputs or gate.shape != x.shape:
            continue
        if gate.op == "sigmoid" and gate.inputs[0] is x and factor * share == 1:
            return make_labelled(node.label, "silu", x)
        if _is_hard_gate(gate, x, factor * share):
            return make_labelled(node.label, "hardswish", x)
    return None


def _is_hard_gate(gate: Node, x: Node, factor: float) -> bool:
    """Whether `factor` times `gate` is x / 6 + 1/2 between 0 and 1."""
    if gate.op == "hardsigmoid":
        return gate.inputs[0] is x and _near(gate["alpha"] * factor, 1 / 6) and _near(gate["beta"], 0.5) and _near(factor, 1)
    if gate.op != "clamp" or gate["least"] != 0 or gate.inputs[0].op != "add":
        return False
    for base, other in (gate.inputs[0].inputs, gate.inputs[0].inputs[::-1]):
        inner, slope = _without_factor(base)
        shift = _number(other)
        if inner is x and shift is not None:
            return _near(shift * factor, 0.5) and _near(slope * factor, 1 / 6) and _near(gate["most"] * factor, 1)
    return False


def _without_factor(node: Node) -> tuple[Node, float]:
    """(base, number) with number times base being `node`: itself and 1 where nothing is multiplied or divided by a number."""
    if node.op in ("mul", "div"):
        base, other = node.inputs
        number = _number(other)
        if number is None and node.op == "mul":
            base, number = other, _number(base)
        if number and base.shape == node.shape:
            return base, number if node.op == "mul" else 1 / number
    return node, 1.0


def _number(node: Node) -> float | None:
    """The one number that a constant holds, whatever its shape."""
    while node.op == "reshape":
        node = node.inputs[0]
    return float(node["value"].reshape(())) if node.op == "constant" and node.spec.elements == 1 else None


def _near(a: float, b: float) -> bool:
    """Equal as far as a file's float32 says."""
    return math.isclose(a, b, rel_tol=1e-5)
