"""Operations that move elements and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from clconv.errors import GeometryError
from clconv.graph.node import Node
from clconv.graph.ops.base import Gradients, Lowering, Nodes, Op, make, register
from clconv.problem import ReorderProblem, ShuffleProblem, WindowProblem
from clconv.tensor import Strided, TensorSpec, contiguous_strides


class Item(Op):
    """Result number `index` of a node with several."""

    name = "item"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return (inputs[0].results[attributes["index"]],)


class Reshape(Op):
    """The same elements in C order under another shape."""

    name = "reshape"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        spec = TensorSpec(attributes["shape"], inputs[0].dtype)
        if spec.elements != inputs[0].spec.elements:
            raise GeometryError(f"reshape: {inputs[0].shape} has {inputs[0].spec.elements} elements, {spec.shape} needs {spec.elements}")
        return (spec,)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        assert upstream[0] is not None
        return (reshape(upstream[0], node.inputs[0].shape),)


class Cast(Op):
    """Another element type; float32 and float16."""

    name = "cast"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return (TensorSpec(inputs[0].shape, attributes["dtype"]),)

    def lower(self, node: Node) -> Lowering:
        return Lowering(ReorderProblem(node.shape, node.inputs[0].dtype, node.dtype), ("x",), ("y",))

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (make("cast", upstream[0], dtype=node.inputs[0].dtype),)


class View(Op):
    """A permuted or turned copy: axis i of the result is axis `order[i]` of the input, backwards where `flipped[i]`."""

    name = "view"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        order = attributes["order"]
        if sorted(order) != list(range(inputs[0].ndim)):
            raise GeometryError(f"transpose: order {order} is not a permutation of the {inputs[0].ndim} axes of {inputs[0].shape}")
        return (TensorSpec(tuple(inputs[0].shape[a] for a in order), inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        own = contiguous_strides(node.inputs[0].shape)
        strides = tuple(-own[a] if turned else own[a] for a, turned in zip(node["order"], node["flipped"], strict=True))
        offset = sum((n - 1) * -s for n, s in zip(node.shape, strides, strict=True) if s < 0)
        problem = ReorderProblem(node.shape, node.dtype, node.dtype).with_layouts(x=Strided(strides, offset))
        return Lowering(problem, ("x",), ("y",))

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        order = node["order"]
        inverse = tuple(order.index(axis) for axis in range(len(order)))
        flipped = tuple(node["flipped"][order.index(axis)] for axis in range(len(order)))
        return (make("view", upstream[0], order=inverse, flipped=flipped),)


class Shuffle(Op):
    """Input x (N, C, *); attribute groups. See ShuffleProblem. A pass makes it, after gradients are taken, of the reshapes and the
    transpose that it is."""

    name = "shuffle"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return (TensorSpec(inputs[0].shape, inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        return Lowering(ShuffleProblem(node.shape, node["groups"], node.dtype), ("x",), ("y",))


class Window(Op):
    """Padding (before, after > 0) and cropping (< 0) of any axes with `fill`."""

    name = "window"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        pads = attributes["pads"]
        shape = tuple(n + a + b for n, (a, b) in zip(inputs[0].shape, pads, strict=True))
        grown = [n for n, size in zip(shape, inputs[0].shape, strict=True) if size == 0 and n > 0]
        if grown:
            raise GeometryError(f"pad: {inputs[0].shape} is empty and cannot be padded to {shape}; make the array of its size instead")
        if any(n < 1 and not n == size == 0 for n, size in zip(shape, inputs[0].shape, strict=True)):
            raise GeometryError(f"pad: {inputs[0].shape} with padding {pads} would become {shape}; every axis needs at least one element")
        return (TensorSpec(shape, inputs[0].dtype),)

    def lower(self, node: Node) -> Lowering:
        before = tuple(a for a, _ in node["pads"])
        return Lowering(WindowProblem(node.inputs[0].shape, before, node.shape, node["fill"], node.dtype), ("x",), ("y",))

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        return (window(upstream[0], tuple((-a, -b) for a, b in node["pads"])),)


class Cat(Op):
    """Concatenation along `axis`; lowered by the scheduler: in place where slices allow, else a copy a part."""

    name = "cat"

    def infer(self, inputs: Nodes, attributes: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        axis = attributes["axis"]
        first = inputs[0].shape
        for i, node in enumerate(inputs):
            if node.ndim != len(first) or any(n != m for k, (n, m) in enumerate(zip(node.shape, first, strict=True)) if k != axis):
                raise GeometryError(
                    f"cat: input {i} of shape {node.shape} does not fit input 0 of shape {first} on the axes other than {axis}"
                )
        return (TensorSpec((*first[:axis], sum(n.shape[axis] for n in inputs), *first[axis + 1 :]), inputs[0].dtype),)

    def gradient(self, node: Node, upstream: Gradients) -> Gradients:
        axis, start, out = node["axis"], 0, []
        for part in node.inputs:
            end = start + part.shape[axis]
            cut = tuple((-start, end - node.shape[axis]) if k == axis else (0, 0) for k in range(node.ndim))
            out.append(window(upstream[0], cut))
            start = end
        return out


def reshape(x: Node, shape: Sequence[int]) -> Node:
    """`x` under another shape; one entry may be -1."""
    sizes = list(shape)
    if sizes.count(-1) == 1:
        known = math.prod(n for n in sizes if n != -1)
        if known == 0 or x.spec.elements % known:
            raise GeometryError(
                f"reshape: {x.shape} has {x.spec.elements} elements, not a multiple of the {known} that {tuple(shape)} fixes"
            )
        sizes[sizes.index(-1)] = x.spec.elements // known
    return x if tuple(sizes) == x.shape else make("reshape", x, shape=tuple(sizes))


def window(x: Node | None, pads: tuple[tuple[int, int], ...], fill: float = 0.0) -> Node:
    assert x is not None
    return make("window", x, pads=pads, fill=fill)


def transpose(x: Node, order: Sequence[int]) -> Node:
    return make("view", x, order=tuple(order), flipped=(False,) * x.ndim)


def flip(x: Node, axes: Sequence[int]) -> Node:
    """`x` turned around along `axes`."""
    return make("view", x, order=tuple(range(x.ndim)), flipped=tuple(axis in axes for axis in range(x.ndim)))


def item(node: Node, index: int) -> Node:
    return make("item", node, index=index)


for operation in (Item(), Reshape(), Cast(), View(), Shuffle(), Window(), Cat()):
    register(operation)
