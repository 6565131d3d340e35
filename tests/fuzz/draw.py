"""Odd values, and what a mutation is applied to. Mutations return whether they found something to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from onnx import numpy_helper

Item = TypeVar("Item")

ODD_WHOLE_NUMBERS = (-1, 0, 1, 2, 3, 5, -2, -5, 7, 100, 65537, 2**24 + 1, 2**31 - 1, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63))
ODD_NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, 3.4e38, float("nan"), float("inf"), -float("inf"))
ODD_TEXTS = (
    "", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "reflect", "edge", "wrap", "constant", "linear", "cubic", "nearest", "floor", "ceil",
    "align_corners", "asymmetric", "half_pixel", "tf_crop_and_resize", "pytorch_half_pixel", "junk", "\n#include <x>", "\0", "CRD", "tanh",
)  # fmt: skip
HOSTILE_NAMES = (
    "x\n#define float int\n", "*/ __kernel void f() {} /*", "\"'`$(reboot)`", "-cl-fast-relaxed-math -DREAL=half", "${1/0}",
    "<%import os%>",
    "## %for", "../../etc/passwd", "/dev/null", "a" * 10_000, "\u202ename\u0000", "\U0001f600", "%s%n{0}{name}", "\\\n", " ", "con.onnx",
)  # fmt: skip


def one(rng: np.random.Generator, items: Sequence[Item]) -> Item | None:
    """One of the items, or None where there are none."""
    return items[int(rng.integers(len(items)))] if len(items) else None


def whole_number(rng: np.random.Generator, near: int) -> int:
    """A neighbour of a number mostly, else an odd one."""
    if rng.random() < 0.55:
        return int(np.clip(near + int(rng.choice((-1, 1, 1, 2))), -(2**63), 2**63 - 1)) if abs(near) < 2**62 else 1
    found = one(rng, ODD_WHOLE_NUMBERS)
    assert found is not None
    return found


def numbers_of(tensor: Any) -> np.ndarray | None:
    """A copy of what a tensor holds; None where an earlier mutation broke it, or put it elsewhere."""
    if tensor.data_location:
        return None
    try:
        return np.array(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError):
        return None


def whole_tensors(proto: Any) -> list[Any]:
    """Initializers that hold indices, sizes and the like."""
    return [tensor for tensor in proto.graph.initializer if tensor.data_type == 7]


def made(proto: Any) -> list[str]:
    """Names of all values that there are."""
    graph = proto.graph
    names = [v.name for v in graph.input] + [t.name for t in graph.initializer]
    return names + [name for node in graph.node for name in node.output if name]


def fresh(proto: Any) -> str:
    """A name that nothing has."""
    taken = set(made(proto))
    return next(name for i in range(len(taken) + 1) if (name := f"new{i}") not in taken)
