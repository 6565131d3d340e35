"""conv_gemm's sums by sub-groups, forward and backward-data: for Intel's GPUs, whose multiply-adds take a broadcast operand for nothing.

A sub-group of 8 lanes sums 32 rows x 16 columns in 64 registers. It reads what it multiplies from global memory, weights by block reads,
and shares it through the first cache with the others of its work-group: no local memory, no barriers.

What Intel's compiler makes of it for dg2, beside conv_gemm with its start tiles (`clconv isa PROBLEM --target intel:dg2`; neither spills):
the share of multiply-adds in the inner loop, and reads of local and global memory for one of them. Nothing was timed, and nothing is said
of how well the cache serves the reads.

    problem                          conv_gemm     conv_gemm_subgroups
    n32c64i56x56k64f3x3p1            .81   .137    .86   .047
    n32c256i56x56k128f1x1            .87   .121    .94   .047
    n32c128i56x56k128f3x3s2p1:bwd_d  .82   .121    .86   .047
    n32c100i19x19k130f3x3p1          .78   .121    .83   .047
    n32c128i28x28k128f3x3p1:f16      .77   .141    .71   .094
    n32c256i14x14k1024f1x1:f16       .81   .141    .77   .094

Weights stored as halves are read by each lane for itself and converted, which costs more than it saves: they are left to conv_gemm.
"""

from __future__ import annotations

from clconv.algorithms.blocked_calls import AxisCall, Roles, plane_calls
from clconv.algorithms.conv_gemm import ConvGemm, estimate, machine_of, why_not_geometry
from clconv.algorithms.gemm_launch import activation, address_constants, finished, has_taps, reads_outside, walk_call
from clconv.algorithms.gemm_shape import ConvGemmParams, is_flat, is_weights
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import INTEL, XE, DeviceTraits, GemmTile
from clconv.problem import ConvProblem

LANES = 8
DEPTH = 8
ITEM = (32, 2)
"""Rows and columns of a work-item. Of what 64 registers of sums allow, 64 x 1 leave as few instructions beside the multiply-adds, but read
more; 16 x 4 leave half as many again."""
TILES = tuple(GemmTile(rows, columns, DEPTH, *ITEM) for rows, columns in ((128, 128), (64, 128), (64, 64), (32, 128)))
READS = (2, 4, 8)
"""Registers that one block read fills."""
STEP_INSTRUCTIONS = {"float32": 44, "float16": 80}
"""Of a work-item's step beside its multiply-adds, in the measure of conv_gemm's 60: what dg2's compiler makes of both, as above."""


def share(problem: ConvProblem, tile: GemmTile) -> float:
    """Of the inner loop's instructions, those that multiply, on the scale of conv_gemm's `expected_share`."""
    macs = tile.depth * tile.item_rows * tile.item_columns
    return macs / (macs + STEP_INSTRUCTIONS[problem.dtype])


class ConvGemmSubgroups(ConvGemm):
    """Products of matrices in registers of sub-groups, on plain tensors and packed weights."""

    name = "conv_gemm_subgroups"
    smallest = GemmTile(32, 64, DEPTH, *ITEM)

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu or traits.gpu_class not in (XE, INTEL):
            return f"is shaped for the registers of Intel's GPUs, {traits.label} is {traits.kind}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if is_weights(problem):
            return "computes the forward and backward_data passes, got backward_weights"
        if LANES not in traits.sub_group_sizes:
            widths = ", ".join(map(str, traits.sub_group_sizes)) or "none"
            return f"needs sub-groups of {LANES} that can be asked for (cl_intel_required_subgroup_size), {traits.label} has {widths}"
        if why := why_not_geometry(problem):
            return why
        inputs = Roles.of(problem).inputs
        if is_flat(problem, self.smallest):
            return f"fills up {inputs} channels to steps of {DEPTH}, by more than a tenth; conv_gemm walks channels and taps one by one"
        return self.smallest.why_no_room(0, traits)

    def why_not_params(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> str | None:
        assert isinstance(params, ConvGemmParams)
        tile = params.tile
        if tile.item_rows // LANES not in READS or tile.item_rows % LANES or tile.rows % tile.item_rows:
            return f"deals out {tile.rows} rows of the tile in block reads of 16, 32 or 64, got {tile.item_rows} for each sub-group"
        if tile.columns % (LANES * tile.item_columns):
            return f"deals out {tile.columns} columns of the tile to {LANES} lanes, got {tile.item_columns} for each"
        if is_flat(problem, tile):
            return f"fills up {Roles.of(problem).inputs} channels to steps of {tile.depth}, by more than a tenth"
        return tile.why_no_room(0, traits)

    def tiles(self, problem: ConvProblem, traits: DeviceTraits) -> tuple[GemmTile, ...]:
        return tuple(tile for tile in TILES if tile.items <= traits.max_work_group_size) or (self.smallest,)

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ConvGemmParams)
        return estimate(problem, params, machine_of(traits), share(problem, params.tile))

    def launches(self, problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams) -> Plan:
        calls = [sums_call(problem, params, rows, columns) for rows, columns in plane_calls(problem)]
        return finished(problem, traits, params, calls)


def sums_call(problem: ConvProblem, params: ConvGemmParams, rows: AxisCall, columns: AxisCall) -> KernelCall:
    """One product: positions `rows` x `columns` of all images."""
    tile, split = params.tile, params.parts > 1
    block_reads = problem.dtype == "float32"
    registers = tile.item_rows // LANES
    constants: dict[str, object] = {
        "TILE_M": tile.rows, "TILE_N": tile.columns, "TILE_K": tile.depth, "ITEM_M": tile.item_rows, "ITEM_N": tile.item_columns,
        "LANES": LANES,
    }  # fmt: skip
    largest = max(problem.spec(name).nbytes for name in problem.inputs)
    constants |= address_constants(problem.dtype, largest, LANES, params.indices)
    if block_reads:
        address = "(__global const char *)(p) + (u)" if params.indices else "u"
        read = f"intel_sub_group_block_read{registers}((__global const uint *)({address}))"
        constants["BLOCK_AT(p, u)"] = f"as_float{registers}({read})"
    bounds = reads_outside(problem)
    # Beside bounds or parts a single tap walks as several do: without the walk dg2's compiler spills 9 to 14 registers.
    arguments = {
        "taps": bounds or split or has_taps(problem), "bounds": bounds, "ragged": Roles.of(problem).inputs % tile.depth != 0,
        "split": split, "block_reads": block_reads, "lanes": LANES, "item_m": tile.item_rows, "item_n": tile.item_columns,
    }  # fmt: skip
    constants |= {} if split else activation(problem)
    source = KernelSource(
        "conv_gemm_subgroups", "conv_gemm_subgroups", names(constants), names(arguments), problem.dtype, (tile.items, 1, 1)
    )
    return walk_call(source, problem, params, rows, columns)
