"""Scaling and shifting by channel fold into what comes before: exporters write the weights of batch normalisation as operations."""

from __future__ import annotations

import math

from clconv.graph.node import Node, topological
from clconv.graph.ops import make_labelled
from clconv.graph.rewrite import Context
from clconv.problem import Pass


def is_constant(node: Node) -> bool:
    """Whether a node's value depends on parameters and constants only."""
    return all(n.op in ("parameter", "constant") or n.inputs for n in topological([node]))


def fold_channel_affine(node: Node, context: Context) -> Node | None:
    """x * a or x + b with one constant a channel: into the normalisation or convolution that gives x and is read by nobody else.

    A convolution's weights are scaled on the device, once; so is its bias.
    """
    if node.op not in ("mul", "add"):
        return None
    for base, other in (node.inputs, node.inputs[::-1]):
        foldable = base.op == "batch_norm" or (base.op == "conv" and _linear(base))
        if foldable and base.shape == node.shape and context.only_reader(base) and _one_a_channel(other, base):
            return (_into_norm if base.op == "batch_norm" else _into_conv)(node, base, other)
    return None


def _linear(conv: Node) -> bool:
    """Whether the node is a convolution and nothing more, whose weights are constants that can be scaled by output channel."""
    flags = conv.attributes
    if flags.get("activation") or flags.get("residual") or not all(is_constant(n) for n in conv.inputs[1:]):
        return False
    return flags["direction"] is Pass.FORWARD or (flags["direction"] is Pass.BACKWARD_DATA and flags["geometry"].groups == 1)


def _one_a_channel(other: Node, base: Node) -> bool:
    """Whether `other` broadcasts over everything but the channels of `base`."""
    shape = (1,) * (base.ndim - other.ndim) + other.shape
    per_channel = shape[1] in (1, base.shape[1]) and math.prod(shape) == shape[1] and len(shape) == base.ndim
    return per_channel and is_constant(other) and other.dtype == base.dtype == "float32"


def _into_norm(node: Node, norm: Node, other: Node) -> Node:
    x, mean, variance, gamma, beta = norm.inputs
    if node.op == "mul":
        gamma = make_labelled(norm.label, "mul", gamma, other)
    beta = make_labelled(norm.label, node.op, beta, other)
    return Node("batch_norm", (x, mean, variance, gamma, beta), norm.attributes, norm.results, norm.label)


def _into_conv(node: Node, conv: Node, other: Node) -> Node:
    weights, biases = conv.inputs[1], conv.inputs[2:]
    channels = conv.shape[1]

    def shaped(*shape: int) -> Node:
        """The constants, repeated where one stands for all channels, under a shape of their own."""
        flat = make_labelled(node.label, "reshape", other, shape=(other.spec.elements,))
        whole = flat if flat.shape == (channels,) else make_labelled(node.label, "expand", flat, shape=(channels,))
        return whole if whole.shape == shape else make_labelled(node.label, "reshape", whole, shape=shape)

    if node.op == "add":
        bias = make_labelled(node.label, "add", biases[0], shaped(channels)) if biases else shaped(channels)
        return Node("conv", (conv.inputs[0], weights, bias), {**conv.attributes, "bias": True}, conv.results, conv.label)
    ones = (1,) * (weights.ndim - 2)
    factor = shaped(channels, 1, *ones) if conv["direction"] is Pass.FORWARD else shaped(1, channels, *ones)
    scaled = make_labelled(node.label, "mul", weights, factor)
    biases = tuple(make_labelled(node.label, "mul", bias, shaped(channels)) for bias in biases)
    return Node("conv", (conv.inputs[0], scaled, *biases), conv.attributes, conv.results, conv.label)
