"""Functions of single elements that are no activations (torch's functions of these names); comparisons give 1.0 and 0.0."""

from __future__ import annotations

import math
from typing import Any

from clconv.errors import GeometryError
from clconv.functional.check import floating, number
from clconv.functional.eager import operation
from clconv.graph.ops import as_node, make


@operation
def abs(input: Any) -> Any:
    """|x|."""
    return make("abs", floating(input, "abs"))


@operation
def neg(input: Any) -> Any:
    """-x."""
    return -floating(input, "neg")


@operation
def reciprocal(input: Any) -> Any:
    """1 / x."""
    return make("reciprocal", floating(input, "reciprocal"))


@operation
def floor(input: Any) -> Any:
    """The largest whole number that is not above x; its gradient is 0."""
    return make("floor", floating(input, "floor"))


@operation
def ceil(input: Any) -> Any:
    """The smallest whole number that is not below x; its gradient is 0."""
    return make("ceil", floating(input, "ceil"))


@operation
def trunc(input: Any) -> Any:
    """x without its fraction; its gradient is 0."""
    return make("trunc", floating(input, "trunc"))


@operation
def exp(input: Any) -> Any:
    """e to the power x."""
    return make("exp", floating(input, "exp"))


@operation
def log(input: Any) -> Any:
    """The natural logarithm."""
    return make("log", floating(input, "log"))


@operation
def sqrt(input: Any) -> Any:
    """The square root."""
    return make("sqrt", floating(input, "sqrt"))


@operation
def square(input: Any) -> Any:
    """x times x."""
    return make("square", floating(input, "square"))


@operation
def erf(input: Any) -> Any:
    """The error function."""
    return make("erf", floating(input, "erf"))


@operation
def pow(input: Any, exponent: Any) -> Any:
    """input to the power exponent, broadcast; of a negative input only whole exponents give a number."""
    return make("pow", input, exponent)


@operation
def minimum(input: Any, other: Any) -> Any:
    """The lesser of two, broadcast; NaN if either is. Equal ones share the gradient."""
    return make("minimum", input, other)


@operation
def maximum(input: Any, other: Any) -> Any:
    """The greater of two, broadcast; NaN if either is. Equal ones share the gradient."""
    return make("maximum", input, other)


@operation
def clamp(input: Any, min: float | None = None, max: float | None = None) -> Any:
    """x within [min, max], either of which may be None; NaN stays NaN. If min is above max, the result is max."""
    if min is None and max is None:
        raise GeometryError("clamp: needs min, max or both")
    least = -math.inf if min is None else number(min, "min", "clamp")
    most = math.inf if max is None else number(max, "max", "clamp")
    return make("clamp", floating(input, "clamp"), least=least if least <= most else most, most=most)


@operation
def where(condition: Any, input: Any, other: Any) -> Any:
    """input where condition is not 0, else other, broadcast."""
    return make("where", as_node(condition, "where"), as_node(input, "where"), as_node(other, "where"))


@operation
def eq(input: Any, other: Any) -> Any:
    """1.0 where equal, else 0.0."""
    return make("equal", input, other)


@operation
def lt(input: Any, other: Any) -> Any:
    """1.0 where input is less, else 0.0."""
    return make("less", input, other)


@operation
def gt(input: Any, other: Any) -> Any:
    """1.0 where input is greater, else 0.0."""
    return make("greater", input, other)


@operation
def le(input: Any, other: Any) -> Any:
    """1.0 where input is less or equal, else 0.0."""
    return make("less_equal", input, other)


@operation
def ge(input: Any, other: Any) -> Any:
    """1.0 where input is greater or equal, else 0.0."""
    return make("greater_equal", input, other)
