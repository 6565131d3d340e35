"""Inception v3: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (CVPR 2016), Table 1 and Figures 5 to 10.

With torchvision's names. The blocks are those of the paper's 299 x 299 network: A for maps of 35 x 35, C of 17 x 17, E of 8 x 8; B and D
halve the maps between them.
"""

from __future__ import annotations

from typing import Any

import clconv.functional as F
from clconv.geometry import IntLike
from clconv.graph.node import Node
from clconv.nn.activation import Dropout
from clconv.nn.conv import Conv2d
from clconv.nn.init import seeded, truncated_normal
from clconv.nn.linear import Flatten, Linear
from clconv.nn.module import Module
from clconv.nn.normalisation import BatchNorm2d
from clconv.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d


class BasicConv2d(Module):
    """Convolution, batch norm, ReLU. Weights begin Gaussian, cut off at two deviations."""

    def __init__(self, inputs: int, outputs: int, kernel: IntLike, stride: int = 1, padding: IntLike = 0, deviation: float = 0.1) -> None:
        super().__init__()
        self.conv = Conv2d(inputs, outputs, kernel, stride, padding, bias=False, weight_init=truncated_normal(deviation))
        self.bn = BatchNorm2d(outputs, eps=0.001)

    def forward(self, input: Node) -> Any:
        return F.relu(self.bn(self.conv(input)))


class InceptionA(Module):
    """Figure 5: 1 x 1, 5 x 5, two 3 x 3 in a row (as wide as a 5 x 5) and a mean, side by side."""

    def __init__(self, inputs: int, pool_features: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv2d(inputs, 64, 1)
        self.branch5x5_1 = BasicConv2d(inputs, 48, 1)
        self.branch5x5_2 = BasicConv2d(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, padding=1)
        self.pool = AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = BasicConv2d(inputs, pool_features, 1)

    def forward(self, x: Node) -> Any:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return F.cat([self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(self.pool(x))], 1)


class InceptionB(Module):
    """Figure 10: to half the size by strided convolutions and a maximum, side by side."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, stride=2)
        self.pool = MaxPool2d(3, stride=2)

    def forward(self, x: Node) -> Any:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return F.cat([self.branch3x3(x), double, self.pool(x)], 1)


class InceptionC(Module):
    """Figure 6 with n = 7: each 7 x 7 as a 1 x 7 and a 7 x 1."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        wide: dict[str, Any] = {"kernel": (1, 7), "padding": (0, 3)}
        high: dict[str, Any] = {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = BasicConv2d(inputs, 192, 1)
        self.branch7x7_1 = BasicConv2d(inputs, inner, 1)
        self.branch7x7_2 = BasicConv2d(inner, inner, **wide)
        self.branch7x7_3 = BasicConv2d(inner, 192, **high)
        self.branch7x7dbl_1 = BasicConv2d(inputs, inner, 1)
        self.branch7x7dbl_2 = BasicConv2d(inner, inner, **high)
        self.branch7x7dbl_3 = BasicConv2d(inner, inner, **wide)
        self.branch7x7dbl_4 = BasicConv2d(inner, inner, **high)
        self.branch7x7dbl_5 = BasicConv2d(inner, 192, **wide)
        self.pool = AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = BasicConv2d(inputs, 192, 1)

    def forward(self, x: Node) -> Any:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return F.cat([self.branch1x1(x), single, double, self.branch_pool(self.pool(x))], 1)


class InceptionD(Module):
    """To half the size again: 3 x 3, 7 x 7 by parts and 3 x 3, and a maximum, side by side."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv2d(inputs, 192, 1)
        self.branch3x3_2 = BasicConv2d(192, 320, 3, stride=2)
        self.branch7x7x3_1 = BasicConv2d(inputs, 192, 1)
        self.branch7x7x3_2 = BasicConv2d(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = BasicConv2d(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = BasicConv2d(192, 192, 3, stride=2)
        self.pool = MaxPool2d(3, stride=2)

    def forward(self, x: Node) -> Any:
        large = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return F.cat([self.branch3x3_2(self.branch3x3_1(x)), large, self.pool(x)], 1)


class InceptionE(Module):
    """Figure 7: the 1 x 3 and the 3 x 1 of a branch side by side, for many features on small maps."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv2d(inputs, 320, 1)
        self.branch3x3_1 = BasicConv2d(inputs, 384, 1)
        self.branch3x3_2a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = BasicConv2d(inputs, 448, 1)
        self.branch3x3dbl_2 = BasicConv2d(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.pool = AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = BasicConv2d(inputs, 192, 1)

    def forward(self, x: Node) -> Any:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(self.pool(x))]
        return F.cat(parts, 1)


class InceptionAux(Module):
    """The auxiliary classifier (section 4) on the last 17 x 17 maps: 5 x 5 means with stride 3, 1 x 1 to 128, 5 x 5 to 768."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.pool = AvgPool2d(5, stride=3)
        self.conv0 = BasicConv2d(inputs, 128, 1)
        self.conv1 = BasicConv2d(128, 768, 5, deviation=0.01)
        self.mean = AdaptiveAvgPool2d(1)
        self.fc = Linear(768, num_classes, weight_init=truncated_normal(0.001))

    def forward(self, x: Node) -> Any:
        return self.fc(F.flatten(self.mean(self.conv1(self.conv0(self.pool(x)))), 1))


class Inception3(Module):
    """torchvision's Inception3. x (N, 3, H, W), H and W at least 75; 299 in the paper.

    Its trained weights expect images of mean 0.5 and deviation 0.5 a channel (torchvision converts from ImageNet's with `transform_input`).
    """

    def __init__(self, num_classes: int = 1000, aux: bool = True) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, padding=1)
        self.maxpool1 = MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.maxpool2 = MaxPool2d(3, stride=2)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.AuxLogits = InceptionAux(768, num_classes) if aux else None
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.dropout = Dropout(0.5)
        self.flatten = Flatten()
        self.fc = Linear(2048, num_classes, weight_init=truncated_normal(0.1))

    def forward(self, x: Node) -> Any:
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        middle = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(middle)))
        main = self.fc(self.flatten(self.dropout(self.avgpool(x))))
        if self.training and self.AuxLogits is not None:
            return main, self.AuxLogits(middle)
        return main


def inception_v3(num_classes: int = 1000, *, aux: bool = True, seed: int = 0) -> Inception3:
    """Inception v3 with torchvision's names and shapes.

    With aux=True it returns, in training only, a tuple (main, aux) of scores.

    >>> inception_v3(aux=False).parameter_count(trainable_only=True)
    23834568
    """
    with seeded(seed):
        return Inception3(num_classes, aux)
