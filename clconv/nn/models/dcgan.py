"""DCGAN: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs" (ICLR 2016).

Figure 1 and section 3: no pooling, no hidden fully connected layers; fractionally strided (transposed) convolutions up in the generator,
strided ones down in the discriminator, batch norm in both except at the generator's output and the discriminator's input; 64 x 64 images.
All weights begin Gaussian with deviation 0.02 (section 4), the gains of batch norm about 1.
"""

from __future__ import annotations

from clconv.nn.activation import LeakyReLU, ReLU, Sigmoid, Tanh
from clconv.nn.containers import Sequential
from clconv.nn.conv import Conv2d, ConvTranspose2d
from clconv.nn.init import normal, seeded
from clconv.nn.linear import Flatten
from clconv.nn.normalisation import BatchNorm2d


def _up(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> ConvTranspose2d:
    return ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False, weight_init=normal(0.02))


def _down(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> Conv2d:
    return Conv2d(inputs, outputs, 4, stride, padding, bias=False, weight_init=normal(0.02))


def _norm(channels: int) -> BatchNorm2d:
    return BatchNorm2d(channels, weight_init=normal(0.02, mean=1.0))


class DCGANGenerator(Sequential):
    """z (N, nz, 1, 1) -> images (N, channels, 64, 64) between -1 and 1. `ngf` is the width before the last layer."""

    def __init__(self, nz: int = 100, ngf: int = 64, channels: int = 3) -> None:
        super().__init__(
            _up(nz, 8 * ngf, stride=1, padding=0), _norm(8 * ngf), ReLU(),
            _up(8 * ngf, 4 * ngf), _norm(4 * ngf), ReLU(),
            _up(4 * ngf, 2 * ngf), _norm(2 * ngf), ReLU(),
            _up(2 * ngf, ngf), _norm(ngf), ReLU(),
            _up(ngf, channels), Tanh(),
        )  # fmt: skip


class DCGANDiscriminator(Sequential):
    """Images (N, channels, 64, 64) -> probability (N, 1) that each is real; the mirror image of the generator."""

    def __init__(self, ndf: int = 64, channels: int = 3) -> None:
        super().__init__(
            _down(channels, ndf), LeakyReLU(0.2),
            _down(ndf, 2 * ndf), _norm(2 * ndf), LeakyReLU(0.2),
            _down(2 * ndf, 4 * ndf), _norm(4 * ndf), LeakyReLU(0.2),
            _down(4 * ndf, 8 * ndf), _norm(8 * ndf), LeakyReLU(0.2),
            _down(8 * ndf, 1, stride=1, padding=0), Flatten(), Sigmoid(),
        )  # fmt: skip


def dcgan_generator(nz: int = 100, ngf: int = 64, channels: int = 3, *, seed: int = 0) -> DCGANGenerator:
    """The generator of figure 1.

    >>> dcgan_generator().trace((1, 100, 1, 1)).outputs[0].shape
    (1, 3, 64, 64)
    """
    with seeded(seed):
        return DCGANGenerator(nz, ngf, channels)


def dcgan_discriminator(ndf: int = 64, channels: int = 3, *, seed: int = 0) -> DCGANDiscriminator:
    """The discriminator that plays against it.

    >>> dcgan_discriminator().trace((1, 3, 64, 64)).outputs[0].shape
    (1, 1)
    """
    with seeded(seed):
        return DCGANDiscriminator(ndf, channels)
