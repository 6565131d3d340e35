"""A graph scheduled for one device, with a plan for every step and a place in memory for every value."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clconv.codegen.plan import KernelSource, Plan
from clconv.device import DeviceTraits
from clconv.graph.memory import Lifetime, MemoryPlan, plan_memory
from clconv.graph.network import Parameter
from clconv.graph.node import Node, topological
from clconv.graph.passes import optimise
from clconv.graph.schedule import Scheduler, Step, overwrites
from clconv.graph.trace import Graph
from clconv.graph.values import Value
from clconv.problem import ReorderProblem
from clconv.runtime.executor import Place, PlacedStep
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
        built: Callable[[KernelSource], bool] | None = None,
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
        self.plans = self._plans(built)
        self.memory, self.prepared_memory = self._lifetimes(False), self._lifetimes(True)

    def _plans(self, built: Callable[[KernelSource], bool] | None) -> dict[int, Plan]:
        """A plan for each step by its id; with `built`, one whose kernels exist, or are planned already, goes before the default one."""
        known: set[KernelSource] = set()
        plans = {}
        for step in self.steps:
            if _empty(step):
                continue
            plan = step.plan(self.traits)
            if built is not None:
                candidates = itertools.chain([plan], step.other_plans(self.traits))
                ready = (p for p in candidates if all(c.source in known or built(c.source) for c in p.calls))
                plan = next(ready, plan)
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
