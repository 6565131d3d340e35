"""What a measurement says, with everything needed to judge it; files of such rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from clconv.errors import DataError

MOST_DIFFERENCE = 1e-3
MOST_TRAINING_DIFFERENCE = 5e-2


@dataclass(frozen=True)
class RivalRow:
    """Another library at the same job in the same run. `error`: the largest difference of results as a share of the largest result; of
    training, the difference of the weights' changes in one step as a share of the changes.

    `reason`, where it did not run, says why; then there are no numbers.
    """

    name: str
    version: str = ""
    settings: str = ""
    median_ms: float | None = None
    min_ms: float | None = None
    spread: float | None = None
    error: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """One line. Times are of one call; `spread` is the distance of the quartiles as a share of the median.

    `suite`: conv, layers, network, training or scaling; `text` says what was computed, `count` how often it occurs in its network.
    `gflops` counts two operations a multiply-add (None where that says nothing); `gbytes` reads and writes every operand once.
    `share`: of the measured peak, arithmetic or memory, whichever is nearer. `first_run_seconds`: from nothing to the first result, with
    rendering and building. `error`: the largest error as a share of what is allowed, None unchecked. `disturbed`: what makes the times
    doubtful, empty if nothing does. `bytes_each`: memory per call that `cold` runs rotate through.
    """

    suite: str
    text: str
    algorithm: str
    params: str
    median_ms: float
    min_ms: float
    spread: float
    repeats: int
    gflops: float | None
    gbytes: float | None
    share: float | None
    launches: int
    first_run_seconds: float
    kernels_built: int
    error: float | None
    device: str
    driver: str
    threads: int = 0
    count: int = 1
    name: str = ""
    images: int = 1
    caches: str = "warm"
    disturbed: str = ""
    rivals: tuple[RivalRow, ...] = ()

    def ratio(self, rival: RivalRow) -> float | None:
        """The rival's time over ours: above 1 the rival is slower."""
        return None if rival.median_ms is None or not self.median_ms else rival.median_ms / self.median_ms

    @property
    def wrong(self) -> str:
        """What is wrong with the result, empty if nothing known."""
        if self.error is not None and not self.error <= 1:
            return f"{self.algorithm} is off by {self.error:.3g} times what is allowed"
        most = MOST_TRAINING_DIFFERENCE if self.suite == "training" else MOST_DIFFERENCE
        far = [r for r in self.rivals if r.error is not None and not r.error <= most]
        return "; ".join(f"{r.name} differs by {r.error:.1e} of the largest result" for r in far)

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two rows of different files the same measurement."""
        return (self.suite, self.name, self.text, self.algorithm, self.params, self.caches, self.device)


def write_json(rows: Sequence[Row], path: str | Path) -> None:
    """The rows as a JSON list of objects."""
    Path(path).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def read_json(path: str | Path) -> list[Row]:
    """Rows as `write_json` wrote them. Raises DataError where the file holds something else."""
    try:
        entries = json.loads(Path(path).read_text())
        if not isinstance(entries, list):
            raise TypeError(f"a list of rows is expected, got {type(entries).__name__}")
        return [row_of(entry) for entry in entries]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: not a file that `clconv bench ... --json` wrote: {error}") from error


def row_of(entry: dict[str, Any]) -> Row:
    rivals = tuple(RivalRow(**rival) for rival in entry.get("rivals", ()))
    return Row(**{**entry, "rivals": rivals})


def write_csv(rows: Sequence[Row], path: str | Path) -> None:
    """A line a row; each rival of any row has columns of its own for time, ratio, spread and difference."""
    names = list(dict.fromkeys(rival.name for row in rows for rival in row.rivals))
    own = [field.name for field in fields(Row) if field.name != "rivals"]
    columns = [f"{name}_{what}" for name in names for what in ("ms", "ratio", "spread", "error", "version")]
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*own, *columns])
        for row in rows:
            found = {rival.name: rival for rival in row.rivals}
            cells = [getattr(row, name) for name in own]
            for name in names:
                rival = found.get(name, RivalRow(name))
                cells += [rival.median_ms, row.ratio(rival), rival.spread, rival.error, rival.version]
            writer.writerow(["" if cell is None else cell for cell in cells])
