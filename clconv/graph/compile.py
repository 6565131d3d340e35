"""A graph made ready to run: passes, schedule, plans, memory, and the object that callers hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits
from clconv.errors import ArrayError, DeviceError, UnsupportedError
from clconv.graph.explain import Profile, explain, profile_of
from clconv.graph.memory import Lifetime, MemoryPlan, plan_memory
from clconv.graph.network import Network, Parameter, Shapes
from clconv.graph.node import Node
from clconv.graph.overlap import check_overlap
from clconv.graph.passes import optimise
from clconv.graph.recovery import restore
from clconv.graph.schedule import Scheduler, Step, overwrites
from clconv.graph.trace import Graph
from clconv.graph.validate import check_algorithms, check_graph
from clconv.graph.values import Value
from clconv.problem import ReorderProblem
from clconv.runtime import arrays
from clconv.runtime.context import default_queue, device_of, traits_of
from clconv.runtime.executor import Executor, Place, PlacedStep
from clconv.runtime.launch import Launch, is_built
from clconv.runtime.programs import programs_for
from clconv.runtime.resident import Resident
from clconv.tensor import PLAIN, Layout, Strided
from clconv.tuning.select import choose

REORDER_WEIGHTS = (1.0, 0.3, 0.0)
"""Schedules are made with each operation bearing this share of the reorders it asks for; the cheapest whole is taken."""


@dataclass(frozen=True)
class Options:
    """How to compile: `algorithms` maps label patterns to algorithm names, `directory` holds edited templates, `passes` may be off;
    `reuse` prefers parameters whose kernels are built already to better ones, so that another size need not build."""

    algorithms: tuple[tuple[str, str], ...] = ()
    directory: str | None = None
    passes: bool = True
    reuse: bool = False


class Assembly:
    """The schedule of one graph for given layouts of its inputs and outputs, with every value placed in memory."""

    def __init__(
        self,
        graph: Graph,
        traits: DeviceTraits,
        options: Options,
        inputs: Sequence[Layout],
        outputs: Sequence[Layout],
        built: Callable[[Plan], bool] | None = None,
    ) -> None:
        graph = _with_input_layouts(graph, inputs)
        graph = optimise(graph) if options.passes else graph
        updated = frozenset(id(p) for p, _ in graph.updates)
        schedules = []
        for weight in REORDER_WEIGHTS:
            scheduler = Scheduler(traits, dict(options.algorithms), updated, weight)
            schedules.append((scheduler.run(graph), scheduler))
        (self.outputs, updates), scheduler = min(schedules, key=lambda pair: pair[1].seconds)
        self.traits, self.graph = traits, graph
        self.steps, self.notes = scheduler.steps, scheduler.notes
        self._input_names = [node["name"] for node in graph.inputs]
        self.constants: list[Any] = []
        self.parameters: list[Parameter] = []
        self.updated: list[Parameter] = []
        self._redirect: dict[int, Parameter] = {}
        self._output_views(outputs)
        self._updates(updates)
        self.plans = {id(step): _planned(step, traits, built) for step in self.steps if not _empty(step)}
        self.memory, self.prepared_memory = self._lifetimes(False), self._lifetimes(True)

    def _output_views(self, layouts: Sequence[Layout]) -> None:
        """Outputs that the caller wants in a view get a last reorder into it."""
        for index, layout in enumerate(layouts):
            if isinstance(layout, Strided):
                value = self.outputs[index]
                target = Value(value.spec.with_layout(layout), output=index)
                problem = ReorderProblem(value.spec.shape, value.spec.dtype, value.spec.dtype).with_layouts(y=layout)
                self.steps.append(Step("out", problem, choose(problem, self.traits), {"x": value, "y": target}))
                value.root.output = None
                self.outputs[index] = target

    def _updates(self, updates: Sequence[tuple[Parameter, Value]]) -> None:
        """New values of parameters go straight into their memory where every reader of the old value has run, else by a copy at the end."""
        for parameter, value in updates:
            self.updated.append(parameter)
            root = value.root
            writer = next((i for i, step in enumerate(self.steps) if any(v.root is root for v in step.outputs)), None)
            readers = [i for i, step in enumerate(self.steps) if any(_is_parameter(v, parameter) for v in step.inputs)]
            direct = (
                writer is not None
                and overwrites(self.steps[writer])
                and root.output is None
                and id(root) not in self._redirect
                and all(i <= writer for i in readers)
                and root.spec.elements == value.spec.elements
                and root.is_plain()
                and all(v.spec.elements == root.spec.elements for v in self.steps[writer].inputs if _is_parameter(v, parameter))
            )
            if direct:
                self._redirect[id(root)] = parameter
                continue
            target = Value(value.spec.with_layout(PLAIN), "parameter", parameter)
            problem = ReorderProblem(value.spec.shape)
            self.steps.append(Step("update", problem, choose(problem, self.traits), {"x": value, "y": target}))

    def _lifetimes(self, prepared: bool) -> MemoryPlan:
        lives: dict[int, list[int]] = {}
        sizes: dict[int, int] = {}
        end = len(self.steps)
        for index, step in enumerate(self.steps):
            for value in step.operands.values():
                root = value.root
                if root.origin in ("step", "cat") and root.output is None and id(root) not in self._redirect and root.prepared == prepared:
                    sizes[id(root)] = root.nbytes
                    lives.setdefault(id(root), []).append(index)
        found = [Lifetime(key, sizes[key], 0 if prepared else min(uses), end if prepared else max(uses)) for key, uses in lives.items()]
        for index, step in enumerate(self.steps):
            if id(step) in self.plans and step.prepared == prepared:
                for name, nbytes in self.plans[id(step)].scratch:
                    found.append(Lifetime((id(step), name), nbytes, index, index))
        return plan_memory(found, max(256, self.traits.buffer_alignment))

    def place(self, value: Value) -> Place:
        root = value.root
        if id(root) in self._redirect:
            return Place("resident", self._number(self._redirect[id(root)]), nbytes=root.nbytes)
        if root.output is not None:
            return Place("output", root.output, nbytes=root.nbytes)
        if root.origin == "input":
            return Place("input", self._input_names.index(root.content), nbytes=root.nbytes)
        if root.origin == "parameter":
            return Place("resident", self._number(root.content), nbytes=root.nbytes)
        if root.origin == "constant":
            if not any(root.content is c for c in self.constants):
                self.constants.append(root.content)
            return Place("constant", next(i for i, c in enumerate(self.constants) if c is root.content), nbytes=root.nbytes)
        plan, region = (self.prepared_memory, "prepared") if root.prepared else (self.memory, "arena")
        return Place(region, 0, plan.offsets[id(root)], root.nbytes)

    def _number(self, parameter: Parameter) -> int:
        if not any(parameter is p for p in self.parameters):
            self.parameters.append(parameter)
        return next(i for i, p in enumerate(self.parameters) if p is parameter)

    def placed(self) -> list[PlacedStep]:
        out = []
        for step in self.steps:
            plan = self.plans.get(id(step))
            operands = {name: self.place(value) for name, value in step.operands.items()}
            if plan is None:
                outputs = tuple(n for n in step.problem.outputs if n in operands and step.operands[n].spec.elements)
                if not outputs:
                    continue
            else:
                outputs = ()
                memory = self.prepared_memory if step.prepared else self.memory
                for name, nbytes in plan.scratch:
                    operands[name] = Place("prepared" if step.prepared else "arena", 0, memory.offsets[(id(step), name)], nbytes)
                for name in step.problem.outputs:
                    assert name in operands, f"{step.label}: output {name} has no place"
            writes = tuple(operands[n].index for n in step.problem.outputs if n in operands and operands[n].region == "resident")
            algorithm = step.choice.algorithm.name
            out.append(PlacedStep(step.label, str(step.problem), plan, operands, outputs, step.prepared, writes, algorithm))
        return out


def _planned(step: Step, traits: DeviceTraits, built: Callable[[Plan], bool] | None) -> Plan:
    """The step's plan; with `built`, one whose kernels exist goes before the default one."""
    plan = step.plan(traits)
    if built is None or built(plan):
        return plan
    algorithm, problem = step.choice.algorithm, step.final_problem()
    others = (algorithm.plan(problem, traits, params) for params in algorithm.space(problem, traits))
    return next((other for other in others if built(other)), plan)


def _empty(step: Step) -> bool:
    return any(v.spec.elements == 0 for v in step.operands.values())


def _is_parameter(value: Value, parameter: Parameter) -> bool:
    return value.root.origin == "parameter" and value.root.content is parameter


def _with_input_layouts(graph: Graph, layouts: Sequence[Layout]) -> Graph:
    """The graph with its inputs stored as given."""
    from clconv.graph.passes import Context

    if all(layout == PLAIN for layout in layouts):
        return graph
    done: dict[int, Node] = {}
    for node, layout in zip(graph.inputs, layouts, strict=True):
        done[id(node)] = Node("input", (), node.attributes, (node.spec.with_layout(layout),), node.label)
    for node in Context((*graph.outputs, *(n for _, n in graph.updates))).order:
        if id(node) not in done:
            inputs = [done[id(source)] for source in node.inputs]
            done[id(node)] = Node(node.op, inputs, node.attributes, node.results, node.label) if node.inputs else node
    return Graph(
        tuple(done[id(n)] for n in graph.inputs),
        tuple(done[id(n)] for n in graph.outputs),
        tuple((p, done[id(n)]) for p, n in graph.updates),
    )


class Run:
    """A compiled graph: call it with arrays. Calls from several threads are serialised.

    Inputs may be NumPy arrays or pyopencl arrays, views too; results are pyopencl arrays that belong to the caller.
    """

    def __init__(self, graph: Graph, queue: Any, options: Options = Options(), network: Network | None = None) -> None:  # noqa: B008
        self.graph, self.queue, self.options, self.network = graph, queue, options, network
        check_graph(graph)
        check_algorithms(options.algorithms, graph)
        self.traits = traits_of(device_of(queue))
        self.input_names = tuple(node["name"] for node in graph.inputs)
        self.seed = 0
        self.calls = 0
        self._plain = ((PLAIN,) * len(graph.inputs), (PLAIN,) * len(graph.outputs))
        self._variants: dict[tuple[tuple[Layout, ...], tuple[Layout, ...]], tuple[Assembly, Executor]] = {}
        self._seen: dict[int, list[int]] = {}
        self._lock = threading.Lock()
        self._variant(*self._plain)

    def _variant(self, inputs: tuple[Layout, ...], outputs: tuple[Layout, ...]) -> tuple[Assembly, Executor]:
        """The executor for inputs and outputs stored this way; views get one of their own when they first appear."""
        found = self._variants.get((inputs, outputs))
        if found is None:
            built = self._is_built if self.options.reuse else None
            assembly = Assembly(self.graph, self.traits, self.options, inputs, outputs, built)
            steps = assembly.placed()
            residents = [self._resident(parameter) for parameter in assembly.parameters]
            executor = Executor(
                self.queue,
                steps,
                assembly.memory.total,
                assembly.prepared_memory.total,
                assembly.constants,
                residents,
                self.options.directory,
            )
            found = self._variants[(inputs, outputs)] = (assembly, executor)
        return found

    def _is_built(self, plan: Plan) -> bool:
        return is_built(plan.calls, programs_for(self.queue.context, self.queue.device), self.options.directory)

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
        taken = [self._take(value, node) for value, node in zip(given, self.graph.inputs, strict=True)]
        results, out_layouts = self._results(out)
        layouts = (tuple([arrays.layout_of(a, self.traits.buffer_alignment) for a in taken]), out_layouts)
        external = {("input", i): arrays.memory_of(a, layout) for i, (a, layout) in enumerate(zip(taken, layouts[0], strict=True))}
        for i, array in enumerate(results):
            external["output", i] = arrays.memory_of(array, out_layouts[i])
        wait = [event for array in (taken if out is None else [*taken, *results]) for event in array.events]
        with self._lock:
            assembly, executor = self._variant(*layouts)
            if out is not None:
                check_overlap(assembly.steps, self.input_names, taken, results)
            if assembly.parameters or id(executor) not in self._seen:
                self._bring(assembly, executor)
            if executor.scalar_names:
                executor.set_scalars(self._scalars(executor.scalar_names, scalars or {}))
            try:
                event = executor.run(external, wait or None)
            except DeviceError as error:
                if note := restore([(assembly.parameters[i], executor.residents[i]) for i in sorted(executor.written)]):
                    raise DeviceError(f"{error}; {note}") from error
                raise
            self._advance(assembly)
            self.calls += 1
        if event is not None:
            for array in results:
                array.add_event(event)
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

    def _take(self, value: Any, node: Node) -> Any:
        what = f"input {node['name']!r}"
        if arrays.is_array(value):
            arrays.check_device_array(value, node.spec, self.queue, what)
            return value
        return arrays.to_device(value, node.spec.with_layout(PLAIN), self.queue, what)

    def _scalars(self, names: Sequence[str], given: Mapping[str, float]) -> dict[str, float]:
        """Values for the run-time numbers `names`; step and seed have defaults, the others must be given."""
        own = {"step": self.calls & 0xFFFFFFFF, "seed_low": self.seed & 0xFFFFFFFF, "seed_high": (self.seed >> 32) & 0xFFFFFFFF}
        values = {**own, **given}
        if missing := [name for name in names if name not in values]:
            raise ArrayError(f"run: needs scalars={{...}} with {', '.join(missing)}; got ({', '.join(given)})")
        return values

    def _bring(self, assembly: Assembly, executor: Executor) -> None:
        """Upload parameters that changed on the host, and redo what was prepared from them."""
        versions = [parameter.version for parameter in assembly.parameters]
        if versions == self._seen.get(id(executor)):
            return
        for parameter, resident in zip(assembly.parameters, executor.residents, strict=True):
            parameter.bring(resident)
        executor.prepare()
        self._seen[id(executor)] = versions

    def _advance(self, assembly: Assembly) -> None:
        if not assembly.updated:
            return
        for parameter in assembly.updated:
            parameter.advance(self._resident(parameter))
        executor = self._variants[next(k for k, v in self._variants.items() if v[0] is assembly)][1]
        self._seen[id(executor)] = [parameter.version for parameter in assembly.parameters]

    @property
    def launches(self) -> list[Launch]:
        """The kernels of one run, bound to the arrays of the last one, which must still be alive; for benchmarks."""
        return self._variants[self._plain][1].launches

    @property
    def launch_count(self) -> int:
        """Kernel launches of one run."""
        return self._variants[self._plain][1].launch_count

    @property
    def steps(self) -> list[Step]:
        return self._variants[self._plain][0].steps

    @property
    def memory(self) -> dict[str, int]:
        """Bytes on the device: "activations" (arena), "prepared" (packed weights and the like), "parameters"."""
        assembly, executor = self._variants[self._plain]
        return {
            "activations": executor.arena_bytes,
            "prepared": executor.prepared_bytes,
            "parameters": sum(resident.buffer.size for resident in executor.residents),
        }

    def explain(self) -> str:
        """Which algorithm each operation got, why, and where tensors are reordered; estimates are marked as such."""
        assembly, _ = self._variants[self._plain]
        return explain(assembly.steps, assembly.notes, self.traits.label, self.memory)

    def profile(self, *inputs: Any, repeats: int = 10, scalars: Mapping[str, float] | None = None) -> Profile:
        """Median device time of every launch; print it. Runs `repeats` + 2 times; parameters that a run updates are updated.

        `scalars` as in a call: a training step takes its learning rate there.
        """
        if repeats < 1:
            raise ArrayError(f"profile: repeats must be at least 1, got {repeats}")
        taken = [self._take(value, node) for value, node in zip(self._in_order(inputs, {}), self.graph.inputs, strict=True)]
        self(*taken, scalars=scalars)
        results = [arrays.empty(self.queue, node.shape, node.dtype) for node in self.graph.outputs]
        external = {("input", i): arrays.memory_of(a, PLAIN) for i, a in enumerate(taken)}
        external.update({("output", i): arrays.memory_of(a, PLAIN) for i, a in enumerate(results)})
        with self._lock:
            assembly, executor = self._variant(*self._plain)
            try:
                timings = executor.profile(external, repeats)
            finally:
                self._advance(assembly)
        return profile_of(timings, assembly.steps, self.traits.label)

    def source(self, name: str) -> str:
        """The OpenCL C that runs for the layer `name` ("layer1.0.conv1"); UnsupportedError lists the names there are."""
        _, executor = self._variants[self._plain]
        text = executor.sources(name)
        if not text:
            labels = list(dict.fromkeys(step.label for step in executor.steps))
            raise UnsupportedError(
                f"source: no layer is named {name!r}; names are {', '.join(labels[:20])}{' ...' if len(labels) > 20 else ''}"
            )
        return text

    def poison(self) -> None:
        """For tests: fill all temporary memory with NaN."""
        for _, executor in self._variants.values():
            executor.poison()


def compile_graph(
    graph: Graph,
    queue: Any = None,
    *,
    algorithms: Mapping[str, str] | None = None,
    kernels: str | None = None,
    passes: bool = True,
    reuse: bool = False,
) -> Run:
    """As `compile`, for a graph; `passes=False` leaves it as it was traced."""
    return Run(graph, queue or default_queue(), Options(tuple((algorithms or {}).items()), kernels, passes, reuse))


def compile(
    net: Network,
    input_shape: Shapes,
    queue: Any = None,
    training: bool = False,
    *,
    algorithms: Mapping[str, str] | None = None,
    kernels: str | None = None,
    reuse: bool = False,
) -> Run:
    """`net` made ready for inputs of `input_shape` (N, C, spatial...; a dict by name for several inputs) on `queue`'s device.

    `training` runs batch normalisation and dropout in training mode and updates running statistics. `algorithms` forces some by layer
    name pattern ({"layer1.*": "conv_direct"}); `kernels` names a directory with edited templates; `reuse` takes kernels that this
    process has built already where they fit, so that another batch or image size starts at once, perhaps a little slower.
    Several outputs come as a tuple.

    >>> run = compile(models.lenet5(), (1, 1, 28, 28))   # doctest: +SKIP
    >>> run(np.zeros((1, 1, 28, 28), np.float32)).shape  # doctest: +SKIP
    (1, 10)
    """
    if not isinstance(net, Network):
        raise ArrayError(f"compile: expected a network (a module, or what a file holds), got {type(net).__name__}; graphs: compile_graph")
    options = Options(tuple((algorithms or {}).items()), kernels, True, reuse)
    return Run(net.trace(input_shape, training), queue or default_queue(), options, net)
