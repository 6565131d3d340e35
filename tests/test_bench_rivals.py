"""The rivals themselves: they compute what we do, forward, backward and in training. They fail where the extra `peers` is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clconv.bench.check import random_operands
from clconv.bench.compiled import Compiled
from clconv.bench.contest import Settings, difference
from clconv.bench.networks import Subject, bench_inference, from_model, named
from clconv.bench.problems import bench_problem
from clconv.bench.rivals import RIVALS, InferenceJob, ProblemJob, module_of, opponent
from clconv.bench.training import bench_training
from clconv.errors import UnsupportedError
from clconv.nn import models
from clconv.problem import parse

pytestmark = pytest.mark.peers

CLOSE = 2e-6
FORWARD = [
    "conv n2c3i9x8k4f3x3p1+bias+relu",
    "conv n1c6i9x8k6f3x2s2x1p1,0x0,1d1x2g3+bias+leaky_relu(0.25)+res",
    "conv n1c4i9k6f3p1",
    "conv n1c2i4x5x6k3f2x3x3p0x1x1",
    "conv n1c6i9x8k6f3x3p1g6",
    "deconv n1c3i5x5k4f4x4s2p1+bias+relu",
    "deconv n1c3i5x5k4f3x3s2p1o1",
    "deconv n1c4i5x5k6f3x3s2p1,0g2",
    "conv n2c3i9x8k4f3x3p1:bwd_d",
    "maxpool n2c3i9x8f3x3s2p1",
    "maxpool n2c3i9x8f3x3s2p0,1",
    "maxpool n1c3i9x8f2x2s2d2",
    "avgpool n2c3i9x8f3x3s2p1",
    "avgpool n2c3i9x8f3x3s2p1:nopad",
    "avgpool n2c3i10x10f3x3s2:ceil",
    "conv n2c3i9x8k4f3x3p1+bias+hardswish",
    "conv n2c3i9x8k4f3x3p1+silu+res",
    "conv n2c3i9x8k4f3x3p1+bias+clip(0.0,6.0)",
]
BACKWARD = [
    "conv n2c3i9x8k4f3x3p1,0:bwd_d",
    "conv n2c4i9x8k6f3x3s2p1g2:bwd_w",
    "deconv n1c3i5x5k4f4x4s2p1:bwd_d",
    "deconv n1c3i5x5k4f4x4s2p1:bwd_w",
    "maxpool n2c3i9x8f3x3s2p1:bwd_d",
    "maxpool n2c3i9x8f3x3s2p0,1:bwd_d",
    "avgpool n2c3i9x8f3x3s2p1:bwd_d",
]


def some(cases: list[Any], every: int) -> list[object]:
    """Each `every`-th case; the others, each with kernels of its own, belong to the exhaustive run."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.exhaustive if i % every else ())
            for i, case in enumerate(cases)]  # fmt: skip


def rival_result(name: str, text: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(ours, theirs) of the problem that `text` describes."""
    from clconv.runtime.context import default_queue

    problem = parse(text)
    operands = random_operands(problem)
    rival = opponent(name, ProblemJob(problem, operands), 2)
    rival.run()
    ours = Compiled(problem, default_queue(), operands)
    ours()
    return ours.results(), list(rival.results())


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("text", some(FORWARD, 5))
def test_a_layer_is_the_same_for_everybody(name: str, text: str) -> None:
    ours, theirs = rival_result(name, text)
    assert [a.shape for a in ours] == [a.shape for a in theirs]
    assert difference(ours, theirs) < CLOSE


@pytest.mark.parametrize("text", some(BACKWARD, 4))
def test_gradients_are_those_of_torch(text: str) -> None:
    ours, theirs = rival_result("torch", text)
    assert difference(ours, theirs) < CLOSE


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("text", ["conv n2c4i9x8k6f3x3s2p1g2:bwd_w", "maxpool n2c3i9x8f3x3s2p1:bwd_d", "conv n1c3i8x8k4f3x3:f16"])
def test_what_onnx_has_no_node_for_is_refused(name: str, text: str) -> None:
    with pytest.raises(UnsupportedError, match="no node for|in float32 only"):
        opponent(name, ProblemJob(parse(text), random_operands(parse(text))), 2)


@pytest.mark.parametrize("text, like", [("conv n1c8i12x12k8f3x3p1", "compiled"), ("maxpool n1c8i12x12f2x2", "compiled")])
def test_a_row_has_every_rival_with_version_and_ratio(text: str, like: str, queue) -> None:
    rows = bench_problem(parse(text), queue, None, Settings(against=RIVALS))
    assert rows[-1].algorithm == like and [rival.name for rival in rows[-1].rivals] == list(RIVALS)
    for rival in rows[-1].rivals:
        assert not rival.reason and rival.version and "2 threads" in rival.settings.replace(f"{rows[-1].threads} threads", "2 threads")
        assert rival.error is not None and rival.error < CLOSE and (rows[-1].ratio(rival) or 0) > 0


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("model, size", some([("lenet5", None), ("unet", 32), ("dcgan_generator", None), ("dilated_context", 16)], 4))
def test_a_network_is_the_same_for_everybody(name: str, model: str, size: int | None, queue) -> None:
    import clconv

    subject = named(model, 2, size)
    rival = opponent(name, InferenceJob(subject.network, subject.inputs()), 2)
    rival.run()
    ours = clconv.compile(subject.network, subject.shapes, queue)(*subject.inputs().values()).get()
    assert np.abs(ours).max() > 0.01
    assert difference([ours], list(rival.results())) < 20 * CLOSE


def test_a_network_in_a_row_with_all_rivals_and_the_reference(queue) -> None:
    row = bench_inference(named("lenet5", 3), queue, Settings(against=RIVALS, check=True, cold=True))
    assert row.error is not None and row.error <= 1 and not row.wrong and all(rival.median_ms for rival in row.rivals)


def test_a_files_batch_is_changed_for_everybody(queue) -> None:
    import clconv
    from clconv.onnx import to_model

    subject = from_model("lenet5", to_model(models.lenet5(), (1, 1, 28, 28)), batch=3)
    rival = opponent("onnxruntime", InferenceJob(subject.network, subject.inputs(), subject.model), 2)
    rival.run()
    ours = clconv.compile(subject.network, subject.shapes, queue)(*subject.inputs().values()).get()
    assert ours.shape == (3, 10) and difference([ours], list(rival.results())) < CLOSE


@pytest.mark.parametrize("model, size", some([("lenet5", None), ("resnet18", 32)], 2))
def test_a_training_step_changes_weights_as_torchs_does(model: str, size: int | None, queue) -> None:
    row = bench_training(named(model, 4, size, enliven=False), queue, Settings(against=("torch",)))
    (rival,) = row.rivals
    assert row.suite == "training" and rival.error is not None and rival.error < 1e-3 and not row.wrong


def test_a_step_with_dropout_is_compared_without_it(queue) -> None:
    from clconv.nn.activation import Dropout
    from clconv.nn.containers import Sequential
    from clconv.nn.linear import Flatten, Linear

    net = Sequential(Flatten(), Linear(48, 32), Dropout(0.5), Linear(32, 5))
    row = bench_training(Subject("toy", net, {net.input_names()[0]: (4, 3, 4, 4)}), queue, Settings(against=("torch",)))
    assert row.rivals[0].error is not None and row.rivals[0].error < 1e-5


def test_only_torch_trains() -> None:
    assert not hasattr(module_of("onnxruntime"), "training") and hasattr(module_of("torch"), "training")
