"""Normalisation within an image: over its last axes, over groups of channels, by a norm."""

from __future__ import annotations

import math

import clconv.functional as F
from clconv.functional.layer_normalisation import over_root_mean_square, rows_normalised
from clconv.graph.node import Node
from clconv.graph.ops.shape import reshape
from clconv.onnx.rules.arithmetic import BFLOAT16, FLOAT, FLOAT16, aligned
from clconv.onnx.rules.base import Call, Rule, Rules


def _check_precision(call: Call) -> None:
    """Statistics are computed as float32, whatever fewer bits the file asks for."""
    given = call.attributes.integer("stash_type", FLOAT)
    if given not in (FLOAT, FLOAT16, BFLOAT16):
        raise call.error(f"attribute stash_type is {given}; statistics are computed as float (1), float16 (10) and bfloat16 (16) at most")


def _affine(call: Call, normal: Node) -> Node:
    """Scale and bias of any shape that broadcasts to the input's."""
    for index, how in ((1, F.mul), (2, F.add)):
        if call.has(index):
            normal = how(normal, aligned(call.value(index), normal.ndim, call.operation.op_type))
    return normal


def layer_norm(call: Call) -> tuple[Node, ...]:
    """The second and third outputs are mean and one over the deviation, with the axes kept."""
    x, read = call.node(0), call.attributes
    axis, eps = call.axis(read.integer("axis", -1), x.ndim), read.number("epsilon", 1e-5)
    _check_precision(call)
    normal, mean, variance = rows_normalised(x, math.prod(x.shape[:axis]), eps)
    kept = (*x.shape[:axis], *(1,) * (x.ndim - axis))
    outputs = [_affine(call, normal)]
    if len(call.operation.outputs) > 1:
        outputs += [reshape(mean, kept), reshape(F.reciprocal(F.sqrt(variance + eps)), kept)]
    return tuple(outputs)


def rms_norm(call: Call) -> Node:
    x, read = call.node(0), call.attributes
    axis, eps = call.axis(read.integer("axis", -1), x.ndim), read.number("epsilon", 1e-5)
    _check_precision(call)
    return _affine(call, over_root_mean_square(x, x.ndim - axis, eps))


def group_norm(call: Call) -> Node:
    """Before version 21 scale and bias have one number a group."""
    x, read = call.node(0), call.attributes
    groups, eps = read.integer("num_groups", least=1), read.number("epsilon", 1e-5)
    scale, bias = call.node(1), call.node(2)
    if call.version >= 21:
        _check_precision(call)
        result: Node = F.group_norm(x, groups, scale, bias, eps)
        return result
    if scale.shape != (groups,) or bias.shape != (groups,):
        raise call.error(f"scale {scale.shape} and bias {bias.shape} must have one number for each of {groups} groups")
    grouped = reshape(F.group_norm(x, groups, None, None, eps), (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    column = (1, groups, *(1,) * (grouped.ndim - 2))
    return reshape(F.add(F.mul(grouped, reshape(scale, column)), reshape(bias, column)), x.shape)


def mean_variance_norm(call: Call) -> Node:
    """By the deviation plus 1e-9, as the operator is defined."""
    x = call.node(0)
    axes = [call.axis(axis, x.ndim) for axis in call.attributes.integers("axes", None, (0, 2, 3))]
    centred = F.sub(x, F.mean(x, axes, True))
    deviation = F.sqrt(F.mean(F.square(centred), axes, True))
    result: Node = F.div(centred, F.add(deviation, 1e-9))
    return result


def lp_norm(call: Call) -> Node:
    """Over the sum of absolute values or the root of the sum of squares along an axis; what has the norm 0 stays 0."""
    x, read = call.node(0), call.attributes
    axis, p = call.axis(read.integer("axis", -1), x.ndim), read.integer("p", 2, 1, 2)
    norm = F.sum(F.abs(x), axis, True) if p == 1 else F.sqrt(F.sum(F.square(x), axis, True))
    result: Node = F.div(x, F.where(F.eq(norm, 0.0), 1.0, norm))
    return result


RULES: Rules = {
    "GroupNormalization": Rule(group_norm, (3, 3), weights=(1, 2)),
    "LayerNormalization": Rule(layer_norm, (2, 3), weights=(1, 2)),
    "LpNormalization": Rule(lp_norm, (1, 1)),
    "MeanVarianceNormalization": Rule(mean_variance_norm, (1, 1)),
    "RMSNormalization": Rule(rms_norm, (2, 2), weights=(1,)),
}
