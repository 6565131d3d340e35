"""The processes that compile beside this one: each takes its share, and its failure costs nothing but time."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from typing import Any

import pytest

from clconv.codegen.render import RenderedKernel, render
from clconv.device import DeviceTraits
from clconv.graph.assembly import Assembly, Options
from clconv.nn import models
from clconv.runtime import companion as module
from clconv.runtime.companion import Companion, Rehearsal, most_companions, shares
from clconv.runtime.context import traits_of
from clconv.tensor import PLAIN


def kernels(*lengths: int) -> list[RenderedKernel]:
    return [RenderedKernel(f"k{i}", "x" * length, (), None) for i, length in enumerate(lengths)]  # type: ignore[arg-type]


def jobs(traits: DeviceTraits) -> tuple[list[RenderedKernel], list[Rehearsal]]:
    """What LeNet-5 needs, with a first launch of each."""
    assembly = Assembly(models.lenet5().trace((1, 1, 28, 28)), traits, Options(tuned=False), (PLAIN,), (PLAIN,))
    found: dict[str, RenderedKernel] = {}
    rehearsals = []
    for step in assembly.placed():
        for call in step.plan.calls if step.plan else ():
            text = render(call.source)
            if text.symbol not in found:
                found[text.symbol] = text
                rehearsals.append(Rehearsal.of(text, call, {name: place.nbytes for name, place in step.operands.items()}))
    return list(found.values()), rehearsals


def test_shares_are_of_about_as_much_text_in_order() -> None:
    ones = kernels(*[1] * 12)
    assert [len(share) for share in shares(ones, 1)] == [6, 6]
    assert [kernel for share in shares(ones, 1) for kernel in share] == ones
    assert [len(share) for share in shares(kernels(*[1] * 11, 11), 1)] == [11, 1]
    assert [len(share) for share in shares(kernels(*[1] * 24), 3)] == [6, 6, 6, 6]


def test_few_kernels_are_not_shared() -> None:
    few = kernels(*[1] * (2 * module.FEWEST_KERNELS - 1))
    assert shares(few, 3) == [few]
    assert len(shares(kernels(*[1] * 2 * module.FEWEST_KERNELS), 3)) == 2
    assert shares(kernels(*[1] * 100), 0) == [kernels(*[1] * 100)]
    assert shares([], 3) == [[]]


def test_only_drivers_that_share_a_cache_get_companions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLCONV_COMPANIONS", raising=False)
    monkeypatch.setenv("CLCONV_CACHE_DIR", "/somewhere")
    traits = DeviceTraits(is_cpu=True, compute_units=16, has_own_kernel_cache=True)
    assert most_companions(traits) == module.MOST_COMPANIONS
    assert most_companions(DeviceTraits(is_cpu=True, compute_units=2, has_own_kernel_cache=True)) == 1
    assert most_companions(DeviceTraits(is_cpu=True, compute_units=16)) == 0
    for name, value, expected in (("CLCONV_COMPANIONS", "0", 0), ("POCL_KERNEL_CACHE", "0", 0), ("CLCONV_CACHE_DIR", "", 0)):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert most_companions(traits) == expected


def test_one_builds_and_launches_everything(queue: Any, caplog: pytest.LogCaptureFixture) -> None:
    """In a process of its own, on memory of its own: it ends well only if every launch did."""
    built, rehearsals = jobs(traits_of(queue.device))
    assert len(rehearsals) == len(built) > 4 and all(r.nbytes for r in rehearsals)
    with caplog.at_level(logging.DEBUG, module.__name__):
        Companion(traits_of(queue.device), built, rehearsals).meet()
        end = time.monotonic() + 120
        while not caplog.messages and time.monotonic() < end:
            time.sleep(0.05)
    assert caplog.messages == ["companion: ended with code 0"]


@pytest.mark.parametrize("what", ["no such program", "a program that cannot import this library"])
def test_one_that_fails_is_not_waited_for(what: str, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "no such program":
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
    else:
        popen = subprocess.Popen

        def failing(command: list[str], **more: Any) -> Any:
            return popen([command[0], "-c", "raise SystemExit(1)"], **more)

        monkeypatch.setattr(subprocess, "Popen", failing)
    begin = time.monotonic()
    Companion(traits_of(queue.device), [], []).meet()
    assert time.monotonic() - begin < module.PATIENCE / 2
