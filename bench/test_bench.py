"""First rows under pytest-benchmark: `pytest bench`. Every result is checked against the reference before it is timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clconv.algorithms import applicable
from clconv.bench.check import error_share, random_operands
from clconv.bench.networks import build, input_shape
from clconv.bench.problems import prepare
from clconv.graph.compile import compile
from clconv.problem import parse
from clconv.runtime import arrays
from clconv.runtime.context import default_queue, find_device, traits_of
from clconv.tensor import TensorSpec

PROBLEMS = {
    "first layer of ResNet": "conv n1c3i224x224k64f7x7s2p3",
    "3x3 of ResNet": "conv n1c64i56x56k64f3x3p1+bias+relu",
    "1x1 of ResNet-50": "conv n1c256i14x14k1024f1x1",
    "3x3 on 7x7": "conv n1c512i7x7k512f3x3p1",
    "depthwise": "conv n1c128i56x56k128f3x3p1g128",
    "3x3, data gradient": "conv n4c64i28x28k64f3x3p1:bwd_d",
    "3x3, weight gradient": "conv n4c64i28x28k64f3x3p1:bwd_w",
    "transposed of DCGAN": "deconv n1c256i8x8k128f4x4s2p1",
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
    assert error_share(problem, operands, prepared.results()) <= 1
    traits = traits_of(queue.device)
    benchmark.extra_info.update(problem=text, multiply_adds=problem.multiply_adds, device=traits.label, driver=traits.driver)
    benchmark.pedantic(prepared.run, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("name, batch", [("lenet5", 1), ("lenet5", 64), ("resnet18", 1)])
def test_network(benchmark: Any, name: str, batch: int) -> None:
    queue, shape = default_queue(), input_shape(name, batch)
    run = compile(build(name), shape, queue)
    images = arrays.to_device(np.random.default_rng(0).standard_normal(shape, np.float32), TensorSpec(shape), queue, "images")
    assert np.isfinite(run(images).get()).all()

    def once() -> None:
        run(images)
        queue.finish()

    traits = traits_of(queue.device)
    benchmark.extra_info.update(network=name, shape=shape, launches=run.launch_count, device=traits.label, driver=traits.driver)
    benchmark.pedantic(once, rounds=15, warmup_rounds=2)
