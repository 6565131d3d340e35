"""Convolution weights as they lie in buffers, packed and transformed by NumPy: independent of the kernels that do the same."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np

from clconv.algorithms.minimal_filtering import strided
from clconv.tensor import Packed, Transformed, round_up


def pack_weights(w: np.ndarray, layout: Packed) -> np.ndarray:
    """Weights (K, C/groups, R, S) in the Packed layout, by NumPy."""
    groups = layout.groups
    if layout.joint:
        return _pack_joint(w, layout)
    if layout.turned:
        k, c, *kernel = w.shape
        w = w.reshape(groups, k // groups, c, *kernel).swapaxes(1, 2).reshape(groups * c, k // groups, *kernel)
        w = w[(slice(None), slice(None), *(slice(None, None, -1),) * len(kernel))]
    k, c, *kernel = w.shape
    kernel = kernel if len(kernel) == 2 else [1, *kernel]
    wide, own = layout.block * layout.tile, k // groups
    padded = np.zeros((groups, round_up(own, wide), round_up(c, layout.block_in), *kernel), w.dtype)
    padded[:, :own, :c] = w.reshape(groups, own, c, *kernel)
    parts = padded.reshape(groups, -1, wide, padded.shape[2] // layout.block_in, layout.block_in, *kernel)
    return np.ascontiguousarray(parts.transpose(0, 1, 3, 5, 6, 4, 2)).reshape(-1)


def _pack_joint(w: np.ndarray, layout: Packed) -> np.ndarray:
    """As pack_weights, for joint groups: "lanes" are packed as one group would be, "blocks" cut from the matrix of all channels."""
    groups, run, wide = layout.groups, layout.block_in, layout.block * layout.tile
    k, c, *kernel = w.shape
    if layout.turned:
        w = w.reshape(groups, k // groups, c, *kernel).swapaxes(1, 2).reshape(groups * c, k // groups, *kernel)
        w = w[(slice(None), slice(None), *(slice(None, None, -1),) * len(kernel))]
        k, c = w.shape[:2]
    if layout.joint == "lanes":
        return pack_weights(w, Packed(layout.block, run, layout.tile))
    whole = np.zeros((round_up(k, wide), round_up(groups * c, run), *kernel), w.dtype)
    for output in range(k):
        first = output // (k // groups) * c
        whole[output, first : first + c] = w[output]
    # The input blocks that hold a channel of a group that has an output channel in the run.
    group_of = np.arange(round_up(groups * c, run)).reshape(-1, run) // c
    used = [np.flatnonzero(np.isin(group_of, np.arange(t, min(t + wide, k)) // (k // groups)).any(1)) for t in range(0, k, wide)]
    span = max(u[-1] - u[0] + 1 for u in used) * run
    tiles = np.zeros((len(used), wide, span, *kernel), w.dtype)
    for t, blocks in enumerate(used):
        part = whole[t * wide : (t + 1) * wide, blocks[0] * run :][:, :span]
        tiles[t, :, : part.shape[1]] = part
    return np.concatenate([pack_weights(tile, Packed(layout.block, run, layout.tile)) for tile in tiles])


@cache
def weight_transform(outputs: int, taps: int, stride: int = 1) -> np.ndarray:
    """G of F(outputs, taps), as it follows from the two other matrices: with it alone they compute a correlation, that is,
    sum_k A^T[i k] B^T[k l] G[k j] = [l = stride i + j]."""
    maps = strided(outputs, taps, stride)
    a, b = (np.array(matrix, np.float64) for matrix in (maps.output, maps.data))
    products, window = b.shape
    known = np.einsum("ik,kl->ilk", a, b).reshape(-1, products)
    wanted = np.zeros((outputs, window, taps))
    for i, j in np.ndindex(outputs, taps):
        wanted[i, stride * i + j, j] = 1
    solved, _, rank, _ = np.linalg.lstsq(known, wanted.reshape(-1, taps), rcond=None)
    g = np.vectorize(lambda value: float(Fraction(value).limit_denominator(10_000)))(solved)
    assert rank == products and np.allclose(g, solved, rtol=0, atol=1e-12) and np.allclose(known @ g, wanted.reshape(-1, taps), atol=1e-12)
    return g


def transform_weights(w: np.ndarray, layout: Transformed, magnitudes: bool = False) -> np.ndarray:
    """Weights (K, C/groups, *kernel) in the Transformed layout, by NumPy in float64; or the sums of the terms' `magnitudes`."""
    groups, wide = layout.groups, layout.block * layout.tile
    k, c, *kernel = w.shape
    w = w.astype(np.float64).reshape(groups, k // groups, c, *(1, *kernel)[-2:])
    if layout.turned:
        w = w.swapaxes(1, 2)[..., ::-1, ::-1]
    rows, columns = (weight_transform(m, r, s) for m, r, s in zip(layout.outputs, w.shape[-2:], layout.stride, strict=True))
    if magnitudes:
        rows, columns, w = abs(rows), abs(columns), abs(w)
    products = np.einsum("ur,vs,gkcrs->gkuvc", rows, columns, w).reshape(*w.shape[:2], -1, w.shape[2])
    padded = np.zeros((groups, round_up(w.shape[1], wide), *products.shape[2:]))
    padded[:, : w.shape[1]] = products
    runs = padded.reshape(groups, -1, wide, *products.shape[2:])
    return np.ascontiguousarray(runs.transpose(0, 1, 3, 4, 2)).reshape(-1)


def weights_in(w: np.ndarray, layout: Packed | Transformed) -> np.ndarray:
    """Weights as they lie in a buffer of this layout, in their own element type."""
    return transform_weights(w, layout).astype(w.dtype) if isinstance(layout, Transformed) else pack_weights(w, layout)
