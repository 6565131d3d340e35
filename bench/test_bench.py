"""The suites of `clconv bench` under pytest-benchmark: `pytest bench`. Results of single problems are checked before they are timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clconv.algorithms import applicable
from clconv.bench.check import error_share, random_operands
from clconv.bench.compiled import Compiled, algorithms
from clconv.bench.layers import Layer, of_network
from clconv.bench.networks import Inference, named
from clconv.bench.problems import prepare
from clconv.bench.training import Step, job_of
from clconv.problem import parse
from clconv.runtime.context import default_queue, find_device, traits_of

PROBLEMS = {
    "first layer of ResNet": "conv n1c3i224x224k64f7x7s2p3",
    "3x3 of ResNet": "conv n1c64i56x56k64f3x3p1+bias+relu",
    "1x1 of ResNet-50": "conv n1c256i14x14k1024f1x1",
    "3x3 on 7x7": "conv n1c512i7x7k512f3x3p1",
    "depthwise": "conv n1c128i56x56k128f3x3p1g128",
    "3x3, data gradient": "conv n4c64i28x28k64f3x3p1:bwd_d",
    "3x3, weight gradient": "conv n4c64i28x28k64f3x3p1:bwd_w",
    "transposed of DCGAN": "deconv n1c256i8x8k128f4x4s2p1",
    "transposed of U-Net": "deconv n1c128i64x64k64f2x2s2",
    "dilated 3x3": "conv n1c256i28x28k256f3x3p2d2",
    "one channel": "conv n1c1i224x224k64f3x3p1",
    "4096 channels, one pixel": "conv n1c4096i1x1k1000f1x1",
    "prime sizes": "conv n1c61i53x53k67f3x3p1",
    "max-pooling of ResNet": "maxpool n1c64i112x112f3x3s2p1",
    "mean pooling": "avgpool n1c64i56x56f2x2",
}


def cases() -> list[Any]:
    traits = traits_of(find_device())
    return [
        pytest.param(text, algorithm, id=f"{name}, {algorithm.name}")
        for name, text in PROBLEMS.items()
        for algorithm in applicable(parse(text), traits)
    ]


@pytest.mark.parametrize("text, algorithm", cases())
def test_problem(benchmark: Any, text: str, algorithm: Any) -> None:
    problem, queue = parse(text), default_queue()
    operands = random_operands(problem)
    prepared = prepare(problem, algorithm, queue, operands)
    factor = algorithm.error_factor(prepared.problem, prepared.params)
    assert error_share(problem, operands, prepared.results(), factor) <= 1
    note(benchmark, problem=text, multiply_adds=problem.multiply_adds)
    benchmark.pedantic(prepared.run, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("layer", of_network("resnet50"), ids=lambda layer: str(layer.problem).replace(" ", "_"))
def test_layer(benchmark: Any, layer: Layer) -> None:
    """The distinct layers of ResNet-50, each compiled by itself: plain arrays in and out."""
    queue, problem = default_queue(), layer.problem
    compiled = Compiled(problem, queue, random_operands(problem))
    compiled()
    note(benchmark, problem=str(problem), count=layer.count, multiply_adds=problem.multiply_adds, algorithms=algorithms(compiled.run))
    benchmark.pedantic(compiled, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("name, batch", [("lenet5", 1), ("lenet5", 64), ("resnet18", 1), ("resnet50", 1), ("googlenet", 1), ("alexnet", 1)])
def test_network(benchmark: Any, name: str, batch: int) -> None:
    """Inference from an array on the device to a NumPy array."""
    subject = named(name, batch)
    inference = Inference(subject, default_queue())
    inference()
    assert np.isfinite(inference.latest[0]).all()
    note(benchmark, network=name, shapes=subject.shapes, launches=inference.run.launch_count)
    benchmark.pedantic(inference, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("name, batch", [("lenet5", 64), ("resnet18", 4)])
def test_training_step(benchmark: Any, name: str, batch: int) -> None:
    """Forward pass, loss, gradients and SGD with momentum."""
    step = Step(job_of(named(name, batch, enliven=False)), default_queue())
    step()
    assert np.isfinite(step.loss.get()).all()
    note(benchmark, network=name, batch=batch, launches=step.run.launch_count)
    benchmark.pedantic(step, rounds=15, warmup_rounds=2)


def note(benchmark: Any, **what: Any) -> None:
    """What the report of pytest-benchmark says besides times."""
    traits = traits_of(default_queue().device)
    benchmark.extra_info.update(device=traits.label, driver=traits.driver, **what)
