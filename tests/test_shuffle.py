"""Channel shuffles as users write them, two reshapes around a transpose, run as one step; what only looks like one stays what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import clconv
import clconv.functional as F
from clconv import nn, reference
from clconv.device import DeviceTraits
from clconv.geometry import ConvGeometry
from clconv.graph.node import Node, input_node, topological
from clconv.graph.passes import optimise
from clconv.graph.run import Run
from clconv.graph.trace import Graph
from clconv.problem import ShuffleProblem
from clconv.tensor import PLAIN, Blocked, Layout, TensorSpec
from clconv.tuning.select import choose
from tests.functional_support import exactly, send
from tests.support import integers

RNG = np.random.default_rng(3)


def rearranged(x: Any, parts: tuple[int, ...], axes: tuple[int, int], shape: tuple[int, ...]) -> Any:
    """`x` as `parts`, two axes of which change places, as `shape`."""
    if isinstance(x, np.ndarray):
        return x.reshape(parts).swapaxes(*axes).reshape(shape)
    return F.reshape(F.transpose(F.reshape(x, parts), *axes), shape)


def shuffled(x: Any, groups: int) -> Any:
    n, c, *size = x.shape
    return rearranged(x, (n, groups, c // groups, *size), (1, 2), (n, c, *size))


class Unit(nn.Module):
    """Convolutions in groups with a shuffle between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(24, 24, 1, groups=3, bias=False)
        self.second = nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False)

    def forward(self, x: Any) -> Any:
        return self.second(shuffled(self.first(x), 3))


def test_between_convolutions(queue: Any) -> None:
    net = Unit()
    weights = integers(RNG, (24, 8, 1, 1)), integers(RNG, (24, 1, 3, 3))
    net.load_state_dict({"first.weight": weights[0], "second.weight": weights[1]})
    run = clconv.compile(net, (2, 24, 7, 5), queue)
    x = integers(RNG, (2, 24, 7, 5))
    z = shuffled(reference.conv(x, weights[0], None, ConvGeometry.make((1, 1), groups=3)), 3)
    exactly(run(x), reference.conv(z, weights[1], None, ConvGeometry.make((3, 3), padding=1, groups=24)))
    (step,) = (step for step in run.steps if str(step.problem).startswith("shuffle"))
    assert str(step.problem) == "shuffle 2x24x7x5 of 3 groups"


@pytest.mark.parametrize("stored", [Blocked(8), PLAIN], ids=str)
def test_what_is_blocked_stays_so_and_what_is_plain_stays_plain(stored: Layout) -> None:
    name = "shuffle_blocked" if stored == Blocked(8) else "shuffle_strided"
    assert choose(ShuffleProblem((1, 272, 14, 14), 4), DeviceTraits.cpu(8), {"x": stored}).algorithm.name == name
    assert choose(ShuffleProblem((1, 272, 14, 14), 4), DeviceTraits.gpu()).algorithm.name == "shuffle_strided"


def ops(output: Node, x: Node) -> list[str]:
    """Of the optimised graph, in order."""
    return [node.op for node in topological(optimise(Graph((x,), (output,))).outputs)]


@pytest.mark.parametrize("shape", [(2, 12, 5), (2, 12, 5, 3)], ids=str)
@pytest.mark.parametrize("groups", [1, 3, 4, 12])
def test_any_groups_and_both_ranks(shape: tuple[int, ...], groups: int, queue: Any) -> None:
    x = input_node("x", TensorSpec(shape))
    graph = Graph((x,), (shuffled(x, groups),))
    assert ops(graph.outputs[0], x) == ["input", "shuffle"]
    array = integers(RNG, shape)
    exactly(Run(graph, queue)(send(queue, array)), shuffled(array, groups))


OTHERS = {
    "axes of positions exchanged": ((2, 3, 4, 5, 5), (3, 4), (2, 12, 5, 5)),
    "another shape": ((2, 3, 4, 5, 5), (1, 2), (2, 12, 25, 1)),
    "images mixed": ((1, 2, 12, 5, 5), (1, 2), (2, 12, 5, 5)),
    "positions mixed": ((2, 3, 20, 5, 1), (1, 2), (2, 12, 5, 5)),
    "all in one axis": ((2, 3, 100), (1, 2), (2, 12, 5, 5)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_looks_like_one(name: str, queue: Any) -> None:
    x, array = input_node("x", TensorSpec((2, 12, 5, 5))), integers(RNG, (2, 12, 5, 5))
    graph = Graph((x,), (rearranged(x, *OTHERS[name]),))
    assert "shuffle" not in ops(graph.outputs[0], x)
    exactly(Run(graph, queue)(send(queue, array)), rearranged(array, *OTHERS[name]))
