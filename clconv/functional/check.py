"""Checks that functions share, each with the fix in its message."""

from __future__ import annotations

import numpy as np

from clconv.errors import GeometryError
from clconv.graph.node import Node
from clconv.graph.ops import as_node
from clconv.graph.ops.base import check_floating


def batched(value: object, rank: int, operation: str) -> Node:
    """`value` as a node with N, C and `rank` spatial axes, of which only N may be 0."""
    node = as_node(value, operation)
    if node.ndim == rank + 1:
        raise GeometryError(
            f"{operation}: input of shape {node.shape} has no batch axis; add one with x[None], giving (N, C and {rank} spatial axes)"
        )
    if node.ndim != rank + 2:
        raise GeometryError(f"{operation}: input must have {rank + 2} axes (N, C and {rank} spatial), got shape {node.shape}")
    if 0 in node.shape[1:]:
        raise GeometryError(f"{operation}: input of shape {node.shape} is empty on axis {node.shape.index(0, 1)}; only the batch may be 0")
    return floating(node, operation)


def floating(value: object, operation: str) -> Node:
    node = as_node(value, operation)
    check_floating(operation, node)
    return node


def number(value: object, name: str, operation: str) -> float:
    """A number that goes into a kernel's text or arguments."""
    if not isinstance(value, int | float | np.integer | np.floating):
        raise GeometryError(f"{operation}: {name} must be a number, got {value!r}")
    return float(value)


def axis_of(axis: int, rank: int, operation: str) -> int:
    """A possibly negative axis as one from 0 to rank - 1."""
    if not isinstance(axis, int | np.integer):
        raise GeometryError(f"{operation}: an axis must be a whole number, got {axis!r}")
    if not -rank <= axis < rank:
        raise GeometryError(f"{operation}: axis {axis} is outside of the {rank} axes of the input")
    return axis % rank
