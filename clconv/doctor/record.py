"""From verdicts to what `select` passes over."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from clconv.doctor.findings import Examination, Verdict, told
from clconv.tuning.failures import Failure, failures_for, record


def failures_of(examination: Examination, day: str) -> tuple[Failure, ...]:
    """One an algorithm: what failed with float32 stands for all, halves count where nothing else failed."""
    own: dict[str, list[Verdict]] = {}
    for verdict in examination.failures:
        own.setdefault(verdict.algorithm, []).append(verdict)
    out = []
    for name, verdicts in own.items():
        dtype = "float32" if any(verdict.dtype == "float32" for verdict in verdicts) else "float16"
        out.append(Failure(name, dtype, told(verdict for verdict in verdicts if verdict.dtype == dtype), day))
    return tuple(out)


def remember(examination: Examination) -> Path | None:
    """Write down what failed; what was recorded of algorithms that were not tried stays. The file, None where nothing is to be recorded.

    Raises DataError where it cannot be written.
    """
    traits, tried = examination.traits, {verdict.algorithm for verdict in examination.verdicts}
    return record(traits, failures_for(traits).replaced(tried, failures_of(examination, date.today().isoformat())))
