"""Tuning whole networks: every distinct problem where it stands, and then the network as a whole with and without what was found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from clconv.device import DeviceTraits
from clconv.graph.assembly import Assembly, Options
from clconv.graph.network import Network, Shapes
from clconv.graph.run import Run
from clconv.graph.schedule import Step
from clconv.graph.trace import Graph
from clconv.runtime import arrays
from clconv.runtime.context import device_of, traits_of
from clconv.tensor import PLAIN
from clconv.tuning.entry import is_tunable
from clconv.tuning.select import Candidate
from clconv.tuning.tuner import Listener, Outcome, Report, Task, Tuner

CHECK_SHARE = 0.1
"""Share of the time that comparing the whole network gets."""
LEAST_ROUNDS = 16
SLOWER, MOSTLY = 1.02, 0.7
"""A whole network that takes this many times as long as without tuning, in this share of the rounds, is slower and not disturbed."""


@dataclass(frozen=True)
class Tuned:
    """What tuning a network came to. `before` and `after` are seconds of a whole run, None where they were not compared; `kept` is False
    where the whole was slower in spite of its parts, and the database is as it was."""

    report: Report
    before: float | None = None
    after: float | None = None
    kept: bool = True


def tasks_of(graph: Graph, traits: DeviceTraits, options: Options = Options(tuned=False)) -> list[Task]:  # noqa: B008
    """Every step of the compiled graph that can be tuned, with the layouts it has there."""
    assembly = Assembly(graph, traits, options, (PLAIN,) * len(graph.inputs), (PLAIN,) * len(graph.outputs))
    return [_task(step) for step in assembly.steps if id(step) in assembly.plans and is_tunable(step.problem) and not step.prepared]


def _task(step: Step) -> Task:
    choice = step.choice
    default = Candidate(choice.algorithm, choice.params, choice.wants, choice.seconds, choice.seconds)
    return Task(step.final_problem(), default, step.stored, step.settled, step.label)


def tune_network(
    net: Network,
    shapes: Shapes,
    queue: Any,
    seconds: float = 60.0,
    *,
    training: bool = False,
    listener: Listener = lambda task, what: None,
    done: Callable[[Outcome], object] = lambda outcome: None,
) -> Tuned:
    """Measure the best candidates of every problem in `net` for inputs of `shapes`, for about `seconds`, and keep the fastest right ones.

    The tuning database gets them one by one, so that Ctrl-C keeps what was found; networks compiled from then on use them, and
    `run.retune()` brings them to a run there is.

    >>> tune_network(models.resnet50(), (1, 3, 224, 224), clconv.default_queue())   # doctest: +SKIP
    """
    return tune_graph(net.trace(shapes, training), queue, seconds, listener=listener, done=done)


def tune_graph(
    graph: Graph,
    queue: Any,
    seconds: float = 60.0,
    *,
    listener: Listener = lambda task, what: None,
    done: Callable[[Outcome], object] = lambda outcome: None,
) -> Tuned:
    """As `tune_network`, for a graph, such as a training step. One that updates parameters is only compared part by part: running it as a
    whole would change them.
    """
    traits = traits_of(device_of(queue))
    with Tuner(traits, listener=listener) as tuner:
        known = tuner.database.entries() if tuner.database is not None else []
        report = tuner.tune_all(tasks_of(graph, traits), seconds * (1 - CHECK_SHARE), done)
        entries = [outcome.entry for outcome in report.outcomes if outcome.entry is not None]
        changed = any(outcome.gain > 1 for outcome in report.outcomes)
        if report.interrupted or not changed or graph.updates or tuner.database is None:
            return Tuned(report)
        before, after = compare(graph, queue, seconds * CHECK_SHARE)
        slower = sum(b > SLOWER * a for a, b in zip(before, after, strict=True))
        kept = median(after) <= SLOWER * median(before) or slower < MOSTLY * len(before)
        if not kept:
            tuner.database.remove(entries)
            tuner.database.add(known)
        return Tuned(report, median(before), median(after), kept)


def compare(graph: Graph, queue: Any, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds of runs without and with tuning, in turns for about `seconds`."""
    runs = [Run(graph, queue, Options(tuned=tuned, persistent=False)) for tuned in (False, True)]
    rng = np.random.default_rng(0)
    inputs = []
    for node in graph.inputs:
        values = np.zeros(node.shape, np.int32) if node.dtype == "int32" else rng.standard_normal(node.shape, np.float32).astype(node.dtype)
        inputs.append(arrays.to_device(values, node.spec, queue, "an input"))
    rows: list[list[float]] = [[], []]
    for run in runs:
        run(*inputs)
    queue.finish()
    end = time.perf_counter() + seconds
    while len(rows[0]) < LEAST_ROUNDS or time.perf_counter() < end:
        for run, row in zip(runs, rows, strict=True):
            begin = time.perf_counter()
            run(*inputs)
            queue.finish()
            row.append(time.perf_counter() - begin)
    return rows[0], rows[1]
