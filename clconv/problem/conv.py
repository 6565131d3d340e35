"""Convolution: one geometry, three passes. A transposed convolution is the backward-data pass of the convolution it transposes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from clconv.geometry import ConvGeometry, Size
from clconv.problem.base import Problem
from clconv.tensor import TensorSpec

# A name and its numbers: ("relu", 0.0), ("leaky_relu", slope), ("clip", least, most), ("hardswish",), ("silu",).
Activation = tuple[str, *tuple[float, ...]]


class Pass(Enum):
    FORWARD = "fwd"
    BACKWARD_DATA = "bwd_d"
    BACKWARD_WEIGHTS = "bwd_w"


@dataclass(frozen=True)
class Epilogue:
    """What happens to the sums before they are stored: + bias, + residual, then the activation, which leaves 0 as it is."""

    bias: bool = False
    residual: bool = False
    activation: Activation | None = None

    def __str__(self) -> str:
        parts = ["+bias"] if self.bias else []
        if self.activation:
            name, *numbers = self.activation
            parts.append(f"+{name}({','.join(map(repr, numbers))})" if numbers and name != "relu" else f"+{name}")
        return "".join(parts + (["+res"] if self.residual else []))


@dataclass(frozen=True)
class ConvProblem(Problem):
    """Sizes are those of the convolution, whatever the pass: `channels`, `size` its input's, `filters` its output channels.

    Operands: forward x, w -> y; backward_data dy, w -> dx; backward_weights x, dy -> dw; with the epilogue's bias and residual as inputs.
    `transposed` only says that a backward_data pass was asked for as a transposed convolution (text form and messages).
    """

    geometry: ConvGeometry
    batch: int
    channels: int
    filters: int
    size: Size
    direction: Pass = Pass.FORWARD
    dtype: str = "float32"
    epilogue: Epilogue = Epilogue()
    transposed: bool = False

    @property
    def output_size(self) -> Size:
        return self.geometry.output_size(self.size)

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.channels, *self.size)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, self.filters, *self.output_size)

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.filters, self.channels // self.geometry.groups, *self.geometry.kernel)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ({Pass.FORWARD: "y", Pass.BACKWARD_DATA: "dx", Pass.BACKWARD_WEIGHTS: "dw"}[self.direction],)

    def tensors(self) -> dict[str, TensorSpec]:
        x, y, w = (TensorSpec(s, self.dtype) for s in (self.x_shape, self.y_shape, self.w_shape))
        if self.direction is Pass.BACKWARD_WEIGHTS:
            return {"x": x, "dy": y, "dw": w}
        out = y if self.direction is Pass.FORWARD else x
        operands = {"x": x, "w": w} if self.direction is Pass.FORWARD else {"dy": y, "w": w}
        if self.epilogue.bias:
            operands["bias"] = TensorSpec((out.shape[1],), self.dtype)
        if self.epilogue.residual:
            operands["residual"] = out
        operands[self.outputs[0]] = out
        return operands

    @property
    def depthwise(self) -> bool:
        return self.geometry.groups == self.channels and self.geometry.groups > 1

    @property
    def multiply_adds(self) -> int:
        return self.batch * math.prod(self.output_size) * math.prod(self.w_shape)

    def __str__(self) -> str:
        from clconv.problem.text import format_conv

        return format_conv(self)
