"""Moving elements without computing: between layouts and element types, in and out of windows, and channels among groups."""

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


@dataclass(frozen=True)
class ShuffleProblem(Problem):
    """y[:, c] = x[:, c % groups * (C / groups) + c // groups]: the channels of all `groups` are dealt out in turns, so that what comes
    next, in groups too, sees channels of each (Zhang et al. 2018, "ShuffleNet"). `shape` is (N, C, *), C a multiple of `groups`.
    """

    shape: tuple[int, ...]
    groups: int
    dtype: str = "float32"

    def tensors(self) -> dict[str, TensorSpec]:
        spec = TensorSpec(self.shape, self.dtype)
        return {"x": spec, "y": spec}

    def __str__(self) -> str:
        return f"shuffle {'x'.join(map(str, self.shape))} of {self.groups} groups"
