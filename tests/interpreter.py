"""Graphs evaluated node by node with the NumPy oracle in float64: what a compiled run of the same graph must give."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from clconv import reference
from clconv.graph.network import Network
from clconv.graph.node import Node, topological
from clconv.graph.ops import OPS
from clconv.graph.ops.conv import problem_of as conv_problem
from clconv.graph.ops.elementwise import MapOp
from clconv.graph.ops.reduce import ReduceOp
from clconv.graph.trace import Graph
from clconv.problem import Pass

Results = tuple[np.ndarray, ...]


def interpret(
    graph: Graph, inputs: Mapping[str, np.ndarray], scalars: Mapping[str, float] | None = None
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """The outputs in order, and the new values of updated parameters by name."""
    values: dict[int, Results] = {}
    for node in topological((*graph.outputs, *(n for _, n in graph.updates))):
        values[id(node)] = _evaluate(node, [values[id(n)] for n in node.inputs], inputs, scalars or {})
    updates = {p.name: values[id(n)][0] for p, n in graph.updates}
    return [values[id(n)][0] for n in graph.outputs], updates


def evaluate(net: Network, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
    """The outputs of a network in inference mode."""
    names = net.input_names()[: len(inputs)]
    graph = net.trace({name: x.shape for name, x in zip(names, inputs, strict=True)})
    outputs, _ = interpret(graph, dict(zip(names, inputs, strict=True)))
    return tuple(outputs)


def _evaluate(node: Node, sources: list[Results], inputs: Mapping[str, np.ndarray], scalars: Mapping[str, float]) -> Results:
    if node.op == "input":
        return (np.asarray(inputs[node["name"]], np.float64),)
    if node.op == "parameter":
        return (node["parameter"].value.astype(np.float64),)
    if node.op == "constant":
        return (node["value"].astype(np.float64),)
    if node.op == "item":
        return (sources[0][node["index"]],)
    first = [s[0] for s in sources]
    op = OPS[node.op]
    if isinstance(op, MapOp):
        return _map(node, first, scalars)
    if isinstance(op, ReduceOp):
        return _reduce(node, op, first)
    return TABLE[node.op](node, *first)


def _conv(node: Node, a: np.ndarray, b: np.ndarray, *rest: np.ndarray) -> Results:
    problem = conv_problem(node.inputs, node.attributes)
    extra = list(rest)
    bias = extra.pop(0) if problem.epilogue.bias else None
    if problem.direction is Pass.FORWARD:
        y = reference.conv(a, b, bias, problem.geometry)
    elif problem.direction is Pass.BACKWARD_WEIGHTS:
        y = reference.conv_backward_weights(a, b, problem.geometry)
    else:
        y = reference.conv_backward_data(a, b, problem.geometry, problem.size)
        y = y if bias is None else y + bias.reshape(1, -1, *(1,) * (y.ndim - 2))
    return (reference.activated(y + extra[0] if problem.epilogue.residual else y, *(problem.epilogue.activation or ())),)


def _matmul(node: Node, a: np.ndarray, b: np.ndarray, *rest: np.ndarray) -> Results:
    flags = node.attributes
    y = (a.swapaxes(-1, -2) if flags.get("transpose_a") else a) @ (b.swapaxes(-1, -2) if flags.get("transpose_b") else b)
    for extra in rest:
        y = y + extra
    return (reference.activated(y, *(flags.get("activation") or ())),)


def _pool(node: Node, x: np.ndarray) -> Results:
    if node["kind"] == "max":
        y, indices = reference.max_pool(x, node["geometry"])
        return (y, indices.astype(np.float64))
    if node["kind"] == "avg":
        return (reference.avg_pool(x, node["geometry"], node.attributes.get("count_include_pad", True), node.attributes.get("divisor")),)
    return (reference.adaptive_avg_pool(x, node["out_size"]),)


def _host(node: Node, *values: Any) -> Results:
    """By its own function, from values of the types that it is promised."""
    kinds = [source.dtype for source in node.inputs]
    return tuple(node["function"]([v.astype(k) if isinstance(v, np.ndarray) else v for v, k in zip(values, kinds, strict=True)]))


def _pool_backward(node: Node, dy: np.ndarray, *indices: np.ndarray) -> Results:
    size = node["x_shape"][2:]
    if node["kind"] == "max":
        return (reference.max_pool_backward(dy, indices[0].astype(np.int32), size),)
    if node["kind"] == "avg":
        flags = node.attributes
        return (reference.avg_pool_backward(dy, node["geometry"], size, flags.get("count_include_pad", True), flags.get("divisor")),)
    return (reference.adaptive_avg_pool_backward(dy, size),)


def _resample(node: Node, x: np.ndarray, sources: np.ndarray, weights: np.ndarray) -> Results:
    """Every result a sum over its taps; those at -1 are not read."""
    axis = node["axis"]
    rows = np.moveaxis(x, axis, -1)
    taps = sources.astype(np.int64)
    parts = np.where(taps >= 0, rows[..., np.maximum(taps, 0)] * weights, 0.0)
    return (np.moveaxis(parts.sum(-1), -1, axis),)


def _view(node: Node, x: np.ndarray) -> Results:
    turned = x.transpose(node["order"])
    return (turned[tuple(slice(None, None, -1 if f else 1) for f in node["flipped"])],)


def _shuffle(node: Node, x: np.ndarray) -> Results:
    return (x.reshape(x.shape[0], node["groups"], -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape),)


def _window(node: Node, x: np.ndarray) -> Results:
    y = np.full(node.shape, node["fill"])
    source, target = [], []
    for n, m, (before, _) in zip(x.shape, node.shape, node["pads"], strict=True):
        start, stop = max(0, -before), min(n, m - before)
        source.append(slice(start, stop))
        target.append(slice(start + before, stop + before))
    y[tuple(target)] = x[tuple(source)]
    return (y,)


def _lrn(node: Node, x: np.ndarray) -> Results:
    return (reference.local_response_norm(x, node["window"], node["alpha"], node["beta"], node["k"]),)


def _lrn_backward(node: Node, x: np.ndarray, dy: np.ndarray) -> Results:
    return (reference.local_response_norm_backward(dy, x, node["window"], node["alpha"], node["beta"], node["k"]),)


TABLE: dict[str, Any] = {
    "host": _host,
    "conv": _conv,
    "matmul": _matmul,
    "pool": _pool,
    "pool_backward": _pool_backward,
    "view": _view,
    "shuffle": _shuffle,
    "window": _window,
    "lrn": _lrn,
    "lrn_backward": _lrn_backward,
    "resample": _resample,
    "unpool": lambda node, x, indices: (reference.max_unpool(x, indices.astype(np.int32), node["size"]),),
    "reshape": lambda node, x: (x.reshape(node.shape),),
    "cast": lambda node, x: (x,),
    "cat": lambda node, *parts: (np.concatenate(parts, node["axis"]),),
    "softmax": lambda node, x: ((reference.log_softmax if node["log"] else reference.softmax)(x, node["axis"]),),
    "softmax_backward": lambda node, y, dy: (
        (reference.log_softmax_backward if node["log"] else reference.softmax_backward)(dy, y, node["axis"]),
    ),
}


def _map(node: Node, operands: list[np.ndarray], scalars: Mapping[str, float]) -> Results:
    body = OPS[node.op].body(node.attributes)  # type: ignore[attr-defined]
    names = {f"x{i}": x for i, x in enumerate(operands)} | {k: np.float64(v) for k, v in scalars.items()}
    index = np.arange(math.prod(node.shape)).reshape(node.shape)
    for target, expression in body.statements:
        names[target] = _expression(expression, names, index)
    return tuple(np.broadcast_to(names[f"y{i}"], node.shape) for i in range(len(node.results)))


def _reduce(node: Node, op: ReduceOp, operands: list[np.ndarray]) -> Results:
    statements, post = op.terms(node.attributes)
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    names: dict[str, Any] = {f"x{i}": x for i, x in enumerate(operands)}
    for target, expression in statements:
        names[target] = np.broadcast_to(_expression(expression, names, None), shape)
    count = np.float64(math.prod(shape[axis] for axis in node["axes"]))
    combine = {"sum": np.sum, "max": np.max, "prod": np.prod}[op.combine]
    totals = {f"r{i}": combine(names[f"r{i}"], axis=node["axes"], keepdims=True) for i in range(len(post))}
    return tuple(_expression(p, {**totals, "r": totals[f"r{i}"], "count": count}, None) for i, p in enumerate(post))


FUNCTIONS = {
    "exp": np.exp, "expm1": np.expm1, "sqrt": np.sqrt, "tanh": np.tanh, "log": np.log, "pown": np.power, "where": np.where,
    "erf": np.vectorize(math.erf), "NAN": np.nan, "INFINITY": np.inf, "fabs": np.abs, "floor": np.floor, "ceil": np.ceil,
    "trunc": np.trunc, "pow": np.power, "log1p": np.log1p, "fmod": np.fmod, "any_of": np.logical_or, "all_of": np.logical_and,
}  # fmt: skip


def _expression(text: str, names: Mapping[str, Any], index: np.ndarray | None) -> Any:
    """An expression of OpenCL C in NumPy: conditionals become `where`, float literals lose their f, casts vanish."""
    text = re.sub(r"\b(\d+\.?\d*(?:e[-+]?\d+)?)f\b", r"\1", text)
    text = re.sub(r"\b(\d+)u\b", r"\1", text).replace("(float)", "")
    if "random_word" in text:
        return _dropout(text, names, index)
    with np.errstate(all="ignore"):
        return eval(_conditional(text), {"__builtins__": {}}, {**FUNCTIONS, **names})  # noqa: S307 -- expressions of the library's own tables


def _conditional(text: str) -> str:
    """`a ? b : c` as where(a, b, c), innermost parentheses first."""
    out, start = [], 0
    while start < len(text):
        if text[start] == "(":
            end = _closing(text, start)
            out.append("(" + _arguments(text[start + 1 : end]) + ")")
            start = end + 1
        else:
            out.append(text[start])
            start += 1
    flat = "".join(out)
    question = _outside(flat, "?")
    if question < 0:
        return _truths(flat)
    colon = question + 1 + _outside(flat[question + 1 :], ":")
    return f"where({_truths(flat[:question])}, {_conditional(flat[question + 1 : colon])}, {_conditional(flat[colon + 1 :])})"


def _truths(text: str) -> str:
    """`a || b` and `a && b` as functions, the former first: it binds less."""
    for mark, function in (("||", "any_of"), ("&&", "all_of")):
        cut = _outside(text, mark)
        if cut >= 0:
            return f"{function}({_truths(text[:cut])}, {_truths(text[cut + 2 :])})"
    return text


def _arguments(text: str) -> str:
    cut = _outside(text, ",")
    return _conditional(text) if cut < 0 else _conditional(text[:cut]) + "," + _arguments(text[cut + 1 :])


def _closing(text: str, start: int) -> int:
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise ValueError(f"unbalanced parentheses in {text!r}")


def _outside(text: str, mark: str) -> int:
    depth = 0
    for i, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0 and text.startswith(mark, i):
            return i
    return -1


def _dropout(text: str, names: Mapping[str, Any], index: np.ndarray | None) -> np.ndarray:
    """The dropout expression, with the oracle's own generator."""
    assert index is not None
    match = re.fullmatch(r"(.*?)random_word\(index, step, seed_low, seed_high \^ (\d+)\)(.*)", text)
    assert match is not None, text
    counter = np.zeros((index.size, 4), np.uint32)
    counter[:, 0], counter[:, 2] = index.reshape(-1), np.uint32(names["step"])
    key = np.array([int(names["seed_low"]), int(names["seed_high"]) ^ int(match[2])], np.uint32)
    words = reference.philox4x32(counter, key)[:, 0].reshape(index.shape)
    text = f"{match[1]}words{match[3]}"
    return eval(_conditional(text), {"__builtins__": {}}, {**FUNCTIONS, **names, "words": words})  # noqa: S307
