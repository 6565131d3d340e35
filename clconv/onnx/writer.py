"""A graph of ONNX under construction: nodes, tensors, and names that are each used once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clconv.graph.network import Network
from clconv.graph.node import Node
from clconv.onnx.model import Attribute, Operation
from clconv.onnx.naming import unique

TYPES = {"float32": 1, "float16": 10, "int32": 6}  # as ONNX numbers them


class Writer:
    """Collects the operations that graph nodes become. `value` names a node's result in the file.

    `nodes` are all of the graph. `twins` has, by the identity of a node, the same one for another number of inputs, where the file leaves
    that open.
    """

    def __init__(self, net: Network, version: int, nodes: Sequence[Node] = (), twins: Mapping[int, Node] | None = None) -> None:
        self.version = version
        self.operations: list[Operation] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.of_batch: set[str] = set()  # constants that depend on the number of inputs
        self._twins = twins or {}
        self._halves = _read_as_halves(nodes)
        self._parameters = {id(parameter): name for name, parameter in net.named_parameters().items()}
        self._values: dict[int, str] = {}
        self._seconds: dict[int, str] = {}
        self._taken: set[str] = set(self._parameters.values())
        self._layers = {node.label for node in nodes}
        self._label = ""

    @property
    def parameters(self) -> frozenset[str]:
        """The names of parameters, which are those of the network where it has them."""
        return frozenset(self._parameters.values())

    def begin(self, node: Node) -> None:
        """What is emitted from now on belongs to the layer of `node`, or to one that is called as the first operator of it."""
        self._label = node.label

    def end(self, node: Node, name: str) -> None:
        self._values[id(node)] = name

    def value(self, node: Node, dtype: str | None = None) -> str:
        """The name of a node's result, converted to `dtype`; parameters and constants become tensors of the file when first asked for."""
        if dtype not in (None, node.dtype):
            return self.constant(node["value"].astype(dtype)) if node.op == "constant" else self.cast(self.value(node), str(dtype))
        known = self._values.get(id(node))
        if known is not None:
            return known
        if node.op == "parameter":
            parameter = node["parameter"]
            name = self._parameters.get(id(parameter)) or self.unique("parameter")
            self._parameters[id(parameter)] = name
            self.tensors[name] = parameter.value.astype(np.float16) if self.is_half(node) else parameter.value
        else:
            name = self.constant(node["value"])
            if not np.array_equal(self._twins.get(id(node), node)["value"], node["value"], equal_nan=True):
                self.of_batch.add(name)
        self._values[id(node)] = name
        return name

    def is_half(self, node: Node) -> bool:
        """Whether the file holds this parameter in half precision."""
        return id(node) in self._halves

    def second(self, node: Node) -> str:
        """The name of a node's second result, as its rule gave it to `set_second`."""
        return self._seconds[id(node)]

    def set_second(self, node: Node, name: str) -> None:
        self._seconds[id(node)] = name

    def open_axes(self, node: Node) -> tuple[int, ...]:
        """The axes of a result whose size depends on how many inputs there are, where the file leaves that open."""
        twin = self._twins.get(id(node), node)
        return tuple(axis for axis, (n, m) in enumerate(zip(node.shape, twin.shape, strict=True)) if n != m)

    def constant(self, array: np.ndarray) -> str:
        """A tensor of the file that is no parameter."""
        name = self.unique("constant")
        self.tensors[name] = array
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def emit(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """One operation with one result, whose name is returned; its own name is its layer's. Attributes that are None are left out."""
        return self._emit(op_type, inputs, 1, attributes)[0]

    def emit_pair(self, op_type: str, *inputs: str, **attributes: Any) -> tuple[str, str]:
        """One operation with two results."""
        first, second = self._emit(op_type, inputs, 2, attributes)
        return first, second

    def _emit(self, op_type: str, inputs: tuple[str, ...], results: int, attributes: Mapping[str, Any]) -> tuple[str, ...]:
        self._label = self._label or unique(op_type, self._layers)
        outputs = tuple(self.unique(f"{self._label}.out") for _ in range(results))
        kinds = {key: _attribute(value) for key, value in attributes.items() if value is not None}
        self.operations.append(Operation(op_type, self._label, inputs, outputs, kinds))
        return outputs

    def cast(self, value: str, dtype: str) -> str:
        """`value` in another element type."""
        return self.emit("Cast", value, to=TYPES[dtype])

    def turned(self, value: str, axes: Sequence[int]) -> str:
        """`value` backwards along `axes`."""
        back, start = self.integers([-1] * len(axes)), self.integers([np.iinfo(np.int64).min] * len(axes))
        return self.emit("Slice", value, back, start, self.integers(axes), back)

    def unique(self, wanted: str) -> str:
        """`wanted`, with a number if it is taken, for a value of the file."""
        return unique(wanted, self._taken)


def _read_as_halves(nodes: Sequence[Node]) -> frozenset[int]:
    """Parameters, by identity of their nodes, of which nothing is lost in half precision: all that read them convert them to it."""
    readers: dict[int, list[Node]] = {}
    for node in nodes:
        for source in node.inputs:
            readers.setdefault(id(source), []).append(node)
    half = [
        node for node in nodes
        if node.op == "parameter" and readers.get(id(node)) and all(reader.op == "cast" for reader in readers[id(node)])
    ]  # fmt: skip
    return frozenset(id(node) for node in half if _fits_half(node["parameter"].value))


def _fits_half(value: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(value.astype(np.float16).astype(np.float32), value, equal_nan=True))


def _attribute(value: Any) -> Attribute:
    if isinstance(value, str):
        return Attribute("string", value)
    if isinstance(value, float):
        return Attribute("float", value)
    if isinstance(value, tuple | list):
        return Attribute("ints", tuple(int(n) for n in value))
    return Attribute("int", int(value))
