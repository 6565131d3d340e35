"""Choices whose kernels exist: what lets a network start at another batch or image size without building anything."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from clconv.algorithms.base import Algorithm
from clconv.codegen.plan import KernelCall, KernelSource, Plan
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import Problem, ReorderProblem
from clconv.tensor import Layout
from clconv.tuning.failures import failures_for
from clconv.tuning.select import Candidate, Choice, Situation, can_recall, choose, same_storage

if TYPE_CHECKING:
    from clconv.graph.network import Network

_history: weakref.WeakKeyDictionary[Network, dict[tuple[int, bool], set[tuple[tuple[int, ...], ...]]]] = weakref.WeakKeyDictionary()
_history_lock = threading.Lock()


def compiled_before(net: Network, context: Any, training: bool) -> set[tuple[tuple[int, ...], ...]]:
    """The shapes of inputs that this network has been compiled for in this context, to be added to."""
    with _history_lock:
        return _history.setdefault(net, {}).setdefault((context.int_ptr, training), set())


@dataclass(frozen=True)
class Asked:
    """An operation where it stands, as `select.choose` takes it."""

    problem: Problem
    stored: Mapping[str, Layout]
    prepared: frozenset[str]
    forced: str | None
    weight: float
    strict: bool
    recalled: frozenset[str] = frozenset()

    @property
    def key(self) -> object:
        return (self.problem, tuple(self.stored.items()), self.prepared, self.forced, self.weight, self.strict, self.recalled)


@dataclass
class Ready:
    """Finds choices and plans that need no kernel but those that `is_built` knows.

    One that takes more than `slack` times as long as the best by estimate is not worth the wait that it saves.
    """

    traits: DeviceTraits
    is_built: Callable[[KernelSource], bool]
    slack: float = 4.0
    _chosen: dict[object, Choice] = field(default_factory=dict, repr=False)

    def plan(self, algorithm: Algorithm, plan: Plan, planned: Container[KernelSource] = ()) -> Plan | None:
        """`plan`, with other kernels in the place of those that are not built; None where there are none. `planned` will be built too."""
        calls: list[KernelCall] = []
        scratch = list(plan.scratch)
        for call in plan.calls:
            options = itertools.chain([Plan((call,))], algorithm.stand_ins(call))
            found = next((o for o in options if all(c.source in planned or self.is_built(c.source) for c in o.calls)), None)
            if found is None:
                return None
            calls += found.calls
            scratch += found.scratch
        return replace(plan, calls=tuple(calls), scratch=tuple(scratch))

    def choice(self, best: Choice, asked: Asked) -> Choice:
        """`best`, or the first of the others by estimate whose kernels are all built; `best` where there is none within the slack."""
        if asked.key not in self._chosen:
            self._chosen[asked.key] = self._choice(best, asked)
        return self._chosen[asked.key]

    def _choice(self, best: Choice, asked: Asked) -> Choice:
        if any(spec.elements == 0 for spec in asked.problem.tensors().values()):
            return best  # never run, so never planned
        situation = Situation(asked.problem, self.traits, asked.stored, asked.prepared, failures_for(self.traits), asked.recalled)
        first = situation.weigh(best.algorithm, best.params, asked.weight)
        if self._is_ready(first, asked):
            return best
        accepted, _, _ = situation.algorithms(asked.forced, asked.strict)
        others = (situation.weigh(a, params, asked.weight) for a in accepted for params in a.space(asked.problem, self.traits))
        for other in sorted(others, key=lambda c: c.total):
            if other.total > self.slack * first.total:
                break
            if self._is_ready(other, asked):
                return replace(best, algorithm=other.algorithm, params=other.params, wants=other.wants, seconds=other.seconds, tuned=None)
        return best

    def _is_ready(self, candidate: Candidate, asked: Asked) -> bool:
        try:
            return all(self.plan(algorithm, plan) is not None for algorithm, plan in self._plans(candidate, asked))
        except UnsupportedError:
            return False

    def _plans(self, candidate: Candidate, asked: Asked) -> Iterator[tuple[Algorithm, Plan]]:
        """What the candidate launches, and the reorders of inputs that it asks for."""
        problem = asked.problem
        yield candidate.algorithm, candidate.algorithm.plan(problem.with_layouts(**candidate.wants), self.traits, candidate.params)
        for name in problem.inputs:
            have, wanted = asked.stored.get(name, problem.layout(name)), candidate.wants.get(name, problem.layout(name))
            if not same_storage(have, wanted):
                spec = problem.spec(name)
                recalls = name in asked.recalled and can_recall(wanted)
                reorder = ReorderProblem(spec.shape, spec.dtype, spec.dtype, recalls).with_layouts(x=have, y=wanted)
                choice = choose(reorder, self.traits)
                yield choice.algorithm, choice.algorithm.plan(reorder, self.traits, choice.params)
