"""How weights begin: initialisers as functions of a generator and a shape, and the generator that layers draw from.

An initialiser is called with a `numpy.random.Generator` and a shape, and returns a float32 array. Layers take one as `weight_init=`.
Which generator they draw from is the caller's choice, for everything built inside a `with` block:

>>> from clconv import nn
>>> with nn.init.seeded(3):
...     net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clconv.errors import GeometryError
from clconv.geometry import Size
from clconv.graph.parameter import Drawn

Float32 = NDArray[np.float32]
Initialiser = Callable[[np.random.Generator, Size], Float32]

LARGE = 2**17
"""Elements from which on a weight is not drawn at once."""
_UNSEEDED = np.random.default_rng(0)
_GENERATOR: ContextVar[np.random.Generator] = ContextVar("clconv_init_generator", default=_UNSEEDED)


@contextmanager
def seeded(seed: int | np.random.Generator) -> Iterator[np.random.Generator]:
    """Layers built inside the block draw their weights from this seed, in the order in which they are built.

    Outside every block they draw from one generator that starts at seed 0 with the process.
    """
    generator = np.random.default_rng(seed)
    token = _GENERATOR.set(generator)
    try:
        yield generator
    finally:
        _GENERATOR.reset(token)


def draw(initialiser: Initialiser, shape: Size) -> Float32:
    """`initialiser` of `shape`, from the generator of the innermost `seeded` block."""
    return initialiser(_GENERATOR.get(), shape)


def first_value(initialiser: Initialiser, shape: Size) -> Float32 | Drawn:
    """As `draw`; a large array is left to be drawn when it is needed, from a generator of its own."""
    if math.prod(shape) < LARGE:
        return draw(initialiser, shape)
    (own,) = _GENERATOR.get().spawn(1)
    return Drawn(shape, lambda: initialiser(own, shape))


def fans(shape: Size) -> tuple[int, int]:
    """(inputs of one output, outputs of one input) of a weight (outputs, inputs / groups, *kernel), counted as torch counts them."""
    if len(shape) < 2:
        raise GeometryError(f"init: a weight of shape {shape} has no fan-in; it needs at least 2 axes (outputs, inputs, *kernel)")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def constant(value: float) -> Initialiser:
    """Every element `value`."""
    return lambda generator, shape: np.full(shape, value, np.float32)


def uniform(bound: float) -> Initialiser:
    """Uniform between -bound and bound."""

    def sample(generator: np.random.Generator, shape: Size) -> Float32:
        values = generator.random(shape, np.float32)
        values *= np.float32(2 * bound)
        values -= np.float32(bound)
        return values

    return sample


def normal(std: float = 0.01, mean: float = 0.0) -> Initialiser:
    """Gaussian of the given mean and standard deviation."""

    def sample(generator: np.random.Generator, shape: Size) -> Float32:
        values = generator.standard_normal(shape, np.float32)
        values *= np.float32(std)
        if mean:
            values += np.float32(mean)
        return values

    return sample


def truncated_normal(std: float = 0.01, limit: float = 2.0) -> Initialiser:
    """Gaussian of mean 0, drawn again wherever it lies more than `limit` standard deviations out."""

    def sample(generator: np.random.Generator, shape: Size) -> Float32:
        values = generator.standard_normal(shape, np.float32).ravel()
        outside = np.flatnonzero(np.abs(values) > limit)
        while outside.size:
            values[outside] = generator.standard_normal(outside.size, np.float32)
            outside = outside[np.abs(values[outside]) > limit]
        values *= np.float32(std)
        return values.reshape(shape)

    return sample


def kaiming_uniform(a: float = math.sqrt(5.0)) -> Initialiser:
    """Uniform within sqrt(6 / ((1 + a^2) fan_in)) (He et al. 2015); the default a gives 1 / sqrt(fan_in), torch's own for its layers."""
    return lambda generator, shape: uniform(math.sqrt(6.0 / ((1.0 + a * a) * fans(shape)[0])))(generator, shape)


def kaiming_normal(mode: Literal["fan_in", "fan_out"] = "fan_out") -> Initialiser:
    """Gaussian of standard deviation sqrt(2 / fan): keeps the variance through ReLU, forward (fan_in) or backward (fan_out).

    He et al. 2015, "Delving Deep into Rectifiers", equations 10 and 14.
    """
    side = {"fan_in": 0, "fan_out": 1}[mode]
    return lambda generator, shape: normal(math.sqrt(2.0 / fans(shape)[side]))(generator, shape)


def xavier_uniform(gain: float = 1.0) -> Initialiser:
    """Uniform within gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16)."""
    return lambda generator, shape: uniform(gain * math.sqrt(6.0 / sum(fans(shape))))(generator, shape)


def xavier_normal(gain: float = 1.0) -> Initialiser:
    """Gaussian of standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 12)."""
    return lambda generator, shape: normal(gain * math.sqrt(2.0 / sum(fans(shape))))(generator, shape)


def default_bias(weight_shape: Size) -> Initialiser:
    """torch's bias: uniform within 1 / sqrt(fan_in) of the weight that it goes with."""
    return uniform(1.0 / math.sqrt(fans(weight_shape)[0]))
