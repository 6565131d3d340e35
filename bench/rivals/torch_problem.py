"""One convolution or pooling, forward or backward, in PyTorch. Gradients are those of autograd, with the forward pass done beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from clconv.bench.check import pooled_input
from clconv.bench.rivals import ProblemJob
from clconv.bench.rivals.torch_conv import average_pool, conv, conv_transpose, max_pool
from clconv.bench.rivals.torch_graph import activation
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass, PoolProblem

Prepared = tuple[Callable[[], object], Callable[[], list[np.ndarray]]]


def prepared(job: ProblemJob) -> Prepared:
    """(run, results) of the job; results are in the order of the problem's outputs."""
    problem = job.problem
    if problem.dtype != "float32":
        raise UnsupportedError(f"--against torch: {problem}: rivals are measured in float32 only")
    operands = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in job.operands.items()}
    call = _convolution(problem, operands) if isinstance(problem, ConvProblem) else _pooling(problem, operands)
    latest: list[Any] = []

    def run() -> None:
        value = call()
        latest[:] = value if isinstance(value, tuple) else (value,)

    return run, lambda: [value.detach().numpy() for value in latest]


def _without_gradients(call: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with torch.inference_mode():
            return call()

    return run


def _convolution(problem: ConvProblem, operands: dict[str, Any]) -> Callable[[], Any]:
    g, w = problem.geometry, operands.get("w")
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        return _gradient(conv(g), operands["x"], torch.zeros(problem.w_shape), operands["dy"], of_weights=True)
    if problem.direction is Pass.BACKWARD_DATA and not problem.transposed:
        return _gradient(conv(g), torch.zeros(problem.x_shape), w, operands["dy"], of_weights=False)
    if problem.direction is Pass.FORWARD:
        x, call = operands["x"], conv(g)
    else:
        x, call = operands["dy"], conv_transpose(g, problem.size, problem.output_size)
    bias, residual, activate = operands.get("bias"), operands.get("residual"), activation(problem.epilogue.activation)

    def forward() -> Any:
        y = call(x, w, bias)
        return activate(y if residual is None else y.add_(residual))

    return _without_gradients(forward)


def _gradient(call: Callable[..., Any], x: Any, w: Any, dy: Any, of_weights: bool) -> Callable[[], Any]:
    wanted = (w if of_weights else x).requires_grad_()
    y = call(x, w)
    return lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)


def _pooling(problem: PoolProblem, operands: dict[str, Any]) -> Callable[[], Any]:
    g = problem.geometry
    if g is None:
        raise UnsupportedError(f"--against torch: {problem}: adaptive pooling is not among the layers compared")
    if problem.kind == "max":
        call = max_pool(g, problem.with_indices)
    else:
        call = average_pool(g, problem.count_include_pad, problem.divisor)
    if problem.direction is Pass.FORWARD:
        x = operands["x"]
        return _without_gradients(lambda: call(x))
    x = torch.from_numpy(pooled_input(problem)).requires_grad_()
    y, dy = call(x), operands["dy"]
    return lambda: torch.autograd.grad(y, x, dy, retain_graph=True)
