"""What the functions refuse, and all of what they answer: (message, call with a maker of arrays of ones)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.graph.node import input_node
from clconv.tensor import TensorSpec

LARGEST = 2**31 - 1
Make = Callable[..., Any]
EMPTY_ADVICE = "only the batch may be 0"
EXPECTED = (
    "expected an array on a device, a graph node, a parameter or a number, got {}; "
    "pyopencl.array.to_device(queue, x) sends one, and inside a network the inputs it is called with are nodes"
)
GEOMETRY: list[tuple[str, Callable[[Make], object]]] = [
    (
        "conv2d: input channels 48 != weight channels 32 x groups 2 (= 64); x (8, 48, 56, 56), w (64, 32, 3, 3)",
        lambda a: F.conv2d(a(8, 48, 56, 56), a(64, 32, 3, 3), groups=2),
    ),
    ("conv2d: output channels 4 do not divide by groups 3; w (4, 4, 3, 3)", lambda a: F.conv2d(a(2, 12, 8, 8), a(4, 4, 3, 3), groups=3)),
    (
        "conv2d: axis 0: a kernel of 3 with dilation 9 reaches over 19, but the input of 8 with padding (0, 0) has only 8; "
        "enlarge the input or the padding",
        lambda a: F.conv2d(a(2, 4, 8, 8), a(4, 4, 3, 3), dilation=9),
    ),
    (f"conv2d: stride must be at least 1 and at most {LARGEST}, got 0", lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), stride=0)),
    (f"conv2d: groups must be at least 1 and at most {LARGEST}, got 0", lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), groups=0)),
    ("conv2d: stride must be whole numbers, got 1.5", lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), stride=1.5)),
    ("conv2d: stride must be whole numbers, got None", lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), stride=None)),
    (
        "conv2d: padding {1: 2} has 1 entries for 2 spatial axes; give one number or 2",
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), padding={1: 2}),
    ),
    (
        'conv2d: padding \'SAME\' is not one of "valid", "same", "full"; give one of them, numbers or pairs',
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), padding="SAME"),
    ),
    (
        "conv2d: stride (1, 1, 1) has 3 entries for 2 spatial axes; give one number or 2",
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), stride=(1, 1, 1)),
    ),
    (
        "conv2d: input of shape (4, 8, 8) has no batch axis; add one with x[None], giving (N, C and 2 spatial axes)",
        lambda a: F.conv2d(a(4, 8, 8), a(4, 4, 3, 3)),
    ),
    ("conv2d: input must have 4 axes (N, C and 2 spatial), got shape (8, 8)", lambda a: F.conv2d(a(8, 8), a(4, 4, 3, 3))),
    (
        f"conv2d: input of shape (2, 4, 0, 8) is empty on axis 2; {EMPTY_ADVICE}",
        lambda a: F.conv2d(a(2, 4, 0, 8), a(4, 4, 3, 3), padding=2),
    ),
    (f"conv2d: input of shape (2, 0, 8, 8) is empty on axis 1; {EMPTY_ADVICE}", lambda a: F.conv2d(a(2, 0, 8, 8), a(4, 0, 3, 3))),
    (
        "conv2d: weight of shape (0, 4, 3, 3) is empty on axis 0; every size must be at least 1",
        lambda a: F.conv2d(a(2, 4, 8, 8), a(0, 4, 3, 3)),
    ),
    (
        "conv2d: weight must have 4 axes (outputs, inputs/groups and 2 spatial), got shape (4, 4, 3)",
        lambda a: F.conv2d(a(2, 4, 8, 8), a(4, 4, 3)),
    ),
    ("conv2d: bias has shape (3,), expected (4,): one number an output channel", lambda a: F.conv2d(a(1, 4, 8, 8), a(4, 4, 3, 3), a(3))),
    (
        "conv2d: residual has shape (2, 4, 8, 8), the other operands ask for (2, 4, 6, 6); conv n2c4i8x8k4f3x3+res",
        lambda a: F.conv2d(a(2, 4, 8, 8), a(4, 4, 3, 3), residual=a(2, 4, 8, 8)),
    ),
    (
        'conv2d: activation \'gelu\' is not one of "relu", ("leaky_relu", slope)',
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), activation="gelu"),
    ),
    (
        'conv2d: activation (\'leaky_relu\',) is not one of "relu", ("leaky_relu", slope)',
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), activation=("leaky_relu",)),
    ),
    (
        "conv2d: the slope of a fused leaky_relu must be at least 0, got -1.0",
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), activation=("leaky_relu", -1)),
    ),
    (
        "conv_transpose2d: input channels 4 != weight's first axis 3; x (2, 4, 8, 8), w (3, 4, 3, 3)",
        lambda a: F.conv_transpose2d(a(2, 4, 8, 8), a(3, 4, 3, 3)),
    ),
    (
        "conv_transpose2d: output_padding (1, 1) must be smaller than stride (1, 1) or dilation (1, 1) on every axis; axis 0 is not",
        lambda a: F.conv_transpose2d(a(2, 4, 8, 8), a(4, 4, 3, 3), output_padding=1),
    ),
    (
        "conv_transpose2d: axis 0: input 8, stride 1, reach 3, padding (9, 9) and output_padding 0 give -8 outputs; at least 1 is needed",
        lambda a: F.conv_transpose2d(a(2, 4, 8, 8), a(4, 4, 3, 3), padding=9),
    ),
    (
        "conv2d_input: grad_output (2, 4, 7, 7) must be (2, 4, 6, 6) for input (2, 4, 8, 8) and weight (4, 4, 3, 3) with groups 1",
        lambda a: F.conv2d_input((2, 4, 8, 8), a(4, 4, 3, 3), a(2, 4, 7, 7)),
    ),
    (
        "conv2d_weight: weight_size (4, 4, 3) must hold 4 sizes, 2 of them spatial",
        lambda a: F.conv2d_weight(a(2, 4, 8, 8), (4, 4, 3), a(2, 4, 6, 6)),
    ),
    (
        "max_pool2d: axis 0: a window of 9 with dilation 1 reaches over 9, but the input of 8 with padding (0, 0) has only 8; "
        "enlarge the input or the padding",
        lambda a: F.max_pool2d(a(2, 4, 8, 8), 9),
    ),
    (
        "max_pool2d: axis 0: padding (2, 2) must be at most half of the window's reach 2",
        lambda a: F.max_pool2d(a(1, 1, 8, 8), 2, padding=2),
    ),
    (f"max_pool2d: input of shape (2, 4, 0, 8) is empty on axis 2; {EMPTY_ADVICE}", lambda a: F.max_pool2d(a(2, 4, 0, 8), 2)),
    (f"global_avg_pool: input of shape (2, 3, 0) is empty on axis 2; {EMPTY_ADVICE}", lambda a: F.global_avg_pool(a(2, 3, 0))),
    (
        "avg_pool2d: divisor_override must be a whole number other than 0, got 0",
        lambda a: F.avg_pool2d(a(1, 1, 4, 4), 2, divisor_override=0),
    ),
    ("linear: input features do not fit: x (2, 3), weight (4, 5), which must be (out, in)", lambda a: F.linear(a(2, 3), a(4, 5))),
    ("linear: weight (3, 0) takes no input features; at least one is needed", lambda a: F.linear(a(2, 0), a(3, 0), a(3))),
    (
        "matmul: inner sizes 3 and 4 and batches () and () must be equal; a (2, 3), b (4, 5)",
        lambda a: F.matmul(a(2, 3), a(4, 5)),
    ),
    ("add: shapes (2, 3) and (4,) do not broadcast; each axis must be equal or 1", lambda a: F.add(a(2, 3), a(4))),
    ("cat: input 1 of shape (3, 3) does not fit input 0 of shape (2, 3) on the axes other than 1", lambda a: F.cat([a(2, 3), a(3, 3)], 1)),
    ("cat: needs at least one tensor, got none", lambda a: F.cat([])),
    ("pad: (1,) must hold one (begin, end) pair for each of at most 2 axes, last axis first", lambda a: F.pad(a(2, 3), (1,))),
    ("pad: mode 'reflect' is not supported; only \"constant\" is", lambda a: F.pad(a(2, 3), (1, 1), mode="reflect")),
    ("reshape: (2, 3) has 6 elements, (4, 4) needs 16", lambda a: F.reshape(a(2, 3), (4, 4))),
    ("softmax: axis 7 is outside of the 2 axes of the input", lambda a: F.softmax(a(2, 3), 7)),
    ("sum: an axis must be a whole number, got 'all'", lambda a: F.sum(a(2, 3), "all")),
    ("leaky_relu: negative_slope must be a number, got 'steep'", lambda a: F.leaky_relu(a(2), "steep")),
    ("dropout: probability p must lie between 0 and 1, got 1.5", lambda a: F.dropout(a(2), 1.5)),
    (
        "batch_norm: running_mean has shape (3,), expected (4,): one number a channel of x (2, 4)",
        lambda a: F.batch_norm(a(2, 4), a(3), a(4)),
    ),
    (
        "batch_norm: training needs more than one value a channel, got x (1, 4); use a larger batch or training=False",
        lambda a: F.batch_norm(a(1, 4), a(4), a(4), training=True),
    ),
    ("local_response_norm: size must be at least 1, got 0", lambda a: F.local_response_norm(a(1, 4, 3), 0)),
    (
        'cross_entropy: reduction \'avg\' is not one of "mean", "sum", "none"',
        lambda a: F.cross_entropy(a(2, 3), a(2, dtype=np.int32), reduction="avg"),
    ),
    (
        "cross_entropy: target of shape (3,) does not fit logits (2, 3); expected (2,)",
        lambda a: F.cross_entropy(a(2, 3), a(3, dtype=np.int32)),
    ),
    ("mse_loss: target of shape (2, 4) must have that of the input, (2, 3); use reshape", lambda a: F.mse_loss(a(2, 3), a(2, 4))),
]

TYPES = "is not supported; use float32 or float16 (int32 for class numbers)"
ARRAYS: list[tuple[str, Callable[[Make], object]]] = [
    (f"conv2d: element type float64 {TYPES}: x.astype(np.float32)", lambda a: F.conv2d(a(1, 1, 4, 4, dtype=np.float64), a(1, 1, 1, 1))),
    (
        f"max_pool2d: element type int64 {TYPES}: x.astype(np.float32), class numbers x.astype(np.int32)",
        lambda a: F.max_pool2d(a(1, 1, 4, 4, dtype=np.int64), 2),
    ),
    (f"relu: element type complex64 {TYPES}", lambda a: F.relu(a(2, dtype=np.complex64))),
    (
        "relu: element type int32 is not supported here; use float32 or float16: x.astype(np.float32)",
        lambda a: F.relu(a(2, dtype=np.int32)),
    ),
    (
        "cross_entropy: target must hold class numbers of type int32, got float32; convert with astype(np.int32)",
        lambda a: F.cross_entropy(a(2, 3), a(2)),
    ),
    (
        "conv2d: the array has no queue; attach one with array.with_queue(queue)",
        lambda a: F.conv2d(a(1, 1, 4, 4).with_queue(None), a(1, 1, 1, 1)),
    ),
    ("conv2d: " + EXPECTED.format("NoneType"), lambda a: F.conv2d(a(1, 1, 4, 4), None)),
    ("mul: " + EXPECTED.format("str"), lambda a: F.mul(a(2), "twice")),
    ("relu: a NumPy array is not on a device; send it with pyopencl.array.to_device(queue, x)", lambda a: F.relu(np.ones(3, np.float32))),
    (
        "conv2d: device arrays and NumPy arrays cannot be mixed in one call, got one of shape (1, 1, 1, 1); "
        "send it with pyopencl.array.to_device(queue, x), and give sizes as tuples",
        lambda a: F.conv2d(a(1, 1, 4, 4), np.ones((1, 1, 1, 1), np.float32)),
    ),
    (
        "add: arrays and graph nodes cannot be mixed in one call; bring the array in as an input of the graph",
        lambda a: F.add(a(2), input_node("x", TensorSpec((2,)))),
    ),
    (
        "conv2d: input is float32 but weight is float16; convert one with astype",
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1, dtype=np.float16)),
    ),
    (
        "conv2d: x is float32 but bias is float16; convert one with astype",
        lambda a: F.conv2d(a(1, 1, 4, 4), a(1, 1, 1, 1), a(1, dtype=np.float16)),
    ),
    (
        "conv2d: x is float16 but residual is float32; convert one with astype",
        lambda a: F.conv2d(a(1, 1, 4, 4, dtype=np.float16), a(1, 1, 1, 1, dtype=np.float16), residual=a(1, 1, 4, 4)),
    ),
    ("matmul: a is float32 but b is float16; convert one with astype", lambda a: F.matmul(a(2, 3), a(3, 2, dtype=np.float16))),
    ("cat: element types float16, float32 differ; convert with astype", lambda a: F.cat([a(2), a(2, dtype=np.float16)])),
    ('cast: type \'float64\' is not one of "float32", "float16"', lambda a: F.cast(a(2), "float64")),
    ("dropout: seed must be a whole number or None, got 'lucky'", lambda a: F.dropout(a(2), 0.5, seed="lucky")),
    ("out: shape (2, 3) given, (2, 2) needed: that of the result", lambda a: F.relu(a(2, 2), out=a(2, 3))),
    ("out: element type float16 given, float32 needed: that of the result", lambda a: F.relu(a(2), out=a(2, dtype=np.float16))),
    ("out: expected a pyopencl array, got ndarray", lambda a: F.relu(a(2), out=np.ones(2, np.float32))),
    ("cat: out= needs arrays; graph nodes have no memory to write into", lambda a: F.cat([], out=a(2))),
]
