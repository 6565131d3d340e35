"""Where ONNX Runtime itself does not do as ONNX says: each with its reason, and with another way to write the same model.

A difference counts as known only if ONNX Runtime, given the model in that other way, agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

Node = Any
Written = Callable[[Any, Node, Callable[[np.ndarray], str]], Iterator[Node]]


def _attribute(node: Node, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _version(proto: Any) -> int:
    return next((int(entry.version) for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 1)


def _pad(proto: Any, source: str, pads: list[int], target: str, constant: Callable[[np.ndarray], str]) -> Node:
    """What to add is an attribute before operator set 11."""
    if _version(proto) < 11:
        return helper.make_node("Pad", [source], [target], pads=pads)
    return helper.make_node("Pad", [source, constant(np.array(pads))], [target])


def _channels(proto: Any, source: str, first: int, end: int, target: str, constant: Callable[[np.ndarray], str]) -> Node:
    """Channels from `first` to before `end`, which are attributes before operator set 10."""
    if _version(proto) < 10:
        return helper.make_node("Slice", [source], [target], starts=[first], ends=[end], axes=[1])
    return helper.make_node("Slice", [source, *(constant(np.array([n])) for n in (first, end, 1))], [target])


def _lrn(proto: Any, node: Node, constant: Callable[[np.ndarray], str]) -> Iterator[Node]:
    """x / (bias + alpha / size * sum of squares) ** beta, each sum formed anew."""
    size, own = int(_attribute(node, "size", 1)), node.output[0]
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    yield helper.make_node("Mul", [node.input[0], node.input[0]], [f"{own} squares"])
    yield _pad(proto, f"{own} squares", [0, before, 0, 0, 0, after, 0, 0], f"{own} padded", constant)
    parts = [f"{own} part {i}" for i in range(size)]
    for i, part in enumerate(parts):
        yield _channels(proto, f"{own} padded", i, 2**31 if i == size - 1 else i - size + 1, part, constant)
    yield helper.make_node("Sum", parts, [f"{own} sums"])
    scale = np.float32(_attribute(node, "alpha", 1e-4) / size)
    yield helper.make_node("Mul", [f"{own} sums", constant(scale)], [f"{own} scaled"])
    yield helper.make_node("Add", [f"{own} scaled", constant(np.float32(_attribute(node, "bias", 1.0)))], [f"{own} base"])
    yield helper.make_node("Pow", [f"{own} base", constant(np.float32(_attribute(node, "beta", 0.75)))], [f"{own} power"])
    yield helper.make_node("Div", [node.input[0], f"{own} power"], [own])


def _conv(proto: Any, node: Node, constant: Callable[[np.ndarray], str]) -> Iterator[Node]:
    """Zeros around the input, by a node of their own."""
    pads, own = list(_attribute(node, "pads", ())), node.output[0]
    if not any(pads):
        yield node
        return
    half = len(pads) // 2
    yield _pad(proto, node.input[0], [0, 0, *pads[:half], 0, 0, *pads[half:]], f"{own} padded", constant)
    twin = type(node).FromString(node.SerializeToString())
    twin.input[0] = f"{own} padded"
    next(a for a in twin.attribute if a.name == "pads").ints[:] = [0] * len(pads)
    yield twin


def _mean(proto: Any, node: Node, constant: Callable[[np.ndarray], str]) -> Iterator[Node]:
    """A first mean, and to it the mean of what remains: equal terms leave next to nothing to be rounded."""
    own = node.output[0]
    yield helper.make_node("GlobalAveragePool", [node.input[0]], [f"{own} first"])
    yield helper.make_node("Sub", [node.input[0], f"{own} first"], [f"{own} remains"])
    yield helper.make_node("GlobalAveragePool", [f"{own} remains"], [f"{own} more"])
    yield helper.make_node("Add", [f"{own} first", f"{own} more"], [own])


def _axes(proto: Any, axes: list[int], constant: Callable[[np.ndarray], str]) -> tuple[dict[str, Any], list[str]]:
    """Axes of a reduction, as attributes and inputs: the latter from operator set 18 on."""
    return ({"axes": axes}, []) if _version(proto) < 18 else ({}, [constant(np.array(axes))])


def _mean_variance(proto: Any, node: Node, constant: Callable[[np.ndarray], str]) -> Iterator[Node]:
    """The mean of the squares of what differs from the mean, which is never below 0."""
    own, x = node.output[0], node.input[0]
    more, axes = _axes(proto, list(_attribute(node, "axes", (0, 2, 3))), constant)
    yield helper.make_node("ReduceMean", [x, *axes], [f"{own} mean"], keepdims=1, **more)
    yield helper.make_node("Sub", [x, f"{own} mean"], [f"{own} differs"])
    yield helper.make_node("Mul", [f"{own} differs", f"{own} differs"], [f"{own} squares"])
    yield helper.make_node("ReduceMean", [f"{own} squares", *axes], [f"{own} variance"], keepdims=1, **more)
    yield helper.make_node("Sqrt", [f"{own} variance"], [f"{own} deviation"])
    yield helper.make_node("Add", [f"{own} deviation", constant(np.float32(1e-9))], [f"{own} divisor"])
    yield helper.make_node("Div", [f"{own} differs", f"{own} divisor"], [own])


DEVIATIONS: dict[str, tuple[str, Written]] = {
    "LRN": ("LRN's sum of squares runs from channel to channel: what overflows, or is too small beside a large one, stays lost", _lrn),
    "Conv": ("Conv leaves the padding's zeros out, which times an infinite weight are not a number", _conv),
    "GlobalAveragePool": ("GlobalAveragePool adds up a plane in one chain: equal terms by the ten thousand are rounded to one side", _mean),
    "MeanVarianceNormalization": (
        "its variance is a difference of means, which rounding makes negative where it is 0",
        _mean_variance,
    ),
}
JUMPING = ("Floor", "Ceil", "ReduceProd")
JUMPS = "a function that jumps at whole numbers, or a product that overflows in one order and not in another; what it is given agrees"


CANCELLING = ("Sub",)
CANCELS = "what is subtracted is nearly the same, and agrees: little but rounding is left"


def up_to(proto: Any, operators: tuple[str, ...]) -> bytes | None:
    """The model up to the nodes of `operators`, whose inputs are its results; None if it has none."""
    wanted = [name for node in proto.graph.node if node.op_type in operators for name in node.input if name]
    if not wanted:
        return None
    twin = type(proto).FromString(proto.SerializeToString())
    kind = twin.graph.input[0].type.tensor_type.elem_type
    del twin.graph.output[:]
    twin.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name in dict.fromkeys(wanted))
    return twin.SerializeToString()


def alternatives(proto: Any) -> Iterator[tuple[str, bytes]]:
    """(why the results may differ, the model written so that they must not) for each deviation that the model may show."""
    for op_type, (reason, written) in DEVIATIONS.items():
        if any(node.op_type == op_type for node in proto.graph.node):
            twin = type(proto).FromString(proto.SerializeToString())
            graph, nodes = twin.graph, list(twin.graph.node)

            def constant(array: np.ndarray, graph: Any = graph) -> str:
                name = f"written out {len(graph.initializer)}"
                graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
                return name

            new = [each for node in nodes for each in (written(twin, node, constant) if node.op_type == op_type else (node,))]
            new = [type(node).FromString(node.SerializeToString()) for node in new]
            del graph.node[:]
            graph.node.extend(new)
            yield reason, twin.SerializeToString()
