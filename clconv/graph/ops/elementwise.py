"""Operations that treat every element alone. All lower to one MapProblem and fuse with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clconv.codegen.expressions import float_literal
from clconv.errors import ArrayError, GeometryError
from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, as_node, make, register
from clconv.problem import MapProblem
from clconv.problem.conv import Activation
from clconv.tensor import TensorSpec


@dataclass(frozen=True)
class Body:
    """What an element-wise operation computes: statements over x0, x1, ... that set y0, y1, ... (see MapProblem)."""

    statements: tuple[tuple[str, str], ...]
    scalars: tuple[tuple[str, str], ...] = ()
    uses_index: bool = False


class MapOp(Op):
    """Base of element-wise operations; subclasses say what they compute with `body`."""

    def body(self, attributes: Mapping[str, Any]) -> Body:
        raise NotImplementedError(self.name)

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        try:
            shape = np.broadcast_shapes(*(node.shape for node in inputs))
        except ValueError:
            raise GeometryError(
                f"{self.name}: shapes {' and '.join(str(n.shape) for n in inputs)} do not broadcast; each axis must be equal or 1"
            ) from None
        return (TensorSpec(shape, inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        body = self.body(node.attributes)
        problem = MapProblem(
            node.shape,
            tuple(n.spec for n in node.inputs),
            body.statements,
            tuple(r.dtype for r in node.results),
            body.scalars,
            body.uses_index,
            label=node.attributes.get("named", node.op),
        )
        return Lowering(problem, tuple(f"x{i}" for i in range(len(node.inputs))), problem.outputs)


def sum_to(x: Node, shape: tuple[int, ...]) -> Node:
    """Undo a broadcast: sums over the axes along which `shape` was repeated."""
    from clconv.graph.ops.reduce import sum_over
    from clconv.graph.ops.shape import reshape

    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and x.shape[lead + i] != 1)
    return reshape(sum_over(x, axes) if axes else x, shape)


def _as_was(part: Node, x: Node) -> Node:
    """A gradient in the element type of what it is the gradient of."""
    return part if part.dtype == x.dtype or x.dtype == "int32" else make("cast", part, dtype=x.dtype)


class Expression(MapOp):
    """One expression over {0}, {1}, ... and attributes by name; `derivative` gives each input's gradient before un-broadcasting.

    The result is float16 where all tensors are; constants, such as the 2 in `2 * x`, have no say.
    """

    def __init__(self, name: str, expression: str, derivative: Callable[[Node, Node], Gradients] | None = None) -> None:
        self.name, self.expression, self.derivative = name, expression, derivative

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        (spec,) = super().infer(inputs, attributes)
        kinds = {n.dtype for n in inputs if n.op != "constant"} - {"int32"} or {n.dtype for n in inputs} - {"int32"}
        if not kinds:
            raise ArrayError(f"{self.name}: element type int32 is not supported here; use float32 or float16: x.astype(np.float32)")
        return (TensorSpec(spec.shape, "float32" if "float32" in kinds else "float16"),)

    def body(self, attributes: Mapping[str, Any]) -> Body:
        count = max((i + 1 for i in range(4) if f"{{{i}}}" in self.expression), default=0)
        literals = {k: float_literal(v) for k, v in attributes.items() if isinstance(v, int | float)}
        return Body((("y0", self.expression.format(*(f"x{i}" for i in range(count)), **literals)),))

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        if self.derivative is None:
            return super().gradient(node, upstream)
        assert upstream[0] is not None
        parts = self.derivative(node, upstream[0])
        return [None if part is None else _as_was(sum_to(part, x.shape), x) for part, x in zip(parts, node.inputs, strict=True)]


# name: (forward over x, whether backward reads "x" or "y", backward over {0} = dy and {1} = that)
UNARY = {
    "relu": ("{0} < 0.0f ? 0.0f : {0}", "y", "{1} <= 0.0f ? 0.0f : {0}"),
    "leaky_relu": ("{0} < 0.0f ? {0} * {slope} : {0}", "x", "{1} > 0.0f ? {0} : {0} * {slope}"),
    "elu": ("{0} < 0.0f ? {alpha} * expm1({0}) : {0}", "x", "{1} > 0.0f ? {0} : {0} * {alpha} * exp({1})"),
    "sigmoid": ("1.0f / (1.0f + exp(-{0}))", "y", "{0} * {1} * (1.0f - {1})"),
    "tanh": ("tanh({0})", "y", "{0} * (1.0f - {1} * {1})"),
    "silu": (
        "{0} / (1.0f + exp(-{0}))",
        "x",
        "{0} / (1.0f + exp(-{1})) * (1.0f + {1} * (1.0f - 1.0f / (1.0f + exp(-{1}))))",
    ),
    "gelu": (
        "0.5f * {0} * (1.0f + erf({0} * 0.70710678118654752f))",
        "x",
        "{0} * (0.5f * (1.0f + erf({1} * 0.70710678118654752f)) + {1} * 0.39894228040143268f * exp(-0.5f * {1} * {1}))",
    ),
    "gelu_tanh": (
        "0.5f * {0} * (1.0f + tanh(0.79788456080286536f * ({0} + 0.044715f * {0} * {0} * {0})))",
        "x",
        "{0} * (0.5f * (1.0f + tanh(0.79788456080286536f * ({1} + 0.044715f * {1} * {1} * {1}))) + 0.5f * {1}"
        " * (1.0f - pown(tanh(0.79788456080286536f * ({1} + 0.044715f * {1} * {1} * {1})), 2))"
        " * 0.79788456080286536f * (1.0f + 0.134145f * {1} * {1}))",
    ),
    "exp": ("exp({0})", "y", "{0} * {1}"),
    "log": ("log({0})", "x", "{0} / {1}"),
    "sqrt": ("sqrt({0})", "y", "{0} * 0.5f / {1}"),
    "square": ("{0} * {0}", "x", "{0} * 2.0f * {1}"),
    "abs": ("fabs({0})", "x", "{1} > 0.0f ? {0} : {1} < 0.0f ? -{0} : {0} * {1}"),
    "reciprocal": ("1.0f / {0}", "y", "-{0} * {1} * {1}"),
    "erf": ("erf({0})", "x", "{0} * 1.1283791670955126f * exp(-{1} * {1})"),
    "hardsigmoid": (
        "{0} * {alpha} + {beta} < 0.0f ? 0.0f : {0} * {alpha} + {beta} > 1.0f ? 1.0f : {0} * {alpha} + {beta}",
        "x",
        "{1} * {alpha} + {beta} > 0.0f && {1} * {alpha} + {beta} < 1.0f ? {0} * {alpha} : 0.0f",
    ),
    "hardswish": (
        "{0} <= -3.0f ? {0} * 0.0f : {0} >= 3.0f ? {0} : {0} * ({0} + 3.0f) / 6.0f",
        "x",
        "{1} < -3.0f ? 0.0f : {1} > 3.0f ? {0} : {0} * ({1} / 3.0f + 0.5f)",
    ),
    "selu": (
        "{0} > 0.0f ? {gamma} * {0} : {gamma} * {alpha} * expm1({0})",
        "x",
        "{1} > 0.0f ? {0} * {gamma} : {0} * {gamma} * {alpha} * exp({1})",
    ),
    "celu": ("{0} > 0.0f ? {0} : {alpha} * expm1({0} / {alpha})", "x", "{1} > 0.0f ? {0} : {0} * exp({1} / {alpha})"),
    "softplus": (
        "{0} > 0.0f ? {0} + log1p(exp(-{0})) : log1p(exp({0}))",
        "x",
        "{0} / (1.0f + exp(-{1}))",
    ),
    "softsign": ("{0} / (1.0f + fabs({0}))", "x", "{0} / ((1.0f + fabs({1})) * (1.0f + fabs({1})))"),
    "threshold": ("{0} <= {threshold} ? {value} : {0}", "x", "{1} <= {threshold} ? 0.0f : {0}"),
    "clamp": (
        "{0} < {least} ? {least} : {0} > {most} ? {most} : {0}",
        "x",
        "{1} >= {least} && {1} <= {most} ? {0} : 0.0f",
    ),
}
PIECEWISE_LINEAR = ("relu", "leaky_relu")


def _unary(name: str, reads: str) -> Callable[[Node, Node], Gradients]:
    def derivative(node: Node, dy: Node) -> Gradients:
        return (make(f"{name}_backward", dy, node if reads == "y" else node.inputs[0], **node.attributes),)

    return derivative


def _second(name: str) -> Callable[[Node, Node], Gradients] | None:
    """The backward map is linear in dy; for piecewise linear functions that is all there is to its own gradient."""
    if name not in PIECEWISE_LINEAR:
        return None
    return lambda node, g: (make(f"{name}_backward", g, node.inputs[1], **node.attributes), None)


for _name, (_forward, _reads, _backward) in UNARY.items():
    register(Expression(_name, _forward, _unary(_name, _reads)))
    register(Expression(f"{_name}_backward", _backward, _second(_name)))

register(Expression("add", "{0} + {1}", lambda node, dy: (dy, dy)))
register(Expression("sub", "{0} - {1}", lambda node, dy: (dy, -dy)))
register(Expression("mul", "{0} * {1}", lambda node, dy: (dy * node.inputs[1], dy * node.inputs[0])))
register(Expression("div", "{0} / {1}", lambda node, dy: (dy / node.inputs[1], -(dy * node.inputs[0]) / (node.inputs[1] * node.inputs[1]))))

register(Expression("floor", "floor({0})", lambda node, dy: (dy * 0.0,)))
register(Expression("ceil", "ceil({0})", lambda node, dy: (dy * 0.0,)))
register(Expression("trunc", "trunc({0})", lambda node, dy: (dy * 0.0,)))


def _power_rule(node: Node, dy: Node) -> Gradients:
    """d(a^b) = a^b (b / a da + log(a) db), the first part as b a^(b - 1): a may be 0. A constant exponent gets none."""
    a, b = node.inputs
    rest = None if b.op == "constant" else dy * node * make("log", a)
    return dy * b * make("pow", a, b - 1.0), rest


def _share_rule(better: str) -> Callable[[Node, Node], Gradients]:
    """Of two numbers, the chosen one gets the gradient; equal ones get half each, as in torch."""

    def rule(node: Node, dy: Node) -> Gradients:
        a, b = node.inputs
        half = make("equal", a, b) * 0.5
        return dy * (make(better, a, b) + half), dy * (make(better, b, a) + half)

    return rule


register(Expression("pow", "pow({0}, {1})", _power_rule))
register(Expression("minimum", "{0} != {0} || {0} < {1} ? {0} : {1}", _share_rule("less")))
register(Expression("maximum", "{0} != {0} || {0} > {1} ? {0} : {1}", _share_rule("greater")))
for _name, _sign in (("equal", "=="), ("less", "<"), ("greater", ">"), ("less_equal", "<="), ("greater_equal", ">=")):
    register(Expression(_name, f"{{0}} {_sign} {{1}} ? 1.0f : 0.0f", lambda node, dy: (None, None)))
register(
    Expression(
        "where",
        "{0} != 0.0f ? {1} : {2}",
        lambda node, dy: (None, make("where", node.inputs[0], dy, as_node(0.0)), make("where", node.inputs[0], as_node(0.0), dy)),
    )
)
register(
    Expression(
        "prelu",
        "{0} < 0.0f ? {0} * {1} : {0}",
        lambda node, dy: (
            make("where", make("greater", node.inputs[0], as_node(0.0)), dy, dy * node.inputs[1]),
            make("where", make("less", node.inputs[0], as_node(0.0)), dy * node.inputs[0], as_node(0.0)),
        ),
    )
)


def activation_backward(dy: Node, y: Node, activation: Activation) -> Node:
    """The gradient before a fused activation whose result is `y`: both kinds keep the sign, so y tells as well as its argument.

    Others are fused only into graphs that hold their gradients already.
    """
    name, *numbers = activation
    return make("relu_backward", dy, y) if name == "relu" else make("leaky_relu_backward", dy, y, slope=numbers[0])


class Expand(MapOp):
    """A broadcast made explicit: the input repeated to `shape`."""

    name = "expand"

    def body(self, attributes: Mapping[str, Any]) -> Body:
        return Body((("y0", "x0"),))

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return (TensorSpec(attributes["shape"], inputs[0].dtype),)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        assert upstream[0] is not None
        return (sum_to(upstream[0], node.inputs[0].shape),)


class Map(MapOp):
    """Any element-wise computation, given by its body: what fusion makes of chains, and fused optimiser steps."""

    name = "map"

    def body(self, attributes: Mapping[str, Any]) -> Body:
        return attributes["body"]

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        (one,) = super().infer(inputs, attributes)
        return (one,) * attributes.get("outputs", 1)


class Dropout(MapOp):
    """Zeros elements with probability p and scales the others by 1 / (1 - p).

    The decision for element i is word 0 of Philox4x32-10 (Salmon et al. 2011) at counter (i, 0, step, 0) with the run's seed as key;
    `stream` sets layers of one network apart. The gradient draws the same numbers again instead of keeping a mask.
    """

    name = "dropout"

    def body(self, attributes: Mapping[str, Any]) -> Body:
        p = attributes["p"]
        if p >= 1.0:
            return Body((("y0", "0.0f * x0"),))
        scale = float_literal(1.0 / (1.0 - p))
        word = f"random_word(index, step, seed_low, seed_high ^ {attributes['stream']}u)"
        kept = f"(float)({word} >> 8) * 5.9604644775390625e-8f >= {float_literal(p)}"
        return Body(
            (("y0", f"{kept} ? x0 * {scale} : 0.0f"),), (("step", "uint"), ("seed_low", "uint"), ("seed_high", "uint")), uses_index=True
        )

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (make("dropout", upstream[0], **node.attributes),)


for _operation in (Expand(), Map(), Dropout()):
    register(_operation)
