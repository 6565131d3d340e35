"""From nodes to steps: operations get algorithms and layouts, reorders go where layouts differ, concatenations become slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property

from clconv.algorithms import for_problem
from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits
from clconv.graph.node import Node, topological
from clconv.graph.ops import OPS, Lowering
from clconv.graph.parameter import Parameter
from clconv.graph.reuse import Asked, Ready
from clconv.graph.trace import Graph
from clconv.graph.values import Value
from clconv.problem import MapProblem, Problem, ReorderProblem
from clconv.tensor import PLAIN, Blocked, Layout, Packed, Strided, TensorSpec, Transformed, contiguous_strides
from clconv.tuning.select import Choice, can_recall, choose, describe, same_storage


@dataclass(eq=False)
class Step:
    """One problem with the values it reads and writes. `fixed` holds the layouts of operands that are views of their values.

    `stored` says how its inputs came before they were reordered for it, `settled` which of them do not change from run to run.
    """

    label: str
    problem: Problem
    choice: Choice
    operands: dict[str, Value]
    fixed: dict[str, Layout] = field(default_factory=dict)
    prepared: bool = False
    stored: Mapping[str, Layout] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()

    @cached_property
    def inputs(self) -> list[Value]:
        return [self.operands[name] for name in self.problem.inputs]

    @cached_property
    def outputs(self) -> list[Value]:
        return [self.operands[name] for name in self.problem.outputs if name in self.operands]

    def final_problem(self) -> Problem:
        """The problem with the layouts that its operands ended up with."""
        return self.problem.with_layouts(**{name: self.fixed.get(name, value.layout) for name, value in self.operands.items()})

    def plan(self, traits: DeviceTraits) -> Plan:
        return self.choice.algorithm.plan(self.final_problem(), traits, self.choice.params)

    def other_plans(self, traits: DeviceTraits) -> Iterator[Plan]:
        """Plans with every other parameters of the algorithm, made one by one as they are asked for."""
        algorithm, problem = self.choice.algorithm, self.final_problem()
        return (algorithm.plan(problem, traits, params) for params in algorithm.space(problem, traits) if params != self.choice.params)

    def explain(self) -> str:
        return describe(self.choice)


class Scheduler:
    """Turns a graph into steps for one device.

    `forced` maps label patterns to algorithm names; `updated` holds the ids of parameters that a run changes. Each operation takes what is
    best for itself; `reorder_weight` below 1 lets it count on its neighbours sharing the cost of a reorder. `tuned` lets the tuning
    database decide where it can; `strict` allows straight sums only, as does a node with an attribute of that name for itself. `built`
    prefers what needs no build; `recalls` keeps what is made of inputs from run to run. `contested` tells after a run whether one of the
    weights in `rivals` would have made another schedule.
    """

    def __init__(
        self,
        traits: DeviceTraits,
        forced: Mapping[str, str] | None = None,
        updated: frozenset[int] = frozenset(),
        reorder_weight: float = 1.0,
        tuned: bool = True,
        strict: bool = False,
        built: Ready | None = None,
        rivals: tuple[float, ...] = (),
        recalls: bool = False,
    ) -> None:
        self.traits = traits
        self.rivals, self.contested = rivals, False
        self.built = built
        self.recalls = recalls
        self.tuned = tuned
        self.strict = strict
        self.reorder_weight = reorder_weight
        self.forced = dict(forced or {})
        self.updated = updated
        self.steps: list[Step] = []
        self.values: dict[int, list[Value]] = {}
        self.copies: dict[tuple[int, object], Value] = {}
        self.parameters: dict[int, Value] = {}
        self.notes: list[tuple[str, str]] = []

    def run(self, graph: Graph) -> tuple[list[Value], list[tuple[Parameter, Value]]]:
        """Schedule everything; returns the values of the outputs (plain, each with memory of its own) and of the updates."""
        for node in execution_order(graph):
            self.values[id(node)] = self._node(node)
        outputs = [self._output(i, self.values[id(node)][0], node) for i, node in enumerate(graph.outputs)]
        updates = [(p, self.stored(self.values[id(n)][0], PLAIN, n.label)) for p, n in graph.updates]
        return outputs, updates

    @property
    def seconds(self) -> float:
        """The estimate of a whole run: what schedules are compared by."""
        return sum(step.choice.seconds for step in self.steps if not step.prepared)

    def _node(self, node: Node) -> list[Value]:
        if node.op in ("input", "parameter", "constant"):
            content = node.attributes["name" if node.op == "input" else "parameter" if node.op == "parameter" else "value"]
            prepared = node.op == "constant" or (node.op == "parameter" and id(content) not in self.updated)
            return [Value(node.spec, node.op, content, prepared)]
        sources = [self.values[id(n)] for n in node.inputs]
        if node.op == "item":
            return [sources[0][node["index"]]]
        if node.op == "reshape":
            base = self.stored(sources[0][0], PLAIN, node.label)
            return [Value(TensorSpec(node.shape, node.dtype), base.origin, base.content, base.prepared, owner=base)]
        if node.op == "cat":
            return [self._cat(node, [s[0] for s in sources])]
        return self._operation(node, OPS[node.op].lower(node), [s[0] for s in sources])

    def _operation(self, node: Node, lowering: Lowering, sources: list[Value]) -> list[Value]:
        problem, named = lowering.problem, dict(zip(lowering.inputs, sources, strict=True))
        fixed = {name: layout for name, layout in problem.layouts if name in named}
        stored = {name: value.layout for name, value in named.items() if name not in fixed}
        ready = bool(named) and all(value.prepared for value in named.values()) and not getattr(problem, "scalars", ())
        prepared = frozenset(name for name, value in named.items() if value.prepared and not ready)
        weight = 1.0 if ready else self.reorder_weight
        strict = self.strict or node.attributes.get("strict", False)
        recalled = frozenset(name for name, value in named.items() if self._is_recalled(value))
        asked = Asked(problem, stored, prepared, self._forced(node, problem), weight, strict, recalled)
        choice = self._choose(asked)
        if self.rivals and not ready and not self.contested:
            others = (self._choose(replace(asked, weight=rival)) for rival in self.rivals)
            self.contested = any(o.algorithm is not choice.algorithm or o.params != choice.params for o in others)
        operands = {}
        for name, value in named.items():
            if name in fixed:
                operands[name] = self.stored(value, PLAIN, node.label)
            elif choice.algorithm.takes_strided and isinstance(value.layout, Strided):
                operands[name] = value
            else:
                operands[name] = self.stored(value, choice.wants.get(name, PLAIN), node.label)
        outs = []
        for name, spec in zip(lowering.outputs, node.results, strict=True):
            operands[name] = Value.stored_as(spec, choice.wants.get(name, PLAIN), prepared=ready)
            outs.append(operands[name])
        self.steps.append(Step(node.label or node.op, problem, choice, operands, fixed, ready, stored, prepared))
        return outs

    def _choose(self, asked: Asked) -> Choice:
        choice = choose(
            asked.problem, self.traits, asked.stored, asked.prepared, asked.forced, asked.weight, self.tuned, asked.strict, asked.recalled
        )  # fmt: skip
        return choice if self.built is None else self.built.choice(choice, asked)

    def _forced(self, node: Node, problem: Problem) -> str | None:
        """The algorithm that the caller insists on: by the call's `algorithm=` (with or without the family's prefix), or by label."""
        asked = node.attributes.get("algorithm")
        names = [a.name for a in for_problem(problem)]
        if asked is not None:
            return full_name(asked, names) or str(asked)
        for pattern, name in self.forced.items():
            found = full_name(name, names)
            if found and fnmatch(node.label, pattern):
                return found
        return None

    def stored(self, value: Value, wanted: Layout, label: str) -> Value:
        """`value` in the wanted layout: itself, with a larger halo, or a reordered copy made once for all who ask."""
        if same_storage(value.spec.layout, wanted) and not (isinstance(wanted, Blocked) and wanted.blocks is not None):
            if isinstance(wanted, Blocked):
                value.box.grow(wanted.halo)
            return value
        if isinstance(wanted, Packed | Transformed) and isinstance(value.spec.layout, Blocked | Strided):
            value = self.stored(value, PLAIN, label)
        key = (id(value), ("blocked", wanted.block) if isinstance(wanted, Blocked) else wanted)
        copy = self.copies.get(key)
        if copy is None:
            copy = Value.stored_as(TensorSpec(value.spec.shape, value.spec.dtype), wanted, prepared=value.prepared)
            self._reorder(value, copy, label)
            self.copies[key] = copy
        elif isinstance(wanted, Blocked):
            copy.box.grow(wanted.halo)
        return copy

    def _reorder(self, source: Value, target: Value, label: str, target_layout: Layout | None = None) -> None:
        """A step that copies `source` into `target` (or into the slice of it that `target_layout` describes)."""
        shape, layout = source.spec.shape, target_layout or target.layout
        recalls = self._is_recalled(source) and can_recall(layout)
        problem = ReorderProblem(shape, source.spec.dtype, target.spec.dtype, recalls).with_layouts(x=source.layout, y=layout)
        fixed = {"y": layout} if target_layout is not None else {}
        choice = choose(problem, self.traits)
        self.steps.append(Step(label, problem, choice, {"x": source, "y": target}, fixed, target.prepared))

    def _is_recalled(self, value: Value) -> bool:
        """Whether the next run mostly finds the value as it is: an input as the caller gave it."""
        return self.recalls and self.traits.is_cpu and value.origin == "input" and value.owner is None and value.is_plain()

    def _cat(self, node: Node, parts: list[Value]) -> Value:
        """In place where every slice starts at a whole channel block; else a copy a part."""
        parts = [p for p in parts if p.spec.elements] or parts[:1]  # a part without elements adds nothing
        if len(parts) == 1:
            return parts[0]
        block = self.traits.block
        blocked = sum(p.spec.elements for p in parts if isinstance(p.spec.layout, Blocked) and p.spec.layout.block == block)
        starts = [sum(p.spec.shape[1] for p in parts[:i]) for i in range(len(parts))] if node["axis"] == 1 else []
        aligned = bool(starts) and all(s % block == 0 for s in starts)
        if 2 * blocked < node.spec.elements or not aligned:
            return self._plain_cat(node, parts, "" if aligned else "slices do not start at whole channel blocks" if blocked else "")
        whole = Value.stored_as(node.spec, Blocked(block), origin="cat")
        copied = []
        for i, (part, start) in enumerate(zip(parts, starts, strict=True)):
            free = (
                isinstance(part.spec.layout, Blocked)
                and part.spec.layout.block == block
                and part.owner is None
                and not part.prepared
                and part.origin in ("step", "cat")
                and parts.count(part) == 1
            )
            if free:
                part.owner, part.first = whole, start // block
                whole.box.join(part.box)
                continue
            slot = Value.stored_as(part.spec, Blocked(block), owner=whole, first=start // block)
            whole.box.join(slot.box)
            self._reorder(part, slot, node.label)
            copied.append(i)
        note = f"{len(parts) - len(copied)} of {len(parts)} parts written in place"
        self.notes.append(
            (node.label or "cat", note + (f"; parts {copied} are read elsewhere in another layout or twice: copied" if copied else ""))
        )
        return whole

    def _plain_cat(self, node: Node, parts: list[Value], why: str) -> Value:
        whole = Value(TensorSpec(node.shape, node.dtype), origin="cat")
        strides, start = contiguous_strides(node.shape), 0
        for part in parts:
            self._reorder(part, whole, node.label, Strided(strides, start * strides[node["axis"]]))
            start += part.spec.shape[node["axis"]]
        self.notes.append((node.label or "cat", f"{len(parts)} copies into a plain tensor" + (f": {why}" if why else "")))
        return whole

    def _output(self, index: int, value: Value, node: Node) -> Value:
        """Results belong to the caller: plain, in memory of their own, and never a parameter or an input itself."""
        plain = self.stored(value, PLAIN, node.label)
        root = plain.root
        if root.origin not in ("step", "cat") or root.prepared or root.output is not None or not root.is_plain():
            copy = Value(TensorSpec(plain.spec.shape, plain.spec.dtype))
            self._reorder(plain, copy, node.label)
            plain = root = copy
        root.output = index
        return plain


def full_name(asked: object, names: Sequence[str]) -> str | None:
    """The one of `names` that is asked for in full ("conv_direct") or without its family ("direct")."""
    return next((name for name in names if asked in (name, name.partition("_")[2])), None)


def execution_order(graph: Graph) -> list[Node]:
    """Topological, with the nodes that serve nothing but updates last, so that those may overwrite parameters others read."""
    order = topological((*graph.outputs, *(n for _, n in graph.updates)))
    readers: dict[int, list[Node]] = {}
    for node in order:
        for source in node.inputs:
            readers.setdefault(id(source), []).append(node)
    kept = {id(n) for n in graph.outputs}
    late: set[int] = set()
    targets = {id(n) for _, n in graph.updates}
    for node in reversed(order):
        reads = readers.get(id(node), [])
        serves_updates = node.op in ("map", "item", "add", "mul") and id(node) not in kept and (reads or id(node) in targets)
        if serves_updates and all(id(reader) in late for reader in reads):
            late.add(id(node))
    return [n for n in order if id(n) not in late] + [n for n in order if id(n) in late]


def overwrites(step: Step) -> bool:
    """Whether a step reads every element it writes before writing it, so that output and input may share memory."""
    return isinstance(step.problem, MapProblem)
