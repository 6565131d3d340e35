"""A graph scheduled for one device, with a plan for every step and a place in memory for every value."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clconv.codegen.plan import KernelSource, Plan
from clconv.device import DeviceTraits
from clconv.graph.branches import branched
from clconv.graph.memory import Lifetime, MemoryPlan, plan_memory
from clconv.graph.node import Node, topological
from clconv.graph.parameter import Parameter
from clconv.graph.passes import optimise
from clconv.graph.reuse import Ready
from clconv.graph.schedule import Scheduler, Step, overwrites
from clconv.graph.trace import Graph
from clconv.graph.values import Value
from clconv.problem import ReorderProblem
from clconv.runtime.branched import Branched
from clconv.runtime.placed import Place, PlacedStep
from clconv.runtime.recall import Recalled
from clconv.tensor import PLAIN, Layout, Strided
from clconv.tuning.select import choose

REORDER_WEIGHTS = (1.0, 0.3, 0.0)
"""Schedules are made with each operation bearing this share of the reorders it asks for; the cheapest whole is taken."""


@dataclass(frozen=True)
class Options:
    """How to compile: `algorithms` maps label patterns to algorithm names, `directory` holds edited templates, `passes` may be off;
    `reuse` prefers what is built already to what is better, so that another size need not build; `tuned` lets the tuning database decide
    where it can; `keep_weights` leaves parameters on the device when everything is prepared from them; `strict` allows straight sums
    only; `max_bytes` is what all of it may take on the device, None for what the device has; `persistent` makes a run one launch, at once
    (True), never (False), or when it has been called often (None); `recalls` keeps weights that come as inputs, and what was made of them,
    until they change."""

    algorithms: tuple[tuple[str, str], ...] = ()
    directory: str | None = None
    passes: bool = True
    reuse: bool = False
    tuned: bool = True
    keep_weights: bool = False
    strict: bool = False
    max_bytes: int | None = None
    persistent: bool | None = None
    recalls: bool = False


class Assembly:
    """The schedule of one graph for given layouts of its inputs and outputs, with every value placed in memory."""

    def __init__(
        self,
        graph: Graph,
        traits: DeviceTraits,
        options: Options,
        inputs: Sequence[Layout],
        outputs: Sequence[Layout],
        ready: Ready | None = None,
    ) -> None:
        graph = _with_input_layouts(graph, inputs)
        graph = optimise(graph) if options.passes else graph
        updated = frozenset(id(p) for p, _ in graph.updates)
        schedules: list[tuple[Any, Scheduler]] = []
        for weight in REORDER_WEIGHTS:
            rivals = () if schedules else REORDER_WEIGHTS[1:]
            how = options.tuned, options.strict, ready, rivals, options.recalls
            scheduler = Scheduler(traits, dict(options.algorithms), updated, weight, *how)
            schedules.append((scheduler.run(graph), scheduler))
            if rivals and not scheduler.contested:
                break
        self.traits, self.graph, self.ready = traits, graph, ready
        schedules.sort(key=lambda pair: pair[1].seconds)
        (self.outputs, updates), scheduler = next((pair for pair in schedules if self._builds_nothing(pair[1].steps)), schedules[0])
        self.steps, self.notes = scheduler.steps, scheduler.notes
        self._input_names = [node["name"] for node in graph.inputs]
        self.constants: list[Any] = []
        self.parameters: list[Parameter] = []
        self.updated: list[Parameter] = []
        self._numbers: dict[int, int] = {}
        self._redirect: dict[int, Parameter] = {}
        self._output_views(outputs)
        self._updates(updates)
        self.plans = self._plans(self.steps)
        self._preparing = preparing_order(self.steps)
        self._running = [step for step in self.steps if not step.prepared]
        self.branched = self._branches()
        self._recalled: dict[Hashable, int] = {}
        self.recalled = self._recall()
        self.memory, self.prepared_memory = self._lifetimes()

    def _builds_nothing(self, steps: Sequence[Step]) -> bool:
        """Whether these steps do with what is built; where it does not matter, any do."""
        ready = self.ready
        return ready is None or all(ready.is_built(call.source) for plan in self._plans(steps).values() for call in plan.calls)

    def _plans(self, steps: Sequence[Step]) -> dict[int, Plan]:
        """A plan for each step by its id; for reuse, one whose kernels are built, or planned already, goes before the default."""
        known: set[KernelSource] = set()
        plans = {}
        for step in steps:
            if _empty(step):
                continue
            plan = step.plan(self.traits)
            if self.ready is not None:
                others = itertools.chain([plan], step.other_plans(self.traits))
                found = (self.ready.plan(step.choice.algorithm, other, known) for other in others)
                plan = next((other for other in found if other is not None), plan)
            known.update(call.source for call in plan.calls)
            plans[id(step)] = plan
        return plans

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
        saved = self._saved(updates)
        writers = {id(value.root): i for i, step in enumerate(self.steps) for value in step.outputs}
        last_reader = {id(value.root.content): i for i, step in enumerate(self.steps) for value in step.inputs}
        for parameter, value in saved:
            self.updated.append(parameter)
            root = value.root
            writer = writers.get(id(root))
            direct = (
                writer is not None
                and overwrites(self.steps[writer])
                and root.origin == "step"
                and root.output is None
                and id(root) not in self._redirect
                and last_reader.get(id(parameter), -1) <= writer
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

    def _saved(self, updates: Sequence[tuple[Parameter, Value]]) -> list[tuple[Parameter, Value]]:
        """Where a parameter takes over another's value, that of before the run, even if the run changes the other one first."""
        changed, saved = {id(parameter) for parameter, _ in updates}, []
        for parameter, value in updates:
            if value.root.origin == "parameter" and id(value.root.content) in changed:
                copy = Value(value.spec.with_layout(PLAIN))
                problem = ReorderProblem(value.spec.shape)
                self.steps.insert(0, Step("update", problem, choose(problem, self.traits), {"x": value, "y": copy}))
                value = copy
            saved.append((parameter, value))
        return saved

    def _branches(self) -> Branched:
        """What the steps of a run wait for: the one before, or, where that is worth while and none changes a parameter, what they read."""
        if self.traits.sleeps_between_launches and not self.updated and not any(_empty(step) for step in self._running):
            return branched(self._running)
        return Branched.in_order(len(self._running))

    def _recall(self) -> list[Recalled]:
        """The buffers whose contents outlast a run, and the inputs they belong to."""
        found: list[Recalled] = []
        for step in self._running:
            plan = self.plans.get(id(step))
            scratch = dict(plan.scratch) if plan else {}
            for name in plan.recalled if plan else ():
                key = (id(step), name) if name in scratch else id(step.operands[name].root)
                nbytes = scratch[name] if name in scratch else step.operands[name].root.nbytes
                (source,) = step.inputs
                self._recalled[key] = len(found)
                found.append(Recalled(self.place(source).index, nbytes))
        return found

    def _lifetimes(self) -> tuple[MemoryPlan, MemoryPlan]:
        """Plans of the arena, for the temporaries of a run, and of what is prepared for all runs.

        What only preparing reads lives from its writing to its last reading, so that it can lie where later results are to come.
        """
        running = self._running
        alignment = max(256, self.traits.buffer_alignment)
        lasting = {id(value.root) for step in running for value in step.inputs}
        elsewhere = frozenset(self._recalled)
        prepared = [replace(life, last=len(self.steps)) if life.key in lasting else life for life in self._lives(self._preparing)]
        lives = self._lives(running, elsewhere | frozenset(life.key for life in prepared))
        may_meet = None if all(self.branched.alone) else self.branched.may_meet
        return plan_memory(lives, alignment, may_meet), plan_memory(prepared, alignment)

    def _lives(self, steps: Sequence[Step], elsewhere: frozenset[Hashable] = frozenset()) -> list[Lifetime]:
        """Lives of the temporaries, and of the scratch memory, of `steps` that follow one another."""
        uses: dict[int, list[int]] = {}
        sizes: dict[int, int] = {}
        found = []
        for time, step in enumerate(steps):
            for value in step.operands.values():
                root, key = value.root, id(value.root)
                if root.origin in ("step", "cat") and root.output is None and key not in self._redirect and key not in elsewhere:
                    sizes[key] = root.nbytes
                    uses.setdefault(key, []).append(time)
            if id(step) in self.plans:
                scratch = [((id(step), name), nbytes) for name, nbytes in self.plans[id(step)].scratch]
                found += [Lifetime(key, nbytes, time, time, (time,)) for key, nbytes in scratch if key not in elsewhere]
        return found + [Lifetime(key, sizes[key], min(times), max(times), tuple(times)) for key, times in uses.items()]

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
            number = self._numbers.setdefault(id(root.content), len(self.constants))
            if number == len(self.constants):
                self.constants.append(root.content)
            return Place("constant", number, nbytes=root.nbytes)
        return self._temporary(id(root), root.nbytes)

    def _temporary(self, key: Hashable, nbytes: int) -> Place:
        if key in self._recalled:
            return Place("recalled", self._recalled[key], nbytes=nbytes)
        if key in self.prepared_memory.offsets:
            return Place("prepared", 0, self.prepared_memory.offsets[key], nbytes)
        return Place("arena", 0, self.memory.offsets[key], nbytes)

    def _number(self, parameter: Parameter) -> int:
        number = self._numbers.setdefault(id(parameter), len(self.parameters))
        if number == len(self.parameters):
            self.parameters.append(parameter)
        return number

    def placed(self) -> list[PlacedStep]:
        """What the executor runs: first all that prepares, in its own order."""
        out = []
        for step in (*self._preparing, *self._running):
            plan = self.plans.get(id(step))
            operands = {name: self.place(value) for name, value in step.operands.items()}
            if plan is None:
                outputs = tuple(n for n in step.problem.outputs if n in operands and step.operands[n].spec.elements)
                if not outputs:
                    continue
            else:
                outputs = ()
                for name, nbytes in plan.scratch:
                    operands[name] = self._temporary((id(step), name), nbytes)
                for name in step.problem.outputs:
                    assert name in operands, f"{step.label}: output {name} has no place"
            writes = tuple(operands[n].index for n in step.problem.outputs if n in operands and operands[n].region == "resident")
            algorithm = step.choice.algorithm.name
            out.append(PlacedStep(step.label, str(step.problem), plan, operands, outputs, step.prepared, writes, algorithm))
        return out


def preparing_order(steps: Sequence[Step]) -> list[Step]:
    """The prepared steps, those that lead to the largest results first: at the end there is little room for intermediate ones."""
    writers: dict[int, list[Step]] = {}
    for step in steps:
        for value in step.outputs if step.prepared else ():
            writers.setdefault(id(value.root), []).append(step)
    order: dict[int, Step] = {}

    def add(step: Step) -> None:
        for value in step.inputs:
            for writer in writers.get(id(value.root), ()):
                if writer is not step and id(writer) not in order:
                    add(writer)
        order.setdefault(id(step), step)

    for step in sorted((step for step in steps if step.prepared), key=lambda s: -max(v.root.nbytes for v in s.outputs)):
        add(step)
    return list(order.values())


def _empty(step: Step) -> bool:
    return any(v.spec.elements == 0 for v in step.operands.values())


def _is_parameter(value: Value, parameter: Parameter) -> bool:
    return value.root.origin == "parameter" and value.root.content is parameter


def _with_input_layouts(graph: Graph, layouts: Sequence[Layout]) -> Graph:
    """The graph with its inputs stored as given."""
    if all(layout == PLAIN for layout in layouts):
        return graph
    done: dict[int, Node] = {}
    for node, layout in zip(graph.inputs, layouts, strict=True):
        done[id(node)] = Node("input", (), node.attributes, (node.spec.with_layout(layout),), node.label)
    for node in topological((*graph.outputs, *(n for _, n in graph.updates))):
        if id(node) not in done:
            inputs = [done[id(source)] for source in node.inputs]
            done[id(node)] = Node(node.op, inputs, node.attributes, node.results, node.label) if node.inputs else node
    return Graph(
        tuple(done[id(n)] for n in graph.inputs),
        tuple(done[id(n)] for n in graph.outputs),
        tuple((p, done[id(n)]) for p, n in graph.updates),
    )
