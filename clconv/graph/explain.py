"""Reports of a compiled graph for people: what was chosen and why, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clconv.graph.schedule import Step
from clconv.problem import ReorderProblem
from clconv.runtime.executor import Timing


def explain(steps: Sequence[Step], notes: Sequence[tuple[str, str]], device: str, memory: dict[str, int]) -> str:
    """One paragraph a step, then notes on concatenations, then memory."""
    lines = [f"{len(steps)} operations on {device}; estimates are models, not measurements", ""]
    for step in steps:
        when = " (once, when parameters change)" if step.prepared else ""
        layouts = ", ".join(f"{name} {value.layout}" for name, value in step.operands.items())
        lines.append(f"{step.label}: {step.problem}{when}")
        lines.append(f"    {layouts}")
        if not isinstance(step.problem, ReorderProblem):
            lines.append(f"    {step.explain()}")
    lines += [f"{label}: concatenation, {note}" for label, note in notes]
    lines.append("memory: " + ", ".join(f"{name} {nbytes / 2**20:.1f} MiB" for name, nbytes in memory.items()))
    return "\n".join(lines)


@dataclass(frozen=True)
class ProfileRow:
    """One launch: device milliseconds, and the rates that the problem's multiply-adds and bytes make of it (0 where unknown)."""

    label: str
    kernel: str
    problem: str
    milliseconds: float
    gflops: float
    gbytes: float
    share: float


@dataclass(frozen=True)
class Profile:
    device: str
    rows: tuple[ProfileRow, ...]

    @property
    def milliseconds(self) -> float:
        return sum(row.milliseconds for row in self.rows)

    def __str__(self) -> str:
        lines = [f"{self.milliseconds:.3f} ms in {len(self.rows)} launches on {self.device} (medians, sum of kernels)"]
        lines.append(f"{'ms':>9} {'share':>6} {'GFLOP/s':>8} {'GB/s':>6}  kernel, layer, problem")
        for row in self.rows:
            rate = f"{row.gflops:8.1f}" if row.gflops else " " * 8
            lines.append(f"{row.milliseconds:9.3f} {row.share:6.1%} {rate} {row.gbytes:6.1f}  {row.kernel}, {row.label}, {row.problem}")
        return "\n".join(lines)


def profile_of(timings: Sequence[Timing], steps: Sequence[Step], device: str) -> Profile:
    """Rates are of the whole problem over all its launches, shown with the first of them."""
    total = sum(t.milliseconds for t in timings) or 1.0
    known = {(step.label, str(step.problem)): step.problem for step in steps}
    spent: dict[tuple[str, str], float] = {}
    for t in timings:
        spent[(t.label, t.text)] = spent.get((t.label, t.text), 0.0) + t.milliseconds
    rows = []
    for t in timings:
        key = (t.label, t.text)
        problem, seconds = known.get(key), spent.pop(key, 0.0) * 1e-3
        heavy = problem is not None and hasattr(problem, "epilogue")
        gflops = 2 * problem.multiply_adds / seconds / 1e9 if heavy and seconds and problem else 0.0
        gbytes = problem.bytes_moved / seconds / 1e9 if problem and seconds else 0.0
        rows.append(ProfileRow(t.label, t.kernel, t.text, t.milliseconds, gflops, gbytes, t.milliseconds / total))
    return Profile(device, tuple(rows))
