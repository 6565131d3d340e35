"""softmax and log_softmax along one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, check_floating, make, register
from clconv.problem import Pass, SoftmaxProblem
from clconv.tensor import TensorSpec


class Softmax(Op):
    """Attributes axis (not negative) and log."""

    name = "softmax"
    direction = Pass.FORWARD

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        check_floating(self.name, inputs[0])
        return (TensorSpec(inputs[0].shape, inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        problem = SoftmaxProblem(node.shape, node["axis"], node["log"], self.direction, node.dtype)
        return Lowering(problem, problem.inputs, problem.outputs)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (make("softmax_backward", node, upstream[0], **node.attributes),)


class SoftmaxBackward(Softmax):
    """Inputs y, dy."""

    name = "softmax_backward"
    direction = Pass.BACKWARD_DATA
    gradient = Op.gradient


register(Softmax())
register(SoftmaxBackward())
