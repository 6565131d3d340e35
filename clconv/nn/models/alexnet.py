"""AlexNet: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (NIPS 2012).

`AlexNet` is the single-column form of Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), with
torchvision's widths and names; `AlexNetOriginal` is the paper's network, whose two halves (one on each GPU) are convolutions in two groups.
"""

from __future__ import annotations

from clconv.nn.activation import Dropout, ReLU
from clconv.nn.containers import Sequential
from clconv.nn.conv import Conv2d
from clconv.nn.init import constant, normal, seeded
from clconv.nn.linear import Flatten, Linear
from clconv.nn.normalisation import LocalResponseNorm
from clconv.nn.pooling import AdaptiveAvgPool2d, MaxPool2d


class AlexNet(Sequential):
    """x (N, 3, H, W), H and W at least 63 -> (N, num_classes). Begun as torch begins its layers, as torchvision does."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        features = Sequential(
            Conv2d(3, 64, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, stride=2),
            Conv2d(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, stride=2),
            Conv2d(192, 384, 3, padding=1), ReLU(),
            Conv2d(384, 256, 3, padding=1), ReLU(),
            Conv2d(256, 256, 3, padding=1), ReLU(), MaxPool2d(3, stride=2),
        )  # fmt: skip
        classifier = Sequential(
            Dropout(dropout), Linear(256 * 6 * 6, 4096), ReLU(),
            Dropout(dropout), Linear(4096, 4096), ReLU(),
            Linear(4096, num_classes),
        )  # fmt: skip
        super().__init__(features=features, avgpool=AdaptiveAvgPool2d(6), flatten=Flatten(), classifier=classifier)


class AlexNetOriginal(Sequential):
    """Section 3.5 of the paper. x (N, 3, 224, 224) -> (N, num_classes).

    Response normalisation after the first two convolutions (section 3.3), overlapping 3 x 3 / 2 max-pooling (3.4), dropout (4.2). Weights
    begin Gaussian with deviation 0.01; the biases of convolutions 2, 4 and 5 and of the hidden fully connected layers at 1, the others
    at 0 (section 5).
    """

    def __init__(self, num_classes: int = 1000) -> None:
        def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int, groups: int = 1, bias: float) -> Conv2d:
            return Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, weight_init=normal(0.01), bias_init=constant(bias))

        def linear(inputs: int, outputs: int, bias: float) -> Linear:
            return Linear(inputs, outputs, weight_init=normal(0.01), bias_init=constant(bias))

        def norm() -> LocalResponseNorm:
            # The paper's alpha = 1e-4 multiplies the sum over n = 5 channels, torch's their mean.
            return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

        # The paper says 224 but its first layer has 55 x 55 outputs: padding 2 makes the two agree.
        features = Sequential(
            conv(3, 96, 11, stride=4, padding=2, bias=0.0), ReLU(), norm(), MaxPool2d(3, stride=2),
            conv(96, 256, 5, padding=2, groups=2, bias=1.0), ReLU(), norm(), MaxPool2d(3, stride=2),
            conv(256, 384, 3, padding=1, bias=0.0), ReLU(),
            conv(384, 384, 3, padding=1, groups=2, bias=1.0), ReLU(),
            conv(384, 256, 3, padding=1, groups=2, bias=1.0), ReLU(), MaxPool2d(3, stride=2),
        )  # fmt: skip
        classifier = Sequential(
            linear(256 * 6 * 6, 4096, bias=1.0), ReLU(), Dropout(0.5),
            linear(4096, 4096, bias=1.0), ReLU(), Dropout(0.5),
            linear(4096, num_classes, bias=0.0),
        )  # fmt: skip
        super().__init__(features=features, flatten=Flatten(), classifier=classifier)


def alexnet(num_classes: int = 1000, original: bool = False, *, seed: int = 0) -> Sequential:
    """AlexNet with torchvision's names and shapes, or with `original=True` the network of the 2012 paper.

    >>> alexnet().parameter_count()
    61100840
    """
    with seeded(seed):
        return AlexNetOriginal(num_classes) if original else AlexNet(num_classes)
