"""What an import rule is, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.graph.node import Node
from clconv.graph.ops import as_node
from clconv.onnx.attributes import Attributes
from clconv.onnx.budget import Budget
from clconv.onnx.model import Operation

# A tensor that is computed on the device, or an array that is known on the host: shapes, axes, and what is computed from them.
Value = Node | np.ndarray
Result = Value | tuple[Value, ...]


@dataclass(frozen=True)
class Batch:
    """How many images the file was written for (None where it leaves that open) and how many there are now."""

    in_file: int | None
    now: int


@dataclass
class Call:
    """One operation with the values of its inputs (None where left out), as a rule sees it."""

    operation: Operation
    version: int
    training: bool
    values: Sequence[Value | None]
    from_input: Sequence[bool]
    batch: Batch
    budget: Budget
    attributes: Attributes = field(init=False)

    def __post_init__(self) -> None:
        self.attributes = Attributes(self.operation)

    def error(self, sentence: str) -> OnnxError:
        return self.attributes.error(sentence)

    def has(self, index: int) -> bool:
        return index < len(self.values) and self.values[index] is not None

    def value(self, index: int) -> Value:
        if not self.has(index):
            raise self.error(f"input {index} is missing; inputs are ({', '.join(self.operation.inputs)})")
        value = self.values[index]
        assert value is not None
        return value

    def node(self, index: int) -> Node:
        """An input on the device; an array becomes a constant."""
        return as_node(self.value(index), self.operation.op_type)

    def optional(self, index: int) -> Node | None:
        return self.node(index) if self.has(index) else None

    def array(self, index: int) -> np.ndarray:
        """An input that must be known before anything runs."""
        value = self.value(index)
        if isinstance(value, Node):
            raise self.error(
                f"input {index}, {self.operation.inputs[index]!r}, is computed from the network's inputs; it must be a constant of the file"
            )
        return value

    def integers(self, index: int) -> tuple[int, ...]:
        """An input that holds whole numbers known before anything runs."""
        array = self.array(index)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise self.error(f"input {index} must be a list of whole numbers, got {array.dtype} of shape {array.shape}")
        return tuple(int(n) for n in array.reshape(-1))

    def numbers(self, index: int) -> tuple[float, ...]:
        """An input that holds numbers known before anything runs."""
        array = self.array(index)
        if array.dtype.kind not in "iufb":
            raise self.error(f"input {index} must hold numbers, got {array.dtype} of shape {array.shape}")
        return tuple(float(v) for v in array.reshape(-1))

    def number(self, index: int) -> float:
        """An input that holds one number known before anything runs."""
        array = self.array(index)
        if array.dtype.kind not in "iufb" or array.size != 1:
            raise self.error(f"input {index} must hold one number, got {array.dtype} of shape {array.shape}")
        return float(array.reshape(()))

    def axis(self, axis: int, rank: int) -> int:
        """A possibly negative axis as one from 0 to rank - 1."""
        if not -rank <= axis < rank:
            raise self.error(f"axis {axis} is outside of the {rank} axes of the input; it must lie between {-rank} and {rank - 1}")
        return axis % rank

    def reserve(self, elements: int, itemsize: int = 8) -> None:
        """Declares a table on the host of so many numbers, before it is made; raises OnnxError where the file may not take so much."""
        self.budget.take(itemsize * elements, self.operation.op_type)

    def on_host(self) -> bool:
        """Whether every input is known on the host, so that the result is too."""
        return not any(isinstance(value, Node) for value in self.values)


@dataclass(frozen=True)
class Rule:
    """How operations of one type become graph nodes: `apply` reads the attributes of a call and gives its outputs.

    `inputs` are the fewest and most inputs (None: any number). Tensors of the file are trained where they come as `weights`, and as
    `factors` if they hold one number a channel; `statistics` are running ones; `host` are read before anything runs. `moves`: the
    result holds the elements of input 0 as they are, so that a tensor keeps its meaning on the way through.
    """

    apply: Callable[[Call], Result]
    inputs: tuple[int, int | None]
    weights: tuple[int, ...] = ()
    factors: tuple[int, ...] = ()
    statistics: tuple[int, ...] = ()
    host: tuple[int, ...] = ()
    moves: bool = False


Rules = dict[str, Rule]


def as_pair(values: Sequence[Any]) -> tuple[tuple[Any, Any], ...]:
    """ONNX's pads (all begins, then all ends) as one (begin, end) pair an axis."""
    half = len(values) // 2
    return tuple(zip(values[:half], values[half:], strict=True))
