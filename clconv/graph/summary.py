"""A table of a network's layers: output shape, parameters, multiply-adds, receptive field."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.graph.network import Network, Shapes
from clconv.graph.node import SOURCES, Node, topological
from clconv.graph.ops import OPS


@dataclass(frozen=True)
class Row:
    """One place in the network; sizes count elements, `receptive_field` input pixels per axis (None where everything is seen)."""

    name: str
    operation: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: tuple[int, ...] | None


@dataclass(frozen=True)
class Summary:
    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int

    def __str__(self) -> str:
        lines = [("layer", "operation", "output", "parameters", "multiply-adds", "receptive field")]
        for row in self.rows:
            field = "whole input" if row.receptive_field is None else " x ".join(map(str, row.receptive_field))
            shape = " x ".join(map(str, row.output_shape))
            lines.append((row.name, row.operation, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}", field))
        lines.append(("total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", ""))
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        right = (False, False, False, True, True, False)
        return "\n".join(
            "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True)).rstrip()
            for line in lines
        )


Field = tuple[tuple[int, int], ...] | None


def summarise(network: Network, shapes: Shapes) -> Summary:
    """Walk the inference graph once; nodes that share a label are one row, named after the heaviest of them."""
    graph = network.trace(shapes)
    fields: dict[int, Field] = {}
    groups: dict[str, list[Node]] = {}
    for node in topological(graph.outputs):
        fields[id(node)] = _field(node, fields)
        if node.op not in (*SOURCES, "reshape", "item"):
            groups.setdefault(node.label or node.op, []).append(node)
    counted: set[int] = set()
    rows = []
    for name, nodes in groups.items():
        parameters = 0
        for source in (s for n in nodes for s in _parameters(n)):
            if id(source) not in counted:
                counted.add(id(source))
                parameters += source.spec.elements
        main = max(nodes, key=_work)
        field = fields[id(nodes[-1])]
        reach = None if field is None else tuple(f for f, _ in field)
        rows.append(Row(name, main.op, nodes[-1].shape, parameters, sum(map(_work, nodes)), reach))
    return Summary(tuple(rows), network.parameter_count(), sum(row.multiply_adds for row in rows))


def _parameters(node: Node) -> list[Node]:
    found = []
    for source in node.inputs:
        while source.op in ("reshape", "view", "mul") and source.inputs:
            source = source.inputs[0]
        if source.op == "parameter":
            found.append(source)
    return found


def _work(node: Node) -> int:
    """Multiply-adds of convolutions and matrix products; everything else counts 0, as papers do."""
    return OPS[node.op].lower(node).problem.multiply_adds if node.op in ("conv", "matmul") else 0


def _field(node: Node, fields: dict[int, Field]) -> Field:
    """(receptive field, distance between neighbours in input pixels) per spatial axis; None once every input pixel is seen."""
    if node.op in ("input", "parameter", "constant"):
        return ((1, 1),) * (node.ndim - 2) if node.op == "input" and node.ndim > 2 else ()
    known = [fields[id(source)] for source in node.inputs]
    if any(field is None for field in known):
        return None
    before = max((f for f in known if f), key=lambda f: max(r for r, _ in f), default=())
    assert before is not None
    geometry = node.attributes.get("geometry")
    if geometry is not None and len(before) == len(geometry.kernel):
        axes = zip(before, geometry.effective_kernel, geometry.stride, strict=True)
        if node.attributes.get("transposed"):
            return tuple((f + math.ceil((m - 1) / s) * jump, max(1, jump // s)) for (f, jump), m, s in axes)
        return tuple((f + (m - 1) * jump, jump * s) for (f, jump), m, s in axes)
    if before and (node.op in ("matmul", "mean", "host") or node.attributes.get("kind") == "adaptive_avg"):
        return None
    return before
