"""How time grows with batch, image size and channels, and whether it falls off a cliff anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clconv.bench.contest import Settings
from clconv.bench.layers import Layer, bench_layer, with_batch
from clconv.bench.report import Row
from clconv.errors import GeometryError, UnsupportedError
from clconv.problem import ConvProblem, parse

BATCHES = (1, 2, 3, 4, 7, 8, 13, 16, 31, 32)
SIZES = (1, 2, 3, 5, 7, 8, 13, 14, 17, 27, 28, 29, 31, 32, 41, 55, 56, 57, 63, 64, 97, 111, 112, 113)
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 31, 32, 33, 47, 48, 61, 64, 65, 96, 127, 128, 129, 192, 255, 256, 257, 384, 512)
CLIFFS = (
    "n1c61i53x53k67f3x3p1", "n3c127i29x31k131f3x3p1", "n1c512i1x1k512f3x3p1", "n1c512i1x1k512f1x1", "n1c1i224x224k1f3x3p1",
    "n1c1i113x113k64f3x3p1", "n1c64i113x113k1f3x3p1", "n1c4096i7x7k64f1x1", "n1c64i7x7k4096f1x1", "n1c4096i7x7k64f3x3p1",
    "n1c4096i1x1k1000f1x1", "n1c4096i7x7k4096f3x3p1g4096",
)  # fmt: skip
STEEP = 2.0  # this many times the time that its neighbours let expect is called a cliff
AXES = ("batch", "size", "channels")


@dataclass(frozen=True)
class Point:
    """One measurement of a series: `value` along `axis`; `cliff` its time over what its neighbours let expect (None at the ends)."""

    axis: str
    value: int
    row: Row
    expected: float | None = None

    @property
    def cliff(self) -> float | None:
        return None if not self.expected else self.row.median_ms / self.expected

    @property
    def is_cliff(self) -> bool:
        return self.cliff is not None and self.cliff > STEEP


def series(problem: ConvProblem, axis: str) -> list[tuple[int, ConvProblem]]:
    """(value, problem) along `axis` with everything else as in `problem`; channels are those of input and output alike."""
    values: Sequence[int] = {"batch": BATCHES, "size": SIZES, "channels": CHANNELS}[axis]
    out = []
    for value in values:
        changed = _changed(problem, axis, value)
        try:
            changed.geometry.output_size(changed.size)
        except GeometryError:
            continue
        out.append((value, changed))
    return out


def _changed(problem: ConvProblem, axis: str, value: int) -> ConvProblem:
    if axis == "batch":
        batched = with_batch(problem, value)
        assert isinstance(batched, ConvProblem)
        return batched
    if axis == "size":
        return replace(problem, size=(value,) * problem.geometry.rank)
    groups = value if problem.depthwise else 1
    return replace(problem, channels=value, filters=value, geometry=replace(problem.geometry, groups=groups))


def expected(points: Sequence[Point]) -> list[Point]:
    """`points` of one series with the time that the line between the two neighbours has there, on logarithmic axes."""
    out = list(points)
    for i in range(1, len(points) - 1):
        before, here, after = (math.log(p.value) for p in points[i - 1 : i + 2])
        low, high = math.log(points[i - 1].row.median_ms), math.log(points[i + 1].row.median_ms)
        share = (here - before) / (after - before)
        out[i] = replace(points[i], expected=math.exp(low + share * (high - low)))
    return out


def bench_scaling(text: str, axes: Sequence[str], queue: Any, settings: Settings) -> Iterator[list[Point]]:
    """The points of each of `axes` around the convolution `text`, then the special cases, as a series "special" without neighbours."""
    problem = parse(text)
    if not isinstance(problem, ConvProblem) or problem.geometry.groups > 1 and not problem.depthwise:
        raise UnsupportedError(f"scaling: {text} must be a convolution, with one group or depthwise")
    for axis in axes:
        points = [Point(axis, value, _row(changed, f"{axis} {value}", queue, settings)) for value, changed in series(problem, axis)]
        yield expected(points)
    yield [Point("special", i, _row(parse(entry), "special", queue, settings)) for i, entry in enumerate(CLIFFS)]


def _row(problem: Any, name: str, queue: Any, settings: Settings) -> Row:
    return bench_layer(Layer(problem, name=name), queue, settings, suite="scaling")[-1]
