"""How a convolution, or its data gradient, is cut into the tiles of minimal filtering, and these into the parts of a launch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from clconv.algorithms.blocked_calls import AxisCall, Halo, Roles, axis_calls
from clconv.algorithms.minimal_filtering import MOST_PRODUCTS, Filter, residues, strided, transposed
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Pass
from clconv.tensor import filter_products

MOST_CUTS = 256


@dataclass(frozen=True)
class Axis:
    """One axis of `size` outputs in tiles of `outputs`; of each residue of the positions modulo the dilation `tiles`, in all `total`.

    The tile that starts at output j reads `window` inputs from `origin` + j * `read` / `write` on: a strided convolution has `read` above
    1, its data gradient `write`. A tile computes `products`, `dense` of them at most belong together.
    """

    size: int
    outputs: int
    products: int
    dense: int
    window: int
    dilation: int
    origin: int
    read: int
    write: int

    @property
    def tiles(self) -> int:
        return -(-self.longest // self.outputs)

    @property
    def total(self) -> int:
        return self.tiles * self.dilation

    @property
    def longest(self) -> int:
        """Outputs with residue 0; the other residues have as many or one less."""
        return -(-self.size // self.dilation)

    @property
    def shortest(self) -> int:
        return self.size // self.dilation

    def last(self, count: int) -> int:
        """Where the last tile of `count` outputs starts: it ends with them, or overhangs where starts must be multiples of `write`."""
        return -(-(count - self.outputs) // self.write) * self.write

    def halo(self, inputs: int) -> tuple[int, int]:
        """Zeros that the tiles read before and behind `inputs`."""
        ends = []
        for residue in range(min(self.dilation, self.size)):
            count = -(-(self.size - residue) // self.dilation)
            start = self.origin + residue + self.last(count) // self.write * self.read * self.dilation
            ends.append(start + (self.window - 1) * self.dilation + 1)
        return max(0, -self.origin), max(0, max(ends) - inputs)


class Cut(Protocol):
    """The parameters that tiles depend on (conv_winograd.ConvWinogradParams)."""

    @property
    def outputs(self) -> int: ...
    @property
    def tile_k(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def part(self) -> int: ...
    @property
    def slices(self) -> int: ...


def two(values: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of one or two spatial axes."""
    return (1, *values)[-2:]  # type: ignore[return-value]


def tile_outputs(problem: ConvProblem, outputs: int) -> tuple[int, int]:
    """Positions of a dense tile along both axes: 1 where the kernel has one tap and nothing is to be saved."""
    rows, columns = two(problem.geometry.kernel)
    return (1 if rows == 1 else outputs, 1 if columns == 1 else outputs)


def calls_of(problem: ConvProblem) -> tuple[tuple[AxisCall, ...], tuple[AxisCall, ...]]:
    """The dense calls along rows and columns that have taps, those of a data gradient in the order of the residues of their taps."""
    rank = problem.geometry.rank
    rows = axis_calls(problem, 0) if rank == 2 else (AxisCall(),)
    both = (rows, axis_calls(problem, rank - 1))
    strides = two(problem.geometry.stride)
    rows, columns = (
        tuple(sorted((call for call in calls if call.taps), key=lambda call: call.tap0 % stride))
        for calls, stride in zip(both, strides, strict=True)
    )
    return rows, columns


@lru_cache(maxsize=2048)
def filters(problem: ConvProblem, outputs: int) -> tuple[Filter, Filter]:
    """The maps along rows and columns."""
    rows, columns = (
        _filter(problem.direction, m, r, s, calls)
        for m, r, s, calls in zip(
            tile_outputs(problem, outputs), two(problem.geometry.kernel), two(problem.geometry.stride), calls_of(problem), strict=True
        )
    )
    return rows, columns


def _filter(direction: Pass, outputs: int, taps: int, stride: int, calls: tuple[AxisCall, ...]) -> Filter:
    if direction is Pass.FORWARD or stride == 1:
        return strided(outputs, taps, stride)
    first = min(call.offset for call in calls)
    return transposed(outputs, taps, stride, [call.first for call in calls], [call.offset - first for call in calls])


@lru_cache(maxsize=2048)
def axes(problem: ConvProblem, outputs: int) -> tuple[Axis, Axis]:
    """Rows and columns of the problem in tiles."""
    _, _, *size = problem.tensors()[Roles.of(problem).target].planes
    forward = problem.direction is Pass.FORWARD
    made = []
    for n, m, r, s, d, maps, calls in zip(
        size, tile_outputs(problem, outputs), two(problem.geometry.kernel), two(problem.geometry.stride),
        two(problem.geometry.dilation), filters(problem, outputs), calls_of(problem), strict=True,
    ):  # fmt: skip
        made.append(
            Axis(
                n, len(maps.output), len(maps.data), m + max(map(len, residues(r, s))) - 1, len(maps.data[0]), d if r > 1 else 1,
                min(call.offset for call in calls), s if forward else 1, 1 if forward else s,
            )
        )  # fmt: skip
    return made[0], made[1]


def fits(problem: ConvProblem, outputs: int) -> bool:
    """Whether F(outputs, kernel) is possible: not too many products, and no axis shorter than a tile."""
    kernel, stride = two(problem.geometry.kernel), two(problem.geometry.stride)
    sizes = zip(tile_outputs(problem, outputs), kernel, stride, strict=True)
    if any(filter_products(m, r, s) > MOST_PRODUCTS for m, r, s in sizes):
        return False
    if any(len(calls) != min(r, s if problem.direction is Pass.BACKWARD_DATA else 1) for calls, r, s in zip(
        calls_of(problem), kernel, stride, strict=True
    )):  # fmt: skip
        return False  # a gradient so small that some phase has no output
    return all(a.shortest > a.outputs - a.write for a in axes(problem, outputs))


def needed_halo(problem: ConvProblem, outputs: int) -> Halo:
    """Zeros that the tiles read around the planes of the source."""
    _, _, height, width = problem.tensors()[Roles.of(problem).source].planes
    rows, columns = axes(problem, outputs)
    return rows.halo(height), columns.halo(width)


@dataclass(frozen=True)
class Parts:
    """All `tiles` of a batch in `parts` of nearly equal size, each of which fills `slots`; `slices` of the output channels."""

    tiles: int
    parts: int
    slots: int
    slices: int

    @classmethod
    def of(cls, problem: ConvProblem, traits: DeviceTraits, params: Cut) -> Parts:
        """The number of parts near the wanted size that ends first, when the compute units take them in turns."""
        rows, columns = axes(problem, params.outputs)
        tiles = max(1, problem.batch) * rows.total * columns.total  # an empty batch is chosen for, but never run
        slices = min(params.slices, -(-Roles.of(problem).outputs // (params.tile_k * traits.block)))
        side_by_side = slices * problem.geometry.groups

        def cost(parts: int) -> tuple[float, int]:
            rounds = -(-parts * side_by_side // traits.compute_units) / side_by_side
            return rounds * filled(-(-tiles // parts), params.width), parts

        fewest, most = -(-3 * tiles // (4 * params.part)), -(-3 * tiles // (2 * params.part))
        parts = min(range(max(1, min(fewest, tiles)), min(most, tiles, fewest + MOST_CUTS) + 1), key=cost)
        return cls(tiles, parts, max(filled(n, params.width) for n in {tiles // parts, -(-tiles // parts)}), slices)


def filled(count: int, width: int) -> int:
    """Slots that `count` tiles take in runs of `width` and `width` - 1."""
    return max(count, -(-count // width) * (width - 1))
