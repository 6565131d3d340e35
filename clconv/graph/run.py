"""A graph made ready to run, and the object that callers hold: choices, memory and launches behind one call."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clconv.codegen.plan import KernelSource
from clconv.errors import ArrayError, ClconvError, DeviceError, UnsupportedError
from clconv.graph.assembly import Assembly, Options
from clconv.graph.budget import device_bytes, over_budget
from clconv.graph.explain import Profile, explain, profile_of
from clconv.graph.network import Network
from clconv.graph.node import Node
from clconv.graph.overlap import check_overlap
from clconv.graph.parameter import Parameter
from clconv.graph.recovery import restore
from clconv.graph.reuse import Ready
from clconv.graph.schedule import Step
from clconv.graph.trace import Graph
from clconv.graph.validate import check_algorithms, check_graph
from clconv.runtime import arrays
from clconv.runtime.companion import most_companions
from clconv.runtime.context import device_of, traits_of
from clconv.runtime.executor import Executor
from clconv.runtime.improvement import REUSED, Improvement
from clconv.runtime.launch import Launch, is_built
from clconv.runtime.placed import PlacedStep
from clconv.runtime.programs import programs_for
from clconv.runtime.resident import Resident, preparing
from clconv.runtime.staging import Staging
from clconv.tensor import PLAIN, Layout

MOST_VARIANTS = 64


@dataclass
class Variant:
    """A graph made ready for one way of storing its inputs and outputs. `prepared_for`: the parameters' versions it was prepared from."""

    assembly: Assembly
    executor: Executor
    prepared_for: list[int] | None = None


class Run:
    """A compiled graph: call it with arrays. Calls from several threads are serialised.

    Inputs may be NumPy arrays or pyopencl arrays, views too; results are pyopencl arrays that belong to the caller. `taken` bytes of
    what the network may take on the device are other stages' already.
    """

    def __init__(
        self,
        graph: Graph,
        queue: Any,
        options: Options = Options(),  # noqa: B008
        network: Network | None = None,
        taken: int = 0,
    ) -> None:
        self.graph, self.queue, self.options, self.network, self._taken = graph, queue, options, network, taken
        check_graph(graph)
        check_algorithms(options.algorithms, graph)
        self.traits = traits_of(device_of(queue))
        self.input_names = tuple(node["name"] for node in graph.inputs)
        self._expected = [(node.shape, arrays.DTYPES[node.dtype]) for node in graph.inputs]
        self.seed = self.calls = 0
        self._plain = ((PLAIN,) * len(graph.inputs), (PLAIN,) * len(graph.outputs))
        self._variants: OrderedDict[tuple[tuple[Layout, ...], tuple[Layout, ...]], Variant] = OrderedDict()
        self._lock = threading.Lock()
        self._staging = Staging()
        self._variant(*self._plain)
        self._improvement = self._hope()

    @property
    def _main(self) -> Variant:
        """The variant for plain inputs and outputs, which every run has."""
        return self._variants[self._plain]

    def _variant(self, inputs: tuple[Layout, ...], outputs: tuple[Layout, ...]) -> Variant:
        """The graph made ready for inputs and outputs stored this way; views get a variant of their own when they first appear."""
        found = self._variants.get((inputs, outputs))
        if found is not None:
            self._variants.move_to_end((inputs, outputs))
            return found
        found = self._variants[(inputs, outputs)] = self._made(inputs, outputs, self.options)
        while len(self._variants) > MOST_VARIANTS:
            del self._variants[next(key for key in self._variants if key != self._plain)]
        return found

    def _made(self, inputs: tuple[Layout, ...], outputs: tuple[Layout, ...], options: Options) -> Variant:
        ready = Ready(self.traits, self._is_built) if options.reuse else None
        assembly = Assembly(self.graph, self.traits, options, inputs, outputs, ready)
        steps = assembly.placed()
        self._check_memory(assembly)
        residents = [self._resident(parameter) for parameter in assembly.parameters]
        memory = assembly.memory.total, assembly.prepared_memory.total, assembly.constants, residents
        # Views that come later are not worth a wait for a kernel that holds all others: one for them is built when they come often.
        persistent = options.persistent if (inputs, outputs) == self._plain or not options.persistent else None
        held = options.directory, options.keep_weights
        return Variant(assembly, Executor(self.queue, steps, *memory, *held, assembly.branched, persistent, assembly.recalled))

    def _check_memory(self, assembly: Assembly) -> None:
        """Declares what the run will take on the device before anything of it is allocated; raises where that is too much."""
        asked = self.options.max_bytes
        if asked is None and self.network is not None:
            asked = self.network.max_bytes
        error = over_budget(assembly, asked, self.traits.global_memory_bytes, self._taken)
        if error:
            raise self.network.refusal(error) if self.network is not None else DeviceError(error)

    @property
    def declared_bytes(self) -> int:
        """What it takes on the device, as it was added up before anything was allocated."""
        return sum(device_bytes(self._main.assembly).values())

    def retune(self) -> int:
        """Choose again by what the tuning database holds now, and build whatever that needs; the number of operations that changed.

        A run compiled with `reuse=True` gets the parameters it had to do without. On an error the run stays as it was.

        >>> run = compile(net, shape); tune_network(net, shape, run.queue); run.retune()   # doctest: +SKIP
        12
        """
        with self._lock:
            options = replace(self.options, reuse=False, tuned=True)
            made, before = self._made(*self._plain, options), self._main.assembly
            self._variants, self.options, self._improvement = OrderedDict({self._plain: made}), options, None
        was, now = (
            Counter((step.label, str(step.problem), a.plans.get(id(step))) for step in a.steps) for a in (before, made.assembly)
        )  # fmt: skip
        return (now - was).total()

    def _hope(self) -> Improvement | None:
        """For a run that took what was built.

        None where no process may help, where the run changes parameters, because training goes on as it began, and where it was to be one
        launch from the start, because it would not be for a while.
        """
        assembly, options = self._main.assembly, self.options
        if not options.reuse or options.persistent or assembly.updated or not most_companions(self.traits):
            return None

        def ideal() -> list[PlacedStep]:
            return Assembly(self.graph, self.traits, replace(options, reuse=False), *self._plain).placed()

        used = (call.source for plan in assembly.plans.values() for call in plan.calls)
        return Improvement(ideal, used, programs_for(self.queue.context, self.queue.device), self.traits, options.directory)

    def _improve(self, improvement: Improvement) -> None:
        """Take kernels that another process has built meanwhile, for plain inputs and outputs; where that fails, the run stays as it is."""
        try:
            self._variants[self._plain] = self._made(*self._plain, replace(self.options, reuse=False))
        except ClconvError as error:
            improvement.fail(error)

    def _is_built(self, source: KernelSource) -> bool:
        return is_built(source, programs_for(self.queue.context, self.queue.device), self.options.directory)

    def _resident(self, parameter: Parameter) -> Resident:
        key = self.queue.context.int_ptr
        resident = parameter.residents.get(key)
        if resident is None:
            resident = parameter.residents[key] = Resident(self.queue, parameter.shape)
        assert isinstance(resident, Resident)
        return resident

    def __call__(self, *inputs: Any, out: Any = None, scalars: Mapping[str, float] | None = None, **named: Any) -> Any:
        """One run. Inputs in order or by name; `out`: an array (or tuple of them) to write into; a tuple comes back for several outputs."""
        given = inputs if len(inputs) == len(self.input_names) and not named else self._in_order(inputs, named)
        taken = [
            value if arrays.is_plainly(value, shape, dtype, self.queue) else self._take(value, node, self._staging.copy)
            for value, node, (shape, dtype) in zip(given, self.graph.inputs, self._expected, strict=True)
        ]
        results, out_layouts = self._results(out)
        layouts = (tuple([arrays.layout_of(a, self.traits.buffer_alignment) for a in taken]), out_layouts)
        external = {("input", i): arrays.memory_of(a, layout) for i, (a, layout) in enumerate(zip(taken, layouts[0], strict=True))}
        for i, array in enumerate(results):
            external["output", i] = arrays.memory_of(array, out_layouts[i])
        wait = [event for array in (taken if out is None else [*taken, *results]) for event in array.events]
        with self._lock:
            if self._improvement is not None and layouts == self._plain and self._improvement.is_due():
                self._improve(self._improvement)
            variant = self._variant(*layouts)
            assembly, executor = variant.assembly, variant.executor
            if out is not None:
                check_overlap(assembly.steps, self.input_names, taken, results)
            self._bring(variant)
            if executor.scalar_names:
                executor.set_scalars(self._scalars(executor.scalar_names, scalars or {}))
            try:
                event = executor.run(external, wait or None, in_turn=out is not None and not arrays.are_apart(taken, results))
            except DeviceError as error:
                if note := restore([(assembly.parameters[i], executor.residents[i]) for i in sorted(executor.written)]):
                    raise DeviceError(f"{error}; {note}") from error
                raise
            self._advance(variant)
            self.calls += 1
        if event is not None:
            for array in results:
                array.add_event(event)
            self._staging.done([copy for copy, value in zip(taken, given, strict=True) if copy is not value], event)
        return results[0] if len(results) == 1 else tuple(results)

    def _results(self, out: Any) -> tuple[list[Any], tuple[Layout, ...]]:
        """Arrays for the outputs, new ones where the caller brings none, and how they are stored."""
        if out is None:
            return [arrays.empty(self.queue, node.shape, node.dtype) for node in self.graph.outputs], self._plain[1]
        targets = out if isinstance(out, tuple) else (out,)
        if len(targets) != len(self.graph.outputs):
            raise ArrayError(
                f"out: {len(targets)} arrays given for {len(self.graph.outputs)} results; give one each, or None for a new one"
            )
        results = []
        for target, node in zip(targets, self.graph.outputs, strict=True):
            if target is None:
                target = arrays.empty(self.queue, node.shape, node.dtype)
            else:
                arrays.check_target(target, node.spec, self.queue)
            results.append(target)
        return results, tuple(arrays.layout_of(a, self.traits.buffer_alignment) for a in results)

    def _in_order(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        values = dict(zip(self.input_names, inputs, strict=False)) | named
        if len(inputs) > len(self.input_names) or set(values) != set(self.input_names) or len(values) != len(inputs) + len(named):
            raise ArrayError(
                f"run: takes the inputs ({', '.join(self.input_names)}); got {len(inputs)} in order and ({', '.join(named)}) by name"
            )
        return [values[name] for name in self.input_names]

    def _take(self, value: Any, node: Node, copy: Callable[..., Any] = arrays.to_device) -> Any:
        what = f"input {node['name']!r}"
        if arrays.is_array(value):
            arrays.check_device_array(value, node.spec, self.queue, what)
            return value
        return copy(value, node.spec.with_layout(PLAIN), self.queue, what)

    def _scalars(self, names: Sequence[str], given: Mapping[str, float]) -> dict[str, float]:
        """Values for the run-time numbers `names`; step and seed have defaults, the others must be given."""
        own = {"step": self.calls & 0xFFFFFFFF, "seed_low": self.seed & 0xFFFFFFFF, "seed_high": (self.seed >> 32) & 0xFFFFFFFF}
        values = {**own, **given}
        if missing := [name for name in names if name not in values]:
            raise ArrayError(f"run: needs scalars={{...}} with {', '.join(missing)}; got ({', '.join(given)})")
        return values

    def _bring(self, variant: Variant) -> None:
        """Upload parameters that changed on the host, redo what was prepared from them, and free those that no run reads itself.

        A parameter whose newest value is nowhere but on the device stays there.
        """
        versions = [parameter.version for parameter in variant.assembly.parameters]
        if versions == variant.prepared_for:
            return
        pairs = list(zip(variant.assembly.parameters, variant.executor.residents, strict=True))
        with preparing:
            for parameter, resident in pairs:
                parameter.bring(resident)
            variant.executor.prepare()
            for parameter, resident in pairs:
                if parameter.outlives(resident):
                    resident.free()
        variant.prepared_for = versions

    def _advance(self, variant: Variant) -> None:
        """Note that the device now holds the newest values of what the run updated."""
        assembly = variant.assembly
        for parameter in assembly.updated:
            parameter.advance(self._resident(parameter))
        if assembly.updated:
            variant.prepared_for = [parameter.version for parameter in assembly.parameters]

    @property
    def launches(self) -> list[Launch]:
        """The kernels of one run, bound to the arrays of the last one, which must still be alive; for benchmarks."""
        return self._main.executor.launches

    @property
    def launch_count(self) -> int:
        """Kernel launches of one run."""
        return self._main.executor.launch_count

    @property
    def steps(self) -> list[Step]:
        return self._main.assembly.steps

    @property
    def memory(self) -> dict[str, int]:
        """Bytes on the device: "activations" (arena, scratch too), "prepared" (packed weights and the like), "parameters" (originals that
        are still there)."""
        executor = self._main.executor
        return {
            "activations": executor.arena_bytes,
            "prepared": executor.prepared_bytes + executor.recall.nbytes,
            "parameters": sum(resident.nbytes for resident in executor.residents),
        }

    @property
    def held_bytes(self) -> int:
        """Bytes of temporaries of all variants together."""
        executors = [variant.executor for variant in self._variants.values()]
        return sum(executor.arena_bytes + executor.prepared_bytes + executor.recall.nbytes for executor in executors)

    def explain(self) -> str:
        """Which algorithm each operation got, why, and where tensors are reordered; estimates are marked as such."""
        assembly = self._main.assembly
        text = explain(assembly.steps, assembly.notes, self.traits.label, self.memory) + "\n" + self._main.executor.promotion.note
        note = self._improvement.note if self._improvement is not None else REUSED if self.options.reuse else ""
        return f"{text}\n{note}" if note else text

    def profile(self, *inputs: Any, repeats: int = 10, scalars: Mapping[str, float] | None = None) -> Profile:
        """Median device time of every launch, one after the other even where a run is one launch or branches are side by side; print it.

        Runs `repeats` + 2 times; parameters that a run updates are updated.

        `scalars` as in a call: a training step takes its learning rate there.
        """
        if repeats < 1:
            raise ArrayError(f"profile: repeats must be at least 1, got {repeats}")
        taken = [self._take(value, node) for value, node in zip(self._in_order(inputs, {}), self.graph.inputs, strict=True)]
        self(*taken, scalars=scalars)
        results = [arrays.empty(self.queue, node.shape, node.dtype) for node in self.graph.outputs]
        layouts = tuple(arrays.layout_of(a, self.traits.buffer_alignment) for a in taken)
        external = {("input", i): arrays.memory_of(a, layout) for i, (a, layout) in enumerate(zip(taken, layouts, strict=True))}
        external.update({("output", i): arrays.memory_of(a, PLAIN) for i, a in enumerate(results)})
        with self._lock:
            variant = self._variant(layouts, self._plain[1])
            try:
                timings = variant.executor.profile(external, repeats)
            finally:
                self._advance(variant)
        return profile_of(timings, variant.assembly.steps, self.traits.label)

    def source(self, name: str) -> str:
        """The OpenCL C that runs for the layer `name` ("layer1.0.conv1"); UnsupportedError lists the names there are."""
        executor = self._main.executor
        text = executor.sources(name)
        if not text:
            labels = list(dict.fromkeys(step.label for step in executor.steps))
            raise UnsupportedError(
                f"source: no layer is named {name!r}; names are {', '.join(labels[:20])}{' ...' if len(labels) > 20 else ''}"
            )
        return text

    def poison(self) -> None:
        """For tests: fill all temporary memory with NaN."""
        for variant in self._variants.values():
            variant.executor.poison()
