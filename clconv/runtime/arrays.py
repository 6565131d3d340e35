"""What callers hand in and get back: pyopencl arrays and NumPy arrays, checked, with the fix in every refusal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla

from clconv.errors import ArrayError
from clconv.runtime.failure import device_error, reported, size_text
from clconv.runtime.transfer import upload
from clconv.tensor import PLAIN, Layout, Strided, TensorSpec, contiguous_strides

NAMES: dict[np.dtype[Any], str] = {np.dtype(np.float32): "float32", np.dtype(np.float16): "float16", np.dtype(np.int32): "int32"}
DTYPES: dict[str, np.dtype[Any]] = {name: dtype for dtype, name in NAMES.items()}


def is_array(value: object) -> bool:
    return isinstance(value, cla.Array)


def is_plainly(value: object, shape: tuple[int, ...], dtype: np.dtype[Any], queue: cl.CommandQueue) -> bool:
    """The quick way to see that nothing needs checking: an array of this shape and type on this very queue."""
    return isinstance(value, cla.Array) and value.queue is queue and value.shape == shape and value.dtype == dtype


def queue_of(array: cla.Array, what: str) -> cl.CommandQueue:
    if array.queue is None:
        raise ArrayError(f"{what}: the array has no queue; attach one with array.with_queue(queue)")
    return array.queue


def dtype_of(array: cla.Array, what: str) -> str:
    """The element type's name; float64 and other types are refused."""
    try:
        return NAMES[array.dtype]
    except KeyError:
        fix = {"f": ": x.astype(np.float32)", "b": ": x.astype(np.float32)"}.get(array.dtype.kind, "")
        if array.dtype.kind in "iu":
            fix = ": x.astype(np.float32), class numbers x.astype(np.int32)"
        raise ArrayError(
            f"{what}: element type {array.dtype} is not supported; use float32 or float16 (int32 for class numbers){fix}"
        ) from None


def layout_of(array: cla.Array, alignment: int) -> Layout:
    """PLAIN for a contiguous array that starts at an address a sub-buffer may start at, else Strided from the last such before it.

    From there, not from the base: views of one shape that start at different places, such as the images of a data set, look the same.
    """
    offset = array.offset
    if offset >= alignment:
        lowest = offset + sum([(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s < 0])
        if array.size and array.base_data.get_info(cl.mem_info.ASSOCIATED_MEMOBJECT) is None:  # else it cannot be divided again
            offset -= lowest // alignment * alignment
    return _layout(array.shape, array.strides, array.dtype.itemsize, offset, alignment)


@lru_cache(maxsize=4096)
def _layout(shape: tuple[int, ...], byte_strides: tuple[int, ...], item: int, offset: int, alignment: int) -> Layout:
    strides = tuple(s // item for s in byte_strides)
    contiguous = all(n == 1 or s == c for n, s, c in zip(shape, strides, contiguous_strides(shape), strict=True))
    if 0 in shape or (contiguous and offset % alignment == 0):
        return PLAIN
    return Strided(strides, offset // item)


def memory_of(array: cla.Array, layout: Layout) -> cl.Buffer | None:
    """The buffer a kernel gets: the whole, or the part of it that the layout counts from."""
    if array.size == 0:
        return None
    base = array.base_data
    start = array.offset - (layout.offset * array.dtype.itemsize if isinstance(layout, Strided) else 0)
    if start == 0:
        return base
    try:
        return base[start : _span(array)[1]]
    except cl.Error as error:
        doing = f"take the part of a buffer from byte {array.offset} that an array of shape {array.shape} views"
        raise device_error(doing, error, array.queue.device) from error


def check_shape(shape: tuple[int, ...], spec: TensorSpec, what: str) -> None:
    if tuple(shape) != spec.shape:
        raise ArrayError(
            f"{what}: shape {tuple(shape)} given, {spec.shape} compiled; compile for the new shape, or bring the array to the old one"
        )


def check_target(array: Any, spec: TensorSpec, queue: cl.CommandQueue) -> None:
    """What the caller gives as `out=` must be a device array like the result."""
    if not is_array(array):
        raise ArrayError(f"out: expected a pyopencl array, got {type(array).__name__}")
    if array.shape != spec.shape:
        raise ArrayError(f"out: shape {array.shape} given, {spec.shape} needed: that of the result")
    if NAMES.get(array.dtype) != spec.dtype:
        raise ArrayError(f"out: element type {array.dtype} given, {spec.dtype} needed: that of the result")
    if array.size and array.context != queue.context:
        raise ArrayError("out: the array lives in another OpenCL context than the inputs; create both from one queue")


def overlap(one: cla.Array, other: cla.Array) -> bool:
    """Whether two arrays share memory: the spans from their first to their last bytes meet."""
    if not one.size or not other.size or one.base_data.int_ptr != other.base_data.int_ptr:
        return False
    (first, last), (start, end) = _span(one), _span(other)
    return first < end and start < last


def are_apart(some: Sequence[cla.Array], others: Sequence[cla.Array]) -> bool:
    """Whether none of one group surely shares memory with any of the other; parts of divided buffers may."""
    if any(array.size and array.base_data.get_info(cl.mem_info.ASSOCIATED_MEMOBJECT) is not None for array in (*some, *others)):
        return False
    return not any(overlap(one, other) for one in some for other in others)


def same_memory(one: cla.Array, other: cla.Array) -> bool:
    """Whether every element of one array lies where the other's does."""
    return (one.offset, one.shape, one.strides) == (other.offset, other.shape, other.strides)


def _span(array: cla.Array) -> tuple[int, int]:
    steps = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    return array.offset + sum(s for s in steps if s < 0), array.offset + sum(s for s in steps if s > 0) + array.dtype.itemsize


def check_device_array(array: cla.Array, spec: TensorSpec, queue: cl.CommandQueue, what: str) -> None:
    check_shape(array.shape, spec, what)
    if dtype_of(array, what) != spec.dtype:
        raise ArrayError(f"{what}: element type {array.dtype} given, {spec.dtype} needed; convert with astype(np.{spec.dtype})")
    if array.size and array.context != queue.context:
        raise ArrayError(f"{what}: the array lives in another OpenCL context than the run; create both from one queue")


def to_device(value: Any, spec: TensorSpec, queue: cl.CommandQueue, what: str, into: cla.Array | None = None) -> cla.Array:
    """A NumPy array on the device, or nested lists; `into` an array of the spec's shape and type, or else a new one.

    Whole numbers of any size become int32 where class numbers are asked for.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # nested lists of unequal lengths
        raise ArrayError(f"{what}: expected an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ArrayError(f"{what}: expected an array of numbers, got {type(value).__name__} ({array.dtype})")
    check_shape(array.shape, spec, what)
    wanted = DTYPES[spec.dtype]
    integral = array.dtype.kind in "iu"
    if spec.dtype == "int32":
        if not integral:
            raise ArrayError(f"{what}: whole numbers are needed, got {array.dtype}; convert with astype(np.int32)")
    elif array.dtype != wanted and isinstance(value, np.ndarray | np.generic):
        raise ArrayError(f"{what}: element type {array.dtype} given, {spec.dtype} needed; convert with astype(np.{spec.dtype})")
    out = empty(queue, spec.shape, spec.dtype) if into is None else into
    if out.size:
        upload(queue, out.data, array.astype(wanted, copy=False))
    return out


def uploaded(array: np.ndarray, queue: cl.CommandQueue) -> cla.Array:
    """A copy on the device, of any element type: kernels need not know it."""
    content = np.array(array, order="C")
    if not content.size:
        return cla.empty(queue, content.shape, content.dtype)
    with reported(f"copy {size_text(content.nbytes)} to the device", queue.device):
        memory = cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, content.nbytes)
        upload(queue, memory, content)
    return cla.Array(queue, content.shape, content.dtype, data=memory)


def empty(queue: cl.CommandQueue, shape: tuple[int, ...], dtype: str) -> cla.Array:
    kind = DTYPES[dtype]
    size = math.prod(shape)
    if size == 0:
        return cla.empty(queue, shape, kind)
    context = queue.context
    try:
        memory = cl.Buffer(context, cl.mem_flags.READ_WRITE, size * kind.itemsize)
    except cl.Error as error:
        doing = f"allocate {size_text(size * kind.itemsize)} for an array of shape {tuple(shape)}"
        raise device_error(doing, error, queue.device) from error
    strides = tuple(s * kind.itemsize for s in contiguous_strides(shape))
    # pyopencl's own quick way, as its arithmetic takes it: the usual constructor checks all of this again, for longer than a launch takes.
    return cla.Array(None, shape, kind, data=memory, strides=strides, _fast=True, _size=size, _context=context, _queue=queue)


def to_host(array: cla.Array) -> np.ndarray:
    """The values of a device array, when they are ready. Raises DeviceError when the device fails."""
    with reported(f"copy {size_text(array.nbytes)} from the device", array.queue.device):
        return array.get()
