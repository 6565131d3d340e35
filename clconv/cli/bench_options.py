"""Options that several benchmarks share, and how a benchmark runs: progress while it lasts, table and files after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clconv.cli.options import device_option, kernels_option

if TYPE_CHECKING:
    from clconv.bench.contest import Settings
    from clconv.bench.report import Row

F = TypeVar("F", bound=Callable[..., Any])

file_type = click.Path(dir_okay=False, writable=True)
OUTPUT_OPTIONS = (
    click.option("--json", "json_file", metavar="FILE", type=file_type, help="Write the rows here too; `clconv bench compare` reads them."),
    click.option("--csv", "csv_file", metavar="FILE", type=file_type, help="Write the rows here too, one a line."),
    click.option("--plot", "plot_file", metavar="FILE", type=file_type, help="Draw the rows under the measured roofline (PNG, SVG, PDF)."),
)
COMMON_OPTIONS = (
    click.option(
        "--against", metavar="NAMES", help="Other libraries in the same run, in turns: torch, onnxruntime, openvino, joined by commas."
    ),
    click.option(
        "--warm/--cold", "warm", default=True, show_default=True, help="Cold: rotate through copies larger than the caches."
    ),
    click.option("--check", is_flag=True, help="Compare each result with the NumPy reference."),
    click.option(
        "--repeats", metavar="N", type=click.IntRange(min=15), default=15, show_default=True, help="Timed blocks, at least 15."
    ),
    device_option,
    kernels_option,
    *OUTPUT_OPTIONS,
)  # fmt: skip


class Numbers(click.ParamType):
    """Whole numbers from 1 on, joined by commas: "1,8,32"."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 1:
            self.fail(f"{value!r} is not a list of whole numbers from 1 on, such as 1,8,32", param, ctx)
        return numbers


batches_option = click.option(
    "--batch", "batches", metavar="N[,N..]", type=Numbers(), default="1", show_default=True, help="Images in a batch; several in turn."
)


def common_options(command: F) -> F:
    """The options of every benchmark, in the order of its help."""
    for option in reversed(COMMON_OPTIONS):
        command = option(command)
    return command


@dataclass
class Asked:
    """What the common options say. Keyword arguments of a command other than its own."""

    against: str | None
    warm: bool
    check: bool
    repeats: int
    device: str | None
    kernels: str | None
    json_file: str | None
    csv_file: str | None
    plot_file: str | None

    def queue(self) -> Any:
        from clconv.runtime.context import default_queue

        return default_queue(self.device)

    def settings(self, queue: Any, tell: Callable[[str], object]) -> Settings:
        """For the benchmark: rivals' names checked and the device's peaks measured."""
        from clconv.bench.contest import Settings
        from clconv.bench.rivals import parse_names
        from clconv.bench.roofline import peaks

        names = parse_names(self.against)
        tell("measuring what the device can do at most")
        return Settings(self.repeats, not self.warm, names, self.check, self.kernels, peaks(queue), tell)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done, on a terminal's error stream; nothing is shown elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("", spinner="line") as status:
        yield lambda text: status.update(text.replace("[", "\\["))


def carry_out(
    options: dict[str, Any],
    bench: Callable[[Any, Settings], Iterator[list[Row]]],
    wide: bool = False,
    show: Callable[[list[Row]], None] | None = None,
) -> None:
    """Run `bench(queue, settings)`, which yields rows group by group; print them, write the files, and fail on wrong results.

    Groups are printed as they come, by `show` where given; a `wide` table comes at the end.
    """
    from clconv.cli.bench_table import Report

    asked = Asked(**options)
    queue = asked.queue()
    rows: list[Row] = []
    report = Report(wide, show)
    with progress() as tell:
        settings = asked.settings(queue, tell)
        for group in bench(queue, settings):
            rows += group
            report.add(group)
    report.finish(settings.peaks)
    write_files(rows, asked, settings)
    wrong = [f"{row.wrong} in {row.text}" for row in rows if row.wrong]
    if wrong:
        raise click.ClickException("wrong results: " + "; ".join(wrong))


def write_files(rows: list[Row], asked: Asked, settings: Settings) -> None:
    """What --json, --csv and --plot ask for; an unwritable file is one message."""
    from clconv.bench.report import write_csv, write_json

    for path, write in ((asked.json_file, write_json), (asked.csv_file, write_csv)):
        if path:
            with refused_files(path):
                write(rows, path)
    if asked.plot_file:
        from clconv.cli.bench_plot import plot_roofline

        assert settings.peaks is not None
        with refused_files(asked.plot_file):
            plot_roofline(rows, settings.peaks, asked.plot_file)


@contextmanager
def refused_files(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.FileError(path, error.strerror or str(error)) from error
