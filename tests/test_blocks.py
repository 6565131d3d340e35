"""A residual block and an Inception block, compiled: right, with the launches they should need, joined layers and free concatenation."""

from __future__ import annotations

import numpy as np
import pytest

import clconv
import clconv.functional as F
from clconv.graph.assembly import Assembly, Options
from clconv.graph.node import input_node
from clconv.graph.ops.optimiser import sgd_step
from clconv.graph.parameter import Parameter
from clconv.graph.trace import Graph
from clconv.nn import Sequential
from clconv.nn.models.googlenet import Inception
from clconv.nn.models.resnet import BasicBlock, Bottleneck
from clconv.nn.module import Module
from clconv.problem import ConvProblem, Pass, ReorderProblem
from clconv.runtime.context import traits_of
from clconv.tensor import PLAIN, Blocked, Packed, TensorSpec, Transformed
from tests.interpreter import interpret

SCALARS = {"learning_rate": 0.05, "step": 0.0, "seed_low": 0.0, "seed_high": 0.0}


def randomised(net: Module, seed: int = 0) -> Module:
    """Weights and running statistics that no symmetry hides."""
    rng = np.random.default_rng(seed)
    for name, parameter in net.named_parameters().items():
        scale = 1 / np.sqrt(max(1, np.prod(parameter.shape[1:]))) if len(parameter.shape) > 1 else 0.3
        value = rng.standard_normal(parameter.shape) * scale
        positive = name.endswith(("var", "bn.weight", "bn1.weight", "bn2.weight"))
        parameter.value = (np.abs(value) + 0.5 if positive else value).astype(np.float32)
    return net


def training_graph(net: Module, shape: tuple[int, ...]) -> Graph:
    """Mean squared distance of the outputs to a target, with one step of gradient descent."""
    graph = net.trace(shape, training=True)
    target = input_node("target", TensorSpec(graph.outputs[0].shape))
    loss = F.mse_loss(graph.outputs[0], target)
    parameters: dict[str, Parameter] = net.trainable_parameters()
    gradients = clconv.grad(loss, list(parameters.values()))
    steps = [(p, sgd_step(p.node, g, None, 0.0, 0.0, False)[0]) for p, g in zip(parameters.values(), gradients, strict=True)]
    return Graph((*graph.inputs, target), (loss,), (*graph.updates, *steps))


def largest_factor(run: clconv.graph.run.Run) -> float:
    """The largest error factor of the algorithms that run; 1 where all are straight sums."""
    factors = (step.choice.algorithm.error_factor(step.problem, step.choice.params) for step in run.steps)
    return max((factor for factor in factors if factor is not None), default=1.0)


def close(got: np.ndarray, wanted: np.ndarray, terms: int, run: clconv.graph.run.Run) -> None:
    """Within 2 sqrt(K) 2^-24 of the largest magnitude, K the terms of the longest chain of sums, for each of up to eight layers, times
    the factor of the roughest algorithm in `run`."""
    bound = largest_factor(run) * 8 * 2 * np.sqrt(terms) * 2.0**-24 * np.abs(wanted).max()
    np.testing.assert_allclose(got, wanted, rtol=0, atol=bound)


BLOCKS = {
    "basic": (lambda: BasicBlock(24, 24), (2, 24, 14, 14)),
    "basic with projection": (lambda: BasicBlock(16, 40, stride=2), (2, 16, 13, 13)),
    "bottleneck": (lambda: Bottleneck(64, 16), (1, 64, 10, 10)),
    "inception": (lambda: Inception(48, 16, (24, 32), (8, 16), 24), (2, 48, 10, 10)),
    "inception with odd channels": (lambda: Inception(20, 16, (9, 24), (5, 8), 12), (1, 20, 9, 9)),
}


RARE = {"basic", "bottleneck", "inception", "inception with odd channels"}
"""Forward passes of an exhaustive run only; the odd channels have their training step in every run."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.exhaustive if name in RARE else ()) for name in BLOCKS])
def test_forward(name, queue):
    make, shape = BLOCKS[name]
    net = randomised(make())
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    graph = net.trace(shape)
    run = clconv.compile(net, shape, queue, reuse=True)
    run.poison()
    (wanted,), _ = interpret(graph, {graph.inputs[0]["name"]: x})
    close(run(x).get(), wanted, 9 * shape[1], run)


@pytest.mark.parametrize(
    "name", ["basic with projection", pytest.param("inception", marks=pytest.mark.exhaustive), "inception with odd channels"]
)
def test_one_training_step(name, queue):
    make, shape = BLOCKS[name]
    net = randomised(make())
    rng = np.random.default_rng(2)
    graph = training_graph(net, shape)
    inputs = {n["name"]: rng.standard_normal(n.shape).astype(np.float32) for n in graph.inputs}
    (loss,), updated = interpret(graph, inputs, SCALARS)
    run = clconv.compile_graph(graph, queue, reuse=True)
    run.poison()
    got = run(**inputs, scalars=SCALARS)
    pixels = int(np.prod(shape)) // shape[1]
    close(got.get(), loss, pixels, run)
    for parameter, _ in graph.updates:
        close(parameter.value, updated[parameter.name], pixels, run)


def counted(run: clconv.graph.run.Run, kind: type) -> int:
    return sum(isinstance(step.problem, kind) and not step.prepared for step in run.steps)


def test_a_residual_block_is_its_convolutions_and_two_reorders(queue):
    run = clconv.compile(randomised(BasicBlock(16, 40, stride=2)), (2, 16, 13, 13), queue)
    assert counted(run, ConvProblem) == 3
    assert run.launch_count == (3 + 2 if run.traits.is_cpu else 3)
    fused = [step.problem.epilogue for step in run.steps if isinstance(step.problem, ConvProblem)]
    assert [e.residual for e in fused].count(True) == 1 and [e.activation for e in fused].count(("relu", 0.0)) == 2


def test_an_inception_block_writes_its_concatenation_in_place(queue):
    run = clconv.compile(randomised(Inception(48, 16, (24, 32), (8, 16), 24)), (2, 48, 10, 10), queue)
    assert counted(run, ConvProblem) == 6
    if not run.traits.is_cpu:
        pytest.skip("only CPU devices keep tensors channel-blocked")
    assert run.launch_count == 6 + 1 + 2, run.explain()
    assert "4 of 4 parts written in place" in run.explain()


def test_a_concatenation_at_odd_channels_is_copied_and_says_why(queue):
    run = clconv.compile(randomised(Inception(48, 12, (24, 32), (8, 16), 24)), (1, 48, 10, 10), queue)
    assert not run.traits.is_cpu or "slices do not start at whole channel blocks" in run.explain()


def test_layouts_carry_the_halo_their_readers_need(queue):
    run = clconv.compile(randomised(BasicBlock(24, 24)), (2, 24, 14, 14), queue)
    if not run.traits.is_cpu:
        pytest.skip("only CPU devices keep tensors channel-blocked")
    convolutions = [step.final_problem() for step in run.steps if isinstance(step.problem, ConvProblem)]
    assert all(isinstance(p.layout("w"), Packed | Transformed) for p in convolutions)
    first, second = convolutions
    assert first.layout("x") == Blocked(run.traits.block, ((1, 1), (1, 1))) == first.layout("y")
    assert second.layout("y") == Blocked(run.traits.block)


def test_changed_weights_are_packed_again_and_only_then(queue):
    net, shape = randomised(BasicBlock(24, 24)), (2, 24, 14, 14)
    run = clconv.compile(net, shape, queue)
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    before = run(x).get()
    np.testing.assert_array_equal(run(x).get(), before)
    net.conv1.weight.value = 2 * net.conv1.weight.value
    graph = net.trace(shape)
    (wanted,), _ = interpret(graph, {graph.inputs[0]["name"]: x})
    close(run(x).get(), wanted, 9 * 24, run)
    assert np.abs(run(x).get() - before).max() > 0.01


def test_planned_bytes_are_the_bytes_allocated(queue):
    run = clconv.compile(randomised(Inception(48, 16, (24, 32), (8, 16), 24)), (2, 48, 10, 10), queue)
    assembly, executor = run._main.assembly, run._main.executor
    assert (assembly.memory.total, assembly.prepared_memory.total) == (executor._arena.size, executor._prepared.size)


def test_reorders_stand_only_at_the_borders(queue):
    run = clconv.compile(randomised(Sequential(BasicBlock(24, 24), BasicBlock(24, 24))), (2, 24, 14, 14), queue)
    if run.traits.is_cpu:
        places = [i for i, step in enumerate(s for s in run.steps if not s.prepared) if isinstance(step.problem, ReorderProblem)]
        assert places == [0, run.launch_count - 1], run.explain()


# convolutions of a training step by pass, and the launches they and everything around them may take on a CPU device: no gradient of the
# input is asked for, a weight gradient is two launches (three more where its operands are staged), a statistic two, an update one
TRAINING_STEPS = {
    "basic": (lambda: BasicBlock(64, 128, stride=2), (4, 64, 28, 28), (3, 1, 3), 80),
    "inception": (lambda: Inception(192, 64, (96, 128), (16, 32), 32), (4, 192, 28, 28), (6, 2, 6), 160),
}


@pytest.mark.parametrize("name", TRAINING_STEPS)
def test_launches_of_a_training_step(name, queue):
    make, shape, passes, most = TRAINING_STEPS[name]
    graph = training_graph(make(), shape)
    traits = traits_of(queue.device)
    assembly = Assembly(graph, traits, Options(), [PLAIN] * len(graph.inputs), [PLAIN] * len(graph.outputs))
    directions = [step.problem.direction for step in assembly.steps if isinstance(step.problem, ConvProblem)]
    assert tuple(directions.count(direction) for direction in Pass) == passes
    launches = sum(len(assembly.plans[id(step)].calls) for step in assembly.steps if not step.prepared)
    assert launches <= most or not traits.is_cpu, launches
