"""The attributes that convolution and pooling share: where their windows lie."""

from __future__ import annotations

from dataclasses import dataclass

from clconv.geometry import Pads, Size, effective_kernel
from clconv.onnx.rules.base import Call, as_pair

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Window:
    """Sizes per spatial axis, padding as (begin, end) pairs."""

    kernel: Size
    stride: Size
    padding: Pads
    dilation: Size


def read_window(call: Call, kernel: Size | None, size: Size) -> Window:
    """The window over an input of `size`; `kernel` is what the weights say, None where only the attribute does.

    Padding "SAME" gives ceil(n / stride) outputs, with the odd element at the end (SAME_UPPER) or the beginning (SAME_LOWER).
    """
    rank, read = len(size), call.attributes
    given = read.integers("kernel_shape", rank, kernel, least=1)
    if kernel is not None and given != kernel:
        raise call.error(f"attribute kernel_shape {list(given)} must be the size of the weights, {list(kernel)}; leave it out")
    stride = read.integers("strides", rank, (1,) * rank, least=1)
    dilation = read.integers("dilations", rank, (1,) * rank, least=1)
    pads = as_pair(read.integers("pads", 2 * rank, (0,) * (2 * rank), least=0))
    auto = read.text("auto_pad", "NOTSET", AUTO_PADS)
    if auto != "NOTSET":
        if any(map(any, pads)):
            raise call.error(f"attribute pads {pads} and auto_pad {auto} contradict each other; give one of them")
        pads = ((0, 0),) * rank if auto == "VALID" else same_padding(effective_kernel(given, dilation), stride, size, auto == "SAME_UPPER")
    # Beyond the padded map there is no window: a stride of more says no more, and kernels must not overflow.
    stride = tuple(min(s, n + a + b + 1) for s, n, (a, b) in zip(stride, size, pads, strict=True))
    return Window(given, stride, pads, dilation)


def same_padding(reach: Size, stride: Size, size: Size, upper: bool) -> Pads:
    """Padding for ceil(n / s) outputs; an odd number of elements has one more at the end if `upper`, else at the beginning."""
    pads = []
    for m, s, n in zip(reach, stride, size, strict=True):
        total = max(0, (-(-n // s) - 1) * s + m - n)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if upper else (more, less))
    return tuple(pads)
