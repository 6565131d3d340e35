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
from clconv.errors import TemplateError
from clconv.functional import eager
from clconv.geometry import ConvGeometry
from clconv.graph import improvement as module
from clconv.graph.compile import Run
from clconv.graph.improvement import REUSED, Improvement
from clconv.runtime.companion import Companion
from clconv.runtime.context import traits_of
from clconv.runtime.placed import PlacedStep
from tests.support import integers, traits

USED, BETTER = KernelSource("gemm", "used"), KernelSource("gemm", "better")


class Programs:
    def __init__(self, *built: str) -> None:
        self.built = set(built)

    def has(self, symbols: list[str]) -> bool:
        return self.built.issuperset(symbols)


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
    return Improvement(lambda: steps, [USED], Programs(*built), traits(), None)  # type: ignore[arg-type]


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
    assert missing._companion is not None
    missing._companion.is_over, missing._companion.has_succeeded = True, succeeds
    assert [missing.is_due() for _ in range(3)] == [succeeds, False, False]
    assert succeeds or missing.note == f"{REUSED}: another process has failed to"


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


def test_an_eager_call_and_a_run_of_another_size_change_over(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another process at hand: the moment it says that it has built."""
    monkeypatch.setattr(module, "most_companions", lambda traits: 1)
    monkeypatch.setattr(module, "OFTEN", 2)
    monkeypatch.setattr(Improvement, "is_due", lambda self: (setattr(self, "_calls", self._calls + 1), self._calls == 3)[1])
    monkeypatch.setattr("clconv.graph.reuse.Ready._is_ready", lambda self, candidate, asked: candidate.algorithm.name == "conv_direct")
    rng = np.random.default_rng(0)
    x, w = integers(rng, (1, 5, 6, 7)), integers(rng, (6, 5, 3, 3))
    arrays = [cla.to_device(queue, each) for each in (x, w)]
    eager.forget()
    for _ in range(2):
        np.testing.assert_array_equal(F.conv2d(*arrays, padding=1).get(), result(x, w))
    (run,) = eager._remembered.values()
    assert "conv_direct(" in run.explain() and REUSED in run.explain()
    for _ in range(3):
        np.testing.assert_allclose(F.conv2d(*arrays, padding=1).get(), result(x, w), atol=1e-3)
    assert REUSED not in run.explain() and not run.options.reuse
    eager.forget()


def test_what_goes_wrong_meanwhile_leaves_the_run_as_it_is(queue: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    net = nn.Conv2d(2, 3, 1)
    run = clconv.compile(net, (1, 2, 4, 4), queue, reuse=True)
    x = np.ones((1, 2, 4, 4), np.float32)
    wanted = run(x).get()

    class Due:
        note = REUSED

        def is_due(self) -> bool:
            return True

    def fails(self: Run, tuned: bool) -> int:
        raise TemplateError("planted")

    monkeypatch.setattr(run, "_improvement", Due())
    monkeypatch.setattr(Run, "_choose_again", fails)
    np.testing.assert_array_equal(run(x).get(), wanted)
    assert "planted" in caplog.text


def test_where_runs_stay_as_they_began(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "most_companions", lambda traits: 1)
    norm = nn.BatchNorm2d(3)
    assert clconv.compile(norm, (2, 3, 4, 4), queue, training=True, reuse=True)._improvement is None
    assert clconv.compile(norm, (2, 3, 4, 4), queue, reuse=True)._improvement is not None
    assert clconv.compile(norm, (2, 3, 4, 4), queue, reuse=False)._improvement is None
    assert clconv.compile(norm, (2, 3, 4, 4), queue, reuse=True, persistent=True)._improvement is None
    monkeypatch.setattr(module, "most_companions", lambda traits: 0)
    assert clconv.compile(norm, (2, 3, 4, 4), queue, reuse=True)._improvement is None
    assert traits_of(queue.device) == traits()
