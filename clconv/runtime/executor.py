"""Memory and launches of one compiled graph on one queue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyopencl as cl

from clconv.codegen.persistent import Joined, Region
from clconv.codegen.render import RenderedKernel, check_directory
from clconv.device import DeviceTraits
from clconv.errors import TemplateError
from clconv.runtime.branched import Branched, SideBySide
from clconv.runtime.companion import Companion, Rehearsal, most_companions, shares
from clconv.runtime.context import traits_of
from clconv.runtime.failure import device_error, reported, size_text
from clconv.runtime.launch import Launch, bind, check_bindings
from clconv.runtime.persistent import Persistent, whole_of, why_separate
from clconv.runtime.placed import Place, PlacedStep
from clconv.runtime.programs import Programs, programs_for, statistics
from clconv.runtime.promotion import Promotion
from clconv.runtime.recall import Recall, Recalled
from clconv.runtime.resident import Resident, is_in_order
from clconv.runtime.texts import rendered_text
from clconv.runtime.transfer import upload

log = logging.getLogger(__name__)


@dataclass
class Timing:
    """One launch of a profiled run; milliseconds on the device."""

    label: str
    kernel: str
    text: str
    milliseconds: float


@dataclass
class _Open:
    """Kernel arguments to set before each run, by input, output or scalar; `residents` those to set before each preparation."""

    buffers: dict[tuple[str, int], list[tuple[cl.Kernel, int]]] = field(default_factory=dict)
    residents: dict[int, list[tuple[cl.Kernel, int]]] = field(default_factory=dict)
    scalars: dict[str, list[tuple[cl.Kernel, int, type]]] = field(default_factory=dict)


class Executor:
    """Builds what is missing, binds once; a run sets the open arguments and enqueues. Not re-entrant: the caller lets one thread in.

    Parameters that only prepared steps read are held during `prepare` only, so that their memory can be freed after it; `keep_weights`
    holds them too. What the driver refuses is raised as DeviceError. The executor can be used again then: the next run sets and enqueues
    everything anew; `written` then numbers the parameters that the failed run had changed already.
    """

    def __init__(
        self,
        queue: cl.CommandQueue,
        steps: Sequence[PlacedStep],
        arena_bytes: int,
        prepared_bytes: int,
        constants: Sequence[np.ndarray] = (),
        residents: Sequence[Resident] = (),
        directory: str | None = None,
        keep_weights: bool = False,
        branched: Branched | None = None,
        persistent: bool | None = False,
        recalled: Sequence[Recalled] = (),
    ) -> None:
        check_directory(directory)
        self.queue = queue
        self.traits: DeviceTraits = traits_of(queue.device)
        self.steps = tuple(steps)
        self.arena_bytes, self.prepared_bytes = arena_bytes, prepared_bytes
        self.residents = tuple(residents)
        self._held = frozenset(range(len(self.residents)) if keep_weights else _residents_of_runs(self.steps))
        self.directory = directory
        self.in_order = is_in_order(queue)
        self.written: set[int] = set()
        self._open = _Open()
        self._last: cl.Event | None = None
        self._arena = self._allocate(arena_bytes, "intermediate results")
        self._prepared = self._allocate(prepared_bytes, "packed weights")
        self.recall = Recall(queue, recalled)
        self._constants = [self._allocate(array.nbytes, "a constant") for array in constants]
        for buffer, array in zip(self._constants, constants, strict=True):
            upload(queue, buffer, array)
        for index in self._held:
            self.residents[index].hold(self)
        texts = self._build(programs_for(queue.context, queue.device))
        self._prepare, self._run = self._bind_all(texts)
        self._beside: SideBySide | None = None
        if branched is not None and not all(branched.alone) and self.in_order:
            counts = [len(self._launches_of(step)) for step in self.steps if not step.prepared]
            with reported("make a queue for branches", queue.device):
                self._beside = SideBySide(queue, branched, counts)
        programs = programs_for(queue.context, queue.device)
        running = [step for step in self.steps if not step.prepared]
        join = partial(whole_of, running, branched, texts, self.traits, directory)
        self.promotion = Promotion(join, self._bind_whole, programs, self.traits, persistent, why_separate(running, self.traits))
        self._writes = [step.writes for step in self.steps if not step.prepared for _ in self._launches_of(step)]

    def _allocate(self, nbytes: int, what: str) -> cl.Buffer:
        with reported(f"allocate {size_text(nbytes)} for {what}", self.queue.device):
            return cl.Buffer(self.queue.context, cl.mem_flags.READ_WRITE, max(nbytes, 4))

    @staticmethod
    def _launches_of(step: PlacedStep) -> Sequence[object]:
        return step.plan.calls if step.plan else step.outputs

    def _memory(self, place: Place) -> cl.Buffer | None:
        """The buffer to bind; None for what is only known when a run, or a preparation, begins."""
        if place.region in ("arena", "prepared"):
            whole = self._arena if place.region == "arena" else self._prepared
            return whole[place.offset : place.offset + max(place.nbytes, 4)]
        if place.region == "constant":
            return self._constants[place.index]
        return self.residents[place.index].buffer if place.region == "resident" and place.index in self._held else None

    def _bind_all(self, texts: Mapping[int, RenderedKernel]) -> tuple[list[Launch | Place], list[Launch | Place]]:
        programs = programs_for(self.queue.context, self.queue.device)
        prepare: list[Launch | Place] = []
        run: list[Launch | Place] = []
        for step in self.steps:
            target = prepare if step.prepared else run
            if step.plan is None:
                target.extend(step.operands[name] for name in step.outputs)
                continue
            with reported(f"divide the memory for {step.label}", self.queue.device):
                memory = {name: m for name, place in step.operands.items() if (m := self._memory(place)) is not None}
            for call in step.plan.calls:
                launch = bind(call, programs, memory, label=step.label, text=texts[id(call)])
                target.append(launch)
                for operand, arguments in launch.open_buffers.items():
                    place = step.operands[operand]
                    uses = [(launch.kernel, index) for index in arguments]
                    if place.region == "resident":
                        self._open.residents.setdefault(place.index, []).extend(uses)
                    else:
                        self._open.buffers.setdefault((place.region, place.index), []).extend(uses)
                for name, scalars in launch.open_scalars.items():
                    self._open.scalars.setdefault(name, []).extend((launch.kernel, index, kind) for index, kind in scalars)
        return prepare, run

    def _build(self, programs: Programs) -> dict[int, RenderedKernel]:
        """All kernels that are missing, at once; errors end with the command that shows the kernel at fault. Returns the kernels by the
        ids of their calls."""
        texts: dict[int, RenderedKernel] = {}
        kernels: list[RenderedKernel] = []
        commands: dict[str, str] = {}
        rehearsals: dict[str, Rehearsal] = {}
        known = statistics.kernels_rendered
        for step in self.steps:
            sizes = {name: place.nbytes for name, place in step.operands.items()}
            try:
                for call in step.plan.calls if step.plan else ():
                    text = texts[id(call)] = rendered_text(call.source, self.directory)
                    check_bindings(call, text)
                    if text.symbol not in commands:
                        kernels.append(text)
                        commands[text.symbol] = reproduce(step, self.directory)
                        rehearsals[text.symbol] = Rehearsal.of(text, call, sizes)
            except TemplateError as error:
                raise TemplateError(f"{error}\nreproduce: {reproduce(step, self.directory)}") from error
        missing = [kernel for kernel in kernels if not programs.has([kernel.symbol])]
        # Always cut alike: a program is found in the driver's cache only as it was built.
        first, *others = shares(missing, most_companions(self.traits))
        companions: list[Companion | None] = [None] * len(others)
        if 2 * (statistics.kernels_rendered - known) > len(missing):  # what was rendered before has been compiled before
            companions = [Companion(self.traits, share, [rehearsals[kernel.symbol] for kernel in share]) for share in others]
        programs.kernels(first, commands)
        for companion, share in zip(companions, others, strict=True):
            if companion is not None:
                companion.meet()
            programs.kernels(share, commands)
        return texts

    def _bind_whole(self, whole: Joined) -> Persistent:
        return Persistent(self.queue, whole, programs_for(self.queue.context, self.queue.device), self._region)

    def _region(self, region: Region) -> cl.Buffer | None:
        """All of the memory that places in this region and of this index are in; None for what comes with each run."""
        name, index = region
        if name in ("arena", "prepared"):
            return self._arena if name == "arena" else self._prepared
        return self._memory(Place(name, index))

    @property
    def launches(self) -> list[Launch]:
        """The kernels of a run in order, as bound for the last one."""
        return [launch for launch in self._run if isinstance(launch, Launch)]

    @property
    def launch_count(self) -> int:
        """Launches of a run, without those that only follow a change of parameters; 1 when all have become one, which they are but where
        `out=` lies where inputs do."""
        return len(self._run) if self.promotion.persistent is None else 1

    @property
    def scalar_names(self) -> tuple[str, ...]:
        return tuple(self._open.scalars)

    def set_scalars(self, scalars: Mapping[str, float]) -> None:
        try:
            for name, uses in self._open.scalars.items():
                for kernel, index, kind in uses:
                    kernel.set_arg(index, kind(scalars[name]))
        except cl.Error as error:
            raise device_error(f"set the scalar {name}", error, self.queue.device) from error

    def prepare(self) -> None:
        """Run what depends on parameters and constants only, all of it in order: intermediate results share memory.

        On an out-of-order queue the last run must be over, and the next waits.
        """
        try:
            for number, uses in self._open.residents.items():
                buffer = self.residents[number].buffer
                for kernel, index in uses:
                    kernel.set_arg(index, buffer)
        except cl.Error as error:
            raise device_error("hand parameters to the kernels", error, self.queue.device) from error
        event = self._enqueue(self._prepare, self._waits(None, range(len(self.residents))))
        if event is not None:
            self._last = event
            for resident in self.residents:
                resident.last = (self.queue, event)

    def run(
        self, external: Mapping[tuple[str, int], cl.Buffer], wait_for: list[cl.Event] | None = None, in_turn: bool = False
    ) -> cl.Event | None:
        """Enqueue one run on `external` buffers, keyed ("input" | "output", number); the event is that of its end.

        `in_turn`: one launch after the other even where they could be side by side, because results may lie where inputs do.
        """
        self.written.clear()
        external = self.recall.added(external)
        self._set_external(external)
        waits = self._waits(wait_for, self._held)
        persistent = None if in_turn else self.promotion.current()
        if persistent is not None:
            with reported("launch all operations as one", self.queue.device):
                self._last = persistent.enqueue(external, waits)
        else:
            self._last = self._enqueue(self._run, waits, external, None if in_turn else self._beside)
        if self._last is not None:
            latest = (self.queue, self._last)
            for index in self._held:
                self.residents[index].last = latest
        return self._last

    def _waits(self, wait_for: list[cl.Event] | None, residents: Iterable[int]) -> list[cl.Event] | None:
        """`wait_for`, and what this queue's own order does not see to: the run before, and other runs on the same parameters."""
        events = list(wait_for or ())
        if not self.in_order and self._last is not None:
            events.append(self._last)
        for index in residents:
            events += self.residents[index].pending(self.queue, self.in_order)
        return list(dict.fromkeys(events)) or None

    def _set_external(self, external: Mapping[tuple[str, int], cl.Buffer]) -> None:
        try:
            for key, uses in self._open.buffers.items():
                buffer = external[key]
                for kernel, index in uses:
                    kernel.set_arg(index, buffer)
        except cl.Error as error:
            raise device_error(f"hand {key[0]} {key[1] + 1} to the kernels", error, self.queue.device) from error

    def _enqueue(
        self,
        launches: Sequence[Launch | Place],
        wait_for: list[cl.Event] | None,
        external: Mapping[tuple[str, int], cl.Buffer] | None = None,
        beside: SideBySide | None = None,
    ) -> cl.Event | None:
        events: list[cl.Event] = []
        try:
            if beside is not None:
                return beside.enqueue(launches, wait_for, events)  # type: ignore[arg-type]  # none of them fills
            self._enqueue_in_turn(launches, wait_for, external or {}, events)
        except cl.Error as error:
            self._settle()
            if launches is self._run:
                self.written = {number for writes in self._writes[: len(events)] for number in writes}
            raise device_error(_doing(launches[len(events) :]), error, self.queue.device) from error
        return events[-1] if events else None

    def _enqueue_in_turn(
        self,
        launches: Sequence[Launch | Place],
        wait_for: list[cl.Event] | None,
        external: Mapping[tuple[str, int], cl.Buffer],
        events: list[cl.Event],
    ) -> None:
        queue, in_order, enqueue = self.queue, self.in_order, cl.enqueue_nd_range_kernel
        for launch in launches:
            if isinstance(launch, Place):
                event = self._fill(launch, wait_for, external)
            elif wait_for is None:
                event = enqueue(queue, launch.kernel, launch.global_size, launch.local_size)
            else:
                event = enqueue(queue, launch.kernel, launch.global_size, launch.local_size, None, wait_for)
            events.append(event)
            wait_for = None if in_order else [event]

    def _fill(self, place: Place, wait_for: list[cl.Event] | None, external: Mapping[tuple[str, int], cl.Buffer]) -> cl.Event:
        buffer = self._memory(place) or external[(place.region, place.index)]
        return cl.enqueue_fill_buffer(self.queue, buffer, np.uint8(0), 0, max(place.nbytes, 1), wait_for=wait_for)

    def _settle(self) -> None:
        """After an error, wait for what was enqueued: without a queue's order the next run could not know of it."""
        if self.in_order and self._beside is None:
            return
        self._last = None
        try:
            if self._beside is not None:
                self._beside.settle()
            self.queue.finish()
        except cl.Error as error:
            log.debug("the queue cannot be waited for either: %s", error)

    def profile(self, external: Mapping[tuple[str, int], cl.Buffer], repeats: int) -> list[Timing]:
        """Median time of every launch over `repeats` runs, on a profiling queue of its own."""
        with reported("profile", self.queue.device):
            return self._profile(external, repeats)

    def _profile(self, external: Mapping[tuple[str, int], cl.Buffer], repeats: int) -> list[Timing]:
        self.queue.finish()
        queue = cl.CommandQueue(self.queue.context, self.queue.device, properties=cl.command_queue_properties.PROFILING_ENABLE)
        self._set_external(self.recall.added(external))
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
        return "\n".join(rendered_text(source, self.directory).text for source in dict.fromkeys(found))

    def poison(self) -> None:
        """Fill the arena with NaN; a run must not notice."""
        if self.arena_bytes:
            cl.enqueue_fill_buffer(self.queue, self._arena, np.float32(np.nan), 0, self.arena_bytes // 4 * 4)


def _doing(rest: Sequence[Launch | Place]) -> str:
    """What is under way when the launches `rest` are still to come."""
    if not rest:
        return "join the branches of the graph"
    return f"launch {rest[0].call.source.entry} of {rest[0].label}" if isinstance(rest[0], Launch) else "fill a result with zeros"


def _residents_of_runs(steps: Sequence[PlacedStep]) -> set[int]:
    """The parameters that steps of every run read or write."""
    places = (place for step in steps if not step.prepared for place in step.operands.values())
    return {place.index for place in places if place.region == "resident"}


def reproduce(step: PlacedStep, directory: str | None) -> str:
    """The command that shows the step's kernels, where its problem has a text form; else what to compile."""
    edited = f" --kernels {directory}" if directory else ""
    if step.text.split(" ")[0] not in ("conv", "deconv", "maxpool", "avgpool"):
        return f"compile what holds {step.label}: {step.text}{edited}"
    return f"clconv source '{step.text}' --algorithm {step.algorithm}{edited}"
