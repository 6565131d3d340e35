"""Choosing an algorithm for a problem, by what tuning has measured or else by estimate, and saying why."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from clconv.algorithms import applicable, for_problem
from clconv.algorithms.base import Algorithm
from clconv.algorithms.register_tiles import inner_loop
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import Problem, ReorderProblem
from clconv.tensor import PLAIN, Blocked, Layout, Packed, Strided, Transformed
from clconv.tuning import database
from clconv.tuning.database import Table
from clconv.tuning.entry import Entry, is_tunable, params_text, problem_key, storage_key
from clconv.tuning.failures import Failures, failures_for

BYTES_PER_SECOND = 8e9
LAUNCH_SECONDS = 5e-6


@dataclass(frozen=True)
class Candidate:
    """An algorithm with parameters, the layouts it wants, its own estimated time, and that with the reorders of its inputs (`total`)."""

    algorithm: Algorithm
    params: object
    wants: Mapping[str, Layout]
    seconds: float
    total: float

    def __str__(self) -> str:
        return f"{self.algorithm.name}({params_text(self.params)})"


@dataclass(frozen=True)
class Choice:
    """The chosen algorithm, the layouts it wants, and what was weighed.

    `seconds` is the algorithm's own time, without the reorders of its inputs: an estimate, also where `tuned` says what was measured, so
    that times can be compared whether they are measured or not. `others` hold name, own time, and time with reorders. `doubts` are
    sentences about those that failed `clconv doctor`.
    """

    algorithm: Algorithm
    params: object
    wants: Mapping[str, Layout]
    seconds: float
    others: tuple[tuple[str, float, float], ...]
    refused: tuple[tuple[str, str], ...]
    tuned: Entry | None = None
    doubts: tuple[str, ...] = ()


def same_storage(stored: Layout, wanted: Layout) -> bool:
    """Whether a tensor stored one way can be had the other way by enlarging its halo only."""
    if isinstance(stored, Blocked) and isinstance(wanted, Blocked):
        return stored.block == wanted.block
    return stored == wanted


def can_recall(wanted: Layout) -> bool:
    """Whether comparing a tensor with what it was takes less than bringing it into this layout again."""
    return isinstance(wanted, Transformed)


def reorder_seconds(nbytes: int, traits: DeviceTraits, wanted: Layout = PLAIN) -> float:
    """Estimate for a tensor that is read and written once; on GPUs at the bandwidth that their own kernels are weighed with.

    Weights on CPU devices have a rate of their own: their kernels read whole runs.
    """
    if not traits.is_cpu:
        rate = traits.start.bytes_per_second * traits.compute_units
    elif isinstance(wanted, Packed | Transformed):
        rate = inner_loop(traits.vector_registers).reordered_per_second
    else:
        rate = BYTES_PER_SECOND
    return 2 * nbytes / rate + LAUNCH_SECONDS


@dataclass(frozen=True)
class Situation:
    """A problem where it stands: how its inputs are `stored`, and which of them are `prepared` (reordered once, not per run).

    Those in `recalled` mostly are what they were in the last run, with what was made of them still there. `failures` are those that
    `clconv doctor` found on the device.
    """

    problem: Problem
    traits: DeviceTraits
    stored: Mapping[str, Layout]
    prepared: frozenset[str]
    failures: Failures = Failures()
    recalled: frozenset[str] = frozenset()

    def weigh(self, algorithm: Algorithm, params: object, weight: float = 1.0, seconds: float | None = None) -> Candidate:
        """The candidate with its times; reorders count `weight` times, `seconds` replaces the algorithm's own estimate."""
        problem, traits = self.problem, self.traits
        wants = dict(problem.layouts) if isinstance(problem, ReorderProblem) else algorithm.wants(problem, traits, params)
        own = total = algorithm.seconds(problem, traits, params) if seconds is None else seconds
        for name in problem.inputs:
            have, wanted = self.stored.get(name, problem.layout(name)), wants.get(name, problem.layout(name))
            if isinstance(have, Strided) and algorithm.takes_strided:
                continue
            if name not in self.prepared and not same_storage(have, wanted):
                spec = problem.spec(name)
                # To compare, what is there is read twice.
                made = spec.nbytes if name in self.recalled and can_recall(wanted) else spec.with_layout(wanted).nbytes
                total += weight * reorder_seconds((spec.nbytes + made) // 2, traits, wanted)
        return Candidate(algorithm, params, wants, own, total)

    def algorithms(self, forced: str | None, strict: bool = False) -> tuple[list[Algorithm], list[tuple[str, str]], tuple[str, ...]]:
        """Those that accept the problem, in list order, (name, reason) of the others, and sentences about those that failed on the device,
        which are left out as long as others accept. UnsupportedError where none is left.

        `strict` leaves out those that do not compute straight sums.
        """
        entries = for_problem(self.problem)
        if forced is not None:
            named = tuple(a for a in entries if a.name == forced)
            if not named:
                raise UnsupportedError(f"{self.problem}: algorithm {forced!r} is not one of {', '.join(a.name for a in entries)}")
            entries = named
        reasons = [(a, self._why_not(a, strict, forced is not None)) for a in entries]
        accepted, refused = [a for a, why in reasons if why is None], [(a.name, why) for a, why in reasons if why is not None]
        if accepted:
            kept, doubts = self._trusted(accepted, forced is not None) if self.failures else (accepted, ())
            return kept, refused, doubts
        label = self.traits.label
        if forced is not None:
            raise UnsupportedError(f"{self.problem}: algorithm {forced}, asked for by name, does not take this on {label}: {refused[0][1]}")
        told = "; ".join(f"{name}: {why}" for name, why in refused) or "none is written for it"
        raise UnsupportedError(f"{self.problem}: no algorithm takes this on {label}: {told}")

    def _trusted(self, accepted: list[Algorithm], forced: bool) -> tuple[list[Algorithm], tuple[str, ...]]:
        """Those without a doubt, or all where that is none or the caller has named it; and a sentence for each of the others."""
        doubts = {a.name: doubt for a in accepted if (doubt := self.doubt(a)) is not None}
        kept = [a for a in accepted if a.name not in doubts]
        if kept and not forced:
            return kept, tuple(f"{name} is passed over: {doubt}" for name, doubt in doubts.items())
        why = "the caller asks for it by name" if forced else "no other is left"
        return accepted, tuple(f"{name} is not passed over, because {why}: {doubt}" for name, doubt in doubts.items())

    def doubt(self, algorithm: Algorithm) -> str | None:
        """What the device's failures say against the algorithm: its own, or that of all that could bring an operand into its layout."""
        problem = self.problem
        if own := self.failures.of(algorithm.name, _dtypes(problem)):
            return f"it {own}"
        if isinstance(problem, ReorderProblem):
            return None
        for name, layout in algorithm.wants(problem, self.traits, algorithm.defaults(problem, self.traits)).items():
            spec, side = problem.tensors()[name], "y" if name in problem.inputs else "x"
            reorder = ReorderProblem(spec.shape, spec.dtype, spec.dtype).with_layouts(**{side: layout})
            takers = applicable(reorder, self.traits)
            failed = [failure for a in takers if (failure := self.failures.of(a.name, _dtypes(reorder))) is not None]
            if failed and len(failed) == len(takers):
                return f"its {name} is {layout}, and {failed[0].algorithm}, which makes that, {failed[0]}"
        return None

    def _why_not(self, algorithm: Algorithm, strict: bool, forced: bool) -> str | None:
        why = (algorithm.why_not_forced if forced else algorithm.why_not)(self.problem, self.traits)
        if why is None and strict:
            factor = algorithm.error_factor(self.problem, algorithm.defaults(self.problem, self.traits))
            why = f"strict=True asks for straight sums, this may be off by {factor:g} times as much" if factor is not None else None
        return why


def _dtypes(problem: Problem) -> set[str]:
    return {spec.dtype for spec in problem.tensors().values()}


def choose(
    problem: Problem,
    traits: DeviceTraits,
    stored: Mapping[str, Layout] | None = None,
    prepared: frozenset[str] = frozenset(),
    forced: str | None = None,
    reorder_weight: float = 1.0,
    tuned: bool = True,
    strict: bool = False,
    recalled: frozenset[str] = frozenset(),
) -> Choice:
    """The best applicable algorithm, reorders of the inputs from how they are `stored` included, times `reorder_weight`.

    What the tuning database holds for this problem and device, with inputs stored this way, goes before all estimates; where they are
    stored otherwise it is weighed with the others, its time scaled to theirs. `tuned=False` ignores the database. Inputs named in
    `prepared` are reordered once, not per run, those in `recalled` only where they changed. `forced` names the only algorithm allowed;
    UnsupportedError says why it refuses. `strict` allows straight sums only: no algorithm with an error factor.
    """
    table = database.current() if tuned and is_tunable(problem) else None
    stored_pairs = tuple(sorted((stored or {}).items()))
    return _choose(problem, traits, stored_pairs, prepared, forced, reorder_weight, table, strict, failures_for(traits), recalled)


@lru_cache(maxsize=8192)
def _choose(
    problem: Problem,
    traits: DeviceTraits,
    stored_pairs: tuple[tuple[str, Layout], ...],
    prepared: frozenset[str],
    forced: str | None,
    reorder_weight: float,
    table: Table | None,
    strict: bool = False,
    failures: Failures = Failures(),  # noqa: B008
    recalled: frozenset[str] = frozenset(),
) -> Choice:
    situation = Situation(problem, traits, dict(stored_pairs), prepared, failures, recalled)
    accepted, refused, doubts = situation.algorithms(forced, strict)
    weighed = [situation.weigh(a, a.defaults(problem, traits), reorder_weight) for a in accepted]
    entry = measured = None
    if table is not None:
        storage = storage_key(problem, situation.stored, prepared)
        entry = table.find(problem_key(problem), storage, traits)
        measured = _measured(entry, situation, weighed, reorder_weight) if entry else None
        if entry and measured:
            weighed = [measured if c.algorithm is measured.algorithm else c for c in weighed]
            measured = measured if entry.stored == storage else None
    best = measured or min(weighed, key=lambda c: c.total)
    rest = sorted((c for c in weighed if c is not best), key=lambda c: c.total)
    others = tuple((c.algorithm.name, c.seconds, c.total) for c in rest)
    told = entry if entry and entry.algorithm == best.algorithm.name and _holds(entry, best) else None
    if doubts and forced is None and (doubt := situation.doubt(best.algorithm)):
        warnings.warn(f"{best.algorithm.name} is all that is left, although {doubt}", stacklevel=3)
    return Choice(best.algorithm, best.params, best.wants, best.seconds, others, tuple(refused), told, doubts)


def _measured(entry: Entry, situation: Situation, weighed: list[Candidate], weight: float) -> Candidate | None:
    """The entry as a candidate; None where its algorithm refuses the problem or its parameters, or takes others than it did.

    Its time is the estimate of the untuned choice times what tuning gained: on the scale of the estimates it competes with, which may
    all be off by the same factor.
    """
    like = next((c for c in weighed if c.algorithm.name == entry.algorithm), None)
    default = next((c for c in weighed if c.algorithm.name == entry.default), None)
    if like is None:
        return None
    try:
        params = entry.params_like(like.params)
    except ValueError:
        return None
    if like.algorithm.why_not_params(situation.problem, situation.traits, params) is not None:
        return None
    gain = entry.seconds / entry.default_seconds if entry.default_seconds else None
    seconds = default.seconds * gain if default and gain else entry.seconds
    return situation.weigh(like.algorithm, params, weight, seconds)


def _holds(entry: Entry, candidate: Candidate) -> bool:
    try:
        return entry.params_like(candidate.params) == candidate.params
    except ValueError:
        return False


def candidates(
    problem: Problem,
    traits: DeviceTraits,
    stored: Mapping[str, Layout] | None = None,
    prepared: frozenset[str] = frozenset(),
    forced: str | None = None,
) -> list[Candidate]:
    """Every applicable algorithm with every parameters of its space, by estimate, best first; equals stay in the order of the lists.

    For tuning and reports: `choose` looks at the defaults and the database only.

    >>> from clconv.problem import parse
    >>> [c.algorithm.name for c in candidates(parse("maxpool n1c64i8x8f2x2"), DeviceTraits.cpu())][:1]
    ['pool_blocked']
    """
    situation = Situation(problem, traits, stored or {}, prepared, failures_for(traits))
    accepted, _, _ = situation.algorithms(forced)
    found = [situation.weigh(a, params) for a in accepted for params in dict.fromkeys(a.space(problem, traits))]
    return sorted(found, key=lambda c: c.total)


def describe(choice: Choice) -> str:
    """One line: the choice and why, the alternatives with their estimates, and who refused why."""
    text = f"{choice.algorithm.name}({params_text(choice.params)}), {reason(choice)}"
    if choice.others:
        text += "; instead of " + ", ".join(f"{name} ({_estimate(alone, whole)})" for name, alone, whole in choice.others)
    if choice.refused:
        text += "; refused: " + ", ".join(f"{name} ({why})" for name, why in choice.refused)
    return "; ".join((text, *choice.doubts))


def reason(choice: Choice) -> str:
    """What the choice rests on: "tuned: 84 us measured on ... (untuned: conv_blocked, 91 us)", or "estimate 80 us"."""
    entry = choice.tuned
    if entry is None:
        return f"estimate {choice.seconds * 1e6:.0f} us"
    if entry.default_seconds is None:
        untuned = f"untuned: {entry.default}, rejected there"
    else:
        untuned = f"untuned: {entry.default}, {entry.default_seconds * 1e6:.0f} us"
    return f"tuned: {entry.seconds * 1e6:.0f} us measured on {entry.device} ({untuned})"


def _estimate(alone: float, whole: float) -> str:
    reorders = f", {whole * 1e6:.0f} us with reorders" if whole > alone else ""
    return f"estimate {alone * 1e6:.0f} us{reorders}"
