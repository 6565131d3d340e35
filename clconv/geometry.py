"""Every size formula of convolution and pooling, once.

Sizes are tuples with one entry per spatial axis (1, 2 or 3 of them). Padding is always stored as (begin, end) pairs.
Conventions follow torch.nn.functional; "same", "valid" and "full" are the field's names for same, narrow and wide convolution.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clconv.errors import GeometryError

Size = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
IntLike = int | Sequence[int]
Padding = str | int | Sequence[int] | Sequence[Sequence[int]]

LARGEST = 2**31 - 1


def per_axis(value: IntLike, rank: int, what: str, least: int, operation: str = "geometry") -> Size:
    """`value` as a tuple of `rank` whole numbers, each at least `least`; an int stands for all axes."""
    values: tuple[Any, ...] = (value,) * rank if isinstance(value, int) or not hasattr(value, "__len__") else tuple(value)
    if len(values) != rank:
        raise GeometryError(f"{operation}: {what} {value!r} has {len(values)} entries for {rank} spatial axes; give one number or {rank}")
    out = []
    for entry in values:
        try:
            number = operator.index(entry)
        except TypeError:
            raise GeometryError(f"{operation}: {what} must be whole numbers, got {value!r}") from None
        if not least <= number <= LARGEST:
            raise GeometryError(f"{operation}: {what} must be at least {least} and at most {LARGEST}, got {value!r}")
        out.append(number)
    return tuple(out)


def effective_kernel(kernel: Size, dilation: Size) -> Size:
    """m' = m + (m - 1)(d - 1): the reach of a kernel of m elements with d - 1 holes between them."""
    return tuple(m + (m - 1) * (d - 1) for m, d in zip(kernel, dilation, strict=True))


def resolve_padding(padding: Padding, kernel: Size, stride: Size, dilation: Size, input_size: Size | None, operation: str = "conv") -> Pads:
    """Padding in any accepted form as (begin, end) pairs.

    An int; one int per axis; one (begin, end) pair per axis; "valid" (narrow, no padding); "full" (wide, m' - 1 on both sides);
    "same" (ceil(n / s) outputs, the odd element at the end; needs `input_size` when a stride is above 1).
    """
    rank = len(kernel)
    reach = effective_kernel(kernel, dilation)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * rank
        if padding == "full":
            return tuple((m - 1, m - 1) for m in reach)
        if padding != "same":
            raise GeometryError(
                f'{operation}: padding {padding!r} is not one of "valid", "same", "full"; give one of them, numbers or pairs'
            )
        if input_size is None and any(s > 1 for s in stride):
            raise GeometryError(
                f'{operation}: padding "same" with stride {stride} depends on the input size, which is not known here; give numbers'
            )
        pads = []
        for axis, (m, s) in enumerate(zip(reach, stride, strict=True)):
            n = input_size[axis] if input_size is not None else m
            total = max(0, (-(-n // s) - 1) * s + m - n)
            pads.append((total // 2, total - total // 2))
        return tuple(pads)
    if isinstance(padding, Sequence) and len(padding) > 0 and all(isinstance(p, Sequence) for p in padding):
        if len(padding) != rank or any(len(p) != 2 for p in padding):  # type: ignore[arg-type]
            raise GeometryError(f"{operation}: padding {padding!r} must hold one (begin, end) pair for each of the {rank} spatial axes")
        return tuple((p[0], p[1]) for p in (per_axis(p, 2, "padding", 0, operation) for p in padding))  # type: ignore[arg-type]
    return tuple((p, p) for p in per_axis(padding, rank, "padding", 0, operation))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Phase:
    """One residue class of outputs of a backward-data pass along one axis; a dense stride-1 problem without inserted zeros.

    Output positions are first, first + stride, ...; output number j sums, for t in range(taps),
    kernel element `tap0 + t * tap_step` times the gradient at position `offset + j + t * step`.
    """

    first: int
    taps: int
    tap0: int
    tap_step: int
    offset: int
    step: int


@dataclass(frozen=True)
class ConvGeometry:
    """Kernel, stride, padding, dilation and groups of a convolution; `output_padding` matters for its transpose only.

    >>> ConvGeometry.make((3, 3), stride=2, padding=1).output_size((224, 224))
    (112, 112)
    """

    kernel: Size
    stride: Size
    padding: Pads
    dilation: Size
    groups: int = 1
    output_padding: Size = ()

    @classmethod
    def make(
        cls,
        kernel: Size,
        stride: IntLike = 1,
        padding: Padding = 0,
        dilation: IntLike = 1,
        groups: int = 1,
        output_padding: IntLike = 0,
        *,
        input_size: Size | None = None,
        operation: str = "conv",
    ) -> ConvGeometry:
        """Validate and normalise; raises GeometryError with both values named."""
        rank = len(kernel)
        if rank not in (1, 2, 3):
            raise GeometryError(f"{operation}: kernel {kernel} has {rank} spatial axes; 1, 2 and 3 are supported")
        kernel = per_axis(kernel, rank, "kernel size", 1, operation)
        stride = per_axis(stride, rank, "stride", 1, operation)
        dilation = per_axis(dilation, rank, "dilation", 1, operation)
        (groups,) = per_axis(groups, 1, "groups", 1, operation)
        extra = per_axis(output_padding, rank, "output_padding", 0, operation)
        for axis in range(rank):
            if extra[axis] and extra[axis] >= max(stride[axis], dilation[axis]):
                raise GeometryError(
                    f"{operation}: output_padding {extra} must be smaller than stride {stride} or "
                    f"dilation {dilation} on every axis; axis {axis} is not"
                )
        return cls(kernel, stride, resolve_padding(padding, kernel, stride, dilation, input_size, operation), dilation, groups, extra)

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def effective_kernel(self) -> Size:
        return effective_kernel(self.kernel, self.dilation)

    def output_size(self, size: Size, operation: str = "conv") -> Size:
        """floor((n - m' + pads) / s) + 1 per axis; output_padding of a transpose is no part of what the windows cover."""
        out = []
        extra = self.output_padding or (0,) * self.rank
        for axis, (n, m, s, (a, b), e) in enumerate(zip(size, self.effective_kernel, self.stride, self.padding, extra, strict=True)):
            if n + a + b - e < m:
                raise GeometryError(
                    f"{operation}: axis {axis}: a kernel of {self.kernel[axis]} with dilation {self.dilation[axis]} reaches over {m}, "
                    f"but the input of {n} with padding ({a}, {b}) has only {n + a + b - e}; enlarge the input or the padding"
                )
            out.append((n + a + b - e - m) // s + 1)
        return tuple(out)

    def transposed_output_size(self, size: Size, operation: str = "conv_transpose") -> Size:
        """s (p - 1) + m' - pads + output_padding per axis: the input size of the convolution this is the transpose of."""
        out = []
        extra = self.output_padding or (0,) * self.rank
        for axis, (p, m, s, (a, b), e) in enumerate(zip(size, self.effective_kernel, self.stride, self.padding, extra, strict=True)):
            n = s * (p - 1) + m - a - b + e
            if p < 1 or n < 1:
                raise GeometryError(
                    f"{operation}: axis {axis}: input {p}, stride {s}, reach {m}, padding ({a}, {b}) and output_padding {e} "
                    f"give {n} outputs; at least 1 is needed"
                )
            out.append(n)
        return tuple(out)

    def reads_outside(self, size: Size) -> bool:
        """Whether any window of a forward pass over `size` reaches into the padding."""
        return any(a > 0 or need > 0 for (a, _), need in zip(self.padding, self.end_reach(size), strict=True))

    def end_reach(self, size: Size) -> Size:
        """Elements of end padding that the last window really reads, per axis (0 where the stride leaves it unread)."""
        out = self.output_size(size)
        return tuple(
            max(0, (o - 1) * s + m - a - n)
            for o, s, m, (a, _), n in zip(out, self.stride, self.effective_kernel, self.padding, size, strict=True)
        )

    def phases(self, axis: int) -> tuple[Phase, ...]:
        """The dense phases of the backward-data pass along `axis`, one for each residue of the output position modulo the stride.

        Position i of the data gradient receives weight r times output gradient p wherever i + begin = p s + r d.
        """
        m, s, d, begin = self.kernel[axis], self.stride[axis], self.dilation[axis], self.padding[axis][0]
        common = math.gcd(s, d)
        out = []
        for first in range(s):
            tap0 = next((r for r in range(min(m, s // common)) if (first + begin - r * d) % s == 0), None)
            if tap0 is None:
                out.append(Phase(first, 0, 0, 1, 0, 0))
                continue
            tap_step = s // common
            out.append(Phase(first, -(-(m - tap0) // tap_step), tap0, tap_step, (first + begin - tap0 * d) // s, -(d // common)))
        return tuple(out)


@dataclass(frozen=True)
class PoolGeometry:
    """Window, stride, padding and dilation of a pooling; semantics of torch.nn.functional.max_pool2d / avg_pool2d."""

    kernel: Size
    stride: Size
    padding: Pads
    dilation: Size
    ceil_mode: bool = False

    @classmethod
    def make(
        cls,
        kernel: IntLike,
        stride: IntLike | None = None,
        padding: Padding = 0,
        dilation: IntLike = 1,
        ceil_mode: bool = False,
        *,
        rank: int,
        input_size: Size | None = None,
        operation: str = "pool",
    ) -> PoolGeometry:
        window = per_axis(kernel, rank, "kernel size", 1, operation)
        steps = window if stride is None else per_axis(stride, rank, "stride", 1, operation)
        holes = per_axis(dilation, rank, "dilation", 1, operation)
        pads = resolve_padding(padding, window, steps, holes, input_size, operation)
        for axis, ((a, b), reach) in enumerate(zip(pads, effective_kernel(window, holes), strict=True)):
            if not isinstance(padding, str) and 2 * max(a, b) > reach:
                raise GeometryError(f"{operation}: axis {axis}: padding ({a}, {b}) must be at most half of the window's reach {reach}")
        return cls(window, steps, pads, holes, bool(ceil_mode))

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def effective_kernel(self) -> Size:
        return effective_kernel(self.kernel, self.dilation)

    def output_size(self, size: Size, operation: str = "pool") -> Size:
        """As ConvGeometry.output_size; with ceil_mode rounded up, but a window that would start in the end padding is dropped."""
        out = []
        for axis, (n, m, s, (a, b)) in enumerate(zip(size, self.effective_kernel, self.stride, self.padding, strict=True)):
            span = n + a + b - m
            count = (-(-span // s) if self.ceil_mode else span // s) + 1
            if self.ceil_mode and (count - 1) * s >= n + a:
                count -= 1
            if count < 1:
                raise GeometryError(
                    f"{operation}: axis {axis}: a window of {self.kernel[axis]} with dilation {self.dilation[axis]} reaches over {m}, "
                    f"but the input of {n} with padding ({a}, {b}) has only {n + a + b}; enlarge the input or the padding"
                )
            # A window that starts in the begin padding can step over a whole input that is shorter than its holes.
            missed = next((o for o in range(min(count, -(-a // s))) if (o * s - a) % self.dilation[axis] >= n), None)
            if missed is not None:
                raise GeometryError(
                    f"{operation}: axis {axis}: window {missed} starts at {missed * s - a} and with dilation {self.dilation[axis]} steps "
                    f"over the whole input of {n}; lower the dilation or the padding"
                )
            out.append(count)
        return tuple(out)

    def reads_outside(self, size: Size) -> bool:
        """Whether any window reaches beyond the input, so that a kernel needs its guards."""
        return any(
            a > 0 or (o - 1) * s - a + m > n
            for o, s, m, (a, _), n in zip(self.output_size(size), self.stride, self.effective_kernel, self.padding, size, strict=True)
        )


def adaptive_window(size: int, outputs: int, index: int) -> tuple[int, int]:
    """(start, end) of window `index` of adaptive pooling: floor(i n / o) to ceil((i + 1) n / o), as in torch."""
    return index * size // outputs, -(-(index + 1) * size // outputs)
