"""Mutations of attributes: values next to theirs, absurd ones, missing, foreign, and of another kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from tests.fuzz.draw import ODD_NUMBERS, ODD_TEXTS, ODD_WHOLE_NUMBERS, one, whole_number

Generator = np.random.Generator
INT, FLOAT, STRING, INTS = 2, 1, 3, 7
NAMES = (
    "axis", "axes", "pads", "strides", "dilations", "group", "kernel_shape", "auto_pad", "ceil_mode", "count_include_pad", "keepdims",
    "alpha", "epsilon", "mode", "perm", "to", "blocksize", "output_padding", "output_shape", "storage_order", "size", "p", "beta",
    "training_mode", "transA", "antialias", "exclude_outside", "nearest_mode", "coordinate_transformation_mode", "noop_with_empty_axes",
    "select_last_index", "allowzero", "num_outputs", "momentum", "nonsense",
)  # fmt: skip


def change_attribute(proto: Any, rng: Generator) -> bool:
    """One number of an attribute, or its whole text, becomes another; or a list gets longer or shorter."""
    attribute = one(rng, [a for node in proto.graph.node for a in node.attribute])
    if attribute is None:
        return False
    if attribute.type == INT:
        attribute.i = whole_number(rng, attribute.i)
    elif attribute.type == FLOAT:
        attribute.f = one(rng, ODD_NUMBERS)
    elif attribute.type == STRING:
        attribute.s = str(one(rng, ODD_TEXTS)).encode()
    elif attribute.type == INTS and len(attribute.ints):
        place, how = int(rng.integers(len(attribute.ints))), rng.random()
        if how < 0.7:
            attribute.ints[place] = whole_number(rng, attribute.ints[place])
        elif how < 0.85:
            attribute.ints.append(whole_number(rng, 1))
        else:
            del attribute.ints[place]
    else:
        return False
    return True


def drop_attribute(proto: Any, rng: Generator) -> bool:
    node = one(rng, [node for node in proto.graph.node if node.attribute])
    if node is None:
        return False
    del node.attribute[int(rng.integers(len(node.attribute)))]
    return True


def add_attribute(proto: Any, rng: Generator) -> bool:
    """One that the operator may know or not; twice, now and then."""
    node, name = one(rng, proto.graph.node), one(rng, NAMES)
    if node is None or name is None:
        return False
    values: list[Any] = [one(rng, ODD_WHOLE_NUMBERS), [int(n) for n in rng.integers(-2, 4, int(rng.integers(1, 5)))], one(rng, ODD_NUMBERS)]
    values.append(str(one(rng, ODD_TEXTS)))
    node.attribute.append(helper.make_attribute(name, values[int(rng.integers(len(values)))]))
    return True


def retype_attribute(proto: Any, rng: Generator) -> bool:
    """The kind alone, while the value stays where it was: kinds there are, were not, or will be."""
    attribute = one(rng, [a for node in proto.graph.node for a in node.attribute])
    if attribute is None:
        return False
    attribute.type = int(rng.integers(0, 15))
    return True
