"""A graph with host nodes cut into stages: what one device run computes, and what the host computes between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clconv.errors import GeometryError
from clconv.graph.node import SOURCES, Node, input_node, topological
from clconv.graph.ops.host import on_device
from clconv.graph.parameter import Parameter
from clconv.graph.trace import Graph

Levels = Mapping[int, int | None]
Updates = tuple[tuple[Parameter, Node], ...]


@dataclass(frozen=True)
class DeviceStage:
    """A graph of its own. Its inputs stand for the nodes `reads` of the whole graph, its outputs for `gives`."""

    graph: Graph
    reads: tuple[Node, ...]
    gives: tuple[Node, ...]


@dataclass(frozen=True)
class HostStage:
    """Host nodes, each after those that it reads."""

    nodes: tuple[Node, ...]


Stage = DeviceStage | HostStage


def has_host_part(graph: Graph) -> bool:
    """Whether the host computes something in it, or holds an input of a type that no kernel knows."""
    return any(node.op == "host" or not on_device(node.spec) for node in (*graph.inputs, *_order(graph)))


def stages(graph: Graph) -> list[Stage]:
    """What to run, in order. A value is computed in the first stage that can; what depends on parameters alone, in each that reads it.

    New values of parameters are written by the last device stage, so that all of a run sees the old ones.
    Raises GeometryError where a kernel would have to read what only the host can hold.
    """
    order = _order(graph)
    _check_readable(order)
    levels = _levels(order)
    known = [level for level in levels.values() if level is not None]
    last = max((level for level in known if level % 2 == 0), default=0)
    found: list[Stage] = []
    for level in range(max(known, default=0) + 1):
        if level % 2:
            found.append(HostStage(tuple(node for node in order if levels[id(node)] == level and node.op == "host")))
        else:
            stage = _device_stage(order, levels, level, _given(graph, order, levels, level), graph.updates if level == last else ())
            found += [stage] if stage.gives or stage.graph.updates else []
    return found


def _order(graph: Graph) -> list[Node]:
    return topological((*graph.outputs, *(node for _, node in graph.updates)))


def is_host(node: Node) -> bool:
    """Whether the host computes its value."""
    return node.op == "host" or (node.op == "item" and node.inputs[0].op == "host")


def _levels(order: Sequence[Node]) -> Levels:
    """The stage of each node, even on a device and odd on the host; None for what depends on parameters alone."""
    levels: dict[int, int | None] = {}
    for node in order:
        known = [level for source in node.inputs if (level := levels[id(source)]) is not None]
        if is_host(node):
            levels[id(node)] = max(known, default=0) | 1
        elif known or node.op == "input":
            levels[id(node)] = (max(known, default=0) + 1) // 2 * 2
        else:
            levels[id(node)] = None
    return levels


def _check_readable(order: Sequence[Node]) -> None:
    for node in order:
        for source in node.inputs if not is_host(node) else ():
            if not on_device(source.spec):
                raise GeometryError(
                    f"{node.label or node.op}: reads {source.label or source.op}, which holds {source.dtype} of shape {source.shape} on "
                    "the host; a kernel takes float32, float16 and int32 of known sizes"
                )


def _given(graph: Graph, order: Sequence[Node], levels: Levels, level: int) -> tuple[Node, ...]:
    """The device's nodes of this level that others read, or callers. The first also gives what depends on parameters alone."""
    wanted = {id(node) for node in graph.outputs if on_device(node.spec)}
    wanted |= {id(node) for _, node in graph.updates if levels[id(node)] is not None}
    kept = set(wanted)
    for node in order:
        for source in node.inputs:
            if source.op not in SOURCES and (is_host(node) or levels[id(source)] not in (levels[id(node)], None)):
                kept.add(id(source))
    here = (level, None) if level == 0 else (level,)
    return tuple(node for node in order if id(node) in kept and levels[id(node)] in here and not is_host(node))


def _device_stage(order: Sequence[Node], levels: Levels, level: int, gives: tuple[Node, ...], updates: Updates) -> DeviceStage:
    """The graph that makes `gives` of what earlier stages gave: their values, and the inputs of the whole, are its inputs."""
    needed = {id(node) for node in (*gives, *(node for _, node in updates))}
    for node in reversed(order):
        if id(node) in needed and levels[id(node)] in (level, None):
            needed.update(id(source) for source in node.inputs)
    reads: list[Node] = []
    made: dict[int, Node] = {}
    for node in order:
        if id(node) not in needed:
            continue
        if node.op == "input":
            made[id(node)] = node
        elif levels[id(node)] not in (level, None):
            made[id(node)] = input_node(f"{node.label or node.op} ({len(reads)})", node.spec)
        else:
            sources = [made[id(source)] for source in node.inputs]
            same = all(a is b for a, b in zip(sources, node.inputs, strict=True))
            made[id(node)] = node if same else Node(node.op, sources, node.attributes, node.results, node.label)
            continue
        reads.append(node)
    written = tuple((parameter, made[id(node)]) for parameter, node in updates)
    graph = Graph(tuple(made[id(node)] for node in reads), tuple(made[id(node)] for node in gives), written)
    return DeviceStage(graph, tuple(reads), gives)
