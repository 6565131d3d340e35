"""Functions that a model defines itself, written out where they are called.

Twenty of them, each of which calls the next one twice, make a million nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clconv.errors import OnnxError

MOST_NODES = 100_000
"""Of a model with its functions written out."""

Key = tuple[str, str, str]


def inlined(proto: Any, name: str) -> Any:
    """`proto` without functions. Raises OnnxError where they call themselves, or would make too many nodes."""
    if not len(proto.functions):
        return proto
    from onnx import inliner
    from onnx.checker import ValidationError

    check_size(proto, name)
    try:
        return inliner.inline_local_functions(proto)
    except (ValidationError, RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise OnnxError(f"{name}: its functions cannot be written out where they are called: {said}") from error


def check_size(proto: Any, name: str) -> None:
    """How many nodes writing out will make, before it is done."""
    functions = {(f.domain, f.name, getattr(f, "overload", "")): f for f in proto.functions}
    calls = {key: [_key(node) for node in _nodes(function.node)] for key, function in functions.items()}
    sizes: dict[Key, int] = {}
    open_calls: set[Key] = set()
    stack = [(key, False) for key in functions]
    while stack:
        key, ready = stack.pop()
        if ready:
            open_calls.discard(key)
            sizes[key] = sum(sizes.get(called, 1) for called in calls[key])
        elif key not in sizes and key not in open_calls:
            open_calls.add(key)
            stack.append((key, True))
            for called in calls[key]:
                if called in open_calls:
                    raise OnnxError(f"{name}: function {called[1]!r} of domain {called[0]!r} calls itself; functions must not be recursive")
                if called in functions and called not in sizes:
                    stack.append((called, False))
    total = sum(sizes.get(_key(node), 1) for node in _nodes(proto.graph.node))
    if total > MOST_NODES:
        raise OnnxError(f"{name}: its functions, written out where they are called, make {total} nodes; at most {MOST_NODES} are taken")


def _key(node: Any) -> Key:
    return (node.domain, node.op_type, getattr(node, "overload", ""))


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    """Nodes, and those of the graphs that are their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)
