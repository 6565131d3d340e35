"""Convolution weights from (K, C / groups, *kernel) into the Packed layout, as register tiles read them; turned ones for backward-data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.tensor import PLAIN, Packed, input_blocks


@dataclass(frozen=True)
class PackWeightsParams:
    """`group`: work-items side by side, each with an input block of its own; 1 on CPU devices."""

    group: int


class PackWeights(Algorithm[ReorderProblem]):
    """The reorder from plain to packed weights; runs once for inference and once a step in training.

    >>> problem = ReorderProblem((64, 3, 7, 7)).with_layouts(y=Packed(block=8, block_in=1, tile=2))
    >>> PackWeights().plan(problem, DeviceTraits.cpu(), PackWeightsParams(1)).calls[0].items
    (3, 4, 1)
    """

    name = "pack_weights"
    takes = ReorderProblem

    def why_not(self, problem: ReorderProblem, traits: DeviceTraits) -> str | None:
        packed = problem.layout("y")
        if problem.layout("x") != PLAIN or not isinstance(packed, Packed):
            return f"packs plain weights, got {problem.layout('x')} -> {packed}"
        if problem.dtype != problem.out_dtype:
            return f"keeps the element type, got {problem.dtype} -> {problem.out_dtype}"
        if len(problem.shape) < 3 or problem.shape[0] % packed.groups:
            return f"needs weights (K, C / groups, *kernel) with K a multiple of {packed.groups} groups, got {problem.shape}"
        return None

    def defaults(self, problem: ReorderProblem, traits: DeviceTraits) -> PackWeightsParams:
        return PackWeightsParams(traits.group(64))

    def plan(self, problem: ReorderProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, PackWeightsParams)
        packed = problem.layout("y")
        assert isinstance(packed, Packed)
        for name in ("x", "y"):
            problem.spec(name).check_addressable(str(problem))
        filters, channels, *kernel = problem.shape
        filters //= packed.groups
        groups, taps, wide = packed.groups, math.prod(kernel), packed.tile * packed.block
        if packed.turned:
            outputs, inputs, output_step, input_step = channels, filters, taps, channels * taps
        else:
            outputs, inputs, output_step, input_step = filters, channels, channels * taps, taps
        bindings: dict[str, str | int] = {
            "x": "x", "y": "y", "outputs": outputs, "inputs": inputs, "taps": taps, "output_step": output_step, "input_step": input_step,
            "tap0": taps - 1 if packed.turned else 0, "tap_step": -1 if packed.turned else 1,
        }  # fmt: skip
        constants = names({"WIDE": wide, "BLOCK_IN": packed.block_in})
        group = (params.group, 1, 1)
        source = KernelSource("pack_weights", "pack_weights", constants, names(joint=packed.joint), problem.dtype, group)
        across, tiles = -(-inputs // packed.block_in), groups * -(-outputs // wide)
        if packed.joint:
            tiles = -(-groups * outputs // wide)
            if packed.joint == "blocks":
                across = max(input_blocks(groups, inputs, outputs, packed.block_in, wide))
            bindings |= {"input_blocks": across, "groups": groups}
        items = (across, tiles, 1)
        return Plan((KernelCall(source, items, tuple(sorted(bindings.items()))),))

    def rate(self, problem: ReorderProblem, traits: DeviceTraits) -> float:
        return 0.5e9
