"""Whole networks at full depth on small inputs, forward and with all gradients, against the oracle in float64."""

from __future__ import annotations

import numpy as np
import pytest

import clconv
import clconv.functional as F
from clconv.graph.node import input_node
from clconv.graph.ops.optimiser import sgd_step
from clconv.graph.trace import Graph
from clconv.nn import models
from clconv.nn.module import Module
from clconv.tensor import TensorSpec
from tests.interpreter import interpret
from tests.test_blocks import SCALARS, largest_factor, randomised

# Rounding errors of float32 grow with depth. Relative to the largest output, independent roundings of relative size 2^-24 in each of L
# layers of K terms give about sqrt(L K) 2^-24: 3e-5 for the deepest network here (L = 53, K = 4608). Three times that is allowed, times
# the factor that the roughest of the algorithms states.
FORWARD = 1e-4

FORWARD_CASES = {
    "lenet5": (lambda: models.lenet5(), (3, 1, 28, 28)),
}
MORE_FORWARD_CASES = {
    "lenet5, 1998": (lambda: models.lenet5(original=True), (3, 1, 32, 32)),
    "resnet18": (lambda: models.resnet18(num_classes=10), (2, 3, 48, 48)),
    "googlenet": (lambda: models.googlenet(num_classes=10, aux=False), (2, 3, 48, 48)),
    "unet": (lambda: models.unet(width=8), (1, 1, 32, 32)),
    "alexnet, 2012": (lambda: models.alexnet(num_classes=10, original=True), (1, 3, 227, 227)),
    "googlenet, 2014": (lambda: models.googlenet(num_classes=10, original=True), (1, 3, 224, 224)),
    "resnet50": (lambda: models.resnet50(num_classes=10), (1, 3, 40, 40)),
    "dcgan generator": (lambda: models.dcgan_generator(ngf=8), (2, 100, 1, 1)),
    "dcgan discriminator": (lambda: models.dcgan_discriminator(ndf=8), (2, 3, 64, 64)),
    "vgg16": (lambda: models.vgg16(num_classes=10), (1, 3, 32, 32)),
    "dilated context": (lambda: models.dilated_context(4, large=True), (1, 4, 24, 24)),
}


@pytest.mark.parametrize("name", FORWARD_CASES)
def test_forward(name, queue):
    check_forward(*FORWARD_CASES[name], queue)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MORE_FORWARD_CASES)
def test_forward_of_more_networks(name, queue):
    check_forward(*MORE_FORWARD_CASES[name], queue)


def check_forward(make, shape, queue):
    net = randomised(make())
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    graph = net.trace(shape)
    (wanted,), _ = interpret(graph, {graph.inputs[0]["name"]: x})
    run = clconv.compile(net, shape, queue, reuse=True)
    run.poison()
    got = run(x).get()
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=0, atol=largest_factor(run) * FORWARD * np.abs(wanted).max())


def classification(net: Module, shape: tuple[int, ...]) -> Graph:
    """Cross entropy and one step of gradient descent of every parameter."""
    graph = net.trace(shape, training=True)
    target = input_node("target", TensorSpec((shape[0],), "int32"))
    loss = F.cross_entropy(graph.outputs[0], target)
    parameters = net.trainable_parameters()
    gradients = clconv.grad(loss, list(parameters.values()))
    steps = [(p, sgd_step(p.node, g, None, 0.0, 0.0, False)[0]) for p, g in zip(parameters.values(), gradients, strict=True)]
    return Graph((*graph.inputs, target), (loss,), (*graph.updates, *steps))


# Batch normalisation over few values divides by small deviations and takes differences of nearly equal sums, so gradients lose digits with
# every layer; the limit is on the relative distance of each parameter's whole gradient. Inputs are such that no ReLU's argument lies
# within rounding of zero and no two candidates of a maximum within rounding of each other: there one decision may fall otherwise in
# float32 than in float64, and the gradient of every layer below jumps by its share, about one per cent for one element.
GRADIENT_CASES = {
    "lenet5": (lambda: models.lenet5(), (4, 1, 28, 28), 1e-5),
}
MORE_GRADIENT_CASES = {
    "resnet18": (lambda: models.resnet18(num_classes=10), (4, 3, 48, 48), 1e-3),
    "lenet5, 1998": (lambda: models.lenet5(original=True), (2, 1, 32, 32), 1e-5),
    "googlenet": (lambda: models.googlenet(num_classes=10, aux=False), (4, 3, 64, 64), 1e-3),
    "unet": (lambda: Pooled(models.unet(width=8, num_classes=10)), (2, 1, 32, 32), 1e-4),
    "dcgan discriminator": (lambda: Pooled(models.dcgan_discriminator(ndf=8)), (4, 3, 64, 64), 1e-3),
}
STRAIGHT_SUMS = {"googlenet"}
"""Networks of so many ReLUs that with the rounding of minimal filtering, ten times that of straight sums, some decision always falls
otherwise: with it single gradients are 1 to 6 per cent off, whatever the inputs; without it 1e-4."""


class Pooled(Module):
    """A network that gives maps, as a classifier: the mean of each map is a score; one score becomes two, of opposite sign."""

    def __init__(self, net: Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x):
        y = self.net(x)
        scores = F.mean(y, dim=(2, 3)) if y.ndim == 4 else F.reshape(y, (y.shape[0], -1))
        return scores if scores.shape[1] > 1 else F.cat([scores, scores * -1.0], 1)


@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_gradients(name, queue):
    check_gradients(*GRADIENT_CASES[name], queue)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MORE_GRADIENT_CASES)
def test_gradients_of_more_networks(name, queue):
    check_gradients(*MORE_GRADIENT_CASES[name], queue, strict=name in STRAIGHT_SUMS)


def check_gradients(make, shape, limit, queue, strict=False):
    net = randomised(make())
    rng = np.random.default_rng(2)
    graph = classification(net, shape)
    classes = net.trace(shape).outputs[0].shape[1]
    images, targets = rng.standard_normal(shape).astype(np.float32), rng.integers(0, classes, shape[0]).astype(np.int32)
    inputs = {graph.inputs[0]["name"]: images, "target": targets}
    before = {p.name: p.value.astype(np.float64) for p, _ in graph.updates}
    (loss,), updated = interpret(graph, inputs, SCALARS)
    run = clconv.compile_graph(graph, queue, reuse=True, strict=strict)
    run.poison()
    np.testing.assert_allclose(run(**inputs, scalars=SCALARS).get(), loss, rtol=1e-5)
    for parameter, _ in graph.updates:
        wanted = updated[parameter.name] - before[parameter.name]
        got = parameter.value - before[parameter.name]
        rounding = 2.0**-24 * np.linalg.norm(before[parameter.name])
        assert np.linalg.norm(got - wanted) <= limit * np.linalg.norm(wanted) + rounding, parameter.name
