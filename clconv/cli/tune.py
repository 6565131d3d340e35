"""clconv tune."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from clconv.cli.options import batch_option, device_option, looks_like_a_problem, problem_of, size_option

if TYPE_CHECKING:
    from pathlib import Path

    from clconv.graph.tune import Tuned
    from clconv.tuning.tuner import Outcome, Task


@click.command()
@click.argument("what", metavar="[PROBLEM|NETWORK|FILE.onnx]", required=False)
@click.option("--light", metavar="NAME", help="A topology that the package onnx ships (resnet50), with random weights.")
@click.option("--time", "seconds", metavar="S", type=click.FloatRange(min=1), default=60, show_default=True, help="Seconds to spend.")
@click.option("--train", is_flag=True, help="Tune a training step instead of inference.")
@batch_option
@size_option
@device_option
def tune(what: str | None, light: str | None, seconds: float, train: bool, batch: int, size: int | None, device: str | None) -> None:
    """Time the best candidates for a PROBLEM, or for each problem of a network, and remember the fastest right ones.

    Candidates run in a process of their own, in the layouts that the network has, with weights and inputs that no cache holds. Each result
    is checked; what hangs or crashes is rejected like a wrong result. The winner has to beat the default once more before it replaces it.

    A network is compared as a whole at the end, with and without what was found, which takes the time to compile it twice; if it became
    slower, everything stays as it was. Ctrl-C keeps what was found. Whatever is compiled from then on uses it; $CLCONV_TUNING_DB names
    another database than the user's own.
    """
    from clconv.runtime.context import default_queue
    from clconv.tuning.database import VARIABLE, database_path

    if (what is None) == (light is None):
        raise click.UsageError("give one thing to tune: a PROBLEM, a NETWORK, an ONNX file, or --light NAME")
    path = database_path()
    if path is None:
        raise click.UsageError(f"{VARIABLE} is empty: there is no database to write to; unset it, or give it the name of a file")
    queue = default_queue(device)
    if what and looks_like_a_problem(what):
        if train or size or batch != 1:
            raise click.UsageError("--train, --size and --batch go with a network; a problem says its pass and sizes itself")
        code = show([tune_one(what, queue, seconds)], path)
    else:
        code = tune_many(what, light, seconds, train, batch, size, queue, path)
    raise click.exceptions.Exit(code)


def tune_one(text: str, queue: Any, seconds: float) -> Outcome:
    from clconv.tuning.tuner import tune_problem

    return tune_problem(problem_of(text), queue, seconds)


def tune_many(
    what: str | None, light: str | None, seconds: float, train: bool, batch: int, size: int | None, queue: Any, path: Path
) -> int:
    """Tune a network; the exit code."""
    from clconv.graph.tune import tune_graph

    graph = graph_of(what, light, train, batch, size)
    with progress(seconds) as listener:
        tuned = tune_graph(graph, queue, seconds, listener=listener)
    code = show(list(tuned.report.outcomes), path)
    left = tuned.report.left
    if left:
        why = "interrupted" if tuned.report.interrupted else f"{seconds:g} s are over"
        click.echo(f"{why}: {len(left)} problems stay as they were; run it again, it begins with those")
    click.echo(whole(tuned))
    return 130 if tuned.report.interrupted else code


def graph_of(what: str | None, light: str | None, train: bool, batch: int, size: int | None) -> Any:
    """The graph of inference or of a training step."""
    from clconv.bench import networks

    if what and what.endswith(".onnx"):
        subject = networks.from_file(what, batch)
    elif light:
        subject = networks.light(light, batch)
    else:
        assert what is not None
        subject = networks.named(what, batch, size)
    if not train:
        return subject.network.trace(subject.shapes)
    import clconv.functional as F
    from clconv.bench.training import job_of
    from clconv.tensor import TensorSpec
    from clconv.train.optimiser import SGD
    from clconv.train.step import auxiliary, training_graph

    job = job_of(subject)
    target = TensorSpec(job.labels.shape, "int32")
    return training_graph(job.network, job.images.shape, target, auxiliary(F.cross_entropy, job.head_weight), SGD(momentum=0.9))


@contextmanager
def progress(seconds: float) -> Iterator[Any]:
    """A listener that draws a bar of the time on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console, begin = Console(stderr=True), time.monotonic()
    columns = BarColumn(bar_width=20), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        running = bar.add_task("", total=seconds)

        def listener(task: Task, what: str) -> None:
            bar.update(running, completed=time.monotonic() - begin, description=f"{task.problem}: {what}")

        yield listener


def show(outcomes: list[Outcome], path: Path) -> int:
    """Print what became of each problem; exit code 1 where none could be measured."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 160)  # a row that wraps or loses digits is of no use, least of all in a log
    table = Table(box=SIMPLE, pad_edge=False)
    for title in ("problem", "times", "default ms", "tuned ms", "gain", "tried", "chosen"):
        table.add_column(title, justify="left" if title in ("problem", "chosen") else "right", no_wrap=title != "chosen")
    for outcome in outcomes:
        table.add_row(*cells(outcome))
    console.print(table)
    for outcome in outcomes:
        for candidate, why in outcome.rejected:
            click.echo(f"rejected for {outcome.task.problem}: {candidate}: {why}")
    kept = sum(outcome.entry is not None for outcome in outcomes)
    click.echo(f"{kept} entries written to {path}")
    return 0 if kept or not outcomes else 1


def cells(outcome: Outcome) -> tuple[str, ...]:
    default, own = outcome.default_seconds, outcome.seconds
    chosen = str(outcome.winner)
    if outcome.entry is None:
        chosen = "nothing: no time to compare" if own else "nothing: all were rejected"
    elif outcome.winner.algorithm is outcome.task.default.algorithm and outcome.winner.params == outcome.task.default.params:
        chosen += ", the default"
    times = (f"{seconds * 1e3:.3f}" if seconds else "-" for seconds in (default, own))
    return str(outcome.task.problem), str(outcome.task.count), *times, f"{outcome.gain:.2f}x", str(outcome.tried), chosen


def whole(tuned: Tuned) -> str:
    """What tuning did to the network as a whole."""
    if tuned.before is None or tuned.after is None:
        return "the whole was not compared: " + ("interrupted" if tuned.report.interrupted else "no other choice, or a training step")
    times = f"whole: {tuned.before * 1e3:.2f} ms untuned, {tuned.after * 1e3:.2f} ms tuned"
    return times if tuned.kept else f"{times}: slower in spite of its parts, so the database was put back as it was"
