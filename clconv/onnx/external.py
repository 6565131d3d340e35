"""Tensors that a model keeps in files beside its own, read without trusting it.

A location is a relative path to a regular file in the model's folder or below: no absolute path, no `..`, no link, soft or hard, and what
is read lies within the file. ONNX says no more of it than where (https://onnx.ai/onnx/repo-docs/ExternalData.html).
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from clconv.errors import OnnxError

EXTERNAL = 1


def element_type(onnx: Any, code: int) -> np.dtype | None:
    """The type that ONNX gives this number, as NumPy has it, or None."""
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, TypeError):
        return None


def is_external(tensor: Any) -> bool:
    return bool(tensor.HasField("data_location")) and tensor.data_location == EXTERNAL


def read_external(onnx: Any, tensor: Any, folder: Path | None, name: str) -> np.ndarray:
    """The tensor's elements from its file. `folder` is the model's, None for models that do not come from a file."""
    said = f"{name}: tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if folder is None:
        raise OnnxError(f"{said} lies in another file, {entries.get('location')!r}; load the model from its path")
    path = _inside(folder, entries.get("location", ""), said)
    kind = element_type(onnx, tensor.data_type)
    if kind is None or kind.hasobject:
        raise OnnxError(f"{said} has an element type, number {tensor.data_type}, that other files cannot hold")
    shape = tuple(tensor.dims)
    if any(n < 0 for n in shape):
        raise OnnxError(f"{said} has shape {shape}, which must not be negative")
    needed = math.prod(shape) * kind.itemsize
    offset, length = (_number(entries, key, default, said) for key, default in (("offset", 0), ("length", needed)))
    if length != needed:
        raise OnnxError(f"{said} of {kind}{shape} takes {needed} bytes, but its entry says {length}")
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise OnnxError(f"{said}: {path.name} must be a file of its own, not a device or a link to another one")
            if offset + length > status.st_size:
                raise OnnxError(f"{said}: bytes {offset} to {offset + length} lie beyond the {status.st_size} of {path.name}")
            file.seek(offset)
            return np.frombuffer(file.read(length), kind.newbyteorder("<")).astype(kind).reshape(shape)
    except OSError as error:
        raise OnnxError(f"{said}: {path} cannot be read: {error.strerror or error}") from error


def _inside(folder: Path, location: str, said: str) -> Path:
    """The path of a location that stays in `folder`, and has no link on the way."""
    parts = PurePosixPath(location).parts
    windows = PureWindowsPath(location)
    if not parts or "\0" in location or PurePosixPath(location).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise OnnxError(f"{said} lies at {location!r}; it must be a path within the folder of the model, without ..")
    path = folder.joinpath(*parts)
    for step in _steps(folder, parts):
        if step.is_symlink():
            raise OnnxError(f"{said} lies at {location!r}, where {step.name!r} is a link; put the file itself into the folder of the model")
    return path


def _steps(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    for part in parts:
        folder = folder / part
        yield folder


def _number(entries: dict[str, str], key: str, default: int, said: str) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise OnnxError(f"{said}: {key} {text[:40]!r} must be a whole number from 0 on")
    return int(text)
