"""Sums and means over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import clconv.functional as F
from clconv.graph.node import Node
from clconv.onnx.rules.base import Call, Rule, Rules


def reduction(function: Callable[..., Any], axes_are_input: int) -> Callable[[Call], Node]:
    """A rule for reductions whose axes are an attribute before version `axes_are_input`, and an input since."""

    def apply(call: Call) -> Node:
        x, read = call.node(0), call.attributes
        if call.version >= axes_are_input:
            axes = call.integers(1) if call.has(1) else ()
            nothing = not axes and read.flag("noop_with_empty_axes")
        else:
            axes, nothing = read.integers("axes", None, ()), False
        keep = read.flag("keepdims", True)
        if nothing:
            return x
        result: Node = function(x, [call.axis(axis, x.ndim) for axis in axes] or None, keep)
        return result

    return apply


RULES: Rules = {
    "ReduceMean": Rule(reduction(F.mean, 18), (1, 2), host=(1,)),
    "ReduceSum": Rule(reduction(F.sum, 13), (1, 2), host=(1,)),
}
