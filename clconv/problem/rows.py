"""Operations along one axis: softmax, and normalisation over neighbouring channels."""

from __future__ import annotations

from dataclasses import dataclass

from clconv.problem.base import Problem
from clconv.problem.conv import Pass
from clconv.tensor import TensorSpec


@dataclass(frozen=True)
class SoftmaxProblem(Problem):
    """softmax or (with `log`) log_softmax along `axis`. Operands: forward x -> y; backward y, dy -> dx."""

    shape: tuple[int, ...]
    axis: int
    log: bool = False
    direction: Pass = Pass.FORWARD
    dtype: str = "float32"

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("y",) if self.direction is Pass.FORWARD else ("dx",)

    def tensors(self) -> dict[str, TensorSpec]:
        spec = TensorSpec(self.shape, self.dtype)
        return {"x": spec, "y": spec} if self.direction is Pass.FORWARD else {"y": spec, "dy": spec, "dx": spec}

    def __str__(self) -> str:
        return f"{'log_' if self.log else ''}softmax {'x'.join(map(str, self.shape))} axis {self.axis}:{self.direction.value}"


@dataclass(frozen=True)
class LrnProblem(Problem):
    """Local response normalisation across `window` channels (torch semantics: alpha is divided by the window, zeros outside).

    y = x / (k + alpha / window * sum x^2) ^ beta. Operands: forward x -> y; backward x, dy -> dx.
    """

    shape: tuple[int, ...]
    window: int
    alpha: float
    beta: float
    k: float
    direction: Pass = Pass.FORWARD
    dtype: str = "float32"

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("y",) if self.direction is Pass.FORWARD else ("dx",)

    def tensors(self) -> dict[str, TensorSpec]:
        spec = TensorSpec(self.shape, self.dtype)
        return {"x": spec, "y": spec} if self.direction is Pass.FORWARD else {"x": spec, "dy": spec, "dx": spec}

    def __str__(self) -> str:
        return f"lrn {'x'.join(map(str, self.shape))} window {self.window}:{self.direction.value}"
