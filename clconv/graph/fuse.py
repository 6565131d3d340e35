"""Fusing element-wise operations: chains of maps become one."""

from __future__ import annotations

import re

from clconv.graph.node import Node
from clconv.graph.ops.base import OPS
from clconv.graph.ops.elementwise import Body, MapOp
from clconv.graph.rewrite import Context

MOST_FUSED_INPUTS = 8
NAME = re.compile(r"\b([xyt])(\d+)\b")


def fuse_elementwise(node: Node, context: Context) -> Node | None:
    """A map takes over the maps that only it reads, of the same shape: one launch, no memory in between."""
    op = OPS.get(node.op)
    if not isinstance(op, MapOp):
        return None
    for position, source in enumerate(node.inputs):
        before = OPS.get(source.op)
        if not isinstance(before, MapOp) or source.shape != node.shape or not context.only_reader(source) or len(source.results) > 1:
            continue
        if (
            list(node.inputs).count(source) != 1
            or len(node.inputs) + len(source.inputs) - 1 > MOST_FUSED_INPUTS
            or source.dtype != "float32"
        ):
            continue
        first, second = before.body(source.attributes), op.body(node.attributes)
        return _joined(node, source, position, first, second)
    return None


def _joined(node: Node, source: Node, position: int, first: Body, second: Body) -> Node:
    inputs = [n for i, n in enumerate(node.inputs) if i != position]
    names = {f"x{i}": f"x{k}" for k, i in enumerate(i for i in range(len(node.inputs)) if i != position)}
    inner: dict[str, str] = {}
    for i, extra in enumerate(source.inputs):
        known = next((k for k, n in enumerate(inputs) if n is extra), None)
        if known is None:
            inputs.append(extra)
            known = len(inputs) - 1
        inner[f"x{i}"] = f"x{known}"
    temporaries = [target for target, _ in first.statements if target.startswith("t")]
    for k, target in enumerate(temporaries):
        inner[target] = f"t{k}"
    inner["y0"] = f"t{len(temporaries)}"
    names[f"x{position}"] = inner["y0"]
    for target, _ in second.statements:
        if target.startswith("t"):
            names[target] = f"t{int(target[1:]) + len(temporaries) + 1}"

    def renamed(body: Body, table: dict[str, str]) -> tuple[tuple[str, str], ...]:
        def swap(text: str) -> str:
            return NAME.sub(lambda m: table.get(m[0], m[0]), text)

        return tuple((swap(target), swap(expression)) for target, expression in body.statements)

    scalars = first.scalars + tuple(s for s in second.scalars if s not in first.scalars)
    body = Body(renamed(first, inner) + renamed(second, names), scalars, first.uses_index or second.uses_index)
    label = f"{source.attributes.get('named', source.op)}+{node.attributes.get('named', node.op)}"
    attributes = {"body": body, "outputs": len(node.results), "named": label}
    return Node("map", inputs, attributes, node.results, node.label or source.label)
