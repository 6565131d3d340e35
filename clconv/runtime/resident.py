"""A parameter's memory on a device."""

from __future__ import annotations

import numpy as np
import pyopencl as cl

from clconv.runtime.transfer import download, upload


class Resident:
    """One buffer in one context, filled with `version` of a parameter's value; plain layout, float32."""

    def __init__(self, queue: cl.CommandQueue, shape: tuple[int, ...]) -> None:
        self.queue = queue
        self.shape = shape
        self.version = -1
        self.buffer = cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, 4 * max(1, int(np.prod(shape))))

    def write(self, value: np.ndarray, version: int) -> None:
        upload(self.queue, self.buffer, np.ascontiguousarray(value, np.float32))
        self.version = version

    def read(self) -> np.ndarray:
        return download(self.queue, self.buffer, np.empty(self.shape, np.float32))
