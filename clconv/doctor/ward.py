"""What runs on the device, in a process of its own that may crash or hang: one case at a time, and the measurements."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from clconv.bench.roofline import peaks
from clconv.doctor.exact import bounds, expected, operands_of
from clconv.doctor.findings import OK, Measured, Verdict
from clconv.doctor.measure import measure_launches
from clconv.doctor.problems import Case
from clconv.errors import BuildError, ClconvError, DeviceError
from clconv.runtime.failure import reported
from clconv.tensor import Packed, Transformed
from clconv.tuning.packed import weights_in
from clconv.tuning.trial import Bound, WrongResult

MOST_READ = 512 << 20
"""Bytes for the rate of memory. Servers report caches of which a process has a part: four times that takes seconds to fill."""


class Ward:
    """As `Laboratory` for the tuner: `phase` is told what begins, so that a watcher knows how long to wait."""

    def __init__(self, queue: Any, phase: Callable[[str], object] = lambda name: None) -> None:
        self.queue, self.phase = queue, phase

    def examine(self, case: Case) -> Verdict:
        """Build the case's kernels, run them once, and compare every element with the reference. Raises nothing: all is in the verdict."""
        begin = time.perf_counter()
        try:
            outcome, detail = OK, self._examined(case)
            if detail:
                outcome = "wrong"
        except WrongResult as error:
            outcome, detail = "wrong", str(error)
        except BuildError as error:
            outcome, detail = "build", str(error)
        except DeviceError as error:
            outcome, detail = "opencl", str(error)
        except (ClconvError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            outcome, detail = "error", f"{type(error).__name__}: {error}"
        return Verdict.of(case, outcome, detail, time.perf_counter() - begin)

    def _examined(self, case: Case) -> str:
        """The first difference, empty if there is none."""
        self.phase("build")
        problem, algorithm = case.trial.problem, case.trial.entry()
        specs = {name: problem.spec(name) for name in problem.inputs}
        given = operands_of(problem)
        stored = {name: given[name].astype(spec.dtype) for name, spec in specs.items()}
        # By NumPy, so that a wrong kernel that packs is not taken for one that reads.
        packed = {n: weights_in(stored[n], spec.layout) for n, spec in specs.items() if isinstance(spec.layout, Packed | Transformed)}
        with reported(f"run {case}", self.queue.device):
            bound = Bound(case.trial, stored, self.queue, 1, packed)
            self.phase("run")
            bound.run()
            self.phase("check")
            got = bound.results()
        factor = algorithm.error_factor(problem, case.trial.params)
        wanted, allowed = expected(problem, given), bounds(problem, given, factor)
        return next(filter(None, (difference(name, got[name], wanted[name], allowed) for name in got)), "")

    def measure(self) -> Measured:
        """Peak rates and the price of a launch."""
        self.phase("measure")
        with reported("measure what it can do", self.queue.device):
            most = peaks(self.queue, MOST_READ)
            return Measured(most.gflops, most.gbytes, *measure_launches(self.queue), most.disturbed)


def difference(name: str, got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray | None) -> str:
    """How `got` differs from `wanted`: bit for bit, or by more than `allowed`; empty if it does not.

    >>> difference("y", np.float32([[1, 5]]), np.float32([[1, 7]]), None)
    'y[0, 1] is 5, should be 7; 1 of 2 elements are wrong'
    """
    with np.errstate(invalid="ignore"):
        if allowed is None:
            wrong = ~((got == wanted.astype(got.dtype)) | (np.isnan(got) & np.isnan(wanted)))
        else:
            wrong = ~(np.abs(got - wanted) <= allowed)
    if not wrong.any():
        return ""
    first = np.unravel_index(int(wrong.argmax()), wrong.shape)
    place = ", ".join(str(int(index)) for index in first)
    within = "" if allowed is None else f" within {np.broadcast_to(allowed, wrong.shape)[first]:.2g}"
    values = f"{name}[{place}] is {got[first]:.8g}, should be {wanted[first]:.8g}{within}"
    return f"{values}; {int(wrong.sum())} of {wrong.size} elements are wrong"
