"""Another batch or image size of a network that is compiled already: nothing is built before its first answer, and that is right."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import clconv
from clconv.codegen.plan import KernelSource
from clconv.device import DeviceTraits
from clconv.graph.assembly import Assembly, Options
from clconv.graph.reuse import Ready
from clconv.nn import models
from clconv.runtime.programs import statistics
from clconv.tensor import PLAIN

BATCHES = (2, 3, 8)
SIZES = (192, 256)


@functools.cache
def network(name: str) -> clconv.nn.Module:
    return getattr(models, name)()


def shape_of(name: str, batch: int = 1, size: int = 224) -> tuple[int, ...]:
    return (batch, 1, 28, 28) if name == "lenet5" else (batch, 3, size, size)


def others(name: str) -> list[tuple[int, ...]]:
    """Other batches, and other image sizes where the network's classifier takes them."""
    sizes = SIZES if name in ("resnet50", "googlenet") else ()
    return [shape_of(name, batch) for batch in BATCHES] + [shape_of(name, 1, size) for size in sizes]


def assembled(name: str, shape: tuple[int, ...], traits: DeviceTraits, built: set[KernelSource] | None = None) -> Assembly:
    ready = None if built is None else Ready(traits, built.__contains__)
    return Assembly(network(name).trace(shape), traits, Options(tuned=False, reuse=ready is not None), (PLAIN,), (PLAIN,), ready)


def kernels(assembly: Assembly) -> set[KernelSource]:
    return {call.source for plan in assembly.plans.values() for call in plan.calls}


@pytest.mark.parametrize(
    "name, width", [("resnet50", 8), ("resnet50", 16), ("googlenet", 8), ("alexnet", 16), ("lenet5", 8), ("lenet5", 16)]
)
def test_no_kernel_is_needed_but_those_of_the_first_size(name: str, width: int) -> None:
    """By plans alone. They are chosen among what there is, not slower by far than the best by estimate."""
    traits = DeviceTraits.cpu(width)
    built = kernels(assembled(name, shape_of(name), traits))
    for shape in others(name):
        free, reused = assembled(name, shape, traits), assembled(name, shape, traits, built)
        assert kernels(reused) <= built, shape
        seconds = [sum(step.choice.seconds for step in a.steps if not step.prepared) for a in (free, reused)]
        assert seconds[1] <= 1.25 * seconds[0], shape


def test_another_batch_builds_nothing(queue: Any) -> None:
    """The same answers for the same pictures; compiled for a size once more, a network gets what is best for it."""
    net = models.lenet5()
    x = np.random.default_rng(0).standard_normal((8, 1, 28, 28), np.float32)
    first = clconv.compile(net, (1, 1, 28, 28), queue)
    assert not first.options.reuse
    wanted = np.concatenate([first(x[i : i + 1]).get() for i in range(8)])
    for batch in BATCHES:
        before = statistics.kernels_built
        run = clconv.compile(net, (batch, 1, 28, 28), queue)
        got = run(x[:batch]).get()
        assert statistics.kernels_built == before
        np.testing.assert_allclose(got, wanted[:batch], rtol=1e-4, atol=1e-5)
        assert "retune" in run.explain()
    assert not clconv.compile(net, (1, 1, 28, 28), queue).options.reuse
    assert not clconv.compile(net, (4, 1, 28, 28), queue, reuse=False).options.reuse
    assert not clconv.compile(models.lenet5(), (2, 1, 28, 28), queue).options.reuse, "another network"
    assert not clconv.compile(net, (2, 1, 28, 28), queue, training=True).options.reuse, "the first in training mode"


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["resnet50", "googlenet", "alexnet"])
def test_another_size_of_a_large_network_builds_nothing_and_is_right(name: str, queue: Any) -> None:
    """Right: as straight sums in the same network give, compiled by itself for that size."""
    net = getattr(models, name)(num_classes=10)
    clconv.compile(net, shape_of(name), queue)(np.zeros(shape_of(name), np.float32))
    for shape in others(name):
        x = np.random.default_rng(1).standard_normal(shape, np.float32)
        before = statistics.kernels_built
        got = clconv.compile(net, shape, queue)(x).get()
        assert statistics.kernels_built == before, shape
        wanted = clconv.compile(net, shape, queue, reuse=False, strict=True)(x).get()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-3 * np.abs(wanted).max())
