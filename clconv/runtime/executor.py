"""Memory and launches of one compiled graph on one queue."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyopencl as cl

from clconv.codegen.plan import Plan
from clconv.codegen.render import render
from clconv.device import DeviceTraits
from clconv.errors import DeviceError
from clconv.runtime.context import traits_of
from clconv.runtime.launch import Launch, bind, rendered
from clconv.runtime.programs import programs_for
from clconv.runtime.resident import Resident
from clconv.runtime.transfer import upload


@dataclass(frozen=True)
class Place:
    """Where an operand lives: `region` is arena, prepared, constant, resident, input or output; `index` counts within the last four."""

    region: str
    index: int = 0
    offset: int = 0
    nbytes: int = 0


@dataclass(frozen=True)
class PlacedStep:
    """A plan with its operands' places. Without a plan, the step fills its outputs with zeros (reductions over nothing)."""

    label: str
    text: str
    plan: Plan | None
    operands: Mapping[str, Place]
    outputs: tuple[str, ...]
    prepared: bool = False


@dataclass
class Timing:
    """One launch of a profiled run; milliseconds on the device."""

    label: str
    kernel: str
    text: str
    milliseconds: float


@dataclass
class _Open:
    """Kernel arguments to set before each run, by input, output or scalar."""

    buffers: dict[tuple[str, int], list[tuple[cl.Kernel, int]]] = field(default_factory=dict)
    scalars: dict[str, list[tuple[cl.Kernel, int, type]]] = field(default_factory=dict)


class Executor:
    """Builds what is missing, binds once; a run sets the open arguments and enqueues. Not re-entrant: the caller holds `lock`."""

    def __init__(
        self,
        queue: cl.CommandQueue,
        steps: Sequence[PlacedStep],
        arena_bytes: int,
        prepared_bytes: int,
        constants: Sequence[np.ndarray] = (),
        residents: Sequence[Resident] = (),
        directory: str | None = None,
    ) -> None:
        self.queue = queue
        self.traits: DeviceTraits = traits_of(queue.device)
        self.steps = tuple(steps)
        self.arena_bytes, self.prepared_bytes = arena_bytes, prepared_bytes
        self.residents = tuple(residents)
        self.directory = directory
        self.lock = threading.Lock()
        self.in_order = not queue.properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE
        self._open = _Open()
        self._last: cl.Event | None = None
        try:
            self._arena = self._allocate(arena_bytes)
            self._prepared = self._allocate(prepared_bytes)
            self._constants = [self._allocate(array.nbytes) for array in constants]
            for buffer, array in zip(self._constants, constants, strict=True):
                upload(queue, buffer, array)
        except (cl.MemoryError, cl.RuntimeError) as error:
            raise DeviceError(
                f"{self.traits.label}: cannot allocate {(arena_bytes + prepared_bytes) / 2**20:.0f} MiB of device memory ({error}); "
                "use a smaller batch or a device with more memory"
            ) from error
        self._prepare, self._run = self._bind_all()

    def _allocate(self, nbytes: int) -> cl.Buffer:
        return cl.Buffer(self.queue.context, cl.mem_flags.READ_WRITE, max(nbytes, 4))

    def _memory(self, place: Place) -> cl.Buffer | None:
        if place.region in ("arena", "prepared"):
            whole = self._arena if place.region == "arena" else self._prepared
            return whole[place.offset : place.offset + max(place.nbytes, 4)]
        if place.region == "constant":
            return self._constants[place.index]
        return self.residents[place.index].buffer if place.region == "resident" else None

    def _bind_all(self) -> tuple[list[Launch | Place], list[Launch | Place]]:
        programs = programs_for(self.queue.context, self.queue.device)
        calls = [call for step in self.steps if step.plan for call in step.plan.calls]
        texts = ", ".join(dict.fromkeys(step.text for step in self.steps))
        programs.kernels(rendered(calls, self.directory), reproduce(self.steps) or texts)
        prepare: list[Launch | Place] = []
        run: list[Launch | Place] = []
        for step in self.steps:
            target = prepare if step.prepared else run
            if step.plan is None:
                target.extend(step.operands[name] for name in step.outputs)
                continue
            memory = {name: m for name, place in step.operands.items() if (m := self._memory(place)) is not None}
            for call in step.plan.calls:
                launch = bind(call, programs, memory, label=step.label, directory=self.directory, reproduce=step.text)
                target.append(launch)
                for operand, arguments in launch.open_buffers.items():
                    place = step.operands[operand]
                    for index in arguments:
                        self._open.buffers.setdefault((place.region, place.index), []).append((launch.kernel, index))
                for name, uses in launch.open_scalars.items():
                    self._open.scalars.setdefault(name, []).extend((launch.kernel, index, kind) for index, kind in uses)
        return prepare, run

    @property
    def launch_count(self) -> int:
        """Launches of a run, without those that only follow a change of parameters."""
        return len(self._run)

    @property
    def scalar_names(self) -> tuple[str, ...]:
        return tuple(self._open.scalars)

    def set_scalars(self, scalars: Mapping[str, float]) -> None:
        for name, uses in self._open.scalars.items():
            for kernel, index, kind in uses:
                kernel.set_arg(index, kind(scalars[name]))

    def prepare(self) -> None:
        """Run what depends on parameters and constants only. On an out-of-order queue the last run must be over, and the next waits."""
        wait_for = [self._last] if not self.in_order and self._last is not None else None
        self._last = self._enqueue(self._prepare, self.queue, wait_for) or self._last

    def run(self, external: Mapping[tuple[str, int], cl.Buffer], wait_for: list[cl.Event] | None = None) -> cl.Event | None:
        """Enqueue one run on `external` buffers, keyed ("input" | "output", number); the event is that of the last launch."""
        self._set_external(external)
        if not self.in_order and self._last is not None:
            wait_for = [*(wait_for or ()), self._last]
        self._last = self._enqueue(self._run, self.queue, wait_for, external)
        return self._last

    def _set_external(self, external: Mapping[tuple[str, int], cl.Buffer]) -> None:
        for key, uses in self._open.buffers.items():
            buffer = external[key]
            for kernel, index in uses:
                kernel.set_arg(index, buffer)

    def _enqueue(
        self,
        launches: Sequence[Launch | Place],
        queue: cl.CommandQueue,
        wait_for: list[cl.Event] | None,
        external: Mapping[tuple[str, int], cl.Buffer] | None = None,
    ) -> cl.Event | None:
        event = None
        try:
            for launch in launches:
                if isinstance(launch, Launch):
                    event = cl.enqueue_nd_range_kernel(queue, launch.kernel, launch.global_size, launch.local_size, wait_for=wait_for)
                else:
                    buffer = self._memory(launch) or (external or {})[(launch.region, launch.index)]
                    event = cl.enqueue_fill_buffer(queue, buffer, np.uint8(0), 0, max(launch.nbytes, 1), wait_for=wait_for)
                wait_for = None if self.in_order else [event]
        except (cl.MemoryError, cl.RuntimeError) as error:
            name = launch.label if isinstance(launch, Launch) else "fill"
            raise DeviceError(f"{self.traits.label}: launching {name} failed ({error}); if memory is short, use a smaller batch") from error
        return event

    def profile(self, external: Mapping[tuple[str, int], cl.Buffer], repeats: int) -> list[Timing]:
        """Median time of every launch over `repeats` runs, on a profiling queue of its own."""
        self.queue.finish()
        queue = cl.CommandQueue(self.queue.context, self.queue.device, properties=cl.command_queue_properties.PROFILING_ENABLE)
        self._set_external(external)
        rows: list[list[float]] = [[] for _ in self._run]
        launches = [launch for launch in self._run if isinstance(launch, Launch)]
        for _ in range(repeats + 1):
            events = [launch.enqueue(queue) for launch in launches]
            queue.finish()
            for row, event in zip(rows, events, strict=False):
                row.append((event.profile.end - event.profile.start) * 1e-6)
        texts = {(step.label, call.source): step.text for step in self.steps if step.plan for call in step.plan.calls}
        return [
            Timing(launch.label, launch.call.source.entry, texts[(launch.label, launch.call.source)], float(np.median(row[1:])))
            for launch, row in zip(launches, rows, strict=False)
        ]

    def sources(self, label: str) -> str:
        """The OpenCL C of every kernel that steps of this label run."""
        found = [call.source for step in self.steps if step.label == label and step.plan for call in step.plan.calls]
        return "\n".join(render(source, self.directory).text for source in dict.fromkeys(found))

    def poison(self) -> None:
        """Fill the arena with NaN; a run must not notice."""
        if self.arena_bytes:
            cl.enqueue_fill_buffer(self.queue, self._arena, np.float32(np.nan), 0, self.arena_bytes // 4 * 4)


def reproduce(steps: Sequence[PlacedStep]) -> str:
    """A command that shows the kernels of the first step that has a text form of its own."""
    text = next((s.text for s in steps if s.text.split(" ")[0] in ("conv", "deconv", "maxpool", "avgpool")), "")
    return f"clconv source '{text}'" if text else ""
