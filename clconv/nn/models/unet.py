"""U-Net: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation" (MICCAI 2015), figure 1."""

from __future__ import annotations

import math
from typing import Any

import clconv.functional as F
from clconv.errors import GeometryError
from clconv.graph.node import Node
from clconv.nn.activation import Dropout
from clconv.nn.containers import ModuleList
from clconv.nn.conv import Conv2d, ConvTranspose2d
from clconv.nn.init import constant, kaiming_normal, normal, seeded
from clconv.nn.module import Module
from clconv.nn.pooling import MaxPool2d


def conv(inputs: int, outputs: int, kernel: int, padding: int = 0) -> Conv2d:
    """Begun Gaussian with deviation sqrt(2 / N), N the inputs of a unit (section 3)."""
    return Conv2d(inputs, outputs, kernel, padding=padding, weight_init=kaiming_normal("fan_in"), bias_init=constant(0.0))


def up_conv(inputs: int, outputs: int) -> ConvTranspose2d:
    """A 2 x 2 "up-convolution" with stride 2: its windows do not overlap, so that a unit has one input in each map."""
    return ConvTranspose2d(inputs, outputs, 2, stride=2, weight_init=normal(math.sqrt(2.0 / inputs)), bias_init=constant(0.0))


class DoubleConv(Module):
    """Two 3 x 3 convolutions, each with a ReLU (a blue arrow pair of figure 1)."""

    def __init__(self, inputs: int, outputs: int, padding: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, padding)
        self.conv2 = conv(outputs, outputs, 3, padding)

    def forward(self, input: Node) -> Any:
        return F.relu(self.conv2(F.relu(self.conv1(input))))


class UNet(Module):
    """x (N, in_channels, H, W) -> scores (N, num_classes, H, W); H and W multiples of 2^depth.

    With padded=False it is the paper's: nothing is padded, the copied maps are cropped, and 572 x 572 pixels give 388 x 388 scores.
    """

    def __init__(self, in_channels: int, num_classes: int, width: int, depth: int, padded: bool, dropout: float) -> None:
        super().__init__()
        padding = 1 if padded else 0
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = ModuleList(DoubleConv(a, b, padding) for a, b in zip([in_channels, *widths], widths, strict=False))
        self.pool = MaxPool2d(2)
        # "Drop-out layers at the end of the contracting path" (section 3.1).
        self.dropout = Dropout(dropout)
        self.up = ModuleList(up_conv(b, a) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True))
        self.merge = ModuleList(DoubleConv(2 * a, a, padding) for a in widths[-2::-1])
        self.head = conv(width, num_classes, 1)

    def forward(self, x: Node) -> Any:
        kept: list[Node] = []
        for block in self.down:
            x = block(self._halved(x) if kept else x)
            kept.append(x)
        x = self.dropout(kept.pop())
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)
            x = merge(F.cat([cropped(kept.pop(), x.shape), x], 1))
        return self.head(x)

    def _halved(self, x: Node) -> Any:
        if any(n % 2 for n in x.shape[2:]):
            raise GeometryError(
                f"unet: a map of {x.shape[2]} x {x.shape[3]} cannot be halved by 2 x 2 pooling; choose an image size (with padding "
                f"a multiple of {2 ** (len(self.down) - 1)}) that stays even down to the lowest level"
            )
        return self.pool(x)


def cropped(x: Node, shape: tuple[int, ...]) -> Any:
    """The middle of x, of the size of `shape` (a grey arrow of figure 1)."""
    borders = [((n - m) // 2, n - m - (n - m) // 2) for n, m in zip(x.shape[2:], shape[2:], strict=True)]
    if not any(before or after for before, after in borders):
        return x
    (top, bottom), (left, right) = borders
    return F.pad(x, (-left, -right, -top, -bottom))


def unet(
    in_channels: int = 1, num_classes: int = 2, width: int = 64, *, depth: int = 4, padded: bool = True, dropout: float = 0.5, seed: int = 0
) -> UNet:
    """The U of figure 1; `width` is 64 there. Padded by default, so that the scores have the image's size.

    >>> unet(width=8).trace((1, 1, 64, 64)).outputs[0].shape
    (1, 2, 64, 64)
    """
    with seeded(seed):
        return UNet(in_channels, num_classes, width, depth, padded, dropout)
