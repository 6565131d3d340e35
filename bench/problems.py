"""One problem, one or all of its algorithms, on device buffers that are filled before the clock starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clconv.algorithms import applicable
from clconv.algorithms.base import Algorithm
from clconv.bench.check import error_share, random_operands
from clconv.bench.compiled import Compiled, algorithms, error_factor
from clconv.bench.contest import Building, Contestant, Settings, blank, contest
from clconv.bench.eager import Eager
from clconv.bench.machine import copies_for
from clconv.bench.report import Row
from clconv.bench.rivals import ProblemJob
from clconv.bench.timing import Candidate, rotating
from clconv.codegen.plan import Plan
from clconv.errors import UnsupportedError
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

    def enqueue(self) -> None:
        for launch in self.launches:
            launch.enqueue(self.queue)

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self.enqueue()
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
    settings: Settings = Settings(),  # noqa: B008
    params: Mapping[str, str] | None = None,
    row: Row | None = None,
    eager: bool = False,
) -> list[Row]:
    """A row for the algorithm that `select` takes, for the one named, or for "all" that accept; timed in turns.

    Inputs are in the layouts that each algorithm asks for. With rivals, a last row is the problem compiled as users meet it, plain arrays
    in and out: that one is compared with theirs. `eager` gives that row too, and one before it for the eager call. `params`
    replaces some of the parameters of the one algorithm. Raises UnsupportedError where a named algorithm refuses.

    >>> bench_problem(clconv.parse("n1c64i56x56k64f3x3p1"), clconv.default_queue(), "all")  # doctest: +SKIP
    """
    traits = traits_of(queue.device)
    prepared = frozenset({"w"} & set(problem.inputs))  # as in a compiled network
    chosen = choose(problem, traits, prepared=prepared, forced=None if algorithm == "all" else algorithm)
    candidates = applicable(problem, traits) if algorithm == "all" else (chosen.algorithm,)
    if params and len(candidates) > 1:
        raise UnsupportedError("--params: parameters are those of one algorithm; name it with --algorithm")
    check_addressable(problem)
    operands = random_operands(problem)
    copies = copies_for(problem.bytes_moved, queue.device) if settings.cold else 1
    row = row or blank("conv", str(problem), traits)
    contestants = []
    for candidate in candidates:
        settings.tell(f"{row.text}: building {candidate.name}")
        own = parameters_with(candidate.defaults(problem, traits), params or {}, candidate.name)
        contestants.append(contestant_of(problem, candidate, queue, operands, own, copies, settings))
    if eager:
        settings.tell(f"{row.text}: calling until nothing better is built")
        contestants.append(eager_contestant(problem, queue, operands, copies, settings))
    if settings.against or eager:
        settings.tell(f"{row.text}: compiling")
        contestants.append(compiled_contestant(problem, queue, operands, copies, settings))
    return contest(contestants, ProblemJob(problem, operands), row, traits, settings, copies=copies)


def check_addressable(problem: Problem) -> None:
    for name in problem.tensors():
        problem.spec(name).check_addressable(str(problem))


def contestant_of(
    problem: ConvProblem | PoolProblem,
    algorithm: Algorithm,
    queue: Any,
    operands: Mapping[str, np.ndarray],
    params: object,
    copies: int,
    settings: Settings,
) -> Contestant:
    """`algorithm` on `copies` copies of the operands."""
    prepared = [prepare(problem, algorithm, queue, operands, params, settings.directory) for _ in range(copies)]
    first = prepared[0]
    return Contestant(
        algorithm=algorithm.name,
        params="" if params is None else ", ".join(f"{key}={value}" for key, value in vars(params).items()),
        candidate=together(prepared),
        results=lambda: list(first.results().values()),
        launches=len(first.launches),
        first_run_seconds=first.first_run_seconds,
        kernels_built=first.kernels_built,
        multiply_adds=problem.multiply_adds if isinstance(problem, ConvProblem) else None,
        bytes_moved=problem.bytes_moved,
        error=error_share(problem, operands, first.results(), algorithm.error_factor(first.problem, params)) if settings.check else None,
    )


def together(prepared: Sequence[Prepared]) -> Candidate:
    """Calls in turn over the copies, with one wait at the end."""
    enqueue = rotating([entry.enqueue for entry in prepared])

    def run(times: int) -> None:
        enqueue(times)
        prepared[0].queue.finish()

    return run


def compiled_contestant(
    problem: ConvProblem | PoolProblem, queue: Any, operands: Mapping[str, np.ndarray], copies: int, settings: Settings
) -> Contestant:
    """The problem as a compiled graph on plain arrays, weights packed beforehand; a call waits for its result."""
    with Building() as building:
        first = Compiled(problem, queue, operands, settings.directory)
        first()
    instances = [first, *(Compiled(problem, queue, operands, settings.directory) for _ in range(copies - 1))]
    return _as_users_meet_it("compiled", problem, operands, first, rotating(instances), building, settings)


def eager_contestant(
    problem: ConvProblem | PoolProblem, queue: Any, operands: Mapping[str, np.ndarray], copies: int, settings: Settings
) -> Contestant:
    """The eager call on plain arrays, weights too; a call waits for its result. Raises UnsupportedError for edited templates."""
    if settings.directory:
        raise UnsupportedError(f"--eager: eager calls take no edited templates, got --kernels {settings.directory}; leave out one of them")
    with Building() as building:
        first = Eager(problem, queue, operands)
        first()
    first.settle()
    instances = [first, *(Eager(problem, queue, operands) for _ in range(copies - 1))]
    return _as_users_meet_it("eager", problem, operands, first, rotating(instances), building, settings)


def _as_users_meet_it(
    name: str,
    problem: ConvProblem | PoolProblem,
    operands: Mapping[str, np.ndarray],
    first: Compiled | Eager,
    candidate: Candidate,
    building: Building,
    settings: Settings,
) -> Contestant:
    run = first.run
    named = dict(zip(problem.outputs, first.results(), strict=True))
    return Contestant(
        algorithm=name,
        params=algorithms(run),
        candidate=candidate,
        results=first.results,
        launches=run.launch_count,
        first_run_seconds=building.seconds,
        kernels_built=building.kernels,
        multiply_adds=problem.multiply_adds if isinstance(problem, ConvProblem) else None,
        bytes_moved=problem.bytes_moved,
        error=error_share(problem, operands, named, error_factor(run)) if settings.check else None,
    )


def parameters_with(params: Any, given: Mapping[str, str], algorithm: str) -> Any:
    """`params` with the fields named in `given` set, each read as a value of the kind it has.

    Raises UnsupportedError for a name that the algorithm does not have, and for a value of another kind.
    """
    if not given:
        return params
    own = {} if params is None else vars(params)
    values = {}
    for name, text in given.items():
        if name not in own:
            raise UnsupportedError(f"--params: {algorithm} has no parameter {name!r}; it has {', '.join(own) or 'none'}")
        values[name] = value_like(own[name], text, name)
    return replace(params, **values)


def value_like(present: object, text: str, name: str) -> object:
    """`text` as a value of the kind that `present` is.

    >>> value_like(4, "14", "tile_w"), value_like(True, "no", "flat"), value_like((1, 2), "3x4", "tile")
    (14, False, (3, 4))
    """
    truths = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        if isinstance(present, bool):
            return truths[text.lower()]
        if isinstance(present, tuple):
            return tuple(type(present[0])(part) for part in text.split("x"))
        return text if present is None else type(present)(text)  # type: ignore[call-arg]
    except (ValueError, KeyError, IndexError):
        raise UnsupportedError(f"--params: {name}={text!r} is not a value like {present!r}, what it is otherwise") from None
