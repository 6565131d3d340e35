"""Whole networks evaluated with the NumPy reference in float64, for `--check`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clconv import reference
from clconv.errors import UnsupportedError
from clconv.graph.network import Network
from clconv.graph.node import Node, topological
from clconv.graph.ops.conv import problem_of as conv_problem
from clconv.problem import Pass

ALLOWED = 1e-4  # of the largest result: rounding grows with depth, a wrong tap or channel moves results by far more


def network_error_share(network: Network, inputs: Mapping[str, np.ndarray], results: Sequence[np.ndarray]) -> float:
    """The largest error of `results` against the reference as a share of what is allowed: ALLOWED of the largest value."""
    wanted = evaluate(network, inputs)
    share = 0.0
    for result, right in zip(results, wanted, strict=True):
        error = float(np.abs(result - right).max(initial=0.0))
        scale = float(np.abs(right).max(initial=0.0)) * ALLOWED
        share = max(share, error / scale if scale else math.inf * error) if math.isfinite(error) else math.inf
    return share


def evaluate(network: Network, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs in inference mode; values are dropped after their last reader."""
    graph = network.trace({name: value.shape for name, value in inputs.items()})
    order = topological(graph.outputs)
    left: dict[int, int] = {}
    for node in order:
        for source in node.inputs:
            left[id(source)] = left.get(id(source), 0) + 1
    kept = {id(output) for output in graph.outputs}
    values: dict[int, Any] = {}
    for node in order:
        values[id(node)] = _value(node, [values[id(source)] for source in node.inputs], inputs)
        for source in node.inputs:
            left[id(source)] -= 1
            if not left[id(source)] and id(source) not in kept:
                values.pop(id(source), None)
    return [values[id(output)] for output in graph.outputs]


def _value(node: Node, sources: list[Any], inputs: Mapping[str, np.ndarray]) -> Any:
    if node.op == "input":
        return np.asarray(inputs[node["name"]], np.float64)
    if node.op == "parameter":
        return node["parameter"].value.astype(np.float64)
    if node.op == "constant":
        return node["value"].astype(np.float64)
    if node.op not in CALLS:
        raise UnsupportedError(f"--check: the reference of whole networks has no operation {node.op} ({node.label or 'no label'})")
    return CALLS[node.op](node, *sources)


def _conv(node: Node, x: np.ndarray, w: np.ndarray, *rest: np.ndarray) -> np.ndarray:
    problem = conv_problem(node.inputs, node.attributes)
    if problem.direction is Pass.FORWARD:
        y = reference.conv(x, w, None, problem.geometry)
    elif problem.direction is Pass.BACKWARD_DATA:
        y = reference.conv_backward_data(x, w, problem.geometry, problem.size)
    else:
        y = reference.conv_backward_weights(x, w, problem.geometry)
    extra = list(rest)
    if problem.epilogue.bias:
        y = y + extra.pop(0).reshape(-1, *(1,) * problem.geometry.rank)
    return reference.activated(y + extra[0] if extra else y, *(problem.epilogue.activation or ()))


def _matmul(node: Node, a: np.ndarray, b: np.ndarray, *rest: np.ndarray) -> np.ndarray:
    flags = node.attributes
    y = (a.swapaxes(-1, -2) if flags.get("transpose_a") else a) @ (b.swapaxes(-1, -2) if flags.get("transpose_b") else b)
    for extra in rest:
        y = y + extra
    return reference.activated(y, *(flags.get("activation") or ()))


def _pool(node: Node, x: np.ndarray) -> Any:
    if node["kind"] == "max":
        return reference.max_pool(x, node["geometry"])
    if node["kind"] == "avg":
        return reference.avg_pool(x, node["geometry"], node.attributes.get("count_include_pad", True), node.attributes.get("divisor"))
    return reference.adaptive_avg_pool(x, node["out_size"])


def _window(node: Node, x: np.ndarray) -> np.ndarray:
    y = np.full(node.shape, node["fill"])
    spans = [(max(0, -a), min(n, m - a), a) for n, m, (a, _) in zip(x.shape, node.shape, node["pads"], strict=True)]
    y[tuple(slice(start + a, end + a) for start, end, a in spans)] = x[tuple(slice(start, end) for start, end, _ in spans)]
    return y


def _view(node: Node, x: np.ndarray) -> np.ndarray:
    return x.transpose(node["order"])[tuple(slice(None, None, -1 if flipped else 1) for flipped in node["flipped"])]


def _softmax(node: Node, x: np.ndarray) -> np.ndarray:
    return (reference.log_softmax if node["log"] else reference.softmax)(x, node["axis"])


def _batch_norm(node: Node, x: Any, mean: Any, var: Any, gamma: Any, beta: Any) -> Any:
    return (x - mean) / np.sqrt(var + node["eps"]) * gamma + beta


CALLS: dict[str, Callable[..., Any]] = {
    "conv": _conv,
    "matmul": _matmul,
    "pool": _pool,
    "item": lambda node, pair: (pair if isinstance(pair, tuple) else (pair,))[node["index"]],
    "batch_norm": _batch_norm,
    "lrn": lambda node, x: reference.local_response_norm(x, node["window"], node["alpha"], node["beta"], node["k"]),
    "softmax": _softmax,
    "window": _window,
    "view": _view,
    "reshape": lambda node, x: x.reshape(node.shape),
    "expand": lambda node, x: np.broadcast_to(x, node.shape),
    "cat": lambda node, *parts: np.concatenate(parts, node["axis"]),
    "mean": lambda node, x: x.mean(node["axes"], keepdims=True),
    "sum": lambda node, x: x.sum(node["axes"], keepdims=True),
    "add": lambda node, a, b: a + b,
    "sub": lambda node, a, b: a - b,
    "mul": lambda node, a, b: a * b,
    "div": lambda node, a, b: a / b,
    "relu": lambda node, x: np.where(x < 0, 0.0, x),
    "leaky_relu": lambda node, x: np.where(x < 0, node["slope"] * x, x),
    "sigmoid": lambda node, x: 1.0 / (1.0 + np.exp(-x)),
    "tanh": lambda node, x: np.tanh(x),
    "exp": lambda node, x: np.exp(x),
    "log": lambda node, x: np.log(x),
    "sqrt": lambda node, x: np.sqrt(x),
    "square": lambda node, x: x * x,
}
