"""A graph of ONNX under construction: nodes, tensors, and names that are each used once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clconv.graph.network import Network
from clconv.graph.node import Node
from clconv.onnx.model import Attribute, Operation


class Writer:
    """Collects the operations that graph nodes become. `value` names a node's result in the file."""

    def __init__(self, net: Network, version: int) -> None:
        self.version = version
        self.operations: list[Operation] = []
        self.tensors: dict[str, np.ndarray] = {}
        self._parameters = {id(parameter): name for name, parameter in net.named_parameters().items()}
        self._values: dict[int, str] = {}
        self._taken: set[str] = set(self._parameters.values())
        self._label = ""

    def begin(self, node: Node) -> None:
        """What is emitted from now on belongs to the layer of `node`."""
        self._label = node.label

    def end(self, node: Node, name: str) -> None:
        self._values[id(node)] = name

    def value(self, node: Node) -> str:
        """The name of a node's result; parameters and constants become tensors of the file when first asked for."""
        known = self._values.get(id(node))
        if known is not None:
            return known
        if node.op == "parameter":
            parameter = node["parameter"]
            name = self._parameters.get(id(parameter)) or self.unique("parameter")
            self.tensors[name] = parameter.value
        else:
            name = self.constant(node["value"])
        self._values[id(node)] = name
        return name

    def constant(self, array: np.ndarray) -> str:
        """A tensor of the file that is no parameter."""
        name = self.unique("constant")
        self.tensors[name] = array
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def emit(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """One operation with one result, whose name is returned; its own name is its layer's. Attributes that are None are left out."""
        output = self.unique(f"{self._label or op_type}.out")
        kinds = {key: _attribute(value) for key, value in attributes.items() if value is not None}
        self.operations.append(Operation(op_type, self._label, inputs, (output,), kinds))
        return output

    def unique(self, wanted: str) -> str:
        """`wanted`, with a number if it is taken, for a value of the file."""
        return _unique(wanted, self._taken)


def named_apart(operations: Sequence[Operation], inputs: Iterable[str]) -> list[Operation]:
    """Operations with names of their own: the layer's for the first that works on `inputs`, with the operator behind it for others."""
    reached, taken = set(inputs), {operation.name for operation in operations}
    free, named = set(taken), []
    for operation in operations:
        label = operation.name
        works = bool(reached.intersection(operation.inputs))
        if works:
            reached.update(operation.outputs)
        if works and label in free and label:
            free.discard(label)
            named.append(operation)
        else:
            named.append(replace(operation, name=_unique(f"{label}.{operation.op_type}" if label else operation.op_type, taken)))
    return named


def _unique(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name


def _attribute(value: Any) -> Attribute:
    if isinstance(value, str):
        return Attribute("string", value)
    if isinstance(value, float):
        return Attribute("float", value)
    if isinstance(value, tuple | list):
        return Attribute("ints", tuple(int(n) for n in value))
    return Attribute("int", int(value))
