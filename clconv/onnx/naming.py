"""What operations, their results and their constants are called in a file, so that one that is loaded and saved again is the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from clconv.onnx.model import Operation


def named_apart(operations: Sequence[Operation], inputs: Iterable[str]) -> list[Operation]:
    """Operations with names of their own: the layer's for the first that works on `inputs`, with the operator behind it for others."""
    reached, taken = set(inputs), {operation.name for operation in operations}
    free, named = set(taken), []
    for operation in operations:
        label = operation.name
        works = bool(reached.intersection(operation.inputs))
        if works:
            reached.update(operation.outputs)
        if label in free and (works or _is_own_name(label, operation.op_type)):
            free.discard(label)
            named.append(operation)
        else:
            named.append(replace(operation, name=unique(f"{label}.{operation.op_type}" if label else operation.op_type, taken)))
    return named


def _is_own_name(label: str, op_type: str) -> bool:
    """Whether a layer is called as its operator, which is how operators of a layer are told apart when it is saved."""
    return re.fullmatch(rf"(.*\.)?{op_type}(_\d+)?", label) is not None


def values_named(operations: Sequence[Operation], kept: Iterable[str]) -> list[Operation]:
    """The operations with results named after them; names of `kept` stay. A file that is loaded and saved again has the same names."""
    names: dict[str, str] = {}
    taken = {name for operation in operations for name in operation.inputs if name} | set(kept)
    taken -= {name for operation in operations for name in operation.outputs} - set(kept)
    for operation in operations:
        for output in operation.outputs:
            names[output] = output if output in kept else unique(f"{operation.name}.out", taken)
    return [
        replace(
            operation,
            inputs=tuple(names.get(name, name) for name in operation.inputs),
            outputs=tuple(names[name] for name in operation.outputs),
        )
        for operation in operations
    ]


def tensors_named(
    operations: Sequence[Operation], tensors: Mapping[str, np.ndarray], kept: Iterable[str]
) -> tuple[list[Operation], dict[str, np.ndarray]]:
    """The operations with the tensors that they read, in their order; constants are numbered anew, names of `kept` stay."""
    names: dict[str, str] = {}
    taken = set(kept) | {name for operation in operations for name in operation.outputs}
    taken |= {name for operation in operations for name in operation.inputs if name and name not in tensors}
    for name in (name for operation in operations for name in operation.inputs if name in tensors):
        if name not in names:
            names[name] = name if name in kept else unique("constant", taken)
    renamed = [replace(operation, inputs=tuple(names.get(name, name) for name in operation.inputs)) for operation in operations]
    return renamed, {new: tensors[old] for old, new in names.items()}


def unique(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name
