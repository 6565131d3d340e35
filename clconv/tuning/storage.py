"""Arrays as they lie in buffers, by NumPy: independent of the kernels that do the same."""

from __future__ import annotations

import numpy as np

from clconv.errors import UnsupportedError
from clconv.tensor import Blocked, Layout, Packed, Plain, Strided, TensorSpec, Transformed


def poison(count: int, dtype: str) -> np.ndarray:
    """Memory that no result may keep: NaN, or a number that no index is."""
    return np.full(count, -1234567 if dtype == "int32" else np.nan, dtype)


def can_store(layout: Layout) -> bool:
    """Whether `store` knows the layout; packed weights are made by the library's own kernels."""
    return isinstance(layout, Plain | Strided | Blocked)


def store(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The buffer that holds `array` in the layout of `spec`; what does not belong to it is poisoned."""
    layout = spec.layout
    if isinstance(layout, Plain):
        return np.ascontiguousarray(array).reshape(-1)
    whole = poison(spec.storage_elements, spec.dtype)
    if isinstance(layout, Strided):
        strides = [step * whole.itemsize for step in layout.strides]
        np.lib.stride_tricks.as_strided(whole[layout.offset :], spec.shape, strides)[...] = array
        return whole
    if not isinstance(layout, Blocked):
        raise UnsupportedError(f"store: a tensor of shape {spec.shape} in layout {layout} is made by the library's own reorder")
    n, c, h, w = spec.planes
    (top, _), (left, _) = layout.halo
    rows, columns = spec.padded_plane
    own = np.zeros((n, spec.channel_blocks * layout.block, rows, columns), spec.dtype)
    own[:, :c, top : top + h, left : left + w] = array.reshape(n, c, h, w)
    blocks = own.reshape(n, spec.channel_blocks, layout.block, rows, columns).transpose(0, 1, 3, 4, 2)
    slots = whole.reshape(n, spec.blocks_in_buffer, rows, columns, layout.block)
    slots[:, layout.first : layout.first + spec.channel_blocks] = blocks
    return whole


def load(flat: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The tensor in a buffer that was poisoned before (packed weights as they lie). ValueError where a halo or a tail channel is not zero,
    or a neighbour is written."""
    layout = spec.layout
    if isinstance(layout, Plain):
        return flat.reshape(spec.shape)
    if isinstance(layout, Packed | Transformed):
        return flat
    if not isinstance(layout, Blocked):
        raise UnsupportedError(f"load: a result of shape {spec.shape} in layout {layout} cannot be checked; plain and blocked ones can")
    n, c, h, w = spec.planes
    (top, _), (left, _) = layout.halo
    rows, columns = spec.padded_plane
    slots = flat.reshape(n, spec.blocks_in_buffer, rows, columns, layout.block)
    others = np.ones(spec.blocks_in_buffer, bool)
    others[layout.first : layout.first + spec.channel_blocks] = False
    if not np.array_equal(slots[:, others], np.full_like(slots[:, others], poison(1, spec.dtype)[0]), equal_nan=spec.dtype != "int32"):
        raise ValueError("channels of a neighbour are written")
    planes = slots[:, ~others].transpose(0, 1, 4, 2, 3).reshape(n, -1, rows, columns)
    inside = (slice(None), slice(None, c), slice(top, top + h), slice(left, left + w))
    out = planes[inside].reshape(spec.shape).copy()
    planes[inside] = 0
    if planes.any():
        raise ValueError("halo or tail channels are not zero")
    return out
