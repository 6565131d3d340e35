"""Two files of rows, row by row: what became slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clconv.bench.report import Row
from clconv.errors import DataError


@dataclass(frozen=True)
class Change:
    """The same measurement before and after. `growth` is 0.05 where it takes 5 % longer."""

    before: Row
    after: Row

    @property
    def growth(self) -> float:
        return self.after.median_ms / self.before.median_ms - 1.0

    @property
    def disturbed(self) -> bool:
        return bool(self.before.disturbed or self.after.disturbed)


@dataclass(frozen=True)
class Comparison:
    """What both files hold, and texts of what only one does."""

    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]

    def slower(self, limit: float) -> list[Change]:
        """Those that take more than `limit` longer (0.05: 5 %)."""
        return [change for change in self.changes if change.growth > limit]


def compare(before: Sequence[Row], after: Sequence[Row]) -> Comparison:
    """Rows are the same if suite, name, text, algorithm, parameters, caches and device are.

    Raises DataError where nothing is in both.
    """
    old, new = {row.key: row for row in before}, {row.key: row for row in after}
    changes = tuple(Change(row, new[key]) for key, row in old.items() if key in new and row.median_ms > 0)
    if not changes:
        raise DataError(f"compare: none of {len(old)} rows is among the {len(new)} others; they must be of the same command and device")
    return Comparison(
        changes,
        tuple(f"{row.text}, {row.algorithm}" for key, row in old.items() if key not in new),
        tuple(f"{row.text}, {row.algorithm}" for key, row in new.items() if key not in old),
    )


def parse_share(text: str) -> float:
    """ "5%" or "5" as 0.05.

    >>> parse_share("5%"), parse_share("2.5")
    (0.05, 0.025)
    """
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise DataError(f"--fail-over {text}: give a percentage from 0 on, such as 5%")
    return value / 100
