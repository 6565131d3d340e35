"""Where inputs from the host are copied to: memory that earlier runs have done with, since fresh memory costs more than a copy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla

from clconv.runtime import arrays
from clconv.tensor import TensorSpec

MOST = 4
"""Arrays of one kind that are kept: so many runs may be on their way at a time."""


class Staging:
    """The copies of one compiled graph's inputs. A CPU device takes a page fault for every 4 KiB of new memory."""

    def __init__(self) -> None:
        self._used: dict[tuple[tuple[int, ...], np.dtype[Any]], list[tuple[cla.Array, cl.Event]]] = {}
        self._lock = threading.Lock()

    def copy(self, value: Any, spec: TensorSpec, queue: cl.CommandQueue, what: str) -> cla.Array:
        """`value` on the device, as `arrays.to_device` has it."""
        return arrays.to_device(value, spec, queue, what, self._idle(spec))

    def done(self, copies: Sequence[cla.Array], event: cl.Event) -> None:
        """`copies` may be used again after `event`, the end of the run that reads them; nobody else may hold them."""
        with self._lock:
            for array in copies:
                used = self._used.setdefault((array.shape, array.dtype), [])
                if len(used) < MOST:
                    used.append((array, event))

    def _idle(self, spec: TensorSpec) -> cla.Array | None:
        with self._lock:
            used = self._used.get((spec.shape, arrays.DTYPES[spec.dtype]), [])
            for number, (_, event) in enumerate(used):
                if event.command_execution_status == cl.command_execution_status.COMPLETE:
                    return used.pop(number)[0]
        return None
