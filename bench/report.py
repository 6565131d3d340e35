"""What a measurement says, with everything needed to repeat it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

COLUMNS = ("algorithm", "median ms", "min ms", "spread", "GFLOP/s", "GB/s", "launches", "first run, s", "check")


@dataclass(frozen=True)
class Row:
    """One line. Times are of one call; `spread` is the distance of the quartiles as a share of the median.

    `gflops` counts two operations a multiply-add (None where that says nothing); `gbytes` reads and writes every operand once.
    `first_run_seconds`: rendering, building and the first result. `error`: the largest error as a share of what is allowed, None unchecked.
    """

    text: str
    algorithm: str
    params: str
    median_ms: float
    min_ms: float
    spread: float
    repeats: int
    gflops: float | None
    gbytes: float | None
    launches: int
    first_run_seconds: float
    kernels_built: int
    error: float | None
    device: str
    driver: str

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of COLUMNS."""
        return (
            self.algorithm,
            f"{self.median_ms:.3f}",
            f"{self.min_ms:.3f}",
            f"{self.spread:.0%}",
            "" if self.gflops is None else f"{self.gflops:.1f}",
            "" if self.gbytes is None else f"{self.gbytes:.1f}",
            str(self.launches),
            f"{self.first_run_seconds:.2f}",
            "" if self.error is None else f"{'right' if self.error <= 1 else 'WRONG'}, {self.error:.2f} of the bound",
        )


def write_json(rows: Sequence[Row], path: str | Path) -> None:
    """The rows as a JSON list of objects."""
    Path(path).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
