"""Shape, element type and memory layout of a tensor, as a value.

A layout says where in a buffer the element with given logical indices lies. Kernels are generated for layouts, the layout pass chooses
them, and `reorder` converts one into another; nothing else in the library knows how a tensor is stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from clconv.errors import UnsupportedError

DTYPES = {"float32": 4, "float16": 2, "int32": 4}
MOST_ELEMENTS = 2**31 - 1


@dataclass(frozen=True)
class Plain:
    """Contiguous in C order: N, C, spatial axes."""

    def __str__(self) -> str:
        return "plain"


@dataclass(frozen=True)
class Strided:
    """Any view: element strides (0 and negative ones too) and an element offset."""

    strides: tuple[int, ...]
    offset: int = 0

    def __str__(self) -> str:
        return "strided"


@dataclass(frozen=True)
class Blocked:
    """N, ceil(C / block), H, W, block: the channels of a block lie side by side, so that one vector load takes them all.

    `halo` rows and columns of zeros surround every plane, (begin, end) per axis; the channels that fill up the last block are zero too.
    A slice of a wider tensor (a concatenation written in place) has `blocks` channel blocks in its buffer and starts at block `first`.
    One spatial axis counts as H = 1.
    """

    block: int
    halo: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    blocks: int | None = None
    first: int = 0

    def __str__(self) -> str:
        (t, b), (le, r) = self.halo
        part = "" if self.blocks is None else f", blocks {self.first}.. of {self.blocks}"
        return f"blocked {self.block}, halo {t},{b} {le},{r}{part}"


@dataclass(frozen=True)
class Packed:
    """Convolution weights K, C/groups, R, S as groups, K / (tile * block), C / block_in, R, S, block_in, tile * block.

    The innermost run holds the output channels that one register tile multiplies at once. `block_in` of 1 is for plain inputs.
    `turned` swaps input and output channels and turns the kernel by 180 degrees: what backward-data reads.
    Channels are filled up with zeros group by group; or the groups are `joint` as in a blocked tensor, their output channels side by side
    and filled up once at the end. Each output channel then has the inputs of its own group ("lanes"), or each run of tile * block output
    channels has as many blocks of input channels as the widest needs (`input_blocks`), from the first that one of its groups lies in,
    with zeros for what belongs to other groups ("blocks").
    """

    block: int
    block_in: int
    tile: int
    groups: int = 1
    turned: bool = False
    joint: Literal["", "lanes", "blocks"] = ""

    def __str__(self) -> str:
        joint = f" joint {self.joint}" if self.joint else ""
        return f"packed {self.block_in}x{self.tile * self.block}{joint}" + (" turned" if self.turned else "")


@lru_cache(maxsize=1024)
def input_blocks(groups: int, inputs: int, outputs: int, block: int, run: int) -> tuple[int, ...]:
    """How many blocks of input channels the groups of each run of `run` output channels lie in; `inputs` and `outputs` are a group's.

    >>> input_blocks(groups=4, inputs=6, outputs=10, block=8, run=8)
    (1, 2, 2, 2, 1)
    """
    last = groups * outputs - 1
    starts = range(0, groups * outputs, run)
    ends = ((min(start + run - 1, last) // outputs + 1) * inputs - 1 for start in starts)
    return tuple(end // block - start // outputs * inputs // block + 1 for start, end in zip(starts, ends, strict=True))


@dataclass(frozen=True)
class Transformed:
    """Convolution weights K, C/groups, R, S for minimal filtering: groups, K / (tile * block), products, C, tile * block.

    `outputs` are the positions (rows, columns) of a dense tile. `stride` splits the taps of an axis by their residue, each with products of
    its own. `turned` as for Packed. Output channels are filled up with zeros group by group.
    """

    block: int
    tile: int
    outputs: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    turned: bool = False

    def __str__(self) -> str:
        stride = f" stride {self.stride[0]}x{self.stride[1]}" if self.stride != (1, 1) else ""
        return f"transformed {self.outputs[0]}x{self.outputs[1]}{stride} by {self.tile * self.block}" + (" turned" if self.turned else "")


def filter_products(outputs: int, taps: int, stride: int = 1) -> int:
    """Products of minimal filtering along one axis: those of F(outputs, n) for the n taps with each residue modulo the stride.

    >>> filter_products(4, 3), filter_products(2, 3, stride=2)
    (6, 5)
    """
    return sum(outputs + len(range(first, taps, stride)) - 1 for first in range(min(taps, stride)))


Layout = Plain | Strided | Blocked | Packed | Transformed
PLAIN = Plain()


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class TensorSpec:
    """What a kernel must know of a tensor. Sizes count elements unless the name says bytes.

    >>> TensorSpec((2, 20, 7, 7), layout=Blocked(8, ((1, 1), (1, 1)))).storage_elements
    3888
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: Layout = PLAIN

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def planes(self) -> tuple[int, int, int, int]:
        """(N, C, H, W) of a tensor with one or two spatial axes."""
        n, c, *size = self.shape
        h, w = size if len(size) == 2 else (1, *size)
        return n, c, h, w

    @property
    def padded_plane(self) -> tuple[int, int]:
        """Rows and columns of a blocked plane with its halo."""
        assert isinstance(self.layout, Blocked)
        _, _, h, w = self.planes
        (t, b), (le, r) = self.layout.halo
        return h + t + b, w + le + r

    @property
    def channel_blocks(self) -> int:
        """Blocks that this tensor's own channels fill."""
        assert isinstance(self.layout, Blocked)
        return -(-self.shape[1] // self.layout.block)

    @property
    def blocks_in_buffer(self) -> int:
        assert isinstance(self.layout, Blocked)
        return self.layout.blocks if self.layout.blocks is not None else self.channel_blocks

    @property
    def weights_of_group(self) -> tuple[int, int, tuple[int, ...]]:
        """Output channels, input channels and kernel of one group of packed or transformed weights, as the reading pass sees them."""
        assert isinstance(self.layout, Packed | Transformed)
        k, c, *kernel = self.shape
        own = k // self.layout.groups
        return (c, own, tuple(kernel)) if self.layout.turned else (own, c, tuple(kernel))

    @property
    def storage_elements(self) -> int:
        """Elements of the buffer that holds the tensor, padding of the layout included."""
        layout = self.layout
        if isinstance(layout, Blocked):
            rows, columns = self.padded_plane
            return self.shape[0] * self.blocks_in_buffer * rows * columns * layout.block
        if isinstance(layout, Packed):
            outputs, inputs, kernel = self.weights_of_group
            run = layout.block * layout.tile
            if layout.joint:
                blocks = -(-inputs // layout.block_in)
                if layout.joint == "blocks":
                    blocks = max(input_blocks(layout.groups, inputs, outputs, layout.block_in, run))
                return round_up(layout.groups * outputs, run) * blocks * layout.block_in * math.prod(kernel)
            return layout.groups * round_up(outputs, run) * round_up(inputs, layout.block_in) * math.prod(kernel)
        if isinstance(layout, Transformed):
            outputs, inputs, kernel = self.weights_of_group
            products = math.prod(map(filter_products, layout.outputs, (1, *kernel)[-2:], layout.stride))
            return layout.groups * round_up(outputs, layout.block * layout.tile) * inputs * products
        if isinstance(layout, Strided):
            return (
                0
                if 0 in self.shape
                else layout.offset + sum((n - 1) * s for n, s in zip(self.shape, layout.strides, strict=True) if s > 0) + 1
            )
        return self.elements

    @property
    def nbytes(self) -> int:
        return self.storage_elements * DTYPES[self.dtype]

    def with_layout(self, layout: Layout) -> TensorSpec:
        return replace(self, layout=layout)

    def check_addressable(self, what: str) -> None:
        """Kernels index with 32-bit numbers; a tensor beyond that is refused before anything is launched."""
        if self.storage_elements > MOST_ELEMENTS:
            raise UnsupportedError(
                f"{what}: a tensor of shape {self.shape} ({self.layout}) has {self.storage_elements} elements, "
                f"kernels address at most {MOST_ELEMENTS}; split the batch"
            )


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """C-order strides in elements."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)
