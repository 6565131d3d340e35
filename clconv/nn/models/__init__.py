"""Networks by name: one file a family, each written after its paper.

>>> from clconv.nn import models
>>> net = models.resnet18(num_classes=10, seed=0)
"""

from clconv.nn.models.alexnet import alexnet
from clconv.nn.models.dcgan import dcgan_discriminator, dcgan_generator
from clconv.nn.models.dilated import dilated_context
from clconv.nn.models.googlenet import googlenet
from clconv.nn.models.inception import inception_v3
from clconv.nn.models.lenet import lenet5
from clconv.nn.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from clconv.nn.models.unet import unet
from clconv.nn.models.vgg import vgg16, vgg19

__all__ = [
    "alexnet", "dcgan_discriminator", "dcgan_generator", "dilated_context", "googlenet", "inception_v3", "lenet5",
    "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "unet", "vgg16", "vgg19",
]  # fmt: skip
