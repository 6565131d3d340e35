"""A node: one operation applied to nodes. Immutable; two nodes are equal only if they are the same object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from clconv.tensor import TensorSpec


class Node:
    """`results` are the shapes and types of what the operation gives, mostly one; `item` nodes name one of several.

    `label` is the place in the network that made the node ("layer1.0.conv1"), for explain, profile and errors.
    """

    __slots__ = ("attributes", "inputs", "label", "op", "results")

    def __init__(
        self, op: str, inputs: Iterable[Node], attributes: Mapping[str, Any], results: Iterable[TensorSpec], label: str = ""
    ) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.attributes = MappingProxyType(dict(attributes))
        self.results = tuple(results)
        self.label = label

    @property
    def spec(self) -> TensorSpec:
        return self.results[0]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.results[0].shape

    @property
    def dtype(self) -> str:
        return self.results[0].dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"{self.op}{self.shape}" + (f" of {self.label}" if self.label else "")

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]

    def _binary(self, op: str, other: object, swapped: bool = False) -> Node:
        from clconv.graph.ops import as_node, make

        pair = (as_node(other), self) if swapped else (self, as_node(other))
        return make(op, *pair)

    def __add__(self, other: object) -> Node:
        return self._binary("add", other)

    def __radd__(self, other: object) -> Node:
        return self._binary("add", other, swapped=True)

    def __sub__(self, other: object) -> Node:
        return self._binary("sub", other)

    def __rsub__(self, other: object) -> Node:
        return self._binary("sub", other, swapped=True)

    def __mul__(self, other: object) -> Node:
        return self._binary("mul", other)

    def __rmul__(self, other: object) -> Node:
        return self._binary("mul", other, swapped=True)

    def __truediv__(self, other: object) -> Node:
        return self._binary("div", other)

    def __rtruediv__(self, other: object) -> Node:
        return self._binary("div", other, swapped=True)

    def __neg__(self) -> Node:
        return self * -1.0


def input_node(name: str, spec: TensorSpec) -> Node:
    """A tensor that the caller brings; its spec may have a strided layout."""
    return Node("input", (), {"name": name}, (spec,), name)


def constant_node(value: np.ndarray) -> Node:
    """A small array fixed at compile time: float32, or int32 for whole numbers that fit it."""
    array = np.asarray(value)
    fits = array.dtype.kind in "iu" and all(-(2**31) <= int(n) < 2**31 for n in (array.min(initial=0), array.max(initial=0)))
    dtype = "int32" if fits else "float32"
    array = np.array(array, dtype, order="C")
    return Node("constant", (), {"value": array}, (TensorSpec(array.shape, dtype),))


SOURCES = ("input", "parameter", "constant")


def topological(outputs: Iterable[Node]) -> list[Node]:
    """All nodes that `outputs` need, each after its inputs. Iterative: networks are deeper than Python's stack allows."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(list(outputs))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((source, False) for source in reversed(node.inputs) if id(source) not in seen)
    return order
