"""A run as one launch of the kernel that codegen.persistent joins: from which steps, and bound to memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyopencl as cl

from clconv.codegen.persistent import Joined, Member, Region, join, why_not, why_not_calls
from clconv.codegen.render import RenderedKernel
from clconv.device import DeviceTraits
from clconv.runtime.branched import Branched
from clconv.runtime.companion import Rehearsal
from clconv.runtime.failure import reported
from clconv.runtime.placed import PlacedStep
from clconv.runtime.programs import Programs


def why_separate(steps: Sequence[PlacedStep], traits: DeviceTraits) -> str | None:
    """A sentence why the launches of the steps of a run stay apart, as far as that is seen without their texts."""
    calls = [call for step in steps for call in (step.plan.calls if step.plan else ())]
    if not traits.is_cpu:
        return "only a CPU device lets its work-groups wait for one another"
    if any(step.writes for step in steps):
        return "the run changes parameters"
    if any(step.plan is None for step in steps):
        return "the run fills memory with zeros"
    return why_not_calls(calls) if len(calls) > 1 else "there is only one"


def whole_of(
    steps: Sequence[PlacedStep],
    branched: Branched | None,
    texts: Mapping[int, RenderedKernel],
    traits: DeviceTraits,
    directory: str | None,
) -> Joined | str:
    """All launches of the steps of a run as one, or a sentence why they stay apart; `texts` has their kernels by the ids of the calls.

    Raises TemplateError where an edited template does not render.
    """
    members = members_of(steps, branched, texts)
    if reason := why_separate(steps, traits) or why_not(members):
        return reason
    whole = join(members, traits.compute_units, directory)
    if whole.local_bytes > traits.local_memory_bytes:
        return f"they need {whole.local_bytes} bytes of local memory, {traits.label} has {traits.local_memory_bytes}"
    return whole


def members_of(steps: Sequence[PlacedStep], branched: Branched | None, texts: Mapping[int, RenderedKernel]) -> list[Member]:
    """The launches of a run's steps, with what each waits for."""
    if branched is None or len(branched.waits) != len(steps):
        branched = Branched.in_order(len(steps))
    members: list[Member] = []
    last: list[int] = []
    for step, before in zip(steps, branched.waits, strict=True):
        places = {name: ((place.region, place.index), place.offset) for name, place in step.operands.items()}
        waits = tuple(last[each] for each in before)
        for call in step.plan.calls if step.plan else ():
            used = {name: places[name] for _, name in call.bindings if isinstance(name, str)}
            members.append(Member(texts[id(call)], call, used, waits))
            waits = (len(members) - 1,)
        last.append(len(members) - 1)
    return members


class Persistent:
    """The bound kernel. Its counters are left at 0 by each run; runs must follow one another, as they do for the memory they share."""

    def __init__(self, queue: cl.CommandQueue, joined: Joined, programs: Programs, memory: Callable[[Region], cl.Buffer | None]) -> None:
        """`memory` gives the buffer of a region, None for inputs and outputs, which come with each run. Raises BuildError, DeviceError.

        Nothing is enqueued: the queue may be waiting for what only the caller can bring about.
        """
        self.queue, self.size = queue, (joined.groups,)
        symbol = joined.kernel.symbol
        program = programs.kernels([joined.kernel])[symbol]
        with reported("set up all launches of a run as one", queue.device):
            self._kernel = cl.Kernel(program, symbol)
            numbers = np.array(joined.table, np.int32), np.zeros(joined.counters, np.int32)
            flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
            buffers = [cl.Buffer(queue.context, flags, hostbuf=array) for array in numbers]
            self._open: list[tuple[int, Region]] = []
            self._keep: list[cl.Buffer] = list(buffers)
            for index, region in enumerate(joined.regions):
                if (found := memory(region)) is None:
                    self._open.append((index, region))
                else:
                    self._kernel.set_arg(index, found)
                    self._keep.append(found)
            rest = (*buffers, cl.LocalMemory(joined.local_bytes), np.int32(joined.launches))
            for index, argument in enumerate(rest, len(joined.regions)):
                self._kernel.set_arg(index, argument)

    def enqueue(self, external: Mapping[Region, cl.Buffer], wait_for: list[cl.Event] | None) -> cl.Event:
        for index, region in self._open:
            self._kernel.set_arg(index, external[region])
        return cl.enqueue_nd_range_kernel(self.queue, self._kernel, self.size, (1,), None, wait_for)


def rehearsal(joined: Joined) -> Rehearsal:
    """A launch that finds no ticket to take."""
    regions = [("buffer", 4.0)] * len(joined.regions)
    rest = [
        ("buffer", 4.0),
        ("buffer", 4.0 * joined.counters),
        ("local", float(joined.local_bytes)),
        ("int", 0.0),
    ]
    return Rehearsal(joined.kernel.symbol, (*regions, *rest), (1,), (1,))
