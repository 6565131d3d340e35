"""Sums, products, extremes and norms over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.graph.node import Node
from clconv.graph.ops.shape import flip
from clconv.onnx.rules.base import Call, Rule, Rules

Reducing = Callable[[Any, Any, bool], Any]


def reduction(function: Reducing, axes_are_input: int, of_nothing: float = math.nan) -> Callable[[Call], Node | np.ndarray]:
    """A rule for reductions whose axes are an attribute before version `axes_are_input`, and an input since."""

    def apply(call: Call) -> Node | np.ndarray:
        x, read = call.node(0), call.attributes
        if call.version >= axes_are_input:
            axes = call.integers(1) if call.has(1) else ()
            nothing = read.flag("noop_with_empty_axes") and not axes
        else:
            axes, nothing = read.integers("axes", None, ()), False
        keep = read.flag("keepdims", True)
        chosen = [call.axis(axis, x.ndim) for axis in axes] or ([] if nothing else list(range(x.ndim)))
        if any(x.shape[axis] == 0 for axis in chosen):
            shape = [1 if i in chosen else n for i, n in enumerate(x.shape) if keep or i not in chosen]
            call.reserve(math.prod(shape), 4)
            return np.full(shape, of_nothing, np.float32)
        # Over no axes, what is done to each element is done all the same: an axis of one makes a reduction of it.
        if not chosen:
            result: Node = function(F.reshape(x, (*x.shape, 1)), x.ndim, False)
            return result
        result = function(x, chosen, keep)
        return result

    return apply


def _log_sum_exp(x: Any, axes: Any, keep: bool) -> Any:
    """Without overflow: the largest exponent is taken out first. An infinite one would leave NaN, hence the bounds."""
    most = F.clamp(F.amax(x, axes, True), -3e38, 3e38)
    total = F.add(F.log(F.sum(F.exp(F.sub(x, most)), axes, True)), most)
    return total if keep else F.reshape(total, [n for i, n in enumerate(x.shape) if i not in _as_list(axes)])


def _as_list(axes: Any) -> list[int]:
    return list(axes) if isinstance(axes, list | tuple) else [axes]


def arg(sign: float) -> Callable[[Call], Node]:
    """A rule for the position of the largest element (of the smallest, for sign -1)."""

    def apply(call: Call) -> Node:
        x, read = call.node(0), call.attributes
        axis, keep = call.axis(read.integer("axis", 0), x.ndim), read.flag("keepdims", True)
        x = x if sign > 0 else -x
        if call.version >= 12 and read.flag("select_last_index"):
            found: Node = F.argmax(flip(x, (axis,)), axis, keep)
            return (x.shape[axis] - 1.0) - found
        found = F.argmax(x, axis, keep)
        return found

    return apply


RULES: Rules = {
    "ArgMax": Rule(arg(1.0), (1, 1)),
    "ArgMin": Rule(arg(-1.0), (1, 1)),
    "ReduceL1": Rule(reduction(lambda x, axes, keep: F.sum(F.abs(x), axes, keep), 18, 0.0), (1, 2), host=(1,)),
    "ReduceL2": Rule(reduction(lambda x, axes, keep: F.sqrt(F.sum(F.square(x), axes, keep)), 18, 0.0), (1, 2), host=(1,)),
    "ReduceLogSum": Rule(reduction(lambda x, axes, keep: F.log(F.sum(x, axes, keep)), 18, -math.inf), (1, 2), host=(1,)),
    "ReduceLogSumExp": Rule(reduction(_log_sum_exp, 18, -math.inf), (1, 2), host=(1,)),
    "ReduceMax": Rule(reduction(F.amax, 18, -math.inf), (1, 2), host=(1,)),
    "ReduceMean": Rule(reduction(F.mean, 18), (1, 2), host=(1,)),
    "ReduceMin": Rule(reduction(F.amin, 18, math.inf), (1, 2), host=(1,)),
    "ReduceProd": Rule(reduction(F.prod, 18, 1.0), (1, 2), host=(1,)),
    "ReduceSum": Rule(reduction(F.sum, 13, 0.0), (1, 2), host=(1,)),
    "ReduceSumSquare": Rule(reduction(lambda x, axes, keep: F.sum(F.square(x), axes, keep), 18, 0.0), (1, 2), host=(1,)),
}
