"""Training steps of whole networks: forward pass, loss, gradients and optimiser on one batch that is on the device already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.bench.contest import Building, Contestant, Settings, blank, contest, difference
from clconv.bench.networks import Subject
from clconv.bench.report import Row
from clconv.bench.rivals import Opponent, TrainingJob, opponent
from clconv.errors import UnsupportedError
from clconv.graph.compile import compile_graph
from clconv.graph.network import Network, Shapes
from clconv.graph.node import Node
from clconv.graph.parameter import Parameter
from clconv.graph.rewrite import Context, rewrite
from clconv.graph.trace import Graph
from clconv.runtime import arrays
from clconv.runtime.context import traits_of
from clconv.tensor import TensorSpec
from clconv.train.optimiser import SGD
from clconv.train.step import auxiliary, training_graph

PASSES = 3  # a training step costs about three times the multiply-adds of inference; papers count it so


class Step:
    """Our training step on the job's batch; `loss` is the latest, on the device."""

    def __init__(self, job: TrainingJob, queue: Any, directory: str | None = None) -> None:
        self.optimiser = SGD(job.learning_rate, job.momentum)
        loss = auxiliary(F.cross_entropy, job.head_weight)
        target = TensorSpec(job.labels.shape, "int32")
        graph = training_graph(job.network, job.images.shape, target, loss, self.optimiser)
        self.run, self.queue, self.steps = compile_graph(graph, queue, kernels=directory), queue, 0
        self.images = arrays.to_device(job.images, TensorSpec(job.images.shape), queue, "images")
        self.labels = arrays.to_device(job.labels, target, queue, "labels")
        self.loss: Any = None

    def __call__(self, times: int = 1) -> None:
        for _ in range(times):
            self.steps += 1
            self.loss = self.run(self.images, self.labels, scalars=self.optimiser.scalars(self.steps))
        self.queue.finish()


class WithoutDropout(Network):
    """`network` in which nothing is dropped: what can be compared number by number."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def named_parameters(self) -> dict[str, Parameter]:
        return self.network.named_parameters()

    def input_names(self) -> tuple[str, ...]:
        return self.network.input_names()

    def trace(self, shapes: Shapes, training: bool = False) -> Graph:
        return rewrite(self.network.trace(shapes, training), _keep)


def _keep(node: Node, context: Context) -> Node | None:
    return node.inputs[0] if node.op == "dropout" else None


def job_of(subject: Subject) -> TrainingJob:
    """Random images and class numbers for a network that gives scores (N, classes)."""
    (images,) = subject.inputs().values()
    shape = subject.network.trace(images.shape).outputs[0].shape
    if len(shape) < 2:
        raise UnsupportedError(f"{subject.name}: gives {shape}; a training step needs scores of shape (N, classes, ...)")
    labels = np.random.default_rng(1).integers(0, shape[1], (shape[0], *shape[2:])).astype(np.int32)
    return TrainingJob(subject.network, images, labels)


def first_step_difference(job: TrainingJob, name: str, queue: Any, settings: Settings) -> float:
    """One step of both from the same weights without dropout: the larger of the relative differences of the losses and of the changes
    of the weights, these by their Euclidean length. The weights are put back.

    Single elements say little: rounding decides about maxima and signs where two values are nearly equal, and a gradient goes the one way
    or the other. In GoogLeNet, PyTorch's own largest element is off by 0.5 % of the largest gradient, seen from float64.
    """
    quiet = TrainingJob(WithoutDropout(job.network), job.images, job.labels, job.learning_rate, job.momentum, job.head_weight)
    before = job.network.state_dict()
    rival = opponent(name, quiet, traits_of(queue.device).compute_units)
    rival.run()
    loss, *weights = rival.results()
    step = Step(quiet, queue, settings.directory)
    step()
    after = job.network.state_dict()
    names = list(job.network.trainable_parameters())
    theirs, ours = _flat({n: w - before[n] for n, w in zip(names, weights, strict=True)}), _flat({n: after[n] - before[n] for n in names})
    job.network.load_state_dict(before)
    gap = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    return max(difference([arrays.to_host(step.loss)], [np.asarray(loss)]), gap if np.isfinite(gap) else float("inf"))


def _flat(changes: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([change.ravel() for change in changes.values()]).astype(np.float64)


def bench_training(subject: Subject, queue: Any, settings: Settings) -> Row:
    """A step with stochastic gradient descent and momentum. Cross entropy; auxiliary heads count 0.3 times. Before the clock starts, one
    step without dropout is compared with each rival's."""
    job, traits = job_of(subject), traits_of(queue.device)
    settings.tell(f"{subject.name}: compiling the training step")
    with Building() as building:
        step = Step(job, queue, settings.directory)
        step()
    differences: dict[str, float] = {}
    for name in settings.against:
        settings.tell(f"{subject.name}: comparing a step with that of {name}")
        try:
            differences[name] = first_step_difference(job, name, queue, settings)
        except Exception:  # the contest runs into the same and gives the reason
            continue
    contestant = Contestant(
        algorithm="training step",
        params="",
        candidate=step,
        results=lambda: [arrays.to_host(step.loss)],
        launches=step.run.launch_count,
        first_run_seconds=building.seconds,
        kernels_built=building.kernels,
        multiply_adds=PASSES * subject.network.summary(subject.shapes).multiply_adds,
        bytes_moved=sum(each.problem.bytes_moved for each in step.run.steps if not each.prepared),
    )
    shape = " x ".join(map(str, job.images.shape))
    row = blank("training", f"{subject.name}, training step on {shape}", traits, name=subject.name, images=subject.images)

    def compare(rival: Opponent) -> float:
        return differences[rival.name]

    return contest([contestant], job, row, traits, settings, compare=compare)[0]
