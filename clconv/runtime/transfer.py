"""Tensor values between host and device, counted: a run on device arrays must move none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyopencl as cl


@dataclass
class Transfers:
    """Bytes of tensor values moved since the process began."""

    to_host: int = 0
    to_device: int = 0


transfers = Transfers()


def upload(queue: cl.CommandQueue, buffer: cl.Buffer, array: np.ndarray) -> None:
    """Copy `array` into `buffer`; blocks until the array may be changed again."""
    if array.size:
        transfers.to_device += array.nbytes
        cl.enqueue_copy(queue, buffer, np.ascontiguousarray(array))


def download(queue: cl.CommandQueue, buffer: cl.Buffer, array: np.ndarray) -> np.ndarray:
    """Fill `array` from `buffer`; waits for what was enqueued before."""
    if array.size:
        transfers.to_host += array.nbytes
        cl.enqueue_copy(queue, array, buffer)
    return array
