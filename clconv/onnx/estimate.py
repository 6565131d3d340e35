"""How large an operation's results will be, from its operands alone: told before it is folded on the host, so that it can be refused.

Bounds from above, in whole numbers that do not overflow. Operations that are not named here give at most as much as they get.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest

import numpy as np

from clconv.onnx.model import Operation

SLOW = {"Erf": 1, "Gelu": 1, "Resize": 64, "Upsample": 64}
"""Steps an element of what the reference implementation computes one by one."""

PRODUCTS_A_STEP = 256
"""Of whole numbers, for which there is no BLAS."""

Values = Sequence[np.ndarray | None]
WIDER = ("Cast", "ConstantOfShape", "ConvInteger", "Shape")
"""What may give a wider type than it gets."""

WEIGHTS = {"CausalConvWithState": 1, "Conv": 1, "ConvInteger": 1, "ConvTranspose": 1, "QLinearConv": 3}
"""Which operand has a convolution's weights."""

WINDOWS = ("AveragePool", "LRN", "LpPool", "MaxPool", "MaxUnpool", *WEIGHTS)
BROADCASTING = (
    "Add", "And", "Clip", "Div", "Equal", "Greater", "GreaterOrEqual", "LayerNormalization", "Less", "LessOrEqual", "Max", "Mean", "Min",
    "Mod", "Mul", "Or", "PRelu", "Pow", "RMSNormalization", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip


def result_bytes(operation: Operation, values: Values) -> int:
    """The most bytes that the results take.

    >>> result_bytes(Operation("Expand", "", ("x", "shape"), ("y",), {}), [np.zeros((4, 1), np.float32), np.array([4, 1000])])
    16000
    """
    given = [value for value in values if value is not None]
    elements = _ELEMENTS.get(operation.op_type, _same)(operation, given)
    wide = 8 if operation.op_type in WIDER else max((value.itemsize for value in given), default=8)
    return elements * wide


def result_steps(operation: Operation, values: Values) -> int:
    """How much folding takes beyond a few numpy calls: iterations in Python, or as long as those; 0 for operations that are plain numpy."""
    given = [value for value in values if value is not None]
    if operation.op_type in SLOW:
        return _ELEMENTS.get(operation.op_type, _same)(operation, given) * SLOW[operation.op_type]
    if operation.op_type in ("Gemm", "MatMul"):
        return _matmul(operation, given) * max((1, *given[0].shape)) // PRODUCTS_A_STEP
    if operation.op_type == "Split":
        return 64 * sum(_numbers(operation, "num_outputs"))
    if operation.op_type == "Pad":
        return 4 * sum(_pads(operation, given))  # mirrored, numpy goes around once for each length of the axis
    if operation.op_type not in WINDOWS:
        return 0
    kernel = math.prod(_numbers(operation, "kernel_shape")) * max((1, *_numbers(operation, "size")))
    weights = _weights(operation, given)
    return _windows(operation, given) * max(1, kernel, 1 if weights is None else weights.size)


def _weights(operation: Operation, values: Sequence[np.ndarray]) -> np.ndarray | None:
    """A convolution's weights."""
    slot = WEIGHTS.get(operation.op_type)
    return values[slot] if slot is not None and slot < len(values) else None


def _same(operation: Operation, values: Sequence[np.ndarray]) -> int:
    return sum(value.size for value in values)


def _numbers(operation: Operation, name: str) -> tuple[int, ...]:
    """The absolute values of an attribute of whole numbers, whatever it is; nothing where it is not there."""
    attribute = operation.attributes.get(name)
    value = attribute.value if attribute is not None else ()
    values = value if isinstance(value, tuple) else (value,)
    return tuple(abs(n) for n in values if isinstance(n, int))


def _whole(array: np.ndarray) -> list[int]:
    """The elements as whole numbers, not below 0; 0 for what is none."""
    return [max(0, int(n)) if np.isfinite(n) else 0 for n in array.reshape(-1).tolist()] if array.dtype.kind in "iuf" else []


def _broadcast(operation: Operation, values: Sequence[np.ndarray]) -> int:
    shapes = [value.shape[::-1] for value in values]
    return math.prod(max(sizes) for sizes in zip_longest(*shapes, fillvalue=1))


def _by_channels(operation: Operation, values: Sequence[np.ndarray]) -> int:
    """As if each number of the others met every element."""
    return values[0].size * max((1, *(value.size for value in values[1:])))


def _expand(operation: Operation, values: Sequence[np.ndarray]) -> int:
    sizes = _whole(values[1]) if len(values) > 1 else []
    return math.prod(max(pair) for pair in zip_longest(values[0].shape[::-1], sizes[::-1], fillvalue=1))


def _of_shape(operation: Operation, values: Sequence[np.ndarray]) -> int:
    return math.prod(_whole(values[0]))


def _tile(operation: Operation, values: Sequence[np.ndarray]) -> int:
    """A repeat of 0 comes too late where one before it has made much already."""
    return values[0].size * math.prod(max(1, n) for n in (_whole(values[1]) if len(values) > 1 else ()))


def _range(operation: Operation, values: Sequence[np.ndarray]) -> int:
    if any(value.size != 1 or value.dtype.kind not in "iuf" for value in values) or len(values) != 3:
        return 0
    start, limit, delta = (value.reshape(()).item() for value in values)
    if not all(map(math.isfinite, (start, limit, delta))) or delta == 0:
        return 0
    return max(0, int((limit - start) / delta) + 1)


def _pad(operation: Operation, values: Sequence[np.ndarray]) -> int:
    """At most as if each number of pads were added to every axis that it may belong to."""
    pads = _pads(operation, values)
    half = len(pads) // 2
    if half == values[0].ndim and len(values) < 4:
        return math.prod(n + a + b for n, a, b in zip(values[0].shape, pads[:half], pads[half:], strict=False))
    return math.prod(n + sum(pads) for n in values[0].shape)


def _pads(operation: Operation, values: Sequence[np.ndarray]) -> list[int]:
    return _whole(values[1]) if len(values) > 1 else list(_numbers(operation, "pads") or _numbers(operation, "paddings"))


def _resize(operation: Operation, values: Sequence[np.ndarray]) -> int:
    """What the sizes say where there is one for each axis; else the input's elements times all factors, sizes being factors of one."""
    x, *tables = values
    sizes = next((_whole(table) for table in tables if table.dtype.kind in "iu"), [])
    if len(sizes) == x.ndim and "keep_aspect_ratio_policy" not in operation.attributes:
        return math.prod(max(1, n) for n in sizes)
    factors = [float(n) for table in tables for n in table.reshape(-1).tolist()]
    for name in ("scales", "height_scale", "width_scale"):
        value = operation.attributes[name].value if name in operation.attributes else ()
        factors += [float(n) for n in (value if isinstance(value, tuple) else (value,)) if isinstance(n, int | float)]
    return x.size * math.prod(math.ceil(n) for n in factors if math.isfinite(n) and n > 1)


def _matmul(operation: Operation, values: Sequence[np.ndarray]) -> int:
    a, b = (value.shape if value.ndim > 1 else (1, value.size) for value in values[:2])
    lead = math.prod(max(pair) for pair in zip_longest(a[-3::-1], b[-3::-1], fillvalue=1))
    return lead * max(a[-2:]) * max(b[-2:])


def _gather(operation: Operation, values: Sequence[np.ndarray]) -> int:
    axis = operation.attributes.get("axis")
    place = axis.value if axis is not None and isinstance(axis.value, int) else 0
    shape = values[0].shape
    size = shape[place] if -len(shape) <= place < len(shape) else 1
    return values[0].size // max(1, size) * values[1].size if len(values) > 1 else 0


def _windows(operation: Operation, values: Sequence[np.ndarray]) -> int:
    """Each position of the padded map once; one that is transposed or keeps a state takes its strides, kernel and added rows too."""
    shape, channels = values[0].shape, 1
    growing = operation.op_type in ("CausalConvWithState", "ConvTranspose", "MaxUnpool")
    if operation.op_type == "MaxUnpool" and len(values) > 2:
        return math.prod(_whole(values[2]))
    if (weights := _weights(operation, values)) is not None:
        channels = max(weights.shape[:2], default=1)
    rank = max(0, len(shape) - 2)
    strides, added = _numbers(operation, "strides"), sum(_numbers(operation, "pads")) + sum(_numbers(operation, "output_shape"))
    if growing:
        kernel = max((*_numbers(operation, "kernel_shape"), *(values[1].shape[2:] if len(values) > 1 else ()), 1))
        added += kernel * max((*_numbers(operation, "dilations"), 1)) + sum(_numbers(operation, "output_padding"))
    factors = [max(1, strides[i]) if growing and i < len(strides) else 1 for i in range(rank)]
    return math.prod(shape[:2]) * channels * math.prod(n * f + added for n, f in zip(shape[2:], factors, strict=True))


_ELEMENTS: dict[str, Callable[[Operation, Sequence[np.ndarray]], int]] = {
    **dict.fromkeys(BROADCASTING, _broadcast),
    **dict.fromkeys(WINDOWS, _windows),
    "BatchNormalization": _by_channels,
    "ConstantOfShape": _of_shape,
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _matmul,
    "InstanceNormalization": _by_channels,
    "MatMul": _matmul,
    "Pad": _pad,
    "Range": _range,
    "Resize": _resize,
    "Tile": _tile,
    "Upsample": _resize,
}
