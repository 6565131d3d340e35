"""The table of `clconv run --list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clconv.graph.trace import Graph
    from clconv.onnx import OnnxNetwork

WIDE = 400
"""Columns of text: a row that loses digits is of no use, least of all in a log."""
PART = "-"


def print_graph(net: OnnxNetwork, shape: tuple[int, ...], queue: Any) -> None:
    """One row a node, and totals; a node that became part of another one has no algorithm of its own. Nothing is built."""
    from rich.console import Console
    from rich.table import Table

    chosen, launches = _chosen(net.trace(shape), queue)
    summary = net.summary(shape)
    table = Table(box=None, pad_edge=False)
    for title in ("node", "operation", "output", "algorithm", "multiply-adds", "parameters"):
        table.add_column(title, justify="right" if title in ("multiply-adds", "parameters") else "left", no_wrap=True)
    merged = False
    for row in summary.rows:
        output, own = "x".join("?" if n < 0 else str(n) for n in row.output_shape), ", ".join(dict.fromkeys(chosen.get(row.name, ())))
        merged |= not own
        operator = net.operators.get(row.name, row.operation)
        table.add_row(row.name, operator, output, own or PART, f"{row.multiply_adds:,}", f"{row.parameters:,}")
    table.add_row("total", "", "", f"{launches} launches", f"{summary.multiply_adds:,}", f"{summary.parameters:,}")
    console = Console(highlight=False, markup=False, width=WIDE)
    console.print(repr(net))
    console.print(table)
    if merged:
        console.print(f"{PART} is part of a neighbour's kernel, or moves nothing")


def _chosen(graph: Graph, queue: Any) -> tuple[dict[str, list[str]], int]:
    """The algorithms by node, "host" where the host computes, and how many launches there are."""
    from clconv.graph.assembly import Assembly, Options
    from clconv.graph.stages import HostStage, stages
    from clconv.problem import ReorderProblem
    from clconv.runtime.context import device_of, traits_of
    from clconv.tensor import PLAIN

    chosen: dict[str, list[str]] = {}
    launches, traits = 0, traits_of(device_of(queue))
    for stage in stages(graph):
        if isinstance(stage, HostStage):
            chosen |= {node.label: ["host"] for node in stage.nodes}
            continue
        plain = (PLAIN,) * len(stage.graph.inputs), (PLAIN,) * len(stage.graph.outputs)
        assembly = Assembly(stage.graph, traits, Options(), *plain)
        for step in assembly.steps:
            if not step.prepared:
                plan = assembly.plans.get(id(step))
                launches += len(plan.calls) if plan else 1
                names = chosen.setdefault(step.label, [])
                names += [] if isinstance(step.problem, ReorderProblem) else [step.choice.algorithm.name]
    return chosen, launches
