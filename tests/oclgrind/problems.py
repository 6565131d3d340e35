"""Problems at random, one function a class: small, odd, and often at an edge (1 x 1 maps, ragged channels, one-sided padding)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from clconv.geometry import ConvGeometry, PoolGeometry
from clconv.problem import (
    ConvProblem,
    LrnProblem,
    MapProblem,
    MatmulProblem,
    Pass,
    PoolProblem,
    Problem,
    ReduceProblem,
    ReorderProblem,
    ResampleProblem,
    ShuffleProblem,
    SoftmaxProblem,
    UnpoolProblem,
    WindowProblem,
)
from clconv.problem.conv import Activation, Epilogue
from clconv.tensor import Blocked, Layout, Packed, Strided, TensorSpec, Transformed
from tests.cases import largest, summed

Rng = np.random.Generator
T = TypeVar("T")

CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20)
STEP = 8
"""Channels of a step of the products of matrices: kernels that want whole steps get them."""
ACTIVATIONS: tuple[Activation | None, ...] = (
    None, None, ("relu", 0.0), ("leaky_relu", 0.5), ("clip", -2.0, 6.0), ("hardswish",), ("silu",),
)  # fmt: skip
BOTH = (Pass.FORWARD, Pass.BACKWARD_DATA)


def one_of(rng: Rng, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def whole(rng: Rng, least: int, most: int) -> int:
    """Both ends included."""
    return int(rng.integers(least, most + 1))


def several(rng: Rng, count: int, least: int, most: int) -> tuple[int, ...]:
    return tuple(whole(rng, least, most) for _ in range(count))


def dtype(rng: Rng) -> str:
    return "float16" if rng.random() < 0.15 else "float32"


def conv(rng: Rng) -> ConvProblem:
    rank = one_of(rng, (1, 2, 2, 2, 2, 3))
    style = one_of(rng, ("any", "any", "grouped", "depthwise", "three by three", "steps"))
    kernel, stride, dilation = several(rng, rank, 1, 4), several(rng, rank, 1, 3), several(rng, rank, 1, 2)
    channels, filters, groups = one_of(rng, CHANNELS), one_of(rng, CHANNELS), 1
    if style == "grouped":
        groups = whole(rng, 2, 4)
        channels, filters = groups * whole(rng, 1, 6), groups * whole(rng, 1, 6)
    elif style == "depthwise":
        channels = filters = groups = one_of(rng, CHANNELS[1:])
    if style in ("three by three", "steps", "depthwise") and rng.random() < 0.8:
        rank = 2
        kernel, dilation = (3, 3), (1, 1)
        stride = (1, 1) if style == "steps" else (one_of(rng, (1, 1, 2)),) * 2
    if style == "steps":
        groups = one_of(rng, (1, 1, 2))
        channels, filters = groups * STEP * whole(rng, 1, 2), groups * STEP * whole(rng, 1, 2)
    padding = tuple(several(rng, 2, 0, k) for k in kernel)
    size = several(rng, rank, 1, 9 if rank < 3 else 5)
    direction = one_of(rng, tuple(Pass))
    epilogue = Epilogue()
    if direction is not Pass.BACKWARD_WEIGHTS and rng.random() < 0.5:
        epilogue = Epilogue(rng.random() < 0.5, rng.random() < 0.5, one_of(rng, ACTIVATIONS))
    geometry = ConvGeometry.make(kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, input_size=size)
    geometry.output_size(size)  # refuses what has none
    return ConvProblem(geometry, whole(rng, 1, 3), channels, filters, size, direction, dtype(rng), epilogue)


def pool(rng: Rng) -> PoolProblem:
    kind, direction, rank = one_of(rng, ("max", "avg", "adaptive_avg")), one_of(rng, BOTH), one_of(rng, (1, 2, 2, 2, 3))
    batch, channels, size = whole(rng, 1, 3), one_of(rng, CHANNELS), several(rng, rank, 1, 9 if rank < 3 else 5)
    if kind == "adaptive_avg":
        windows = several(rng, rank, 1, 5) if rng.random() < 0.8 else (1,) * rank
        return PoolProblem(kind, None, batch, channels, size, windows, direction, dtype(rng))
    if rng.random() < 0.1:  # one window for the whole map
        return PoolProblem(kind, PoolGeometry.make(size, rank=rank, input_size=size), batch, channels, size, (), direction, dtype(rng))
    kernel, stride = several(rng, rank, 1, 4), several(rng, rank, 1, 3)
    dilation = several(rng, rank, 1, 2) if kind == "max" else 1
    padding = tuple(several(rng, 2, 0, k // 2) for k in kernel)
    geometry = PoolGeometry.make(kernel, stride, padding, dilation, bool(rng.random() < 0.3), rank=rank, input_size=size)
    geometry.output_size(size)
    indices = kind == "max" and direction is Pass.FORWARD and rng.random() < 0.5
    inside, divisor = True, None
    if kind == "avg":
        inside, divisor = bool(rng.random() < 0.5), one_of(rng, (None, None, 7))
    return PoolProblem(kind, geometry, batch, channels, size, (), direction, dtype(rng), indices, inside, divisor)


def shape(rng: Rng, most: int = 9) -> tuple[int, ...]:
    """Batch, channels, and one or two axes."""
    return (whole(rng, 1, 3), one_of(rng, CHANNELS), *several(rng, one_of(rng, (1, 2, 2)), 1, most))


def lrn(rng: Rng) -> LrnProblem:
    return LrnProblem(shape(rng), whole(rng, 1, 6), 2.0, one_of(rng, (0.5, 0.75)), 2.0, one_of(rng, BOTH))


def softmax(rng: Rng) -> SoftmaxProblem:
    sizes = several(rng, whole(rng, 1, 4), 1, 7)
    axis = whole(rng, 0, len(sizes) - 1)
    sizes = (*sizes[:axis], one_of(rng, (1, 3, 17, 40, 130)), *sizes[axis + 1 :])
    return SoftmaxProblem(sizes, axis, bool(rng.random() < 0.5), one_of(rng, BOTH))


def elementwise(rng: Rng) -> MapProblem:
    sizes = shape(rng)
    one = (sizes[1], *(1,) * (len(sizes) - 2))
    other = one_of(rng, (sizes, (1, *one), one))
    statements = (("t0", "x0 + x1"), ("y0", "t0 < 0.0f ? 0.0f : t0"))
    return MapProblem(sizes, (TensorSpec(sizes), TensorSpec(other)), statements, label="add_relu")


def reduction(rng: Rng) -> ReduceProblem:
    sizes = (*shape(rng)[:2], *several(rng, 2, 1, one_of(rng, (3, 9, 20))))
    return one_of(rng, (summed, largest))(sizes, one_of(rng, ((0, 2, 3), (2, 3), (2,), (3,), (0,), (1,))))


def matmul(rng: Rng) -> MatmulProblem:
    m, n, k = (one_of(rng, (1, 2, 3, 7, 16, 17, 33, 40)) for _ in range(3))
    flags = (bool(rng.random() < 0.5) for _ in range(2))
    epilogue = Epilogue(rng.random() < 0.5, rng.random() < 0.5, one_of(rng, (None, ("relu", 0.0)))) if rng.random() < 0.4 else Epilogue()
    return MatmulProblem(m, n, k, whole(rng, 1, 3), *flags, epilogue=epilogue)


def reorder(rng: Rng) -> ReorderProblem:
    kind = one_of(rng, ("strided", "blocked", "packed", "transformed"))
    if kind in ("packed", "transformed"):
        return packed(rng, kind)
    sizes = shape(rng)
    if kind == "strided":
        strides, step = [], whole(rng, 1, 2)
        for n in rng.permutation(len(sizes)):  # a dense view's axes in any order
            strides.append((int(n), step))
            step *= sizes[int(n)]
        view = Strided(tuple(step for _, step in sorted(strides)), whole(rng, 0, 3))
        return ReorderProblem(sizes).with_layouts(**{one_of(rng, ("x", "y")): view})

    def blocked() -> Layout:
        top, bottom, left, right = several(rng, 4, 0, 2)
        return Blocked(one_of(rng, (1, 4, 8, 16)), ((0, 0) if len(sizes) == 3 else (top, bottom), (left, right)))

    if rng.random() < 0.3:
        first = blocked()
        assert isinstance(first, Blocked)
        return ReorderProblem(sizes).with_layouts(x=first, y=Blocked(first.block, ((0, 1) if len(sizes) == 4 else (0, 0), (1, 0))))
    return ReorderProblem(sizes, dtype(rng), dtype(rng)).with_layouts(**{one_of(rng, ("x", "y")): blocked()})


def packed(rng: Rng, kind: str) -> ReorderProblem:
    groups = one_of(rng, (1, 1, 2, 3))
    turned = bool(rng.random() < 0.5)
    weights = (groups * whole(rng, 1, 20), whole(rng, 1, 20))
    if kind == "packed":
        block_in = one_of(rng, (1, 4, 8))
        layout: Layout = Packed(one_of(rng, (4, 8, 16)), block_in, whole(rng, 1, 3), groups, turned=turned)
        return ReorderProblem((*weights, *several(rng, one_of(rng, (1, 2)), 1, 4))).with_layouts(y=layout)
    outputs, kernel = one_of(rng, (((2, 2), (3, 3)), ((4, 4), (3, 3)), ((1, 2), (1, 3)), ((1, 4), (1, 3))))
    layout = Transformed(one_of(rng, (4, 8, 16)), whole(rng, 1, 2), outputs, groups=groups, turned=turned)
    return ReorderProblem((*weights, *kernel)).with_layouts(y=layout)


def window(rng: Rng) -> WindowProblem:
    sizes = several(rng, whole(rng, 1, 4), 1, 7)
    before = several(rng, len(sizes), -2, 3)
    return WindowProblem(sizes, before, several(rng, len(sizes), 1, 9), one_of(rng, (0.0, -2.0)))


def resample(rng: Rng) -> ResampleProblem:
    sizes = several(rng, whole(rng, 1, 4), 1, 7)
    return ResampleProblem(sizes, whole(rng, 0, len(sizes) - 1), whole(rng, 1, 9), whole(rng, 1, 4))


def unpool(rng: Rng) -> UnpoolProblem:
    rank = whole(rng, 1, 3)
    return UnpoolProblem((whole(rng, 1, 3), one_of(rng, CHANNELS), *several(rng, rank, 1, 4)), several(rng, rank, 1, 7), one_of(rng, BOTH))


def shuffle(rng: Rng) -> ShuffleProblem:
    groups = whole(rng, 1, 6)
    return ShuffleProblem((whole(rng, 1, 3), groups * whole(rng, 1, 6), *several(rng, one_of(rng, (1, 2)), 1, 6)), groups, dtype(rng))


DRAWN: dict[type[Problem], Callable[[Rng], Problem]] = {
    ConvProblem: conv, PoolProblem: pool, LrnProblem: lrn, SoftmaxProblem: softmax, MapProblem: elementwise, ReduceProblem: reduction,
    MatmulProblem: matmul, ReorderProblem: reorder, WindowProblem: window, ResampleProblem: resample, UnpoolProblem: unpool,
    ShuffleProblem: shuffle,
}  # fmt: skip
