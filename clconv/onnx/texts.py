"""Names in a file must be text: a protocol buffer hands out bytes for what is no UTF-8, which no other part of the import expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clconv.errors import OnnxError, printable


def check_texts(proto: Any, name: str) -> None:
    """Refuse a model with a name that is no text; `name` is what errors call the file."""
    for what, text in _texts(proto):
        if isinstance(text, bytes):
            raise OnnxError(f"{name}: {what} is called '{printable(text)}', which is no UTF-8 text; export the model again")


def _texts(proto: Any) -> Iterator[tuple[str, str | bytes]]:
    for entry in proto.opset_import:
        yield "the domain of an operator set", entry.domain
    for entry in proto.metadata_props:
        yield from (("a note", entry.key), ("a note", entry.value))
    yield from _outside_nodes(proto.graph)
    yield from _of_nodes(proto.graph.node)
    for function in proto.functions:
        yield from (("a function", function.name), ("a function's domain", function.domain))
        yield from (("a function's input, output or attribute", text) for text in (*function.input, *function.output, *function.attribute))
        yield from _of_nodes(function.node)


def _of_nodes(nodes: Any) -> Iterator[tuple[str, str | bytes]]:
    """Those of nodes, and of the graphs inside of them, one list after the other: files nest as deeply as they like."""
    waiting = [nodes]
    while waiting:
        for node in waiting.pop():
            yield from (("an operator", node.op_type), ("an operator's domain", node.domain), ("a node", node.name))
            yield from (("a value", text) for text in (*node.input, *node.output))
            for attribute in node.attribute:
                yield from (("an attribute", attribute.name), ("an attribute", attribute.ref_attr_name))
                for graph in (attribute.g, *attribute.graphs):
                    yield from _outside_nodes(graph)
                    waiting.append(graph.node)


def _outside_nodes(graph: Any) -> Iterator[tuple[str, str | bytes]]:
    yield "a graph", graph.name
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield "a value", value.name
        yield from (("a size", dimension.dim_param) for dimension in value.type.tensor_type.shape.dim)
    yield from (("a tensor", tensor.name) for tensor in graph.initializer)
