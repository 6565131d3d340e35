"""Layers with parameters, containers and initialisers; `clconv.nn.models` holds the networks.

>>> from clconv import nn
>>> net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 14 * 14, 10))
>>> net.training
True
"""

from clconv.graph.parameter import Parameter
from clconv.nn import init
from clconv.nn.activation import ELU, GELU, Dropout, Elementwise, LeakyReLU, ReLU, ScaledTanh, Sigmoid, SiLU, Softmax, Tanh
from clconv.nn.containers import Identity, ModuleList, Sequential
from clconv.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from clconv.nn.convert import to_convolutional
from clconv.nn.linear import Flatten, Linear
from clconv.nn.module import Module
from clconv.nn.normalisation import BatchNorm1d, BatchNorm2d, BatchNorm3d, LocalResponseNorm
from clconv.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)

__all__ = [
    "ELU", "GELU", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d",
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
    "Dropout", "Elementwise", "Flatten", "Identity", "LeakyReLU", "Linear", "LocalResponseNorm", "MaxPool1d", "MaxPool2d", "MaxPool3d",
    "Module", "ModuleList", "Parameter", "ReLU",
    "ScaledTanh", "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh", "init", "to_convolutional",
]  # fmt: skip
