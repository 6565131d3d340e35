"""Memory of what earlier runs made of weights that come with each run, as long as they do not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyopencl as cl

from clconv.codegen.persistent import Region
from clconv.runtime.failure import reported, size_text

MOST_BYTES = 128 << 20
"""For one run; the first set of buffers is there whatever its size."""


@dataclass(frozen=True)
class Recalled:
    """A buffer for what is made of the input of this number."""

    input: int
    nbytes: int


class Recall:
    """For each input, sets of buffers by the memory that the input came in.

    Which set a run gets is a matter of speed only: kernels compare, as `Plan.recalled` says, and other weights in the same memory, or in
    memory seen for the first time, are told by what they are. So layers of one shape, each with weights of its own, do not displace one
    another until there is no more room; then the set that was used longest ago serves.
    """

    def __init__(self, queue: cl.CommandQueue, recalled: Sequence[Recalled]) -> None:
        self._queue, self._recalled = queue, tuple(recalled)
        self._inputs = tuple(dict.fromkeys(each.input for each in recalled))
        self._sets: OrderedDict[tuple[int, ...], dict[Region, cl.Buffer]] = OrderedDict()
        self._each = sum(each.nbytes for each in recalled)

    @property
    def nbytes(self) -> int:
        """Bytes on the device now."""
        return self._each * len(self._sets)

    def added(
        self, external: Mapping[Region, cl.Buffer], wait_for: list[cl.Event] | None
    ) -> tuple[Mapping[Region, cl.Buffer], list[cl.Event] | None]:
        """`external` with the buffers for its inputs, and what to wait for; what kernels compare with begins as zeros, of which nothing but
        zeros is made. Raises DeviceError where there is no room."""
        if not self._recalled:
            return external, wait_for
        key = tuple(external["input", index].int_ptr for index in self._inputs)
        found = self._sets.get(key)
        if found is None and self._sets and self.nbytes + self._each > MOST_BYTES:
            found = self._sets[key] = self._sets.popitem(last=False)[1]
        if found is None:
            found, filled = self._made()
            wait_for = [*(wait_for or ()), *filled]
            self._sets[key] = found
        self._sets.move_to_end(key)
        return {**external, **found}, wait_for

    def _made(self) -> tuple[dict[Region, cl.Buffer], list[cl.Event]]:
        made: dict[Region, cl.Buffer] = {}
        events = []
        with reported(f"allocate {size_text(self._each)} for transformed weights", self._queue.device):
            for index, each in enumerate(self._recalled):
                buffer = made["recalled", index] = cl.Buffer(self._queue.context, cl.mem_flags.READ_WRITE, each.nbytes)
                events.append(cl.enqueue_fill_buffer(self._queue, buffer, np.uint8(0), 0, each.nbytes))
        return made, events
