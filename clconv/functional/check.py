"""Checks that functions share, each with the fix in its message."""

from __future__ import annotations

from clconv.errors import ArrayError, GeometryError
from clconv.graph.node import Node
from clconv.graph.ops import as_node


def batched(value: object, rank: int, operation: str) -> Node:
    """`value` as a node with N, C and `rank` spatial axes."""
    node = as_node(value)
    if node.ndim == rank + 1:
        raise GeometryError(
            f"{operation}: input of shape {node.shape} has no batch axis; add one with x[None], giving (N, C and {rank} spatial axes)"
        )
    if node.ndim != rank + 2:
        raise GeometryError(f"{operation}: input must have {rank + 2} axes (N, C and {rank} spatial), got shape {node.shape}")
    return floating(node, operation)


def floating(value: object, operation: str) -> Node:
    node = as_node(value)
    if node.dtype not in ("float32", "float16"):
        raise ArrayError(f"{operation}: element type {node.dtype} is not supported here; use float32 or float16: x.astype(np.float32)")
    return node


def axis_of(axis: int, rank: int, operation: str) -> int:
    """A possibly negative axis as one from 0 to rank - 1."""
    if not -rank <= axis < rank:
        raise GeometryError(f"{operation}: axis {axis} is outside of the {rank} axes of the input")
    return axis % rank
