"""Tensor values between host and device, counted: a run on device arrays must move none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyopencl as cl

from clconv.runtime.failure import reported, size_text


@dataclass
class Transfers:
    """Bytes of tensor values moved since the process began."""

    to_host: int = 0
    to_device: int = 0


transfers = Transfers()


def upload(queue: cl.CommandQueue, buffer: cl.Buffer, array: np.ndarray, wait_for: list[cl.Event] | None = None) -> None:
    """Copy `array` into `buffer`; blocks until the array may be changed again. Raises DeviceError when the device does not take it."""
    if array.size:
        with reported(f"copy {size_text(array.nbytes)} to the device", queue.device):
            # Some drivers keep a copy of the array and return at once; PyOpenCL would then wait when it drops the event, and stop all of
            # Python's threads, also the one that what is waited for needs.
            cl.enqueue_copy(queue, buffer, np.ascontiguousarray(array), wait_for=wait_for).wait()
        transfers.to_device += array.nbytes


def download(queue: cl.CommandQueue, buffer: cl.Buffer, array: np.ndarray, wait_for: list[cl.Event] | None = None) -> np.ndarray:
    """Fill `array` from `buffer`; on an in-order queue after what was enqueued before. Raises DeviceError when the device fails."""
    if array.size:
        with reported(f"copy {size_text(array.nbytes)} from the device", queue.device):
            cl.enqueue_copy(queue, array, buffer, wait_for=wait_for)
        transfers.to_host += array.nbytes
    return array
