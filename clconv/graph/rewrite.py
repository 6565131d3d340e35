"""How a pass goes over a graph: node by node, each rewritten or kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clconv.graph.node import Node, topological
from clconv.graph.trace import Graph

Rule = Callable[[Node, "Context"], Node | None]


class Context:
    """The graph under a pass: who reads a node, and whether anything outside does."""

    def __init__(self, roots: Iterable[Node]) -> None:
        self.roots = list(roots)
        self.order = topological(self.roots)
        self.readers: dict[int, list[Node]] = {}
        for node in self.order:
            for source in node.inputs:
                self.readers.setdefault(id(source), []).append(node)
        self.kept = {id(root) for root in self.roots}
        self._alive: list[Node] = []

    def stands_for(self, new: Node, old: Node) -> None:
        """`new` takes the place of `old`: the same readers."""
        self.readers[id(new)] = self.readers.get(id(old), [])
        if id(old) in self.kept:
            self.kept.add(id(new))
        self._alive.append(new)  # ids are only good while their nodes live

    def only_reader(self, node: Node) -> bool:
        """Whether exactly one node reads `node` and nobody outside the graph does."""
        return len(self.readers.get(id(node), ())) == 1 and id(node) not in self.kept


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Apply `rule` to every node whose inputs are already rewritten; None keeps it."""
    context = Context((*graph.outputs, *(node for _, node in graph.updates)))
    done: dict[int, Node] = {}
    for node in context.order:
        inputs = tuple(done[id(source)] for source in node.inputs)
        same = all(a is b for a, b in zip(inputs, node.inputs, strict=True))
        current = node if same else Node(node.op, inputs, node.attributes, node.results, node.label)
        context.stands_for(current, node)
        replaced = rule(current, context)
        if replaced is not None:
            context.stands_for(replaced, node)
        done[id(node)] = current if replaced is None else replaced
    return Graph(graph.inputs, tuple(done[id(n)] for n in graph.outputs), tuple((p, done[id(n)]) for p, n in graph.updates))
