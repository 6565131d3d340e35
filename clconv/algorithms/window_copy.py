"""Padding, cropping and slicing: rows are copied as bits where the window meets the tensor, and filled elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import GROUP, check_operands, tasks_each
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import WindowProblem

MOST_AXES = 5
# Element type -> how its bits are moved.
BITS = {"float32": ("uint", np.float32, np.uint32), "float16": ("ushort", np.float16, np.uint16), "int32": ("uint", np.int32, np.uint32)}

Axis = tuple[int, int, int]


@dataclass(frozen=True)
class WindowParams:
    """Nothing to choose."""


class WindowCopy(Algorithm[WindowProblem]):
    """y[i] = x[i - before], row by row; accepts every WindowProblem in which at most five axes remain when unchanged ones are merged."""

    name = "window_copy"
    takes = WindowProblem

    def why_not(self, problem: WindowProblem, traits: DeviceTraits) -> str | None:
        axes = len(merged_axes(problem))
        return f"needs at most {MOST_AXES} axes after merging unchanged ones, got {axes}" if axes > MOST_AXES else None

    def defaults(self, problem: WindowProblem, traits: DeviceTraits) -> WindowParams:
        return WindowParams()

    def plan(self, problem: WindowProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        element, number, bits = BITS[problem.dtype]
        axes = merged_axes(problem)
        axes = [(1, 0, 1)] * (MOST_AXES - len(axes)) + axes
        bindings: dict[str, str | int] = {"x": "x", "y": "y", "fill": int(np.array(problem.fill, number).view(bits))}
        for letter, (size, before, out) in zip("abcde", axes, strict=True):
            bindings |= {f"x_{letter}": size, f"before_{letter}": before, f"y_{letter}": out}
        group = traits.group(GROUP)
        rows = math.prod(out for _, _, out in axes[:-1])
        each = tasks_each(rows, traits)
        source = KernelSource("window_copy", "window_copy", names(element=element, GROUP=group), (), "float32", (group, 1, 1))
        return Plan((KernelCall(source, (group, -(-rows // each), 1), names(bindings, tasks_each=each)),))  # type: ignore[arg-type]


def merged_axes(problem: WindowProblem) -> list[Axis]:
    """(size in x, before, size in y) per axis, where an axis that is taken whole is merged into the one before it.

    >>> merged_axes(WindowProblem((2, 3, 4), (0, 1, 0), (2, 5, 4)))
    [(2, 0, 2), (12, 4, 20)]
    """
    out: list[Axis] = []
    for size, before, outputs in zip(problem.shape, problem.before, problem.out_shape, strict=True):
        if out and before == 0 and size == outputs:
            previous_size, previous_before, previous_outputs = out.pop()
            out.append((previous_size * size, previous_before * size, previous_outputs * size))
        else:
            out.append((size, before, outputs))
    return out
