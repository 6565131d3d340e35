"""Whole numbers for any problem, what the NumPy reference makes of them, and the error that rounding may leave: mostly none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from clconv import reference
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
from clconv.problem.conv import Epilogue
from clconv.tensor import Packed, Transformed
from clconv.tuning.check import Arrays, sum_bound, terms_of
from clconv.tuning.packed import transform_weights, weights_in

FUNCTIONS: dict[str, Callable[..., list[np.ndarray]]] = {
    "add_relu": lambda x, y: [np.maximum(x + y, 0)],
    "sum": lambda x: [x],
    "largest": lambda x: [x],
    "shift_and_index": lambda x, a: [x + a + 1, np.arange(x.size).reshape(x.shape)],
}
"""What element-wise maps and reductions with these labels compute; a label names the expressions of one problem."""


def integers(rng: np.random.Generator, shape: tuple[int, ...], most: int = 4) -> np.ndarray:
    """Whole numbers in float32: sums of their products are exact, so results must match bit for bit."""
    return rng.integers(-most, most + 1, shape).astype(np.float32)


def operands_of(problem: Problem, seed: int = 0) -> dict[str, np.ndarray]:
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


def _activated(y: np.ndarray, epilogue: Epilogue, given: Arrays, channel_axis: int) -> np.ndarray:
    bias = given.get("bias")
    if bias is not None:
        y = y + np.asarray(bias, np.float64).reshape(-1, *(1,) * (y.ndim - 1 - channel_axis))
    y = y + given.get("residual", 0)
    return reference.activated(y, *(epilogue.activation or ()))


def expected(problem: Problem, given: Arrays) -> dict[str, np.ndarray]:
    """All outputs in float64."""
    values: list[np.ndarray]
    if isinstance(problem, ConvProblem):
        values = [_conv(problem, given)]
    elif isinstance(problem, PoolProblem):
        values = _pool(problem, given)
    elif isinstance(problem, MatmulProblem):
        a = given["a"].swapaxes(-1, -2) if problem.transpose_a else given["a"]
        b = given["b"].swapaxes(-1, -2) if problem.transpose_b else given["b"]
        values = [_activated(reference.matmul(a, b), problem.epilogue, given, a.ndim - 1)]
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
    elif isinstance(problem, ShuffleProblem):
        batch, channels, *size = problem.shape
        grouped = given["x"].reshape(batch, problem.groups, channels // problem.groups, *size)
        values = [grouped.swapaxes(1, 2).reshape(problem.shape)]
    elif isinstance(problem, UnpoolProblem):
        values = [_unpool(problem, given)]
    else:
        assert isinstance(problem, ReorderProblem)
        layout = problem.layout("y")
        values = [weights_in(given["x"].astype(np.float64), layout) if isinstance(layout, Packed | Transformed) else given["x"]]
    return dict(zip(problem.outputs, values, strict=True))


def _conv(problem: ConvProblem, given: Arrays) -> np.ndarray:
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        return reference.conv_backward_weights(given["x"], given["dy"], problem.geometry)
    if problem.direction is Pass.FORWARD:
        y = reference.conv(given["x"], given["w"], None, problem.geometry)
    else:
        y = reference.conv_backward_data(given["dy"], given["w"], problem.geometry, problem.size)
    return _activated(y, problem.epilogue, given, 1)


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
        both: list[np.ndarray] = [*reference.max_pool(given["x"], g)]
        return both[: len(problem.outputs)]
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
        return np.full((), (1.5 if curved else 1.0) * (factor or 0.0) * sum_bound(terms_of(problem), largest) + rounding)
    return None
