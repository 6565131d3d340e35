"""What the tests of the public functions share: arrays to and from the device, problems of calls, gradients of graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv.algorithms import applicable, for_problem
from clconv.geometry import ConvGeometry
from clconv.graph.node import Node, input_node
from clconv.graph.ops import OPS
from clconv.problem import Problem, parse
from clconv.runtime.context import traits_of
from clconv.tensor import TensorSpec
from tests.cases import bounds
from tests.support import integers


def send(queue: cl.CommandQueue, array: np.ndarray) -> cla.Array:
    """`array` on the device, contiguous, in float32 unless it is of half precision or of whole numbers already."""
    array = np.asarray(array)
    kept = array.dtype in (np.float16, np.int32)
    return cla.to_device(queue, np.ascontiguousarray(array if kept else array.astype(np.float32)))


def exactly(result: cla.Array, expected: np.ndarray, dtype: type = np.float32) -> None:
    """Every bit of every element, and the shape: for whole numbers, whose sums are exact."""
    assert result.dtype == dtype
    assert result.shape == np.shape(expected)
    np.testing.assert_array_equal(result.get(), np.asarray(expected).astype(dtype))


def within(result: cla.Array | np.ndarray, expected: np.ndarray, bound: np.ndarray | float) -> None:
    """|result - expected| <= bound, element by element; `bound` is what float32 arithmetic may lose."""
    got = np.asarray(result.get() if isinstance(result, cla.Array) else result, np.float64)
    assert got.shape == np.shape(expected)
    error = np.abs(got - expected)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error) - bound), error.shape) if error.size else ()
    assert np.all(error <= bound), f"at {worst}: {got[worst]} for {np.asarray(expected)[worst]}, error {error[worst]}"


def factor_of(queue: cl.CommandQueue, problem: Problem, algorithm: str) -> float | None:
    """The error factor of the algorithm with its defaults."""
    traits = traits_of(queue.device)
    entry = next(a for a in applicable(problem, traits) if a.name == algorithm)
    return entry.error_factor(problem, entry.defaults(problem, traits))


def loosened(bound: np.ndarray, queue: cl.CommandQueue, problem: Problem, algorithm: str) -> np.ndarray:
    """The bound of straight sums as it is, or that of an algorithm with an error factor."""
    factor = factor_of(queue, problem, algorithm)
    return bound if factor is None else np.full_like(bound, factor * bound.max())


def right(
    result: cla.Array, expected: np.ndarray, queue: cl.CommandQueue, problem: Problem, algorithm: str, operands: Sequence[np.ndarray]
) -> None:
    """Bit for bit, or within the error that the algorithm states; `operands` are those of the problem, in order."""
    factor = factor_of(queue, problem, algorithm)
    if factor is None:
        exactly(result, expected)
    else:
        allowed = bounds(problem, dict(zip(problem.inputs, operands, strict=True)), factor)
        assert allowed is not None
        within(result, expected, allowed)


def node_of(array: np.ndarray, name: str = "x") -> Node:
    """A graph input for an array like this one."""
    dtype = {"f": "float32", "e": "float16", "i": "int32"}[array.dtype.char]
    return input_node(name, TensorSpec(array.shape, dtype))


def as_nodes(arguments: Sequence[object]) -> list[object]:
    return [node_of(a, f"x{i}") if isinstance(a, np.ndarray) else a for i, a in enumerate(arguments)]


def problem_of_call(function: Callable[..., Node], *arguments: object, **keywords: object) -> Problem:
    """The problem that a call with arrays of these shapes asks to be solved."""
    named = {key: node_of(value, key) if isinstance(value, np.ndarray) else value for key, value in keywords.items()}
    node = function(*as_nodes(arguments), **named)
    return OPS[node.op].lower(node).problem


def meant_for_others(queue: cl.CommandQueue) -> set[str]:
    """Convolution algorithms that are shaped for other kinds of devices, and run on this one only where they are asked for by name."""
    usual, traits = parse("n1c8i9x9k8f3x3p1"), traits_of(queue.device)
    return {a.name for a in for_problem(usual) if a.why_not(usual, traits) != a.why_not_forced(usual, traits)}


def algorithms_for(queue: cl.CommandQueue, problem: Problem) -> list[str]:
    """The names of all algorithms that take the problem on the queue's device."""
    names = [algorithm.name for algorithm in applicable(problem, traits_of(queue.device))]
    assert names, f"{problem}: no algorithm takes it"
    return names


def gradients(
    queue: cl.CommandQueue, function: Callable[..., Node], arrays: Sequence[np.ndarray], dy: np.ndarray, wrt: Sequence[int] | None = None
) -> list[np.ndarray]:
    """[d sum(y dy) / d array for those numbered in `wrt`, else for all] of y = function(arrays), by one compiled graph."""
    nodes = [node_of(a, f"x{i}") for i, a in enumerate(arrays)]
    upstream = node_of(dy, "dy")
    loss = F.sum(F.mul(function(*nodes), upstream))
    targets = [nodes[i] for i in (wrt if wrt is not None else range(len(nodes)))]
    run = clconv.compile_graph(clconv.Graph((*nodes, upstream), tuple(clconv.grad(loss, targets))), queue)
    run.poison()
    parts = run(*arrays, dy)
    return [part.get() for part in (parts if isinstance(parts, tuple) else (parts,))]


CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def numbers(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


@dataclass(frozen=True)
class Conv:
    """A call of conv*d or conv_transpose*d: x, w by shape, then the keywords."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    keywords: dict[str, Any] = field(default_factory=dict)
    bias: bool = False
    residual: bool = False

    @property
    def rank(self) -> int:
        return len(self.w) - 2

    def geometry(self) -> ConvGeometry:
        k = self.keywords
        return ConvGeometry.make(
            self.w[2:], k.get("stride", 1), k.get("padding", 0), k.get("dilation", 1), k.get("groups", 1), k.get("output_padding", 0),
            input_size=self.x[2:],
        )  # fmt: skip

    def arrays(self) -> dict[str, np.ndarray]:
        rng = numbers(*self.x, *self.w)
        out = {"input": integers(rng, self.x), "weight": integers(rng, self.w)}
        if self.bias:
            channels = self.w[1] * self.geometry().groups if "output_padding" in self.keywords else self.w[0]
            out["bias"] = integers(rng, (channels,), 40)
        if self.residual:
            out["residual"] = integers(rng, (self.x[0], self.w[0], *self.geometry().output_size(self.x[2:])), 40)
        return out


CONVS = {
    "1d": Conv((3, 3, 17), (5, 3, 3), {"padding": 1}, bias=True),
    "1d_dilated": Conv((2, 4, 19), (6, 2, 4), {"stride": 3, "dilation": 2, "groups": 2, "padding": "valid"}),
    "odd_channels": Conv((2, 17, 9, 7), (33, 17, 3, 3), {"padding": 1, "activation": "relu"}, bias=True),
    "one_sided": Conv(
        (1, 3, 8, 9), (5, 3, 2, 3),
        {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (1, 2), "activation": ("leaky_relu", 0.25)}, residual=True,
    ),
    "pointwise": Conv((3, 1, 5, 5), (1, 1, 1, 1), {"stride": 2}),
    "same": Conv((1, 2, 11, 13), (3, 2, 5, 4), {"stride": 2, "padding": "same"}, bias=True, residual=True),
    "wide": Conv((2, 3, 4, 5), (3, 3, 3, 3), {"padding": "full", "flip_kernel": True}),
    "groups": Conv((1, 32, 5, 6), (32, 16, 3, 3), {"padding": (1, 0), "groups": 2}),
    "depthwise": Conv((2, 3, 7, 6), (3, 1, 3, 3), {"padding": 1, "groups": 3}, bias=True),
    "sparse": Conv((2, 3, 8, 11), (3, 3, 2, 2), {"stride": 3}),
    "one_pixel": Conv((3, 3, 1, 1), (3, 3, 3, 3), {"padding": 1}),
    "3d": Conv((2, 3, 5, 6, 7), (4, 3, 3, 3, 3), {"stride": 2, "padding": 1, "activation": "relu"}, bias=True, residual=True),
    "3d_groups": Conv((1, 6, 3, 5, 6), (3, 2, 1, 2, 3), {"padding": "same", "groups": 3, "dilation": (1, 2, 1)}),
}  # fmt: skip

RARE = {"1d_dilated", "one_sided", "same", "pointwise", "sparse", "3d_groups", "2d_sparse", "2d_dilated"}
"""Cases near others, which a default run leaves out: kernels are built for each of them."""


def often_and_rarely(names: Iterable[str]) -> list[object]:
    return [pytest.param(name, marks=pytest.mark.exhaustive if name in RARE else ()) for name in names]


TRANSPOSES = {
    "1d": Conv((2, 3, 7), (3, 5, 4), {"stride": 2, "padding": 1, "output_padding": 1, "activation": "relu"}, bias=True),
    "2d": Conv(
        (2, 4, 5, 4), (4, 3, 3, 3), {"stride": (2, 1), "padding": ((1, 0), (1, 0)), "output_padding": (1, 0), "groups": 2}, bias=True,
    ),
    "2d_dilated": Conv(
        (1, 5, 5, 6), (5, 3, 2, 3), {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (1, 2), "output_padding": 0},
    ),
    "2d_sparse": Conv((1, 3, 3, 4), (3, 3, 2, 2), {"stride": 3, "output_padding": 0}),
    "3d": Conv((1, 2, 3, 2, 3), (2, 3, 3, 2, 3), {"stride": (1, 2, 2), "padding": (1, 0, 1), "output_padding": (0, 1, 0)}),
}  # fmt: skip
