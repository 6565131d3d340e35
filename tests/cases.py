"""Cases that all algorithms of a family share, what NumPy says of them, and one way to run any algorithm on any of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from clconv import reference
from clconv.algorithms.base import Algorithm
from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits
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
    SoftmaxProblem,
    UnpoolProblem,
    WindowProblem,
    parse,
)
from clconv.problem.conv import Epilogue
from clconv.tensor import Blocked, Packed, Strided, TensorSpec, Transformed
from tests.support import NUMPY, integers, run_plan, sum_bound, traits, transform_weights, weights_in

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
)  # fmt: skip
MORE_POOLS = (
    "maxpool n1c3i1x1f3x3s2p1:idx", "avgpool n2c1i5x11f3x3s2p1", "avgpool n1c33i7x5f3x3s2p1:nopad", "avgpool n1c3i5x7f3x2s1x2p1,0x0,1d2x1",
    "maxpool n3c3i10x13f2x2", "avgpool n1c17i2x2f2x2", "avgpool n2c3i11x13f3x3s2p1:div7",
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


FUNCTIONS = {
    "add_relu": lambda x, y: [np.maximum(x + y, 0)],
    "sum": lambda x: [x],
    "largest": lambda x: [x],
    "shift_and_index": lambda x, a: [x + a + 1, np.arange(x.size).reshape(x.shape)],
}


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


def moving_cases() -> Iterator[ReorderProblem | WindowProblem]:
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


def kind_of(problem: Problem) -> str:
    """What an algorithm may be written for or not: the pass, the kind of pooling, the sort of layouts that a reorder is between."""
    if isinstance(problem, ReorderProblem):
        layouts = {type(problem.layout(name)).__name__ for name in ("x", "y")} - {"Plain"}
        return next((kind.lower() for kind in ("Blocked", "Packed", "Transformed") if kind in layouts), "strided")
    prefix = f"{problem.kind} " if isinstance(problem, PoolProblem) else ""
    direction = getattr(problem, "direction", None)
    return f"{prefix}{direction.value}" if direction else "all"


# What the oracle says


def operands_of(problem: Problem, seed: int = 0) -> Arrays:
    """Whole numbers; indices of a maximum and outputs of a softmax are what a forward pass gives."""
    rng = np.random.default_rng(seed)
    out = {name: integers(rng, problem.tensors()[name].shape) for name in problem.inputs}
    if isinstance(problem, PoolProblem) and "indices" in out:
        assert problem.geometry is not None
        x = integers(rng, (problem.batch, problem.channels, *problem.size))
        out["indices"] = reference.max_pool(x, problem.geometry)[1]
    if isinstance(problem, ResampleProblem):
        out["sources"] = rng.integers(-1, problem.shape[problem.axis], (problem.out, problem.taps)).astype(np.int32)
    if isinstance(problem, UnpoolProblem):
        out["indices"] = rng.integers(-1, math.prod(problem.size) + 1, problem.shape).astype(np.int32)
    if isinstance(problem, SoftmaxProblem) and "y" in out:
        out["y"] = (reference.log_softmax if problem.log else reference.softmax)(out["y"], problem.axis).astype(np.float32)
    return out


def activated(y: np.ndarray, epilogue: Epilogue, given: Arrays, channel_axis: int) -> np.ndarray:
    bias = given.get("bias")
    if bias is not None:
        y = y + np.asarray(bias, np.float64).reshape(-1, *(1,) * (y.ndim - 1 - channel_axis))
    y = y + given.get("residual", 0)
    return reference.activated(y, *(epilogue.activation or ()))


def expected(problem: Problem, given: Arrays) -> Arrays:
    """All outputs in float64."""
    values: list[np.ndarray]
    if isinstance(problem, ConvProblem):
        values = [_conv(problem, given)]
    elif isinstance(problem, PoolProblem):
        values = _pool(problem, given)
    elif isinstance(problem, MatmulProblem):
        a = given["a"].swapaxes(-1, -2) if problem.transpose_a else given["a"]
        b = given["b"].swapaxes(-1, -2) if problem.transpose_b else given["b"]
        values = [activated(reference.matmul(a, b), problem.epilogue, given, a.ndim - 1)]
    elif isinstance(problem, SoftmaxProblem | LrnProblem):
        values = [_rows(problem, given)]
    elif isinstance(problem, MapProblem):
        values = FUNCTIONS[problem.label](*given.values())
    elif isinstance(problem, ReduceProblem):
        combine = np.max if problem.combine == "max" else np.sum
        terms = FUNCTIONS[problem.label](*(x.astype(np.float64) for x in given.values()))
        values = [combine(np.broadcast_to(r, problem.shape), axis=problem.axes, keepdims=True) for r in terms]
    elif isinstance(problem, WindowProblem):
        values = [_window(problem, given["x"])]
    elif isinstance(problem, ResampleProblem):
        values = [_resample(problem, given)]
    elif isinstance(problem, UnpoolProblem):
        values = [_unpool(problem, given)]
    else:
        assert isinstance(problem, ReorderProblem)
        layout = problem.layout("y")
        is_plain = not isinstance(layout, Packed | Transformed)
        values = [given["x"] if is_plain else weights_in(given["x"].astype(np.float64), layout)]
    return dict(zip(problem.outputs, values, strict=True))


def _conv(problem: ConvProblem, given: Arrays) -> np.ndarray:
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        return reference.conv_backward_weights(given["x"], given["dy"], problem.geometry)
    if problem.direction is Pass.FORWARD:
        y = reference.conv(given["x"], given["w"], None, problem.geometry)
    else:
        y = reference.conv_backward_data(given["dy"], given["w"], problem.geometry, problem.size)
    return activated(y, problem.epilogue, given, 1)


def _pool(problem: PoolProblem, given: Arrays) -> list[np.ndarray]:
    g, size = problem.geometry, problem.size
    forward = problem.direction is Pass.FORWARD
    if g is None:
        if forward:
            return [reference.adaptive_avg_pool(given["x"], problem.out_size)]
        return [reference.adaptive_avg_pool_backward(given["dy"], size)]
    if problem.kind == "max":
        if not forward:
            return [reference.max_pool_backward(given["dy"], given["indices"], size)]
        return list(reference.max_pool(given["x"], g))[: len(problem.outputs)]
    rule = (problem.count_include_pad, problem.divisor)
    return [reference.avg_pool(given["x"], g, *rule) if forward else reference.avg_pool_backward(given["dy"], g, size, *rule)]


def _rows(problem: SoftmaxProblem | LrnProblem, given: Arrays) -> np.ndarray:
    forward = problem.direction is Pass.FORWARD
    if isinstance(problem, LrnProblem):
        rule = (problem.window, problem.alpha, problem.beta, problem.k)
        if forward:
            return reference.local_response_norm(given["x"], *rule)
        return reference.local_response_norm_backward(given["dy"], given["x"], *rule)
    if forward:
        return (reference.log_softmax if problem.log else reference.softmax)(given["x"], problem.axis)
    return (reference.log_softmax_backward if problem.log else reference.softmax_backward)(given["dy"], given["y"], problem.axis)


def _window(problem: WindowProblem, x: np.ndarray) -> np.ndarray:
    y = np.full(problem.out_shape, problem.fill)
    for index in np.ndindex(*problem.out_shape):
        source = tuple(i - b for i, b in zip(index, problem.before, strict=True))
        if all(0 <= i < n for i, n in zip(source, problem.shape, strict=True)):
            y[index] = x[source]
    return y


def _resample(problem: ResampleProblem, given: Arrays) -> np.ndarray:
    x = given["x"].astype(np.float64)
    y = np.zeros(problem.tensors()["y"].shape)
    along = np.moveaxis(y, problem.axis, 0)
    for j, t in np.ndindex(problem.out, problem.taps):
        source = given["sources"][j, t]
        if source >= 0:
            along[j] += given["weights"][j, t] * np.take(x, source, problem.axis)
    return y


def _unpool(problem: UnpoolProblem, given: Arrays) -> np.ndarray:
    if problem.direction is Pass.FORWARD:
        return reference.max_unpool(given["x"], given["indices"], problem.size)
    size = math.prod(problem.size)
    planes, at = given["dy"].reshape(*problem.shape[:2], size), given["indices"].reshape(*problem.shape[:2], -1)
    known = (at >= 0) & (at < size)
    return np.where(known, np.take_along_axis(planes, np.where(known, at, 0), 2), 0.0).reshape(problem.shape)


def conv_terms(problem: ConvProblem) -> int:
    """Terms in the sum of one element of the result."""
    g = problem.geometry
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        return problem.batch * math.prod(problem.output_size)
    channels = problem.channels if problem.direction is Pass.FORWARD else problem.filters
    return channels // g.groups * math.prod(g.kernel) + problem.epilogue.bias + problem.epilogue.residual


def bounds(problem: Problem, given: Arrays, factor: float | None = None) -> np.ndarray | None:
    """The error allowed where the result is rounded: by divisions (2.5 units of OpenCL), exp, log, sqrt, or by an algorithm with an
    `error_factor`. None: bit for bit."""
    magnitude = {name: abs(value) if name != "indices" else value for name, value in given.items()}
    unit = 2.0**-24
    if isinstance(problem, PoolProblem) and problem.kind != "max":
        (y,) = expected(problem, magnitude).values()
        return 5 * unit * y + sum_bound(math.prod(problem.geometry.kernel if problem.geometry else problem.output_size), y)
    if isinstance(problem, LrnProblem):
        # As in a sum of terms that may cancel: |dy| base^-beta, and the product of the other factors' magnitudes.
        x = magnitude["x"]
        straight = reference.local_response_norm(np.ones_like(x), problem.window, problem.alpha, problem.beta, problem.k)
        y = abs(expected(problem, given)[problem.outputs[0]])
        rest = abs(expected(problem, magnitude | {"x": -x})[problem.outputs[0]]) + 2 * magnitude.get("dy", x) * straight
        return 4 * (problem.window + 24) * unit * (rest + 2 * y)
    if isinstance(problem, SoftmaxProblem):
        y, length = expected(problem, given)[problem.outputs[0]], problem.shape[problem.axis]
        if problem.direction is Pass.FORWARD:
            relative = unit * (8 + 2 * 2 * 8 + 2 * math.sqrt(length))  # arguments of exp are at most 8 apart
            return relative * (1 + abs(y)) if problem.log else relative * y
        scale = np.exp(given["y"]) if problem.log else magnitude["y"]
        terms = magnitude["dy"] * (1 if problem.log else scale)
        total = terms.sum(axis=problem.axis, keepdims=True)
        return unit * (2 * math.sqrt(length) + 9 + magnitude["y"]) * (terms + scale * total)
    if isinstance(problem, ReorderProblem) and isinstance(layout := problem.layout("y"), Transformed):
        taps = problem.shape[2:]
        return 2 * sum(taps) * unit * transform_weights(magnitude["x"], layout, magnitudes=True)
    curved = isinstance(problem, ConvProblem) and problem.epilogue.activation in (("hardswish",), ("silu",))
    if isinstance(problem, ConvProblem) and (factor is not None or curved):
        sums = replace(problem, epilogue=replace(problem.epilogue, activation=None))  # whose slope would make them smaller
        with np.errstate(invalid="ignore"):
            (largest,) = (np.nanmax(y) for y in expected(sums, magnitude).values())
        rounding = 12 * unit * largest if curved else 0.0
        return np.full((), (1.5 if curved else 1.0) * (factor or 0.0) * sum_bound(conv_terms(problem), largest) + rounding)
    return None


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

