"""The counter-based random numbers of dropout: Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clconv.geometry import Size
from clconv.reference.arrays import F64

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Four random words for every counter: counter (..., 4) uint32, key (2,) uint32 -> (..., 4) uint32.

    >>> [hex(word) for word in philox4x32([0, 0, 0, 0], [0, 0])]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    words = np.asarray(counter, np.uint64)
    c0, c1, c2, c3 = (words[..., i] for i in range(4))
    k0, k1 = (int(k) for k in np.asarray(key))
    for _ in range(_ROUNDS):
        left, right = c0 * np.uint64(_MULTIPLIERS[0]), c2 * np.uint64(_MULTIPLIERS[1])
        c0, c2 = (right >> np.uint64(32)) ^ c1 ^ np.uint64(k0), (left >> np.uint64(32)) ^ c3 ^ np.uint64(k1)
        c1, c3 = right & np.uint64(_MASK), left & np.uint64(_MASK)
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def dropout_mask(shape: Size, p: float, seed: int, step: int = 0) -> F64:
    """1 / (1 - p) where an element is kept, 0 where it is dropped (with probability p); the same for the same seed and step anywhere.

    Element i (flat, C order) draws word 0 of counter (i mod 2^32, i >> 32, step, 0) under key (seed mod 2^32, seed >> 32), and is kept
    where (word >> 8) 2^-24 >= p. p = 1 drops everything.

    >>> dropout_mask((4,), 0.5, seed=1)
    array([2., 2., 0., 2.])
    """
    i = np.arange(math.prod(shape), dtype=np.uint64)
    counter = np.stack([i & np.uint64(_MASK), i >> np.uint64(32), np.full_like(i, step), np.zeros_like(i)], axis=-1)
    uniform = (philox4x32(counter, [seed & _MASK, seed >> 32])[..., 0] >> np.uint32(8)) * 2.0**-24
    kept = uniform >= p
    return (kept / (1.0 - p) if p < 1.0 else np.zeros(kept.shape)).reshape(shape)
