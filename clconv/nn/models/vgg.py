"""VGG: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015), Table 1."""

from __future__ import annotations

from clconv.nn.activation import Dropout, ReLU
from clconv.nn.containers import Sequential
from clconv.nn.conv import Conv2d
from clconv.nn.init import constant, kaiming_normal, normal, seeded
from clconv.nn.linear import Flatten, Linear
from clconv.nn.module import Module
from clconv.nn.pooling import AdaptiveAvgPool2d, MaxPool2d

# Columns of Table 1: the widths of the 3 x 3 convolutions between one max-pooling and the next.
D = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
E = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512))


class VGG(Sequential):
    """x (N, 3, H, W), H and W at least 32 -> (N, num_classes); torchvision's names.

    Begun as in torchvision: convolutions as He et al. 2015, fully connected layers Gaussian with deviation 0.01, biases 0.
    """

    def __init__(self, blocks: tuple[tuple[int, ...], ...], num_classes: int = 1000, dropout: float = 0.5) -> None:
        layers: list[Module] = []
        channels = 3
        for block in blocks:
            for width in block:
                layers += [Conv2d(channels, width, 3, padding=1, weight_init=kaiming_normal("fan_out"), bias_init=constant(0.0)), ReLU()]
                channels = width
            layers.append(MaxPool2d(2))

        def linear(inputs: int, outputs: int) -> Linear:
            return Linear(inputs, outputs, weight_init=normal(0.01), bias_init=constant(0.0))

        classifier = Sequential(
            linear(channels * 7 * 7, 4096), ReLU(), Dropout(dropout),
            linear(4096, 4096), ReLU(), Dropout(dropout),
            linear(4096, num_classes),
        )  # fmt: skip
        super().__init__(features=Sequential(*layers), avgpool=AdaptiveAvgPool2d(7), flatten=Flatten(), classifier=classifier)


def vgg16(num_classes: int = 1000, *, seed: int = 0) -> VGG:
    """Configuration D: 13 convolutions and 3 fully connected layers.

    >>> vgg16().parameter_count()
    138357544
    """
    with seeded(seed):
        return VGG(D, num_classes)


def vgg19(num_classes: int = 1000, *, seed: int = 0) -> VGG:
    """Configuration E: 16 convolutions and 3 fully connected layers.

    >>> vgg19().parameter_count()
    143667240
    """
    with seeded(seed):
        return VGG(E, num_classes)
