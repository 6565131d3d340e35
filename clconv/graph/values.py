"""Tensors of a schedule: how each is stored, whose memory it lives in, and the halo that its readers agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clconv.tensor import PLAIN, Blocked, Layout, TensorSpec

Halo = tuple[tuple[int, int], tuple[int, int]]


class SharedHalo:
    """The halo of one buffer, grown by every reader; slices of a concatenation share one by `join`."""

    def __init__(self, halo: Halo) -> None:
        self._halo = halo
        self._joined: SharedHalo | None = None

    def _root(self) -> SharedHalo:
        box = self
        while box._joined is not None:
            box = box._joined
        return box

    @property
    def halo(self) -> Halo:
        return self._root()._halo

    def grow(self, wanted: Halo) -> None:
        root = self._root()
        (a, b), (c, d) = root._halo
        (e, f), (g, h) = wanted
        root._halo = ((max(a, e), max(b, f)), (max(c, g), max(d, h)))

    def join(self, other: SharedHalo) -> None:
        mine, theirs = self._root(), other._root()
        if mine is not theirs:
            mine.grow(theirs._halo)
            theirs._joined = mine


@dataclass(eq=False)
class Value:
    """A tensor that a schedule reads or writes.

    `origin` is "step" (computed), "cat" (written slice by slice), "input", "parameter" or "constant", with `content` saying which.
    `owner` is the value whose memory this one shares: all of it (a reshape), or the channel blocks from `first` on (of a concatenation).
    """

    spec: TensorSpec
    origin: str = "step"
    content: Any = None
    prepared: bool = False
    owner: Value | None = None
    first: int = 0
    box: SharedHalo = field(default_factory=lambda: SharedHalo(((0, 0), (0, 0))))
    output: int | None = None

    @classmethod
    def stored_as(cls, spec: TensorSpec, layout: Layout, **more: Any) -> Value:
        halo = layout.halo if isinstance(layout, Blocked) else ((0, 0), (0, 0))
        return cls(spec.with_layout(layout), box=SharedHalo(halo), **more)

    @property
    def root(self) -> Value:
        value = self
        while value.owner is not None:
            value = value.owner
        return value

    @property
    def layout(self) -> Layout:
        """The layout as known now; final once all readers have been scheduled."""
        own = self.spec.layout
        if not isinstance(own, Blocked):
            return own
        if self.owner is None or not isinstance(self.owner.spec.layout, Blocked):
            return Blocked(own.block, self.box.halo)
        first, value = 0, self
        while value.owner is not None:
            first, value = first + value.first, value.owner
        return Blocked(own.block, self.box.halo, -(-value.spec.shape[1] // own.block), first)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer, for roots."""
        return self.spec.with_layout(self.layout).nbytes

    def is_plain(self) -> bool:
        return self.spec.layout == PLAIN
