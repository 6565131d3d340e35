"""Whether a candidate's result is right: random operands, a sample of it by the NumPy reference, and the whole against a trusted kernel.

The reference takes seconds for a large layer, so it computes some output channels of some images only, the first and the last among them,
over all positions. The whole result is compared with that of the plainest algorithm, which the same sample has to confirm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clconv import reference
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, MatmulProblem, Pass, PoolProblem, Problem

Arrays = Mapping[str, np.ndarray]
HALF_ULP, SMALLEST_HALF = 2.0**-11, 2.0**-25
SAMPLED_MULTIPLY_ADDS = 60e6
MOST_SAMPLED = 4
# The largest slopes of activations that are computed in several steps.
STEEPEST = {"hardswish": 1.5, "silu": 1.1}


@dataclass(frozen=True)
class Sample:
    """Part `index` of output `name` as it should be, and the error that rounding may leave."""

    name: str
    index: tuple[Any, ...]
    wanted: np.ndarray
    allowed: np.ndarray


def random_operands(problem: Problem, seed: int = 0) -> dict[str, np.ndarray]:
    """Normally distributed inputs by operand name; the indices of a backward max-pooling are those of a forward one."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in problem.inputs:
        spec = problem.tensors()[name]
        if name == "indices":
            assert isinstance(problem, PoolProblem) and problem.geometry
            x = rng.standard_normal((problem.batch, problem.channels, *problem.size), np.float32)
            out[name] = reference.max_pool(x, problem.geometry)[1]
        else:
            out[name] = rng.standard_normal(spec.shape, np.float32).astype(spec.dtype)
    return out


def sum_bound(terms: int, magnitude: np.ndarray) -> np.ndarray:
    """2 sqrt(K) 2^-24 sum |x w|: what a float32 sum of `terms` products may be off."""
    return 2 * math.sqrt(terms) * 2.0**-24 * magnitude


def terms_of(problem: Problem) -> int:
    """Products in one element of the output."""
    if isinstance(problem, MatmulProblem):
        return problem.k + problem.epilogue.bias + problem.epilogue.residual
    if isinstance(problem, PoolProblem):
        return max(1, problem.multiply_adds // max(1, problem.batch * problem.channels * math.prod(problem.output_size)))
    assert isinstance(problem, ConvProblem)
    g = problem.geometry
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        return problem.batch * math.prod(problem.output_size)
    channels = problem.channels if problem.direction is Pass.FORWARD else problem.filters
    return channels // g.groups * math.prod(g.kernel) + problem.epilogue.bias + problem.epilogue.residual


def magnitudes(operands: Arrays) -> dict[str, np.ndarray]:
    """Operands whose results are the sums of |x w|."""
    return {name: array if array.dtype.kind == "i" else np.abs(array) for name, array in operands.items()}


def without_activation(problem: Problem) -> Problem:
    if isinstance(problem, ConvProblem | MatmulProblem):
        return replace(problem, epilogue=replace(problem.epilogue, activation=None))
    return problem


def samples(problem: Problem, operands: Arrays) -> Iterator[Sample]:
    """Parts of the result, by the reference."""
    for (name, index, wanted), (_, _, magnitude) in zip(parts(problem, operands), parts(problem, magnitudes(operands)), strict=True):
        exact = isinstance(problem, PoolProblem) and problem.kind == "max" and problem.direction is Pass.FORWARD
        allowed = np.zeros_like(wanted) if exact else sum_bound(terms_of(problem), magnitude)
        wanted, allowed = activated(problem, wanted, allowed)
        yield Sample(name, index, wanted, allowed)


def activated(problem: Problem, sums: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and their allowed error after the problem's activation."""
    activation = problem.epilogue.activation if isinstance(problem, ConvProblem | MatmulProblem) else None
    if activation is None:
        return sums, allowed
    name, *numbers = activation
    steepest = max(1.0, abs(numbers[0])) if name == "leaky_relu" else STEEPEST.get(name, 1.0)
    wanted = reference.activated(sums, name, *numbers)
    rounding = 2.0**-22 * np.abs(sums) if name in STEEPEST else 0.0
    return wanted, steepest * allowed + rounding


def loosened(allowed: np.ndarray, factor: float | None) -> np.ndarray:
    """The error that an algorithm with this `error_factor` may make, from that of plain sums."""
    return allowed if factor is None else np.full_like(allowed, factor * allowed.max(initial=0.0))


def spread_out(count: int, cost: float) -> list[int]:
    """Some of range(count), first and last among them where `cost` multiply-adds each allow."""
    most = min(count, MOST_SAMPLED, max(1, int(SAMPLED_MULTIPLY_ADDS / max(cost, 1))))
    return sorted({round(i * (count - 1) / max(1, most - 1)) if most > 1 else count - 1 for i in range(most)})


Part = tuple[str, tuple[Any, ...], np.ndarray]


def parts(problem: Problem, operands: Arrays) -> Iterator[Part]:
    """(output, index, sums) of a sample; UnsupportedError for other kinds of problems."""
    if isinstance(problem, ConvProblem):
        return _conv_parts(problem, operands)
    if isinstance(problem, PoolProblem):
        return _pool_parts(problem, operands)
    if isinstance(problem, MatmulProblem):
        return _matmul_parts(problem, operands)
    raise UnsupportedError(f"{problem}: only convolutions, pooling and matrix products are checked, got {type(problem).__name__}")


def _conv_parts(problem: ConvProblem, operands: Arrays) -> Iterator[Part]:
    """Some output channels of the first and the last group and image (of all images for the gradient of the weights)."""
    g, name = problem.geometry, problem.outputs[0]
    filters, channels = problem.filters // g.groups, problem.channels // g.groups
    dense = replace(g, groups=1)
    own = channels if problem.direction is Pass.BACKWARD_DATA else filters
    cost = problem.multiply_adds / (g.groups * own)
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        for group in sorted({0, g.groups - 1}):
            x = operands["x"][:, group * channels : (group + 1) * channels]
            outs = [group * filters + k for k in spread_out(filters, cost)]
            yield name, (outs,), reference.conv_backward_weights(x, operands["dy"][:, outs], dense)
        return
    forward = problem.direction is Pass.FORWARD
    for image in sorted({0, problem.batch - 1}):
        for group in sorted({0, g.groups - 1}):
            picked = spread_out(own, cost / problem.batch)
            outs = [group * own + k for k in picked]
            w = operands["w"][group * filters : (group + 1) * filters]
            if forward:
                x = operands["x"][image : image + 1, group * channels : (group + 1) * channels]
                total = reference.conv(x, w[picked], None, dense)
            else:
                dy = operands["dy"][image : image + 1, group * filters : (group + 1) * filters]
                total = reference.conv_backward_data(dy, w[:, picked], dense, problem.size)
            if "bias" in operands:
                total = total + operands["bias"][outs].astype(np.float64).reshape(-1, *(1,) * g.rank)
            if "residual" in operands:
                total = total + operands["residual"][image : image + 1][:, outs]
            yield name, (slice(image, image + 1), outs), total


def _pool_parts(problem: PoolProblem, operands: Arrays) -> Iterator[Part]:
    """Some channels of the first and the last image."""
    g, options = problem.geometry, (problem.count_include_pad, problem.divisor)
    picked = spread_out(problem.channels, problem.multiply_adds / max(1, problem.batch * problem.channels))
    for image in sorted({0, problem.batch - 1}):
        index = (slice(image, image + 1), picked)
        own = {name: array[image : image + 1][:, picked] for name, array in operands.items()}
        if problem.direction is Pass.BACKWARD_DATA:
            if g is None:
                yield "dx", index, reference.adaptive_avg_pool_backward(own["dy"], problem.size)
            elif problem.kind == "max":
                yield "dx", index, reference.max_pool_backward(own["dy"], own["indices"], problem.size)
            else:
                yield "dx", index, reference.avg_pool_backward(own["dy"], g, problem.size, *options)
        elif g is None:
            yield "y", index, reference.adaptive_avg_pool(own["x"], problem.out_size)
        elif problem.kind == "max":
            best, indices = reference.max_pool(own["x"], g)
            yield "y", index, best
            if problem.with_indices:
                yield "indices", index, indices
        else:
            yield "y", index, reference.avg_pool(own["x"], g, *options)


def _matmul_parts(problem: MatmulProblem, operands: Arrays) -> Iterator[Part]:
    """Some columns of the first and the last product."""
    columns = spread_out(problem.n, problem.multiply_adds / max(1, problem.batch * problem.n))
    batched = problem.batch != 1
    for i in sorted({0, problem.batch - 1}):
        a, b = (operands[name][i] if batched else operands[name] for name in "ab")
        total = reference.matmul(a.T if problem.transpose_a else a, (b[columns].T if problem.transpose_b else b[:, columns]))
        if "bias" in operands:
            total = total + operands["bias"][columns]
        if "residual" in operands:
            total = total + (operands["residual"][i] if batched else operands["residual"])[:, columns]
        yield ("y", (slice(i, i + 1), slice(None), columns), total[None]) if batched else ("y", (slice(None), columns), total)


def error_share(got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray, dtype: str) -> float:
    """The largest error as a share of the allowed one; above 1, or NaN, is wrong."""
    wanted = wanted.astype(np.float64)
    error = np.abs(got.astype(np.float64) - wanted)
    if dtype == "float16":
        allowed = allowed + HALF_ULP * np.abs(wanted) + SMALLEST_HALF
    share = np.divide(error, allowed, out=np.where(error == 0, 0.0, np.where(np.isnan(error), np.nan, np.inf)), where=allowed > 0)
    return float(share.max(initial=0.0)) if not np.isnan(share).any() else math.nan


class Judge:
    """Checks results for one problem on the same operands.

    `trusted` and `magnitude` are the results of the plainest algorithm on the operands and on their magnitudes, both without the
    activation; without them only the sample is checked.
    """

    def __init__(self, problem: Problem, operands: Arrays, trusted: Arrays | None = None, magnitude: Arrays | None = None) -> None:
        self.problem = problem
        self.samples: Sequence[Sample] = tuple(samples(problem, operands))
        self.trusted, self.magnitude = trusted, magnitude

    def share(self, results: Arrays, factor: float | None = None) -> float:
        """The largest error as a share of the allowed one; above 1, or NaN, is wrong. `factor` is the algorithm's `error_factor`."""
        shares = []
        for sample in self.samples:
            allowed = loosened(sample.allowed, factor)
            shares.append(error_share(results[sample.name][sample.index], sample.wanted, allowed, self._dtype(sample.name)))
        for name, sums in (self.trusted or {}).items():
            allowed = np.zeros(sums.shape)
            if self.magnitude is not None and name != "indices":
                own = sum_bound(terms_of(self.problem), self.magnitude[name].astype(np.float64))
                allowed = own + loosened(own, factor)
            if sums.dtype == np.float16:  # the trusted result is rounded too
                allowed = allowed + HALF_ULP * np.abs(sums.astype(np.float64)) + SMALLEST_HALF
            wanted, allowed = activated(self.problem, sums, allowed)
            shares.append(error_share(results[name], wanted, allowed, self._dtype(name)))
        return math.nan if any(map(math.isnan, shares)) else max(shares, default=0.0)

    def _dtype(self, name: str) -> str:
        return self.problem.tensors()[name].dtype
