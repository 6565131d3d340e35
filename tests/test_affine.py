"""Scaling and shifting by channel: folded into the convolution or normalisation before, with the same meaning, or left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clconv.functional as F
from clconv.graph.node import Node, input_node, topological
from clconv.graph.parameter import Parameter
from clconv.graph.passes import optimise
from clconv.graph.trace import Graph
from clconv.tensor import TensorSpec
from tests.interpreter import interpret

RNG = np.random.default_rng(5)
CHANNELS = 6


def tensor(*shape: int) -> Parameter:
    return Parameter(RNG.standard_normal(shape))


def conv(x: Node) -> Node:
    return F.conv2d(x, tensor(CHANNELS, 2, 3, 3), tensor(CHANNELS), groups=2, padding=1)


def conv_without_bias(x: Node) -> Node:
    return F.conv2d(x, tensor(CHANNELS, 4, 3, 3), padding=1)


def transposed(x: Node) -> Node:
    return F.conv_transpose2d(x, tensor(4, CHANNELS, 3, 3), tensor(CHANNELS), padding=1)


def norm(x: Node) -> Node:
    x = F.conv2d(x, tensor(CHANNELS, 4, 1, 1))
    variance = Parameter(np.abs(RNG.standard_normal(CHANNELS)) + 0.5)
    return F.batch_norm(x, tensor(CHANNELS), variance, tensor(CHANNELS), tensor(CHANNELS))


AFTER: dict[str, Callable[[Node], Node]] = {
    "factor": lambda y: F.mul(y, tensor(1, CHANNELS, 1, 1)),
    "term": lambda y: F.add(tensor(CHANNELS, 1, 1), y),
    "both": lambda y: F.relu(F.add(F.mul(y, tensor(CHANNELS, 1, 1)), tensor(1, CHANNELS, 1, 1))),
    "numbers": lambda y: y * 2.0 + 1.0,
    "number of the file": lambda y: F.mul(y, tensor(1, 1, 1, 1)),
}


def optimised(make: Callable[[Node], Any]) -> tuple[Graph, Graph]:
    """The graph of `make` on maps (2, 4, 5, 5), before and after the passes."""
    x = input_node("x", TensorSpec((2, 4, 5, 5)))
    made = make(x)
    graph = Graph((x,), made if isinstance(made, tuple) else (made,))
    return graph, optimise(graph)


def left(graph: Graph) -> list[str]:
    """Operations that depend on the input."""
    reached: set[int] = set()
    ops = []
    for node in topological(graph.outputs):
        if node.op == "input" or any(id(source) in reached for source in node.inputs):
            reached.add(id(node))
            ops.append(node.op)
    return ops[1:]


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("before", [conv, conv_without_bias, transposed, norm])
def test_what_is_one_number_a_channel_folds(before: Callable[[Node], Node], after: str) -> None:
    graph, folded = optimised(lambda x: AFTER[after](before(x)))
    assert left(folded) == ["conv"]
    x = RNG.standard_normal((2, 4, 5, 5))
    np.testing.assert_allclose(interpret(folded, {"x": x})[0][0], interpret(graph, {"x": x})[0][0], rtol=1e-9, atol=1e-12)


KEPT: dict[str, Callable[[Node], Any]] = {
    "read twice": lambda x: (lambda y: F.add(F.mul(y, 2.0), F.relu(y)))(conv(x)),
    "an output itself": lambda x: (lambda y: (y, F.mul(y, tensor(CHANNELS, 1, 1))))(conv(x)),
    "one number an image": lambda x: F.mul(conv(x), tensor(2, 1, 1, 1)),
    "one number a column": lambda x: F.mul(conv(x), tensor(5)),
    "more axes than the maps": lambda x: F.mul(conv(x), tensor(1, 1, CHANNELS, 1, 1)),
    "computed from the input": lambda x: F.mul(conv(x), F.mean(x, keepdim=True)),
    "weights from the input": lambda x: F.mul(F.conv2d(x, F.reshape(F.mean(x, (0, 2)), (1, 4, 1, 5))), 2.0),
    "after an activation": lambda x: F.mul(F.conv2d(x, tensor(CHANNELS, 4, 1, 1), activation="relu"), 2.0),
    "transposed in groups": lambda x: F.mul(F.conv_transpose2d(x, tensor(4, 3, 1, 1), groups=2), 2.0),
}


@pytest.mark.parametrize("what", KEPT)
def test_what_does_not_fold(what: str) -> None:
    graph, kept = optimised(KEPT[what])
    assert {"mul", "map"} & set(left(kept))
    x = RNG.standard_normal((2, 4, 5, 5))
    for got, wanted in zip(interpret(kept, {"x": x})[0], interpret(graph, {"x": x})[0], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
