"""Reverse-mode differentiation: gradients are nodes like all others."""

from __future__ import annotations

from collections.abc import Sequence

from clconv.errors import GeometryError
from clconv.graph.node import Node, topological
from clconv.graph.ops import OPS, as_node, make
from clconv.graph.trace import scope


def grad(loss: Node, wrt: Sequence[object] | object) -> list[Node]:
    """d loss / d each of `wrt` (nodes or parameters), as nodes of their shapes.

    `loss` must hold one element. What it does not depend on gets zeros.

    >>> from clconv.graph.node import input_node
    >>> from clconv.tensor import TensorSpec
    >>> x = input_node("x", TensorSpec((2, 3)))
    >>> grad(make("sum", x * x, axes=(0, 1)), [x])[0].shape
    (2, 3)
    """
    if loss.spec.elements != 1:
        raise GeometryError(f"grad: the loss must hold one element, got shape {loss.shape}; reduce it to its mean or sum first")
    targets = [as_node(value) for value in (wrt if isinstance(wrt, Sequence) else [wrt])]
    order = topological([loss])
    needed = {id(node) for node in targets}
    for node in order:
        if any(id(source) in needed for source in node.inputs):
            needed.add(id(node))
    upstream: dict[int, list[Node | None]] = {id(loss): [_filled(1.0, loss)]}
    for node in reversed(order):
        arrived = upstream.get(id(node))
        if arrived is None or id(node) not in needed or not node.inputs:
            continue
        if node.op == "item":
            _add(upstream, node.inputs[0], node["index"], arrived[0])
            continue
        if any(id(source) in needed for source in node.inputs):
            with scope(f"{node.label}, backward" if node.label else ""):
                for source, part in zip(node.inputs, OPS[node.op].gradient(node, arrived), strict=True):
                    if part is not None and id(source) in needed:
                        _add(upstream, source, 0, part)
    return [_arrived(upstream, node) for node in targets]


def _filled(value: float, like: Node) -> Node:
    """A constant with the shape and element type of `like`."""
    out = make("expand", as_node(value), shape=like.shape)
    return out if out.dtype == like.dtype else make("cast", out, dtype=like.dtype)


def _add(upstream: dict[int, list[Node | None]], node: Node, index: int, part: Node | None) -> None:
    slots = upstream.setdefault(id(node), [None] * len(node.results))
    before = slots[index]
    slots[index] = part if before is None or part is None else make("add", before, part)


def _arrived(upstream: dict[int, list[Node | None]], node: Node) -> Node:
    part = upstream.get(id(node), [None])[0]
    return part if part is not None else _filled(0.0, node)
