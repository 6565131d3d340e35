"""Normalisation over the batch and over neighbouring channels, softmax and dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.graph.ops.shape import flip, reshape
from clconv.graph.parameter import Parameter
from clconv.onnx.rules.base import Call, Rule, Rules


def batch_norm(call: Call) -> Node | tuple[Node, ...]:
    """Training moves the running statistics; ONNX's momentum says how much stays, clconv's how much moves.

    A file that says training_mode itself normalises by the batch, and gives the moved statistics as its second and third output.
    """
    x, scale, bias, mean, variance = (call.node(i) for i in range(5))
    read = call.attributes
    eps, momentum = read.number("epsilon", 1e-5), read.number("momentum", 0.9)
    if call.version < 9 and not read.flag("spatial", True):
        raise call.error("attribute spatial 0 is not supported; statistics must be one number a channel")
    if call.version < 7:
        read.flag("is_test")
        read.integers("consumed_inputs", None, ())
    if call.version >= 14 and read.flag("training_mode"):
        axes = (0, *range(2, x.ndim))
        batch_mean = make("mean", x, axes=axes)
        batch_variance = make("variance", x, batch_mean, axes=axes)
        y = F.batch_norm(x, reshape(batch_mean, mean.shape), reshape(batch_variance, mean.shape), scale, bias, False, 0.0, eps)
        moved = (
            old * momentum + reshape(new, old.shape) * (1.0 - momentum)
            for old, new in ((mean, batch_mean), (variance, batch_variance))
        )
        return (y, *moved)
    moving, varying = _statistic(mean, call.training), _statistic(variance, call.training)
    result: Node = F.batch_norm(x, moving, varying, scale, bias, call.training, 1.0 - momentum, eps)
    return result


def instance_norm(call: Call) -> Node:
    if call.version < 6:
        call.attributes.integers("consumed_inputs", None, ())
    result: Node = F.instance_norm(call.node(0), call.node(1), call.node(2), call.attributes.number("epsilon", 1e-5))
    return result


def _statistic(node: Node, training: bool) -> Parameter | Node | None:
    """The parameter whose value the node is, which training moves; a computed one it can only leave alone."""
    if node.op == "parameter":
        parameter: Parameter = node["parameter"]
        return parameter
    return None if training else node


def local_response_norm(call: Call) -> Node:
    """ONNX's window of an even number of channels reaches further to the next ones, clconv's (and torch's) to the ones before."""
    x, read = call.node(0), call.attributes
    size = read.integer("size", least=1)
    alpha, beta, k = read.number("alpha", 1e-4), read.number("beta", 0.75), read.number("bias", 1.0)
    if size % 2:
        result: Node = F.local_response_norm(x, size, alpha, beta, k)
        return result
    return flip(F.local_response_norm(flip(x, (1,)), size, alpha, beta, k), (1,))


def softmax(call: Call) -> Node:
    return _softmax(call, log=False)


def log_softmax(call: Call) -> Node:
    return _softmax(call, log=True)


def _softmax(call: Call, log: bool) -> Node:
    """Along one axis; before version 13 over all axes from `axis` on together."""
    x, function = call.node(0), F.log_softmax if log else F.softmax
    if call.version >= 13:
        result: Node = function(x, call.axis(call.attributes.integer("axis", -1), x.ndim))
        return result
    axis = call.attributes.integer("axis", 1)
    axis = x.ndim if axis == x.ndim else call.axis(axis, x.ndim)
    rest = [i for i in range(axis, x.ndim) if x.shape[i] != 1]
    if len(rest) == 1:
        result = function(x, rest[0])
        return result
    rows = reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return reshape(function(rows, 1), x.shape)


def dropout(call: Call) -> Node | tuple[Node, Any]:
    """Draws in training mode of the network only; the second output says that all elements are kept then."""
    x, read = call.node(0), call.attributes
    if call.version >= 12:
        read.integer("seed", 0, least=-(2**63), most=2**63)
        ratio = call.number(1) if call.has(1) else 0.5
        if call.has(2) and bool(call.number(2)) and ratio > 0.0:
            raise call.error("training_mode is true, which asks for random numbers; leave it out, and train the network with clconv.train")
    else:
        ratio = read.number("ratio", 0.5)
        if call.version < 7:
            read.flag("is_test")
    kept: Node = F.dropout(x, ratio, call.training)
    if len(call.operation.outputs) < 2:
        return kept
    call.reserve(x.spec.elements, 1)
    return kept, np.ones(x.shape, bool)


RULES: Rules = {
    "BatchNormalization": Rule(batch_norm, (5, 5), weights=(1, 2), statistics=(3, 4)),
    "Dropout": Rule(dropout, (1, 3), host=(1, 2), moves=True),
    "InstanceNormalization": Rule(instance_norm, (3, 3), weights=(1, 2)),
    "LRN": Rule(local_response_norm, (1, 1)),
    "LogSoftmax": Rule(log_softmax, (1, 1)),
    "Softmax": Rule(softmax, (1, 1)),
}
