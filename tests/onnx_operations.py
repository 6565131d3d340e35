"""Networks of one operation each, for saving: name -> (what is computed of the input, its shape). Every operation of a graph is in some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.graph.ops import as_node, make
from clconv.graph.ops.resample import resample

RNG = np.random.default_rng(5)
MAPS, ROWS = (2, 4, 8, 6), (2, 3)


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


WEIGHT, BIAS, SLOPES, CHANNELS = numbers(6, 4, 3, 3), numbers(6), numbers(4) / 4, numbers(4)
CUBES, MATRIX = numbers(2, 2, 2, 2, 2), numbers(5, 6)
MIXED = np.array([[0, 3], [5, -1], [2, 4]])  # of an axis: the elements that each result is mixed of
TARGETS = np.array([[0, 3, -100], [2, 2, 1]], np.int32)


def _unpooled(x: Any, kernel: int, output_size: tuple[int, int] | None = None) -> Any:
    values, places = F.max_pool2d(x, kernel, return_indices=True)
    return F.max_unpool2d(F.mul(values, 2.0), places, kernel, output_size=output_size)


def _positions(x: Any, **window: Any) -> Any:
    """Where the maxima lie, as numbers that are computed with."""
    return F.mul(F.max_pool2d(x, return_indices=True, **window)[1], 0.5)


def _half(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: F.cast(function(F.cast(x, "float16")), "float32")


OPERATIONS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    # single elements
    "abs": (F.abs, ROWS),
    "add": (lambda x: F.add(x, x, alpha=0.5), ROWS),
    "amin": (lambda x: F.amin(x, 1), ROWS),
    "ceil": (F.ceil, ROWS),
    "celu": (lambda x: F.celu(x, 0.7), ROWS),
    "clamp": (lambda x: F.clamp(x, -0.5, 0.8), ROWS),
    "clamp from below": (lambda x: F.clamp(x, min=0.1), ROWS),
    "clamp from above": (lambda x: F.clamp(x, max=0.1), ROWS),
    "comparisons": (lambda x: F.eq(x, x) + 2 * F.lt(x, 0.0) + 4 * F.gt(x, 0.5) + 8 * F.le(x, 0.1) + 16 * F.ge(x, -0.1), ROWS),
    "division": (lambda x: 2.0 / (x * x + 1.0), ROWS),
    "elu": (lambda x: F.elu(x, 0.5), ROWS),
    "erf": (F.erf, ROWS),
    "exponential and logarithm": (lambda x: F.log(F.exp(x) + 1.0), ROWS),
    "floor": (F.floor, ROWS),
    "gelu": (F.gelu, ROWS),
    "gelu by tanh": (lambda x: F.gelu(x, "tanh"), ROWS),
    "hardsigmoid": (F.hardsigmoid, ROWS),
    "hardswish": (lambda x: F.hardswish(x * 3.0), ROWS),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.2), ROWS),
    "maximum and minimum": (lambda x: F.minimum(F.maximum(x, -0.3), x * x), ROWS),
    "neg": (F.neg, ROWS),
    "power": (lambda x: F.pow(F.abs(x), 1.7), ROWS),
    "powers with names": (lambda x: F.pow(F.pow(F.pow(F.abs(x) + 1.0, 0.5), -1.0), 2.0), ROWS),
    "prelu": (lambda x: F.prelu(x, SLOPES), MAPS),
    "reciprocal": (lambda x: F.reciprocal(F.abs(x) + 1.0), ROWS),
    "relu": (F.relu, ROWS),
    "selu": (F.selu, ROWS),
    "sigmoid": (F.sigmoid, ROWS),
    "silu": (F.silu, ROWS),
    "softplus": (F.softplus, ROWS),
    "softsign": (F.softsign, ROWS),
    "sqrt and square": (lambda x: F.sqrt(F.square(x) + 1.0), ROWS),
    "subtraction": (lambda x: 1.5 - x, ROWS),
    "tanh": (F.tanh, ROWS),
    "threshold": (lambda x: F.threshold(x, 0.3, -1.0), ROWS),
    "threshold to zero": (lambda x: F.threshold(x, 0.3, 0.0), ROWS),
    "trunc": (lambda x: F.trunc(x * 4.0), ROWS),
    "where": (lambda x: F.where(F.gt(x, 0.0), x, x * 0.1), ROWS),
    "where not zero": (lambda x: F.where(F.relu(x), x, 7.0), ROWS),
    "where known": (lambda x: F.where(as_node(np.array([1.0, 0.0, 2.0], np.float32)), x, 7.0), ROWS),
    # convolution and products
    "convolution": (lambda x: F.conv2d(x, WEIGHT, BIAS, stride=(2, 1), padding=((0, 1), (2, 1)), dilation=(1, 2)), MAPS),
    "turned kernel": (lambda x: F.conv2d(x, WEIGHT, padding=1, flip_kernel=True), MAPS),
    "residual and activation": (
        lambda x: F.conv2d(x, WEIGHT[:4], padding=1, activation=("leaky_relu", 0.1), residual=F.relu(x)), MAPS
    ),
    "transposed": (lambda x: F.conv_transpose2d(x, WEIGHT[:4], stride=2, padding=1, output_padding=1), MAPS),
    "transposed in groups": (lambda x: F.conv_transpose2d(x, WEIGHT[:4], np.tile(BIAS[:4], 2), (2, 1), ((1, 0), (0, 1)), groups=2), MAPS),
    "gradient of data": (lambda x: F.conv2d_input((2, 4, 18, 13), WEIGHT[:4, :], x, stride=2), MAPS),
    "three axes": (lambda x: F.conv3d(x, CUBES), (1, 2, 4, 4, 4)),
    "linear of maps": (lambda x: F.linear(x, MATRIX), MAPS),
    "products of batches": (lambda x: F.matmul(x, F.transpose(x, 2, 3)), MAPS),
    # pooling
    "maximum": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), MAPS),
    "maximum, dilated": (lambda x: F.max_pool2d(x, (3, 2), dilation=(2, 1)), MAPS),
    "maximum of rows": (lambda x: F.max_pool1d(x, 3, 2), (2, 4, 9)),
    "positions": (lambda x: _positions(x, kernel_size=3, stride=2, padding=1), MAPS),
    "positions as they are": (lambda x: F.max_pool2d(x, 2, return_indices=True)[1], MAPS),
    "positions in planes": (lambda x: _positions(x, kernel_size=(8, 6)), MAPS),
    "argmax": (lambda x: F.argmax(x, 1), MAPS),
    "argmax of the last": (lambda x: F.mul(F.argmax(x, -1, keepdim=True), 1.0), MAPS),
    "unpooling": (lambda x: _unpooled(x, 2), MAPS),
    "unpooling to odd sizes": (lambda x: _unpooled(x, 3, (8, 7)), (2, 4, 8, 7)),
    "unpooling known positions": (
        lambda x: F.max_unpool2d(x, np.arange(24, dtype=np.int32)[::-1].reshape(1, 2, 4, 3) % 48, 2), (1, 2, 4, 3)
    ),
    "mean": (lambda x: F.avg_pool2d(x, 3, 2, 1), MAPS),
    "mean without padding": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), MAPS),
    "mean with incomplete windows": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), MAPS),
    "mean with incomplete windows and padding": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), (2, 4, 8, 7)),
    "mean with incomplete windows without padding": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 4, 8, 7)
    ),
    "own divisor": (lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5), MAPS),
    "own divisor with incomplete windows": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, divisor_override=2), MAPS),
    "norm over windows": (lambda x: F.lp_pool2d(F.abs(x), 3, 2), MAPS),
    "norm over incomplete windows": (lambda x: F.lp_pool2d(x, 2, 3, 2, ceil_mode=True), MAPS),
    "adaptive mean": (lambda x: F.adaptive_avg_pool2d(x, (4, 3)), MAPS),
    "adaptive mean, unequal": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), MAPS),
    "adaptive mean, one axis unequal": (lambda x: F.adaptive_avg_pool2d(x, (5, 1)), MAPS),
    "adaptive maximum": (lambda x: F.adaptive_max_pool2d(x, (4, 3)), MAPS),
    "adaptive maximum, unequal": (lambda x: F.adaptive_max_pool2d(x, (3, 4)), MAPS),
    "global": (lambda x: F.add(F.global_avg_pool(x), F.global_max_pool(x)), MAPS),
    # resizing
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), MAPS),
    "nearest to odd sizes": (lambda x: F.interpolate(x, (5, 13)), MAPS),
    "nearest, exact": (lambda x: F.interpolate(x, (5, 9), mode="nearest-exact"), MAPS),
    "linear": (lambda x: F.interpolate(x, scale_factor=1.7, mode="linear"), (2, 4, 9)),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=(2, 1.5), mode="bilinear"), MAPS),
    "bilinear to sizes": (lambda x: F.interpolate(x, (5, 7), mode="bilinear"), MAPS),
    "bilinear with aligned corners": (lambda x: F.interpolate(x, (15, 11), mode="bilinear", align_corners=True), MAPS),
    "bilinear, antialiased": (lambda x: F.interpolate(x, (3, 4), mode="bilinear", antialias=True), MAPS),
    "trilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), (1, 2, 3, 4, 2)),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), MAPS),
    "bicubic with aligned corners": (lambda x: F.interpolate(x, (5, 11), mode="bicubic", align_corners=True), MAPS),
    "bicubic, antialiased": (lambda x: F.interpolate(x, (3, 4), mode="bicubic", antialias=True), MAPS),
    "mixing an axis": (lambda x: resample(x, 2, MIXED, MIXED * 0.5 + 0.7), MAPS),
    "mixing the last axis": (lambda x: resample(x, 3, MIXED, MIXED * 0.5 + 0.7), MAPS),
    # normalisation
    "batch norm": (lambda x: F.batch_norm(x, CHANNELS, CHANNELS**2 + 0.5, SLOPES, CHANNELS, eps=1e-3), MAPS),
    "batch norm by the batch": (lambda x: F.batch_norm(x, None, None, SLOPES, CHANNELS, training=True), MAPS),
    "instance norm": (lambda x: F.instance_norm(x, SLOPES, CHANNELS, 1e-3), MAPS),
    "instance norm of one image": (lambda x: F.instance_norm(x), (1, 4, 5)),
    "response norm": (lambda x: F.local_response_norm(x, 3, 0.4, k=2.0), MAPS),
    "response norm, even": (lambda x: F.local_response_norm(x, 2, 0.4, k=2.0), MAPS),
    "softmax": (lambda x: F.softmax(x, 1), MAPS),
    "log softmax": (lambda x: F.log_softmax(x, 2), MAPS),
    # reductions and losses
    "mean of rows": (lambda x: F.mean(x, -1), MAPS),
    "sum": (lambda x: F.sum(x, (1, 2), keepdim=True), MAPS),
    "sum of all": (lambda x: F.sum(F.square(x)), ROWS),
    "amax": (lambda x: F.amax(x, (0, 2)), MAPS),
    "prod": (lambda x: F.prod(x, 1), MAPS),
    "cross entropy": (lambda x: F.cross_entropy(x, TARGETS, label_smoothing=0.1), (2, 4, 3)),
    "cross entropy of each": (lambda x: F.cross_entropy(x, TARGETS, reduction="none"), (2, 4, 3)),
    "squared error": (lambda x: F.mse_loss(x, F.relu(x)), ROWS),
    # moving elements
    "joining": (lambda x: F.cat([F.pad(x, (1, 2)), F.pad(x, (3, 0), value=0.5)], 1), MAPS),
    "cutting": (lambda x: F.pad(x, (-1, -2, 0, -3)), MAPS),
    "cutting and padding": (lambda x: F.pad(x, (-1, 2, 1, -3), value=2.0), MAPS),
    "repeating": (lambda x: make("expand", F.mean(x, 1, keepdim=True), shape=x.shape), MAPS),
    "reshaping": (lambda x: F.reshape(x, (2, 2, 2, 8, 6)), MAPS),
    "flattening": (lambda x: F.flatten(x, 1), MAPS),
    "flattening all": (lambda x: F.flatten(x), MAPS),
    "transposing": (lambda x: F.transpose(x, 1, 3), MAPS),
    # half precision
    "cast": (lambda x: F.cast(F.cast(x, "float16"), "float32"), ROWS),
    "half: elements": (_half(lambda x: F.celu(F.softplus(x * 0.5 + 1.0)) + F.clamp(x, -0.5, 0.5) + F.where(F.gt(x, 0.0), x, 0.0)), ROWS),
    "half: maps": (_half(lambda x: F.avg_pool2d(F.interpolate(F.local_response_norm(x, 3), scale_factor=2, mode="bilinear"), 2)), MAPS),
    "half: normalisation": (_half(lambda x: F.instance_norm(F.batch_norm(x, CHANNELS, CHANNELS**2 + 0.5), SLOPES, CHANNELS)), MAPS),
    "half: reductions": (_half(lambda x: F.sum(F.softmax(x, 1) * F.mean(x, 1, keepdim=True), -1)), MAPS),
}  # fmt: skip
