"""What was found, as values: they need no OpenCL, so that advice can be given where there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clconv.device import DeviceTraits

if TYPE_CHECKING:
    from clconv.doctor.problems import Case

OK = "ok"
OUTCOMES = {
    OK: "computes what it should",
    "wrong": "computes something else",
    "build": "does not build",
    "opencl": "an OpenCL call fails",
    "crash": "crashes the process",
    "hang": "does not come to an end",
    "error": "fails before anything runs",
}

LATE = "no time was left"


@dataclass(frozen=True)
class Verdict:
    """What became of a case: one of OUTCOMES, and in `detail` what was seen (the compiler's log, the first wrong element)."""

    case: str
    algorithm: str
    kind: str
    dtype: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0

    @classmethod
    def of(cls, case: Case, outcome: str, detail: str = "", seconds: float = 0.0) -> Verdict:
        return cls(str(case), case.name, case.kind, case.dtype, outcome, detail, seconds)

    @property
    def ok(self) -> bool:
        return self.outcome == OK


@dataclass(frozen=True)
class Skipped:
    """An algorithm that was not tried, or one `case` of it, and why."""

    algorithm: str
    why: str
    case: str = ""


@dataclass(frozen=True)
class Measured:
    """Billions of operations (two a multiply-add) and of bytes read a second; microseconds of a launch among many, and of one that is
    waited for. `disturbed` says what makes them doubtful."""

    gflops: float
    gbytes: float
    launch_us: float
    wait_us: float
    disturbed: str = ""


@dataclass(frozen=True)
class Examination:
    """What became of one device: a verdict a case, what was not tried and why, and what it can do (None where that failed, with `why`)."""

    traits: DeviceTraits
    verdicts: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]
    measured: Measured | None = None
    why: str = ""

    @property
    def failures(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.ok)

    @property
    def healthy(self) -> bool:
        return not self.failures and not self.why


def told(verdicts: Iterable[Verdict]) -> str:
    """What failed, for people: "computes something else (fwd, bwd_d), does not build (bwd_w)"; empty if nothing did."""
    kinds: dict[str, list[str]] = {}
    for verdict in verdicts:
        if not verdict.ok:
            kinds.setdefault(OUTCOMES[verdict.outcome], []).append(verdict.kind)
    return ", ".join(f"{outcome} ({', '.join(dict.fromkeys(own))})" for outcome, own in kinds.items())
