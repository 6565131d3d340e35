"""Cases that all algorithms of a family share, and one way to run any algorithm on any of them and compare it with NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from clconv.algorithms.base import Algorithm
from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits
from clconv.doctor.exact import bounds, expected, operands_of
from clconv.doctor.problems import kind_of as kind_of
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
    parse,
)
from clconv.problem.conv import Epilogue
from clconv.tensor import Blocked, Packed, Strided, TensorSpec, Transformed
from tests.support import NUMPY, run_plan, traits, weights_in

Arrays = dict[str, np.ndarray]

CHANNELS = (1, 3, 17, 33)
BATCHES = (1, 2, 3)
# Geometry -> maps that it fits: prime sizes, the smallest, and one between.
GEOMETRIES = {
    "f3x3p1": ("5x7", "1x1", "2x11"),
    "f3x2s2x3p2,1x0,1d2x1": ("5x7", "2x1", "7x4"),  # even, one-sided padding, phases without taps, unread pixels
    "f1x1": ("3x5", "1x1", "7x2"),
    "f3x2x3s2x1x2p1d1x2x1": ("3x4x5", "1x1x1", "2x3x2"),
    "deconv f3x2s2x3p1x0d2x1o1": ("3x5", "1x1", "2x3"),
}
# More of them for the full product.
MORE_GEOMETRIES = {
    "f2x4s2p1,0x0,1": ("5x7", "1x3", "3x4"),
    "f3x3s2p1d2": ("5x7", "3x3", "7x4"),
    "deconv f2x2s3o1": ("3x5", "1x1", "2x3"),
    "f4s3p1d2": ("11", "5", "7"),
    "f5x5p4": ("5x7", "1x1", "2x3"),
    "f3x2s1x2p2,1x0,3d2x3": ("5x7", "2x1", "3x4"),
    "f7x7s2p3": ("11x13", "1x1", "6x8"),
    "f2x2s3": ("7x11", "2x2", "5x3"),
    "deconv f3x3s2p1o1": ("3x5", "1x1", "2x3"),
    "deconv f4x4s2p1": ("3x5", "1x1", "2x3"),
    "deconv f5s3p1o2": ("7", "1", "4"),
    "f1x1s2p1,0x0,1": ("5x7", "1x1", "4x4"),
}
GROUPED = (
    "n3c17i5x7k17f3x3p1g17",  # depthwise
    "n2c3i2x11k6f3x3p1g3",  # channel multiplier 2
    "n1c6i5x7k9f3x3p1g3",
    "n2c32i5x3k64f3x3p1g2",  # whole blocks of channels
    "n2c64i3x1k32f3x3p1g2",
)
WITH_EPILOGUE = ("n2c17i5x7k33f3x3p1+bias+leaky_relu(0.5)+res",)
# Overlapping, with windows beyond the end, dilated and one-sided, even, three axes.
POOLS = (
    "maxpool n3c17i7x5f3x3s2p1", "maxpool n1c3i1x1f3x3s2p1", "avgpool n2c1i5x11f3x3s2p1:ceil", "avgpool n3c17i8x8f3x3s2p1:ceil",
    "maxpool n2c33i5x7f3x2s1x2p1,0x0,1d2x1:idx", "maxpool n1c1i9x2f3x2s1x2p1,0x0,1d2x1:idx",
    "avgpool n1c3i5x7f3x2s1x2p1,0x0,1d2x1:nopad", "avgpool n2c33i9x2f3x2s1x2p1,0x0,1d2x1:nopad", "maxpool n1c2i3x5x4f2x3x2s1x2x2p1",
    "avgpool n1c17i2x2f2x2",
)  # fmt: skip
MORE_POOLS = (
    "maxpool n1c3i1x1f3x3s2p1:idx", "avgpool n2c1i5x11f3x3s2p1", "avgpool n1c33i7x5f3x3s2p1:nopad", "avgpool n1c3i5x7f3x2s1x2p1,0x0,1d2x1",
    "maxpool n3c3i10x13f2x2", "avgpool n2c17i5x7f5x7", "avgpool n2c3i11x13f3x3s2p1:div7",
)  # fmt: skip
ADAPTIVE = (((7, 5), (3, 2), 3, 17), ((3, 4), (5, 9), 1, 3), ((1, 1), (1, 1), 2, 33))


def conv_text(geometry: str, size: str, batch: int, channels: int, filters: int) -> str:
    kind, _, rest = geometry.rpartition(" ")
    return f"{kind or 'conv'} n{batch}c{channels}i{size}k{filters}{rest}"


def square_texts() -> Iterator[tuple[str, str]]:
    """(geometry, problem) by a Latin square: every channel count meets every filter count, geometry and batch, and so do filter counts."""
    for g, (geometry, sizes) in enumerate(GEOMETRIES.items()):
        for i, channels in enumerate(CHANNELS):
            yield geometry, conv_text(geometry, sizes[i % 3], BATCHES[(i + 2 * g) % 3], channels, CHANNELS[(i + g) % 4])


def all_passes(texts: Iterable[str]) -> Iterator[ConvProblem]:
    yield from (replace(parse(text), direction=direction) for text in texts for direction in Pass)


def conv_cases() -> Iterator[ConvProblem]:
    yield from all_passes((*(text for _, text in square_texts()), *GROUPED))
    yield from map(parse, WITH_EPILOGUE)


def conv_product() -> Iterator[ConvProblem]:
    """Every channel count with every filter count, on every map of every geometry."""
    for geometry, sizes in (GEOMETRIES | MORE_GEOMETRIES).items():
        for (b, channels), filters, size in product(enumerate(CHANNELS), CHANNELS, sizes):
            yield from all_passes([conv_text(geometry, size, BATCHES[b % 3], channels, filters)])


def both_directions(texts: Iterable[str]) -> Iterator[PoolProblem]:
    for problem in map(parse, texts):
        yield problem
        yield replace(problem, direction=Pass.BACKWARD_DATA, with_indices=False)


def pool_cases() -> Iterator[PoolProblem]:
    yield from both_directions(POOLS)
    for size, out_size, batch, channels in ADAPTIVE:
        for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
            yield PoolProblem("adaptive_avg", None, batch, channels, size, out_size, direction)


def row_cases() -> Iterator[SoftmaxProblem | LrnProblem]:
    for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
        for shape, axis in (((3, 17), 1), ((2, 33, 1, 1), 1), ((1, 1), 0)):
            yield from (SoftmaxProblem(shape, axis, log, direction) for log in (False, True))
        yield SoftmaxProblem((3, 5, 2, 7), 1, True, direction)
        for shape in ((3, 17, 5, 7), (1, 1, 1, 1), (2, 3, 11)):
            yield LrnProblem(shape, 4, 2.0, 0.5, 2.0, direction)


SHAPES = ((3, 17, 5, 7), (1, 3, 1, 1), (2, 33, 11, 2), (2, 1, 3, 2))


def summed(shape: tuple[int, ...], axes: tuple[int, ...]) -> ReduceProblem:
    return ReduceProblem(shape, (TensorSpec(shape),), axes, (("r0", "x0"),), label="sum")


def largest(shape: tuple[int, ...], axes: tuple[int, ...]) -> ReduceProblem:
    return ReduceProblem(shape, (TensorSpec(shape),), axes, (("r0", "x0"),), combine="max", label="largest")


def pointwise_cases() -> Iterator[MapProblem | ReduceProblem]:
    for shape in SHAPES:
        c = shape[1]
        full = TensorSpec(shape)
        for other in (shape, (1, c, 1, 1), (c, 1, 1)):
            operands = (full, TensorSpec(other))
            yield MapProblem(shape, operands, (("t0", "x0 + x1"), ("y0", "t0 < 0.0f ? 0.0f : t0")), label="add_relu")
        yield summed(shape, (0, 2, 3))  # which counts what is met twice or not at all
        if math.prod(shape[2:]) > 1:
            yield largest(shape, (2, 3))


def matmul_cases() -> Iterator[MatmulProblem]:
    for m, n, k, batch in ((1, 33, 17, 3), (7, 17, 131, 1), (33, 3, 1, 2), (17, 1, 33, 1), (3, 40, 5, 1)):
        yield from (MatmulProblem(m, n, k, batch, a, b) for a, b in ((False, False), (False, True), (True, False)))
    yield MatmulProblem(7, 17, 33, 1, True, True, epilogue=Epilogue(True, True, ("relu", 0.0)))


def rare_cases() -> Iterator[Problem]:
    """Near others of the shared cases, with kernels of their own: for the full product."""
    yield from both_directions(MORE_POOLS)
    yield MatmulProblem(33, 3, 1, 2, True, True)
    yield from (SoftmaxProblem((3, 5, 2, 7), 1, False, direction) for direction in (Pass.FORWARD, Pass.BACKWARD_DATA))
    for shape in SHAPES:
        yield summed(shape, (2, 3))
        yield largest(shape, (2, 3))
        yield largest(shape, (0, 2, 3))


def moving_cases() -> Iterator[ReorderProblem | ShuffleProblem | WindowProblem]:
    halo = ((1, 2), (3, 0))
    for shape in ((3, 17, 5, 7), (2, 33, 1, 1), (1, 3, 11)):
        plain = ReorderProblem(shape)
        strides = tuple(2 * math.prod(shape[i + 1 :]) for i in range(len(shape)))
        yield plain.with_layouts(x=Strided(strides, 3))
        yield plain.with_layouts(y=Strided(strides, 3))
        for block in (8, 1):
            yield plain.with_layouts(y=Blocked(block, halo))
            yield plain.with_layouts(x=Blocked(block, halo))
        yield plain.with_layouts(x=Blocked(8, halo), y=Blocked(8, ((0, 1), (1, 1))))
    for shape in ((17, 3, 3, 3), (33, 17, 1, 1), (3, 1, 5)):
        for block_in in (1, 8):
            yield ReorderProblem(shape).with_layouts(y=Packed(8, block_in, 2, turned=block_in > 1))
    for shape, groups in (((17, 5, 3, 3), 1), ((6, 33, 3, 3), 2)):
        layouts = (Transformed(8, 1, (2, 2), groups=groups, turned=turned) for turned in (False, True))
        yield from (ReorderProblem(shape).with_layouts(y=layout) for layout in layouts)
    for shape, groups in (((3, 18, 5, 7), 3), ((2, 33, 1, 1), 11), ((1, 4, 11), 2), ((2, 3, 3), 1)):
        yield ShuffleProblem(shape, groups)
    yield WindowProblem((3, 17, 5, 7), (0, 0, 2, 1), (3, 17, 8, 11), fill=-2.0)
    yield WindowProblem((2, 33, 11), (0, -3, -2), (2, 30, 5))
    yield WindowProblem((1, 1, 1, 1), (0, 1, 0, 2), (1, 3, 1, 5), fill=1.0)


def table_cases() -> Iterator[ResampleProblem | UnpoolProblem]:
    for shape, axis, out, taps in (((3, 17, 5, 7), 2, 11, 3), ((2, 33, 11), 2, 4, 1), ((1, 3, 1, 1), 1, 5, 2), ((2, 1, 3, 2), 0, 3, 2)):
        yield ResampleProblem(shape, axis, out, taps)
    for shape, size in (((3, 17, 5, 7), (11, 13)), ((1, 3, 1), (4,)), ((2, 33, 2, 1, 2), (3, 2, 5))):
        for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
            yield UnpoolProblem(shape, size, direction)


def all_cases() -> tuple[Problem, ...]:
    return (*conv_cases(), *pool_cases(), *row_cases(), *pointwise_cases(), *matmul_cases(), *moving_cases(), *table_cases())


# How it is run


@dataclass(frozen=True)
class Prepared:
    """A problem in the layouts that an algorithm wants, with its plan and the error factor that the algorithm states."""

    problem: Problem
    plan: Plan
    factor: float | None = None


def prepare(algorithm: Algorithm, problem: Problem, device: DeviceTraits, params: object, layouts: dict | None = None) -> Prepared:
    """`layouts` replace what the algorithm wants: larger halos, slices."""
    wants = {**algorithm.wants(problem, device, params), **(layouts or {})}
    stored = problem.with_layouts(**wants)
    return Prepared(stored, algorithm.plan(stored, device, params), algorithm.error_factor(problem, params))


def check(prepared: Prepared, given: Arrays | None = None, directory: str | None = None) -> None:
    """Runs the plan and compares with the oracle; AssertionError where it differs or memory around the outputs was touched."""
    problem = prepared.problem
    given = given or operands_of(problem)
    packed = {name: problem.layout(name) for name in problem.inputs if isinstance(problem.layout(name), Packed | Transformed)}
    stored = {name: weights_in(given[name].astype(NUMPY[problem.spec(name).dtype]), layout) for name, layout in packed.items()}
    got = run_plan(prepared.plan, problem, given, stored=stored, directory=directory)
    with np.errstate(invalid="ignore"):
        want, bound = expected(problem, given), bounds(problem, given, prepared.factor)
    for name, array in got.items():
        if bound is None:
            np.testing.assert_array_equal(array, want[name].astype(array.dtype), err_msg=f"{problem}: {name}")
        else:
            error = abs(array - want[name])
            assert (error <= bound).all(), f"{problem}: {name} is off by up to {np.nanmax(error)}"


def devices() -> tuple[DeviceTraits, ...]:
    """The device under test, and made-up ones whose kernels run on it too."""
    return traits(), DeviceTraits.cpu(8), DeviceTraits.gpu()

