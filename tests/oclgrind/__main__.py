"""The command: run many cases in several processes, and print every finding with how to repeat it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from queue import SimpleQueue

from tests.oclgrind.worker import Report, reports

ADVICE = "install Debian's package oclgrind, or unpack it: .ci/drivers FOLDER oclgrind && source FOLDER/environment"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oclgrind", description=sys.modules["tests.oclgrind"].__doc__)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--shapes", type=int, default=60, help="in all; every algorithm and pass takes its turn")
    amount.add_argument("--each", type=int, help="for every algorithm and pass")
    amount.add_argument("--only", type=int, help="the one shape of this number")
    parser.add_argument("--first", type=int, default=0, help="the number to begin with, to go on with what was stopped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if shutil.which("oclgrind") is None:
        print(f"oclgrind is not on the PATH: {ADVICE}")
        return 2
    from tests.oclgrind.draw import case, pairs

    start = time.perf_counter()
    count = options.shapes if options.each is None else options.each * len(pairs())
    numbers = range(options.first, count) if options.only is None else range(options.only, options.only + 1)
    if options.only is not None:
        print(case(options.seed, options.only).label)
    found = list(gather(options.seed, numbers, max(1, min(options.workers, len(numbers)))))
    print(summary(found, time.perf_counter() - start))
    return int(not all(report.is_clean for report in found))


def gather(seed: int, numbers: range, workers: int) -> list[Report]:
    """All reports, findings printed as they come."""
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
        if not report.is_clean:
            print(report.label, report.found, report.wrong, sep="\n")
            print(f"  repeat: python -m tests.oclgrind --seed {seed} --only {report.number}", flush=True)
    assert len(found) == len(numbers), f"{len(numbers) - len(found)} shapes are without a report"
    return found


def summary(found: list[Report], seconds: float) -> str:
    """A line for each algorithm and pass: shapes, findings, wrong results, the simulator's seconds."""
    rows: dict[tuple[str, str], list[Report]] = {}
    for report in found:
        rows.setdefault((report.algorithm, report.kind), []).append(report)
    lines = [f"{'algorithm':24} {'kind':20} {'shapes':>7} {'findings':>9} {'wrong':>6} {'seconds':>8}"]
    for (algorithm, kind), members in sorted(rows.items()):
        findings, wrong = sum(bool(r.found) for r in members), sum(bool(r.wrong) for r in members)
        lines.append(f"{algorithm:24} {kind:20} {len(members):7} {findings:9} {wrong:6} {sum(r.seconds for r in members):8.1f}")
    bad = sum(not report.is_clean for report in found)
    return "\n".join([*lines, f"{len(found)} shapes, {len(rows)} pairs of algorithm and pass, {bad} with findings, in {seconds:.0f} s"])


if __name__ == "__main__":
    sys.exit(main())
