"""Moving elements by tables: along one axis with weights, and to or from positions of a plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.problem.base import Problem
from clconv.problem.conv import Pass
from clconv.tensor import TensorSpec


@dataclass(frozen=True)
class ResampleProblem(Problem):
    """A sparse linear map along one axis: y[o, j, i] = sum over t < taps of weights[j, t] x[o, sources[j, t], i].

    `out` elements take the place of the axis; a source below 0 counts nothing, whatever x holds. Gathering, resizing, repeating, padding
    by reflection, and the gradients of all of them are such maps.
    """

    shape: tuple[int, ...]
    axis: int
    out: int
    taps: int
    dtype: str = "float32"

    def tensors(self) -> dict[str, TensorSpec]:
        shape = (*self.shape[: self.axis], self.out, *self.shape[self.axis + 1 :])
        table = (self.out, self.taps)
        return {
            "x": TensorSpec(self.shape, self.dtype),
            "sources": TensorSpec(table, "int32"),
            "weights": TensorSpec(table),
            "y": TensorSpec(shape, self.dtype),
        }

    @property
    def multiply_adds(self) -> int:
        return self.taps * self.spec("y").elements

    def __str__(self) -> str:
        return f"resample {'x'.join(map(str, self.shape))} axis {self.axis} -> {self.out}, {self.taps} taps"


@dataclass(frozen=True)
class UnpoolProblem(Problem):
    """Elements to positions of their plane, and back: forward y[p, indices[p, i]] = x[p, i], all else 0, the last of several winning;
    backward_data dx[p, i] = dy[p, indices[p, i]]. Positions outside of the plane are left out, their gradient is 0.

    `shape` (N, C, *) is that of x and of the indices, `size` that of y's planes.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    direction: Pass = Pass.FORWARD
    dtype: str = "float32"

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("y",) if self.direction is Pass.FORWARD else ("dx",)

    def tensors(self) -> dict[str, TensorSpec]:
        small, large = TensorSpec(self.shape, self.dtype), TensorSpec((*self.shape[:2], *self.size), self.dtype)
        indices = TensorSpec(self.shape, "int32")
        if self.direction is Pass.FORWARD:
            return {"x": small, "indices": indices, "y": large}
        return {"dy": large, "indices": indices, "dx": small}

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.shape)

    def __str__(self) -> str:
        back = ":bwd_d" if self.direction is not Pass.FORWARD else ""
        return f"unpool {'x'.join(map(str, self.shape))} -> {'x'.join(map(str, self.size))}{back}"
