"""A run that took what was built gets what is better, when it is called often and another process has built that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn, reference
from clconv.codegen.plan import KernelCall, KernelSource, Plan
from clconv.errors import DeviceError, TemplateError
from clconv.functional import eager
from clconv.geometry import ConvGeometry
from clconv.graph import run as running
from clconv.runtime import improvement as module
from clconv.runtime.companion import Companion
from clconv.runtime.improvement import REUSED, Improvement
from clconv.runtime.placed import PlacedStep
from clconv.runtime.programs import statistics
from tests.support import integers, traits

USED, BETTER = KernelSource("gemm", "used"), KernelSource("gemm", "better")


class Programs:
    def __init__(self, *built: str) -> None:
        self.built = set(built)

    def has(self, symbols: list[str]) -> bool:
        return self.built.issuperset(symbols)

    def kernels(self, kernels: list[Kernel]) -> None:
        self.built.update(kernel.symbol for kernel in kernels)


class Helper:
    """Stands in for the other process."""

    is_over = has_succeeded = False


class Kernel:
    arguments = ()

    def __init__(self, source: KernelSource) -> None:
        self.symbol = source.entry


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What other processes were asked to build; the first is refused, as one is at work."""
    asked: list[list[str]] = []

    def humbly(_: Any, kernels: list[Kernel], rehearsals: list[Any]) -> Helper | None:
        assert len(kernels) == len(rehearsals)
        asked.append([kernel.symbol for kernel in kernels])
        return None if len(asked) == 1 else Helper()

    monkeypatch.setattr(module.Companion, "humbly", humbly)
    monkeypatch.setattr(module, "rendered_text", lambda source, directory: Kernel(source))
    monkeypatch.setattr(module, "OFTEN", 3)
    return asked


def improvement(*sources: KernelSource, built: tuple[str, ...]) -> Improvement:
    steps = [PlacedStep("conv", "", Plan(tuple(KernelCall(source, (1, 1, 1), ()) for source in sources)), {}, ("y",))]
    planned: list[object] = []

    def ideal() -> list[PlacedStep]:
        assert not planned, "planned once, however long another process is at work"
        planned.append(None)
        return steps

    return Improvement(ideal, [USED], Programs(*built), traits(), None)  # type: ignore[arg-type]


def test_nothing_is_done_for_few_calls_or_for_what_is_best_already(helpers: list[list[str]]) -> None:
    best = improvement(USED, built=("used",))
    assert "as does another process after" in best.note
    assert not any(best.is_due() for _ in range(10)) and best.note == "" and not helpers


def test_a_better_choice_whose_kernels_are_built_is_due_once(helpers: list[list[str]]) -> None:
    better = improvement(USED, BETTER, built=("used", "better"))
    assert [better.is_due() for _ in range(5)] == [False, False, True, False, False] and not helpers


@pytest.mark.parametrize("succeeds", [True, False])
def test_what_is_missing_is_built_by_another_process(succeeds: bool, helpers: list[list[str]]) -> None:
    missing = improvement(USED, BETTER, BETTER, built=("used",))
    assert not any(missing.is_due() for _ in range(3)) and helpers == [["better"]], "one is at work"
    assert "as does another" in missing.note
    assert not any(missing.is_due() for _ in range(3)) and helpers == [["better"]] * 2
    assert missing.note == f"{REUSED}, which another process does now"
    helper, programs = missing._companion, missing._programs
    assert helper is not None and not programs.has(["better"])
    helper.is_over, helper.has_succeeded = True, succeeds
    assert [missing.is_due() for _ in range(3)] == [succeeds, False, False]
    assert missing.note == ("" if succeeds else f"{REUSED}: another process has failed to")
    assert programs.has(["better"]) == succeeds, "as one list, as the other process built it"


def test_what_takes_much_memory_is_left_to_the_caller(helpers: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", -1)
    large = improvement(USED, BETTER, built=("used",))
    assert not any(large.is_due() for _ in range(5)) and not helpers
    assert large.note.startswith(f"{REUSED}: another process would need more than")


def test_what_cannot_be_rendered_is_noted(helpers: list[list[str]]) -> None:
    def ideal() -> list[PlacedStep]:
        raise TemplateError("template gone\nat line 3")

    broken = Improvement(ideal, [], Programs(), traits(), None)  # type: ignore[arg-type]
    assert not any(broken.is_due() for _ in range(5)) and broken.note == f"{REUSED}: template gone"


def test_one_other_process_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Companion, "latest", None)
    monkeypatch.setattr(Companion, "__init__", lambda self, *_, humble: setattr(self, "is_over", not humble))
    first = Companion.humbly(traits(), [], [])
    assert first is not None and Companion.humbly(traits(), [], []) is None
    first.is_over = True
    second = Companion.humbly(traits(), [], [])
    assert second is not None and second is not first


def result(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return reference.conv(x, w, None, ConvGeometry.make((3, 3), padding=1))


@pytest.fixture
def compromise(queue: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whatever is compiled with what is built gets conv_direct at first. What another process was asked to build, which it has at once."""
    asked: list[Any] = []

    def humbly(traits: Any, kernels: list[Any], rehearsals: list[Any]) -> Helper:
        asked.append([kernel.symbol for kernel in kernels])
        assert all(rehearsal.nbytes > 0 for rehearsal in rehearsals)
        helper = Helper()
        helper.is_over = helper.has_succeeded = True
        return helper

    monkeypatch.setattr(running, "most_companions", lambda traits: 1)
    monkeypatch.setattr(module, "OFTEN", 2)
    monkeypatch.setattr(Companion, "humbly", humbly)
    monkeypatch.setattr("clconv.graph.reuse.Ready._is_ready", lambda self, candidate, asked: candidate.algorithm.name == "conv_direct")
    eager.forget()
    yield asked
    eager.forget()


def whole_numbers() -> nn.Conv2d:
    """A layer whose straight sums are exact, before and after."""
    net = nn.Conv2d(32, 64, 3, padding=1, bias=False)
    net.weight.value = integers(np.random.default_rng(3), (64, 32, 3, 3))
    return net


needs_blocks = pytest.mark.skipif(not traits().is_cpu or traits().simd_width < 4, reason="conv_direct is the best choice here")


@needs_blocks
def test_an_eager_call_changes_over(queue: Any, compromise: list[Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = integers(rng, (1, 32, 12, 13)), integers(rng, (64, 32, 3, 3))
    arrays = [cla.to_device(queue, each) for each in (x, w)]
    F.conv2d(*arrays, padding=1, strict=True)
    run = eager.last_run()
    assert "conv_direct(" in run.explain() and REUSED in run.explain()
    built = statistics.kernels_built
    for _ in range(4):
        np.testing.assert_array_equal(F.conv2d(*arrays, padding=1, strict=True).get(), result(x, w))
    assert "conv_direct(" not in run.explain() and REUSED not in run.explain()
    assert statistics.kernels_built - built == sum(map(len, compromise)), "what the other process was asked for, and nothing else"
    turned = arrays[0].transpose((0, 1, 3, 2))
    before = statistics.kernels_built
    np.testing.assert_array_equal(F.conv2d(turned, arrays[1], padding=1, strict=True).get(), result(x.transpose(0, 1, 3, 2), w))
    assert run.options.reuse and statistics.kernels_built - before <= 1, "another view still starts with what is built"


@needs_blocks
def test_a_network_of_another_size_changes_over(queue: Any, compromise: list[Any]) -> None:
    net = whole_numbers()
    x = integers(np.random.default_rng(1), (2, 32, 12, 13))
    clconv.compile(net, (1, 32, 12, 13), queue, strict=True)
    run = clconv.compile(net, x.shape, queue, strict=True)
    assert "conv_direct(" in run.explain() and run.options.reuse
    for _ in range(5):
        np.testing.assert_array_equal(run(x).get(), result(x, net.weight.value))
    assert "conv_direct(" not in run.explain()


@needs_blocks
def test_what_goes_wrong_meanwhile_leaves_the_run_as_it_is(queue: Any, compromise: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    net = whole_numbers()
    x = integers(np.random.default_rng(2), (1, 32, 12, 13))
    run = clconv.compile(net, x.shape, queue, reuse=True, strict=True)

    def fails(*_: Any) -> None:
        raise DeviceError("no memory\nat all")

    monkeypatch.setattr("clconv.graph.run.Executor", fails)
    for _ in range(6):
        np.testing.assert_array_equal(run(x).get(), result(x, net.weight.value))
    assert f"{REUSED}: no memory" in run.explain() and "conv_direct(" in run.explain() and run.launch_count > 0


def test_where_runs_stay_as_they_began(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they change parameters, where they are one launch from the start, and where no other process may help."""

    class Unbuilt:
        promotion = None

        def __init__(self, *_: Any) -> None:
            pass

    monkeypatch.setattr("clconv.graph.run.Executor", Unbuilt)

    def hopes(training: bool = False, **options: Any) -> bool:
        return clconv.compile(nn.BatchNorm2d(3), (2, 3, 4, 4), queue, training, **{"reuse": True, **options})._improvement is not None

    monkeypatch.setattr(running, "most_companions", lambda traits: 1)
    assert hopes() and hopes(persistent=False)
    assert not hopes(training=True) and not hopes(persistent=True) and not hopes(reuse=False)
    monkeypatch.setattr(running, "most_companions", lambda traits: 0)
    assert not hopes()
