"""Sums, means and maxima over axes. Results keep the reduced axes with length 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, make, register
from clconv.problem import ReduceProblem
from clconv.tensor import TensorSpec


class ReduceOp(Op):
    """Base of reductions; `terms` gives the statements for r0, r1, ... and the post-expressions."""

    combine = "sum"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        raise NotImplementedError(self.name)

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        shape = np.broadcast_shapes(*(n.shape for n in inputs))
        out = tuple(1 if axis in attributes["axes"] else n for axis, n in enumerate(shape))
        return (TensorSpec(out, attributes.get("dtype", inputs[0].dtype)),) * len(self.terms(attributes)[1])

    def lower(self, node: Node) -> Lowering:
        statements, post = self.terms(node.attributes)
        shape = np.broadcast_shapes(*(n.shape for n in node.inputs))
        problem = ReduceProblem(
            shape, tuple(n.spec for n in node.inputs), node["axes"], statements, post, self.combine, node.dtype, label=node.op
        )
        return Lowering(problem, tuple(f"x{i}" for i in range(len(node.inputs))), problem.outputs)


class Sum(ReduceOp):
    name = "sum"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        return (("r0", "x0"),), ("r",)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (make("expand", upstream[0], shape=node.inputs[0].shape),)


class Mean(ReduceOp):
    name = "mean"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        return (("r0", "x0"),), ("r / count",)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        assert upstream[0] is not None
        count = math.prod(node.inputs[0].shape[axis] for axis in node["axes"])
        return (make("expand", upstream[0] * (1.0 / max(1, count)), shape=node.inputs[0].shape),)


class Maximum(ReduceOp):
    """The largest; its gradient is shared among equal ones, as in torch.amax."""

    name = "amax"
    combine = "max"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        return (("r0", "x0"),), ("r",)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        assert upstream[0] is not None
        chosen = make("equal", node.inputs[0], node)
        return (chosen * (upstream[0] / make("sum", chosen, axes=node["axes"])),)


class Product(ReduceOp):
    """The product; a gradient of y / x, which is NaN where x is 0."""

    name = "prod"
    combine = "prod"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        return (("r0", "x0"),), ("r",)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        assert upstream[0] is not None
        return (upstream[0] * node / node.inputs[0],)


class Variance(ReduceOp):
    """Mean of (x - mean)^2 with the mean given: two passes over the data, no cancellation."""

    name = "variance"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        return (("r0", "(x0 - x1) * (x0 - x1)"),), ("r / count",)


class NormSums(ReduceOp):
    """The two sums that batch normalisation's gradient needs: of dy, and of dy times the normalised input (x, mean, var follow)."""

    name = "norm_sums"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        return (("r0", "x0"), ("r1", "x0 * (x1 - x2)")), ("r", "r")


class Pick(ReduceOp):
    """Negative log-likelihood along the class axis: inputs log-probabilities, targets (class axis of length 1), class numbers.

    Label smoothing as in Szegedy et al. 2016: 1 - s on the target, s / C everywhere. An ignored target gives 0.
    """

    name = "pick"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        smoothing, ignore = attributes["smoothing"], attributes["ignore_index"]
        expression = f"x1 == x2 ? {1.0 - smoothing!r}f * x0 : 0.0f"
        if smoothing:
            expression = f"({expression}) + {smoothing / attributes['classes']!r}f * x0"
        return (("r0", f"x1 == {ignore} ? 0.0f : -({expression})"),), ("r",)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        from clconv.graph.ops.elementwise import Body

        smoothing = node["smoothing"]
        share = f"(x1 == x2 ? {1.0 - smoothing!r}f : 0.0f) + {smoothing / node['classes']!r}f"
        body = Body((("y0", f"x1 == {node['ignore_index']} ? 0.0f : -x0 * ({share})"),))
        return (make("map", upstream[0], node.inputs[1], node.inputs[2], body=body, named="pick_backward"), None, None)


class CountValid(ReduceOp):
    """How many targets are not to be ignored, as float32."""

    name = "count_valid"

    def terms(self, attributes: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        return (("r0", f"x0 == {attributes['ignore_index']} ? 0.0f : 1.0f"),), ("r",)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (None,)


for _operation in (Sum(), Mean(), Maximum(), Product(), Variance(), NormSums(), Pick(), CountValid()):
    register(_operation)


def sum_over(x: Node, axes: Sequence[int]) -> Node:
    return make("sum", x, axes=tuple(axes))


def mean_over(x: Node, axes: Sequence[int]) -> Node:
    return make("mean", x, axes=tuple(axes))
