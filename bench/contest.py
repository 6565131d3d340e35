"""Our own runs and those of rivals in one measurement, made a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from clconv.bench.machine import Watch, disturbance
from clconv.bench.report import RivalRow, Row
from clconv.bench.rivals import InferenceJob, Opponent, ProblemJob, TrainingJob, opponent
from clconv.bench.roofline import Peaks
from clconv.bench.timing import AGAINST_RIVALS, ALONE, LEAST_REPEATS, Candidate, Timing, measure, rotating
from clconv.device import DeviceTraits
from clconv.runtime.programs import statistics

LONGEST_REASON = 300
Job = InferenceJob | TrainingJob | ProblemJob


@dataclass(frozen=True)
class Settings:
    """What every benchmark takes: how many timed blocks, whether caches are cold, whom to compare with, where templates come from, what
    the device can do at most, and whom to tell of progress."""

    repeats: int = LEAST_REPEATS
    cold: bool = False
    against: tuple[str, ...] = ()
    check: bool = False
    directory: str | None = None
    peaks: Peaks | None = None
    tell: Callable[[str], object] = field(default=lambda text: None)


@dataclass
class Contestant:
    """One of our own ways to do a job. `results` gives what the latest call made, for comparison with rivals; work counts one call."""

    algorithm: str
    params: str
    candidate: Candidate
    results: Callable[[], Sequence[np.ndarray]]
    launches: int
    first_run_seconds: float
    kernels_built: int
    multiply_adds: float | None
    bytes_moved: float | None
    error: float | None = None


class Building:
    """Seconds and kernels built from the beginning of the block to its end."""

    def __enter__(self) -> Building:
        self._begin, self._built = time.perf_counter(), statistics.kernels_built
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.kernels = time.perf_counter() - self._begin, statistics.kernels_built - self._built


def contest(
    contestants: Sequence[Contestant],
    job: Job,
    row: Row,
    traits: DeviceTraits,
    settings: Settings,
    *,
    copies: int = 1,
    compare: Callable[[Opponent], float] | None = None,
) -> list[Row]:
    """A row for each contestant, filled into `row`; rivals run in the same rounds and stand in the last contestant's row.

    Rivals rotate through `copies` of themselves. Their results are compared with the last contestant's after the measurement, with those of
    the calls that were timed, unless `compare` gives the difference.
    """
    teams, refused = _teams(job, traits, settings, copies)
    candidates = [c.candidate for c in contestants] + [rotating([o.run for o in team]) for team in teams]
    opponents = [team[0] for team in teams]
    manner = AGAINST_RIVALS if opponents else ALONE
    rounds, done = (settings.repeats + manner.dropped) * len(candidates), 0

    def step() -> None:
        nonlocal done
        done += 1
        settings.tell(f"{row.name or row.text}: block {done} of {rounds}")

    settings.tell(f"{row.name or row.text}: warming up")
    watch = Watch()
    timings = measure(candidates, settings.repeats, manner=manner, step=step)
    use = watch.use()
    ours, theirs = timings[: len(contestants)], timings[len(contestants) :]
    compare = compare or (lambda rival: difference(contestants[-1].results(), rival.results()))
    rivals = refused + [rival_row(o, timing, compare(o)) for o, timing in zip(opponents, theirs, strict=True)]
    rivals.sort(key=lambda r: settings.against.index(r.name))
    rows = []
    for contestant, timing in zip(contestants, ours, strict=True):
        last = contestant is contestants[-1]
        spreads = {"clconv": timing.spread, **({r.name: r.spread for r in rivals if r.spread is not None} if last else {})}
        made = filled(row, contestant, timing, settings)
        rows.append(replace(made, disturbed=disturbance(use, spreads), rivals=tuple(rivals) if last else ()))
    return rows


def _teams(job: Job, traits: DeviceTraits, settings: Settings, copies: int) -> tuple[list[list[Opponent]], list[RivalRow]]:
    """The rivals that can do the job, run once each, and a row with the reason for each that cannot."""
    ready, refused = [], []
    for name in settings.against:
        settings.tell(f"making {name} ready")
        try:
            team = [opponent(name, job, traits.compute_units) for _ in range(copies)]
            for each in team:
                each.run()
        except Exception as error:  # other libraries' errors have no common base, and must not end a benchmark of ours
            reason = " ".join(str(error).removeprefix(f"--against {name}: ").split())
            refused.append(RivalRow(name, reason=reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."))
            continue
        ready.append(team)
    return ready, refused


def difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """The largest difference as a share of the largest magnitude, over all results; infinite where shapes or NaNs differ.

    >>> difference([np.array([1.0, 2.0])], [np.array([1.0, 4.0])])
    0.5
    """
    worst = 0.0
    for a, b in zip(ours, theirs, strict=False):
        if a.size != b.size:
            return float("inf")
        a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
        scale = np.abs(b).max(initial=0.0)
        gap = np.abs(a - b).max(initial=0.0)
        worst = max(worst, float(gap / scale) if scale else (0.0 if gap == 0 else float("inf"))) if np.isfinite(gap) else float("inf")
    return worst if len(ours) == len(theirs) else float("inf")


def rival_row(opponent: Opponent, timing: Timing, error: float) -> RivalRow:
    return RivalRow(
        opponent.name, opponent.version, opponent.settings, timing.median * 1e3, timing.least * 1e3, timing.spread, error
    )  # fmt: skip


def filled(row: Row, contestant: Contestant, timing: Timing, settings: Settings) -> Row:
    """`row` with what was measured of one contestant."""
    seconds = timing.median
    gflops = None if contestant.multiply_adds is None else 2 * contestant.multiply_adds / seconds / 1e9
    gbytes = None if contestant.bytes_moved is None else contestant.bytes_moved / seconds / 1e9
    return replace(
        row,
        algorithm=contestant.algorithm,
        params=contestant.params,
        median_ms=seconds * 1e3,
        min_ms=timing.least * 1e3,
        spread=timing.spread,
        repeats=len(timing.seconds),
        gflops=gflops,
        gbytes=gbytes,
        share=None if settings.peaks is None else settings.peaks.share(gflops, gbytes),
        launches=contestant.launches,
        first_run_seconds=contestant.first_run_seconds,
        kernels_built=contestant.kernels_built,
        error=contestant.error,
        caches="cold" if settings.cold else "warm",
    )


def blank(suite: str, text: str, traits: DeviceTraits, **more: Any) -> Row:
    """A row that says what is to be measured, and on what."""
    return Row(
        suite, text, "", "", 0.0, 0.0, 0.0, 0, None, None, None, 0, 0.0, 0, None, traits.label, traits.driver, traits.compute_units, **more
    )  # fmt: skip
