"""What the OpenCL driver refuses, as DeviceErrors that say what was tried and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyopencl as cl

from clconv.errors import DeviceError
from clconv.runtime.context import traits_of

SHORT_OF_MEMORY = {
    cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE,
    cl.status_code.OUT_OF_RESOURCES,
    cl.status_code.OUT_OF_HOST_MEMORY,
    cl.status_code.INVALID_BUFFER_SIZE,
}


def size_text(nbytes: int) -> str:
    """A number of bytes for people.

    >>> size_text(3 * 2**20), size_text(100)
    ('3.0 MiB', '100 bytes')
    """
    return f"{nbytes / 2**20:.1f} MiB" if nbytes >= 2**16 else f"{nbytes} bytes"


def device_error(doing: str, error: cl.Error, device: cl.Device) -> DeviceError:
    """The DeviceError for a driver's `error`; `doing` completes "cannot": "allocate 3.0 MiB for a result"."""
    traits = traits_of(device)
    if error.code == cl.status_code.INVALID_BUFFER_SIZE:
        limit = f", of which one allocation may take {size_text(device.max_mem_alloc_size)}"
    else:
        limit = ""
    if error.code in SHORT_OF_MEMORY:
        advice = (
            f"use a smaller batch or smaller images, free arrays that are no longer needed, or take a device with more memory "
            f"(this one has {size_text(traits.global_memory_bytes)}{limit})"
        )
    else:
        advice = f"memory is not what is short; the driver ({traits.driver}) may be at fault: try another device or driver version"
    return DeviceError(f"{traits.label}: cannot {doing}: {error}; {advice}")


@contextmanager
def reported(doing: str, device: cl.Device) -> Iterator[None]:
    """Errors of OpenCL inside become DeviceErrors. For what runs seldom: a context manager costs what a kernel argument does."""
    try:
        yield
    except cl.Error as error:
        raise device_error(doing, error, device) from error
