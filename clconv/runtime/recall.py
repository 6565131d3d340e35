"""Memory of what earlier runs made of weights that come with each run, as long as they do not change."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyopencl as cl

from clconv.codegen.persistent import Region
from clconv.errors import DeviceError
from clconv.runtime.failure import reported, size_text

MOST_BYTES = 128 << 20
"""For all runs together, beyond the first set of buffers of each."""
MOST_NEW = 8
"""Sets of one run whose weights have not come a second time: whoever makes new arrays all the time needs no more."""

Key = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Recalled:
    """A buffer for what is made of the input of this number."""

    input: int
    nbytes: int


@dataclass
class _Set:
    buffers: dict[Region, cl.Buffer]
    came_back: bool = False


class _Extra:
    """Bytes of sets beyond the first of each run, here and in all runs; what a run held is given back when it is dropped."""

    total = 0
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.nbytes = 0

    def take(self, nbytes: int) -> bool:
        """Whether there is room for so much more."""
        with self._lock:
            if _Extra.total + nbytes > MOST_BYTES:
                return False
            _Extra.total += nbytes
            self.nbytes += nbytes
            return True

    def give_back(self, nbytes: int | None = None) -> None:
        """So much of it, or all."""
        with self._lock:
            nbytes = self.nbytes if nbytes is None else nbytes
            _Extra.total -= nbytes
            self.nbytes -= nbytes


class Recall:
    """Sets of buffers by the memory that a run's inputs came in. The run's lock keeps threads apart.

    Which set a run gets is a matter of speed only: kernels compare, as `Plan.recalled` says, and other weights in the same memory, or in
    memory seen for the first time, are told by what they are. So layers of one shape, each with weights of its own, do not displace one
    another until there is no more room; then the set that was used longest ago serves.
    """

    def __init__(self, queue: cl.CommandQueue, recalled: Sequence[Recalled]) -> None:
        self._queue, self._recalled = queue, tuple(recalled)
        self._inputs = tuple(dict.fromkeys(each.input for each in recalled))
        self._sets: OrderedDict[Key, _Set] = OrderedDict()
        self._each = sum(each.nbytes for each in recalled)
        self._extra = _Extra()
        weakref.finalize(self, self._extra.give_back)

    @property
    def nbytes(self) -> int:
        """Bytes on the device; the first set counts from the start."""
        return self._each * max(1, len(self._sets))

    def added(self, external: Mapping[Region, cl.Buffer]) -> Mapping[Region, cl.Buffer]:
        """`external` with the buffers for its inputs. Raises DeviceError where there is no room for the first."""
        if not self._recalled:
            return external
        key = tuple(_place(external["input", index]) for index in self._inputs)
        found = self._sets.get(key)
        if found is not None:
            found.came_back = True
        else:
            found = self._sets[key] = self._new() or self._oldest()
        self._sets.move_to_end(key)
        return {**external, **found.buffers}

    def _new(self) -> _Set | None:
        """A set of its own, unless there is no more room for one."""
        if not self._sets:
            return self._made()
        if sum(not each.came_back for each in self._sets.values()) >= MOST_NEW or not self._extra.take(self._each):
            return None
        try:
            return self._made()
        except DeviceError:
            self._extra.give_back(self._each)
            return None

    def _oldest(self) -> _Set:
        """The set that was used longest ago, of those whose weights came but once if they are too many."""
        new = [key for key, each in self._sets.items() if not each.came_back]
        found = self._sets.pop(new[0] if len(new) >= MOST_NEW else next(iter(self._sets)))
        found.came_back = False
        return found

    def _made(self) -> _Set:
        """Zeros, of which nothing but zeros is made; written before they return, whatever the queue waits for."""
        buffers: dict[Region, cl.Buffer] = {}
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        with reported(f"allocate {size_text(self._each)} for transformed weights", self._queue.device):
            for index, each in enumerate(self._recalled):
                buffers["recalled", index] = cl.Buffer(self._queue.context, flags, hostbuf=np.zeros(each.nbytes, np.uint8))
        return _Set(buffers)


def _place(buffer: cl.Buffer) -> tuple[int, int]:
    """The memory that a buffer, or the one it is part of, stands for, and the byte where it begins."""
    whole = buffer.get_info(cl.mem_info.ASSOCIATED_MEMOBJECT)
    return (buffer.int_ptr, 0) if whole is None else (whole.int_ptr, buffer.get_info(cl.mem_info.OFFSET))
