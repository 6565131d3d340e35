"""Pooling: a window that slides over every plane and takes its maximum or mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.geometry import PoolGeometry, Size
from clconv.problem.base import Problem
from clconv.problem.conv import Pass
from clconv.tensor import TensorSpec


@dataclass(frozen=True)
class PoolProblem(Problem):
    """`kind` is "max", "avg" or "adaptive_avg" (then `geometry` is None and `out_size` says how many windows).

    Operands: forward x -> y (with `with_indices` also indices, int32 positions in the input plane);
    backward_data dy (and for max: indices) -> dx.
    """

    kind: str
    geometry: PoolGeometry | None
    batch: int
    channels: int
    size: Size
    out_size: Size = ()
    direction: Pass = Pass.FORWARD
    dtype: str = "float32"
    with_indices: bool = False
    count_include_pad: bool = True
    divisor: int | None = None

    @property
    def output_size(self) -> Size:
        return self.geometry.output_size(self.size) if self.geometry else self.out_size

    @property
    def outputs(self) -> tuple[str, ...]:
        if self.direction is Pass.BACKWARD_DATA:
            return ("dx",)
        return ("y", "indices") if self.with_indices else ("y",)

    def tensors(self) -> dict[str, TensorSpec]:
        x = TensorSpec((self.batch, self.channels, *self.size), self.dtype)
        y = TensorSpec((self.batch, self.channels, *self.output_size), self.dtype)
        indices = TensorSpec(y.shape, "int32")
        if self.direction is Pass.BACKWARD_DATA:
            return {"dy": y, "indices": indices, "dx": x} if self.kind == "max" else {"dy": y, "dx": x}
        return {"x": x, "y": y, "indices": indices} if self.with_indices else {"x": x, "y": y}

    @property
    def multiply_adds(self) -> int:
        window = math.prod(self.geometry.kernel) if self.geometry else max(1, math.prod(self.size) // max(1, math.prod(self.out_size)))
        return self.batch * self.channels * math.prod(self.output_size) * window

    def __str__(self) -> str:
        from clconv.problem.text import format_pool

        return format_pool(self)
