"""A parameter's memory on a device."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pyopencl as cl

from clconv.runtime.failure import reported, size_text
from clconv.runtime.transfer import download, upload

# Filling a parameter's memory, preparing from it and freeing it must not mix with another run's doing so.
preparing = threading.Lock()


class Resident:
    """Memory in one context for `version` of a parameter's value; plain layout, float32. There is none until somebody needs it.

    Several runs may share it, on several queues: `last` is the queue and the event of the latest that reads or writes it. Those in
    `holders` have bound the buffer to their kernels, which forbids to free it.
    """

    def __init__(self, queue: cl.CommandQueue, shape: tuple[int, ...]) -> None:
        self.queue = queue
        self.shape = shape
        self.version = -1
        self.last: tuple[cl.CommandQueue, cl.Event] | None = None
        self.holders: weakref.WeakSet[object] = weakref.WeakSet()
        self.in_order = is_in_order(queue)
        self._buffer: cl.Buffer | None = None

    @property
    def buffer(self) -> cl.Buffer:
        """The memory, allocated where there is none. Raises DeviceError when the device has no room."""
        if self._buffer is None:
            nbytes = 4 * max(1, int(np.prod(self.shape)))
            with reported(f"allocate {size_text(nbytes)} for a parameter of shape {self.shape}", self.queue.device):
                self._buffer = cl.Buffer(self.queue.context, cl.mem_flags.READ_WRITE, nbytes)
        return self._buffer

    @property
    def nbytes(self) -> int:
        """Bytes on the device now."""
        return self._buffer.size if self._buffer is not None else 0

    def hold(self, holder: object) -> cl.Buffer:
        """The buffer, which stays the same as long as `holder` lives."""
        self.holders.add(holder)
        return self.buffer

    def free(self) -> None:
        """Give the memory back unless somebody holds it; the value must be elsewhere. Commands that still use it finish first."""
        if not self.holders:
            self._buffer, self.version = None, -1

    def pending(self, queue: cl.CommandQueue, in_order: bool) -> list[cl.Event]:
        """What a command on `queue` must wait for before it may touch the buffer: nothing where the queue's own order sees to it."""
        if self.last is None or (in_order and self.last[0] == queue):
            return []
        if self.last[0] != queue:
            with reported("hand a queue's commands to the device", queue.device):
                self.last[0].flush()  # what another queue waits for must have been handed to the device
        return [self.last[1]]

    def write(self, value: np.ndarray, version: int) -> None:
        upload(self.queue, self.buffer, np.ascontiguousarray(value, np.float32), self.pending(self.queue, self.in_order))
        self.version = version

    def read(self) -> np.ndarray:
        return download(self.queue, self.buffer, np.empty(self.shape, np.float32), self.pending(self.queue, self.in_order))


def is_in_order(queue: cl.CommandQueue) -> bool:
    return not queue.properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE
