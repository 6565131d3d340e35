"""Products of matrices, all transposes, by register tiles: with a packed panel of b on CPU devices, four by four per work-item on GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.strides import check_addressable, unaligned_moves
from clconv.codegen.expressions import activation_macro
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import MatmulProblem
from clconv.tensor import round_up

SMALL_TILE = 4
DOT_ROWS = 4
"""Rows up to which packing a transposed b costs more than it saves."""


@dataclass(frozen=True)
class MatmulTiledParams:
    """A register tile has `rows` x (`vectors` * `width`) sums; a work-item has up to `rows_most` rows of them and packs `chunk` steps of k
    at a time. `width` 1: no panel, one small tile a work-item."""

    width: int
    rows: int = SMALL_TILE
    vectors: int = SMALL_TILE
    chunk: int = 1
    rows_most: int = SMALL_TILE

    @property
    def columns(self) -> int:
        return self.vectors * self.width


class MatmulTiled(Algorithm[MatmulProblem]):
    """A work-item computes a strip of columns for a block of rows, and packs the strip of b it needs so that vectors run along n."""

    name = "matmul_tiled"
    takes = MatmulProblem

    def why_not(self, problem: MatmulProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: MatmulProblem, traits: DeviceTraits) -> MatmulTiledParams:
        if not traits.is_cpu:
            return MatmulTiledParams(width=1)
        rows = 12 if traits.vector_registers >= 32 else 6
        return MatmulTiledParams(traits.simd_width, rows, vectors=2, chunk=128, rows_most=96)

    def rate(self, problem: MatmulProblem, traits: DeviceTraits) -> float:
        return 12e9

    def plan(self, problem: MatmulProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, MatmulTiledParams)
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        check_addressable(problem)
        wide = params.width > 1
        rows, tiles = self._shares(problem, traits, params)
        row_blocks, column_blocks = -(-problem.m // rows), -(-problem.n // (tiles * params.columns))
        epilogue = problem.epilogue
        arguments = {
            "rows": params.rows,
            "vectors": params.vectors,
            "width": params.width,
            "transpose_a": problem.transpose_a,
            "transpose_b": problem.transpose_b,
            "bias": epilogue.bias,
            "residual": epilogue.residual,
            "pack_a": wide and (problem.transpose_a or problem.dtype == "float16"),
        }
        constants = {**self._constants(problem, params), **activation_macro(epilogue.activation)}
        items = row_blocks * column_blocks * problem.batch
        source = KernelSource(
            "matmul_tiled", "matmul_tiled", names(constants), names(arguments), dtype=problem.dtype, group=(traits.group(64), 1, 1)
        )
        bindings: dict[str, str | int] = {name: name for name in problem.tensors()}
        bindings.update(m=problem.m, n=problem.n, k=problem.k, rows_per_item=rows, tiles_per_item=tiles)
        bindings.update(item_count=items, row_blocks=row_blocks, column_blocks=column_blocks)
        return Plan((KernelCall(source, (items, 1, 1), names(bindings)),))  # type: ignore[arg-type]

    def _constants(self, problem: MatmulProblem, params: MatmulTiledParams) -> dict[str, object]:
        constants: dict[str, object] = {"TILE_ROWS": params.rows, "COLUMNS": params.columns}
        if params.width == 1:
            return {**constants, "vec": "float"}
        copied = round_up(params.rows, params.width)
        return {
            **constants,
            **unaligned_moves(problem.dtype, params.width),
            "COPIED": copied,
            "TILE_STEPS": f"(CHUNK * TILE_ROWS + {copied - params.rows})",
            "BLOCK": params.width,
            "VECTORS": params.vectors,
            "CHUNK": params.chunk,
            "ROWS_MOST": params.rows_most,
            "DOT_ROWS": DOT_ROWS,
        }

    def _shares(self, problem: MatmulProblem, traits: DeviceTraits, params: MatmulTiledParams) -> tuple[int, int]:
        """Rows and column tiles of a work-item: as many rows as share one packed strip of b, or, with one tile of rows, as many column
        tiles as have room for their sums; but so few that every compute unit gets work."""
        if params.width == 1:
            return params.rows, 1
        wanted = 4 * traits.compute_units
        column_tiles = -(-problem.n // params.columns)
        if problem.m <= params.rows and not problem.transpose_b:
            return params.rows, max(1, min(params.rows_most // params.rows, column_tiles * problem.batch // wanted))
        fair = round_up(-(-problem.m // -(-wanted // (column_tiles * problem.batch))), params.rows)
        return max(params.rows, min(params.rows_most, fair)), 1
