"""Rewrites of a graph that keep its meaning: fold batch normalisation, name what has kernels of its own, fuse epilogues and element-wise
chains, drop what nobody reads."""

from __future__ import annotations

from clconv.graph.activations import epilogue_activation, name_activation
from clconv.graph.affine import fold_channel_affine, is_constant
from clconv.graph.fuse import fuse_elementwise
from clconv.graph.node import Node
from clconv.graph.ops import make_labelled
from clconv.graph.ops.elementwise import Body
from clconv.graph.ops.normalise import channel_factor
from clconv.graph.rewrite import Context, rewrite
from clconv.graph.trace import Graph, scope
from clconv.problem import Pass


def optimise(graph: Graph) -> Graph:
    """All passes in their order."""
    for rule in PASSES:
        graph = rewrite(graph, rule)
    return graph


def drop_unread_indices(node: Node, context: Context) -> Node | None:
    """Maximum pooling whose positions nobody reads need not write them."""
    if node.op != "pool" or not node.attributes.get("with_indices") or id(node) in context.kept:
        return None
    if any(reader.op != "item" or reader["index"] != 0 for reader in context.readers.get(id(node), ())):
        return None
    return Node("pool", node.inputs, {**node.attributes, "with_indices": False}, node.results[:1], node.label)


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

    with scope(node.label):
        factor = channel_factor(flat(gamma), flat(variance), node["eps"])
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


def hoist_batch_norm(node: Node, context: Context) -> Node | None:
    """What is left of batch normalisation: the root and the division once a channel, the rest for every element."""
    if node.op != "batch_norm":
        return None
    x, mean, variance, gamma, beta = node.inputs
    with scope(node.label):
        factor = channel_factor(gamma, variance, node["eps"])
    body = Body((("y0", "(x0 - x1) * x2 + x3"),))
    return Node("map", (x, mean, factor, beta), {"body": body, "named": "batch_norm"}, node.results, node.label)


def fuse_epilogue(node: Node, context: Context) -> Node | None:
    """Bias and residual additions and activations move into the convolution or matrix product that feeds them."""
    activation = epilogue_activation(node)
    if activation is not None:
        base = node.inputs[0]
        if _takes_epilogue(base, context):
            return Node(base.op, base.inputs, {**base.attributes, "activation": activation}, base.results, base.label)
        return None
    if node.op == "add":
        for base, other in (node.inputs, node.inputs[::-1]):
            if base.op == "conv" and _takes_epilogue(base, context) and not base.attributes.get("residual") and other.shape == base.shape:
                if other.dtype != base.dtype:
                    continue  # and it does not need base, whose only reader is this node
                return Node("conv", (*base.inputs, other), {**base.attributes, "residual": True}, base.results, base.label)
    return None


def _takes_epilogue(base: Node, context: Context) -> bool:
    if base.op not in ("conv", "matmul") or not context.only_reader(base) or base.attributes.get("activation"):
        return False
    return base.op == "matmul" or base["direction"] is not Pass.BACKWARD_WEIGHTS


def name_shuffle(node: Node, context: Context) -> Node | None:
    """(N, C, *) as (N, groups, C / groups, *), these two axes exchanged, and as (N, C, *) again is a channel shuffle."""
    if node.op != "reshape" or node.inputs[0].op != "view" or node.inputs[0].inputs[0].op != "reshape":
        return None
    view = node.inputs[0]
    parts = view.inputs[0]
    x = parts.inputs[0]
    order = (0, 2, 1, *range(3, view.ndim))
    if node.shape != x.shape or x.ndim not in (3, 4) or view.ndim != x.ndim + 1 or tuple(view["order"]) != order or any(view["flipped"]):
        return None
    if parts.shape[:1] != x.shape[:1] or parts.shape[3:] != x.shape[2:]:
        return None
    return Node("shuffle", (x,), {"groups": parts.shape[1]}, node.results, node.label)


PASSES = (
    drop_unread_indices, fold_channel_affine, fold_batch_norm, hoist_batch_norm, name_shuffle, name_activation, fuse_epilogue,
    fuse_elementwise,
)  # fmt: skip
