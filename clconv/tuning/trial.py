"""Running one candidate on made-up operands: is it right, and how long does it take with weights and inputs that no cache holds?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from clconv.algorithms import ALGORITHMS, applicable
from clconv.algorithms.base import Algorithm
from clconv.errors import ClconvError
from clconv.problem import Problem, ReorderProblem
from clconv.runtime import arrays
from clconv.runtime.context import traits_of
from clconv.runtime.launch import Launch, bind, rendered
from clconv.runtime.programs import programs_for
from clconv.runtime.transfer import download, upload
from clconv.tensor import PLAIN, TensorSpec
from clconv.tuning.check import Arrays, Judge, magnitudes, random_operands, without_activation
from clconv.tuning.select import choose
from clconv.tuning.storage import can_store, load, poison, store

COLD_BYTES = 64 << 20
"""Inputs are taken in turn from copies of this size together, more than the caches hold."""
MOST_COPIES = 48
BLOCK_SECONDS = 0.004
MOST_CALLS = 256
LEAST_ROUNDS = 5
GUARD = 4096
OUTSIDE = -24576


@dataclass(frozen=True)
class Trial:
    """What the tuner asks to be run: a problem with the layouts of all operands, an algorithm by name, its parameters, edited templates."""

    problem: Problem
    algorithm: str
    params: object
    directory: str | None = None

    @property
    def plain(self) -> Problem:
        return self.problem.with_layouts(**dict.fromkeys(self.problem.tensors(), PLAIN))

    def entry(self) -> Algorithm:
        return next(a for a in ALGORITHMS if a.name == self.algorithm)


class WrongResult(ClconvError):
    """A candidate that runs and computes something else."""


class Bound:
    """A trial on the device: inputs in `copies`, outputs poisoned and with guards around them.

    Packed weights are made by the library's own kernels, unless `packed` holds them.
    """

    def __init__(self, trial: Trial, operands: Arrays, queue: Any, copies: int, packed: Arrays | None = None) -> None:
        self.problem, self.queue, self._next = trial.problem, queue, 0
        plan = trial.entry().plan(trial.problem, traits_of(queue.device), trial.params)
        programs = programs_for(queue.context, queue.device)
        programs.kernels(rendered(plan.calls, trial.directory), str(trial.problem))
        shared: dict[str, Any] = {name: _allocate(queue, TensorSpec((-(-nbytes // 4),))) for name, nbytes in plan.scratch}
        self._whole = {name: self._output(trial.problem.spec(name)) for name in trial.problem.outputs}
        for name, whole in self._whole.items():
            shared[name] = whole[GUARD : GUARD + trial.problem.spec(name).nbytes]
        inputs = {name: trial.problem.spec(name) for name in trial.problem.inputs}
        flat = {name: store(operands[name], spec) for name, spec in inputs.items() if can_store(spec.layout)} | dict(packed or {})
        plain = {name: self._uploaded(operands[name].reshape(-1)) for name in inputs if name not in flat}
        self._sets: list[list[Launch]] = []
        for _ in range(copies):
            memory = {name: self._uploaded(content) for name, content in flat.items()}
            memory |= {name: reorder(buffer, inputs[name], queue) for name, buffer in plain.items()}
            memory |= shared
            self._sets.append([bind(call, programs, memory, directory=trial.directory) for call in plan.calls])

    def _output(self, spec: TensorSpec) -> Any:
        """Poisoned memory between guards of a number that no result holds."""
        guard = np.full(GUARD // np.dtype(spec.dtype).itemsize, OUTSIDE, spec.dtype)
        return self._uploaded(np.concatenate([guard, poison(spec.storage_elements, spec.dtype), guard]))

    def _uploaded(self, flat: np.ndarray) -> Any:
        buffer = _allocate(self.queue, TensorSpec(flat.shape, str(flat.dtype)))
        upload(self.queue, buffer, flat)
        return buffer

    def run(self, calls: int = 1) -> None:
        """`calls` runs, each on the next copy, and wait for them."""
        for _ in range(calls):
            for launch in self._sets[self._next]:
                launch.enqueue(self.queue)
            self._next = (self._next + 1) % len(self._sets)
        self.queue.finish()

    def block(self, calls: int) -> float:
        """Seconds a call, after one that is not counted: whatever ran before may have left the caches to itself."""
        self.run()
        begin = time.perf_counter()
        self.run(calls)
        return (time.perf_counter() - begin) / calls

    def calls(self) -> int:
        """Calls that fill a block."""
        return max(1, min(MOST_CALLS, round(BLOCK_SECONDS / max(self.block(1), 1e-9))))

    def results(self) -> dict[str, np.ndarray]:
        """The outputs as arrays. WrongResult where memory around them was written, or a halo is not zero."""
        out = {}
        for name, whole in self._whole.items():
            spec = self.problem.spec(name)
            guard = GUARD // np.dtype(spec.dtype).itemsize
            content = download(self.queue, whole, np.empty(spec.storage_elements + 2 * guard, spec.dtype))
            if (content[:guard] != OUTSIDE).any() or (content[-guard:] != OUTSIDE).any():
                raise WrongResult(f"{name}: written outside of its memory")
            try:
                out[name] = load(content[guard:-guard], spec)
            except ValueError as error:
                raise WrongResult(f"{name}: {error}") from error
        return out


def _allocate(queue: Any, spec: TensorSpec) -> Any:
    return arrays.empty(queue, (max(1, spec.storage_elements),), spec.dtype).data


def reorder(plain: Any, spec: TensorSpec, queue: Any) -> Any:
    """A new buffer with the plain tensor in the layout of `spec`, by the library's own kernels."""
    target, traits = _allocate(queue, spec), traits_of(queue.device)
    problem = ReorderProblem(spec.shape, spec.dtype, spec.dtype).with_layouts(y=spec.layout)
    choice = choose(problem, traits)
    plan, programs = choice.algorithm.plan(problem, traits, choice.params), programs_for(queue.context, queue.device)
    memory = {"x": plain, "y": target} | {name: _allocate(queue, TensorSpec((-(-nbytes // 4),))) for name, nbytes in plan.scratch}
    for call in plan.calls:
        bind(call, programs, memory, reproduce=str(problem)).enqueue(queue)
    queue.finish()
    return target


class Laboratory:
    """One queue's trials. `phase` is told what begins ("build", "run", "check"), so that a watcher knows how long to wait."""

    def __init__(self, queue: Any, phase: Callable[[str], object] = lambda name: None) -> None:
        self.queue, self.phase = queue, phase
        self._subject: tuple[Problem, dict[str, np.ndarray], Judge] | None = None

    def try_out(self, trial: Trial, hopeless: float = float("inf")) -> float:
        """Seconds of one run, roughly: of a single one where that takes longer than `hopeless`. WrongResult for a wrong one."""
        self.phase("build")
        operands, judge = self._known(trial.plain)
        bound = Bound(trial, operands, self.queue, self._copies(trial, 1))
        self.phase("run")
        bound.run()  # not timed: drivers finish compiling at the first launch
        self.phase("check")
        share = judge.share(bound.results(), trial.entry().error_factor(trial.plain, trial.params))
        if not share <= 1:
            raise WrongResult(f"the result is off by {share:.3g} times the allowed error")
        self.phase("run")
        begin = time.perf_counter()
        bound.run()
        single = time.perf_counter() - begin
        if single > hopeless:
            return single
        calls = bound.calls()
        return median(bound.block(calls) for _ in range(3))

    def contest(self, trials: Sequence[Trial], seconds: float) -> list[float]:
        """Median seconds of one run of each, in blocks that alternate for about `seconds`."""
        self.phase("build")
        operands, _ = self._known(trials[0].plain)
        bound = [Bound(trial, operands, self.queue, self._copies(trial, len(trials))) for trial in trials]
        self.phase("contest")
        calls, rows = [one.calls() for one in bound], [[] for _ in bound]  # type: tuple[list[int], list[list[float]]]
        end = time.perf_counter() + seconds
        while len(rows[0]) < LEAST_ROUNDS or time.perf_counter() < end:
            for one, count, row in zip(bound, calls, rows, strict=True):
                row.append(one.block(count))
        return [median(row) for row in rows]

    def _copies(self, trial: Trial, contestants: int) -> int:
        nbytes = sum(trial.problem.spec(name).nbytes for name in trial.problem.inputs)
        memory = min(1 << 30, traits_of(self.queue.device).global_memory_bytes // 4) // contestants
        return max(1, min(MOST_COPIES, -(-COLD_BYTES // nbytes) + 1, memory // nbytes))

    def _known(self, problem: Problem) -> tuple[dict[str, np.ndarray], Judge]:
        """Operands of the problem, and who judges results; kept for the next trial of the same problem."""
        if self._subject is None or self._subject[0] != problem:
            self._subject = None
            operands = random_operands(problem)
            plainest = applicable(problem, traits_of(self.queue.device))[-1]
            sums = without_activation(problem)  # one kernel for both
            trusted, magnitude = (self._plainly(sums, plainest, values) for values in (operands, magnitudes(operands)))
            self._subject = problem, operands, Judge(problem, operands, trusted, magnitude)
        return self._subject[1:]

    def _plainly(self, problem: Problem, algorithm: Algorithm, operands: Arrays) -> dict[str, np.ndarray]:
        traits = traits_of(self.queue.device)
        params = algorithm.defaults(problem, traits)
        stored = problem.with_layouts(**algorithm.wants(problem, traits, params))
        bound = Bound(Trial(stored, algorithm.name, params), operands, self.queue, 1)
        bound.run()
        return bound.results()
