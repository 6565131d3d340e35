"""Convolution as products of matrices in tiles of local memory, all passes, groups and geometries of one and two axes: for GPUs.

Geometry is arguments, so that a network's layers share few kernels. Forward and data gradient are one kernel, the data gradient called
once for each residue of the positions modulo the stride; the weight gradient splits its long sum and adds the parts up in a second pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import check_operands
from clconv.algorithms.gemm_launch import plan_sums, plan_weights
from clconv.algorithms.gemm_model import Machine, seconds
from clconv.algorithms.gemm_shape import ConvGemmParams, expected_share, fits, is_flat, is_weights, local_bytes, products, why_not_tile
from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits, GemmTile
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Layout, Packed

SMALLEST = GemmTile(32, 32, 8, 4, 4)
MOST_PARTS = 64
PARTIAL_ELEMENTS = 1 << 26
LAUNCH_SECONDS = 5e-6


def machine_of(traits: DeviceTraits) -> Machine:
    start = traits.start
    units = max(1, traits.compute_units // start.units_per_group)
    return Machine(units, start.rate * start.units_per_group, start.bytes_per_second * traits.compute_units)


def estimate(problem: ConvProblem, params: ConvGemmParams, machine: Machine, share: float | None = None) -> float:
    """The model's time of all launches; `share` of the inner loop's instructions multiply."""
    share = share or expected_share(params.tile, is_flat(problem, params.tile))
    total = sum(seconds(p, params.tile, params.parts, machine, share) + LAUNCH_SECONDS for p in products(problem, params.tile))
    if params.parts > 1 or is_weights(problem):
        out = problem.spec(problem.outputs[0])
        total += (4 * params.parts * out.elements + out.nbytes) / machine.bandwidth + LAUNCH_SECONDS
    return total


def tiles_for(problem: ConvProblem, traits: DeviceTraits) -> tuple[GemmTile, ...]:
    """The start tiles of the device's class that fit, else the smallest."""
    start = traits.start
    rows = start.weights if is_weights(problem) else (start.large, *start.small)
    return tuple(t for t in rows if fits(problem, t, traits)) or (SMALLEST,)


def parts_for(problem: ConvProblem, tile: GemmTile) -> tuple[int, ...]:
    """Into how many parts the sum may be split: no more than steps, and not into more memory than is reasonable."""
    steps = max(p.steps for p in products(problem, tile))
    elements = problem.spec(problem.outputs[0]).elements
    return tuple(p for p in (2**i for i in range(7)) if p == 1 or (p <= min(steps, MOST_PARTS) and p * elements <= PARTIAL_ELEMENTS))


def why_not_geometry(problem: ConvProblem) -> str | None:
    """None where a convolution is products of matrices that fill tiles, else one sentence."""
    if problem.geometry.rank > 2:
        return f"needs 1 or 2 spatial axes, got {problem.geometry.rank}"
    if problem.depthwise:
        return f"a depthwise convolution has one channel a group ({problem.geometry.groups} groups), which leaves tiles empty"
    return None


class ConvGemm(Algorithm[ConvProblem]):
    """Products of matrices in tiles of local memory, on plain tensors and packed weights."""

    name = "conv_gemm"
    takes = ConvProblem
    smallest = SMALLEST

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: local memory and barriers gain nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        return why_not_geometry(problem) or SMALLEST.why_no_room(local_bytes(problem, SMALLEST), traits)

    def why_not_params(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> str | None:
        assert isinstance(params, ConvGemmParams)
        return why_not_tile(params.tile, fits(problem, params.tile, traits), local_bytes(problem, params.tile), traits)

    def tiles(self, problem: ConvProblem, traits: DeviceTraits) -> tuple[GemmTile, ...]:
        """Those that the defaults are chosen from."""
        return tiles_for(problem, traits)

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvGemmParams:
        options = (ConvGemmParams.of(tile, n, traits) for tile in self.tiles(problem, traits) for n in parts_for(problem, tile))
        return min(options, key=lambda params: self.seconds(problem, traits, params))

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvGemmParams]:
        best = self.defaults(problem, traits)
        yield best
        for tile in dict.fromkeys((*self.tiles(problem, traits), self.smallest)):
            for parts in parts_for(problem, tile):
                params = ConvGemmParams.of(tile, parts, traits)
                if params != best and parts in (1, best.parts // 2, best.parts, 2 * best.parts):
                    yield params

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        assert isinstance(params, ConvGemmParams)
        if is_weights(problem):
            return {}
        block_in = 1 if is_flat(problem, params.tile) else params.depth
        return {"w": Packed(params.rows, block_in, 1, problem.geometry.groups, problem.direction is Pass.BACKWARD_DATA)}

    def _as_stored(self, problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams) -> ConvGemmParams:
        """Weights that are packed already, for another batch or image size, decide over the tile. UnsupportedError where none fits."""
        options = [p for p in self.space(problem, traits) if self.wants(problem, traits, p) == dict(problem.layouts)]
        if not options:
            wanted = self.wants(problem, traits, params)
            raise UnsupportedError(
                f"{problem}: operands must be plain but for {dict(wanted)}, got {dict(problem.layouts)}; reorder them first"
            )
        return min(options, key=lambda params: self.seconds(problem, traits, params))

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ConvGemmParams)
        return estimate(problem, params, machine_of(traits))

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvGemmParams)
        check_operands(problem)
        if dict(problem.layouts) != self.wants(problem, traits, params):
            params = self._as_stored(problem, traits, params)
        if why := self.why_not_params(problem, traits, params):
            raise UnsupportedError(f"{problem}: {params} {why}; tune it on this device")
        return self.launches(problem, traits, params)

    def launches(self, problem: ConvProblem, traits: DeviceTraits, params: ConvGemmParams) -> Plan:
        """The plan, with operands stored as `params` want them."""
        return plan_weights(problem, traits, params) if is_weights(problem) else plan_sums(problem, traits, params)
