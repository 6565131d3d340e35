"""The command: judge many mutants in several processes, count what became of them, and save those that failed."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from queue import SimpleQueue

from tests.fuzz.worker import Report, reports

LEAST_AGREED = 0.3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=sys.modules["tests.fuzz"].__doc__)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="judge this one mutant alone")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--save", type=Path, default=Path(tempfile.gettempdir()) / "clconv-fuzz", help="where failing mutants go")
    options = parser.parse_args()
    start = time.perf_counter()
    numbers = range(options.mutants) if options.only is None else range(options.only, options.only + 1)
    found = list(gather(options.seed, numbers, min(options.workers, len(numbers)), options.save))
    counts = Counter(report.kind for report in found)
    print(summary(counts, time.perf_counter() - start))
    if options.only is not None:
        print(f"{' + '.join(found[0].history)}: {found[0].said or found[0].kind}; saved as {save(options.seed, found[0], options.save)}")
        return int(bool(counts["failed"]))
    enough = counts["agreed"] >= LEAST_AGREED * len(found)
    if not enough:
        print(f"FAILED: at least {LEAST_AGREED:.0%} must load, run and agree")
    return int(bool(counts["failed"]) or not enough)


def gather(seed: int, numbers: range, workers: int, folder: Path) -> list[Report]:
    """All reports, failures printed as they come."""
    queue: SimpleQueue[Report | None] = SimpleQueue()

    def work(part: range) -> None:
        try:
            for report in reports(seed, part):
                queue.put(report)
        finally:
            queue.put(None)

    threads = [threading.Thread(target=work, args=(numbers[i::workers],)) for i in range(workers)]
    for thread in threads:
        thread.start()
    found: list[Report] = []
    running = workers
    while running:
        report = queue.get()
        if report is None:
            running -= 1
            continue
        found.append(report)
        if len(found) % 5000 == 0:
            print(f"{len(found)} of {len(numbers)} judged", flush=True)
        if report.kind == "failed":
            path = save(seed, report, folder)
            print(f"mutant {report.number} ({' + '.join(report.history)}): {report.said}\n  saved as {path}\n  "
                  f"reproduce: python -m tests.fuzz --seed {seed} --only {report.number}", flush=True)  # fmt: skip
    assert len(found) == len(numbers), f"{len(numbers) - len(found)} mutants are without a report"
    return found


def save(seed: int, report: Report, folder: Path) -> Path:
    from tests.fuzz.mutate import mutant

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed{seed}-{report.number}.onnx"
    path.write_bytes(mutant(seed, report.number).data)
    return path


def summary(counts: Counter[str], seconds: float) -> str:
    from tests.fuzz.judge import KINDS

    total = counts.total()
    lines = [f"{total} mutants in {seconds:.0f} s"]
    lines += [f"  {counts[kind]:6} {counts[kind] / total:6.1%}  {meaning}" for kind, meaning in KINDS.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
