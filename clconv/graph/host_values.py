"""The values of a graph's nodes in one run of which the host computes a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clconv.errors import ArrayError
from clconv.graph.node import Node
from clconv.graph.ops.host import OPEN
from clconv.graph.stages import is_host
from clconv.runtime import arrays
from clconv.tensor import TensorSpec

Key = tuple[int, int]


class Values:
    """What nodes hold; each value is moved between device and host when it is first asked for on the other side."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._device: dict[Key, Any] = {}
        self._host: dict[Key, Any] = {}

    def put(self, node: Node, value: Any) -> None:
        """A device array, or an array on the host."""
        (self._device if arrays.is_array(value) else self._host)[_key(node)] = value

    def compute(self, node: Node) -> None:
        """Call the function of a host node."""
        results = node["function"]([self.host(source) for source in node.inputs])
        self._host.update({(id(node), index): result for index, result in enumerate(results)})

    def host(self, node: Node) -> Any:
        """The value of a node on the host; that of a parameter is the one of the first time."""
        key = _key(node)
        if key not in self._host:
            if node.op in ("constant", "parameter"):
                self._host[key] = node["value"] if node.op == "constant" else node["parameter"].value
            else:
                self._host[key] = arrays.to_host(self._device[key])
        return self._host[key]

    def device(self, node: Node) -> Any:
        """A device array of the node's shape; ArrayError where values have decided otherwise over it."""
        key = _key(node)
        if key not in self._device:
            value = self._host[key]
            if value.shape != node.shape:
                raise ArrayError(
                    f"{node.label}: gave shape {value.shape}, but what reads it was compiled for {node.shape}: the shape depends on "
                    "values, which only operations on the host may follow"
                )
            self._device[key] = arrays.to_device(value.astype(node.dtype, copy=False), node.spec, self._queue, node.label)
        return self._device[key]

    def result(self, node: Node) -> Any:
        """A device array for the caller; from the host in whatever type and shape it has become."""
        key = _key(node)
        return self._device[key] if key in self._device else arrays.uploaded(self._host[key], self._queue)


def host_input(value: Any, spec: TensorSpec, what: str) -> np.ndarray:
    """A caller's array for an input that only the host can hold."""
    array = arrays.to_host(value) if arrays.is_array(value) else np.asarray(value)
    arrays.check_shape(array.shape, spec, what)
    if str(array.dtype) != spec.dtype:
        raise ArrayError(f"{what}: element type {array.dtype} given, {spec.dtype} needed; convert with astype(np.{spec.dtype})")
    return array


def described(nodes: Sequence[Node]) -> str:
    """Types and shapes of values, for reports.

    >>> described([])
    '()'
    """
    shapes = ["x".join("?" if size == OPEN else str(size) for size in node.shape) or "scalar" for node in nodes]
    return "(" + ", ".join(f"{node.dtype} {shape}" for node, shape in zip(nodes, shapes, strict=True)) + ")"


def _key(node: Node) -> Key:
    return (id(node.inputs[0]), node["index"]) if node.op == "item" and is_host(node) else (id(node), 0)
