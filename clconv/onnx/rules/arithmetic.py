"""Arithmetic on single elements with NumPy's broadcasting, comparisons, and changes of the element type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.ops.elementwise import Body
from clconv.graph.ops.shape import reshape
from clconv.onnx.rules.base import Call, Rule, Rules, Value

# Element types as ONNX numbers them.
FLOAT, BOOL, FLOAT16, DOUBLE, BFLOAT16 = 1, 9, 10, 11, 16
WHOLE_NUMBERS = (2, 3, 4, 5, 6, 7, 12, 13)


def aligned(value: Value, rank: int, what: str) -> Node:
    """`value` with axes of length 1 in front, so that kernels see the channels where they are; single numbers stay as they are."""
    node = as_node(value, what)
    return node if node.ndim in (0, rank) else reshape(node, (1,) * (rank - node.ndim) + node.shape)


def _operands(call: Call) -> list[Node]:
    """All inputs with the same number of axes. Before version 7, `axis` says where the second one's axes lie in the first."""
    values = [call.value(i) for i in range(len(call.operation.inputs))]
    if call.version < 7 and call.attributes.flag("broadcast") and len(values) == 2:
        first, second = values
        given = call.attributes.integer("axis", first.ndim - second.ndim)
        axis = call.axis(given, first.ndim) if second.ndim else first.ndim
        values[1] = reshape(as_node(second), (*second.shape, *(1,) * (first.ndim - axis - second.ndim)))
    rank = max(value.ndim for value in values)
    return [aligned(value, rank, call.operation.op_type) for value in values]


def several(function: Callable[..., Any]) -> Callable[[Call], Node]:
    """A rule for two inputs or more, taken from left to right."""

    def apply(call: Call) -> Node:
        result, *others = _operands(call)
        for node in others:
            result = function(result, node)
        return result

    return apply


def mean_of(call: Call) -> Node:
    operands = _operands(call)
    total = operands[0]
    for node in operands[1:]:
        total = F.add(total, node)
    return total if len(operands) == 1 else total * (1.0 / len(operands))


def unary(function: Callable[..., Any]) -> Callable[[Call], Node]:
    """A rule for one input without attributes."""

    def apply(call: Call) -> Node:
        result: Node = function(call.node(0))
        return result

    return apply


def power(call: Call) -> Node:
    """Whole exponents that are known become products."""
    exponent = call.value(1)
    if not isinstance(exponent, Node) and exponent.size == 1:
        base, number = call.node(0), float(call.node(1)["value"].reshape(()))
        known: dict[float, Callable[[Any], Any]] = {1.0: lambda x: x, 2.0: F.square, 0.5: F.sqrt, -1.0: F.reciprocal}
        if number in known and exponent.ndim <= base.ndim:
            result: Node = known[number](base)
            return result
    return several(F.pow)(call)


def remainder(call: Call) -> Node:
    """With the sign of the dividend if `fmod`, else of the divisor."""
    x, y = _operands(call)
    left = ("t0", "fmod((float)x0, (float)x1)")
    if call.attributes.flag("fmod"):
        return make("map", x, y, body=Body((("y0", left[1]),)), named="fmod")
    signed = ("y0", "t0 != 0.0f && (t0 < 0.0f) != (x1 < 0.0f) ? t0 + x1 : t0")
    return make("map", x, y, body=Body((left, signed)), named="mod")


def where(call: Call) -> Node:
    condition = call.value(0)
    if not isinstance(condition, Node):
        condition = call.node(0)["value"].astype(np.float32)
    values = (condition, call.value(1), call.value(2))
    rank = max(value.ndim for value in values)
    result: Node = F.where(*(aligned(value, rank, "Where") for value in values))
    halves = {str(value.dtype) for value in values[1:]} == {"float16"}  # the condition's type is none of the result's
    return F.cast(result, "float16") if halves else result


def clip(call: Call) -> Node:
    """Bounds are attributes before version 11, inputs since; a bound that is computed is an operand."""
    x = call.node(0)
    if call.version < 11:
        least, most = call.attributes.number("min", -np.inf, finite=False), call.attributes.number("max", np.inf, finite=False)
        return make("clamp", x, least=min(least, most), most=most)
    bounds = [call.value(i) if call.has(i) else None for i in (1, 2)]
    if any(isinstance(bound, Node) for bound in bounds):
        if bounds[0] is not None:
            x = F.maximum(x, as_node(bounds[0]))
        return x if bounds[1] is None else F.minimum(x, as_node(bounds[1]))
    least, most = (call.number(i) if call.has(i) else default for i, default in ((1, -np.inf), (2, np.inf)))
    return make("clamp", x, least=min(least, most), most=most)


def cast(call: Call) -> Node:
    """What is computed on the device is float; whole numbers and truth values are kept as floats that hold them, bfloat16 as float32."""
    to = call.attributes.integer("to")
    _check_rounding(call)
    return _as_type(call, to, f"attribute to is {to}")


def cast_like(call: Call) -> Node | np.ndarray:
    """To the element type of the second input, which on the device is one of those that are computed there. What is known stays known."""
    known, like = call.value(0), call.value(1)
    _check_rounding(call)
    if isinstance(like, Node):
        if not isinstance(known, Node):
            return known.astype(like.dtype)
        result: Node = F.cast(call.node(0), like.dtype)
        return result
    named = {"bool": BOOL, "float32": FLOAT, "float16": FLOAT16, "float64": DOUBLE, "bfloat16": BFLOAT16}
    to = WHOLE_NUMBERS[0] if like.dtype.kind in "iu" else named.get(str(like.dtype), 0)
    return _as_type(call, to, f"input 1 holds {like.dtype}")


def _check_rounding(call: Call) -> None:
    """Attributes about types of 8 bits, which are read for being well formed."""
    if call.version >= 19:
        call.attributes.flag("saturate", True)
    if call.version >= 24:
        call.attributes.text("round_mode", "up", ("up", "down", "nearest"))


def _as_type(call: Call, to: int, what: str) -> Node:
    x = call.node(0)
    if to == BOOL:
        return 1.0 - F.eq(x, 0.0)
    real = x if x.dtype != "int32" else x * 1.0
    if to in WHOLE_NUMBERS:
        return x if x.dtype == "int32" else F.trunc(x)
    if to not in (FLOAT, FLOAT16, DOUBLE, BFLOAT16):
        raise call.error(f"{what}; what the device computes can become float, float16, double, whole numbers and bool")
    result: Node = F.cast(real, "float16" if to == FLOAT16 else "float32")
    return result


RULES: Rules = {
    "Abs": Rule(unary(F.abs), (1, 1)),
    "Add": Rule(several(F.add), (2, 2), factors=(0, 1)),
    "Cast": Rule(cast, (1, 1), moves=True),
    "CastLike": Rule(cast_like, (2, 2)),
    "Ceil": Rule(unary(F.ceil), (1, 1)),
    "Clip": Rule(clip, (1, 3)),
    "Div": Rule(several(F.div), (2, 2)),
    "Equal": Rule(several(F.eq), (2, 2)),
    "Erf": Rule(unary(F.erf), (1, 1)),
    "Exp": Rule(unary(F.exp), (1, 1)),
    "Floor": Rule(unary(F.floor), (1, 1)),
    "Greater": Rule(several(F.gt), (2, 2)),
    "GreaterOrEqual": Rule(several(F.ge), (2, 2)),
    "Less": Rule(several(F.lt), (2, 2)),
    "LessOrEqual": Rule(several(F.le), (2, 2)),
    "Log": Rule(unary(F.log), (1, 1)),
    "Max": Rule(several(F.maximum), (1, None)),
    "Mean": Rule(mean_of, (1, None)),
    "Min": Rule(several(F.minimum), (1, None)),
    "Mod": Rule(remainder, (2, 2)),
    "Mul": Rule(several(F.mul), (2, 2), factors=(0, 1)),
    "Neg": Rule(unary(F.neg), (1, 1)),
    "Pow": Rule(power, (2, 2)),
    "Reciprocal": Rule(unary(F.reciprocal), (1, 1)),
    "Sqrt": Rule(unary(F.sqrt), (1, 1)),
    "Sub": Rule(several(F.sub), (2, 2)),
    "Sum": Rule(several(F.add), (1, None)),
    "Where": Rule(where, (3, 3)),
}
