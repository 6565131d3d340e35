"""Convolution and data gradients by minimal filtering on GPUs, in three stages: transforms, products of matrices, transforms back.

F(m x m, 3 x 3) computes m x m positions with (m + 2)^2 products a pair of channels instead of 9 m^2 (Lavin and Gray 2016); the products of
all tiles are the batched products of matrices that conv_gemm's template computes. Errors and NaN as for conv_winograd.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_calls import Roles, plane_calls
from clconv.algorithms.common import check_operands
from clconv.algorithms.conv_gemm import LAUNCH_SECONDS, machine_of
from clconv.algorithms.conv_winograd import ERROR_FACTORS
from clconv.algorithms.gemm_launch import activation, address_constants, epilogue
from clconv.algorithms.gemm_model import Machine, Product, seconds
from clconv.algorithms.gemm_shape import expected_share, why_not_tile
from clconv.algorithms.minimal_filtering import strided
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits, GemmTile
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass
from clconv.tensor import MOST_ELEMENTS, Layout, Transformed, round_up

OUTPUTS = (4, 2)
TAPS = 3
LANES = 4
SMALLEST, NARROW = GemmTile(32, 32, 8, 4, 4), GemmTile(32, 128, 8, 8, 8)
"""What every GPU can run; and for few output channels, the inner loop nearly as good as that of large tiles."""


@dataclass(frozen=True)
class ConvWinogradGemmParams:
    """`outputs`: positions of a tile along an axis; the rest as for conv_gemm."""

    outputs: int
    rows: int
    columns: int
    depth: int
    item_rows: int
    item_columns: int
    sub_group: int = 0
    indices: bool = False

    @classmethod
    def of(cls, outputs: int, tile: GemmTile, traits: DeviceTraits) -> ConvWinogradGemmParams:
        return cls(outputs, **asdict(tile), sub_group=traits.start.sub_group, indices=traits.start.indices)

    @property
    def tile(self) -> GemmTile:
        return GemmTile(self.rows, self.columns, self.depth, self.item_rows, self.item_columns)

    @property
    def products(self) -> int:
        return (self.outputs + TAPS - 1) ** 2


@dataclass(frozen=True)
class Tiles:
    """Tiles of all images along the axes, and the columns that they and what fills them up take."""

    rows: int
    across: int
    columns: int

    @classmethod
    def of(cls, problem: ConvProblem, params: ConvWinogradGemmParams) -> Tiles:
        height, width = problem.spec(Roles.of(problem).target).planes[2:]
        rows, across = (-(-n // params.outputs) for n in (height, width))
        return cls(rows, across, round_up(problem.batch * rows * across, params.columns))


def fits(problem: ConvProblem, tile: GemmTile, traits: DeviceTraits) -> bool:
    """Whether the device has work-items and local memory enough, work-items can share the loads, and channels fill whole steps."""
    if tile.items > traits.max_work_group_size or tile.local_bytes > traits.local_memory_bytes:
        return False
    even = all(tile.depth * n // 4 % tile.items == 0 and tile.depth * n >= 4 * tile.items for n in (tile.rows, tile.columns))
    return even and Roles.of(problem).inputs % tile.depth == 0


def estimate(problem: ConvProblem, params: ConvWinogradGemmParams, machine: Machine, share: float | None = None) -> float:
    """The model's time of the products, and of the transforms by what they read and write."""
    roles, groups, columns = Roles.of(problem), problem.geometry.groups, Tiles.of(problem, params).columns
    product = Product(roles.outputs, columns, roles.inputs // params.depth, params.products * groups)
    moved = 4 * groups * columns * params.products * (roles.inputs + roles.outputs)
    moved += problem.spec(roles.source).nbytes + problem.spec(roles.target).nbytes
    own = seconds(product, params.tile, 1, machine, share or expected_share(params.tile, flat=False))
    return own + moved / machine.bandwidth + 3 * LAUNCH_SECONDS


class ConvWinogradGemm(Algorithm[ConvProblem]):
    """Minimal filtering with batched products of matrices, on plain tensors and transformed weights."""

    name = "conv_winograd_gemm"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        g = problem.geometry
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return "computes the forward and backward_data passes, got backward_weights"
        if problem.dtype != "float32":
            return f"computes and stores float32, got {problem.dtype}"
        if g.kernel != (TAPS, TAPS) or g.stride != (1, 1) or g.dilation != (1, 1):
            return f"needs a kernel of 3 x 3 with stride 1 and dilation 1, got {g.kernel}, {g.stride} and {g.dilation}"
        if Roles.of(problem).inputs % SMALLEST.depth:
            return f"needs a multiple of {SMALLEST.depth} input channels in a group, got {Roles.of(problem).inputs}"
        return SMALLEST.why_no_room(SMALLEST.local_bytes, traits)

    def why_not_params(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> str | None:
        assert isinstance(params, ConvWinogradGemmParams)
        return why_not_tile(params.tile, fits(problem, params.tile, traits), params.tile.local_bytes, traits)

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvWinogradGemmParams:
        machine = machine_of(traits)
        return min(self._options(problem, traits), key=lambda params: estimate(problem, params, machine))

    def _options(self, problem: ConvProblem, traits: DeviceTraits) -> list[ConvWinogradGemmParams]:
        start = traits.start
        tiles = [t for t in dict.fromkeys((start.large, *start.small, NARROW, SMALLEST)) if fits(problem, t, traits)]
        return [ConvWinogradGemmParams.of(outputs, tile, traits) for outputs in OUTPUTS for tile in tiles]

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvWinogradGemmParams]:
        best = self.defaults(problem, traits)
        yield best
        yield from (params for params in self._options(problem, traits) if params != best)

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        assert isinstance(params, ConvWinogradGemmParams)
        turned, tile = problem.direction is Pass.BACKWARD_DATA, (params.outputs, params.outputs)
        return {"w": Transformed(LANES, params.rows // LANES, tile, (1, 1), problem.geometry.groups, turned)}

    def _as_stored(self, problem: ConvProblem, traits: DeviceTraits, params: ConvWinogradGemmParams) -> ConvWinogradGemmParams:
        """Weights that are transformed already, for another batch or image size, decide over the tile. UnsupportedError where none reads
        them."""
        options = [p for p in self._options(problem, traits) if self.wants(problem, traits, p) == dict(problem.layouts)]
        if not options:
            wanted = self.wants(problem, traits, params)
            raise UnsupportedError(
                f"{problem}: operands must be plain but for {dict(wanted)}, got {dict(problem.layouts)}; reorder them first"
            )
        return min(options, key=lambda p: estimate(problem, p, machine_of(traits)))

    def error_factor(self, problem: ConvProblem, params: object) -> float | None:
        assert isinstance(params, ConvWinogradGemmParams)
        return ERROR_FACTORS[params.outputs]

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ConvWinogradGemmParams)
        return estimate(problem, params, machine_of(traits))

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvWinogradGemmParams)
        check_operands(problem)
        if dict(problem.layouts) != self.wants(problem, traits, params):
            params = self._as_stored(problem, traits, params)
        if why := self.why_not_params(problem, traits, params):
            raise UnsupportedError(f"{problem}: {params} {why}; tune it on this device")
        roles, groups, columns = Roles.of(problem), problem.geometry.groups, Tiles.of(problem, params).columns
        sizes = {name: params.products * groups * n * columns for name, n in (("data", roles.inputs), ("sums", roles.outputs))}
        for name, elements in sizes.items():
            if elements > MOST_ELEMENTS:
                raise UnsupportedError(
                    f"{problem}: {name} has {elements} elements between the stages, kernels address at most {MOST_ELEMENTS}; "
                    "split the batch"
                )
        calls = (data_call(problem, traits, params), products_call(problem, params), outputs_call(problem, traits, params))
        return Plan(calls, tuple((name, 4 * elements) for name, elements in sizes.items()))


def stage_source(stage: str, problem: ConvProblem, params: ConvWinogradGemmParams, traits: DeviceTraits) -> KernelSource:
    maps = strided(params.outputs, TAPS)
    constants: dict[str, object] = {"OUTPUTS": params.outputs, "PRODUCTS": params.outputs + TAPS - 1}
    constants |= activation(problem) if stage == "outputs" else {}
    arguments = names(stage=stage, matrix=maps.data if stage == "data" else maps.output)
    group = (traits.group(64), 1, 1)
    return KernelSource("conv_winograd_gemm", f"winograd_gemm_{stage}", names(constants), arguments, group=group)


def data_call(problem: ConvProblem, traits: DeviceTraits, params: ConvWinogradGemmParams) -> KernelCall:
    roles, tiles = Roles.of(problem), Tiles.of(problem, params)
    ((rows, columns),) = plane_calls(problem)
    batch, channels, height, width = problem.spec(roles.source).planes
    bindings: dict[str, str | int] = {
        "source": roles.source, "data": "data", "batch": batch, "channels": channels, "height": height, "width": width,
        "tiles_y": tiles.rows, "tiles_x": tiles.across, "columns": tiles.columns, "y_begin": rows.offset, "x_begin": columns.offset,
    }  # fmt: skip
    return KernelCall(stage_source("data", problem, params, traits), (tiles.columns, channels, 1), names(bindings))


def products_call(problem: ConvProblem, params: ConvWinogradGemmParams) -> KernelCall:
    """One product of matrices for each place in the window."""
    roles, groups, columns, tile = Roles.of(problem), problem.geometry.groups, Tiles.of(problem, params).columns, params.tile
    largest = params.products * groups * max(roles.inputs * columns, round_up(roles.outputs, tile.rows) * roles.inputs)
    constants: dict[str, object] = {
        "TILE_M": tile.rows, "TILE_N": tile.columns, "TILE_K": tile.depth, "ITEM_M": tile.item_rows, "ITEM_N": tile.item_columns,
        "GROUP": tile.items, "PITCH_A": tile.rows, "PITCH_B": tile.columns,
    }  # fmt: skip
    arguments = {
        "item_m": tile.item_rows, "item_n": tile.item_columns,
        "loads_a": tile.depth * tile.rows // 4 // tile.items, "loads_b": tile.depth * tile.columns // 4 // tile.items,
    }  # fmt: skip
    constants |= address_constants("float32", 4 * largest, params.sub_group, params.indices)
    source = KernelSource("conv_gemm_products", "conv_gemm_products", names(constants), names(arguments), group=(tile.items, 1, 1))
    m_tiles = -(-roles.outputs // tile.rows)
    bindings: dict[str, str | int] = {
        "w": "w", "data": "data", "sums": "sums", "groups": groups, "inputs": roles.inputs, "outputs": roles.outputs, "columns": columns,
        "products": params.products, "m_tiles": m_tiles,
    }  # fmt: skip
    return KernelCall(source, (columns // tile.columns * tile.items, m_tiles * groups, params.products), names(bindings))


def outputs_call(problem: ConvProblem, traits: DeviceTraits, params: ConvWinogradGemmParams) -> KernelCall:
    roles, tiles = Roles.of(problem), Tiles.of(problem, params)
    batch, channels, height, width = problem.spec(roles.target).planes
    bindings: dict[str, object] = {
        "sums": "sums", "out": roles.target, "batch": batch, "channels": channels, "height": height, "width": width,
        "tiles_y": tiles.rows, "tiles_x": tiles.across, "columns": tiles.columns,
    } | epilogue(problem, "sums")  # fmt: skip
    return KernelCall(stage_source("outputs", problem, params, traits), (batch * tiles.rows * tiles.across, channels, 1), names(bindings))
