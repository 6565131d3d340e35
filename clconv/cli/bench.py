"""clconv bench."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clconv.cli.options import algorithm_name, batch_option, device_option, kernels_option, problem_of, size_option

if TYPE_CHECKING:
    from clconv.bench.report import Row

json_option = click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(dir_okay=False, writable=True), help="Write the rows here too."
)
repeats_option = click.option(
    "--repeats", metavar="N", type=click.IntRange(min=15), default=15, show_default=True, help="Timed blocks, at least 15."
)


@click.group()
def bench() -> None:
    """Time one problem, or a whole network. Compile time is reported apart."""


@bench.command()
@click.argument("problem")
@click.option("--algorithm", metavar="all|NAME", help="Time all that accept the problem, or this one, instead of the chosen one.")
@click.option("--check", is_flag=True, help="Compare each result with the NumPy reference.")
@json_option
@repeats_option
@device_option
@kernels_option
def conv(
    problem: str, algorithm: str | None, check: bool, json_file: str | None, repeats: int, device: str | None, kernels: str | None
) -> None:
    """Time PROBLEM ("conv n1c64i56x56k64f3x3p1"; pooling too) in the layouts that each algorithm asks for, with warm caches."""
    from clconv.bench.problems import bench_problem
    from clconv.runtime.context import default_queue

    asked = problem_of(problem)
    chosen = algorithm if algorithm == "all" else algorithm_name(asked, algorithm)
    rows = bench_problem(asked, default_queue(device), chosen, check=check, repeats=repeats, directory=kernels)
    show(rows, json_file)


@bench.command()
@click.argument("name", metavar="NETWORK")
@batch_option
@size_option
@json_option
@repeats_option
@device_option
@kernels_option
def network(
    name: str, batch: int, size: int | None, json_file: str | None, repeats: int, device: str | None, kernels: str | None
) -> None:
    """Time inference of NETWORK (resnet18) on arrays that are on the device already, everything included."""
    from clconv.bench.networks import bench_network
    from clconv.runtime.context import default_queue

    show([bench_network(name, default_queue(device), batch, size, repeats=repeats, directory=kernels)], json_file)


def show(rows: list[Row], json_file: str | None) -> None:
    """Print the rows, write them where asked, and fail if one is wrong."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from clconv.bench.report import COLUMNS, write_json

    console = Console(highlight=False)
    console.width = max(console.width, 120)  # a row that wraps or loses digits is of no use, least of all in a log
    click.echo(f"{rows[0].text}\n{rows[0].device}, driver {rows[0].driver}")
    table = Table(box=SIMPLE, pad_edge=False)
    for title in COLUMNS:
        table.add_column(title, justify="left" if title in ("algorithm", "check") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    console.print(table)
    for row in rows:
        if row.params:
            click.echo(f" {row.algorithm}: {row.params}")
    if json_file:
        try:
            write_json(rows, json_file)
        except OSError as error:
            raise click.FileError(json_file, error.strerror or str(error)) from error
    wrong = [row.algorithm for row in rows if row.error is not None and not row.error <= 1]
    if wrong:
        raise click.ClickException(f"wrong results: {', '.join(wrong)}")
