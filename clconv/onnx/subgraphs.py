"""What the graphs inside of nodes, the bodies of loops and branches, need from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clconv.errors import OnnxError
from clconv.onnx.external import is_external


def captured(graph: Any, source: str) -> tuple[str, ...]:
    """The values that a GraphProto reads from outside of it, in order. Tensors in other files are refused: nobody checks their paths there.

    `source` is what errors call the file.
    """
    lost = next((tensor.name for tensor in _tensors(graph) if is_external(tensor)), None)
    if lost is not None:
        raise OnnxError(f"{source}: tensor {lost!r} of a subgraph lies in another file; save the model as one file")
    own = {value.name for value in (*graph.input, *graph.initializer)} | {name for node in graph.node for name in node.output}
    read: list[str] = []
    for node in graph.node:
        read += [*node.input, *(name for inner in _subgraphs(node) for name in captured(inner, source))]
    read += [value.name for value in graph.output]
    return tuple(dict.fromkeys(name for name in read if name and name not in own))


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
