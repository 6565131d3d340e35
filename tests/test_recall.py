"""Weights of eager calls, transformed once: results follow the weights whoever changes them, wherever they are, whatever came before."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv.functional as F
from clconv import reference
from clconv.algorithms.conv_winograd import ConvWinograd
from clconv.errors import DeviceError
from clconv.functional import eager
from clconv.geometry import ConvGeometry
from clconv.graph.assembly import Options
from clconv.graph.node import input_node
from clconv.graph.run import Run
from clconv.graph.trace import Graph
from clconv.problem import ConvProblem
from clconv.runtime import recall as module
from clconv.runtime.recall import Recall, Recalled
from clconv.tensor import TensorSpec, Transformed
from clconv.tuning.select import Situation
from tests.functional_support import send
from tests.support import integers, traits

RNG = np.random.default_rng(5)
X, W = integers(RNG, (1, 20, 9, 7)), integers(RNG, (9, 20, 3, 3))
GEOMETRY = ConvGeometry.make((3, 3), padding=1)
PROBLEM = ConvProblem(GEOMETRY, 1, 20, 9, (9, 7))


@pytest.fixture
def winograd() -> ConvWinograd:
    if why := ConvWinograd().why_not(PROBLEM, traits()):
        pytest.skip(f"conv_winograd {why}")
    return ConvWinograd()


def check(got: cla.Array, x: np.ndarray, w: np.ndarray) -> None:
    """To 1e-5 of the largest results, some 300, which is what F(4 x 4) may be off by. Results of other weights, whole numbers like these,
    are off by 1 and more, hundreds of times as much."""
    np.testing.assert_allclose(got.get(), reference.conv(x, w, None, GEOMETRY), rtol=0, atol=2e-3)


def called(x: cla.Array, w: cla.Array) -> cla.Array:
    return F.conv2d(x, w, padding=1, algorithm="winograd")


def in_turns(call: Any, queue: Any) -> None:
    """Weights written, changed in place, in one place only; other memory; and zeros, after which all is as it was."""
    first, second, view = send(queue, W), send(queue, W[::-1].copy()), send(queue, np.stack([*[W] * 8, -W]))
    x = send(queue, X)
    for _ in range(2):
        check(call(x, first), X, W)
        check(call(x, second), X, W[::-1])
        check(call(x, view[8]), X, -W)  # where a part of a buffer may begin
    w = W.copy()
    for place in ((0, 0, 0, 0), (8, 19, 2, 2), (3, 17, 1, 0)):
        w[place] += 3
        first.set(w)
        check(call(x, first), X, w)
    first[5:6] *= 2  # by a kernel
    w[5] *= 2
    check(call(x, first), X, w)
    for each in (np.zeros_like(W), W):
        first.set(each)
        check(call(x, first), X, each)
    check(call(send(queue, -X), first), -X, W)


def test_eager_calls_follow_their_weights(queue: Any, winograd: ConvWinograd) -> None:
    eager.forget()
    in_turns(called, queue)
    run = eager.last_run()
    assert "where it changed" in run.explain()
    transformed = next(step for step in run.steps if isinstance(step.problem.layout("y"), Transformed)).outputs[0].nbytes
    assert run.memory["prepared"] == 3 * (transformed + W.nbytes), "one set for each memory that weights came in"


def test_a_queue_without_order(queue: Any, winograd: ConvWinograd) -> None:
    in_turns(called, cl.CommandQueue(queue.context, queue.device, cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE))


def test_as_one_launch(queue: Any, winograd: ConvWinograd) -> None:
    x, w = input_node("x", TensorSpec(X.shape)), input_node("w", TensorSpec(W.shape))
    graph = Graph((x, w), (F.conv2d(x, w, padding=1, algorithm="winograd"),))
    run = Run(graph, queue, Options(recalls=True, persistent=True))
    assert run.launch_count == 1
    in_turns(run, queue)


def test_the_first_weights_that_are_zero(queue: Any, winograd: ConvWinograd) -> None:
    eager.forget()
    for zero in (0.0, -0.0):
        check(called(send(queue, X), send(queue, np.full_like(W, zero))), X, np.zeros_like(W))


def test_compiled_graphs_keep_nothing_of_their_inputs(queue: Any, winograd: ConvWinograd) -> None:
    x, w = input_node("x", TensorSpec(X.shape)), input_node("w", TensorSpec(W.shape))
    run = Run(Graph((x, w), (F.conv2d(x, w, padding=1, algorithm="winograd"),)), queue)
    run(send(queue, X), send(queue, W))
    assert run.memory["prepared"] == 0 and "where it changed" not in run.explain()


@pytest.fixture
def inputs(queue: Any) -> list[cl.Buffer]:
    return [cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, 64) for _ in range(14)]


def allow(monkeypatch: pytest.MonkeyPatch, nbytes: int) -> None:
    """So many bytes more than other runs hold already."""
    monkeypatch.setattr(module, "MOST_BYTES", module._Extra.total + nbytes)


def buffers_for(recall: Recall, source: cl.Buffer) -> tuple[int, ...]:
    given = {("input", 0): None, ("input", 1): source}
    external = recall.added(given)
    assert {key: external[key] for key in given} == given
    return tuple(external["recalled", i].int_ptr for i in range(len(external) - 2))


def test_memory_is_bounded_and_the_oldest_goes_first(queue: Any, inputs: list[cl.Buffer], monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 2 * 5000)
    recall = Recall(queue, [Recalled(1, 4096), Recalled(1, 904)])
    made = [buffers_for(recall, source) for source in inputs[:3]]
    assert len(set(made)) == 3 and recall.nbytes == 3 * 5000
    assert [buffers_for(recall, source) for source in inputs[:3]] == made
    turns = [buffers_for(recall, inputs[number]) for number in (0, 3, 2, 1)]
    assert turns == [made[0], made[1], made[2], made[0]] and recall.nbytes == 3 * 5000
    gc.collect()
    before = module._Extra.total
    del recall
    gc.collect()
    assert before - module._Extra.total == 2 * 5000, "what a run held is free for others"


def test_arrays_that_never_come_again_displace_one_another(queue: Any, inputs: list[cl.Buffer]) -> None:
    recall = Recall(queue, [Recalled(1, 512)])
    kept = buffers_for(recall, inputs[0])
    assert buffers_for(recall, inputs[0]) == kept
    for source in inputs[1:]:
        buffers_for(recall, source)
    assert recall.nbytes == 512 * (1 + module.MOST_NEW) and buffers_for(recall, inputs[0]) == kept


def test_parts_of_one_buffer_are_told_by_where_they_begin(queue: Any) -> None:
    whole = cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, 8192)
    recall = Recall(queue, [Recalled(1, 512)])
    first, second = (buffers_for(recall, whole[begin : begin + 64]) for begin in (0, 4096))
    assert first != second and [buffers_for(recall, whole[begin : begin + 64]) for begin in (4096, 0)] == [second, first]


def test_a_full_device_does_not_stop_what_has_a_set(queue: Any, inputs: list[cl.Buffer], monkeypatch: pytest.MonkeyPatch) -> None:
    recall, total = Recall(queue, [Recalled(1, 512)]), module._Extra.total
    first = buffers_for(recall, inputs[0])

    def full(_: Recall) -> None:
        raise DeviceError("no room")

    monkeypatch.setattr(Recall, "_made", full)
    assert buffers_for(recall, inputs[1]) == first and module._Extra.total == total
    with pytest.raises(DeviceError, match="no room"):
        buffers_for(Recall(queue, [Recalled(1, 512)]), inputs[0])


def test_buffers_begin_as_zeros(queue: Any, inputs: list[cl.Buffer]) -> None:
    external = Recall(queue, [Recalled(1, 4096)]).added({("input", 0): None, ("input", 1): inputs[0]})
    content = np.ones(1024, np.float32)
    cl.enqueue_copy(queue, content, external["recalled", 0])
    assert (content == 0).all()


def test_comparing_is_weighed_as_less_than_transforming(winograd: ConvWinograd) -> None:
    problem = replace(PROBLEM, channels=512, filters=512)

    def weighed(**known: frozenset[str]) -> float:
        situation = Situation(problem, traits(), {}, known.pop("prepared", frozenset()), **known)
        return situation.weigh(winograd, winograd.defaults(problem, traits())).total

    weights = frozenset({"w"})
    assert weighed(prepared=weights) < weighed(recalled=weights) < weighed()
