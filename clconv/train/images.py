"""Pictures from files: one as a network's input, or a folder of folders as a data set. Needs Pillow: pip install 'clconv[images]'."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clconv.errors import DataError
from clconv.train.data import Augment, Dataset

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
SHORTER_SIDE = 256 / 224


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes an input: its shorter side 8/7 of the larger of `size` (height, width), the middle cut out, values from 0 to 1,
    then (value - mean) / std per channel. One channel is grey, three are red, green and blue.

    The usual of torchvision's classifiers; `mean` and `std` are those of ImageNet.
    """

    size: tuple[int, int] = (224, 224)
    channels: int = 3
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise DataError(f"a picture has 1 or 3 channels, got {self.channels}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise DataError(f"{name} {tuple(values)} must hold one number, or one for each of {self.channels} channels")
        if min(self.std) <= 0:
            raise DataError(f"std {tuple(self.std)} must be above 0")
        if min(self.size) < 1:
            raise DataError(f"size {self.size} must be at least 1 by 1")


def read_image(path: str | os.PathLike[str], how: Preparation | None = None) -> np.ndarray:
    """The picture at `path` as an array (channels, height, width) of float32.

    >>> x = read_image("cat.jpg")[None]                  # doctest: +SKIP
    """
    how = how or Preparation()
    image_class = _pillow()
    try:
        with image_class.open(path) as picture:
            return _prepared(picture, how)
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read as a picture: {error.strerror or error}") from error


def _prepared(picture: Any, how: Preparation) -> np.ndarray:
    height, width = how.size
    picture = picture.convert("L" if how.channels == 1 else "RGB")
    scale = SHORTER_SIDE * max(height / picture.height, width / picture.width)
    grown = picture.resize((max(width, round(picture.width * scale)), max(height, round(picture.height * scale))), resample=2)
    left, top = (grown.width - width) // 2, (grown.height - height) // 2
    values = np.asarray(grown.crop((left, top, left + width, top + height)), np.float32) / 255.0
    values = values[None] if how.channels == 1 else values.transpose(2, 0, 1)
    mean, std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (how.mean, how.std))
    return np.ascontiguousarray((values - mean) / std)


def image_folder(
    path: str | os.PathLike[str], how: Preparation | None = None, augment: Augment | None = None
) -> tuple[Dataset, tuple[str, ...]]:
    """All pictures below `path`, one folder a class, and the names of the classes, in the order of torchvision.datasets.ImageFolder:
    classes and files by name. They are held in memory.

    >>> train, classes = image_folder("flowers/train", Preparation((64, 64)))   # doctest: +SKIP
    >>> trainer.fit(train, epochs=10)                                           # doctest: +SKIP
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; give one that holds a folder of pictures for each class")
    classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    files = [(file, i) for i, name in enumerate(classes) for file in sorted((root / name).rglob("*")) if file.suffix.lower() in ENDINGS]
    empty = [name for i, name in enumerate(classes) if not any(label == i for _, label in files)]
    if not files or empty:
        lacking = f"folder {', '.join(empty)}" if classes else "it"
        raise DataError(f"{root}: {lacking} holds no picture ({', '.join(ENDINGS)})")
    images = np.stack([read_image(file, how) for file, _ in files])
    return Dataset(images, np.array([label for _, label in files], np.int32), augment), tuple(classes)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("pictures need the package pillow, which is not installed: pip install 'clconv[images]'") from error
    return Image
