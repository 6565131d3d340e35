"""Whole networks by name: their usual input shapes, and their inference timed with everything included."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from clconv.bench.report import Row
from clconv.bench.timing import LEAST_REPEATS, measure
from clconv.errors import UnsupportedError
from clconv.graph.compile import compile
from clconv.graph.network import Network
from clconv.nn import models
from clconv.runtime import arrays
from clconv.runtime.context import traits_of
from clconv.runtime.programs import statistics
from clconv.tensor import TensorSpec

# channels and height (= width) of an image, where they are not the 3 x 224 x 224 of ImageNet
INPUTS = {
    "lenet5": (1, 28),
    "dcgan_generator": (100, 1),
    "dcgan_discriminator": (3, 64),
    "dilated_context": (21, 64),
    "unet": (1, 256),
}


def build(name: str) -> Network:
    """The model of that name with seeded random weights."""
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
    channels, usual = INPUTS.get(name, (3, 224))
    return batch, channels, size or usual, size or usual


def bench_network(
    name: str, queue: Any, batch: int = 1, size: int | None = None, *, repeats: int = LEAST_REPEATS, directory: str | None = None
) -> Row:
    """Inference from an array on the device to an array on the device; rates count convolutions and matrix products as papers do."""
    network, shape = build(name), input_shape(name, batch, size)
    built, begin = statistics.kernels_built, time.perf_counter()
    run = compile(network, shape, queue, kernels=directory)
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    on_device = arrays.to_device(images, TensorSpec(shape), queue, "images")
    run(on_device)
    queue.finish()
    first = time.perf_counter() - begin

    def calls(times: int) -> None:
        for _ in range(times):
            run(on_device)
        queue.finish()

    (timing,) = measure([calls], repeats)
    traits = traits_of(queue.device)
    return Row(
        text=f"{name}, inference of {' x '.join(map(str, shape))}, {batch / timing.median:.1f} images/s",
        algorithm="compiled",
        params="",
        median_ms=timing.median * 1e3,
        min_ms=timing.least * 1e3,
        spread=timing.spread,
        repeats=len(timing.seconds),
        gflops=2 * network.summary(shape).multiply_adds / timing.median / 1e9,
        gbytes=None,
        launches=run.launch_count,
        first_run_seconds=first,
        kernels_built=statistics.kernels_built - built,
        error=None,
        device=traits.label,
        driver=traits.driver,
    )
