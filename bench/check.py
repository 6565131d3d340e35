"""Random operands for a problem, what the NumPy reference makes of them, and the error that rounding may leave."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from clconv import reference
from clconv.problem import ConvProblem, Pass, PoolProblem
from clconv.tuning.check import HALF_ULP, SMALLEST_HALF, activated, loosened, sum_bound


def random_operands(problem: ConvProblem | PoolProblem, seed: int = 0) -> dict[str, np.ndarray]:
    """Normally distributed inputs by operand name, in the problem's element type; indices of a backward max-pooling are real ones."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in problem.inputs:
        spec = problem.tensors()[name]
        if name == "indices":
            assert isinstance(problem, PoolProblem) and problem.geometry
            out[name] = reference.max_pool(pooled_input(problem, seed), problem.geometry)[1]
        else:
            out[name] = rng.standard_normal(spec.shape, np.float32).astype(spec.dtype)
    return out


def pooled_input(problem: PoolProblem, seed: int = 0) -> np.ndarray:
    """What the indices of a backward max-pooling among `random_operands` are the maxima of."""
    return np.random.default_rng((seed, 1)).standard_normal((problem.batch, problem.channels, *problem.size), np.float32)


def error_share(
    problem: ConvProblem | PoolProblem, operands: Mapping[str, np.ndarray], results: Mapping[str, np.ndarray], factor: float | None = None
) -> float:
    """The largest error of `results` as a share of the allowed one; above 1 (or NaN) is wrong. Indices must be equal.

    `factor` is what the algorithm's `error_factor` says: so many times the largest bound of all elements is allowed for each.
    """
    wanted, allowed = expected_conv(problem, operands) if isinstance(problem, ConvProblem) else expected_pool(problem, operands)
    name = problem.outputs[0]
    error = np.abs(results[name].astype(np.float64) - wanted)
    allowed = loosened(allowed, factor)
    if problem.dtype == "float16":
        allowed = allowed + HALF_ULP * np.abs(wanted) + SMALLEST_HALF
    share = np.divide(error, allowed, out=np.where(error == 0, 0.0, np.inf), where=allowed > 0)
    if "indices" in problem.outputs:
        assert isinstance(problem, PoolProblem) and problem.geometry
        if not np.array_equal(results["indices"], reference.max_pool(operands["x"], problem.geometry)[1]):
            return math.inf
    return float(share.max(initial=0.0)) if not np.isnan(share).any() else math.nan


def expected_conv(problem: ConvProblem, operands: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(result, allowed error) of the pass with its epilogue, in float64."""
    g, own = problem.geometry, {name: array.astype(np.float64) for name, array in operands.items()}

    def sums(values: Mapping[str, np.ndarray]) -> np.ndarray:
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return reference.conv_backward_weights(values["x"], values["dy"], g)
        if problem.direction is Pass.BACKWARD_DATA:
            total = reference.conv_backward_data(values["dy"], values["w"], g, problem.size)
        else:
            total = reference.conv(values["x"], values["w"], None, g)
        if "bias" in values:
            total = total + values["bias"].reshape(-1, *(1,) * g.rank)
        return total + values["residual"] if "residual" in values else total

    result = sums(own)
    allowed = sum_bound(_terms(problem), sums({name: np.abs(array) for name, array in own.items()}))
    return activated(problem, result, allowed)


def _terms(problem: ConvProblem) -> int:
    g = problem.geometry
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        return problem.batch * math.prod(problem.output_size)
    channels = problem.channels if problem.direction is Pass.FORWARD else problem.filters
    return channels // g.groups * math.prod(g.kernel) + problem.epilogue.bias + problem.epilogue.residual


def expected_pool(problem: PoolProblem, operands: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(result, allowed error) of a pooling pass, in float64; maxima and their positions must be exact."""
    g = problem.geometry
    assert g is not None, "adaptive pooling has no text form"
    own = {name: array.astype(np.float64) for name, array in operands.items() if name != "indices"}
    options = (problem.count_include_pad, problem.divisor)
    window = math.prod(g.kernel)
    if problem.direction is Pass.FORWARD:
        if problem.kind == "max":
            best = reference.max_pool(own["x"], g)[0]
            return best, np.zeros_like(best)
        return reference.avg_pool(own["x"], g, *options), sum_bound(window, reference.avg_pool(np.abs(own["x"]), g, *options))
    dy = own["dy"]
    if problem.kind == "max":
        indices = operands["indices"]
        magnitude = reference.max_pool_backward(np.abs(dy), indices, problem.size)
        return reference.max_pool_backward(dy, indices, problem.size), sum_bound(window, magnitude)
    magnitude = reference.avg_pool_backward(np.abs(dy), g, problem.size, *options)
    return reference.avg_pool_backward(dy, g, problem.size, *options), sum_bound(window, magnitude)
