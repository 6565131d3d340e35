"""Residual networks: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (CVPR 2016), Table 1; torchvision's names."""

from __future__ import annotations

from typing import ClassVar

import clconv.functional as F
from clconv.graph.node import Node
from clconv.nn.activation import ReLU
from clconv.nn.containers import Sequential
from clconv.nn.conv import Conv2d
from clconv.nn.init import kaiming_normal, seeded
from clconv.nn.linear import Flatten, Linear
from clconv.nn.module import Module
from clconv.nn.normalisation import BatchNorm2d
from clconv.nn.pooling import AdaptiveAvgPool2d, MaxPool2d


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> Conv2d:
    """A convolution that keeps the size but for its stride; its batch norm has the bias. Begun as He et al. 2015."""
    return Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False, weight_init=kaiming_normal("fan_out"))


def projection(inputs: int, outputs: int, stride: int) -> Sequential | None:
    """A 1 x 1 convolution for the shortcut where the block changes the size (option B of section 3.3), else None: the identity."""
    if stride == 1 and inputs == outputs:
        return None
    return Sequential(conv(inputs, outputs, 1, stride), BatchNorm2d(outputs))


class BasicBlock(Module):
    """Two 3 x 3 convolutions (figure 2, ResNet-18 and 34)."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = BatchNorm2d(width)
        self.downsample = projection(inputs, width, stride)

    def forward(self, x: Node) -> Node:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        result: Node = F.relu(y + shortcut)
        return result


class Bottleneck(Module):
    """1 x 1 down, 3 x 3, 1 x 1 up by 4 (figure 5, right; ResNet-50 and deeper).

    The stride is in the 3 x 3 convolution, as in torchvision ("v1.5"), not in the paper's first 1 x 1.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = BatchNorm2d(outputs)
        self.downsample = projection(inputs, outputs, stride)

    def forward(self, x: Node) -> Node:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        result: Node = F.relu(y + shortcut)
        return result


class ResNet(Sequential):
    """x (N, 3, H, W) of any size -> (N, num_classes). `depths` counts the blocks of conv2_x to conv5_x of Table 1."""

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: tuple[int, int, int, int], num_classes: int = 1000) -> None:
        inputs = 64

        def stage(width: int, depth: int, stride: int) -> Sequential:
            nonlocal inputs
            blocks = []
            for index in range(depth):
                blocks.append(block(inputs, width, stride if index == 0 else 1))
                inputs = width * block.expansion
            return Sequential(*blocks)

        super().__init__(
            conv1=conv(3, 64, 7, stride=2),
            bn1=BatchNorm2d(64),
            relu=ReLU(),
            maxpool=MaxPool2d(3, stride=2, padding=1),
            layer1=stage(64, depths[0], stride=1),
            layer2=stage(128, depths[1], stride=2),
            layer3=stage(256, depths[2], stride=2),
            layer4=stage(512, depths[3], stride=2),
            avgpool=AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            fc=Linear(512 * block.expansion, num_classes),
        )


def _resnet(block: type[BasicBlock | Bottleneck], depths: tuple[int, int, int, int], num_classes: int, seed: int) -> ResNet:
    with seeded(seed):
        return ResNet(block, depths, num_classes)


def resnet18(num_classes: int = 1000, *, seed: int = 0) -> ResNet:
    """ResNet-18.

    >>> resnet18().parameter_count(trainable_only=True)
    11689512
    """
    return _resnet(BasicBlock, (2, 2, 2, 2), num_classes, seed)


def resnet34(num_classes: int = 1000, *, seed: int = 0) -> ResNet:
    """ResNet-34."""
    return _resnet(BasicBlock, (3, 4, 6, 3), num_classes, seed)


def resnet50(num_classes: int = 1000, *, seed: int = 0) -> ResNet:
    """ResNet-50."""
    return _resnet(Bottleneck, (3, 4, 6, 3), num_classes, seed)


def resnet101(num_classes: int = 1000, *, seed: int = 0) -> ResNet:
    """ResNet-101."""
    return _resnet(Bottleneck, (3, 4, 23, 3), num_classes, seed)


def resnet152(num_classes: int = 1000, *, seed: int = 0) -> ResNet:
    """ResNet-152."""
    return _resnet(Bottleneck, (3, 8, 36, 3), num_classes, seed)
