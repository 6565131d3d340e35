"""Choosing an algorithm for a problem by estimate, and saying why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from clconv.algorithms import for_problem
from clconv.algorithms.base import Algorithm
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import Problem, ReorderProblem
from clconv.tensor import Blocked, Layout, Strided

BYTES_PER_SECOND = 8e9
LAUNCH_SECONDS = 5e-6


@dataclass(frozen=True)
class Choice:
    """The chosen algorithm, the layouts it wants, and what was weighed: estimates are estimates, not measurements.

    `seconds` is the algorithm's own time, without the reorders of its inputs; `others` hold name, own time, and time with reorders.
    """

    algorithm: Algorithm
    params: object
    wants: Mapping[str, Layout]
    seconds: float
    others: tuple[tuple[str, float, float], ...]
    refused: tuple[tuple[str, str], ...]


def same_storage(stored: Layout, wanted: Layout) -> bool:
    """Whether a tensor stored one way can be had the other way by enlarging its halo only."""
    if isinstance(stored, Blocked) and isinstance(wanted, Blocked):
        return stored.block == wanted.block
    return stored == wanted


def reorder_seconds(nbytes: int) -> float:
    return 2 * nbytes / BYTES_PER_SECOND + LAUNCH_SECONDS


def choose(
    problem: Problem,
    traits: DeviceTraits,
    stored: Mapping[str, Layout] | None = None,
    prepared: frozenset[str] = frozenset(),
    forced: str | None = None,
    reorder_weight: float = 1.0,
) -> Choice:
    """The cheapest applicable algorithm, reorders of the inputs from how they are `stored` included, times `reorder_weight`.

    Inputs named in `prepared` are reordered once, not per run. `forced` names the only algorithm allowed;
    UnsupportedError says why it refuses.
    """
    return _choose(problem, traits, tuple(sorted((stored or {}).items())), prepared, forced, reorder_weight)


@lru_cache(maxsize=8192)
def _choose(
    problem: Problem,
    traits: DeviceTraits,
    stored_pairs: tuple[tuple[str, Layout], ...],
    prepared: frozenset[str],
    forced: str | None,
    reorder_weight: float,
) -> Choice:
    stored = dict(stored_pairs)
    candidates = for_problem(problem)
    if forced is not None:
        named = tuple(a for a in candidates if a.name == forced)
        if not named:
            raise UnsupportedError(f"{problem}: algorithm {forced!r} is not one of {', '.join(a.name for a in candidates)}")
        candidates = named
    weighed: list[tuple[float, int, Algorithm, object, Mapping[str, Layout], float]] = []
    refused: list[tuple[str, str]] = []
    for position, algorithm in enumerate(candidates):
        why = algorithm.why_not(problem, traits)
        if why is not None:
            refused.append((algorithm.name, why))
            continue
        params = algorithm.defaults(problem, traits)
        wants = dict(problem.layouts) if isinstance(problem, ReorderProblem) else algorithm.wants(problem, traits, params)
        own = seconds = algorithm.seconds(problem, traits, params)
        for name in problem.inputs:
            have, wanted = stored.get(name, problem.layout(name)), wants.get(name, problem.layout(name))
            if isinstance(have, Strided) and algorithm.takes_strided:
                continue
            if name not in prepared and not same_storage(have, wanted):
                seconds += reorder_weight * reorder_seconds(problem.spec(name).nbytes)
        weighed.append((seconds, position, algorithm, params, wants, own))
    if not weighed and forced is not None and refused:
        raise UnsupportedError(f"{problem}: algorithm {forced}, asked for by name, does not take this on {traits.label}: {refused[0][1]}")
    if not weighed:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused) or "none is written for it"
        raise UnsupportedError(f"{problem}: no algorithm takes this on {traits.label}: {reasons}")
    weighed.sort(key=lambda entry: entry[:2])
    _, _, algorithm, params, wants, own = weighed[0]
    others = tuple((a.name, alone, whole) for whole, _, a, _, _, alone in weighed[1:])
    return Choice(algorithm, params, wants, own, others, tuple(refused))


def describe(choice: Choice) -> str:
    """One line: the choice, the alternatives with their estimates, and who refused why."""
    params = "" if choice.params is None else ", ".join(f"{k}={v}" for k, v in vars(choice.params).items())
    text = f"{choice.algorithm.name}({params}), estimate {choice.seconds * 1e6:.0f} us"
    if choice.others:
        text += "; instead of " + ", ".join(f"{name} ({_estimate(alone, whole)})" for name, alone, whole in choice.others)
    if choice.refused:
        text += "; refused: " + ", ".join(f"{name} ({why})" for name, why in choice.refused)
    return text


def _estimate(alone: float, whole: float) -> str:
    reorders = f", {whole * 1e6:.0f} us with reorders" if whole > alone else ""
    return f"estimate {alone * 1e6:.0f} us{reorders}"
