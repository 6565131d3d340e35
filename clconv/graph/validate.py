"""A graph and the wishes that come with it, checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch

from clconv.algorithms import ALGORITHMS
from clconv.errors import GeometryError, UnsupportedError
from clconv.graph.node import Node, topological
from clconv.graph.schedule import full_name
from clconv.graph.trace import Graph


def check_graph(graph: Graph) -> None:
    """Inputs are input nodes with names of their own, outputs are nodes, and what they are computed from is among the inputs."""
    for what, nodes in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if not isinstance(nodes, tuple):
            raise GeometryError(f"graph: {what} must be a tuple of nodes, got {type(nodes).__name__}; write ({what[:-1]},) for one")
        for node in nodes:
            if not isinstance(node, Node):
                raise GeometryError(f"graph: {what} must be nodes, got {type(node).__name__}")
    names = [node["name"] for node in graph.inputs]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise GeometryError(f"graph: two inputs are named {twice!r}; give each a name of its own")
    for parameter, node in graph.updates:
        if (node.shape, node.dtype) != (parameter.shape, "float32"):
            raise GeometryError(
                f"graph: parameter {parameter.name or '(unnamed)'} of shape {parameter.shape} cannot be updated with a {node.dtype} "
                f"value of shape {node.shape}; reshape or cast it"
            )
    listed = {id(node) for node in graph.inputs}
    for node in topological((*graph.outputs, *(n for _, n in graph.updates))):
        if node.op == "input" and id(node) not in listed:
            raise GeometryError(f"graph: {node['name']!r} is computed with, but is not among the inputs {', '.join(names) or '(none)'}")


def check_algorithms(forced: Sequence[tuple[str, str]], graph: Graph) -> None:
    """Refuse names that no algorithm has, and patterns that no layer's name matches: they would force nothing, silently."""
    names = [algorithm.name for algorithm in ALGORITHMS]
    labels = dict.fromkeys(n.label for n in topological((*graph.outputs, *(n for _, n in graph.updates))) if n.label) if forced else {}
    for pattern, name in forced:
        if full_name(name, names) is None:
            raise UnsupportedError(f"algorithms: {name!r}, asked for {pattern!r}, is not one of {', '.join(names)}")
        if not any(fnmatch(label, pattern) for label in ("", *labels)):
            shown = ", ".join(list(labels)[:10]) + (", ..." if len(labels) > 10 else "")
            raise UnsupportedError(f"algorithms: no layer's name matches {pattern!r}; names are {shown}")
