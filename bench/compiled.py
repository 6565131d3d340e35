"""One problem as users meet it: a compiled graph of a single operation, plain arrays in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clconv.graph.compile import compile_graph
from clconv.graph.node import Node, input_node
from clconv.graph.ops import make
from clconv.graph.ops.shape import item
from clconv.graph.parameter import Parameter
from clconv.graph.run import Run
from clconv.graph.trace import Graph
from clconv.problem import ConvProblem, Pass, PoolProblem
from clconv.runtime import arrays
from clconv.runtime.context import traits_of

WEIGHTS = ("w", "bias")


def graph_of(problem: ConvProblem | PoolProblem, operands: Mapping[str, np.ndarray]) -> Graph:
    """The graph whose only operation is `problem`: weights and bias are parameters (packed once), all else comes in with each call."""
    fixed = WEIGHTS if isinstance(problem, ConvProblem) and problem.dtype == "float32" else ()
    nodes = {
        name: Parameter(operands[name]).node if name in fixed else input_node(name, problem.spec(name)) for name in problem.inputs
    }  # fmt: skip
    for name in fixed:
        if name in nodes:
            nodes[name]["parameter"].name = name
    outputs = _conv(problem, nodes) if isinstance(problem, ConvProblem) else _pool(problem, nodes)
    return Graph(tuple(node for name, node in nodes.items() if name not in fixed), outputs)


def _conv(problem: ConvProblem, nodes: Mapping[str, Node]) -> tuple[Node, ...]:
    attributes: dict[str, Any] = {"geometry": problem.geometry, "direction": problem.direction, "transposed": problem.transposed}
    if problem.direction is Pass.BACKWARD_DATA:
        attributes["size"] = problem.size
    epilogue = problem.epilogue
    attributes |= {"bias": epilogue.bias, "residual": epilogue.residual, "activation": epilogue.activation}
    return (make("conv", *nodes.values(), **attributes),)


def _pool(problem: PoolProblem, nodes: Mapping[str, Node]) -> tuple[Node, ...]:
    attributes: dict[str, Any] = {
        "kind": problem.kind, "geometry": problem.geometry, "out_size": problem.out_size,
        "count_include_pad": problem.count_include_pad, "divisor": problem.divisor,
    }  # fmt: skip
    if problem.direction is Pass.BACKWARD_DATA:
        shape = (problem.batch, problem.channels, *problem.size)
        return (make("pool_backward", *nodes.values(), x_shape=shape, **attributes),)
    node = make("pool", *nodes.values(), with_indices=problem.with_indices, **attributes)
    return (item(node, 0), item(node, 1)) if problem.with_indices else (node,)


def error_factor(run: Run) -> float | None:
    """The largest `error_factor` of the algorithms that run at each call; None if all are straight sums."""
    factors = [step.choice.algorithm.error_factor(step.problem, step.choice.params) for step in run.steps if not step.prepared]
    return max((factor for factor in factors if factor is not None), default=None)


def algorithms(run: Run) -> str:
    """What runs at each call, in order."""
    return ", ".join(step.choice.algorithm.name for step in run.steps if not step.prepared)


class Compiled:
    """The compiled problem on arrays of its own; a call runs it and waits. The result's memory is used again."""

    def __init__(
        self, problem: ConvProblem | PoolProblem, queue: Any, operands: Mapping[str, np.ndarray], directory: str | None = None
    ) -> None:
        graph = graph_of(problem, operands)
        self.run: Run = compile_graph(graph, queue, kernels=directory, persistent=traits_of(queue.device).sleeps_between_launches)
        self.queue = queue
        self.inputs = [arrays.to_device(operands[n["name"]], n.spec, queue, n["name"]) for n in graph.inputs]
        self.outputs = tuple(arrays.empty(queue, node.shape, node.dtype) for node in graph.outputs)

    def __call__(self) -> None:
        self.run(*self.inputs, out=self.outputs)
        self.queue.finish()

    def results(self) -> list[np.ndarray]:
        return [arrays.to_host(array) for array in self.outputs]
