"""Pooling and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, check_floating, make, register
from clconv.graph.ops.shape import item
from clconv.problem import Pass, PoolProblem
from clconv.tensor import TensorSpec


def problem_of(x_shape: tuple[int, ...], dtype: str, attributes: Mapping[str, Any], direction: Pass = Pass.FORWARD) -> PoolProblem:
    return PoolProblem(
        attributes["kind"],
        attributes.get("geometry"),
        x_shape[0],
        x_shape[1],
        tuple(x_shape[2:]),
        tuple(attributes.get("out_size", ())),
        direction,
        dtype,
        attributes.get("with_indices", False) and direction is Pass.FORWARD,
        attributes.get("count_include_pad", True),
        attributes.get("divisor"),
    )


class Pool(Op):
    """Attributes kind ("max", "avg", "adaptive_avg"), geometry or out_size, and the rules of PoolProblem. Maximum gives (y, indices)."""

    name = "pool"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        check_floating(self.name, inputs[0])
        problem = problem_of(inputs[0].shape, inputs[0].dtype, attributes)
        tensors = problem.tensors()
        return tuple(tensors[name] for name in problem.outputs)

    def lower(self, node: Node) -> Lowering:
        problem = problem_of(node.inputs[0].shape, node.inputs[0].dtype, node.attributes)
        return Lowering(problem, ("x",), problem.outputs)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        indices = (item(node, 1),) if node["kind"] == "max" else ()
        return (make("pool_backward", upstream[0], *indices, x_shape=node.inputs[0].shape, **node.attributes),)


class PoolBackward(Op):
    """Inputs dy and, for maximum, the indices of the forward pass."""

    name = "pool_backward"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return (TensorSpec(attributes["x_shape"], inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        problem = problem_of(node["x_shape"], node.dtype, node.attributes, Pass.BACKWARD_DATA)
        return Lowering(problem, problem.inputs, problem.outputs)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        if node["kind"] == "max":
            return super().gradient(node, upstream)
        attributes = {k: v for k, v in node.attributes.items() if k != "x_shape"}
        return (make("pool", upstream[0], **attributes),)


register(Pool())
register(PoolBackward())
