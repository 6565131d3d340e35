"""Moving elements without computing: between layouts and element types, and in and out of windows."""

from __future__ import annotations

from dataclasses import dataclass

from clconv.problem.base import Problem
from clconv.tensor import TensorSpec


@dataclass(frozen=True)
class ReorderProblem(Problem):
    """y = x, in another layout or element type.

    `recalls`: y still holds what the last run left there, and where x is what it was then, nothing need be done.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    out_dtype: str = "float32"
    recalls: bool = False

    def tensors(self) -> dict[str, TensorSpec]:
        return {"x": TensorSpec(self.shape, self.dtype), "y": TensorSpec(self.shape, self.out_dtype)}

    def __str__(self) -> str:
        changed = " where it changed" if self.recalls else ""
        return f"reorder {'x'.join(map(str, self.shape))} {self.layout('x')} -> {self.layout('y')}{changed}"


@dataclass(frozen=True)
class WindowProblem(Problem):
    """y[i] = x[i - before] where that exists, else `fill`: padding (before > 0), cropping and slicing (before < 0).

    `before` counts per axis; `out_shape` fixes what is added or cut at the end.
    """

    shape: tuple[int, ...]
    before: tuple[int, ...]
    out_shape: tuple[int, ...]
    fill: float = 0.0
    dtype: str = "float32"

    def tensors(self) -> dict[str, TensorSpec]:
        return {"x": TensorSpec(self.shape, self.dtype), "y": TensorSpec(self.out_shape, self.dtype)}

    def __str__(self) -> str:
        return f"window {'x'.join(map(str, self.shape))} -> {'x'.join(map(str, self.out_shape))}"
