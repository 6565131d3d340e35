"""IDX files, the format of MNIST (LeCun, yann.lecun.com/exdb/mnist): two zero bytes, a type, the number of axes, sizes, elements.

Everything is big-endian.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clconv.errors import DataError
from clconv.train.data import Augment, Dataset

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array in an IDX file, compressed (by gzip, whatever its name) or not, in its own element type.

    Raises DataError for another format and for a file that is shorter or longer than its header says.
    """
    content = _content(Path(path))
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or content[3] == 0:
        raise DataError(
            f"{path}: not an IDX file: it starts with {content[:4].hex(' ') or 'nothing'}, "
            f"expected 00 00, a type ({', '.join(f'{code:02x}' for code in TYPES)}) and the number of axes"
        )
    kind, axes = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(f"{path}: truncated: the header for {axes} axes takes {start} bytes, the file has {len(content)}; fetch it again")
    shape = struct.unpack(f">{axes}I", content[4:start])
    needed = start + kind.itemsize * math.prod(shape)
    if len(content) != needed:
        state = "truncated" if len(content) < needed else "too long"
        raise DataError(f"{path}: {state}: {shape} of {kind.name} takes {needed} bytes, the file has {len(content)}; fetch it again")
    return np.frombuffer(content, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the compressed file is damaged ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def idx_dataset(images: str | Path, labels: str | Path, augment: Augment | None = None) -> Dataset:
    """A data set from two IDX files: images (N, H, W) or (N, C, H, W) of bytes, scaled to 0 .. 1, and labels (N,).

    >>> train = idx_dataset("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")   # doctest: +SKIP
    """
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.ndim not in (3, 4) or pixels.dtype != np.uint8:
        raise DataError(f"{images}: expected bytes of shape (N, H, W) or (N, C, H, W), got {pixels.dtype} {pixels.shape}")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or len(numbers) != len(pixels):
        raise DataError(f"{labels}: expected {len(pixels)} whole numbers, one an image of {images}; got {numbers.dtype} {numbers.shape}")
    scaled = pixels.astype(np.float32) / np.float32(255)
    return Dataset(scaled[:, None] if scaled.ndim == 3 else scaled, numbers, augment)
