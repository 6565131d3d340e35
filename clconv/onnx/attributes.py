"""Attributes of a node, read one by one and checked. `onnx.checker` knows their names and kinds but not what they may say."""

from __future__ import annotations

from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.geometry import LARGEST
from clconv.onnx.model import Operation


class Attributes:
    """What an import rule reads a node's attributes with: each method checks kind, count and range, and errors name the node.

    `close` refuses attributes that nobody asked for, so that none is ignored silently.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._read: set[str] = set()

    def error(self, sentence: str) -> OnnxError:
        return OnnxError(f"{self.operation.op_type}: {sentence}")

    def __contains__(self, name: str) -> bool:
        return name in self.operation.attributes

    def _value(self, name: str, kind: str) -> Any:
        self._read.add(name)
        found = self.operation.attributes.get(name)
        if found is None:
            return None
        if found.kind != kind:
            raise self.error(f"attribute {name} must be of kind {kind}, got {found.kind} {found.value!r}; export the model again")
        return found.value

    def _required(self, name: str, value: Any, default: Any) -> Any:
        if value is None and default is None:
            raise self.error(f"attribute {name} is missing, and there is no default; export the model again")
        return default if value is None else value

    def integer(self, name: str, default: int | None = None, least: int = -LARGEST, most: int = LARGEST) -> int:
        """A whole number from `least` to `most`."""
        value: int = self._required(name, self._value(name, "int"), default)
        if not least <= value <= most:
            raise self.error(f"attribute {name} must lie between {least} and {most}, got {value}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A whole number that means yes (1) or no (0)."""
        return bool(self.integer(name, int(default), 0, 1))

    def number(self, name: str, default: float | None = None, finite: bool = True) -> float:
        """A number, a finite one unless others are allowed."""
        value = float(self._required(name, self._value(name, "float"), default))
        if np.isnan(value) or (finite and np.isinf(value)):
            raise self.error(f"attribute {name} must be finite, got {value}")
        return value

    def integers(
        self, name: str, count: int | None = None, default: tuple[int, ...] | None = None, least: int = -LARGEST, clamp: bool = False
    ) -> tuple[int, ...]:
        """A list of `count` whole numbers (any number of them where None), each at least `least`; `clamp`: beyond means the bound."""
        values: tuple[int, ...] = self._required(name, self._value(name, "ints"), default)
        if clamp:
            values = tuple(min(max(value, least), LARGEST) for value in values)
        if count is not None and len(values) != count:
            raise self.error(f"attribute {name} must have {count} entries, got {len(values)}: {list(values)}")
        if any(not least <= value <= LARGEST for value in values):
            raise self.error(f"attribute {name} must hold numbers from {least} to {LARGEST}, got {list(values)}")
        return values

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        values = tuple(float(value) for value in self._required(name, self._value(name, "floats"), None))
        if not np.isfinite(values).all():
            raise self.error(f"attribute {name} must hold finite numbers, got {list(values)}")
        return values

    def text(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of some words."""
        value: str = self._required(name, self._value(name, "string"), default)
        if value not in choices:
            raise self.error(f"attribute {name} must be one of {', '.join(choices)}, got {value!r}")
        return value

    def any_of(self, **kinds: str) -> tuple[str, Any]:
        """The name and the value of the one attribute that is there, of those that have these kinds."""
        given = [name for name in kinds if name in self]
        if len(given) != 1:
            raise self.error(f"needs exactly one of the attributes {', '.join(kinds)}, got {', '.join(given) or 'none'}")
        return given[0], self._value(given[0], kinds[given[0]])

    def tensor(self, name: str, default: np.ndarray | None = None) -> np.ndarray:
        value: np.ndarray = self._required(name, self._value(name, "tensor"), default)
        return value

    def close(self) -> None:
        """Refuse what was not read."""
        left = [name for name in self.operation.attributes if name not in self._read]
        if left:
            known = ", ".join(sorted(self._read)) or "none"
            raise self.error(f"attribute {', '.join(left)} means nothing to this version of the operator, which has: {known}")
