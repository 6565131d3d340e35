"""Measurements drawn: under the roofline of the device, and over batch, size and channels. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from clconv.bench.report import Row
    from clconv.bench.roofline import Peaks
    from clconv.bench.scaling import Point

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def pyplot() -> Any:
    """matplotlib.pyplot, drawing to files only."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise click.ClickException(f"drawing needs matplotlib ({error}); `pip install matplotlib` installs it") from error
    return plt


def intensity(row: Row) -> float | None:
    """Operations a byte that is read or written, None where one of them is not counted."""
    return row.gflops / row.gbytes if row.gflops and row.gbytes else None


def plain_numbers(value: float, _: int = 0) -> str:
    """1, 2 and 5 times a power of ten as they are, nothing between them.

    >>> plain_numbers(0.02), plain_numbers(30.0)
    ('0.02', '')
    """
    return f"{value:g}" if f"{value:e}"[0] in "125" else ""


def logarithmic(axes: Any, x: str, y: str) -> None:
    """Both axes logarithmic, with these names and a grid."""
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain_numbers)
        axis.set_minor_formatter(plain_numbers)
    axes.grid(True, which="both", alpha=0.25)


def plot_roofline(rows: Sequence[Row], peaks: Peaks, path: str) -> None:
    """Each row a point: operations a byte and operations a second, under what the device allows (Williams et al. 2009)."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9, 6))
    placed = [(row, x) for row in rows if (x := intensity(row)) is not None]
    corner = peaks.gflops / peaks.gbytes
    low = min([x for _, x in placed] + [corner]) / 2
    high = max([x for _, x in placed] + [corner]) * 2
    axes.plot([low, corner, high], [peaks.attainable(x) for x in (low, corner, high)], color="black", linewidth=1.5)
    axes.set_ylim(top=peaks.gflops * 2)
    label = f"{peaks.gflops:.0f} GFLOP/s, {peaks.gbytes:.0f} GB/s"
    axes.text(high, peaks.gflops * 1.08, label, ha="right", va="bottom", fontsize=9)
    for i, name in enumerate(dict.fromkeys(row.algorithm for row, _ in placed)):
        points = [(x, row.gflops) for row, x in placed if row.algorithm == name]
        axes.scatter(*zip(*points, strict=True), marker=MARKS[i % len(MARKS)], s=28, alpha=0.8, label=name)
    for name in dict.fromkeys(rival.name for row, _ in placed for rival in row.rivals):
        found = [(x, row, r.median_ms) for row, x in placed for r in row.rivals if r.name == name and r.median_ms]
        points = [(x, (row.gflops or 0.0) * row.median_ms / theirs) for x, row, theirs in found]
        if points:
            axes.scatter(*zip(*points, strict=True), marker="x", s=24, alpha=0.7, label=name)
    logarithmic(axes, "operations a byte, each operand read or written once", "GFLOP/s")
    axes.set_title(rows[0].device, fontsize=10)
    if placed:
        axes.legend(fontsize=9)
    save(plt, figure, path)


def plot_scaling(series: Sequence[Sequence[Point]], problem: str, path: str) -> None:
    """A panel an axis: time over its values, cliffs marked."""
    plt = pyplot()
    shown = [points for points in series if points and points[0].axis != "special"]
    figure, panels = plt.subplots(1, len(shown), figsize=(max(8, 5 * len(shown)), 4.5), squeeze=False)
    for axes, points in zip(panels[0], shown, strict=True):
        axes.plot([p.value for p in points], [p.row.median_ms for p in points], marker="o", markersize=4, linewidth=1, label="clconv")
        for name in dict.fromkeys(r.name for p in points for r in p.row.rivals):
            found = [(p.value, r.median_ms) for p in points for r in p.row.rivals if r.name == name and r.median_ms]
            if found:
                axes.plot(*zip(*found, strict=True), marker="x", markersize=4, linewidth=0.8, alpha=0.7, label=name)
        if steep := [(p.value, p.row.median_ms) for p in points if p.is_cliff]:
            axes.scatter(*zip(*steep, strict=True), s=90, facecolors="none", edgecolors="red", label="cliff")
        logarithmic(axes, points[0].axis, "ms")
        axes.legend(fontsize=8)
    figure.suptitle(f"{problem} on {shown[0][0].row.device}", fontsize=10)
    save(plt, figure, path)


def save(plt: Any, figure: Any, path: str) -> None:
    """Write the figure in the format of the file's ending."""
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:  # an ending that matplotlib does not know
        raise click.ClickException(f"{path}: {error}") from error
    finally:
        plt.close(figure)
