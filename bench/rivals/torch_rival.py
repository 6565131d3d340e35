"""PyTorch on the processor, eager, in inference mode; training with its own autograd and fused SGD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from clconv.bench.rivals import InferenceJob, Opponent, ProblemJob, TrainingJob
from clconv.bench.rivals.torch_graph import Interpreter
from clconv.bench.rivals.torch_problem import prepared


def _ready(threads: int) -> str:
    torch.set_num_threads(threads)
    return f"eager, {threads} threads"


def _opponent(settings: str, run: Callable[[], Any], results: Callable[[], list[np.ndarray]]) -> Opponent:
    return Opponent("torch", torch.__version__, settings, run, results)


def inference(job: InferenceJob, threads: int) -> Opponent:
    """The network's graph as calls of torch.nn.functional; tensors in, NumPy arrays out."""
    settings = _ready(threads)
    graph = job.network.trace({name: value.shape for name, value in job.inputs.items()})
    interpreter = Interpreter(graph, trained=False)
    inputs = [torch.from_numpy(job.inputs[node["name"]]) for node in graph.inputs]
    latest: list[np.ndarray] = []

    def run() -> None:
        with torch.inference_mode():
            latest[:] = [output.numpy() for output in interpreter(*inputs)]

    return _opponent(f"{settings}, inference mode", run, lambda: list(latest))


class TrainingStep:
    """Forward pass, cross entropy, backward pass and SGD step on one batch; `loss` is the latest."""

    def __init__(self, job: TrainingJob) -> None:
        self.graph = job.network.trace(job.images.shape, training=True)
        self.interpreter = Interpreter(self.graph, trained=True)
        reached = self.interpreter.trainable
        self.weights = [reached.get(name, torch.from_numpy(p.value)) for name, p in job.network.trainable_parameters().items()]
        self.optimiser = torch.optim.SGD([w for w in self.weights if w.requires_grad], job.learning_rate, job.momentum, fused=True)
        self.images, self.labels = torch.from_numpy(job.images), torch.from_numpy(job.labels.astype(np.int64))
        self.head_weight = job.head_weight
        self.loss = torch.zeros(())

    def __call__(self) -> None:
        main, *heads = self.interpreter(self.images)
        loss = F.cross_entropy(main, self.labels)
        for head in heads:
            loss = loss + F.cross_entropy(head, self.labels) * self.head_weight
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.loss = loss.detach()


def training(job: TrainingJob, threads: int) -> Opponent:
    """Results are the loss, then the trained weights in the network's order."""
    settings = _ready(threads)
    step = TrainingStep(job)

    def results() -> list[np.ndarray]:
        return [step.loss.numpy(), *(weight.detach().numpy() for weight in step.weights)]

    return _opponent(f"{settings}, autograd, fused SGD", step, results)


def problem(job: ProblemJob, threads: int) -> Opponent:
    """One operation; tensors in, tensors out."""
    settings = _ready(threads)
    run, results = prepared(job)
    return _opponent(settings, run, results)
