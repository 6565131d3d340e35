"""Every node of the light topologies beside ONNX Runtime: once with all values given out, so that nothing fuses, and once fused.

The weights are random, of the size that keeps layers' outputs alike (He et al. 2015): the constants that the files hold prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest

import clconv
from clconv.bench.light import NAMES, light_model
from clconv.graph.compile import compile_graph
from clconv.graph.node import Node, topological
from clconv.graph.passes import PASSES
from clconv.graph.rewrite import Context, rewrite
from clconv.graph.trace import Graph
from clconv.onnx import load

SHAPE = (1, 3, 224, 224)
CHEAP = ("squeezenet",)


def computed(proto: Any) -> list[str]:
    """The float values that nodes give and that depend on the input."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    floats = {v.name for v in (*inferred.value_info, *inferred.output) if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    depends, names = {value.name for value in proto.graph.input}, []
    for node in proto.graph.node:
        if depends.intersection(node.input):
            depends.update(node.output)
            names += [name for name in node.output if name in floats]
    return names


def by_onnx_runtime(proto: Any, names: Sequence[str], x: np.ndarray) -> dict[str, np.ndarray]:
    """All of the values `names`."""
    from tests import onnx_peers

    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    del twin.graph.output[:]
    twin.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    return dict(zip(names, onnx_peers.by_onnx_runtime(twin, x), strict=True))


def fused(graph: Graph, values: Mapping[str, Node]) -> tuple[Graph, dict[str, Node]]:
    """The graph after all passes, and those of `values` that are still computed in it."""
    for rule in PASSES:
        order, results = topological(graph.outputs), []

        def followed(node: Node, context: Context, rule: Any = rule, results: list[Node] = results) -> Node | None:
            new = rule(node, context)
            results.append(node if new is None else new)
            return new

        graph = rewrite(graph, followed)
        now = {id(old): new for old, new in zip(order, results, strict=True)}
        values = {name: now[id(node)] for name, node in values.items() if id(node) in now}
    alive = {id(node) for node in topological(graph.outputs)}
    return graph, {name: node for name, node in values.items() if id(node) in alive}


def check(names: Sequence[str], results: Sequence[Any], wanted: Mapping[str, np.ndarray]) -> None:
    """Within 2e-4 of each value's largest element."""
    worst = {}
    for name, result in zip(names, results, strict=True):
        got, want = result.get(), wanted[name]
        assert got.shape == want.shape and want.std() > 0, name
        worst[name] = float(np.abs(got - want).max() / np.abs(want).max())
    wrong = {name: error for name, error in worst.items() if not error <= 2e-4}
    assert not wrong, f"{len(wrong)} of {len(names)} values differ: {dict(list(wrong.items())[:8])}"


@pytest.mark.peers
@pytest.mark.parametrize("name", [name if name in CHEAP else pytest.param(name, marks=pytest.mark.exhaustive) for name in NAMES])
def test_every_node_means_what_onnx_runtime_makes_of_it(name: str, queue: Any) -> None:
    proto = light_model(name)
    names = computed(proto)
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    wanted = by_onnx_runtime(proto, names, x)
    net = load(proto, outputs=names)
    check(names, clconv.compile(net, SHAPE, queue)(x), wanted)

    exposed = net.trace(SHAPE)
    values = dict(zip(names, exposed.outputs, strict=True))
    whole = Graph(exposed.inputs, tuple(values[value.name] for value in proto.graph.output))
    graph, left = fused(whole, values)
    assert len(proto.graph.output) < len(left) < len(names)
    check(list(left), compile_graph(Graph(graph.inputs, tuple(left.values())), queue)(x), wanted)
