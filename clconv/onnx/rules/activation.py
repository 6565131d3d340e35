"""Activations."""

from __future__ import annotations

import clconv.functional as F
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.onnx.rules.arithmetic import aligned, unary
from clconv.onnx.rules.base import Call, Rule, Rules


def leaky_relu(call: Call) -> Node:
    result: Node = F.leaky_relu(call.node(0), call.attributes.number("alpha", 0.01))
    return result


def prelu(call: Call) -> Node:
    """The slopes broadcast to the input; before version 7, one a channel."""
    x, slopes = call.node(0), call.node(1)
    if call.version < 7 and slopes.ndim == 1 and slopes.shape[0] > 1:
        result: Node = F.prelu(x, slopes)
        return result
    return make("prelu", x, aligned(slopes, x.ndim, "PRelu"))


def elu(call: Call) -> Node:
    result: Node = F.elu(call.node(0), call.attributes.number("alpha", 1.0))
    return result


def selu(call: Call) -> Node:
    read, old = call.attributes, call.version < 6
    alpha = read.number("alpha", 1.6732 if old else 1.67326319217681884765625)
    return make("selu", call.node(0), alpha=alpha, gamma=read.number("gamma", 1.0507 if old else 1.05070102214813232421875))


def celu(call: Call) -> Node:
    result: Node = F.celu(call.node(0), call.attributes.number("alpha", 1.0))
    return result


def hard_sigmoid(call: Call) -> Node:
    return make("hardsigmoid", call.node(0), alpha=call.attributes.number("alpha", 0.2), beta=call.attributes.number("beta", 0.5))


def thresholded_relu(call: Call) -> Node:
    result: Node = F.threshold(call.node(0), call.attributes.number("alpha", 1.0), 0.0)
    return result


def gelu(call: Call) -> Node:
    result: Node = F.gelu(call.node(0), call.attributes.text("approximate", "none", ("none", "tanh")))
    return result


RULES: Rules = {
    "Celu": Rule(celu, (1, 1)),
    "Elu": Rule(elu, (1, 1)),
    "Gelu": Rule(gelu, (1, 1)),
    "HardSigmoid": Rule(hard_sigmoid, (1, 1)),
    "HardSwish": Rule(unary(F.hardswish), (1, 1)),
    "LeakyRelu": Rule(leaky_relu, (1, 1)),
    "PRelu": Rule(prelu, (2, 2), weights=(1,)),
    "Relu": Rule(unary(F.relu), (1, 1)),
    "Selu": Rule(selu, (1, 1)),
    "Sigmoid": Rule(unary(F.sigmoid), (1, 1)),
    "Softplus": Rule(unary(F.softplus), (1, 1)),
    "Softsign": Rule(unary(F.softsign), (1, 1)),
    "Tanh": Rule(unary(F.tanh), (1, 1)),
    "ThresholdedRelu": Rule(thresholded_relu, (1, 1)),
}
