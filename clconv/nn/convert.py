"""From classifier to detector: fully connected layers become convolutions, so that a network runs on images larger than it was made for."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

from clconv.errors import GeometryError, UnsupportedError
from clconv.geometry import Size
from clconv.graph.network import mode
from clconv.graph.node import input_node
from clconv.graph.parameter import Parameter
from clconv.graph.trace import recording
from clconv.nn.activation import Elementwise, Softmax
from clconv.nn.containers import Identity, Sequential
from clconv.nn.conv import Conv1d, Conv2d, Conv3d
from clconv.nn.init import constant
from clconv.nn.linear import Flatten, Linear
from clconv.nn.module import Module
from clconv.nn.pooling import AdaptiveAvgPool
from clconv.tensor import TensorSpec

_CONV = {1: Conv1d, 2: Conv2d, 3: Conv3d}


def to_convolutional(net: Sequential, input_shape: Size) -> Sequential:
    """A copy of a classifier in which every Linear is a convolution; the names stay, the weights of Linear gain spatial axes.

    `net` is a Sequential (members may be Sequentials), such as `lenet5`, `alexnet` and the `vgg`s: convolutional layers, Flatten, then
    Linear and element-wise layers. At `input_shape` (N, C, *size) the result gives the same scores, as maps of one position; on larger
    images it gives a map of scores, each that of the classifier on its window, where no padding reaches in (Sermanet et al. 2014,
    "OverFeat", section 3.5). Adaptive pooling before the Flatten is left out; it must be the identity at `input_shape`.
    Raises UnsupportedError for other networks.

    >>> from clconv.nn.models import lenet5
    >>> net = to_convolutional(lenet5(), (1, 1, 28, 28))
    >>> net.trace((1, 1, 40, 40)).outputs[0].shape
    (1, 10, 4, 4)
    """
    if not isinstance(net, Sequential):
        raise UnsupportedError(f"to_convolutional: takes a Sequential of layers, got {type(net).__name__}; put its layers into one")
    layers = dict(_leaves(net))
    names = list(layers)
    flattens = [path for path, layer in layers.items() if isinstance(layer, Flatten) and (layer.start_dim, layer.end_dim) == (1, -1)]
    if len(flattens) != 1:
        found = f"found {len(flattens)}" + (f": {', '.join(flattens)}" if flattens else "")
        raise UnsupportedError(f"to_convolutional: needs exactly one Flatten layer (of axes 1 to -1), which ends the maps; {found}")
    border = names.index(flattens[0])
    shapes = _shapes(net, [layers[name] for name in names[:border]], tuple(input_shape))
    maps = shapes[-1]
    replaced: dict[str, Module] = {flattens[0]: Identity()}
    if border and isinstance(layers[names[border - 1]], AdaptiveAvgPool):
        if shapes[-2] != maps:
            raise GeometryError(
                f"to_convolutional: {names[border - 1]} turns maps of {shapes[-2][2:]} into {maps[2:]} at input {tuple(input_shape)}; "
                f"give the input shape at which the maps before it have {maps[2:]} positions"
            )
        replaced[names[border - 1]] = Identity()
    for name in names[border + 1 :]:
        layer = layers[name]
        if isinstance(layer, Linear):
            replaced[name] = _convolution(name, layer, maps)
            maps = (maps[0], layer.out_features, *(1,) * (len(maps) - 2))
        elif not isinstance(layer, Elementwise | Identity) and not (isinstance(layer, Softmax) and layer.dim == 1):
            raise UnsupportedError(
                f"to_convolutional: {name}, {layer!r}, has no form on maps; only Linear and Elementwise layers may follow the Flatten"
            )
    return _rebuilt(net, replaced)


def _leaves(net: Sequential, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """The layers in the order of execution, by dotted name."""
    for name, child in net.named_children():
        if isinstance(child, Sequential):
            yield from _leaves(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _shapes(net: Sequential, layers: list[Module], input_shape: Size) -> list[Size]:
    """The shape before the first layer and after each."""
    value = input_node("input", TensorSpec(input_shape))
    shapes = [value.shape]
    with mode(net, training=False), recording():
        for layer in layers:
            value = layer(value)
            shapes.append(value.shape)
    return shapes


def _convolution(name: str, layer: Linear, size: Size) -> Module:
    """The convolution whose kernel covers a map of `size` (N, C, *spatial) and whose weights are those of `layer`."""
    channels, kernel = size[1], size[2:]
    if not kernel or len(kernel) > 3 or layer.in_features != channels * math.prod(kernel):
        raise GeometryError(
            f"to_convolutional: {name} has in_features {layer.in_features}, but the maps before it have {' x '.join(map(str, size[1:]))} "
            f"= {math.prod(size[1:])} elements at this input shape; give the input shape that the classifier was made for"
        )
    has_bias = layer.bias is not None
    result = _CONV[len(kernel)](channels, layer.out_features, kernel, bias=has_bias, weight_init=constant(0.0), bias_init=constant(0.0))
    result.weight = Parameter(layer.weight.value.reshape(result.weight.shape), layer.weight.trainable)
    if layer.bias is not None:
        result.bias = Parameter(layer.bias.value, layer.bias.trainable)
    return result


def _rebuilt(net: Sequential, replaced: dict[str, Module], prefix: str = "") -> Sequential:
    """A copy of `net` with the layers of `replaced`, by dotted name, in place of its own."""
    members: dict[str, Module] = {}
    for name, child in net.named_children():
        path = f"{prefix}{name}"
        if path in replaced:
            members[name] = replaced[path]
        elif isinstance(child, Sequential):
            members[name] = _rebuilt(child, replaced, f"{path}.")
        else:
            members[name] = copy.deepcopy(child)
    return Sequential(**members)
