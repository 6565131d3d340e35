"""Timing the best few candidates of each problem, in a process of their own, and keeping what is right and faster than the default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import Problem
from clconv.runtime.context import device_of, traits_of
from clconv.tensor import PLAIN, Blocked, Layout, Strided
from clconv.tuning import database
from clconv.tuning.database import Database
from clconv.tuning.entry import Entry, is_tunable, params_row, problem_key, storage_key
from clconv.tuning.select import Candidate, candidates, choose, reorder_seconds, same_storage
from clconv.tuning.trial import Trial
from clconv.tuning.worker import Rejected, Worker

MOST_CANDIDATES = 14
FINALISTS = 3
CONTEST_SHARE = 0.3
LEAST_CONTEST, MOST_CONTEST = 0.1, 1.5
WORTH = 0.98
"""A candidate must take less than this share of the default's time to replace it: less is noise."""
HOPELESS = 3.0
"""A run this many times as long as the best so far is not repeated."""


@dataclass(frozen=True)
class Task:
    """A problem where it stands, `count` times: `problem` names the layouts of all operands as a network has them (halos and slices),
    `stored` how its inputs come before any reorder, `prepared` those that are reordered once. `default` is what runs there without tuning.
    """

    problem: Problem
    default: Candidate
    stored: Mapping[str, Layout] = field(default_factory=dict)
    prepared: frozenset[str] = frozenset()
    label: str = ""
    count: int = 1

    @property
    def plain(self) -> Problem:
        return self.problem.with_layouts(**dict.fromkeys(self.problem.tensors(), PLAIN))

    @property
    def layouts(self) -> dict[str, Layout]:
        """How the inputs are stored when they are read."""
        return {name: self.problem.layout(name) for name in self.problem.inputs}

    @property
    def weight(self) -> float:
        """Estimated seconds of all its occurrences."""
        return self.count * self.default.seconds

    @property
    def key(self) -> tuple[str, str]:
        """What the database files it under: tasks with the same are tuned once."""
        return problem_key(self.problem), storage_key(self.plain, self.stored, self.prepared)


@dataclass(frozen=True)
class Outcome:
    """What came of a task. Seconds are a candidate's own, None where it was not measured; `rejected` holds candidates and reasons.

    `entry` is what the database got, None where nothing was decided (no time, or all were rejected).
    """

    task: Task
    default_seconds: float | None
    winner: Candidate
    seconds: float | None
    tried: int
    rejected: tuple[tuple[str, str], ...]
    entry: Entry | None

    @property
    def gain(self) -> float:
        """How many times as fast as the default; 1 where that stays."""
        return self.default_seconds / self.seconds if self.default_seconds and self.seconds else 1.0


@dataclass(frozen=True)
class Report:
    """What tuning several tasks came to; `left` were not begun, because time ran out or because of Ctrl-C (`interrupted`)."""

    outcomes: tuple[Outcome, ...]
    left: tuple[Task, ...]
    interrupted: bool = False


Listener = Callable[[Task, str], object]
"""Told what is being done: a task, and a candidate's name or what comes after."""


def as_in_network(task: Task, algorithm: Any, wants: Mapping[str, Layout]) -> Problem:
    """The task's problem with the layouts that a candidate wants, as large in halo, and as far apart in memory, as the network has them."""
    layouts: dict[str, Layout] = {}
    for name in task.problem.tensors():
        have, want = task.problem.layout(name), wants.get(name, PLAIN)
        if isinstance(have, Blocked) and isinstance(want, Blocked) and have.block == want.block:
            (a, b), (c, d) = have.halo
            (e, f), (g, h) = want.halo
            layouts[name] = Blocked(have.block, ((max(a, e), max(b, f)), (max(c, g), max(d, h))), have.blocks, have.first)
        elif isinstance(have, Strided) and algorithm.takes_strided and name in task.problem.inputs:
            layouts[name] = have
        else:
            layouts[name] = want
    return task.problem.with_layouts(**layouts)


class Tuner:
    """Tunes tasks on one device. Use it as a context manager: it owns the process in which candidates run.

    `kernels` names a directory with edited templates, whose results are not written to the database; `patience` changes how long phases of
    a trial may take (clconv.tuning.worker).
    """

    def __init__(
        self,
        traits: DeviceTraits,
        *,
        kernels: str | None = None,
        patience: Mapping[str, float] | None = None,
        listener: Listener = lambda task, what: None,
    ) -> None:
        self.traits, self.kernels, self.listener = traits, kernels, listener
        self.worker = Worker(traits, patience)
        path = database.database_path()
        self.database = Database(path) if path is not None and kernels is None else None

    def __enter__(self) -> Tuner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.worker.stop()

    def tune(self, task: Task, seconds: float, forced: str | None = None) -> Outcome:
        """Try the candidates of `task` for about `seconds`; none is begun after that."""
        deadline = time.monotonic() + seconds
        race = _Race(self, task, deadline - CONTEST_SHARE * seconds, forced)
        race.try_all()
        winner, own, default_seconds = race.decide(max(0.0, deadline - time.monotonic()))
        entry = self._entry(task, default_seconds, winner, own) if own is not None and race.decided else None
        if entry is not None and self.database is not None:
            self.database.add([entry])
        rejected = tuple((str(candidate), why) for candidate, why in race.rejected)
        return Outcome(task, default_seconds, winner, own, race.tried, rejected, entry)

    def tune_all(self, tasks: Iterable[Task], seconds: float, done: Callable[[Outcome], object] = lambda outcome: None) -> Report:
        """Tune the tasks, those without an entry first and then by the time they take, within `seconds`; Ctrl-C ends it early.

        What a task came to is in the database before the next begins.
        """
        left = self._order(tasks)
        outcomes: list[Outcome] = []
        deadline = time.monotonic() + seconds
        try:
            while left and (rest := deadline - time.monotonic()) > 0:
                outcomes.append(self.tune(left[0], rest * share_of(left)))
                left.pop(0)
                done(outcomes[-1])
        except KeyboardInterrupt:
            return Report(tuple(outcomes), tuple(left), True)
        return Report(tuple(outcomes), tuple(left))

    def _order(self, tasks: Iterable[Task]) -> list[Task]:
        distinct: dict[tuple[str, str], list[Task]] = {}
        for task in tasks:
            distinct.setdefault(task.key, []).append(task)
        merged = [replace(same[0], count=sum(task.count for task in same)) for same in distinct.values()]
        known = {(e.problem, e.stored) for e in self.database.entries() if e.suits(self.traits) == 0} if self.database else set()
        return sorted(merged, key=lambda task: (task.key in known, -task.weight))

    def _entry(self, task: Task, default_seconds: float | None, winner: Candidate, seconds: float) -> Entry:
        problem, stored = task.key
        t, params = self.traits, params_row(winner.params)
        names = t.identity, t.driver, t.family, t.kind
        return Entry(problem, stored, winner.algorithm.name, params, seconds, task.default.algorithm.name, default_seconds, *names)


class _Race:
    """The candidates of one task: who was tried, how long each took, and who was rejected."""

    def __init__(self, tuner: Tuner, task: Task, until: float, forced: str | None) -> None:
        self.tuner, self.task, self.until = tuner, task, until
        ranked = candidates(task.plain, tuner.traits, task.layouts, task.prepared, forced)
        self.shortlist = shortlist(ranked, task.default)
        self.times: dict[int, float] = {}
        self.rejected: list[tuple[Candidate, str]] = []
        self.tried = 0
        self.decided = False

    def trial(self, candidate: Candidate) -> Trial:
        problem = as_in_network(self.task, candidate.algorithm, candidate.wants)
        return Trial(problem, candidate.algorithm.name, candidate.params, self.tuner.kernels)

    def total(self, candidate: Candidate, seconds: float) -> float:
        """`seconds` with the reorders that the network would need more than it has."""
        problem, prepared = self.task.problem, self.task.prepared
        for name in problem.tensors():
            have, want = problem.layout(name), candidate.wants.get(name, PLAIN)
            as_it_is = isinstance(have, Strided) and candidate.algorithm.takes_strided
            if name not in prepared and not as_it_is and not same_storage(have, want):
                seconds += reorder_seconds(problem.spec(name).nbytes, self.tuner.traits, want)
        return seconds

    def try_all(self) -> None:
        """A rough time for each of the shortlist, the default first, as long as there is time."""
        for number, candidate in enumerate(self.shortlist):
            if number and time.monotonic() > self.until:
                break
            self.tuner.listener(self.task, str(candidate))
            self.tried += 1
            best = min(self.times.values(), default=float("inf"))
            try:
                self.times[number] = self.tuner.worker.try_out(self.trial(candidate), HOPELESS * best)
            except Rejected as error:
                self.rejected.append((candidate, str(error)))

    def decide(self, seconds: float) -> tuple[Candidate, float | None, float | None]:
        """(winner, its own seconds, the default's): a contest of the best, then the winner against the default alone."""

        def rough(number: int) -> float:
            return self.total(self.shortlist[number], self.times[number])

        finalists = sorted(self.times, key=rough)[:FINALISTS]
        if 0 in self.times and 0 not in finalists:
            finalists.append(0)
        if not finalists:
            return self.task.default, None, None
        each = min(MOST_CONTEST, max(LEAST_CONTEST, seconds / 2))
        measured = self._contest(finalists, each)
        if not measured:
            return self.task.default, None, None
        best = min(measured, key=lambda n: self.total(self.shortlist[n], measured[n]))
        if best != 0 and 0 in measured:
            again = self._contest([0, best], each)
            if not again:
                return self.task.default, None, None
            measured |= again
            if self.total(self.shortlist[best], again[best]) >= WORTH * self.total(self.task.default, again[0]):
                best = 0
        # With only the default tried, nothing was decided, unless there is nothing else.
        self.decided = len(self.times) > 1 or len(self.shortlist) == 1 or self.tried == len(self.shortlist)
        return self.shortlist[best], measured[best], measured.get(0)

    def _contest(self, numbers: Sequence[int], seconds: float) -> dict[int, float]:
        self.tuner.listener(self.task, "final of " + ", ".join(str(self.shortlist[n]) for n in numbers))
        try:
            times = self.tuner.worker.contest([self.trial(self.shortlist[n]) for n in numbers], seconds)
        except Rejected as error:
            self.rejected += [(self.shortlist[n], str(error)) for n in numbers]
            return {}
        return dict(zip(numbers, times, strict=True))


def share_of(tasks: Sequence[Task]) -> float:
    """The first task's share of the time for all: half of that is dealt out evenly, half by weight."""
    return 0.5 / len(tasks) + 0.5 * tasks[0].weight / sum(task.weight for task in tasks)


def shortlist(ranked: Sequence[Candidate], default: Candidate) -> list[Candidate]:
    """The default, the best of every algorithm, then the best of all, up to MOST_CANDIDATES."""
    firsts = {candidate.algorithm.name: candidate for candidate in reversed(ranked)}
    order = [default, *sorted(firsts.values(), key=lambda c: c.total), *ranked]
    out: list[Candidate] = []
    for candidate in order:
        if not any(c.algorithm is candidate.algorithm and c.params == candidate.params for c in out):
            out.append(candidate)
    return out[:MOST_CANDIDATES]


def standing(problem: Problem, traits: DeviceTraits, forced: str | None = None) -> Task:
    """A problem by itself as it stands inside a network: weights are prepared, and on CPU devices activations with enough channels come
    and go channel-blocked."""
    prepared = frozenset({"w", "b"} & set(problem.inputs))
    inside: dict[str, Layout] = {}
    for name, spec in problem.tensors().items():
        if traits.is_cpu and traits.block >= 4 and len(spec.shape) in (3, 4) and name not in prepared and spec.shape[1] >= traits.block:
            inside[name] = Blocked(traits.block)
    stored = {name: layout for name, layout in inside.items() if name in problem.inputs}
    choice = choose(problem, traits, stored, prepared, forced, tuned=False)
    default = Candidate(choice.algorithm, choice.params, choice.wants, choice.seconds, choice.seconds)
    return Task(problem.with_layouts(**choice.wants), default, stored, prepared, str(problem))


def tune_problem(
    problem: Problem,
    queue: Any,
    seconds: float = 10.0,
    *,
    algorithm: str | None = None,
    kernels: str | None = None,
    patience: Mapping[str, float] | None = None,
) -> Outcome:
    """The best candidate for `problem` as it stands inside a network, measured for about `seconds` and written to the database.

    `algorithm` names the only one to consider. Every result is checked; a candidate that hangs or crashes is rejected like a wrong one.

    >>> tune_problem(clconv.parse("n1c64i56x56k64f3x3p1"), clconv.default_queue()).gain   # doctest: +SKIP
    1.12
    """
    if not is_tunable(problem):
        raise UnsupportedError(f"{problem}: convolutions, pooling and matrix products are tuned, got {type(problem).__name__}")
    traits = traits_of(device_of(queue))
    with Tuner(traits, kernels=kernels, patience=patience) as tuner:
        return tuner.tune(standing(problem, traits, algorithm), seconds, algorithm)
