"""What the kernels for channel-blocked tensors share: where the elements of an operand lie, as kernel arguments, and when to refuse.

Halo and channel slice are run-time arguments, so one kernel serves every halo and every slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clconv.algorithms.strides import STORAGE_TYPES, load
from clconv.codegen.plan import Scalar
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.geometry import Pads, Size
from clconv.problem import Problem
from clconv.tensor import PLAIN, Blocked, Layout, Plain, Strided, TensorSpec, contiguous_strides

LEAST_SIMD = 4
# Positions in a row of tensors without halo, whose rows may be cut anywhere: long enough for the loop, short enough to share out.
FLAT_ROW = 256
# Set `n` elements from pointer `p` on to zero: halo rows, and the halo at both ends of a row.
ZERO_RUN = {"ZERO_RUN(p, n)": "for (int z_ = 0; z_ < (n); ++z_) STORE((p), z_, 0.0f)"}
ZERO_INTS = {"ZERO_INTS(p, n)": "for (int z_ = 0; z_ < (n); ++z_) (p)[z_] = 0"}


def why_not_blocked(traits: DeviceTraits) -> str | None:
    """The refusal of devices that have no channel-blocked layout, or None."""
    if traits.is_cpu and traits.block >= LEAST_SIMD:
        return None
    return f"needs a CPU device with SIMD width of at least {LEAST_SIMD}, got {traits.block}"


def why_not_rank(rank: int) -> str | None:
    """The refusal of tensors that are not stored as planes, or None."""
    return None if rank in (1, 2) else f"needs one or two spatial axes, got {rank}"


def two_axes(value: Size) -> tuple[int, int]:
    """Kernel, stride or dilation of one or two axes as two; a single axis is the second, with 1 for the first."""
    return (1, value[0]) if len(value) == 1 else (value[0], value[1])


def two_sizes(size: Size) -> tuple[int, int]:
    """(H, W) of one or two spatial axes: a single one counts as H = 1."""
    return two_axes(size)


def two_pads(pads: Pads) -> tuple[tuple[int, int], tuple[int, int]]:
    """(begin, end) pairs of one or two axes as two; a single axis is the second, without padding on the first."""
    return ((0, 0), pads[0]) if len(pads) == 1 else (pads[0], pads[1])


def window_constants(kernel: Size, stride: Size, dilation: Size, pads: Pads) -> dict[str, int]:
    """KERNEL_*, STRIDE_*, DILATION_* and PAD_* (at the beginning) of H and W, as header constants.

    >>> window_constants((3,), (2,), (1,), ((1, 0),))["PAD_W"]
    1
    """
    (above, _), (left, _) = two_pads(pads)
    values = {"KERNEL": two_axes(kernel), "STRIDE": two_axes(stride), "DILATION": two_axes(dilation), "PAD": (above, left)}
    return {f"{name}_{letter}": number for name, pair in values.items() for letter, number in zip("HW", pair, strict=True)}


def strides(spec: TensorSpec) -> dict[str, int]:
    """Element offset of the first value and the distances between images, channel blocks, rows and columns.

    Plain and strided tensors count as blocks of one channel.

    >>> strides(TensorSpec((2, 20, 7, 7), layout=Blocked(8, ((1, 1), (1, 1)))))
    {'offset': 80, 'image': 1944, 'plane': 648, 'row': 72, 'column': 8}
    """
    layout = spec.layout
    if isinstance(layout, Blocked):
        rows, columns = spec.padded_plane
        (top, _), (left, _) = layout.halo
        row, plane = columns * layout.block, rows * columns * layout.block
        offset = layout.first * plane + top * row + left * layout.block
        return {"offset": offset, "image": spec.blocks_in_buffer * plane, "plane": plane, "row": row, "column": layout.block}
    assert isinstance(layout, (Plain, Strided)), f"weights layout {layout} is not one of activations"
    steps = contiguous_strides(spec.shape) if isinstance(layout, Plain) else layout.strides
    image, plane, *rest = steps
    row, column = rest if len(rest) == 2 else (0, rest[0])
    return {"offset": 0 if isinstance(layout, Plain) else layout.offset, "image": image, "plane": plane, "row": row, "column": column}


def halo(spec: TensorSpec) -> dict[str, int]:
    """Elements of halo: in all rows `above` and `below` a plane, and at the `left` and `right` of every row; zeros when not blocked."""
    layout = spec.layout
    if not isinstance(layout, Blocked):
        return {"above": 0, "below": 0, "left": 0, "right": 0}
    (top, bottom), (left, right) = layout.halo
    row = strides(spec)["row"]
    return {"above": top * row, "below": bottom * row, "left": left * layout.block, "right": right * layout.block}


def prefixed(prefix: str, values: dict[str, int], without: tuple[str, ...] = ()) -> dict[str, int]:
    """Kernel arguments `x_offset`, `x_image`, ... from `offset`, `image`, ..."""
    return {f"{prefix}_{key}": value for key, value in values.items() if key not in without}


def check_layouts(problem: Problem, wanted: Mapping[str, Layout]) -> None:
    """Raises UnsupportedError unless every operand is addressable and stored as in `wanted` (halos may be larger, slices are fine)."""
    for name in problem.tensors():
        spec, least = problem.spec(name), wanted.get(name, PLAIN)
        spec.check_addressable(str(problem))
        if isinstance(least, Blocked) and isinstance(spec.layout, Blocked) and spec.layout.block == least.block:
            pairs = zip(sum(spec.layout.halo, ()), sum(least.halo, ()), strict=True)
            if all(given >= need for given, need in pairs):
                continue
        elif spec.layout == least:
            continue
        raise UnsupportedError(f"{problem}: {name} must be stored as {least} (or with a larger halo), got {spec.layout}; reorder it first")


@dataclass(frozen=True)
class Operand:
    """An input as the templates of maps and reductions see it."""

    name: str
    dtype: str

    @property
    def storage(self) -> str:
        return STORAGE_TYPES[self.dtype]

    def load(self, pointer: str, at: str) -> str:
        """The C that reads element `at` from `pointer` on as a float."""
        return load(pointer, at, self.dtype)


def why_not_operands(shape: tuple[int, ...], operands: Sequence[TensorSpec]) -> str | None:
    """The refusal of operands that are neither of the full shape nor the same at all positions of a plane, or None."""
    if len(shape) not in (3, 4):
        return f"needs a shape of N, C and one or two spatial axes, got {shape}"
    for spec in operands:
        if spec.dtype == "int32":
            return f"needs float operands, got int32 of shape {spec.shape}"
        if spec.shape != shape and (len(spec.shape) > len(shape) or any(n != 1 for n in spec.shape[2 - len(shape):])):
            return f"needs operands of shape {shape} or with one value for all positions of a plane, got {spec.shape}"
    return None


def full_operands(shape: tuple[int, ...], operands: Sequence[TensorSpec]) -> list[Operand]:
    """The operands of the full shape, which are stored blocked: x0, x1, ... by their place."""
    return [Operand(f"x{i}", spec.dtype) for i, spec in enumerate(operands) if spec.shape == shape]


def small_operands(shape: tuple[int, ...], operands: Sequence[TensorSpec]) -> list[Operand]:
    """The other operands, which are plain and repeat over the plane."""
    return [Operand(f"x{i}", spec.dtype) for i, spec in enumerate(operands) if spec.shape != shape]


def small_strides(spec: TensorSpec, rank: int) -> dict[str, int]:
    """Distances between the values of neighbouring images and channels of a plain operand that repeats over the plane; 0 where it repeats.

    >>> small_strides(TensorSpec((1, 20, 1, 1)), 4)
    {'image': 0, 'channel': 1}
    """
    batch, channels = ((1,) * (rank - len(spec.shape)) + spec.shape)[:2]
    return {"image": channels if batch > 1 else 0, "channel": 1 if channels > 1 else 0}


def bindings(*parts: Mapping[str, str | int | float | Scalar]) -> tuple[tuple[str, str | int | float | Scalar], ...]:
    """The bindings of a KernelCall from mappings of kernel arguments."""
    return tuple(sorted((name, value) for part in parts for name, value in part.items()))


def rows_of(problem: Problem, size: Size) -> tuple[int, int]:
    """(rows, positions in a row) of a plane; without any halo its positions lie side by side and are cut into rows of FLAT_ROW."""
    height, width = two_sizes(size)
    if any(isinstance(layout, Blocked) and layout.halo != ((0, 0), (0, 0)) for _, layout in problem.layouts):
        return height, width
    row = max(1, min(FLAT_ROW, height * width))
    return -(-height * width // row), row


def row_strides(spec: TensorSpec, width: int) -> dict[str, int]:
    """`strides` of a blocked operand for rows of `width` positions as `rows_of` gives them."""
    view = strides(spec)
    return view if width == spec.planes[3] else view | {"row": width * view["column"]}


def rows_per_item(rows: int, elements_in_row: int, planes: int, compute_units: int, least: int = 4096) -> int:
    """Rows for one work-item: at least `least` elements of work, if that leaves four items for every compute unit."""
    wanted = max(1, -(-least // max(1, elements_in_row)))
    spread = max(1, rows * planes // (4 * compute_units))
    return min(rows, wanted, spread)
