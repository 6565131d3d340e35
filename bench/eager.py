"""A convolution as an eager call: plain arrays on the device, weights among them, nothing prepared beforehand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.bench.compiled import algorithms
from clconv.errors import UnsupportedError
from clconv.functional.eager import last_run
from clconv.graph.run import Run
from clconv.problem import ConvProblem, Pass, PoolProblem
from clconv.runtime import arrays
from clconv.runtime.companion import OFTEN, Companion

FUNCTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
PATIENCE = 120.0
"""Seconds."""


class Eager:
    """A call computes into a new array and waits. Raises UnsupportedError for anything but the forward pass of a convolution."""

    def __init__(self, problem: ConvProblem | PoolProblem, queue: Any, operands: Mapping[str, np.ndarray]) -> None:
        if not isinstance(problem, ConvProblem) or problem.direction is not Pass.FORWARD:
            raise UnsupportedError(f"--eager: times F.conv1d, F.conv2d and F.conv3d, got {problem}; leave it out")
        geometry, epilogue = problem.geometry, problem.epilogue
        self.queue = queue
        self.function = FUNCTIONS[geometry.rank]
        self.operands = {name: arrays.to_device(array, problem.spec(name), queue, name) for name, array in operands.items()}
        self.keywords: dict[str, Any] = {
            "stride": geometry.stride, "padding": geometry.padding, "dilation": geometry.dilation, "groups": geometry.groups,
            "activation": epilogue.activation,
        }  # fmt: skip
        self.result: Any = None

    def __call__(self) -> None:
        given = self.operands
        self.result = self.function(given["x"], given["w"], given.get("bias"), residual=given.get("residual"), **self.keywords)
        self.queue.finish()

    def settle(self) -> None:
        """Call until other processes have nothing better to build, and nothing changes any more; see `clconv.runtime.improvement`."""
        end = time.monotonic() + PATIENCE
        state: object = None
        while time.monotonic() < end:
            for _ in range(OFTEN):
                self()
            while Companion.latest is not None and not Companion.latest.is_over and time.monotonic() < end:
                time.sleep(0.05)
            self()
            before, state = state, (Companion.latest, algorithms(self.run), self.run.launch_count)
            if state == before:
                return

    @property
    def run(self) -> Run:
        """What the call was compiled to; right after a call only."""
        return last_run()

    def results(self) -> list[np.ndarray]:
        return [arrays.to_host(self.result)]
