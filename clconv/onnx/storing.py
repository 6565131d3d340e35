"""A model and its tensors as files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clconv.errors import OnnxError
from clconv.onnx.external import EXTERNAL

LEAST_OUTSIDE = 1024  # bytes: shapes and other small tensors stay with the model, where runtimes look for them
ALIGNMENT = 4096  # of tensors in their file, so that they can be mapped into memory


def add_tensors(onnx: Any, graph: Any, tensors: Mapping[str, np.ndarray]) -> None:
    """Tensors as raw bytes, one after another: no second copy of all of them."""
    for name, array in tensors.items():
        _entry(onnx, graph, name, array).raw_data = _bytes(array)


def store(onnx: Any, proto: Any, tensors: Mapping[str, np.ndarray], path: str | os.PathLike[str], external: bool) -> None:
    """Write `proto` with its tensors, or with a file of them beside it. Raises OnnxError where that cannot be written."""
    target = Path(path)
    inside = {name: array for name, array in tensors.items() if not external or array.nbytes < LEAST_OUTSIDE}
    outside = {name: array for name, array in tensors.items() if name not in inside}
    add_tensors(onnx, proto.graph, inside)
    if outside:
        beside = target.with_name(f"{target.name}.data")
        places = _places(outside)
        for name, array in outside.items():
            entry = _entry(onnx, proto.graph, name, array)
            entry.data_location = EXTERNAL
            for key, value in (("location", beside.name), ("offset", places[name]), ("length", array.nbytes)):
                entry.external_data.add(key=key, value=str(value))
        _written(beside, lambda file: _write_tensors(file, outside, places))
    _written(target, lambda file: file.write(proto.SerializeToString()))


def _entry(onnx: Any, graph: Any, name: str, array: np.ndarray) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    graph.initializer.append(onnx.TensorProto(name=name, data_type=kind, dims=array.shape))
    return graph.initializer[-1]


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _places(tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Where each tensor begins."""
    places, end = {}, 0
    for name, array in tensors.items():
        places[name] = -(-end // ALIGNMENT) * ALIGNMENT
        end = places[name] + array.nbytes
    return places


def _write_tensors(file: BinaryIO, tensors: Mapping[str, np.ndarray], places: Mapping[str, int]) -> None:
    for name, array in tensors.items():
        file.write(b"\0" * (places[name] - file.tell()))
        file.write(_bytes(array))


def _written(target: Path, write: Callable[[BinaryIO], Any]) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise OnnxError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
