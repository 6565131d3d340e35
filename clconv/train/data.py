"""Data sets: arrays in memory, cut into batches whose order depends on a seed and the epoch's number alone.

>>> import numpy as np
>>> data = Dataset(np.zeros((10, 1, 28, 28), np.float32), np.arange(10))
>>> [len(targets) for _, targets in data.batches(4, seed=0, epoch=0)]
[4, 4, 2]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clconv.errors import ArrayError

Array = NDArray[Any]
Inputs = Array | dict[str, Array]
Augment = Callable[[Inputs, np.random.Generator], Inputs]


class Dataset:
    """Inputs (N, ...) and targets (N, ...) as NumPy arrays. A network with several inputs takes a dict of them by name.

    Floating-point numbers are kept as float32, whole numbers in `targets` are class numbers (int32). `augment` takes a batch of inputs and
    a generator and returns what to train on instead; it is left out of evaluation.
    """

    def __init__(self, inputs: Any, targets: Any, augment: Augment | None = None) -> None:
        self.inputs: Inputs = (
            {name: _floats(value, f"input {name}") for name, value in inputs.items()}
            if isinstance(inputs, Mapping)
            else _floats(inputs, "inputs")
        )
        values = np.asarray(targets)
        self.targets: Array = values.astype(np.int32) if values.dtype.kind in "iub" else _floats(values, "targets")
        self.augment = augment
        for name, array in self.arrays().items():
            if array.ndim == 0 or self.targets.ndim == 0 or len(array) != len(self.targets):
                raise ArrayError(
                    f"Dataset: {name or 'inputs'} {array.shape} and targets {self.targets.shape} must be equally long; "
                    "axis 0 counts the examples"
                )

    @classmethod
    def of(cls, data: Any) -> Dataset:
        """`data` itself, or made from a pair (inputs, targets)."""
        if isinstance(data, Dataset):
            return data
        if isinstance(data, tuple | list) and len(data) == 2:
            return cls(*data)
        raise ArrayError(f"training data must be a Dataset or a pair (inputs, targets), got {type(data).__name__}")

    def arrays(self) -> dict[str, Array]:
        """The input arrays by name; a single one has the empty name."""
        return self.inputs if isinstance(self.inputs, dict) else {"": self.inputs}

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name + ' ' if name else ''}{array.shape[1:]}" for name, array in self.arrays().items())
        return f"Dataset({len(self)} examples of {shapes})"

    def take(self, indices: Array | slice) -> tuple[Inputs, Array]:
        """Inputs and targets at `indices`."""
        if isinstance(self.inputs, dict):
            return {name: array[indices] for name, array in self.inputs.items()}, self.targets[indices]
        return self.inputs[indices], self.targets[indices]

    def batch_count(self, size: int, drop_last: bool = False) -> int:
        """Batches in an epoch; the last may be smaller, or is left out."""
        if size < 1:
            raise ArrayError(f"batch size must be at least 1, got {size}")
        if not len(self) or (drop_last and len(self) < size):
            raise ArrayError(f"{len(self)} examples fill no batch of {size}{' and drop_last leaves smaller ones out' if len(self) else ''}")
        return len(self) // size if drop_last else -(-len(self) // size)

    def batches(self, size: int, *, seed: int, epoch: int, drop_last: bool = False, first: int = 0) -> Iterator[tuple[Inputs, Array]]:
        """The shuffled batches of one epoch from number `first` on. The same seed and epoch give the same batches, wherever one starts."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        for number in range(first, self.batch_count(size, drop_last)):
            inputs, targets = self.take(order[number * size : (number + 1) * size])
            if self.augment is not None:
                inputs = self.augment(inputs, np.random.default_rng([seed, epoch, number]))
            yield inputs, targets

    def in_order(self, size: int) -> Iterator[tuple[Inputs, Array]]:
        """All examples in order, for evaluation."""
        for number in range(self.batch_count(size)):
            yield self.take(slice(number * size, (number + 1) * size))


def _floats(value: Any, what: str) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ArrayError(f"Dataset: {what} must be numbers, got an array of {array.dtype}")
    return np.ascontiguousarray(array, np.float32)


def random_shift(pixels: int, fill: float = 0.0) -> Augment:
    """Moves every image by up to `pixels` rows and columns, each image by its own; what comes in at the edge is `fill`.

    >>> shift = random_shift(1)
    >>> images = np.arange(2 * 9, dtype=np.float32).reshape(2, 1, 3, 3)
    >>> shift(images, np.random.default_rng(0)).shape
    (2, 1, 3, 3)
    """

    def augment(images: Inputs, generator: np.random.Generator) -> Inputs:
        if isinstance(images, dict) or images.ndim != 4:
            what = "several inputs" if isinstance(images, dict) else f"shape {images.shape}"
            raise ArrayError(f"random_shift: needs one array of images (N, C, H, W), got {what}")
        count, _, *size = images.shape
        border = ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels))
        padded = np.pad(images, border, constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(size), axis=(2, 3))
        rows, columns = generator.integers(0, 2 * pixels + 1, (2, count))
        return np.ascontiguousarray(windows[np.arange(count), :, rows, columns])

    return augment
