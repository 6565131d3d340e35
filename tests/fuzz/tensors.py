"""Mutations of initializers: their numbers, shapes, types, and the bytes that hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from tests.fuzz.draw import ODD_NUMBERS, numbers_of, one, whole_number, whole_tensors

Generator = np.random.Generator
PLACES = ("weights.bin", "../weights.bin", "/etc/passwd", "", "\0", "a/../../b", "C:\\x", "/dev/zero")


def change_whole_numbers(proto: Any, rng: Generator) -> bool:
    """One index, size or axis becomes another."""
    tensor = one(rng, whole_tensors(proto))
    array = numbers_of(tensor) if tensor is not None else None
    if tensor is None or array is None or not array.size:
        return False
    flat = array.reshape(-1)
    place = int(rng.integers(flat.size))
    flat[place] = whole_number(rng, int(flat[place]))
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return True


def reshape(proto: Any, rng: Generator) -> bool:
    """Another size of one axis, or an axis more or fewer, with or without the bytes that it takes."""
    tensor = one(rng, proto.graph.initializer)
    if tensor is None:
        return False
    dims = list(tensor.dims)
    how = rng.random()
    if how < 0.6 and dims:
        place = int(rng.integers(len(dims)))
        dims[place] = whole_number(rng, dims[place])
    elif how < 0.8:
        dims.insert(int(rng.integers(len(dims) + 1)), 1)
    elif dims:
        del dims[int(rng.integers(len(dims)))]
    array = numbers_of(tensor)
    if array is not None and array.dtype.kind in "if" and all(0 <= n < 64 for n in dims) and rng.random() < 0.7:
        kind = array.dtype
        tensor.CopyFrom(numpy_helper.from_array((rng.integers(-4, 5, dims) / (4 if kind.kind == "f" else 1)).astype(kind), tensor.name))
    else:
        del tensor.dims[:]
        tensor.dims.extend(dims)
    return True


def retype(proto: Any, rng: Generator) -> bool:
    """The number of the element type: others there are, were not, or will be."""
    tensor = one(rng, proto.graph.initializer)
    if tensor is None:
        return False
    tensor.data_type = int(rng.integers(-1, 30))
    return True


def truncate(proto: Any, rng: Generator) -> bool:
    tensor = one(rng, [t for t in proto.graph.initializer if t.raw_data])
    if tensor is None:
        return False
    tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data)))]
    return True


def not_numbers(proto: Any, rng: Generator) -> bool:
    """A NaN, an infinity or a number near the largest among the weights."""
    tensor = one(rng, [t for t in proto.graph.initializer if t.data_type == 1])
    array = numbers_of(tensor) if tensor is not None else None
    if tensor is None or array is None or not array.size:
        return False
    array.reshape(-1)[int(rng.integers(array.size))] = one(rng, ODD_NUMBERS)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return True


def elsewhere(proto: Any, rng: Generator) -> bool:
    """The tensor is said to lie in another file."""
    tensor = one(rng, proto.graph.initializer)
    if tensor is None:
        return False
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", str(one(rng, PLACES))
    return True
