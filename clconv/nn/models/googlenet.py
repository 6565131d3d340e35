"""GoogLeNet: Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015), Table 1 and section 5.

`GoogLeNet` is torchvision's form, with batch normalisation after every convolution and its names; `GoogLeNetOriginal` is the paper's:
no batch norm, response normalisation near the input, 5 x 5 convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import clconv.functional as F
from clconv.graph.node import Node
from clconv.nn.activation import Dropout
from clconv.nn.containers import Identity, Sequential
from clconv.nn.conv import Conv2d
from clconv.nn.init import constant, seeded, truncated_normal, xavier_uniform
from clconv.nn.linear import Flatten, Linear
from clconv.nn.module import Module
from clconv.nn.normalisation import BatchNorm2d, LocalResponseNorm
from clconv.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

Pair = tuple[int, int]
Unit = Callable[..., Module]


class BasicConv2d(Module):
    """Convolution, batch norm, ReLU. Weights begin Gaussian with deviation 0.01, cut off at two deviations."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = Conv2d(inputs, outputs, kernel, stride, padding, bias=False, weight_init=truncated_normal(0.01))
        self.bn = BatchNorm2d(outputs, eps=0.001)

    def forward(self, input: Node) -> Any:
        return F.relu(self.bn(self.conv(input)))


class PlainConv2d(Module):
    """Convolution with bias, ReLU. The paper names no initial values; Xavier with bias 0.2 is the published Caffe model's."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = Conv2d(inputs, outputs, kernel, stride, padding, weight_init=xavier_uniform(), bias_init=constant(0.2))

    def forward(self, input: Node) -> Any:
        return F.relu(self.conv(input))


class Inception(Module):
    """Figure 2(b): 1 x 1, 3 x 3 and 5 x 5 convolutions and a max-pooling side by side, concatenated.

    The pairs are (reduction by 1 x 1, convolution); pool_proj is the 1 x 1 after the pooling. The row "inception (3a)" of Table 1 with its
    192 input channels is Inception(192, 64, (96, 128), (16, 32), 32).
    """

    def __init__(
        self, inputs: int, n1x1: int, n3x3: Pair, n5x5: Pair, pool_proj: int, *, unit: Unit = BasicConv2d, largest: int = 3
    ) -> None:
        super().__init__()
        self.branch1 = unit(inputs, n1x1, 1)
        self.branch2 = Sequential(unit(inputs, n3x3[0], 1), unit(*n3x3, 3, padding=1))
        # `largest` is 5 in the paper. torchvision's is 3: an old slip that its weights were trained with.
        self.branch3 = Sequential(unit(inputs, n5x5[0], 1), unit(*n5x5, largest, padding=largest // 2))
        self.branch4 = Sequential(MaxPool2d(3, stride=1, padding=1, ceil_mode=True), unit(inputs, pool_proj, 1))

    def forward(self, input: Node) -> Any:
        return F.cat([self.branch1(input), self.branch2(input), self.branch3(input), self.branch4(input)], 1)


class InceptionAux(Module):
    """An auxiliary classifier (section 5): 4 x 4 means, 1 x 1 convolution to 128, 1024 units, 70 % dropout."""

    def __init__(self, inputs: int, num_classes: int, pool: Module, unit: Unit, linear: Callable[[int, int], Linear]) -> None:
        super().__init__()
        self.pool = pool
        self.conv = unit(inputs, 128, 1)
        self.fc1 = linear(128 * 4 * 4, 1024)
        self.fc2 = linear(1024, num_classes)
        self.dropout = Dropout(0.7)

    def forward(self, input: Node) -> Any:
        maps = F.flatten(self.conv(self.pool(input)), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(maps))))


class InceptionNetwork(Module):
    """What both forms share: stem, nine inceptions, classifier, and with `aux` the auxiliary heads after 4a and 4d.

    Returns (N, num_classes); in training with the heads a tuple (main, aux1, aux2). The paper adds the auxiliary losses times 0.3.
    """

    def __init__(
        self, num_classes: int, aux: bool, *, unit: Unit, norm: Callable[[], Module], largest: int, last_pool: int,
        aux_pool: Callable[[], Module], linear: Callable[[int, int], Linear], dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()

        def inception(inputs: int, n1x1: int, n3x3: Pair, n5x5: Pair, pool_proj: int) -> Inception:
            return Inception(inputs, n1x1, n3x3, n5x5, pool_proj, unit=unit, largest=largest)

        def head(inputs: int) -> InceptionAux | None:
            return InceptionAux(inputs, num_classes, aux_pool(), unit, linear) if aux else None

        self.conv1 = unit(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.norm1 = norm()
        self.conv2 = unit(64, 64, 1)
        self.conv3 = unit(64, 192, 3, padding=1)
        self.norm2 = norm()
        self.maxpool2 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception(192, 64, (96, 128), (16, 32), 32)
        self.inception3b = inception(256, 128, (128, 192), (32, 96), 64)
        self.maxpool3 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(480, 192, (96, 208), (16, 48), 64)
        self.inception4b = inception(512, 160, (112, 224), (24, 64), 64)
        self.inception4c = inception(512, 128, (128, 256), (24, 64), 64)
        self.inception4d = inception(512, 112, (144, 288), (32, 64), 64)
        self.inception4e = inception(528, 256, (160, 320), (32, 128), 128)
        self.maxpool4 = MaxPool2d(last_pool, stride=2, ceil_mode=True)
        self.inception5a = inception(832, 256, (160, 320), (32, 128), 128)
        self.inception5b = inception(832, 384, (192, 384), (48, 128), 128)
        self.aux1 = head(512)
        self.aux2 = head(528)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.dropout = Dropout(dropout)
        self.fc = linear(1024, num_classes)

    def forward(self, x: Node) -> Any:
        x = self.norm1(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        middle = self.inception4a(x)
        late = self.inception4d(self.inception4c(self.inception4b(middle)))
        x = self.maxpool4(self.inception4e(late))
        x = self.inception5b(self.inception5a(x))
        main = self.fc(self.dropout(self.flatten(self.avgpool(x))))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return main, self.aux1(middle), self.aux2(late)
        return main


class GoogLeNet(InceptionNetwork):
    """torchvision's GoogLeNet. x (N, 3, H, W), H and W at least 15.

    Its trained weights expect images of mean 0.5 and deviation 0.5 a channel (torchvision converts from ImageNet's with `transform_input`).
    """

    def __init__(self, num_classes: int = 1000, aux: bool = True) -> None:
        super().__init__(
            num_classes,
            aux,
            unit=BasicConv2d,
            norm=Identity,
            largest=3,
            last_pool=2,
            aux_pool=lambda: AdaptiveAvgPool2d(4),
            linear=lambda inputs, outputs: Linear(inputs, outputs, weight_init=truncated_normal(0.01)),
            dropout=0.2,
        )


class GoogLeNetOriginal(InceptionNetwork):
    """Table 1 of the paper; with auxiliary heads, which take 5 x 5 / 3 means, training needs images of 224 x 224."""

    def __init__(self, num_classes: int = 1000, aux: bool = True) -> None:
        super().__init__(
            num_classes,
            aux,
            unit=PlainConv2d,
            # The paper does not name the constants of its response normalisation; these are the published Caffe model's.
            norm=lambda: LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
            largest=5,
            last_pool=3,
            aux_pool=lambda: AvgPool2d(5, stride=3),
            linear=lambda inputs, outputs: Linear(inputs, outputs, weight_init=xavier_uniform(), bias_init=constant(0.0)),
            dropout=0.4,
        )


def googlenet(num_classes: int = 1000, original: bool = False, *, aux: bool = True, seed: int = 0) -> InceptionNetwork:
    """GoogLeNet with torchvision's names and shapes, or with `original=True` the network of the paper.

    With aux=True it returns, in training only, a tuple (main, aux1, aux2) of scores.

    >>> googlenet(aux=False).parameter_count(trainable_only=True)
    6624904
    """
    with seeded(seed):
        return GoogLeNetOriginal(num_classes, aux) if original else GoogLeNet(num_classes, aux)
