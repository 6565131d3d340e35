"""The context module: Yu and Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions" (ICLR 2016), Table 1."""

from __future__ import annotations

import numpy as np

from clconv.errors import GeometryError
from clconv.geometry import Size
from clconv.nn.activation import ReLU
from clconv.nn.containers import Sequential
from clconv.nn.conv import Conv2d
from clconv.nn.init import Float32, Initialiser, constant, normal, seeded
from clconv.nn.module import Module

# The columns of Table 1 (layer 8 is a 1 x 1 convolution without truncation): receptive fields 3, 5, 9, 17, 33, 65, 67, 67.
KERNEL = (3, 3, 3, 3, 3, 3, 3, 1)
DILATION = (1, 1, 2, 4, 8, 16, 1, 1)
BASIC = (1, 1, 1, 1, 1, 1, 1, 1)
LARGE = (2, 2, 4, 8, 16, 32, 32, 1)


def identity(channels: int, noise: float) -> Initialiser:
    """Equations 4 and 5: each layer passes on what it gets; `channels` is the C of the module's input.

    With c_i inputs and c_(i+1) outputs the middle tap from a to b is C / c_(i+1) where floor(a C / c_i) = floor(b C / c_(i+1)); everything
    else is Gaussian with deviation `noise`, which must be small against C / c_(i+1) (the basic module has none).
    """

    def sample(generator: np.random.Generator, shape: Size) -> Float32:
        outputs, inputs = shape[:2]
        weight = normal(noise)(generator, shape)
        target = np.arange(outputs) * channels // outputs
        source = np.arange(inputs) * channels // inputs
        rows, columns = np.nonzero(target[:, None] == source)
        weight[rows, columns, shape[2] // 2, shape[3] // 2] = channels / outputs
        return weight

    return sample


class DilatedContext(Sequential):
    """x (N, channels, H, W) -> the same shape; what each position knows grows to 67 x 67 without losing resolution.

    A 3 x 3 layer of dilation d is padded by d, so the size stays. Begins as the identity on inputs that are not negative.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = BASIC, noise: float = 0.0) -> None:
        layers: list[Module] = []
        inputs = channels
        for kernel, dilation, times in zip(KERNEL, DILATION, widths, strict=True):
            outputs = times * channels
            layers.append(
                Conv2d(
                    inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation,
                    weight_init=identity(channels, noise), bias_init=constant(0.0),
                )
            )  # fmt: skip
            if kernel > 1:
                layers.append(ReLU())
            inputs = outputs
        super().__init__(*layers)


def dilated_context(channels: int = 21, large: bool = False, *, noise: float | None = None, seed: int = 0) -> DilatedContext:
    """The basic context module of Table 1 for `channels` maps (21 classes in the paper), or the large one.

    `noise` is the deviation of the weights that are not the identity; None means 0 (basic) or 0.001 (large).

    >>> dilated_context(4).trace((1, 4, 64, 64)).outputs[0].shape
    (1, 4, 64, 64)
    """
    if noise is not None and noise < 0:
        raise GeometryError(f"dilated_context: noise must be at least 0, got {noise}")
    with seeded(seed):
        if large:
            return DilatedContext(channels, LARGE, 0.001 if noise is None else noise)
        return DilatedContext(channels, BASIC, 0.0 if noise is None else noise)
