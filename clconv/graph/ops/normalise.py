"""Batch normalisation (Ioffe and Szegedy 2015) and local response normalisation (Krizhevsky et al. 2012)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clconv.codegen.expressions import float_literal
from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, as_node, check_floating, make, register
from clconv.graph.ops.elementwise import Body, MapOp
from clconv.graph.ops.shape import item
from clconv.problem import LrnProblem, Pass
from clconv.tensor import TensorSpec


class BatchNorm(MapOp):
    """gamma (x - mean) / sqrt(var + eps) + beta; inputs x, mean, var, gamma, beta, the last four of shape (1, C, 1, ...).

    With `training`, mean and var are those of x itself, and the gradient with respect to x includes the way through them.
    """

    name = "batch_norm"

    def body(self, attributes: Mapping[str, Any]) -> Body:
        return Body((("t0", f"x3 / sqrt(x2 + {float_literal(attributes['eps'])})"), ("y0", "(x0 - x1) * t0 + x4")))

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return (inputs[0].spec.with_layout(TensorSpec(()).layout),)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        (dy,) = upstream
        x, mean, var, gamma, _ = node.inputs
        eps = float_literal(node["eps"])
        axes = (0, *range(2, x.ndim))
        sums = make("norm_sums", dy, x, mean, axes=axes, dtype="float32")
        shift, slope = item(sums, 0), item(sums, 1)
        scale = make("map", slope, var, body=Body((("y0", f"x0 / sqrt(x1 + {eps})"),)), named="batch_norm_backward_gamma")
        if not node["training"]:
            return dy * channel_factor(gamma, var, node["eps"]), None, None, scale, shift
        # One over the number of values is an operand, not a number in the code: another batch size builds nothing.
        inverse = as_node(np.full((1,) * x.ndim, gamma.spec.elements / x.spec.elements, np.float32))
        # What is the same for a whole channel is computed once a channel: a root and a division for every pixel would take longer than
        # reading it.
        statements = (("t0", f"1.0f / sqrt(x0 + {eps})"), ("y0", "x1 * t0"), ("y1", "x2 * x4"), ("y2", "x3 * x4 * t0 * t0"))
        factors = make("map", var, gamma, shift, slope, inverse, body=Body(statements), outputs=3, named="batch_norm_backward_factors")
        body = Body((("y0", "x3 * (x0 - x4 - (x1 - x2) * x5)"),))
        parts = (item(factors, i) for i in range(3))
        dx = make("map", dy, x, mean, *parts, body=body, named="batch_norm_backward_data")
        return dx, None, None, scale, shift


def channel_factor(gamma: Node, variance: Node, eps: float) -> Node:
    """gamma / sqrt(variance + eps), once a channel."""
    body = Body((("y0", f"x0 / sqrt(x1 + {float_literal(eps)})"),))
    return make("map", gamma, variance, body=body, named="batch_norm_scale")


class Lrn(Op):
    """Across channels; attributes window, alpha, beta, k as torch.nn.functional.local_response_norm has them."""

    name = "lrn"
    direction = Pass.FORWARD

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        check_floating(self.name, inputs[0])
        return (TensorSpec(inputs[0].shape, inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        problem = LrnProblem(node.shape, node["window"], node["alpha"], node["beta"], node["k"], self.direction, node.dtype)
        return Lowering(problem, problem.inputs, problem.outputs)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (make("lrn_backward", node.inputs[0], upstream[0], **node.attributes),)


class LrnBackward(Lrn):
    """Inputs x, dy."""

    name = "lrn_backward"
    direction = Pass.BACKWARD_DATA
    gradient = Op.gradient


for _operation in (BatchNorm(), Lrn(), LrnBackward()):
    register(_operation)
