"""Moving elements by tables known in advance: along one axis with weights, and to positions of a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clconv.errors import GeometryError
from clconv.graph.node import Node, constant_node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, check_floating, make, register
from clconv.graph.resize import Resizing
from clconv.problem import Pass, ResampleProblem, UnpoolProblem
from clconv.tensor import TensorSpec


class Resample(Op):
    """Inputs x and two constants (out, taps): from where, and with which weights. See ResampleProblem.

    Attributes axis, and `resizing` where the tables are those of a resized axis, for files that have an operator for it.
    """

    name = "resample"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        x, sources = inputs[:2]
        check_floating(self.name, x)
        axis = attributes["axis"]
        return (TensorSpec((*x.shape[:axis], sources.shape[0], *x.shape[axis + 1 :]), x.dtype),)

    def lower(self, node: Node) -> Lowering:
        x, sources = node.inputs[:2]
        out, taps = sources.shape
        problem = ResampleProblem(x.shape, node["axis"], out, taps, node.dtype)
        return Lowering(problem, ("x", "sources", "weights"), ("y",))

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        x, sources, weights = node.inputs
        turned = transposed(sources["value"], weights["value"], x.shape[node["axis"]])
        return (make("resample", upstream[0], *map(constant_node, turned), axis=node["axis"]), None, None)


class Unpool(Op):
    """Inputs x and int32 indices of the same shape (N, C, *); attribute size, of the planes to write into. See UnpoolProblem."""

    name = "unpool"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        x, indices = inputs
        check_floating(self.name, x)
        if x.shape != indices.shape:
            raise GeometryError(f"unpool: indices {indices.shape} must have the shape of the input, {x.shape}")
        return (TensorSpec((*x.shape[:2], *attributes["size"]), x.dtype),)

    def lower(self, node: Node) -> Lowering:
        return Lowering(UnpoolProblem(node.inputs[0].shape, tuple(node["size"]), Pass.FORWARD, node.dtype), ("x", "indices"), ("y",))

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (make("unpool_backward", upstream[0], node.inputs[1]), None)


class UnpoolBackward(Op):
    """Inputs dy and the indices of the forward pass."""

    name = "unpool_backward"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return (TensorSpec(inputs[1].shape, inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        dy, indices = node.inputs
        problem = UnpoolProblem(indices.shape, dy.shape[2:], Pass.BACKWARD_DATA, node.dtype)
        return Lowering(problem, ("dy", "indices"), ("dx",))

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (make("unpool", upstream[0], node.inputs[1], size=node.inputs[0].shape[2:]), None)


for _operation in (Resample(), Unpool(), UnpoolBackward()):
    register(_operation)


def transposed(sources: np.ndarray, weights: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The tables of the transposed map: for each of `size` sources, who reads it and with which weight; rows are filled up with -1.

    >>> [table.tolist() for table in transposed(np.array([[0], [2], [0]]), np.array([[1.0], [2.0], [3.0]]), 3)]
    [[[0, 2], [-1, -1], [1, -1]], [[1.0, 3.0], [0.0, 0.0], [2.0, 0.0]]]
    """
    readers, taps = np.nonzero(sources >= 0)
    read = sources[readers, taps]
    order = np.argsort(read, kind="stable")
    readers, taps, read = readers[order], taps[order], read[order]
    counts = np.bincount(read, minlength=size)
    within = np.arange(len(read)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (size, max(1, int(counts.max(initial=0))))
    back, share = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    back[read, within], share[read, within] = readers, weights[readers, taps]
    return back, share


def resample(x: Node, axis: int, sources: np.ndarray, weights: np.ndarray | None = None, resizing: Resizing | None = None) -> Node:
    """`x` with `axis` read through tables (out, taps); weights of 1 where None. `resizing` says what the tables were made from."""
    table = np.asarray(sources, np.int32)
    factors = np.ones(table.shape, np.float32) if weights is None else np.asarray(weights, np.float32)
    return make("resample", x, constant_node(table), constant_node(factors), axis=axis, resizing=resizing)


def take(x: Node, axis: int, indices: Sequence[int] | np.ndarray) -> Node:
    """Elements of `axis` by number, in any order and any number of times; numbers must lie within the axis."""
    return resample(x, axis, np.asarray(indices, np.int32).reshape(-1, 1))
