"""clconv doctor."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clconv.cli.options import device_option, kernels_option

if TYPE_CHECKING:
    from clconv.device import DeviceTraits
    from clconv.doctor.advice import Advice
    from clconv.doctor.findings import Examination
    from clconv.doctor.platforms import Survey
    from clconv.doctor.surroundings import Surroundings

WIDTH = 140


@click.command()
@device_option
@click.option("--all", "every", is_flag=True, help="Examine all devices instead of the first.")
@click.option("--algorithm", "names", metavar="NAME", multiple=True, help="Try only this algorithm (conv_blocked); may be given again.")
@click.option("--time", "seconds", metavar="S", type=click.FloatRange(min=1), default=45, show_default=True, help="No case begins later.")
@click.option("--speed/--no-speed", default=True, show_default=True, help="Measure peak rates and the price of a launch.")
@click.option("--report", "file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON for a bug report.")
@click.option("--forget", is_flag=True, help="Forget what failed on the device before; examine nothing.")
@kernels_option
def doctor(
    device: str | None,
    every: bool,
    names: tuple[str, ...],
    seconds: float,
    speed: bool,
    file: Path | None,
    forget: bool,
    kernels: str | None,
) -> None:
    """Say whether this machine's OpenCL is fit for the library, and what to do if not.

    Lists platforms, drivers and devices, runs every algorithm and pass on small problems whose results are known exactly, and measures how
    fast the device is. Algorithms that fail are recorded for this device and driver version: clconv takes others from then on, until a
    later run finds them healthy. Templates from --kernels are tried, but their failures are not recorded.

    The report holds no names of users, hosts and folders. Exit code 0: healthy, 1: something failed, 2: there is no device.
    """
    if device is not None and every:
        raise click.UsageError("give --device NAME or --all, not both")
    if forget:
        forget_records(device, every)
        return
    from clconv.doctor.advice import advice
    from clconv.doctor.platforms import take_survey
    from clconv.doctor.surroundings import look, with_load_errors

    begin = time.monotonic()
    around, survey = look(), take_survey()
    if len(survey.platforms) < len(around.icds):
        around = with_load_errors(around)
    show_system(around, survey)
    examined = []
    for traits in chosen_devices(device, every) if survey.devices else ():
        examined.append(examine_one(traits, names, kernels, seconds, speed))
        show_examination(examined[-1])
    told = advice(survey, around, examined)
    show_advice(told)
    if examined and kernels is None:
        show_records(examined)
    if file is not None:
        write_report(file, survey, around, examined, told)
    click.echo(verdict(survey, examined, time.monotonic() - begin))
    raise click.exceptions.Exit(2 if not survey.devices else int(not all(examination.healthy for examination in examined)))


def chosen_devices(name: str | None, every: bool) -> list[DeviceTraits]:
    """Two devices of a kind are examined once."""
    from clconv.runtime.context import find_device, list_devices, traits_of

    return list(dict.fromkeys(map(traits_of, list_devices() if every else [find_device(name)])))


def forget_records(name: str | None, every: bool) -> None:
    from clconv.tuning.failures import forget

    for traits in chosen_devices(name, every):
        click.echo(f"{traits.label}, driver {traits.driver}: {'forgotten' if forget(traits) else 'nothing was recorded'}")


def examine_one(traits: DeviceTraits, names: Sequence[str], kernels: str | None, seconds: float, speed: bool) -> Examination:
    from clconv.doctor.conformance import examine
    from clconv.doctor.problems import cases

    chosen, skipped = cases(traits, names, kernels)
    click.echo(f"\n{len(chosen)} cases of {len({case.name for case in chosen})} algorithms on {traits.label}")
    with progress(len(chosen)) as listener:
        return examine(traits, chosen, skipped, seconds=seconds, measure=speed, progress=listener)


@contextmanager
def progress(total: int) -> Iterator[Callable[[int, str], object]]:
    """A listener that draws a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        running = bar.add_task("", total=total)
        yield lambda done, what: bar.update(running, completed=done, description=what)


def console_of() -> Any:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    console.width = max(console.width, WIDTH)  # a log is of no use with lines cut short
    return console


def show_system(around: Surroundings, survey: Survey) -> None:
    from clconv.doctor.report import versions

    click.echo(", ".join(f"{name} {version}" for name, version in versions().items()))
    own = [icd.file for icd in around.icds if icd.file not in around.bundled]
    named = f" (by {around.variable})" if around.variable else ""
    click.echo(f"drivers in {around.folder}{named}: {', '.join(own) or 'none'}; with pyopencl: {', '.join(around.bundled) or 'none'}")
    if not survey.platforms:
        click.echo("no OpenCL platform")
    for platform in survey.platforms:
        click.echo(f"{platform.name} ({platform.vendor}), {platform.version}")
        for device in platform.devices:
            facts = f"{device['compute units']} compute units, {device['global memory']}, fp16 {device['fp16']}, fp64 {device['fp64']}"
            click.echo(f"    {device['type']} {device['name']}: {facts}")
        if not platform.devices:
            click.echo(f"    no device{f': {platform.error}' if platform.error else ''}")


def show_examination(examination: Examination) -> None:
    """A line an algorithm, those that were not tried, and the speeds."""
    from rich.box import SIMPLE
    from rich.table import Table

    from clconv.doctor.advice import by_algorithm
    from clconv.doctor.findings import told

    table = Table(box=SIMPLE, pad_edge=False)
    for title in ("algorithm", "passes", "s", "verdict"):
        table.add_column(title, justify="right" if title == "s" else "left", no_wrap=title == "algorithm")
    for name, kinds in by_algorithm(examination.verdicts).items():
        own = [verdict for verdict in examination.verdicts if verdict.algorithm == name]
        failed = told(own)
        seconds = sum(verdict.seconds for verdict in own)
        table.add_row(name, kinds, f"{seconds:.1f}", f"FAILED: {failed}" if failed else "ok", style="red" if failed else None)
    console_of().print(table)
    for why in dict.fromkeys(skipped.why for skipped in examination.skipped):
        names = dict.fromkeys(skipped.algorithm for skipped in examination.skipped if skipped.why == why)
        click.echo(wrapped(f"not tried, or not all of it: {', '.join(names)}: {why}"))
    m = examination.measured
    if m:
        click.echo(
            f"speed: {m.gflops:,.0f} GFLOP/s of multiply-adds, {m.gbytes:,.1f} GB/s read from memory, {m.launch_us:.1f} us a launch, "
            f"{m.wait_us:.1f} us a launch and the wait for it"
        )


def show_advice(told: Sequence[Advice]) -> None:
    for each in told:
        click.echo("\n" + wrapped(f"{'WRONG' if each.wrong else 'note'}: {each.what}"))
        click.echo(wrapped(f"    what to do: {each.do}"))


def wrapped(text: str) -> str:
    """In lines of WIDTH, the later ones indented; paths and other long words stay whole."""
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False)


def show_records(examined: Sequence[Examination]) -> None:
    """Remember what failed, and say so."""
    from clconv.doctor.record import remember
    from clconv.errors import DataError
    from clconv.tuning.failures import failures_for

    for examination in examined:
        try:
            remember(examination)
        except DataError as error:
            click.echo(f"\nnot recorded: {error}", err=True)
        names = ", ".join(dict.fromkeys(entry.algorithm for entry in failures_for(examination.traits).entries))
        if names:
            click.echo(f"\nrecorded: clconv passes over {names} on {examination.traits.label} with this driver; --forget takes that back")


def write_report(file: Path, survey: Survey, around: Surroundings, examined: Sequence[Examination], told: Sequence[Advice]) -> None:
    from clconv.doctor.report import report, write

    try:
        write(report(survey, around, examined, told), file)
    except OSError as error:
        raise click.UsageError(f"--report: {file} cannot be written: {error.strerror}") from error
    click.echo(f"\nreport written to {file}: no names of users, hosts and folders are in it; read it before you send it")


def verdict(survey: Survey, examined: Sequence[Examination], seconds: float) -> str:
    from clconv.doctor.findings import LATE

    if not survey.devices:
        return "\nno device to examine"
    failed, tried = (sum(map(len, lists)) for lists in (([e.failures for e in examined]), [e.verdicts for e in examined]))
    left = sum(each.why == LATE for examination in examined for each in examination.skipped)
    more = f"; {left} cases were not tried for lack of time, --time gives them more" if left else ""
    healthy = all(examination.healthy for examination in examined)
    return f"\n{'healthy' if healthy else 'NOT HEALTHY'}: {tried - failed} of {tried} cases right, in {seconds:.0f} s{more}"
