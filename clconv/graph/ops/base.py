"""The rules of an operation, all in one place: shape, gradient, lowering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clconv.errors import ArrayError, UnsupportedError
from clconv.graph.node import Node, constant_node
from clconv.graph.trace import current_scope
from clconv.problem import Problem
from clconv.tensor import TensorSpec

Nodes = tuple[Node, ...]
Gradients = Sequence["Node | None"]


@dataclass(frozen=True)
class Lowering:
    """A problem, with its operand names in the order of the node's inputs and results."""

    problem: Problem
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Op:
    """One operation."""

    name: str

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        """Shapes and types of the results; raises GeometryError where the inputs do not fit."""
        raise NotImplementedError(self.name)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        """The loss's gradient with respect to each input, given those of the results (None: does not depend)."""
        raise UnsupportedError(f"{self.name}: has no gradient; take the gradient of a graph without it, or write it with other operations")

    def lower(self, node: Node) -> Lowering:
        """The problem whose solution the node is."""
        raise NotImplementedError(self.name)


OPS: dict[str, Op] = {}


def register(op: Op) -> Op:
    OPS[op.name] = op
    return op


NOT_REAL = "cOSUmM"
"""Kinds of NumPy's types that float32 cannot stand for: complex numbers, objects, texts and times."""


def as_node(value: object, what: str = "") -> Node:
    """Nodes as they are, parameters as their node, numbers and small arrays as constants; `what` is the operation, for the error."""
    if isinstance(value, Node):
        return value
    node = getattr(value, "node", None)
    if isinstance(node, Node):
        return node
    if isinstance(value, int | float | np.ndarray | np.generic):
        array = np.asarray(value, "float32" if isinstance(value, int | float) else None)
        if array.dtype.kind in NOT_REAL:
            raise ArrayError(f"{what}{': ' if what else ''}takes real numbers, got an array of {array.dtype}")
        return constant_node(array)
    raise ArrayError(
        f"{what}{': ' if what else ''}expected an array on a device, a graph node, a parameter or a number, got {type(value).__name__}; "
        "pyopencl.array.to_device(queue, x) sends one, and inside a network the inputs it is called with are nodes"
    )


def make(op: str, *inputs: object, **attributes: Any) -> Node:
    """A node of operation `op`; shapes are checked now."""
    nodes = tuple(as_node(value, op) for value in inputs)
    return Node(op, nodes, attributes, OPS[op].infer(nodes, attributes), current_scope())


def check_floating(what: str, node: Node) -> None:
    """What multiplies, divides or weighs has kernels for these types alone."""
    if node.dtype not in ("float32", "float16"):
        raise ArrayError(f"{what}: element type {node.dtype} is not supported here; use float32 or float16: x.astype(np.float32)")


def check_types(what: str, names: Sequence[str], nodes: Nodes) -> None:
    """One element type for all: a kernel reads its operands as that of the first."""
    for name, node in zip(names, nodes, strict=True):
        if node.dtype != nodes[0].dtype:
            raise ArrayError(f"{what}: {names[0]} is {nodes[0].dtype} but {name} is {node.dtype}; convert one with astype")


def make_labelled(label: str, op: str, *inputs: Node, **attributes: Any) -> Node:
    """As `make`, for passes: the node belongs to the place named `label`."""
    return Node(op, inputs, attributes, OPS[op].infer(inputs, attributes), label)
