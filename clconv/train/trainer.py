"""Trainer: a network, a loss and an optimiser as one compiled step, and the loop around it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.errors import ClconvError
from clconv.graph.compile import compile_graph
from clconv.graph.explain import Profile
from clconv.graph.network import Network
from clconv.graph.run import Run
from clconv.graph.trace import Graph
from clconv.runtime import arrays
from clconv.runtime.context import default_queue
from clconv.tensor import TensorSpec
from clconv.train import checkpoint as files
from clconv.train.data import Dataset
from clconv.train.history import Epoch, Scores
from clconv.train.interrupt import Interrupt
from clconv.train.meter import Mean
from clconv.train.optimiser import SGD, Optimiser
from clconv.train.progress import Silence, reporter
from clconv.train.schedule import Schedule, constant
from clconv.train.step import Loss, evaluation_graph, shapes_of, training_graph

Callback = Callable[["Trainer", Epoch], None]


class Trainer:
    """Trains `net` on one device.

    `loss` takes the network's output (a tuple where it gives several) and the target, as graph nodes, and gives a node of one element; any
    function of `clconv.functional` operations will do. Forward pass, loss, gradients and optimiser are one graph, compiled when a batch of
    a new shape first comes; a smaller last batch builds no kernels. `net.freeze(...)` counts from the next step on.

    `epoch` counts completed epochs, `steps` optimiser steps; `history` holds an Epoch each. Everything random (order, augmentation,
    dropout) follows from `seed` and these counters, so that a checkpoint resumes bit for bit on the same device and driver.

    >>> trainer = Trainer(models.lenet5(), optimiser=SGD(lr=0.05, momentum=0.9))                    # doctest: +SKIP
    >>> trainer.fit((images, labels), epochs=10, schedule=schedule.cosine(10))                      # doctest: +SKIP
    >>> trainer.evaluate((test_images, test_labels)).accuracy                                       # doctest: +SKIP
    0.978

    A loss of one's own:

    >>> def hinge(output, target):                            # targets are -1 or 1
    ...     return F.mean(F.relu(1.0 - output * target))
    >>> trainer = Trainer(net, loss=hinge)                                                          # doctest: +SKIP
    """

    def __init__(
        self,
        net: Network,
        loss: Loss = F.cross_entropy,
        optimiser: Optimiser | None = None,
        queue: Any = None,
        seed: int = 0,
        *,
        algorithms: Mapping[str, str] | None = None,
        kernels: str | None = None,
    ) -> None:
        self.net, self.loss, self.optimiser = net, loss, optimiser or SGD()
        self.queue = queue or default_queue()
        self.seed = int(seed)
        self.epoch = self.batch = self.steps = self.batch_size = 0
        self.history: list[Epoch] = []
        self._mean = Mean()
        self._options: dict[str, Any] = {"algorithms": algorithms, "kernels": kernels}
        self._runs: dict[Any, Run] = {}
        self._built_for: Any = None

    def step(self, inputs: Any, target: Any, factor: float = 1.0) -> Any:
        """One optimiser step on a batch; returns its loss as a device array of one element: float(loss.get()) waits for it.

        inputs: an array, or a dict by input name; NumPy or pyopencl arrays. `factor` multiplies the learning rate.
        """
        run = self._run(inputs, target, training=True)
        scalars = {**self.optimiser.scalars(self.steps + 1, factor), **self._random()}
        value = run(*_in_order(inputs), target, scalars=scalars)
        self.steps += 1
        return value

    def fit(
        self,
        data: Any,
        epochs: int,
        batch_size: int = 64,
        *,
        validation: Any = None,
        schedule: Schedule | None = None,
        progress: bool = True,
        checkpoint: str | PathLike[str] | None = None,
        callbacks: Iterable[Callback] = (),
        drop_last: bool = False,
    ) -> list[Epoch]:
        """Train for `epochs` more epochs and return the history.

        data, validation: a Dataset or a pair (inputs, targets); the order of examples depends on seed and epoch only. `schedule` is a
        function of the epoch (a float, 0 at the very first step) that gives a factor for the learning rate. `checkpoint` names a file
        that is replaced after every epoch. `callbacks` are called with the trainer and the Epoch just finished.

        Ctrl-C lets the running step finish, saves the checkpoint if one is named, and raises KeyboardInterrupt; weights, optimiser,
        history and place in the epoch are kept. Go on with `fit(data, total - trainer.epoch, ...)`, in another process after
        `trainer.load(checkpoint)`: the rest of an interrupted epoch counts as the first.
        """
        examples = Dataset.of(data)
        check = None if validation is None else Dataset.of(validation)
        batches = examples.batch_count(batch_size, drop_last)
        if self.batch and batch_size != self.batch_size:
            raise ClconvError(
                f"fit: epoch {self.epoch + 1} was interrupted after {self.batch} batches of {self.batch_size}; "
                f"go on with batch_size={self.batch_size}, got {batch_size}"
            )
        self.batch_size = batch_size
        schedule, last = schedule or constant(), self.epoch + epochs
        with reporter(progress) as report, Interrupt() as interrupt:
            while self.epoch < last:
                report.begin(self.epoch + 1, last, batches, self.batch)
                began, first = time.perf_counter(), self.batch
                for inputs, target in examples.batches(batch_size, seed=self.seed, epoch=self.epoch, drop_last=drop_last, first=first):
                    self._learn(inputs, target, schedule(self.epoch + self.batch / batches), report)
                    if interrupt.asked and self.batch < batches:
                        self._stop(checkpoint)
                seconds = time.perf_counter() - began if self._mean.fetch() else math.nan
                rate = self.optimiser.lr * schedule(self.epoch + (batches - 1) / batches)
                record = self._finish(check, rate, seconds, min((batches - first) * batch_size, len(examples) - first * batch_size))
                report.finish(record)
                if checkpoint is not None:
                    self.save(checkpoint)
                for callback in callbacks:
                    callback(self, record)
                if interrupt.asked:
                    raise KeyboardInterrupt(f"training stopped after epoch {self.epoch}")
        return self.history

    def _learn(self, inputs: Any, target: Any, factor: float, report: Silence) -> None:
        self._mean.add(self.step(inputs, target, factor), len(target))
        self.batch += 1
        report.advance(self._mean.value)

    def _stop(self, checkpoint: str | PathLike[str] | None) -> None:
        if checkpoint is not None:
            self.save(checkpoint)
        raise KeyboardInterrupt(f"training stopped in epoch {self.epoch + 1} after {self.batch} batches")

    def _finish(self, validation: Dataset | None, rate: float, seconds: float, examples: int) -> Epoch:
        scores = None if validation is None else self.evaluate(validation)
        self.epoch, self.batch = self.epoch + 1, 0
        record = Epoch(
            self.epoch, self._mean.take(), rate, seconds, examples / max(seconds, 1e-9),
            scores.loss if scores else None, scores.accuracy if scores else None,
        )  # fmt: skip
        self.history.append(record)
        return record

    def evaluate(self, data: Any, batch_size: int = 256) -> Scores:
        """Mean loss over the examples in inference mode, and the share of them whose highest score is at the target, for class numbers.

        The loss is taken to be a mean over the batch. Of several outputs the first has the scores.
        """
        examples = Dataset.of(data)
        mean, right = Mean(), 0
        classes = examples.targets.dtype.kind == "i"
        for inputs, target in examples.in_order(min(batch_size, max(1, len(examples)))):
            loss, scores = self._run(inputs, target, training=False)(*_in_order(inputs), target)
            mean.add(loss, len(target))
            if classes and len(scores.shape) > 1:
                right += int((arrays.to_host(scores).argmax(axis=1) == target).sum())
        return Scores(mean.take(), right / examples.targets.size if classes else None)

    def profile(self, inputs: Any, target: Any, repeats: int = 10) -> Profile:
        """Median device time of every launch of a training step on this batch; print it. Takes `repeats` + 2 steps at learning rate 0.

        Weights stay as they are, but for what runs in every forward pass: running statistics and the optimiser's moments move.
        """
        scalars = {**self.optimiser.scalars(max(1, self.steps), 0.0), **self._random()}
        return self._run(inputs, target, training=True).profile(*_in_order(inputs), target, repeats=repeats, scalars=scalars)

    def save(self, path: str | PathLike[str]) -> None:
        """Write weights, optimiser state and counters to one safetensors file, atomically."""
        files.save_checkpoint(path, self.net, self.optimiser, self._counters())

    def load(self, path: str | PathLike[str]) -> None:
        """Take up where `save` was called. The network and the optimiser must be built as they were then; nothing changes on an error."""
        counters = files.load_checkpoint(path, self.net, self.optimiser)
        self.seed, self.epoch, self.batch = counters["seed"], counters["epoch"], counters["batch"]
        self.steps, self.batch_size = counters["steps"], counters["batch_size"]
        self.history = [Epoch(**record) for record in counters["history"]]
        self._mean = Mean(*counters["loss"])

    def _counters(self) -> dict[str, Any]:
        self._mean.fetch()
        return {
            "seed": self.seed, "epoch": self.epoch, "batch": self.batch, "steps": self.steps, "batch_size": self.batch_size,
            "loss": [self._mean.total, self._mean.count], "history": [asdict(record) for record in self.history],
        }  # fmt: skip

    def _random(self) -> dict[str, float]:
        """What dropout draws from: the runs of all batch shapes count their steps together."""
        return {"step": self.steps & 0xFFFFFFFF, "seed_low": self.seed & 0xFFFFFFFF, "seed_high": (self.seed >> 32) & 0xFFFFFFFF}

    def _run(self, inputs: Any, target: Any, training: bool) -> Run:
        """The compiled step for arrays of these shapes; all are built anew when another set of parameters is to be trained."""
        fixed = (tuple(self.net.trainable_parameters()), id(self.optimiser), repr(self.optimiser.settings()), self.loss)
        if fixed != self._built_for:
            self._runs.clear()
            self._built_for = fixed
        shapes, wanted = shapes_of(inputs), _target_spec(target)
        key = (training, tuple(shapes.items()) if isinstance(shapes, dict) else shapes, wanted)
        run = self._runs.get(key)
        if run is None:
            reuse = any(known == training for known, *_ in self._runs)
            run = compile_graph(self._graph(shapes, wanted, training), self.queue, reuse=reuse, **self._options)
            self._runs[key] = run
        return run

    def _graph(self, shapes: Any, target: TensorSpec, training: bool) -> Graph:
        if training:
            return training_graph(self.net, shapes, target, self.loss, self.optimiser)
        return evaluation_graph(self.net, shapes, target, self.loss)


def _in_order(inputs: Any) -> tuple[Any, ...]:
    return tuple(inputs.values()) if isinstance(inputs, Mapping) else (inputs,)


def _target_spec(target: Any) -> TensorSpec:
    """Class numbers for whole numbers of any size, else float32 (or what a device array holds)."""
    if arrays.is_array(target):
        return TensorSpec(tuple(target.shape), arrays.dtype_of(target, "target"))
    array = np.asarray(target)
    return TensorSpec(array.shape, "int32" if array.dtype.kind in "iu" else "float32")
