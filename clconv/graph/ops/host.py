"""What is computed on the host in the middle of a graph: by a function of arrays, which nothing on a device replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from clconv.errors import UnsupportedError
from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, make, register
from clconv.tensor import DTYPES, TensorSpec

OPEN = -1
"""A size that only the values decide. What has one stays on the host."""

SEQUENCE, TEXT = "sequence", "object"
NOT_IN_ARRAYS = (SEQUENCE, TEXT)
"""What stands for the element type of lists of arrays, and of text."""


class HostFunction(Protocol):
    """`operation` is what reports call it, `reason` why it is not computed on the device."""

    @property
    def operation(self) -> str: ...

    @property
    def reason(self) -> str: ...

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]: ...


class Host(Op):
    """`function` of the inputs' values. Results may be of types that no kernel knows, or have OPEN sizes: only such nodes read those."""

    name = "host"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return tuple(attributes["results"])

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        raise UnsupportedError(
            f"{node['function'].operation}: is computed on the host, and no gradient leads through it; freeze the parameters before it"
        )

    def lower(self, node: Node) -> Lowering:
        raise UnsupportedError(f"{node.label}: {node['function'].operation} is computed on the host; compile the network as a whole")


def host(function: HostFunction, inputs: Sequence[Node], results: Sequence[TensorSpec]) -> tuple[Node, ...]:
    """A node for each result of `function`."""
    node = make("host", *inputs, function=function, results=tuple(results))
    return (node,) if len(results) == 1 else tuple(make("item", node, index=i) for i in range(len(results)))


def on_device(spec: TensorSpec) -> bool:
    """Whether kernels can hold a tensor like this."""
    return spec.dtype in DTYPES and OPEN not in spec.shape


register(Host())
