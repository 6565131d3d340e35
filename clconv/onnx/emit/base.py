"""What an export rule is, and what rules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clconv.errors import OnnxError
from clconv.geometry import Pads
from clconv.graph.node import Node
from clconv.onnx.writer import Writer

# Writes what a node becomes, and returns the name of its result in the file.
Rule = Callable[[Writer, Node], str]
Rules = dict[str, Rule]

# Reductions other than ReduceSum have had their axes as an input since this operator set; before, as an attribute.
AXES_ARE_INPUT = 18

# Where a slice ends that goes on to the end of its axis.
ENDLESS = 2**63 - 1


def refuse(node: Node, why: str) -> OnnxError:
    return OnnxError(f"save: {node!r}: {why}")


def onnx_pads(pads: Pads) -> tuple[int, ...]:
    """(begin, end) pairs as ONNX has them: all begins, then all ends."""
    return tuple(begin for begin, _ in pads) + tuple(end for _, end in pads)


def operands(writer: Writer, node: Node) -> list[str]:
    """The inputs of an operation on single elements, all in the element type of its result, as ONNX wants them."""
    return [writer.value(part, node.dtype) for part in broadcast(node)]


def broadcast(node: Node) -> list[Node]:
    """The inputs of an operation on single elements without axes of length 1 that were only added in front: ONNX adds them itself."""
    parts = list(node.inputs)
    for i, part in enumerate(parts):
        source = part.inputs[0] if part.op == "reshape" else part
        added = part.ndim - source.ndim
        if added > 0 and part.shape == (1,) * added + source.shape and any(p.ndim >= part.ndim for p in (*parts[:i], *parts[i + 1 :])):
            parts[i] = source
    return parts


def reduced(writer: Writer, op_type: str, x: str, axes: Sequence[int]) -> str:
    """A reduction that keeps its axes with length 1."""
    if op_type == "ReduceSum" or writer.version >= AXES_ARE_INPUT:
        return writer.emit(op_type, x, writer.integers(axes), keepdims=1)
    return writer.emit(op_type, x, axes=tuple(axes), keepdims=1)


def sliced(writer: Writer, x: str, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int]) -> str:
    """Parts of axes, from `starts` to before `ends`."""
    return writer.emit("Slice", x, writer.integers(starts), writer.integers(ends), writer.integers(axes))
