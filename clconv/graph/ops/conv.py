"""Convolution in its three passes; the gradients of each are the other two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clconv.errors import GeometryError
from clconv.geometry import ConvGeometry
from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, check_floating, check_types, make, register
from clconv.graph.ops.elementwise import activation_backward
from clconv.graph.ops.reduce import sum_over
from clconv.graph.ops.shape import reshape
from clconv.problem import ConvProblem, Epilogue, Pass
from clconv.tensor import TensorSpec

OPERANDS = {
    Pass.FORWARD: ("x", "w"),
    Pass.BACKWARD_DATA: ("dy", "w"),
    Pass.BACKWARD_WEIGHTS: ("x", "dy"),
}


def problem_of(inputs: Nodes, attributes: Mapping[str, Any]) -> ConvProblem:
    """The ConvProblem of a node's inputs and attributes."""
    geometry: ConvGeometry = attributes["geometry"]
    direction: Pass = attributes["direction"]
    epilogue = Epilogue(attributes.get("bias", False), attributes.get("residual", False), attributes.get("activation"))
    first, second = inputs[0].shape, inputs[1].shape
    if direction is Pass.FORWARD:
        batch, channels, filters, size = first[0], first[1], second[0], first[2:]
    elif direction is Pass.BACKWARD_DATA:
        batch, channels, filters, size = first[0], second[1] * geometry.groups, first[1], attributes["size"]
    else:
        batch, channels, filters, size = first[0], first[1], second[1], first[2:]
    return ConvProblem(
        geometry, batch, channels, filters, tuple(size), direction, inputs[0].dtype, epilogue, attributes.get("transposed", False)
    )


class Conv(Op):
    """Inputs: the two operands of the pass, then bias and residual where the attributes say so."""

    name = "conv"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        problem = problem_of(inputs, attributes)
        tensors = problem.tensors()
        what = attributes.get("operation", "conv")
        check_floating(what, inputs[0])
        check_types(what, self.operands(problem), inputs)
        for name, node in zip(self.operands(problem), inputs, strict=True):
            if node.shape != tensors[name].shape:
                raise GeometryError(f"{what}: {name} has shape {node.shape}, the other operands ask for {tensors[name].shape}; {problem}")
        return (tensors[problem.outputs[0]],)

    @staticmethod
    def operands(problem: ConvProblem) -> tuple[str, ...]:
        epilogue = problem.epilogue
        return OPERANDS[problem.direction] + ("bias",) * epilogue.bias + ("residual",) * epilogue.residual

    def lower(self, node: Node) -> Lowering:
        problem = problem_of(node.inputs, node.attributes)
        return Lowering(problem, self.operands(problem), problem.outputs)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        (dy,) = upstream
        assert dy is not None
        problem = problem_of(node.inputs, node.attributes)
        a, b = node.inputs[:2]
        keep = {"geometry": problem.geometry, "transposed": problem.transposed, "strict": node.attributes.get("strict", False)}
        if node.attributes.get("activation"):
            dy = activation_backward(dy, node, node["activation"])
        extra: list[Node] = []
        if problem.epilogue.bias:
            axes = (0, *range(2, dy.ndim))
            extra.append(reshape(sum_over(dy, axes), (dy.shape[1],)))
        if problem.epilogue.residual:
            extra.append(dy)
        if problem.direction is Pass.FORWARD:
            return (
                make("conv", dy, b, direction=Pass.BACKWARD_DATA, size=problem.size, **keep),
                make("conv", a, dy, direction=Pass.BACKWARD_WEIGHTS, **keep),
                *extra,
            )
        if problem.direction is Pass.BACKWARD_DATA:
            return (
                make("conv", dy, b, direction=Pass.FORWARD, **keep),
                make("conv", dy, a, direction=Pass.BACKWARD_WEIGHTS, **keep),
                *extra,
            )
        return (
            make("conv", b, dy, direction=Pass.BACKWARD_DATA, size=problem.size, **keep),
            make("conv", a, dy, direction=Pass.FORWARD, **keep),
        )


register(Conv())
