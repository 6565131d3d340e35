"""The memory plan: temporaries that live at the same time never share a byte, and what is planned is what is allocated."""

from __future__ import annotations

import functools
from collections.abc import Hashable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clconv
import clconv.functional as F
from clconv.device import DeviceTraits
from clconv.graph.compile import Assembly, Options
from clconv.graph.memory import ALIGNMENT, Lifetime, MemoryPlan, plan_memory
from clconv.nn import models
from clconv.tensor import PLAIN

LIVES = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 12), st.integers(0, 12)), max_size=30).map(
    lambda rows: [Lifetime(i, nbytes, min(a, b), max(a, b)) for i, (nbytes, a, b) in enumerate(rows)]
)


def padded(life: Lifetime, alignment: int = ALIGNMENT) -> int:
    return -(-max(life.nbytes, 1) // alignment) * alignment


def overlaps(lives: list[Lifetime], offsets: dict) -> list[tuple[object, object]]:
    """Pairs that share both time and memory."""
    found = []
    for i, one in enumerate(lives):
        for other in lives[:i]:
            in_time = one.first <= other.last and other.first <= one.last
            a, b = offsets[one.key], offsets[other.key]
            if in_time and a < b + max(other.nbytes, 1) and b < a + max(one.nbytes, 1):
                found.append((one.key, other.key))
    return found


@settings(max_examples=40)
@given(LIVES, st.sampled_from([1, 4, 64, ALIGNMENT]))
def test_no_two_lives_overlap_in_memory(lives: list[Lifetime], alignment: int) -> None:
    plan = plan_memory(lives, alignment)
    assert set(plan.offsets) == {life.key for life in lives}
    assert overlaps(lives, plan.offsets) == []
    assert all(offset >= 0 and offset % alignment == 0 for offset in plan.offsets.values())


@settings(max_examples=40)
@given(LIVES)
def test_total_lies_between_what_lives_at_once_and_everything(lives: list[Lifetime]) -> None:
    plan = plan_memory(lives)
    total = plan.total
    at_once = max((sum(padded(life) for life in lives if life.first <= t <= life.last) for t in range(13)), default=0)
    assert at_once <= total <= sum(map(padded, lives))
    assert total == max((plan.offsets[life.key] + padded(life) for life in lives), default=0)


def test_a_chain_needs_two_buffers() -> None:
    lives = [Lifetime(i, 1024, i, i + 1) for i in range(20)]
    assert plan_memory(lives).total == 2048


def test_nothing_needs_nothing() -> None:
    assert plan_memory([]) == MemoryPlan({}, 0)


def test_overlap_is_noticed() -> None:
    """The check above can fail."""
    lives = [Lifetime("a", 100, 0, 2), Lifetime("b", 100, 2, 3), Lifetime("c", 100, 3, 4)]
    assert overlaps(lives, {"a": 0, "b": 64, "c": 0}) == [("b", "a"), ("c", "b")]


# Whole networks


SHAPES = {"lenet5": (2, 1, 28, 28), "resnet18": (1, 3, 64, 64), "googlenet": (1, 3, 64, 64)}


@functools.cache
def network(name: str) -> clconv.nn.Module:
    """Each network once; tests do not change it."""
    return getattr(models, name)(**({} if name == "lenet5" else {"num_classes": 10}))


def assembled(name: str, traits: DeviceTraits, training: bool = False) -> Assembly:
    graph = network(name).trace(SHAPES[name], training)
    return Assembly(graph, traits, Options(), (PLAIN,) * len(graph.inputs), (PLAIN,) * len(graph.outputs))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("traits", [DeviceTraits.cpu(8), DeviceTraits.gpu()], ids=["cpu", "gpu"])
@pytest.mark.parametrize("name", ["lenet5", "resnet18", "googlenet"])
def test_live_tensors_of_a_network_never_share_memory(name: str, traits: DeviceTraits, training: bool) -> None:
    """Lives are found here anew: a temporary lives from its first use to its last, scratch during its step."""
    assembly = assembled(name, traits, training)
    uses: dict[Hashable, list[int]] = {}
    where: dict[Hashable, tuple[int, int]] = {}
    running = [step for step in assembly.steps if not step.prepared and id(step) in assembly.plans]
    for index, step in enumerate(running):
        for value in step.operands.values():
            place = assembly.place(value)
            if place.region == "arena":
                uses.setdefault(id(value.root), []).append(index)
                where[id(value.root)] = (place.offset, place.nbytes)
        for name, nbytes in assembly.plans[id(step)].scratch:
            uses[index, name] = [index]
            where[index, name] = (assembly.memory.offsets[id(step), name], nbytes)
    found = [Lifetime(key, where[key][1], min(steps), max(steps)) for key, steps in uses.items()]
    assert found, "the network has temporaries"
    assert overlaps(found, {key: offset for key, (offset, _) in where.items()}) == []
    assert all(offset + nbytes <= assembly.memory.total for offset, nbytes in where.values())


def test_planned_bytes_are_allocated_bytes(queue) -> None:
    run = clconv.compile(models.lenet5(), (2, 1, 28, 28), queue)
    assembly, executor = run._main.assembly, run._main.executor
    assert run.memory["activations"] == assembly.memory.total == executor._arena.size > 0
    assert run.memory["prepared"] == assembly.prepared_memory.total
    assert run.memory["parameters"] == 4 * 61706, "LeNet-5 has 61,706 parameters"


def test_memory_is_reused(queue) -> None:
    """Ten activations in a row fit into the memory of two."""
    x = np.zeros((1, 8, 32, 32), np.float32)

    class Chain(clconv.nn.Module):
        def forward(self, input):
            for _ in range(10):
                input = F.max_pool2d(input, 3, 1, 1)
            return input

    run = clconv.compile(Chain(), x.shape, queue)
    assert run.memory["activations"] <= 2 * x.nbytes + 4 * ALIGNMENT
    assert run(x).shape == x.shape
