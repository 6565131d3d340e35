"""Every algorithm and pass on small exact problems; what builds wrong, computes wrong, crashes or hangs is told apart."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from clconv.device import DeviceTraits
from clconv.doctor.findings import LATE, Examination, Measured, Skipped, Verdict
from clconv.doctor.problems import Case
from clconv.doctor.ward import Ward
from clconv.errors import DeviceError
from clconv.tuning.worker import Crashed, Hung, Rejected, Worker

PATIENCE = {"start": 60.0, "build": 30.0, "run": 30.0, "check": 30.0, "measure": 60.0}
"""Seconds for each phase, on a quiet machine. Some drivers compile at the first launch: seven seconds here, on slower machines more."""
STRETCHED = 8.0
"""How many times as long on a busy machine: a kernel that only waits for its turn must not be recorded as one that hangs."""
MOST_LOST = 3
"""After so many crashes or hangs in a row the driver is at fault as a whole, and trying the rest would take minutes."""
MOST_PROCESSES = 2


def examine(
    traits: DeviceTraits,
    cases: Sequence[Case],
    skipped: Sequence[Skipped] = (),
    *,
    seconds: float = float("inf"),
    measure: bool = True,
    progress: Callable[[int, str], object] = lambda done, what: None,
    patience: Mapping[str, float] | None = None,
) -> Examination:
    """Try `cases` on the device with these traits in processes that are replaced when they die; then measure.

    No case is begun after `seconds`. After a crash or hang the algorithm's other cases are left out. `progress` is told how many cases are
    done, and what comes next.
    """
    rounds = _Rounds(cases, seconds, progress)
    workers = [Worker(traits, {**PATIENCE, **(patience or {})}, Ward, STRETCHED) for _ in range(processes(traits, len(rounds.left)))]
    try:
        with ThreadPoolExecutor(len(workers)) as pool:
            try:
                list(pool.map(rounds.go, workers))
            except BaseException:  # Ctrl-C above all: who waits for an answer gets none, and asks no more
                rounds.given_up = True
                for worker in workers:
                    worker.stop()
                raise
        for worker in workers[1:]:  # what is measured has the device to itself
            worker.stop()
        progress(len(cases), "peak rates")
        measured, why = _measured(workers[0]) if measure and not rounds.given_up else (None, "")
    finally:
        for worker in workers:
            worker.stop()
    verdicts = tuple(rounds.verdicts[case] for case in cases if case in rounds.verdicts)
    return Examination(traits, verdicts, (*skipped, *rounds.skipped), measured, why)


def processes(traits: DeviceTraits, algorithms: int) -> int:
    """How many compile side by side. On a GPU one process's hang would take the others' work with it."""
    return max(1, min(MOST_PROCESSES, os.cpu_count() or 1, algorithms)) if traits.is_cpu else 1


class _Rounds:
    """The cases, dealt out an algorithm at a time to those who come for them, the last in the list first: they are the plain ones, on which
    the others rest, and quickly compiled."""

    def __init__(self, cases: Sequence[Case], seconds: float, progress: Callable[[int, str], object]) -> None:
        by_name: dict[str, list[Case]] = {}
        for case in cases:
            by_name.setdefault(case.name, []).append(case)
        self.left, self.progress, self.until = list(by_name.values()), progress, time.monotonic() + seconds
        self.verdicts: dict[Case, Verdict] = {}
        self.skipped: list[Skipped] = []
        self.lost_in_a_row = 0
        self.given_up = False
        self._lock = threading.Lock()

    def go(self, worker: Worker) -> None:
        """Try one algorithm after the other, as long as there are any."""
        while True:
            with self._lock:
                if not self.left:
                    return
                own = self.left.pop()
            for number, case in enumerate(own):
                late = time.monotonic() > self.until
                if late or self.given_up:
                    why = LATE if late else f"{MOST_LOST} crashes or hangs in a row came before"
                    self.skipped += [Skipped(c.name, why, str(c)) for c in own[number:]]
                    break
                with self._lock:
                    self.progress(len(self.verdicts), str(case))
                verdict = self.verdicts[case] = _verdict(worker, case)
                lost = verdict.outcome in ("crash", "hang")
                with self._lock:
                    self.lost_in_a_row = self.lost_in_a_row + 1 if lost else 0
                    self.given_up |= self.lost_in_a_row >= MOST_LOST
                if lost:
                    self.skipped += [Skipped(c.name, f"{case} did not come back", str(c)) for c in own[number + 1 :]]
                    break


def _verdict(worker: Worker, case: Case) -> Verdict:
    try:
        verdict = worker.ask("examine", case)
        assert isinstance(verdict, Verdict)
        return verdict
    except Hung as error:
        return Verdict.of(case, "hang", str(error))
    except Crashed as error:
        return Verdict.of(case, "crash", str(error))
    except DeviceError as error:
        return Verdict.of(case, "opencl", str(error))
    except Rejected as error:
        return Verdict.of(case, "error", str(error))


def _measured(worker: Worker) -> tuple[Measured | None, str]:
    try:
        measured = worker.ask("measure")
        assert isinstance(measured, Measured)
        return measured, ""
    except (Rejected, DeviceError) as error:
        return None, str(error)
