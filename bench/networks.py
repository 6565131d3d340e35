"""Whole networks: by name, from ONNX files, and the light topologies of the package onnx; inference timed with everything included."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clconv.bench.contest import Building, Contestant, Settings, blank, contest
from clconv.bench.machine import copies_for
from clconv.bench.report import Row
from clconv.bench.rivals import InferenceJob
from clconv.bench.timing import rotating
from clconv.errors import UnsupportedError
from clconv.graph.compile import compile
from clconv.graph.network import Network
from clconv.graph.run import Run
from clconv.nn import models
from clconv.runtime import arrays
from clconv.runtime.context import traits_of
from clconv.tensor import TensorSpec

# channels and height (= width) of an image, where they are not the 3 x 224 x 224 of ImageNet
INPUTS = {
    "lenet5": (1, 28),
    "dcgan_generator": (100, 1),
    "dcgan_discriminator": (3, 64),
    "dilated_context": (21, 64),
    "unet": (1, 256),
}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Subject:
    """A network to measure and the shapes of its inputs by name; `model` is its ONNX file at these shapes, where it came as one."""

    name: str
    network: Network
    shapes: Shapes
    model: bytes | None = None

    @property
    def images(self) -> int:
        return next(iter(self.shapes.values()))[0]

    def inputs(self) -> dict[str, np.ndarray]:
        """Random images by input name."""
        rng = np.random.default_rng(0)
        return {name: rng.standard_normal(shape, np.float32) for name, shape in self.shapes.items()}


def build(name: str) -> Network:
    """The model of that name with seeded random weights; "dcgan" stands for its generator."""
    name = {"dcgan": "dcgan_generator"}.get(name, name)
    if name not in models.__all__:
        raise UnsupportedError(f"{name!r} is not a network; networks are {', '.join(models.__all__)}")
    network = getattr(models, name)()
    assert isinstance(network, Network)
    return network


def input_shape(name: str, batch: int = 1, size: int | None = None) -> tuple[int, int, int, int]:
    """(batch, channels, size, size): the model's usual image unless `size` is given.

    >>> input_shape("resnet18", 8)
    (8, 3, 224, 224)
    """
    channels, usual = INPUTS.get({"dcgan": "dcgan_generator"}.get(name, name), (3, 224))
    return batch, channels, size or usual, size or usual


def named(name: str, batch: int = 1, size: int | None = None, *, enliven: bool = True) -> Subject:
    """A model of clconv.nn. `enliven` draws all of its parameters, so that every layer matters to the result."""
    network = build(name)
    if enliven:
        randomise(network)
    return Subject(name, network, {network.input_names()[0]: input_shape(name, batch, size)})


def randomise(network: Network, seed: int = 0) -> None:
    """Set every parameter such that signals keep their size from layer to layer: weights are scaled, or drawn where some are zero.

    As they begin, some networks are hardly more than their last bias (deep ones with small weights) or copy their input (identity
    kernels): a comparison of results would see nothing, and tiny numbers may be slow.
    """
    rng = np.random.default_rng(seed)
    state = {}
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            if not value.all():
                value = rng.standard_normal(value.shape, np.float32)
            state[name] = value * np.float32(math.sqrt(2.0 / math.prod(value.shape[1:])) / value.std())
        elif name.endswith(("running_var", "weight")):
            state[name] = rng.uniform(0.7, 1.3, value.shape).astype(np.float32)
        else:
            state[name] = rng.standard_normal(value.shape, np.float32) * np.float32(0.1)
    network.load_state_dict(state)


def from_model(name: str, model: Any, batch: int = 1, without: Sequence[str] = ()) -> Subject:
    """An onnx.ModelProto at this batch size, as the same file for everybody; operators in `without` are left out."""
    from clconv.bench.onnx_files import input_shapes, with_batch, without_operators
    from clconv.onnx import load

    changed = without_operators(with_batch(model, batch), without)
    name = f"{name} without {', '.join(without)}" if without else name
    return Subject(name, load(changed), input_shapes(changed, batch), changed.SerializeToString())


def light(name: str, batch: int = 1, without: Sequence[str] = ()) -> Subject:
    """A light topology of the package onnx with random weights."""
    from clconv.bench import onnx_files

    return from_model(f"light {name}", onnx_files.light(name), batch, without)


def from_file(path: str, batch: int = 1, without: Sequence[str] = ()) -> Subject:
    """The network in an ONNX file."""
    from clconv.bench import onnx_files

    return from_model(Path(path).stem, onnx_files.read(path), batch, without)


class Inference:
    """A compiled network and its inputs on the device; a call runs it and fetches the results as NumPy arrays.

    Where threads sleep between launches it is one launch from the beginning, as it becomes when it is called often; not if `separate`.
    """

    def __init__(self, subject: Subject, queue: Any, directory: str | None = None, separate: bool = False) -> None:
        persistent = not separate and traits_of(queue.device).sleeps_between_launches
        self.run: Run = compile(subject.network, subject.shapes, queue, kernels=directory, persistent=persistent)
        self.inputs = [
            arrays.to_device(value, TensorSpec(value.shape), queue, name) for name, value in subject.inputs().items()
        ]  # fmt: skip
        self.latest: list[np.ndarray] = []

    def __call__(self) -> None:
        outputs = self.run(*self.inputs)
        self.latest = [arrays.to_host(y) for y in (outputs if isinstance(outputs, tuple) else (outputs,))]

    @property
    def bytes_held(self) -> int:
        return sum(self.run.memory.values())


def bench_inference(subject: Subject, queue: Any, settings: Settings, separate: bool = False) -> Row:
    """From an array on the device to a NumPy array, everything included; rates count convolutions and matrix products as papers do."""
    options = settings.directory, separate
    settings.tell(f"{subject.name}: compiling")
    traits = traits_of(queue.device)
    with Building() as building:
        first = Inference(subject, queue, *options)
        first()
    instances = [first]
    if settings.cold:
        instances += [Inference(subject, queue, *options) for _ in range(copies_for(first.bytes_held, queue.device) - 1)]
    contestant = Contestant(
        algorithm="compiled",
        params="",
        candidate=rotating(instances),
        results=lambda: first.latest,
        launches=first.run.launch_count,
        first_run_seconds=building.seconds,
        kernels_built=building.kernels,
        multiply_adds=subject.network.summary(subject.shapes).multiply_adds,
        bytes_moved=sum(step.problem.bytes_moved for step in first.run.steps if not step.prepared),
        error=_error(subject, first) if settings.check else None,
    )
    shape = " x ".join(map(str, next(iter(subject.shapes.values()))))
    row = blank("network", f"{subject.name}, inference of {shape}", traits, name=subject.name, images=subject.images)
    job = InferenceJob(subject.network, subject.inputs(), subject.model)
    return contest([contestant], job, row, traits, settings, copies=len(instances))[0]


def _error(subject: Subject, inference: Inference) -> float:
    from clconv.bench.oracle import network_error_share

    return network_error_share(subject.network, subject.inputs(), inference.latest)


def bench_network(name: str, queue: Any, batch: int = 1, size: int | None = None, settings: Settings = Settings()) -> Row:  # noqa: B008
    """Inference of the model `name`."""
    return bench_inference(named(name, batch, size), queue, settings)
