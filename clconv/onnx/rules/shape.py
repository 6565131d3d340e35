"""Operations that move elements, and the constants that say how."""

from __future__ import annotations

import math

import numpy as np

from clconv.errors import GeometryError
from clconv.graph.node import Node
from clconv.graph.ops.shape import reshape, transpose
from clconv.onnx.budget import check_shape
from clconv.onnx.rules.base import Call, Rule, Rules, Value


def identity(call: Call) -> Value:
    return call.value(0)


def constant(call: Call) -> np.ndarray:
    """A value of the file: a tensor, or one number or a list of them."""
    name, value = call.attributes.any_of(value="tensor", value_float="float", value_floats="floats", value_int="int", value_ints="ints")
    return np.asarray(value, None if name == "value" else np.float32 if "float" in name else np.int64)


def constant_of_shape(call: Call) -> np.ndarray:
    """One value repeated; where it is made of constants alone, loading has made a tensor of it before."""
    value = call.attributes.tensor("value", np.zeros(1, np.float32))
    if value.size != 1:
        raise call.error(f"attribute value must hold one element, got {value.size}")
    shape = call.integers(0)
    if any(n < 0 for n in shape):
        raise call.error(f"shape {shape} must not be negative")
    check_shape(shape, f"{call.operation.op_type}: gives")
    call.reserve(math.prod(shape), value.itemsize)
    return np.broadcast_to(value.reshape(()), shape)


def _moved(call: Call, shape: tuple[int, ...]) -> Value:
    """Input 0 under another shape."""
    value = call.value(0)
    return reshape(value, shape) if isinstance(value, Node) else value.reshape(shape)


def reshape_to(call: Call) -> Value:
    """0 keeps an axis (unless allowzero), -1 takes what is left; a batch that the file fixes follows the real one."""
    shape = call.value(0).shape
    wanted = call.integers(1) if call.version >= 5 else call.attributes.integers("shape")
    keeps = call.version < 14 or not call.attributes.flag("allowzero")
    if keeps:
        if any(n == 0 and i >= len(shape) for i, n in enumerate(wanted)):
            raise call.error(f"shape {list(wanted)} keeps an axis that the input of shape {shape} does not have")
        wanted = tuple(shape[i] if n == 0 else n for i, n in enumerate(wanted))
    if wanted.count(-1) > 1 or any(n < -1 for n in wanted):
        raise call.error(f"shape {list(wanted)} may hold one -1 and no other negative number")
    try:
        return _moved(call, _following_batch(call, shape, wanted))
    except (GeometryError, ValueError):
        raise call.error(f"input of shape {shape} has {math.prod(shape)} elements, which do not fit the shape {list(wanted)}") from None


def _following_batch(call: Call, shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """`wanted`, with the real number of images where the file has its own in front and all elements are accounted for then."""
    now = call.batch.now
    if not wanted or wanted[0] != call.batch.in_file or wanted[0] == now or not call.from_input[0]:
        return wanted
    elements, rest = math.prod(shape), wanted[1:]
    if -1 in rest:
        fits = bool(shape) and shape[0] == now
    else:
        fits = now * math.prod(rest) == elements
    return (now, *rest) if fits else wanted


def flatten(call: Call) -> Value:
    """To two axes."""
    shape = call.value(0).shape
    axis = call.attributes.integer("axis", 1)
    axis = axis if axis == len(shape) else call.axis(axis, max(1, len(shape)))
    return _moved(call, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _axes(call: Call) -> tuple[int, ...] | None:
    """The axes to add or drop: an attribute until version 12, an input from 13 on."""
    if call.version >= 13:
        return call.integers(1) if call.has(1) else None
    return call.attributes.integers("axes") if "axes" in call.attributes else None


def unsqueeze(call: Call) -> Value:
    shape, given = call.value(0).shape, _axes(call)
    if given is None:
        raise call.error("needs the axes to add")
    rank = len(shape) + len(given)
    axes = {call.axis(axis, rank) for axis in given}
    if len(axes) != len(given):
        raise call.error(f"axes {list(given)} name one twice")
    sizes = iter(shape)
    return _moved(call, tuple(1 if i in axes else next(sizes) for i in range(rank)))


def squeeze(call: Call) -> Value:
    shape, given = call.value(0).shape, _axes(call)
    axes = {i for i, n in enumerate(shape) if n == 1} if given is None else {call.axis(axis, len(shape)) for axis in given}
    if wrong := [i for i in sorted(axes) if shape[i] != 1]:
        raise call.error(f"axis {wrong[0]} of the input of shape {shape} has {shape[wrong[0]]} elements; only axes of one can be dropped")
    return _moved(call, tuple(n for i, n in enumerate(shape) if i not in axes))


def permute(call: Call) -> Value:
    value = call.value(0)
    order = call.attributes.integers("perm", value.ndim, tuple(reversed(range(value.ndim))), least=0)
    if sorted(order) != list(range(value.ndim)):
        raise call.error(f"attribute perm {list(order)} must name each of the {value.ndim} axes once")
    if not isinstance(value, Node):
        return value.transpose(order)
    moving = [axis for axis in order if value.shape[axis] != 1]
    if moving == sorted(moving):  # only axes of length 1 change places
        return reshape(value, tuple(value.shape[axis] for axis in order))
    return transpose(value, order)


RULES: Rules = {
    "Constant": Rule(constant, (0, 0)),
    "ConstantOfShape": Rule(constant_of_shape, (1, 1), host=(0,)),
    "Flatten": Rule(flatten, (1, 1), moves=True),
    "Identity": Rule(identity, (1, 1), moves=True),
    "Reshape": Rule(reshape_to, (1, 2), host=(1,), moves=True),
    "Squeeze": Rule(squeeze, (1, 2), host=(1,), moves=True),
    "Transpose": Rule(permute, (1, 1), moves=True),
    "Unsqueeze": Rule(unsqueeze, (1, 2), host=(1,), moves=True),
}
