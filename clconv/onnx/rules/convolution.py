"""Convolution, its transpose, and products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import clconv.functional as F
from clconv.geometry import Pads, Size, effective_kernel
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.graph.ops.shape import reshape, window
from clconv.onnx.rules.base import Call, Rule, Rules, Value
from clconv.onnx.rules.window import AUTO_PADS, read_window

_CONV: dict[int, Callable[..., Any]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSE: dict[int, Callable[..., Any]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

MOST_PHASES = 1024
"""Of a transposed convolution: as many dense ones are planned."""


def _operands(call: Call) -> tuple[Node, Node, Node | None]:
    """x (N, C, spatial...), weights of the same number of axes, and bias (K,)."""
    x, w, bias = call.node(0), call.node(1), call.optional(2)
    if x.ndim not in (3, 4, 5) or w.ndim != x.ndim:
        raise call.error(f"input of shape {x.shape} and weights of shape {w.shape} must have N, C and 1, 2 or 3 spatial axes each")
    return x, w, bias


def conv(call: Call) -> Node:
    x, w, bias = _operands(call)
    span = read_window(call, w.shape[2:], x.shape[2:])
    groups = call.attributes.integer("group", 1, least=1)
    result: Node = _CONV[x.ndim - 2](x, w, bias, span.stride, span.padding, span.dilation, groups)
    return result


def causal_conv(call: Call) -> tuple[Value, ...]:
    """A depthwise convolution that looks back: `past_state` (zeros without it) stands before the input; the last columns are given on."""
    x, w, bias = _operands(call)
    activation = call.attributes.text("activation", "none", ("none", "silu", "swish"))
    if x.ndim != 3 or w.shape[:2] != (x.shape[1], 1):
        raise call.error(f"input of shape {x.shape} and weights of shape {w.shape} must be (N, C, length) and (C, 1, kernel)")
    back = w.shape[2] - 1
    past = call.optional(3)
    if past is not None and past.shape != (*x.shape[:2], back):
        raise call.error(f"past_state of shape {past.shape} must have the shape {(*x.shape[:2], back)}: the kernel's size less one")
    whole = x if past is None else F.cat([past, x], 2) if back else x
    y = F.conv1d(whole, w, bias, 1, ((back if past is None else 0, 0),), 1, x.shape[1])
    state = window(whole, ((0, 0), (0, 0), (back - whole.shape[2], 0))) if back else np.zeros((*x.shape[:2], 0), x.dtype)
    return (y if activation == "none" else F.silu(y)), state


def whole_numbers(call: Call) -> Node:
    """Convolution of whole numbers of 8 bits: where all are known, loading has computed it before."""
    raise call.error("its operands are computed on the device, where there are no numbers of 8 bits; load the network before quantisation")


def conv_transpose(call: Call) -> Node:
    x, w, bias = _operands(call)
    rank, read = x.ndim - 2, call.attributes
    kernel = read.integers("kernel_shape", rank, w.shape[2:], least=1)
    if kernel != w.shape[2:]:
        raise call.error(f"attribute kernel_shape {list(kernel)} must be the size of the weights, {list(w.shape[2:])}; leave it out")
    stride = read.integers("strides", rank, (1,) * rank, least=1)
    if math.prod(stride) > MOST_PHASES:
        raise call.error(f"attribute strides {list(stride)} must have a product of at most {MOST_PHASES}, one run for each phase")
    dilation = read.integers("dilations", rank, (1,) * rank, least=1)
    extra = read.integers("output_padding", rank, (0,) * rank, least=0)
    padding, extra = _transposed_padding(call, x.shape[2:], stride, effective_kernel(kernel, dilation), extra)
    groups = read.integer("group", 1, least=1)
    result: Node = _TRANSPOSE[rank](x, w, bias, stride, padding, extra, groups, dilation)
    return result


def _transposed_padding(call: Call, size: Size, stride: Size, reach: Size, extra: Size) -> tuple[Pads, Size]:
    """What is cut off, from `pads`, or as much as makes the result `output_shape` (or stride times the input, with auto_pad SAME), and
    what is added at the ends."""
    rank, read = len(size), call.attributes
    pads = read.integers("pads", 2 * rank, (0,) * (2 * rank), least=0)
    auto = read.text("auto_pad", "NOTSET", AUTO_PADS)
    wanted = read.integers("output_shape", None, (), least=1)[-rank:]
    if not wanted and auto in ("NOTSET", "VALID"):
        return tuple(zip(pads[:rank], pads[rank:], strict=True)), extra
    if not wanted:
        wanted = tuple(n * s for n, s in zip(size, stride, strict=True))
    cut, added = [], []
    for n, s, m, e, goal in zip(size, stride, reach, extra, wanted, strict=True):
        total = s * (n - 1) + m + e - goal
        if total <= -s:
            raise call.error(f"an output of {goal} needs {-total} elements more than stride {s}, {n} inputs and a reach of {m} give")
        added.append(e + max(0, -total))
        total = max(0, total)
        less, more = total // 2, total - total // 2
        cut.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return tuple(cut), tuple(added)


def gemm(call: Call) -> Node:
    """alpha A' B' + beta C, where C may be broadcast."""
    a, b, read = call.node(0), call.node(1), call.attributes
    alpha, beta = read.number("alpha", 1.0), read.number("beta", 1.0)
    turned = {"transpose_a": read.flag("transA"), "transpose_b": read.flag("transB")}
    if call.version < 7:
        read.flag("broadcast")
    if a.ndim != 2 or b.ndim != 2:
        raise call.error(f"A {a.shape} and B {b.shape} must have two axes each; flatten them before")
    if alpha != 1.0:
        b = F.mul(b, alpha)
    c = call.optional(2)
    if c is None or beta == 0.0:
        return make("matmul", a, b, operation="Gemm", **turned)
    if beta != 1.0:
        c = F.mul(c, beta)
    outputs = b.shape[0] if turned["transpose_b"] else b.shape[1]
    if c.shape in ((outputs,), (1, outputs)):
        return make("matmul", a, b, reshape(c, (outputs,)), operation="Gemm", bias=True, **turned)
    product = make("matmul", a, b, operation="Gemm", **turned)
    total: Node = F.add(product, reshape(c, (1,) * (2 - c.ndim) + c.shape))
    if total.shape != product.shape:
        raise call.error(f"C of shape {c.shape} does not broadcast to the product's shape {product.shape}")
    return total


def matmul(call: Call) -> Node:
    """As numpy.matmul: leading axes broadcast, a vector is a row on the left and a column on the right."""
    a, b = call.node(0), call.node(1)
    if not a.ndim or not b.ndim:
        raise call.error(f"needs at least one axis of each operand, got {a.shape} and {b.shape}")
    row, column = a.ndim == 1, b.ndim == 1
    a = reshape(a, (1, *a.shape)) if row else a
    b = reshape(b, (*b.shape, 1)) if column else b
    if a.shape[-1] != b.shape[-2]:
        raise call.error(f"operands of shape {a.shape} and {b.shape} do not fit: {a.shape[-1]} columns meet {b.shape[-2]} rows")
    if b.ndim > 2:
        try:
            lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise call.error(f"leading axes of {a.shape} and {b.shape} do not broadcast") from None
        a, b = _expanded(a, lead), _expanded(b, lead)
    product: Node = F.matmul(a, b)
    kept = (*product.shape[:-2], *(() if row else product.shape[-2:-1]), *(() if column else product.shape[-1:]))
    return reshape(product, kept)


def _expanded(x: Node, lead: tuple[int, ...]) -> Node:
    shape = (*lead, *x.shape[-2:])
    aligned = reshape(x, (1,) * (len(shape) - x.ndim) + x.shape)
    return aligned if aligned.shape == shape else make("expand", aligned, shape=shape)


RULES: Rules = {
    "CausalConvWithState": Rule(causal_conv, (2, 4), weights=(1, 2)),
    "Conv": Rule(conv, (2, 3), weights=(1, 2)),
    "ConvInteger": Rule(whole_numbers, (2, 4), host=(0, 1, 2, 3)),
    "ConvTranspose": Rule(conv_transpose, (2, 3), weights=(1, 2)),
    "Gemm": Rule(gemm, (2, 3), weights=(1, 2)),
    "MatMul": Rule(matmul, (2, 2), weights=(0, 1)),
    "QLinearConv": Rule(whole_numbers, (8, 9), host=tuple(range(9))),
}
