"""Mutations of the graph itself: inputs, edges, nodes, operators and the version of the operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from clconv.onnx.rules import RULES
from tests.fuzz.draw import fresh, made, one, whole_number

Generator = np.random.Generator
OPERATORS = tuple(sorted(RULES))
UNKNOWN = (("Det", ""), ("If", ""), ("Loop", ""), ("Attention", "com.microsoft"), ("\n", ""), ("Conv", "ai.onnx.ml"), ("", ""))


def change_dimension(proto: Any, rng: Generator) -> bool:
    """An input's axis gets another size, or a name, or is one more or fewer."""
    value = one(rng, proto.graph.input)
    dims = value.type.tensor_type.shape.dim if value is not None else ()
    if not len(dims):
        return False
    place, how = int(rng.integers(len(dims))), rng.random()
    if how < 0.5:
        dims[place].dim_value = whole_number(rng, dims[place].dim_value)
    elif how < 0.75:
        dims[place].dim_param = "N"
    elif how < 0.85:
        dims.add().dim_value = 1
    else:
        del dims[place]
    return True


def _some_input(proto: Any, rng: Generator) -> tuple[Any, int] | None:
    return one(rng, [(node, slot) for node in proto.graph.node for slot in range(len(node.input))])


def rewire(proto: Any, rng: Generator) -> bool:
    """An input of a node comes from somewhere else, be it before or behind it."""
    found = _some_input(proto, rng)
    if found is None:
        return False
    found[0].input[found[1]] = one(rng, made(proto))
    return True


def drop_input(proto: Any, rng: Generator) -> bool:
    found = _some_input(proto, rng)
    if found is None:
        return False
    node, slot = found
    if rng.random() < 0.5:
        node.input[slot] = ""
    else:
        del node.input[slot]
    return True


def repeat_input(proto: Any, rng: Generator) -> bool:
    found = _some_input(proto, rng)
    if found is None:
        return False
    found[0].input.append(found[0].input[found[1]])
    return True


def loop(proto: Any, rng: Generator) -> bool:
    """A node reads what it gives, or what one behind it gives."""
    nodes = proto.graph.node
    place = int(rng.integers(len(nodes)))
    later = one(rng, [name for node in nodes[place:] for name in node.output])
    if not len(nodes[place].input) or later is None:
        return False
    nodes[place].input[0] = later
    return True


def name_twice(proto: Any, rng: Generator) -> bool:
    """Two things of one name: values, initializers, inputs, outputs, nodes."""
    graph = proto.graph
    group = [list(graph.initializer), list(graph.input) + list(graph.initializer), list(graph.output), list(graph.node)]
    items = group[int(rng.integers(len(group)))]
    if rng.random() < 0.4:
        node = one(rng, graph.node)
        assert node is not None
        if len(node.output):
            node.output[0] = one(rng, made(proto))
        return True
    first, second = one(rng, items), one(rng, items)
    if first is None or second is None or first is second:
        return False
    first.name = second.name
    return True


def remove_node(proto: Any, rng: Generator) -> bool:
    """A node is gone; who read its first output reads its first input, now and then."""
    nodes = proto.graph.node
    if len(nodes) < 2:
        return False
    place = int(rng.integers(len(nodes)))
    gone = nodes[place]
    old, new = gone.output[0] if len(gone.output) else "", gone.input[0] if len(gone.input) else ""
    del nodes[place]
    if rng.random() < 0.8:
        for node in nodes:
            for slot, name in enumerate(node.input):
                if name == old:
                    node.input[slot] = new
    return True


def repeat_node(proto: Any, rng: Generator) -> bool:
    """A node comes twice, mostly with an output of its own that its readers take."""
    nodes = proto.graph.node
    place = int(rng.integers(len(nodes)))
    copies = list(nodes)
    twin = type(nodes[place])()
    twin.CopyFrom(nodes[place])
    if rng.random() < 0.7 and len(twin.output):
        twin.output[0] = fresh(proto)
        if len(twin.input):
            twin.input[0] = nodes[place].output[0]
        copies.insert(place + 1, twin)
        for node in copies[place + 2 :]:
            for slot, name in enumerate(node.input):
                if name == nodes[place].output[0]:
                    node.input[slot] = twin.output[0]
    else:
        copies.insert(int(rng.integers(len(copies) + 1)), twin)
    copies = [type(twin).FromString(node.SerializeToString()) for node in copies]
    del nodes[:]
    nodes.extend(copies)
    return True


def swap_nodes(proto: Any, rng: Generator) -> bool:
    nodes = list(proto.graph.node)
    first, second = int(rng.integers(len(nodes))), int(rng.integers(len(nodes)))
    nodes[first], nodes[second] = nodes[second], nodes[first]
    nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return first != second


def other_operator(proto: Any, rng: Generator) -> bool:
    node = one(rng, proto.graph.node)
    if node is None:
        return False
    node.op_type = str(one(rng, OPERATORS))
    if rng.random() < 0.7:
        del node.attribute[:]
    return True


def unknown_operator(proto: Any, rng: Generator) -> bool:
    node, other = one(rng, proto.graph.node), one(rng, UNKNOWN)
    if node is None or other is None:
        return False
    node.op_type, node.domain = other
    return True


def other_version(proto: Any, rng: Generator) -> bool:
    """Another operator set, said twice or not at all."""
    how = rng.random()
    if not len(proto.opset_import):
        return False
    if how < 0.8:
        proto.opset_import[0].version = int(rng.integers(0, 30)) if how < 0.7 else whole_number(rng, 17)
    elif how < 0.9:
        proto.opset_import.add().version = 17
    else:
        del proto.opset_import[:]
    return True
