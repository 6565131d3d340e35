"""What joining layers costs: a compiled network against the sum of its own launches, each repeated alone.

    python -m clconv.bench.joined resnet18

A launch repeated alone finds its weights and inputs in the cache, so the sum is a lower bound that a chain cannot quite reach.
"""

from __future__ import annotations

import argparse

import numpy as np

from clconv.bench.networks import build, input_shape
from clconv.bench.timing import measure
from clconv.graph.compile import compile
from clconv.runtime import arrays
from clconv.runtime.context import default_queue
from clconv.tensor import TensorSpec


def joined(name: str, batch: int = 1, repeats: int = 15) -> tuple[float, float]:
    """(seconds of a run, sum of the medians of its launches alone), measured in alternating blocks."""
    queue = default_queue()
    shape = input_shape(name, batch)
    run = compile(build(name), shape, queue, persistent=False)
    x = arrays.to_device(np.random.default_rng(0).standard_normal(shape, np.float32), TensorSpec(shape), queue, "images")
    y = run(x)  # kept: launches hold no reference to the arrays that they were bound to
    queue.finish()

    def chain(times: int) -> None:
        for _ in range(times):
            run(x, out=y)
        queue.finish()

    candidates = [chain]
    for launch in run.launches:

        def alone(times: int, launch=launch) -> None:  # type: ignore[no-untyped-def]
            for _ in range(times):
                launch.enqueue(queue)
            queue.finish()

        candidates.append(alone)
    whole, *parts = (timing.median for timing in measure(candidates, repeats))
    return whole, sum(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", nargs="?", default="resnet18")
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    whole, alone = joined(given.network, given.batch)
    times = f"run {whole * 1e3:.2f} ms, its launches alone {alone * 1e3:.2f} ms, ratio {whole / alone:.3f}"
    print(f"{given.network}, batch {given.batch}: {times}")


if __name__ == "__main__":
    main()
