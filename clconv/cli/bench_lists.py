"""Tables of `clconv bench scaling` and `clconv bench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clconv.cli.bench_table import console, geometric_mean, milliseconds, optional, table_of, wide_cells

if TYPE_CHECKING:
    from clconv.bench.compare import Comparison
    from clconv.bench.scaling import Point


def print_scaling(points: Sequence[Point]) -> None:
    """One series: values, times, and what the neighbours let expect."""
    special = points[0].axis == "special"
    names = list(dict.fromkeys(rival.name for point in points for rival in point.row.rivals))
    titles: tuple[str, ...] = ("layer",) if special else (points[0].axis,)
    titles += ("ms", "spread", "GFLOP/s", "peak", "ps/MAC") + ("of expected",) * (not special)
    table = table_of((*titles, *names))
    for point in points:
        row = point.row
        cells = wide_cells(row, names)
        cost = None if not row.gflops else 2e3 / row.gflops
        steep = "" if point.cliff is None else f"{point.cliff:.2f}{' CLIFF' if point.is_cliff else ''}"
        what = cells[0] if special else str(point.value)
        table.add_row(what, *cells[2:5], cells[6], optional(cost, ".1f"), *(() if special else (steep,)), *cells[7:])
    console().print(table)


def print_comparison(found: Comparison, limit: float | None) -> None:
    """What both files hold, slowest growth first, then what only one of them does."""
    table = table_of(("layer", "algorithm", "before, ms", "after, ms", "change", ""))
    for change in sorted(found.changes, key=lambda change: -change.growth):
        slower = limit is not None and change.growth > limit
        row = change.after
        table.add_row(
            row.text.removeprefix("conv "), row.algorithm, milliseconds(change.before.median_ms), milliseconds(row.median_ms),
            f"{change.growth:+.1%}", ("SLOWER " if slower else "") + ("!" if change.disturbed else ""),
        )  # fmt: skip
    out = console()
    out.print(table)
    mean = geometric_mean([1.0 + change.growth for change in found.changes])
    out.print(f"{len(found.changes)} rows, {mean - 1:+.1%} in the geometric mean", markup=False)
    if any(change.disturbed for change in found.changes):
        out.print("! was disturbed in one of the files: measure again", markup=False)
    for what, texts in (("only before", found.gone), ("only after", found.new)):
        for text in texts:
            out.print(f"{what}: {text}", soft_wrap=True, markup=False)
