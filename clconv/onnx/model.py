"""An ONNX file as plain values: what `reading` makes of the protocol buffer and everything else works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clconv.errors import printable

Dimensions = tuple[int | str, ...]


@dataclass(frozen=True)
class Attribute:
    """One attribute of a node: its kind in ONNX's words ("ints", "float", "tensor") and its value as Python or NumPy has it."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Operation:
    """One node of the file. Inputs and outputs are names of values; an empty name is one left out. `captured` are those that its subgraphs
    read beside its inputs."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    domain: str = ""
    captured: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """All values that it needs."""
        return (*self.inputs, *self.captured)

    @property
    def place(self) -> str:
        """What layers are called in explain, profile and errors: the node's name, or its first output's where it has none.

        What a terminal would act upon is escaped.
        """
        return printable(self.name or next((name for name in self.outputs if name), self.op_type))


@dataclass(frozen=True)
class Model:
    """Inputs with their dimensions (a name, or "?", where the size is open), outputs, operations in order, and tensors by name.

    `source` is what errors call the file, `version` the number of the operator set; `types` are those of inputs and outputs, as NumPy
    calls them. `notes` are the file's own texts by key, `domains` the versions of operator sets that are not ONNX's own.
    """

    source: str
    version: int
    inputs: Mapping[str, Dimensions]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    tensors: Mapping[str, np.ndarray]
    types: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    domains: Mapping[str, int] = field(default_factory=dict)
