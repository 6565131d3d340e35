"""Mutations that leave a model whole: other names, sizes, weights, more nodes. Both sides must compute the same from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from tests.fuzz.draw import HOSTILE_NAMES, fresh, numbers_of, one

Generator = np.random.Generator
FUNCTIONS = ("Relu", "Neg", "Abs", "Sigmoid", "Tanh")


def rename_all(proto: Any, rng: Generator) -> bool:
    """Every value and node gets a name that somebody meant harm with."""
    new: dict[str, str] = {"": ""}

    def name(old: str) -> str:
        if old not in new:
            new[old] = f"{one(rng, HOSTILE_NAMES)}{len(new)}"
        return new[old]

    graph = proto.graph
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = name(value.name)
    for node in graph.node:
        node.name = name(f"node {node.name}")
        inputs, outputs = [name(each) for each in node.input], [name(each) for each in node.output]
        del node.input[:], node.output[:]
        node.input.extend(inputs)
        node.output.extend(outputs)
    graph.name = str(one(rng, HOSTILE_NAMES))
    return True


def other_sizes(proto: Any, rng: Generator) -> bool:
    """Another batch or another size of maps, for all inputs alike: kernels take both at run time."""
    axis, size = (0, int(rng.integers(1, 5))) if rng.random() < 0.6 else (2, int(rng.choice((6, 8, 10, 12))))
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if len(dims) > axis:
            dims[axis].dim_value = size
    return True


def _insert(proto: Any, rng: Generator, op_type: str) -> bool:
    graph = proto.graph
    place = int(rng.integers(len(graph.node)))
    node = graph.node[place]
    slots = [slot for slot, name in enumerate(node.input) if name]
    slot = one(rng, slots)
    if slot is None:
        return False
    name = fresh(proto)
    extra = helper.make_node(op_type, [node.input[slot]], [name], name=f"inserted {name}")
    node.input[slot] = name
    nodes = [*graph.node[:place], extra, *graph.node[place:]]
    del graph.node[:]
    graph.node.extend(nodes)
    return True


def insert_operation(proto: Any, rng: Generator) -> bool:
    """One function more on the way into a node. On whole numbers, such as sizes, it says nonsense."""
    return _insert(proto, rng, str(one(rng, FUNCTIONS)))


def insert_identity(proto: Any, rng: Generator) -> bool:
    return _insert(proto, rng, "Identity")


def other_weights(proto: Any, rng: Generator) -> bool:
    """Other numbers in a tensor of floats."""
    tensor = one(rng, [t for t in proto.graph.initializer if t.data_type == 1 and not t.name.startswith("positive")])
    if tensor is None:
        return False
    array = numbers_of(tensor)
    if array is None:
        return False
    tensor.CopyFrom(numpy_helper.from_array((rng.integers(-4, 5, array.shape) / 4).astype(np.float32), tensor.name))
    return True


def unused_node(proto: Any, rng: Generator) -> bool:
    """A node that nobody reads."""
    graph = proto.graph
    graph.node.append(helper.make_node("Relu", [graph.input[0].name], [fresh(proto)], name="unused"))
    return True


def another_output(proto: Any, rng: Generator) -> bool:
    """A value in between becomes an output too."""
    graph = proto.graph
    given = {value.name for value in graph.output}
    name = one(rng, [name for node in graph.node for name in node.output if name and name not in given])
    if name is None:
        return False
    value = graph.output.add()
    value.name = name
    value.type.tensor_type.elem_type = 1
    return True


def talk(proto: Any, rng: Generator) -> bool:
    """Texts for people, in all places that have one."""
    text = str(one(rng, HOSTILE_NAMES))
    proto.producer_name = proto.doc_string = proto.graph.doc_string = text
    proto.graph.node[0].doc_string = text
    entry = proto.metadata_props.add()
    entry.key = entry.value = text
    return True


def reorder_initializers(proto: Any, rng: Generator) -> bool:
    graph = proto.graph
    tensors = list(graph.initializer)
    del graph.initializer[:]
    graph.initializer.extend(tensors[::-1])
    return len(tensors) > 1
