"""clconv isa."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clconv.cli.options import algorithm_name, any_problem_of

if TYPE_CHECKING:
    from clconv.isa.report import Row
    from clconv.isa.targets import Target

COLUMNS = ("target", "kernel", "registers", "spills", "private", "local", "occupancy", "multiply-adds", "loads each", "of the roof")
WIDTH = 150


@click.command()
@click.argument("problem", required=False)
@click.option("--target", "names", metavar="NAMES", help="Architectures, as in amd:gfx90a,nvidia:sm_80,intel:dg2; all if left out.")
@click.option("--algorithm", metavar="NAME", help="Compile this algorithm's kernels instead of the chosen one's.")
@click.option("--json", "file", metavar="[FILE]", is_flag=False, flag_value="-", help="The rows as a list, into FILE or printed.")
@click.option("--asm", is_flag=True, help="Show the inner loop of each kernel.")
@click.option("--suite", is_flag=True, help="Compile the layers of many networks instead of a PROBLEM; fails below the floors.")
def isa(problem: str | None, names: str | None, algorithm: str | None, file: str | None, asm: bool, suite: bool) -> None:
    """Compile the kernels of PROBLEM offline with the GPU vendors' compilers, and say what they made of them.

    Needs clang-19 and libclc-19 for AMD and NVIDIA, ptxas and nvdisasm for NVIDIA, ocloc for Intel; the GPUs themselves are not needed.
    """
    from clconv.isa import TARGETS, inspect, target_named

    if suite == (problem is not None):
        raise click.UsageError("give a PROBLEM, or --suite without one")
    if suite and (algorithm or asm):
        raise click.UsageError("--suite takes neither --algorithm nor --asm: it compiles the chosen kernels of many layers")
    if asm and file == "-":
        raise click.UsageError("--asm does not go into the list that --json prints: give --json a FILE")
    targets = [target_named(name.strip()) for name in names.split(",")] if names else list(TARGETS)
    if suite:
        run_suite(targets, file)
        return
    assert problem is not None
    asked = any_problem_of(problem)
    rows = inspect(asked, targets, algorithm_name(asked, algorithm))
    if file is None:
        print_table(rows, str(asked), targets)
    else:
        write_json(rows, file)
    if asm:
        print_loops(rows)


def write_json(rows: list[Row], file: str) -> None:
    text = json.dumps([row.as_dict() for row in rows], indent=2) + "\n"
    if file == "-":
        click.echo(text, nl=False)
    else:
        Path(file).write_text(text)


def print_table(rows: list[Row], problem: str, targets: list[Target]) -> None:
    """A line a kernel, then the boards that the last column speaks of."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    table = Table(box=SIMPLE, pad_edge=False)
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if i < 2 else "right", no_wrap=i < 2)
    for row in rows:
        table.add_row(
            row.target, row.entry, str(row.registers), str(row.spills), f"{row.scratch_bytes} B", f"{row.local_bytes} B",
            f"{row.occupancy:.0%}", number(row.mac_share, ".0%"), number(row.loads_per_mac, ".3f"), number(row.modelled_fraction, ".0%"),
        )  # fmt: skip
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(problem)
    console.print(table)
    for row in {row.target: row for row in rows}.values():
        console.print(f"{row.target}: {row.algorithm} ({row.parameters})")
    console.print(
        "multiply-adds: their share of the inner loop's vector instructions; loads each: from local and global memory for one of them.\n"
        "of the roof: a model, not a measurement. time = max(multiply-adds with what fills up tiles and waves / (peak x their share of\n"
        "the inner loop), bytes that the tiles load / bandwidth); attainable time over that. Peaks and bandwidths by data sheets:"
    )
    for target in targets:
        b = target.board
        console.print(f"    {target.name}: {b.name}, {b.tera_flops:g} TFLOP/s ({b.peak}), {b.giga_bytes:g} GB/s, {b.units} units")


def print_loops(rows: list[Row]) -> None:
    for row in rows:
        if row.assembly:
            click.echo(f"\n// {row.target} {row.entry}: the inner loop")
            for line in row.assembly:
                click.echo(line)


def run_suite(targets: list[Target], file: str | None) -> None:
    """All layers on all targets, as many at a time as there are processors; exit code 1 where a floor is missed."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from clconv.isa.report import compiled, inspect
    from clconv.isa.suite import FLOORS, asked_of, verdicts

    asked = [(target, *each) for target in targets for each in asked_of(target)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = [row for found in pool.map(lambda each: inspect(each[1], [each[0]], each[2]), asked) for row in found]
    if file is not None:
        write_json(rows, file)
    out = verdicts(rows)
    beside = file == "-"  # a list on the standard output stays one
    click.echo(f"{len(asked)} layers and passes, {compiled.cache_info().currsize} different kernels", err=beside)
    click.echo("share of multiply-adds in the inner loop, geometric mean and least:", err=beside)
    for v in out:
        floor = FLOORS[v.kind]
        click.echo(
            f"{v.target:14} {v.kind:17} {v.kernels:4} kernels  {v.mean:.3f} (at least {floor:.2f})  least {v.least:.3f}  "
            f"spilling {v.spilling}  {'ok' if v.holds else 'MISSED'}",
            err=beside,
        )
    if not all(v.holds for v in out):
        raise click.ClickException("a floor is missed: see MISSED above; `clconv isa PROBLEM --asm` shows a loop")
