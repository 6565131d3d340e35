"""Parameters: values that outlive runs, on the host, on devices, or yet to be drawn."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from clconv.errors import ArrayError
from clconv.graph.node import Node
from clconv.tensor import TensorSpec


class Residence(Protocol):
    """Where a value lives on a device (runtime.resident.Resident)."""

    version: int

    def write(self, value: np.ndarray, version: int) -> None: ...

    def read(self) -> np.ndarray: ...


class Drawn:
    """A first value that is drawn when somebody needs it: what is loaded over it never is."""

    def __init__(self, shape: tuple[int, ...], draw: Callable[[], np.ndarray]) -> None:
        self.shape = shape
        self._draw = draw
        self._value: np.ndarray | None = None
        self._lock = threading.Lock()

    def once(self) -> np.ndarray:
        """The same array to everybody."""
        with self._lock:
            if self._value is None:
                value = np.asarray(self._draw(), np.float32)
                if value.shape != self.shape:
                    raise ArrayError(f"an initialiser was asked for an array of shape {self.shape}, and gave one of {value.shape}")
                self._value = value
            return self._value


def draw_ahead(parameters: Iterable[Parameter]) -> None:
    """Draw, in a thread of its own, what will be needed soon: NumPy fills arrays beside Python."""
    waiting = [parameter for parameter in parameters if parameter.is_to_be_drawn]

    def draw() -> None:
        for parameter in waiting:
            with contextlib.suppress(Exception):  # whoever needs the value will meet it
                parameter.drawn()

    if waiting:
        threading.Thread(target=draw, daemon=True).start()


class Parameter:
    """A named tensor whose value outlives runs: weights, and running statistics (`trainable=False`).

    It begins with a copy of the array given, or with what is `Drawn` when it is first needed. The value may be newer on a device than
    here; reading `value` fetches it. `version` counts the changes, so that compiled runs know what to upload and to repack.

    >>> Parameter(np.zeros((2, 3), np.float32)).shape
    (2, 3)
    """

    def __init__(self, value: np.ndarray | Drawn, trainable: bool = True) -> None:
        self._value = value if isinstance(value, Drawn) else np.array(value, np.float32)
        self.trainable = trainable
        self.name = ""
        self.version = 0
        self._latest: Residence | None = None
        self.residents: dict[int, Residence] = {}
        self.node = Node("parameter", (), {"parameter": self}, (TensorSpec(self._value.shape),))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def is_to_be_drawn(self) -> bool:
        return isinstance(self._value, Drawn)

    @property
    def value(self) -> np.ndarray:
        """The current value as a float32 array of its own; assigning one of the same shape replaces it."""
        return self._current().copy()

    @value.setter
    def value(self, array: np.ndarray) -> None:
        array = np.asarray(array)
        if array.dtype.kind not in "fiub":
            raise ArrayError(f"parameter {self.name or '(unnamed)'}: a value must hold numbers, got {array.dtype}")
        if array.shape != self.shape:
            raise ArrayError(f"parameter {self.name or '(unnamed)'}: a value of shape {array.shape} does not fit its shape {self.shape}")
        self._latest = None
        self._value = np.array(array, np.float32)
        self.changed()

    def _current(self) -> np.ndarray:
        """The current value, not to be changed."""
        latest, version = self._latest, self.version
        if latest is None:
            return self.drawn()
        value = latest.read()
        if version == self.version:  # else another thread has run a training step meanwhile, whose result must not be lost
            self._value, self._latest = value, None
        return value

    def drawn(self) -> np.ndarray:
        """The value that this object itself has, drawn now if it has not been yet."""
        value = self._value
        if isinstance(value, Drawn):
            first = value.once()
            if self._value is value:
                self._value = first
            return first
        return value

    def bring(self, resident: Residence) -> None:
        """Make `resident` hold the current value."""
        if resident.version != self.version:
            resident.write(self._current(), self.version)

    def advance(self, resident: Residence) -> None:
        """The device changed the value in `resident`: it is the newest now."""
        self.version += 1
        resident.version = self.version
        self._latest = resident

    def outlives(self, resident: Residence) -> bool:
        """Whether the current value is also held elsewhere, so that `resident` may be filled with it again."""
        return self._latest is not resident

    def changed(self) -> None:
        """No memory on any device holds the current value; the next run of every graph takes it from here."""
        self.version += 1

    def __repr__(self) -> str:
        return f"Parameter({self.name or '?'}, {self.shape}{'' if self.trainable else ', not trained'})"
