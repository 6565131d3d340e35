"""A small network and small data for tests of training."""

from __future__ import annotations

import numpy as np

from clconv import nn
from clconv.nn.init import seeded
from clconv.train import Dataset


def small_net(seed: int = 0, dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """8 x 8 images to 3 classes."""
    with seeded(seed):
        layers: dict[str, nn.Module] = {"conv": nn.Conv2d(1, 4, 3, padding=1)}
        if norm:
            layers["norm"] = nn.BatchNorm2d(4)
        layers |= {"relu": nn.ReLU(), "pool": nn.MaxPool2d(2), "flatten": nn.Flatten()}
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        return nn.Sequential(**layers, fc=nn.Linear(64, 3))


def stripes(count: int = 50, seed: int = 1) -> Dataset:
    """Noisy images of three kinds that are easy to tell apart: rows, columns, nothing."""
    generator = np.random.default_rng(seed)
    kinds = generator.integers(0, 3, count)
    images = generator.normal(0, 0.3, (count, 1, 8, 8)).astype(np.float32)
    images[kinds == 0, :, ::2] += 1
    images[kinds == 1, :, :, ::2] += 1
    return Dataset(images, kinds)


def assert_same_state(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Bit for bit."""
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one[name].view(np.int32), other[name].view(np.int32), err_msg=name)
