"""Branches of a graph on their way at once: what waits for what, memory that no two of them share, and results as one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clconv
import clconv.functional as F
from clconv import nn, reference
from clconv.geometry import ConvGeometry
from clconv.graph.memory import Lifetime, plan_memory
from clconv.runtime.branched import Branched, SideBySide
from tests.faults_support import each_fault
from tests.functional_support import exactly, send
from tests.support import integers, traits
from tests.test_queues import Gate, disordered

RNG = np.random.default_rng(5)
X, Z = integers(RNG, (3, 4, 8, 8)), integers(RNG, (3, 4, 8, 8))
SHAPES = {"x": X.shape, "z": Z.shape}
FORCED = {"*": "conv_blocked"}


class Forked(nn.Module):
    """A convolution for each input, two that read the result of the first, one that reads that of the second of these; `joined` ends in
    one that reads all. No step is before all others."""

    def __init__(self, joined: bool) -> None:
        super().__init__()
        self.joined = joined
        self.first, self.other = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.left, self.right, self.far = (nn.Conv2d(8, 8, 1) for _ in range(3))
        self.last = nn.Conv2d(24, 8, 1)

    def forward(self, x: Any, z: Any) -> Any:
        first, other = F.relu(self.first(x)), F.relu(self.other(z))
        parts = other, self.left(first), self.far(self.right(first))
        return self.last(F.cat(parts, 1)) if self.joined else parts


def loaded(joined: bool) -> Forked:
    net = Forked(joined)
    net.load_state_dict({name: integers(RNG, p.shape, 2) for name, p in net.named_parameters().items()})
    return net


def predicted(net: Forked, x: np.ndarray = X, z: np.ndarray = Z) -> tuple[np.ndarray, ...]:
    state = net.state_dict()

    def conv(name: str, x: np.ndarray) -> np.ndarray:
        w = state[f"{name}.weight"]
        return reference.conv(x, w, state[f"{name}.bias"], ConvGeometry.make(w.shape[2:], padding=w.shape[2] // 2))

    first, other = (np.maximum(conv(name, x), 0) for name, x in (("first", x), ("other", z)))
    parts = other, conv("left", first), conv("far", conv("right", first))
    return (conv("last", np.concatenate(parts, 1)),) if net.joined else parts


def results(given: Any) -> tuple[cla.Array, ...]:
    return given if isinstance(given, tuple) else (given,)


def beside(run: Any) -> SideBySide:
    found = run._main.executor._beside
    assert isinstance(found, SideBySide), "the branches are not side by side"
    return found


needed = pytest.mark.skipif(not traits().sleeps_between_launches, reason="one launch after the other here")


@needed
@pytest.mark.parametrize("joined", [False, True])
def test_results_are_those_of_one_after_the_other(joined: bool, queue: Any) -> None:
    net = loaded(joined)
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED)
    beside(run)
    for number in range(20):
        x, z = (integers(np.random.default_rng(seed), X.shape) for seed in (number, number + 100))
        run.poison()
        for got, wanted in zip(results(run(x, z)), predicted(net, x, z), strict=True):
            exactly(got, wanted)
    out = tuple(cla.empty(queue, y.shape, np.float32) for y in predicted(net))
    run(X, Z, out=out if len(out) > 1 else out[0])
    for got, wanted in zip(out, predicted(net), strict=True):
        exactly(got, wanted)


@needed
@pytest.mark.parametrize("joined", [False, True])
def test_a_run_keeps_the_order_of_its_queue(joined: bool, queue: Any) -> None:
    """What it waits for comes late, and what is enqueued after it on the same queue waits for all of its branches."""
    net = loaded(joined)
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED)
    run(X, Z)
    elsewhere, zeros = disordered(queue), np.zeros_like(X)
    for _ in range(3):
        gate, late = Gate(queue), [send(queue, zeros), send(queue, zeros)]
        for array, values in zip(late, (X, Z), strict=True):
            array.add_event(cl.enqueue_copy(elsewhere, array.data, values, is_blocking=False, wait_for=[gate.event]))
        elsewhere.flush()
        got = results(run(*late))
        copies = [cla.empty(queue, y.shape, np.float32) for y in got]
        for copy, y in zip(copies, got, strict=True):
            cl.enqueue_copy(queue, copy.data, y.data)
        gate.timer.join()  # whatever comes of it, the event that all this waits for must not go before it is set
        for copy, wanted in zip(copies, predicted(net), strict=True):
            exactly(copy, wanted)


@needed
def test_a_fault_leaves_a_run_that_works(queue: Any) -> None:
    net = loaded(False)
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED)
    x, z = send(queue, X), send(queue, Z)
    for _ in each_fault(lambda: run(x, z), "launch marker flush argument buffer"):
        run.poison()
        for got, wanted in zip(results(run(x, z)), predicted(net), strict=True):
            exactly(got, wanted)


# What waits for what, without a device

GRAPHS = st.lists(st.sets(st.integers(1, 6), max_size=3), max_size=14).map(
    lambda rows: [tuple(sorted(number - back for back in backs if back <= number)) for number, backs in enumerate(rows)]
)


def ancestors(waits: list[tuple[int, ...]]) -> list[set[int]]:
    found: list[set[int]] = []
    for own in waits:
        found.append(set(own).union(*(found[each] for each in own)))
    return found


@given(GRAPHS)
@settings(deadline=None)
def test_waits_that_follow_from_others_are_left_out(waits: list[tuple[int, ...]]) -> None:
    made, before = Branched.of(waits), ancestors(waits)
    assert ancestors(list(made.waits)) == before, "the same steps are before each as if nothing had been left out"
    for number, own in enumerate(made.waits):
        assert not any(one in before[other] for one in own for other in own)
        others = set(range(len(waits))) - {number}
        assert made.alone[number] == all(other in before[number] or number in before[other] for other in others)


@given(GRAPHS.filter(bool), st.data())
@settings(deadline=None)
def test_memory_is_shared_only_by_steps_in_order(waits: list[tuple[int, ...]], data: st.DataObject) -> None:
    """Any order that the waits allow is a run; no buffer may be written between another's first and last use in one of them."""
    before, steps = ancestors(waits), range(len(waits))
    uses = data.draw(st.lists(st.lists(st.sampled_from(steps), min_size=1, max_size=4, unique=True), max_size=10))
    lives = [Lifetime(i, 100, min(own), max(own), tuple(own)) for i, own in enumerate(uses)]
    plan = plan_memory(lives, 100, Branched.of(waits).may_meet)
    for one in lives:
        for other in lives:
            if one is not other and plan.offsets[one.key] == plan.offsets[other.key]:
                first, then = (one, other) if max(one.uses) < max(other.uses) else (other, one)
                assert all(a in before[b] for a in first.uses for b in then.uses)
