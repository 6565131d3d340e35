"""The value of a graph by the NumPy oracle, node by node in float64: what a network shall give, with no kernel and no pass involved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from clconv import reference
from clconv.graph.network import Network
from clconv.graph.node import Node, topological
from clconv.problem import Pass

Values = list[Any]


def _finished(y: np.ndarray, node: Node, extra: Values) -> np.ndarray:
    """The epilogue: bias, residual, activation."""
    extra = list(extra)
    if node.attributes.get("bias"):
        y = y + extra.pop(0).reshape(-1, *(1,) * (y.ndim - 2))
    if node.attributes.get("residual"):
        y = y + extra.pop(0)
    if node.attributes.get("activation"):
        name, slope = node["activation"]
        y = reference.relu(y) if name == "relu" else reference.leaky_relu(y, slope)
    return y


def _conv(node: Node, values: Values) -> np.ndarray:
    x, w, *extra = values
    if node["direction"] is Pass.FORWARD:
        return _finished(reference.conv(x, w, None, node["geometry"]), node, extra)
    assert node["direction"] is Pass.BACKWARD_DATA
    return _finished(reference.conv_backward_data(x, w, node["geometry"], node["size"]), node, extra)


def _pool(node: Node, values: Values) -> Any:
    if node["kind"] == "max":
        return reference.max_pool(values[0], node["geometry"])
    if node["kind"] == "avg":
        rules = node.attributes
        return reference.avg_pool(values[0], node["geometry"], rules.get("count_include_pad", True), rules.get("divisor"))
    return reference.adaptive_avg_pool(values[0], node["out_size"])


def _matmul(node: Node, values: Values) -> np.ndarray:
    a, b, *extra = values
    a = a.swapaxes(-1, -2) if node.attributes.get("transpose_a") else a
    b = b.swapaxes(-1, -2) if node.attributes.get("transpose_b") else b
    return _finished(a @ b, node, extra)


def _batch_norm(node: Node, values: Values) -> np.ndarray:
    x, mean, var, gamma, beta = values
    return reference.batch_norm(x, gamma.ravel(), beta.ravel(), mean.ravel(), var.ravel(), node["eps"])


def _window(node: Node, values: Values) -> np.ndarray:
    grown = np.pad(values[0], [(max(a, 0), max(b, 0)) for a, b in node["pads"]], constant_values=node["fill"])
    return grown[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(node["pads"], grown.shape, strict=True))]


RULES: dict[str, Callable[[Node, Values], Any]] = {
    "constant": lambda node, _: node["value"].astype(np.float64),
    "parameter": lambda node, _: node["parameter"].value.astype(np.float64),
    "conv": _conv,
    "pool": _pool,
    "matmul": _matmul,
    "batch_norm": _batch_norm,
    "window": _window,
    "item": lambda node, v: v[0][node["index"]],
    "reshape": lambda node, v: v[0].reshape(node.shape),
    "cat": lambda node, v: np.concatenate(v, node["axis"]),
    "lrn": lambda node, v: reference.local_response_norm(v[0], node["window"], node["alpha"], node["beta"], node["k"]),
    "softmax": lambda node, v: (reference.log_softmax if node["log"] else reference.softmax)(v[0], node["axis"]),
    "mean": lambda node, v: v[0].mean(node["axes"], keepdims=True),
    "variance": lambda node, v: ((v[0] - v[1]) ** 2).mean(node["axes"], keepdims=True),
    "add": lambda node, v: v[0] + v[1],
    "sub": lambda node, v: v[0] - v[1],
    "mul": lambda node, v: v[0] * v[1],
    "div": lambda node, v: v[0] / v[1],
    "relu": lambda node, v: reference.relu(v[0]),
    "elu": lambda node, v: reference.elu(v[0], node["alpha"]),
    "gelu": lambda node, v: reference.gelu(v[0]),
    "gelu_tanh": lambda node, v: reference.gelu(v[0], "tanh"),
    "silu": lambda node, v: reference.silu(v[0]),
    "leaky_relu": lambda node, v: reference.leaky_relu(v[0], node["slope"]),
    "sigmoid": lambda node, v: reference.sigmoid(v[0]),
    "tanh": lambda node, v: reference.tanh(v[0]),
}


def evaluate(network: Network, inputs: np.ndarray | Mapping[str, np.ndarray], training: bool = False) -> tuple[np.ndarray, ...]:
    """The outputs of `network` in float64. Training graphs must be without dropout, whose draws belong to a run."""
    named = inputs if isinstance(inputs, Mapping) else {network.input_names()[0]: inputs}
    graph = network.trace({name: np.shape(value) for name, value in named.items()}, training)
    values: dict[int, Any] = {}
    for node in topological(graph.outputs):
        if node.op == "input":
            values[id(node)] = np.asarray(named[node["name"]], np.float64)
        else:
            values[id(node)] = RULES[node.op](node, [values[id(source)] for source in node.inputs])
            assert node.op == "pool" or np.shape(values[id(node)]) == node.shape, node
    return tuple(values[id(node)] for node in graph.outputs)
