"""Activations: those that files spell out are known by their names, and all that leave 0 as it is go into the kernel before them.

A network that a file describes takes as many launches of the same kernels as its twin written with `clconv.nn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import helper

import clconv
import clconv.functional as F
from clconv import nn
from clconv.algorithms import applicable
from clconv.graph.network import Network
from clconv.graph.node import topological
from clconv.graph.passes import optimise
from clconv.nn.init import seeded
from clconv.onnx import load
from clconv.problem import Problem, parse
from tests.cases import check, prepare
from tests.interpreter import evaluate, interpret
from tests.onnx_support import model, normal
from tests.support import traits

SHAPE = (2, 4, 7, 6)
TENSORS = {
    "w": normal(4, 4, 3, 3), "v": normal(4, 4, 1, 1), "scale": normal(4), "bias": normal(4), "mean": normal(4),
    "var": np.abs(normal(4)) + 0.5, "three": np.float32(3), "six": np.float32([6]), "zero": np.float32(0), "top": np.float32(6),
    "sixth": np.full((1, 1, 1, 1), 1 / 6, np.float32),
}  # fmt: skip


def op(op_type: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(op_type, inputs.split(), [output], **attributes)


def file(*nodes: Any) -> Network:
    """Of what follows the convolution c of x; the last value is y."""
    read = {name for node in nodes for name in node.input} | {"w"}
    tensors = {name: value for name, value in TENSORS.items() if name in read}
    first = op("Conv", "x w", "c", pads=[1, 1, 1, 1])
    return load(model([first, *nodes], {"x": SHAPE}, tensors))


class Written(nn.Module):
    """A convolution, and what a function makes of its result."""

    def __init__(self, function: Callable[..., Any], norm: bool = False) -> None:
        super().__init__()
        with seeded(1):
            self.conv, self.other = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.with_norm, self.function = norm, function

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        return self.function(self.norm(y) if self.with_norm else y, x, self.other)


NORM = op("BatchNormalization", "c scale bias mean var", "n")
SHIFTED = (op("Add", "c three", "a"), op("Clip", "a zero top", "g"))

# nodes of a file, the same by hand
TWINS: dict[str, tuple[Sequence[Any], nn.Module]] = {
    "conv, norm, Relu": ((NORM, op("Relu", "n", "y")), Written(lambda y, x, other: F.relu(y), True)),
    "Clip": ((op("Clip", "c zero top", "y"),), Written(lambda y, x, other: F.clamp(y, 0.0, 6.0))),
    "Clip from 0 on": ((op("Clip", "c zero", "y"),), Written(lambda y, x, other: F.relu(y))),
    "HardSwish": ((op("HardSwish", "c", "y"),), Written(lambda y, x, other: F.hardswish(y))),
    "x HardSigmoid(x)": (
        (op("HardSigmoid", "c", "g", alpha=1 / 6), op("Mul", "g c", "y")), Written(lambda y, x, other: F.hardswish(y))
    ),
    "x clip(x + 3, 0, 6) / 6": (
        (*SHIFTED, op("Mul", "c g", "m"), op("Div", "m six", "y")), Written(lambda y, x, other: F.hardswish(y))
    ),
    "x (clip(x + 3, 0, 6) / 6)": (
        (*SHIFTED, op("Div", "g six", "h"), op("Mul", "h c", "y")), Written(lambda y, x, other: F.hardswish(y))
    ),
    "x (clip(x + 3, 0, 6) times a sixth)": (
        (*SHIFTED, op("Mul", "sixth g", "h"), op("Mul", "c h", "y")), Written(lambda y, x, other: F.hardswish(y))
    ),
    "x Sigmoid(x)": ((op("Sigmoid", "c", "g"), op("Mul", "c g", "y")), Written(lambda y, x, other: F.silu(y))),
    "residual Add, Relu": ((op("Add", "x c", "a"), op("Relu", "a", "y")), Written(lambda y, x, other: F.relu(x + y))),
    "residual Add, HardSwish": ((op("Add", "c x", "a"), op("HardSwish", "a", "y")), Written(lambda y, x, other: F.hardswish(y + x))),
    "Concat of branches": (
        (op("Relu", "c", "r"), op("Conv", "x v", "d"), op("Concat", "r d", "y", axis=1)),
        Written(lambda y, x, other: F.cat([F.relu(y), other(x)], 1)),
    ),
}  # fmt: skip


def launches(net: Network) -> list[tuple[str, Mapping[str, Any]]]:
    """What is left to run of inference, without what depends on parameters alone: operations and what is fused into them."""
    graph = optimise(net.trace(SHAPE))
    depends: set[int] = set()
    found = []
    for node in topological(graph.outputs):
        if node.op == "input" or any(id(source) in depends for source in node.inputs):
            depends.add(id(node))
            fused = {name: node.attributes.get(name) for name in ("geometry", "bias", "residual", "activation")}
            found.append((node.op, fused if node.op == "conv" else {}))
    return sorted(found, key=str)


@pytest.mark.parametrize("name", TWINS)
def test_a_file_fuses_as_the_same_network_written_by_hand(name: str) -> None:
    nodes, by_hand = TWINS[name]
    net = file(*nodes)
    assert launches(net) == launches(by_hand)
    convolutions = name.count("branches") + 1
    assert [kind for kind, _ in launches(net)] == ["cat"] * (convolutions - 1) + ["conv"] * convolutions + ["input"]
    x = normal(*SHAPE)
    fused = interpret(optimise(net.trace(SHAPE)), {"x": x})[0][0]
    np.testing.assert_allclose(fused, evaluate(net, x)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "nodes",
    [
        [op("Add", "c six", "a"), op("Clip", "a zero top", "g"), op("Mul", "c g", "m"), op("Div", "m six", "y")],
        [*SHIFTED, op("Mul", "c g", "m"), op("Div", "m three", "y")],
        [*SHIFTED, op("Mul", "x g", "m"), op("Div", "m six", "y")],
        [op("HardSigmoid", "c", "g", alpha=0.2), op("Mul", "g c", "y")],
        [op("Sigmoid", "c", "g"), op("Mul", "x g", "y")],
    ],
    ids=["another shift", "another divisor", "another factor", "another slope", "a gate of something else"],
)
def test_what_only_looks_alike_keeps_its_meaning(nodes: Sequence[Any]) -> None:
    net, x = file(*nodes), normal(*SHAPE)
    graph = optimise(net.trace(SHAPE))
    curves = {"hardswish", "silu"}
    assert not any(n.op in curves or (n.attributes.get("activation") or ("",))[0] in curves for n in topological(graph.outputs))
    np.testing.assert_allclose(interpret(graph, {"x": x})[0][0], evaluate(net, x)[0], rtol=1e-6)


def test_an_activation_of_0_that_is_not_0_stays_outside() -> None:
    """Channels that fill up a block, and the zeros around a map, would not be 0 any more."""
    graph = optimise(Written(lambda y, x, other: F.clamp(y, 0.5, 6.0)).trace(SHAPE))
    assert [n.op for n in topological(graph.outputs)][-1] == "clamp"


@pytest.mark.exhaustive
@pytest.mark.parametrize("function", [F.hardswish, F.silu, lambda y: F.clamp(y, 0.0, 6.0)], ids=["hardswish", "silu", "clip"])
def test_what_is_not_finite_passes_through(function: Callable[..., Any], queue: Any) -> None:
    """Also where -inf meets a factor of 0, which is no number, as the reference has it."""
    net, x = Written(lambda y, x, other: function(y)), normal(*SHAPE)
    run = clconv.compile(net, SHAPE, queue, strict=True)
    for number in (np.nan, np.inf, -np.inf):
        x[1, 2, 3, 4] = number
        with np.errstate(all="ignore"):
            wanted = evaluate(net, x)[0]
        got = run(x).get()
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
        if np.isnan(number):
            assert np.isnan(got).sum() == 4 * 9


PROBLEMS = (
    "n2c4i5x7k5f3x3p1", "n2c17i6x7k33f3x3p1", "n1c16i5x5k32f1x1", "n2c9i6x7k9f3x3p1g9", "deconv n1c6i5x4k5f2x2s2", "n1c3i4x5x3k4f2x2x2",
)  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("epilogue", ["+bias+clip(0.0,6.0)", "+clip(-1.0,inf)+res", "+bias+hardswish+res", "+bias+silu"])
@pytest.mark.parametrize("text", PROBLEMS)
def test_every_convolution_takes_them(text: str, epilogue: str) -> None:
    problem: Problem = parse(text + epilogue)
    willing = applicable(problem, traits())
    assert len(willing) >= 2 or "x5x3" in text
    for algorithm in willing:
        check(prepare(algorithm, problem, traits(), algorithm.defaults(problem, traits())))
