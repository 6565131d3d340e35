"""`strict=True`: straight sums only. Selection leaves out what rounds more, whoever asks, and nothing else changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import reference
from clconv.algorithms import ALGORITHMS
from clconv.algorithms.conv_winograd import ERROR_FACTORS
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.graph.assembly import Assembly, Options
from clconv.graph.node import Node, input_node
from clconv.graph.trace import Graph
from clconv.nn import models
from clconv.problem import parse
from clconv.tensor import PLAIN, TensorSpec
from clconv.tuning.select import choose, describe
from tests.cases import all_cases
from tests.support import integers, sum_bound, traits

CPU = DeviceTraits.cpu(8)
SHAPE, WEIGHTS = (1, 64, 56, 56), (64, 64, 3, 3)
"""A layer for which minimal filtering is several times as fast."""


def chosen(graph: Graph, **options: Any) -> list[str]:
    """The algorithms of all convolutions, on a made-up device."""
    assembly = Assembly(graph, CPU, Options(tuned=False, **options), (PLAIN,) * len(graph.inputs), (PLAIN,) * len(graph.outputs))
    return [step.choice.algorithm.name for step in assembly.steps if step.choice.algorithm.name.startswith("conv_")]


def traced(build: Callable[[Node, Node], Node | tuple[Node, ...]]) -> Graph:
    x, w = (input_node(name, TensorSpec(shape)) for name, shape in (("x", SHAPE), ("w", WEIGHTS)))
    outputs = build(x, w)
    return Graph((x, w), outputs if isinstance(outputs, tuple) else (outputs,))


def test_selection_leaves_out_what_rounds_more() -> None:
    problem = parse("n1c64i56x56k64f3x3p1")
    free, strict = (choose(problem, CPU, tuned=False, strict=strict) for strict in (False, True))
    assert free.algorithm.name == "conv_winograd" and strict.algorithm.name == "conv_blocked"
    assert "conv_winograd" not in [name for name, _, _ in strict.others]
    assert "conv_winograd (strict=True asks for straight sums, this may be off by 5 times as much)" in describe(strict)


def test_what_is_asked_for_by_name_is_refused() -> None:
    problem = parse("n1c64i56x56k64f3x3p1")
    with pytest.raises(UnsupportedError, match="conv_winograd, asked for by name, does not take this .*strict=True asks for straight sums"):
        choose(problem, CPU, forced="conv_winograd", strict=True)
    assert choose(problem, CPU, forced="conv_winograd").algorithm.name == "conv_winograd"


def test_only_minimal_filtering_states_a_factor() -> None:
    stated = set()
    for problem in all_cases():
        for algorithm in ALGORITHMS:
            if isinstance(problem, algorithm.takes) and algorithm.why_not(problem, CPU) is None:
                factor = algorithm.error_factor(problem, algorithm.defaults(problem, CPU))
                assert factor is None or factor > 0
                stated |= {algorithm.name} if factor is not None else set()
    assert stated == {"conv_winograd"}


def test_a_whole_graph() -> None:
    graph = traced(lambda x, w: F.conv2d(F.conv2d(x, w, padding=1), w, padding=1))
    assert "conv_winograd" in chosen(graph)
    assert chosen(graph, strict=True) == ["conv_blocked"] * 2


def test_compile_hands_it_on(monkeypatch: pytest.MonkeyPatch, queue: Any) -> None:
    seen: list[Options] = []
    monkeypatch.setattr("clconv.graph.compile.Run", lambda graph, queue, options, network=None: seen.append(options))
    graph, net = traced(lambda x, w: F.conv2d(x, w)), models.lenet5()
    for strict in (False, True):
        clconv.compile_graph(graph, queue, strict=strict)
        clconv.compile(net, (1, 1, 28, 28), queue, strict=strict)
    clconv.compile_graph(graph, queue)
    assert [options.strict for options in seen] == [False, False, True, True, False]


CALLS: dict[str, Callable[..., Any]] = {
    "conv2d": lambda x, w, **more: F.conv2d(x, w, padding=1, **more),
    "conv_transpose2d": lambda x, w, **more: F.conv_transpose2d(x, w, padding=1, **more),
    "conv2d_input": lambda x, w, **more: F.conv2d_input(SHAPE, w, x, padding=1, **more),
}


@pytest.mark.parametrize("name", CALLS)
def test_one_call_of_several(name: str) -> None:
    call = CALLS[name]
    graph = traced(lambda x, w: (call(x, w), call(x, w, strict=True)))
    assert sorted(chosen(graph)) == ["conv_blocked", "conv_winograd"]
    assert chosen(graph, strict=True) == ["conv_blocked"] * 2


@pytest.mark.parametrize("strict", [False, True])
def test_gradients_are_as_strict_as_their_function(strict: bool) -> None:
    def build(x: Node, w: Node) -> tuple[Node, ...]:
        loss = F.sum(F.conv2d(x, w, padding=1, strict=strict))
        return tuple(clconv.grad(loss, [x, w]))

    assert ("conv_winograd" in chosen(traced(build))) != strict


def test_every_convolution_takes_it_by_keyword() -> None:
    names = [name for name in dir(F) if name.startswith("conv") and not name.endswith(("_weight", "convolution", "gradients"))]
    assert len(names) == 9
    for name in names:
        parameter = inspect.signature(getattr(F, name)).parameters["strict"]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is False


@pytest.mark.exhaustive
def test_on_arrays(queue: Any) -> None:
    """Bit for bit, a NaN no further than the windows that hold it; and with it the choice is remembered apart from that without."""
    rng = np.random.default_rng(0)
    x, w = integers(rng, (1, 64, 40, 40)), integers(rng, (64, 64, 3, 3))
    w[w == 0] = 1
    problem = parse("n1c64i40x40k64f3x3p1")
    assert choose(problem, traits(), tuned=False).algorithm.name == "conv_winograd" or not traits().is_cpu
    with np.errstate(invalid="ignore"):
        for value in (0.0, np.nan):
            x[0, 3, 6, 9] = value
            given = [cla.to_device(queue, array) for array in (x, w)]
            loose, strict = (F.conv2d(*given, padding=1, strict=s).get() for s in (False, True))
            want = reference.conv(x, w, None, problem.geometry)
            np.testing.assert_array_equal(strict, want)
            assert np.isnan(loose).sum() >= np.isnan(strict).sum()
            finite = np.isfinite(loose)
            largest = reference.conv(abs(np.nan_to_num(x)), abs(w), None, problem.geometry).max()
            assert (abs(loose - want)[finite] <= max(ERROR_FACTORS.values()) * sum_bound(64 * 9, largest)).all()
