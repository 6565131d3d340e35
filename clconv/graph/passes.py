"""Rewrites of a graph that keep its meaning: fold batch normalisation, fuse epilogues and element-wise chains, drop what nobody reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from clconv.codegen.expressions import float_literal
from clconv.graph.node import SOURCES, Node, topological
from clconv.graph.ops import make_labelled
from clconv.graph.ops.base import OPS
from clconv.graph.ops.elementwise import Body, MapOp
from clconv.graph.trace import Graph
from clconv.problem import Pass

Rule = Callable[[Node, "Context"], Node | None]
MOST_FUSED_INPUTS = 8
EPILOGUE_ACTIVATIONS = ("relu", "leaky_relu")


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
        context.readers[id(current)] = context.readers.get(id(node), [])
        if id(node) in context.kept:
            context.kept.add(id(current))
        done[id(node)] = current
        replaced = rule(current, context)
        if replaced is not None:
            context.readers[id(replaced)] = context.readers.get(id(node), [])
            if id(node) in context.kept:
                context.kept.add(id(replaced))
            done[id(node)] = replaced
    return Graph(graph.inputs, tuple(done[id(n)] for n in graph.outputs), tuple((p, done[id(n)]) for p, n in graph.updates))


def optimise(graph: Graph) -> Graph:
    """All passes in their order."""
    for rule in (drop_unread_indices, fold_batch_norm, fuse_epilogue, fuse_elementwise):
        graph = rewrite(graph, rule)
    return graph


def drop_unread_indices(node: Node, context: Context) -> Node | None:
    """Maximum pooling whose positions nobody reads need not write them."""
    if node.op != "pool" or not node.attributes.get("with_indices") or id(node) in context.kept:
        return None
    if any(reader.op != "item" or reader["index"] != 0 for reader in context.readers.get(id(node), ())):
        return None
    return Node("pool", node.inputs, {**node.attributes, "with_indices": False}, node.results[:1], node.label)


def is_constant(node: Node) -> bool:
    """Whether a node's value depends on parameters and constants only."""
    return all(n.op in ("parameter", "constant") or n.inputs for n in topological([node]))


def fold_batch_norm(node: Node, context: Context) -> Node | None:
    """Inference-time normalisation after a convolution scales its weights and shifts its bias instead; computed on the device, once."""
    if node.op != "batch_norm" or node["training"]:
        return None
    conv, mean, variance, gamma, beta = node.inputs
    if conv.op != "conv" or conv["direction"] is Pass.BACKWARD_WEIGHTS or not context.only_reader(conv):
        return None
    if conv.attributes.get("activation") or conv.attributes.get("residual"):
        return None
    if not all(is_constant(n) for n in (conv.inputs[1], *node.inputs[1:], *conv.inputs[2:])):
        return None
    if any(n.dtype != "float32" for n in (conv, *node.inputs[1:])):
        return None  # folded into half weights and a half bias, it would round what the normalisation computes in float
    weights = conv.inputs[1]
    channels = gamma.spec.elements

    def flat(part: Node) -> Node:
        return make_labelled(node.label, "reshape", part, shape=(channels,))

    eps = float_literal(node["eps"])
    scale = Body((("y0", f"x0 / sqrt(x1 + {eps})"),))
    factor = make_labelled(node.label, "map", flat(gamma), flat(variance), body=scale, named="batch_norm_scale")
    bias = conv.inputs[2] if conv.attributes.get("bias") else None
    moved = Body((("y0", f"({'x3 - ' if bias is not None else '-'}x0) * x1 + x2"),))
    parts = (flat(mean), factor, flat(beta)) + ((bias,) if bias is not None else ())
    shift = make_labelled(node.label, "map", *parts, body=moved, named="batch_norm_shift")
    if conv["direction"] is Pass.FORWARD:
        shaped = make_labelled(node.label, "reshape", factor, shape=(channels, *(1,) * (weights.ndim - 1)))
    elif conv["geometry"].groups == 1:
        shaped = make_labelled(node.label, "reshape", factor, shape=(1, channels, *(1,) * (weights.ndim - 2)))
    else:
        return None
    scaled = make_labelled(node.label, "mul", weights, shaped)
    attributes = {**conv.attributes, "bias": True}
    return Node("conv", (conv.inputs[0], scaled, shift), attributes, conv.results, conv.label)


def fuse_epilogue(node: Node, context: Context) -> Node | None:
    """Bias and residual additions and activations move into the convolution or matrix product that feeds them."""
    if node.op in EPILOGUE_ACTIVATIONS:
        base = node.inputs[0]
        if _takes_epilogue(base, context):
            slope = float(node.attributes.get("slope", 0.0))
            if slope < 0:
                return None
            return Node(base.op, base.inputs, {**base.attributes, "activation": (node.op, slope)}, base.results, base.label)
        return None
    if node.op == "add":
        for base, other in (node.inputs, node.inputs[::-1]):
            if base.op == "conv" and _takes_epilogue(base, context) and not base.attributes.get("residual") and other.shape == base.shape:
                if other is base or other.dtype != base.dtype or _needs(other, base):
                    continue
                return Node("conv", (*base.inputs, other), {**base.attributes, "residual": True}, base.results, base.label)
    return None


def _takes_epilogue(base: Node, context: Context) -> bool:
    if base.op not in ("conv", "matmul") or not context.only_reader(base) or base.attributes.get("activation"):
        return False
    return base.op == "matmul" or base["direction"] is not Pass.BACKWARD_WEIGHTS


def _needs(node: Node, wanted: Node) -> bool:
    return any(n is wanted for n in topological([node]))


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


def sources(graph: Graph) -> list[Node]:
    """Inputs, parameters and constants that the graph reads."""
    return [n for n in topological((*graph.outputs, *(n for _, n in graph.updates))) if n.op in SOURCES]
