"""One problem, one or all of its algorithms, on device buffers that are filled before the clock starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clconv.algorithms import applicable
from clconv.algorithms.base import Algorithm
from clconv.bench.check import error_share, random_operands
from clconv.bench.report import Row
from clconv.bench.timing import LEAST_REPEATS, Timing, measure
from clconv.codegen.plan import Plan
from clconv.problem import ConvProblem, PoolProblem, Problem, ReorderProblem
from clconv.runtime import arrays
from clconv.runtime.context import traits_of
from clconv.runtime.launch import Launch, bind, rendered
from clconv.runtime.programs import programs_for, statistics
from clconv.runtime.transfer import download, upload
from clconv.tensor import PLAIN, Layout, TensorSpec
from clconv.tuning.select import choose


def launches_of(plan: Plan, memory: Mapping[str, Any], queue: Any, text: str, directory: str | None = None) -> list[Launch]:
    """`plan` built and bound to buffers by operand name; scratch is allocated here."""
    own = {**memory, **{name: allocate(queue, TensorSpec((-(-nbytes // 4),))) for name, nbytes in plan.scratch}}
    programs = programs_for(queue.context, queue.device)
    programs.kernels(rendered(plan.calls, directory), f"clconv source '{text}'")
    return [bind(call, programs, own, label=text, directory=directory, reproduce=f"clconv source '{text}'") for call in plan.calls]


def allocate(queue: Any, spec: TensorSpec) -> Any:
    """A buffer for a tensor stored as `spec` says."""
    return arrays.empty(queue, (max(1, spec.storage_elements),), spec.dtype).data


def reorder(buffer: Any, spec: TensorSpec, layout: Layout, queue: Any) -> Any:
    """A new buffer with the tensor in `buffer` (stored as `spec`) in `layout`, by the library's own kernels; waits for them."""
    if spec.layout == layout:
        return buffer
    target = allocate(queue, spec.with_layout(layout))
    problem = ReorderProblem(spec.shape, spec.dtype, spec.dtype).with_layouts(x=spec.layout, y=layout)
    traits = traits_of(queue.device)
    choice = choose(problem, traits)
    for launch in launches_of(choice.algorithm.plan(problem, traits, choice.params), {"x": buffer, "y": target}, queue, str(problem)):
        launch.enqueue(queue)
    queue.finish()
    return target


@dataclass
class Prepared:
    """A problem bound to one algorithm: `run(n)` runs it n times, `results()` fetches what it wrote as plain arrays."""

    problem: Problem
    algorithm: Algorithm
    params: object
    queue: Any
    memory: dict[str, Any]
    launches: list[Launch]
    first_run_seconds: float
    kernels_built: int

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            for launch in self.launches:
                launch.enqueue(self.queue)
        self.queue.finish()

    def results(self) -> dict[str, np.ndarray]:
        out = {}
        for name in self.problem.outputs:
            spec = self.problem.spec(name)
            plain = reorder(self.memory[name], spec, PLAIN, self.queue)
            out[name] = download(self.queue, plain, np.empty(spec.shape, spec.dtype))
        return out


def prepare(
    problem: ConvProblem | PoolProblem,
    algorithm: Algorithm,
    queue: Any,
    operands: Mapping[str, np.ndarray],
    params: object = None,
    directory: str | None = None,
) -> Prepared:
    """Operands on the device in the layouts that `algorithm` asks for, kernels built, one run done."""
    traits = traits_of(queue.device)
    params = algorithm.defaults(problem, traits) if params is None else params
    stored = problem.with_layouts(**algorithm.wants(problem, traits, params))
    memory = {}
    for name in stored.tensors():
        spec = stored.spec(name)
        if name in stored.outputs:
            memory[name] = allocate(queue, spec)
            continue
        plain = allocate(queue, spec.with_layout(PLAIN))
        upload(queue, plain, np.ascontiguousarray(operands[name]))
        memory[name] = reorder(plain, spec.with_layout(PLAIN), spec.layout, queue)
    built, begin = statistics.kernels_built, time.perf_counter()
    launches = launches_of(algorithm.plan(stored, traits, params), memory, queue, str(problem), directory)
    prepared = Prepared(stored, algorithm, params, queue, memory, launches, 0.0, 0)
    prepared.run()
    prepared.first_run_seconds, prepared.kernels_built = time.perf_counter() - begin, statistics.kernels_built - built
    return prepared


def bench_problem(
    problem: ConvProblem | PoolProblem,
    queue: Any,
    algorithm: str | None = None,
    *,
    check: bool = False,
    repeats: int = LEAST_REPEATS,
    directory: str | None = None,
) -> list[Row]:
    """A row for the algorithm that `select` takes, for the one named, or for "all" that accept; timed in turns.

    Inputs are in the layouts that each algorithm asks for, and stay in the caches as far as they fit. Raises UnsupportedError where a named
    algorithm refuses.

    >>> bench_problem(clconv.parse("n1c64i56x56k64f3x3p1"), clconv.default_queue(), "all", check=True)  # doctest: +SKIP
    """
    traits = traits_of(queue.device)
    chosen = choose(problem, traits, forced=None if algorithm == "all" else algorithm)
    candidates = applicable(problem, traits) if algorithm == "all" else (chosen.algorithm,)
    for name in problem.tensors():
        problem.spec(name).check_addressable(str(problem))
    operands = random_operands(problem)
    prepared = [prepare(problem, candidate, queue, operands, directory=directory) for candidate in candidates]
    timings = measure([entry.run for entry in prepared], repeats)
    return [row(problem, entry, timing, operands if check else None) for entry, timing in zip(prepared, timings, strict=True)]


def row(problem: ConvProblem | PoolProblem, prepared: Prepared, timing: Timing, operands: Mapping[str, np.ndarray] | None) -> Row:
    """The report of one candidate; with `operands` its results are checked."""
    traits = traits_of(prepared.queue.device)
    params = "" if prepared.params is None else ", ".join(f"{key}={value}" for key, value in vars(prepared.params).items())
    return Row(
        text=str(problem),
        algorithm=prepared.algorithm.name,
        params=params,
        median_ms=timing.median * 1e3,
        min_ms=timing.least * 1e3,
        spread=timing.spread,
        repeats=len(timing.seconds),
        gflops=2 * problem.multiply_adds / timing.median / 1e9 if isinstance(problem, ConvProblem) else None,
        gbytes=problem.bytes_moved / timing.median / 1e9,
        launches=len(prepared.launches),
        first_run_seconds=prepared.first_run_seconds,
        kernels_built=prepared.kernels_built,
        error=error_share(problem, operands, prepared.results()) if operands is not None else None,
        device=traits.label,
        driver=traits.driver,
    )
