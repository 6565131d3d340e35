"""The mean of a number that a device computes batch by batch, without waiting for it each time."""

from __future__ import annotations

import math
from typing import Any

from clconv.runtime import arrays


class Mean:
    """Weighted mean, summed on the host in double precision. Values stay on the device until `every` of them have gathered."""

    def __init__(self, total: float = 0.0, count: int = 0, every: int = 50) -> None:
        self.total, self.count, self.every = total, count, every
        self._waiting: list[tuple[Any, int]] = []

    def add(self, value: Any, weight: int) -> None:
        self._waiting.append((value, weight))
        if len(self._waiting) >= self.every:
            self.fetch()

    def fetch(self) -> int:
        """Wait for all values; returns how many examples are counted now."""
        while self._waiting:
            value, weight = self._waiting[0]
            self.total += float(arrays.to_host(value).reshape(-1)[0]) * weight
            self.count += weight
            del self._waiting[0]  # one by one, so that after an error nothing counts twice
        return self.count

    @property
    def value(self) -> float | None:
        """The mean of what has been fetched; None before that."""
        return self.total / self.count if self.count else None

    def take(self) -> float:
        """The mean of everything so far; starts again from nothing."""
        self.fetch()
        value = self.value
        self.total, self.count = 0.0, 0
        return math.nan if value is None else value
