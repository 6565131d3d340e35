"""A run as one launch: every item once, never before what it waits for, and the same numbers as launch by launch."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.codegen import persistent
from clconv.codegen.persistent import HEAD, Joined, Member, join, why_not
from clconv.codegen.plan import KernelCall, KernelSource, Scalar
from clconv.codegen.render import Argument, RenderedKernel
from clconv.runtime import promotion
from clconv.runtime.context import traits_of
from tests.support import integers

RNG = np.random.default_rng(5)


def member(entry: str, size: tuple[int, int, int], waits: tuple[int, ...] = (), extra: str = "", **bindings: Any) -> Member:
    """A launch of a made-up kernel whose arguments are those of `bindings`: names of operands, or numbers."""
    source = KernelSource("made_up", entry)
    kinds = {str: "buffer", float: "float", int: "int", Scalar: "uint"}
    arguments = tuple(Argument(name, kinds[type(value)]) for name, value in bindings.items())
    text = f"__kernel WORK_GROUP\nvoid {entry}(...)\n{{ {extra} }}"
    places = {value: (("arena", 0), 64 * i) for i, value in enumerate(bindings.values()) if isinstance(value, str)}
    return Member(RenderedKernel(f"{entry}_1", text, arguments, source), KernelCall(source, size, tuple(bindings.items())), places, waits)


MEMBERS = [
    member("conv", (3, 2, 1), x="a", y="b", scale=0.5),
    member("pool", (4, 1, 1), (0,), x="b", y="c"),
    member("conv", (1, 1, 2), (0,), x="b", y="d", scale=-2.0),
    member("add", (5, 1, 1), (1, 2), x="c", w="d", y="e", count=-3),
]


def head(joined: Joined, launch: int) -> dict[str, int]:
    return dict(zip(HEAD, joined.table[launch * len(HEAD) : (launch + 1) * len(HEAD)], strict=True))


def test_every_item_has_a_ticket_and_waits_for_lower_ones() -> None:
    joined = join(MEMBERS)
    heads = [head(joined, launch) for launch in range(len(MEMBERS))]
    assert [h["ITEMS"] for h in heads] == [6, 4, 2, 5] and joined.tickets == 17
    assert [h["FIRST"] for h in heads] == [0, 6, 10, 12], "tickets follow the order of launches"
    assert [(h["ITEMS_X"], h["ITEMS_Y"], h["ITEMS_Z"]) for h in heads] == [(3, 2, 1), (4, 1, 1), (1, 1, 2), (5, 1, 1)]
    waits = [joined.table[h["WAITS"] : h["WAITS"] + h["WAIT_COUNT"]] for h in heads]
    assert waits == [(), (0,), (0,), (1, 2)]
    assert [h["KERNEL"] for h in heads] == [0, 1, 0, 2], "launches of one kernel share its text"


def test_the_table_holds_what_each_kernel_is_called_with() -> None:
    joined = join(MEMBERS)
    first, last = head(joined, 0), head(joined, 3)
    assert np.array(joined.table[first["NUMBERS"] : first["NUMBERS"] + 1], np.int32).view(np.float32)[0] == 0.5
    assert joined.table[last["NUMBERS"]] == -3
    assert joined.table[last["PLACES"] : last["PLACES"] + 6] == (0, 0, 0, 64, 0, 128)
    assert joined.regions == (("arena", 0),)
    assert "static void conv(const size_t item_x" in joined.kernel.text and "__kernel WORK_GROUP" not in joined.kernel.text


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gets_to_the_end(workers: int) -> None:
    """The kernel's loop in Python: workers are stopped and go on at random, and none waits for ever."""
    joined, chance = join(MEMBERS), random.Random(workers)
    taken, done, finished = [0], [0] * len(MEMBERS), []

    def worker() -> Any:
        while (ticket := taken[0]) < joined.tickets:
            taken[0] += 1
            launch = max(i for i in range(len(MEMBERS)) if head(joined, i)["FIRST"] <= ticket)
            while any(done[wait] < head(joined, wait)["ITEMS"] for wait in MEMBERS[launch].waits):
                yield
            yield
            finished.append(ticket)
            done[launch] += 1

    running = [worker() for _ in range(workers)]
    for _ in range(1000):
        if running and next(chosen := chance.choice(running), StopIteration) is StopIteration:
            running.remove(chosen)
    assert not running and sorted(finished) == list(range(joined.tickets)) and done == [6, 4, 2, 5]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (member("conv", (1, 1, 1), x="a", seed=Scalar("seed")), "only known when a run begins"),
        (member("conv", (1, 1, 1), extra="__local float shared[64];", x="a"), "local memory of its own"),
        (
            replace(MEMBERS[0], call=replace(MEMBERS[0].call, source=KernelSource("a", "conv", group=(64, 1, 1)))),
            "groups of 64 x 1 x 1 work-items",
        ),
        (replace(MEMBERS[0], places={"a": (("arena", 0), 1 << 31)}), "2 GiB"),
        (replace(MEMBERS[0], places={str(i): (("resident", i), 0) for i in range(101)}), "more than 100 pieces"),
    ],
)
def test_what_cannot_be_joined_is_said(change: Member, sentence: str) -> None:
    assert why_not(MEMBERS) is None
    assert sentence in (why_not([MEMBERS[0], change]) or "")


class Branches(nn.Module):
    """Two branches joined by a concatenation, one over the other by a sum: convolutions of several kinds, a pool, a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.left = nn.Conv2d(16, 16, 1)
        self.right = nn.Conv2d(16, 32, 3, padding=1)
        self.last = nn.Conv2d(48, 16, 3, stride=2, padding=1)
        self.linear = nn.Linear(16, 7)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.first(x))
        x = F.cat([self.left(x), F.relu(self.right(x))], 1)
        x = self.last(F.max_pool2d(x, 3, 1, 1))
        return self.linear(F.flatten(F.avg_pool2d(x, x.shape[2:]), 1))


SHAPE = (2, 3, 12, 12)
needs_cpu = "only a CPU device lets its work-groups wait for one another"


@pytest.fixture(scope="module")
def net() -> Branches:
    return Branches()


@pytest.fixture(scope="module")
def pair(net: Branches, queue: Any) -> tuple[Any, Any]:
    """The network compiled launch by launch, and as one launch."""
    runs = clconv.compile(net, SHAPE, queue, persistent=False), clconv.compile(net, SHAPE, queue, persistent=True)
    if not traits_of(queue.device).is_cpu:
        assert needs_cpu in runs[1].explain()
        pytest.skip("a GPU: launches stay apart, and explain says why")
    assert runs[0].launch_count > 5 and "persistent=False" in runs[0].explain()
    assert runs[1].launch_count == 1 and "one launch for all" in runs[1].explain()
    return runs


def test_the_same_numbers_again_and_again(pair: tuple[Any, Any]) -> None:
    separate, whole = pair
    for _ in range(20):
        x = RNG.standard_normal(SHAPE, np.float32)
        whole.poison()
        np.testing.assert_array_equal(whole(x).get(), separate(x).get())


def test_results_into_the_callers_memory_and_parameters_that_change(net: Branches, pair: tuple[Any, Any], queue: Any) -> None:
    separate, whole = pair
    x, out = RNG.standard_normal(SHAPE, np.float32), cla.zeros(queue, (2, 7), np.float32)
    before = whole(x, out=out).get()
    np.testing.assert_array_equal(before, separate(x).get())
    net.right.weight.value = net.right.weight.value * 2
    np.testing.assert_array_equal(whole(x).get(), separate(x).get())
    assert (whole(x).get() != before).any()


def test_many_runs_on_their_way_at_once(pair: tuple[Any, Any], net: Branches, queue: Any) -> None:
    """Runs enqueued without a wait, from several threads, and of another queue that has no order."""
    separate, whole = pair
    disordered = cl.CommandQueue(queue.context, queue.device, cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE)
    runs = [whole, whole, clconv.compile(net, SHAPE, disordered, persistent=True)]
    inputs = [RNG.standard_normal(SHAPE, np.float32) for _ in range(8)]
    expected = [separate(x).get() for x in inputs]
    wrong: list[int] = []

    def work(run: Any) -> None:
        for _ in range(3):
            results = [run(x) for x in inputs]
            wrong.extend(i for i, (result, right) in enumerate(zip(results, expected, strict=True)) if (result.get() != right).any())

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_stays_apart_says_why(queue: Any) -> None:
    if not traits_of(queue.device).is_cpu:
        pytest.skip("nothing is joined on a GPU")
    single = clconv.compile(nn.Sequential(pool=nn.MaxPool2d(2)), (1, 3, 6, 6), queue, persistent=True)
    assert "launches one by one: there is only one" in single.explain()
    assert single(integers(RNG, (1, 3, 6, 6))).shape == (1, 3, 3, 3)
    training = clconv.compile(nn.Sequential(norm=nn.BatchNorm2d(3)), (2, 3, 4, 4), queue, training=True, persistent=True)
    assert "the run changes parameters" in training.explain()


def test_a_kernel_that_does_not_build_changes_nothing(net: Branches, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if not traits_of(queue.device).is_cpu:
        pytest.skip("nothing is joined on a GPU")
    monkeypatch.setattr(persistent, "as_function", lambda kernel: f"#error planted {kernel.symbol}\n")
    run = clconv.compile(net, SHAPE, queue, persistent=True)
    assert run.launch_count > 5 and "does not build" in run.explain()
    assert run(np.zeros(SHAPE, np.float32)).shape == (2, 7)


def test_a_run_that_is_called_often_becomes_one_launch(
    net: Branches, pair: tuple[Any, Any], queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First nothing, then another process builds, then a call takes over what it has built."""
    monkeypatch.setattr(promotion, "OFTEN", 3)
    x = RNG.standard_normal(SHAPE, np.float32)
    expected = pair[0](x).get()
    monkeypatch.setenv("CLCONV_COMPANIONS", "0")
    alone = clconv.compile(net, SHAPE, queue)
    monkeypatch.setattr(alone._main.executor.promotion._programs, "has", lambda symbols: False)
    for _ in range(6):
        np.testing.assert_array_equal(alone(x).get(), expected)
    assert alone.launch_count > 5 and "persistent=True" in alone.explain()
    started: list[Any] = []

    class Companion:
        is_over = has_succeeded = False

        def __init__(self, *arguments: Any, humble: bool = False) -> None:
            assert humble
            started.append(self)

    monkeypatch.setattr(promotion, "Companion", Companion)
    monkeypatch.setattr(promotion, "most_companions", lambda traits: 1)
    for succeeds in (True, False):
        monkeypatch.setattr(promotion.Promotion, "_last", None)
        run = clconv.compile(net, SHAPE, queue)
        for _ in range(6):
            np.testing.assert_array_equal(run(x).get(), expected)
        assert run.launch_count > 5 and "until" in run.explain()
        started[-1].is_over, started[-1].has_succeeded = True, succeeds
        for _ in range(2):
            np.testing.assert_array_equal(run(x).get(), expected)
        assert (run.launch_count == 1) == succeeds
        assert ("one launch for all" if succeeds else "another process has failed") in run.explain()
    assert len(started) == 2
