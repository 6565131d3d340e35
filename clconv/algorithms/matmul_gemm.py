"""Products of matrices in tiles of local memory, all transposes, any batch: for GPUs. Long sums of small results are split."""

from __future__ import annotations

from collections.abc import Iterator

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import check_operands
from clconv.algorithms.conv_gemm import LAUNCH_SECONDS, MOST_PARTS, PARTIAL_ELEMENTS, SMALLEST, machine_of
from clconv.algorithms.gemm_launch import activation, address_constants, epilogue, with_second_pass
from clconv.algorithms.gemm_model import Machine, Product, seconds
from clconv.algorithms.gemm_shape import ConvGemmParams, expected_share, why_not_tile
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits, GemmTile
from clconv.errors import UnsupportedError
from clconv.problem import MatmulProblem
from clconv.tensor import DTYPES

MOST_GROUPS = 65535
"""Work-groups along the second axis that every driver counts."""
APART = 4
"""Floats that keep the rows of local memory apart which are stored across: they must not meet in one bank."""


def is_along(problem: MatmulProblem) -> tuple[bool, bool]:
    """Whether a, and b, are contiguous along k."""
    return not problem.transpose_a, problem.transpose_b


def pitches(problem: MatmulProblem, tile: GemmTile) -> tuple[int, int]:
    """Floats from one step's row to the next in local memory."""
    along_a, along_b = is_along(problem)
    return tile.rows + APART * along_a, tile.columns + APART * along_b


def local_bytes(problem: MatmulProblem, tile: GemmTile) -> int:
    return 2 * 4 * tile.depth * sum(pitches(problem, tile))


def deals_out(tile: GemmTile, width: int, along: bool) -> bool:
    """Whether the work-items share the loads of a step of `width` rows (columns) evenly."""
    fast, slow = (tile.depth, width) if along else (width, tile.depth)
    lines = tile.items // fast
    return lines > 0 and tile.items % fast == 0 and slow % lines == 0


def fits(problem: MatmulProblem, tile: GemmTile, traits: DeviceTraits) -> bool:
    """Whether the device has work-items and local memory enough, and the work-items can share the loads."""
    along_a, along_b = is_along(problem)
    room = tile.why_no_room(local_bytes(problem, tile), traits) is None
    return room and deals_out(tile, tile.rows, along_a) and deals_out(tile, tile.columns, along_b)


def product_of(problem: MatmulProblem, tile: GemmTile) -> Product:
    size = DTYPES[problem.dtype]
    return Product(problem.m, problem.n, -(-problem.k // tile.depth), problem.batch, size, size)


def parts_for(problem: MatmulProblem, tile: GemmTile) -> tuple[int, ...]:
    """Into how many parts the sum may be split: no more than steps, and not into more memory than is reasonable."""
    steps, elements = -(-problem.k // tile.depth), problem.batch * problem.m * problem.n
    return tuple(p for p in (2**i for i in range(7)) if p == 1 or (p <= min(steps, MOST_PARTS) and p * elements <= PARTIAL_ELEMENTS))


def estimate(problem: MatmulProblem, params: ConvGemmParams, machine: Machine, share: float | None = None) -> float:
    """The model's time of all launches; `share` of the inner loop's instructions multiply."""
    total = seconds(product_of(problem, params.tile), params.tile, params.parts, machine, share or expected_share(params.tile, False))
    if params.parts > 1:
        total += (4 * params.parts + DTYPES[problem.dtype]) * problem.spec("y").elements / machine.bandwidth + LAUNCH_SECONDS
    return total + LAUNCH_SECONDS


class MatmulGemm(Algorithm[MatmulProblem]):
    """Tiles in local memory, as conv_gemm's; operands are read as they lie, along what is contiguous."""

    name = "matmul_gemm"
    takes = MatmulProblem

    def why_not(self, problem: MatmulProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: MatmulProblem, traits: DeviceTraits) -> str | None:
        if not problem.k:
            return "needs terms to sum, got k 0"
        groups = problem.batch * -(-problem.m // SMALLEST.rows)
        if groups > MOST_GROUPS:
            return f"needs at most {MOST_GROUPS} tiles of rows, got {groups} in a batch of {problem.batch}"
        return SMALLEST.why_no_room(local_bytes(problem, SMALLEST), traits)

    def why_not_params(self, problem: MatmulProblem, traits: DeviceTraits, params: object) -> str | None:
        assert isinstance(params, ConvGemmParams)
        return why_not_tile(params.tile, fits(problem, params.tile, traits), local_bytes(problem, params.tile), traits)

    def _options(self, problem: MatmulProblem, traits: DeviceTraits) -> Iterator[ConvGemmParams]:
        start = traits.start
        tiles = [t for t in dict.fromkeys((start.large, *start.small, SMALLEST)) if fits(problem, t, traits)]
        return (ConvGemmParams.of(tile, parts, traits) for tile in tiles for parts in parts_for(problem, tile))

    def defaults(self, problem: MatmulProblem, traits: DeviceTraits) -> ConvGemmParams:
        machine = machine_of(traits)
        return min(self._options(problem, traits), key=lambda params: estimate(problem, params, machine))

    def space(self, problem: MatmulProblem, traits: DeviceTraits) -> Iterator[ConvGemmParams]:
        best = self.defaults(problem, traits)
        yield best
        for params in self._options(problem, traits):
            if params != best and params.parts in (1, best.parts // 2, best.parts, 2 * best.parts):
                yield params

    def seconds(self, problem: MatmulProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ConvGemmParams)
        return estimate(problem, params, machine_of(traits))

    def plan(self, problem: MatmulProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvGemmParams)
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        check_operands(problem)
        if why := self.why_not_params(problem, traits, params):
            raise UnsupportedError(f"{problem}: {params} {why}; tune it on this device")
        steps = -(-problem.k // params.depth)
        steps_each = -(-steps // params.parts)
        parts = -(-steps // steps_each)
        call = product_call(problem, params, parts, steps_each)
        return Plan((call,)) if parts == 1 else with_second_pass(problem, traits, [call], parts)


def product_call(problem: MatmulProblem, params: ConvGemmParams, parts: int, steps_each: int) -> KernelCall:
    tile, split, (along_a, along_b) = params.tile, parts > 1, is_along(problem)
    pitch_a, pitch_b = pitches(problem, tile)
    largest = max(problem.spec(name).nbytes for name in ("a", "b"))
    constants: dict[str, object] = {
        "TILE_M": tile.rows, "TILE_N": tile.columns, "TILE_K": tile.depth, "ITEM_M": tile.item_rows, "ITEM_N": tile.item_columns,
        "GROUP": tile.items, "PITCH_A": pitch_a, "PITCH_B": pitch_b,
    }  # fmt: skip
    constants |= address_constants(problem.dtype, largest, params.sub_group, params.indices) | ({} if split else activation(problem))
    arguments = {
        "along_a": along_a, "along_b": along_b, "ragged": problem.k % tile.depth != 0, "split": split,
        "item_m": tile.item_rows, "item_n": tile.item_columns,
        "loads_a": tile.depth * tile.rows // tile.items, "loads_b": tile.depth * tile.columns // tile.items,
    }  # fmt: skip
    source = KernelSource("matmul_gemm", "matmul_gemm", names(constants), names(arguments), problem.dtype, (tile.items, 1, 1))
    m_tiles = -(-problem.m // tile.rows)
    bindings: dict[str, str | int | float] = {
        "a": "a", "b": "b", "batch": problem.batch, "m": problem.m, "n": problem.n, "all_k": problem.k, "m_tiles": m_tiles,
        "k_each": steps_each * tile.depth,
    }  # fmt: skip
    bindings |= {"partial": "partial"} if split else {"y": "y"} | epilogue(problem, "a")
    return KernelCall(source, (-(-problem.n // tile.columns) * tile.items, m_tiles * problem.batch, parts), names(bindings))
