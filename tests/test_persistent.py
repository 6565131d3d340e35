"""A run as one launch: every item once, never before what it waits for, and the same numbers as launch by launch."""

from __future__ import annotations

import importlib.resources
import random
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.codegen.persistent import APART, HEAD, Joined, Member, join, why_not
from clconv.codegen.plan import KernelCall, KernelSource, Plan, Scalar
from clconv.codegen.render import Argument, RenderedKernel
from clconv.device import DeviceTraits
from clconv.nn import models
from clconv.runtime import promotion
from clconv.runtime.arrays import are_apart
from clconv.runtime.companion import most_companions
from clconv.runtime.executor import Executor
from clconv.runtime.persistent import Persistent, why_separate
from clconv.runtime.placed import PlacedStep
from tests.faults_support import Faults, each_fault, injected
from tests.functional_support import exactly, send
from tests.support import integers, traits
from tests.test_branches import FORCED, SHAPES, Forked, X, Z, loaded, predicted, results
from tests.test_queues import disordered

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


def test_every_item_has_a_ticket_and_waits_for_launches_before() -> None:
    joined = join(MEMBERS, 2)
    heads = [head(joined, launch) for launch in range(len(MEMBERS))]
    assert [h["ITEMS"] for h in heads] == [h["TICKETS"] for h in heads] == [6, 4, 2, 5]
    assert [(h["ITEMS_X"], h["ITEMS_Y"], h["ITEMS_Z"]) for h in heads] == [(3, 2, 1), (4, 1, 1), (1, 1, 2), (5, 1, 1)]
    waits = [joined.table[h["WAITS"] : h["WAITS"] + h["WAIT_COUNT"]] for h in heads]
    assert waits == [(), (0,), (0,), (1, 2)]
    assert [h["KERNEL"] for h in heads] == [0, 1, 0, 2], "launches of one kernel share its text"


def test_a_ticket_is_a_run_of_neighbours_where_items_are_many() -> None:
    joined = join([*MEMBERS, member("pool", (50, 2, 1), (3,), x="e", y="c"), MEMBERS[0]], 2)
    many = head(joined, 4)
    assert (many["RUN"], many["TICKETS"], many["ITEMS"]) == (3, 34, 100), "the last run has one item"


def test_the_table_holds_what_each_kernel_is_called_with() -> None:
    joined = join(MEMBERS, 2)
    first, last = head(joined, 0), head(joined, 3)
    assert np.array(joined.table[first["NUMBERS"] : first["NUMBERS"] + 1], np.int32).view(np.float32)[0] == 0.5
    assert joined.table[last["NUMBERS"]] == -3
    assert joined.table[last["PLACES"] : last["PLACES"] + 6] == (0, 0, 0, 64, 0, 128)
    assert joined.regions == (("arena", 0),)
    assert "static void conv(const size_t item_x" in joined.kernel.text and "__kernel WORK_GROUP" not in joined.kernel.text


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gets_to_the_end(workers: int) -> None:
    """The kernel's loop in Python: workers begin, are stopped and go on at random, and none waits for ever."""
    joined, chance = join(MEMBERS, workers), random.Random(workers)
    tickets = [head(joined, launch)["TICKETS"] for launch in range(len(MEMBERS))]
    taken, done, finished = [[0] * workers for _ in MEMBERS], [0] * len(MEMBERS), []

    def worker(own: int) -> Any:
        for launch, member in enumerate(MEMBERS):
            while any(done[wait] < tickets[wait] for wait in member.waits):
                yield
            computed = 0
            for share in (*range(own, workers), *range(own)):
                first, end = share * tickets[launch] // workers, (share + 1) * tickets[launch] // workers
                while taken[launch][share] < end - first:
                    yield
                    ticket = first + taken[launch][share]
                    taken[launch][share] += 1
                    if ticket >= end:
                        break
                    finished.append((launch, ticket))
                    computed += 1
            yield
            done[launch] += computed

    running = [worker(own) for own in range(workers)]
    for _ in range(1000):
        if running and next(chosen := chance.choice(running), StopIteration) is StopIteration:
            running.remove(chosen)
    assert not running and sorted(finished) == [(i, k) for i, n in enumerate(tickets) for k in range(n)] and done == tickets
    assert joined.counters == APART * (1 + len(MEMBERS) + sum(map(len, taken)))


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


needs_cpu = pytest.mark.skipif(not traits().is_cpu, reason="a GPU's launches stay apart")


@pytest.fixture(scope="module")
def net() -> Forked:
    return loaded(True)


@pytest.fixture(scope="module")
def whole(net: Forked, queue: Any) -> Any:
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=True)
    assert run.launch_count == 1 and "one launch for all operations" in run.explain()
    return run


def check_run(run: Any, net: Forked, seed: int) -> None:
    x, z = (integers(np.random.default_rng(each), X.shape) for each in (seed, seed + 1000))
    run.poison()
    exactly(run(x, z), predicted(net, x, z)[0])


def test_a_gpu_says_why_launches_stay_apart() -> None:
    assert why_separate((), DeviceTraits.gpu()) == "only a CPU device lets its work-groups wait for one another"


def test_single_launches_training_and_filling_stay_apart() -> None:
    step = PlacedStep("conv", "", Plan((MEMBERS[0].call, MEMBERS[1].call)), {}, ("y",))
    assert why_separate((step,), DeviceTraits.cpu()) is None
    assert why_separate((replace(step, plan=Plan((MEMBERS[0].call,))),), DeviceTraits.cpu()) == "there is only one"
    assert why_separate((replace(step, writes=(0,)),), DeviceTraits.cpu()) == "the run changes parameters"
    assert why_separate((step, replace(step, plan=None)), DeviceTraits.cpu()) == "the run fills memory with zeros"


@needs_cpu
@pytest.mark.parametrize("groups", [1, 9, 64])
def test_fewer_and_more_groups_than_threads(groups: int, net: Forked, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that begin late find that others have done their share."""
    monkeypatch.setattr("clconv.runtime.persistent.join", lambda members, _, directory: join(members, groups, directory))
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=True)
    assert run.launch_count == 1
    for seed in range(5):
        check_run(run, net, seed)


@needs_cpu
def test_right_again_and_again(whole: Any, net: Forked) -> None:
    for seed in range(30):
        check_run(whole, net, seed)


@needs_cpu
@pytest.mark.parametrize("each", [1, 1000])
def test_right_with_runs_of_any_length(each: int, net: Forked, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clconv.codegen.persistent.TICKETS_EACH", each)
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=True)
    assert run.launch_count == 1
    for seed in range(5):
        check_run(run, net, seed)


@needs_cpu
def test_results_into_the_callers_memory_and_parameters_that_change(queue: Any) -> None:
    net = loaded(True)
    run, out = (
        clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=True),
        cla.zeros(queue, X.shape[:1] + (8, 8, 8), np.float32),
    )
    assert run.launch_count == 1
    exactly(run(X, Z, out=out), predicted(net)[0])
    net.left.weight.value = net.left.weight.value + 1
    for seed in range(3):
        check_run(run, net, seed)


def test_which_memory_is_surely_apart(queue: Any) -> None:
    """What it is for: results there may be written before all inputs are read."""
    one, other = (cla.zeros(queue, (64, 64), np.float32) for _ in range(2))
    assert are_apart([one], [other]) and are_apart([one[:32]], [one[32:]])
    assert not are_apart([one], [one]) and not are_apart([other, one[:33]], [one[32:]])
    half = cla.Array(queue, (32, 64), np.float32, data=other.base_data[8192:16384])
    assert not are_apart([other], [half]) and not are_apart([half], [one])


@needs_cpu
@pytest.mark.exhaustive
def test_results_where_inputs_lie(whole: Any, net: Forked, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One launch after the other then, in order."""
    in_turn: list[bool] = []
    run = Executor.run
    monkeypatch.setattr(Executor, "run", lambda *a, **k: (in_turn.append(k["in_turn"]), run(*a, **k))[1])
    both = cla.to_device(queue, np.concatenate([X, np.zeros((3, 8, 8, 8), np.float32)], 1))
    x, out = both[:, :4], cla.zeros(queue, (3, 8, 8, 8), np.float32)
    exactly(whole(x, Z, out=out), predicted(net)[0])
    whole(x, Z, out=both[:, 4:])
    np.testing.assert_array_equal(both.get()[:, 4:], predicted(net)[0])
    assert in_turn == [False, True]


@needs_cpu
@pytest.mark.exhaustive
def test_several_outputs(queue: Any) -> None:
    net = loaded(False)
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=True)
    assert run.launch_count == 1
    for got, wanted in zip(run(X, Z), predicted(net), strict=True):
        exactly(got, wanted)


@needs_cpu
def test_many_runs_on_their_way_at_once(whole: Any, net: Forked, queue: Any) -> None:
    """Enqueued without a wait, from several threads, and on a queue without an order."""
    runs = [whole, whole, clconv.compile(net, SHAPES, disordered(queue), algorithms=FORCED, persistent=True)]
    inputs = [(integers(RNG, X.shape), integers(RNG, X.shape)) for _ in range(8)]
    expected = [predicted(net, *pair)[0] for pair in inputs]
    assert [run.launch_count for run in runs] == [1, 1, 1]
    right: list[bool] = []

    def work(run: Any) -> None:
        for _ in range(3):
            given = [run(*pair) for pair in inputs]
            right.extend((result.get() == wanted).all() for result, wanted in zip(given, expected, strict=True))

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 3 * 3 * 8 and all(right)


@needs_cpu
def test_what_stays_apart_says_why(net: Forked, queue: Any) -> None:
    separate = clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=False)
    assert separate.launch_count > 5 and "launches one by one: persistent=False" in separate.explain()
    check_run(separate, net, 0)


@needs_cpu
def test_calls_into_opencl_that_fail(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a run they are raised and the next run is right; while all is made one, launches stay apart."""
    net = loaded(True)
    run, x, z = clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=True), send(queue, X), send(queue, Z)
    assert run.launch_count == 1
    for _ in each_fault(lambda: run(x, z), "argument launch"):
        run.poison()
        exactly(run(x, z), predicted(net)[0])
    init, fails = Persistent.__init__, iter(("buffer", "kernel", "argument"))

    def failing(self: Persistent, *arguments: Any) -> None:
        with injected(Faults(next(fails), 1)):
            init(self, *arguments)

    monkeypatch.setattr(Persistent, "__init__", failing)
    for _ in range(3):
        run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, persistent=True)
        assert run.launch_count > 5 and "one for all does not build" in run.explain()
        exactly(run(x, z), predicted(net)[0])


@needs_cpu
def test_nobody_waits_while_a_run_becomes_one_launch(net: Forked, whole: Any, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue may be held by what the caller does next."""
    monkeypatch.setattr(promotion, "OFTEN", 1)
    monkeypatch.setattr(promotion, "most_companions", lambda traits: 1)
    run, x, z = clconv.compile(net, SHAPES, queue, algorithms=FORCED), send(queue, X), send(queue, Z)
    run(x, z)  # uploads parameters
    held = cl.UserEvent(queue.context)
    timer = threading.Timer(20, held.set_status, [cl.command_execution_status.COMPLETE])
    timer.start()
    cl.enqueue_marker(queue, [held])
    begin = time.monotonic()
    given = [run(x, z) for _ in range(2)]
    assert run.launch_count == 1 and time.monotonic() - begin < 15
    timer.cancel()
    held.set_status(cl.command_execution_status.COMPLETE)
    for result in given:
        exactly(result, predicted(net)[0])


@needs_cpu
def test_edited_templates_that_go_away(net: Forked, queue: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernels of a run are those that it was compiled with; without the template of one for all, they stay apart."""
    monkeypatch.setattr(promotion, "OFTEN", 1)
    monkeypatch.setattr(promotion, "most_companions", lambda traits: 1)
    folder = tmp_path / "edited"
    folder.mkdir()
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, kernels=str(folder))
    folder.rmdir()
    for seed in range(3):
        check_run(run, net, seed)
    assert run.launch_count > 5 and "is not a directory" in run.explain()


@needs_cpu
@pytest.mark.exhaustive
def test_launches_that_use_local_memory(queue: Any) -> None:
    net, x = (
        nn.Sequential(one=nn.Conv2d(8, 8, 3, padding=1), two=nn.Conv2d(8, 8, 3, padding=1)),
        RNG.standard_normal((1, 8, 9, 9), np.float32),
    )
    separate, whole = (clconv.compile(net, x.shape, queue, algorithms={"*": "conv_winograd"}, persistent=each) for each in (False, True))
    assert whole.launch_count == 1
    np.testing.assert_array_equal(whole(x).get(), separate(x).get())


def planted(folder: Path, old: str, new: str) -> str:
    """A directory with the template in which `old` is replaced."""
    text = (importlib.resources.files("clconv.kernels") / "persistent.cl.mako").read_text()
    assert text.count(old) == 1
    (folder / "persistent.cl.mako").write_text(text.replace(old, new))
    return str(folder)


@needs_cpu
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("item_z = item / (items_x * items_y)", "item_z = 0"),
        (" + places[{place + 1}])", ")"),
        ("places, first + ticket)", "places, ticket)"),
    ],
)
def test_a_planted_mistake_is_caught(old: str, new: str, net: Forked, queue: Any, tmp_path: Path) -> None:
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, kernels=planted(tmp_path, old, new), persistent=True)
    assert run.launch_count == 1
    with pytest.raises(AssertionError):
        for seed in range(2):
            check_run(run, net, seed)


class Slow(nn.Module):
    """A convolution that takes long, and maxima that read all of it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(128, 96, 3, padding=1, bias=False)

    def forward(self, x: Any) -> Any:
        return F.amax(self.conv(x), dim=(1, 2, 3))


@needs_cpu
@pytest.mark.exhaustive
@pytest.mark.skipif(traits().compute_units < 2, reason="one thread has nobody to wait for")
@pytest.mark.parametrize("waits", [True, False])
def test_a_launch_waits_for_the_ones_before(waits: bool, queue: Any, tmp_path: Path) -> None:
    net, shape = Slow(), (1, 128, 32, 32)
    net.load_state_dict({"conv.weight": integers(RNG, (96, 128, 3, 3))})
    edited = None if waits else planted(tmp_path, "while (*awaited < table[waits[i] * LAUNCH_SIZE + LAUNCH_TICKETS]) {}", "")
    whole = clconv.compile(net, shape, queue, algorithms={"*": "direct"}, kernels=edited, persistent=True)
    apart = clconv.compile(net, shape, queue, algorithms={"*": "direct"}, persistent=False)
    assert whole.launch_count == 1
    rights = []
    for seed in range(20):
        x = integers(np.random.default_rng(seed), shape)
        whole.poison()
        rights.append(np.array_equal(whole(x).get(), apart(x).get()))
    assert all(rights) if waits else not all(rights)


@needs_cpu
def test_a_kernel_that_does_not_build_changes_nothing(net: Forked, queue: Any, tmp_path: Path) -> None:
    (tmp_path / "persistent.cl.mako").write_text("#error planted\n__kernel void persistent() {}\n")
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED, kernels=str(tmp_path), persistent=True)
    assert run.launch_count > 5 and "one for all does not build: kernel persistent" in run.explain()
    check_run(run, net, 0)


class Companion:
    """Stands in for the process that builds."""

    started: list[Companion] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.is_over = self.has_succeeded = False

    @classmethod
    def humbly(cls, *_: Any) -> Companion:
        cls.started.append(cls())
        return cls.started[-1]


@needs_cpu
@pytest.mark.parametrize("succeeds", [True, False])
def test_a_run_that_is_called_often_becomes_one_launch(
    succeeds: bool, net: Forked, whole: Any, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First nothing, then another process builds, then a call takes over what it has built."""
    monkeypatch.setattr(promotion, "OFTEN", 3)
    monkeypatch.setattr(promotion, "Companion", Companion)
    monkeypatch.setattr(promotion, "most_companions", lambda traits: 1)
    Companion.started.clear()
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED)
    assert "until 3 calls" in run.explain()
    with monkeypatch.context() as unknown:
        unknown.setattr(run._main.executor.promotion._programs, "has", lambda symbols: False)
        for seed in range(6):
            check_run(run, net, seed)
        assert run.launch_count > 5 and "while another process builds" in run.explain()
        (process,) = Companion.started
        process.is_over, process.has_succeeded = True, succeeds
        for seed in range(2):
            check_run(run, net, seed)
    assert (run.launch_count == 1) == succeeds and len(Companion.started) == 1
    assert ("one launch for all" if succeeds else "another process has failed") in run.explain()


@needs_cpu
def test_without_other_processes_it_must_be_asked_for(net: Forked, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "OFTEN", 1)
    monkeypatch.setenv("CLCONV_COMPANIONS", "0")
    run = clconv.compile(net, SHAPES, queue, algorithms=FORCED)
    for seed in range(3):
        check_run(run, net, seed)
    assert run.launch_count > 5 and "persistent=True builds it" in run.explain()


@needs_cpu
@pytest.mark.exhaustive
@pytest.mark.skipif(not most_companions(traits()), reason="the driver keeps no kernels of other processes")
def test_a_companion_really_builds_it(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "OFTEN", 1)
    net = models.lenet5()
    run, x = clconv.compile(net, (3, 1, 28, 28), queue), RNG.standard_normal((3, 1, 28, 28), np.float32)
    expected, deadline = run(x).get(), time.monotonic() + 120
    while run.launch_count > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
        np.testing.assert_array_equal(run(x).get(), expected)
    assert run.launch_count == 1, run.explain()
    np.testing.assert_array_equal(run(x).get(), expected)


@needs_cpu
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["lenet5", "alexnet", "googlenet", "inception_v3", "resnet18", "resnet50", "unet", "dcgan_generator"])
def test_whole_networks_give_the_same_bits(name: str, queue: Any) -> None:
    net = getattr(models, name)()
    shape = {"lenet5": (5, 1, 28, 28), "unet": (1, 1, 64, 64), "dcgan_generator": (2, 100, 1, 1)}.get(name, (2, 3, 224, 224))
    x = RNG.standard_normal(shape, np.float32)
    separate, whole = (clconv.compile(net, shape, queue, persistent=each) for each in (False, True))
    assert whole.launch_count == 1, whole.explain()
    for _ in range(5):
        whole.poison()
        for got, wanted in zip(results(whole(x)), results(separate(x)), strict=True):
            np.testing.assert_array_equal(got.get(), wanted.get())
