"""Products of matrices, batched ones too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clconv.errors import GeometryError
from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, check_floating, check_types, make, register
from clconv.graph.ops.elementwise import activation_backward
from clconv.graph.ops.reduce import sum_over
from clconv.graph.ops.shape import reshape
from clconv.problem import Epilogue, MatmulProblem
from clconv.tensor import TensorSpec


def problem_of(inputs: Nodes, attributes: Mapping[str, Any]) -> MatmulProblem:
    a, b = inputs[:2]
    ta, tb = attributes.get("transpose_a", False), attributes.get("transpose_b", False)
    (m, ka), (kb, n) = (a.shape[-2:][::-1] if ta else a.shape[-2:]), (b.shape[-2:][::-1] if tb else b.shape[-2:])
    batches = (a.shape[:-2], b.shape[:-2])
    if ka != kb or batches[0] != batches[1] or len(batches[0]) > 1:
        raise GeometryError(
            f"{attributes.get('operation', 'matmul')}: inner sizes {ka} and {kb} and batches {batches[0]} and {batches[1]} must be equal; "
            f"a {a.shape}{' transposed' if ta else ''}, b {b.shape}{' transposed' if tb else ''}"
        )
    epilogue = Epilogue(attributes.get("bias", False), attributes.get("residual", False), attributes.get("activation"))
    return MatmulProblem(m, n, ka, batches[0][0] if batches[0] else 1, ta, tb, a.dtype, epilogue)


class Matmul(Op):
    """Inputs a, b, then bias and residual where the attributes say so; two-dimensional, or three-dimensional with equal batches above 1."""

    name = "matmul"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        problem = problem_of(inputs, attributes)
        tensors = problem.tensors()
        what = attributes.get("operation", "matmul")
        check_floating(what, inputs[0])
        check_types(what, problem.inputs, inputs)
        for name, node in zip(problem.inputs, inputs, strict=True):
            if node.shape != tensors[name].shape and node.spec.elements != tensors[name].elements:
                raise GeometryError(f"{what}: {name} has shape {node.shape}, expected {tensors[name].shape}")
        lead = inputs[0].shape[:-2]
        return (TensorSpec((*lead, problem.m, problem.n), inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        problem = problem_of(node.inputs, node.attributes)
        return Lowering(problem, problem.inputs, problem.outputs)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        (dy,) = upstream
        assert dy is not None
        a, b = node.inputs[:2]
        ta, tb = node.attributes.get("transpose_a", False), node.attributes.get("transpose_b", False)
        if node.attributes.get("activation"):
            dy = activation_backward(dy, node, node["activation"])
        da = make("matmul", b, dy, transpose_a=tb, transpose_b=True) if ta else make("matmul", dy, b, transpose_b=not tb)
        db = make("matmul", dy, a, transpose_a=True, transpose_b=ta) if tb else make("matmul", a, dy, transpose_a=not ta)
        extra = []
        if node.attributes.get("bias"):
            extra.append(reshape(sum_over(dy, tuple(range(dy.ndim - 1))), node.inputs[2].shape))
        if node.attributes.get("residual"):
            extra.append(dy)
        return (da, db, *extra)


register(Matmul())
