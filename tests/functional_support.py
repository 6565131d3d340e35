"""What the tests of the public functions share: arrays to and from the device, problems of calls, gradients of graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyopencl as cl
import pyopencl.array as cla

import clconv
import clconv.functional as F
from clconv.algorithms import applicable
from clconv.graph.node import Node, input_node
from clconv.graph.ops import OPS
from clconv.problem import Problem
from clconv.runtime.context import traits_of
from clconv.tensor import TensorSpec


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


def algorithms_for(queue: cl.CommandQueue, problem: Problem) -> list[str]:
    """The names of all algorithms that take the problem on the queue's device."""
    names = [algorithm.name for algorithm in applicable(problem, traits_of(queue.device))]
    assert names, f"{problem}: no algorithm takes it"
    return names


def gradients(
    queue: cl.CommandQueue, function: Callable[..., Node], arrays: Sequence[np.ndarray], dy: np.ndarray, wrt: Sequence[int] | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(y, [d sum(y dy) / d array for those numbered in `wrt`]) of y = function(arrays), by one compiled graph."""
    nodes = [node_of(a, f"x{i}") for i, a in enumerate(arrays)]
    upstream = node_of(dy, "dy")
    y = function(*nodes)
    loss = F.sum(F.mul(y, upstream))
    targets = [nodes[i] for i in (wrt if wrt is not None else range(len(nodes)))]
    run = clconv.compile_graph(clconv.Graph((*nodes, upstream), (y, *clconv.grad(loss, targets))), queue)
    run.poison()
    value, *parts = run(*arrays, dy)
    return value.get(), [part.get() for part in parts]
