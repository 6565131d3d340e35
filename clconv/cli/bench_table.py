"""Rows as tables that fit 120 columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from clconv.bench.report import RivalRow, Row
    from clconv.bench.roofline import Peaks

WIDTH = 120
DETAILED = ("", "median ms", "spread", "GFLOP/s", "GB/s", "of peak", "launches", "first run", "ratio", "result")
LEFT = ("", "result", "layer", "network", "algorithm")


def optional(value: float | None, form: str) -> str:
    """The number in this form, nothing for None."""
    return "" if value is None else format(value, form)


def milliseconds(value: float) -> str:
    """Three or four digits that count.

    >>> milliseconds(0.01234), milliseconds(1.2345), milliseconds(1234.5)
    ('0.0123', '1.234', '1234.5')
    """
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 10 else f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"


def checked(row: Row) -> str:
    return "" if row.error is None else f"{'right' if row.error <= 1 else 'WRONG'}, {row.error:.2f} of the bound"


def own_cells(row: Row) -> tuple[str, ...]:
    """Our line of a detailed table."""
    return (
        row.algorithm, milliseconds(row.median_ms), f"{row.spread:.0%}", optional(row.gflops, ".1f"),
        optional(row.gbytes, ".1f"), optional(row.share, ".0%"), str(row.launches), f"{row.first_run_seconds:.2f} s", "", checked(row),
    )  # fmt: skip


def rival_cells(row: Row, rival: RivalRow) -> tuple[str, ...]:
    """A rival's line: its own numbers, its time over ours, and how far its results are from ours."""
    if rival.median_ms is None:
        return (rival.name, *("",) * 8, "not run: see below")
    scale = row.median_ms / rival.median_ms
    return (
        f"{rival.name} {rival.version}", milliseconds(rival.median_ms), optional(rival.spread, ".0%"),
        optional(None if row.gflops is None else row.gflops * scale, ".1f"),
        optional(None if row.gbytes is None else row.gbytes * scale, ".1f"),
        optional(None if row.share is None else row.share * scale, ".0%"),
        "", "", optional(row.ratio(rival), ".2f") + "x", f"differs by {optional(rival.error, '.0e')}",
    )  # fmt: skip


def wide_cells(row: Row, names: list[str]) -> tuple[str, ...]:
    """One line with everything, of rivals their time over ours: for suites of many layers."""
    found = {rival.name: rival for rival in row.rivals}
    rivals = []
    for name in names:
        ratio = row.ratio(found[name]) if name in found else None
        rivals.append("-" if ratio is None else f"{ratio:.2f}x")
    marks = ("!" if row.disturbed else "") + ("WRONG" if row.wrong else "")
    return (
        row.text.removeprefix("conv "), str(row.count), milliseconds(row.median_ms), f"{row.spread:.0%}{marks}",
        optional(row.gflops, ".1f"), optional(row.gbytes, ".1f"), optional(row.share, ".0%"), *rivals,
    )  # fmt: skip


def table_of(titles: tuple[str, ...]) -> Table:
    """An empty table with these columns; numbers stand on the right. Only the texts of layers may be broken, if they are very long."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    for title in titles:
        table.add_column(title, justify="left" if title in LEFT else "right", no_wrap=title not in ("layer", "network"), overflow="fold")
    return table


def geometric_mean(values: Sequence[float]) -> float:
    """
    >>> round(geometric_mean([0.5, 2.0]), 6)
    1.0
    """
    return math.exp(sum(map(math.log, values)) / len(values))


def console() -> Console:
    made = Console(highlight=False)
    made.width = max(made.width, WIDTH)  # a row that wraps or loses digits is of no use, least of all in a log
    return made


class Report:
    """Prints groups of rows as they come: a detailed table each, or as `show` does it, or all in one wide table at the end."""

    def __init__(self, wide: bool, show: Callable[[list[Row]], None] | None = None) -> None:
        self.wide, self.show = wide, show or self.detailed
        self.rows: list[Row] = []
        self.console = console()

    def add(self, rows: list[Row]) -> None:
        if not self.rows:
            units = f"{rows[0].threads} compute unit{'s' if rows[0].threads != 1 else ''}"
            self.line(f"{rows[0].device}, {units}, {rows[0].caches} caches\ndriver {rows[0].driver}")
        self.rows += rows
        if not self.wide:
            self.show(rows)

    def line(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)

    def detailed(self, rows: list[Row]) -> None:
        """A heading, a line for each of our rows and each rival, and what is to be said about them."""
        last = rows[-1]
        speed = f", {last.images / last.median_ms * 1e3:.1f} images/s" if last.suite in ("network", "training") else ""
        self.line(f"\n{rows[0].text}{speed}")
        used = [any(cells[i] for cells in self._lines(rows)) for i in range(len(DETAILED))]
        table = table_of(tuple(title for title, wanted in zip(DETAILED, used, strict=True) if wanted))
        for cells in self._lines(rows):
            table.add_row(*(cell for cell, wanted in zip(cells, used, strict=True) if wanted))
        self.console.print(table)
        for row in rows:
            if row.params:
                self.line(f" {row.algorithm}: {row.params}")
        self.remarks(rows)

    @staticmethod
    def _lines(rows: list[Row]) -> list[tuple[str, ...]]:
        return [own_cells(row) for row in rows] + [rival_cells(rows[-1], rival) for rival in rows[-1].rivals]

    def remarks(self, rows: list[Row]) -> None:
        """Settings of the rivals, why some did not run, and what disturbed the measurement."""
        for rival in rows[-1].rivals:
            self.line(f" {rival.name}: {rival.settings if not rival.reason else f'not run: {rival.reason}'}")
        worst = max((row.disturbed for row in rows), key=len)
        if worst:
            self.line(f" DISTURBED, measure again: {worst}")

    def finish(self, peaks: Peaks | None) -> None:
        """The wide table, or, of several networks, how they compare with the rivals together; and what shares refer to."""
        if self.wide and self.rows:
            self.print_wide()
        elif self.show == self.detailed:
            self.overview([row for row in self.rows if row.suite in ("network", "training") and row.rivals])
        if peaks is not None:
            text = f"peak of the device, measured: {peaks.gflops:.1f} GFLOP/s, {peaks.gbytes:.1f} GB/s read from memory"
            self.line(f"{text}; DISTURBED: {peaks.disturbed}" if peaks.disturbed else text)

    def print_wide(self) -> None:
        names = list(dict.fromkeys(rival.name for row in self.rows for rival in row.rivals))
        table = table_of(("layer", "n", "ms", "spread", "GFLOP/s", "GB/s", "peak", *names))
        for row in self.rows:
            table.add_row(*wide_cells(row, names))
        self.console.print(table)
        for name in names:
            self.summary(name)
        disturbed = [row for row in self.rows if row.disturbed]
        if disturbed:
            self.line(f"! {len(disturbed)} of {len(self.rows)} rows are DISTURBED, measure them again; the first: {disturbed[0].disturbed}")

    def overview(self, rows: list[Row]) -> None:
        """Two networks or more in one table: times, ratios to each rival and to the fastest one, and their geometric means."""
        if len(rows) < 2:
            return
        names = list(dict.fromkeys(rival.name for row in rows for rival in row.rivals))
        table = table_of(("network", "ms", *names, "the fastest of them"))
        columns: dict[str, list[float]] = {name: [] for name in (*names, "")}
        for row in rows:
            ratios = {rival.name: ratio for rival in row.rivals if (ratio := row.ratio(rival)) is not None}
            fastest = {"": min(ratios.values())} if ratios else {}
            for name, ratio in (ratios | fastest).items():
                columns[name].append(ratio)
            cells = [f"{(ratios | fastest)[name]:.2f}x" if name in ratios | fastest else "-" for name in columns]
            table.add_row(row.text + (" !" if row.disturbed else ""), milliseconds(row.median_ms), *cells)
        means = [f"{geometric_mean(ratios):.2f}x" if ratios else "-" for ratios in columns.values()]
        table.add_row("geometric mean", "", *means)
        self.console.print(table)

    def summary(self, name: str) -> None:
        """Ratios to one rival over all rows: their geometric mean, the least, and the sums weighted with the counts."""
        pairs = [(row, r) for row in self.rows for r in row.rivals if r.name == name and r.median_ms is not None]
        reasons = list(dict.fromkeys(r.reason for row in self.rows for r in row.rivals if r.name == name and r.reason))
        if pairs:
            ratios = [row.ratio(r) or math.nan for row, r in pairs]
            ours = sum(row.count * row.median_ms for row, _ in pairs)
            theirs = sum(row.count * (r.median_ms or 0.0) for row, r in pairs)
            largest = max(r.error or 0.0 for _, r in pairs)
            self.line(f"{name} {pairs[0][1].version}, {pairs[0][1].settings}:")
            self.line(
                f"  ratio {geometric_mean(ratios):.2f} in the geometric mean, {min(ratios):.2f} at least, {theirs / ours:.2f} of the sums; "
                f"results differ by {largest:.0e} at most"
            )
        for reason in reasons:
            self.line(f"{name}: not run: {reason}")
