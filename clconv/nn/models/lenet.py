"""LeNet-5: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86 (1998).

`LeNet5` is the form in use today (ReLU, max-pooling, all maps connected); `LeNet5Original` follows section II-B and Table I.
"""

from __future__ import annotations

import numpy as np

import clconv.functional as F
from clconv.errors import GeometryError
from clconv.geometry import Size
from clconv.graph.node import Node
from clconv.graph.parameter import Parameter
from clconv.nn.activation import ReLU, ScaledTanh
from clconv.nn.containers import Sequential
from clconv.nn.conv import Conv2d
from clconv.nn.init import Initialiser, draw, seeded, uniform
from clconv.nn.linear import Flatten, Linear
from clconv.nn.module import Module
from clconv.nn.pooling import MaxPool2d

# Table I: one row for each map of S2, one column for each map of C3; "x" where C3's map reads S2's.
TABLE_I = """
    x . . . x x x . . x x x x . x x
    x x . . . x x x . . x x x x . x
    x x x . . . x x x . . x . x x x
    . x x x . . x x x x . . x . x x
    . . x x x . . x x x x . x x . x
    . . . x x x . . x x x x . x x x
"""


class LeNet5(Sequential):
    """Two blocks of convolution, ReLU and max-pooling, then three fully connected layers. x (N, 1, size, size) -> (N, num_classes)."""

    def __init__(self, num_classes: int = 10, input_size: int = 28) -> None:
        if input_size not in (28, 32):
            raise GeometryError(f"lenet5: input_size must be 28 (padded to the paper's 32) or 32, got {input_size}")
        super().__init__(
            conv1=Conv2d(1, 6, 5, padding=(32 - input_size) // 2),
            relu1=ReLU(),
            pool1=MaxPool2d(2),
            conv2=Conv2d(6, 16, 5),
            relu2=ReLU(),
            pool2=MaxPool2d(2),
            flatten=Flatten(),
            fc1=Linear(16 * 5 * 5, 120),
            relu3=ReLU(),
            fc2=Linear(120, 84),
            relu4=ReLU(),
            fc3=Linear(84, num_classes),
        )


def connection_table() -> np.ndarray:
    """Table I as 0 / 1 of shape (16 maps of C3, 6 maps of S2); 60 ones."""
    return np.array([[cell == "x" for cell in row.split()] for row in TABLE_I.split("\n") if row.strip()], np.float32).T


def lecun_uniform(inputs: int) -> Initialiser:
    """Uniform within 2.4 / the number of inputs of a unit (appendix A)."""
    return uniform(2.4 / inputs)


class Subsampling(Module):
    """S2 and S4: the sum of 2 x 2 neighbours, times a trainable coefficient, plus a trainable bias, one of each per map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(draw(lecun_uniform(4), (channels, 1, 1)))
        self.bias = Parameter(draw(lecun_uniform(4), (channels, 1, 1)))

    def forward(self, input: Node) -> Node:
        sums = F.avg_pool2d(input, 2, divisor_override=1)
        scaled: Node = F.add(F.mul(sums, self.weight), self.bias)
        return scaled


class PartialConv2d(Module):
    """C3: a convolution whose map k reads only the input maps that row k of `table` marks.

    weight is stored dense (maps, inputs, kernel, kernel); what the table leaves out is zero, and gets no gradient.
    """

    def __init__(self, table: np.ndarray, kernel_size: int) -> None:
        super().__init__()
        shape: Size = (*table.shape, kernel_size, kernel_size)
        self.mask = np.broadcast_to(table[:, :, None, None], shape).astype(np.float32)
        bounds = 2.4 / (table.sum(axis=1) * kernel_size**2)
        self.weight = Parameter(draw(uniform(1.0), shape) * self.mask * bounds[:, None, None, None])
        self.bias = Parameter(draw(uniform(1.0), shape[:1]) * bounds)

    def forward(self, input: Node) -> Node:
        result: Node = F.conv2d(input, F.mul(self.weight, self.mask), self.bias)
        return result


class LeNet5Original(Sequential):
    """Section II-B, layer by layer. x (N, 1, 32, 32) -> (N, num_classes).

    C1 to F6 have the paper's 60,000 free parameters (C3 also stores the 900 zeros that Table I leaves out). The output layer is linear,
    as in most later work, instead of the paper's Euclidean radial basis units with hand-drawn 7 x 12 targets.
    """

    def __init__(self, num_classes: int = 10) -> None:
        def conv(inputs: int, outputs: int, kernel: int) -> Conv2d:
            bound = lecun_uniform(inputs * kernel**2)
            return Conv2d(inputs, outputs, kernel, weight_init=bound, bias_init=bound)

        def linear(inputs: int, outputs: int) -> Linear:
            return Linear(inputs, outputs, weight_init=lecun_uniform(inputs), bias_init=lecun_uniform(inputs))

        super().__init__(
            c1=conv(1, 6, 5),
            squash1=ScaledTanh(),
            s2=Subsampling(6),
            squash2=ScaledTanh(),
            c3=PartialConv2d(connection_table(), 5),
            squash3=ScaledTanh(),
            s4=Subsampling(16),
            squash4=ScaledTanh(),
            c5=conv(16, 120, 5),
            squash5=ScaledTanh(),
            flatten=Flatten(),
            f6=linear(120, 84),
            squash6=ScaledTanh(),
            output=linear(84, num_classes),
        )


def lenet5(num_classes: int = 10, original: bool = False, *, input_size: int | None = None, seed: int = 0) -> Sequential:
    """LeNet-5 as used today, or with `original=True` as published in 1998.

    Today's takes (N, 1, 28, 28), padded by 2, or with input_size=32 the paper's (N, 1, 32, 32); the original always the latter.

    >>> lenet5().parameter_count()
    61706
    """
    if original and input_size not in (None, 32):
        raise GeometryError(f"lenet5: the original takes 32 x 32 images, got input_size {input_size}; pad smaller images with zeros")
    with seeded(seed):
        return LeNet5Original(num_classes) if original else LeNet5(num_classes, 28 if input_size is None else input_size)
