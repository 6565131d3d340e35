"""Convolution weights from (K, C / groups, *kernel) into the domain of products of minimal filtering, for conv_winograd."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from clconv.algorithms.base import Algorithm
from clconv.algorithms.minimal_filtering import MOST_PRODUCTS, strided
from clconv.codegen.linear_map import Matrix, Row
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.tensor import PLAIN, Transformed, filter_products

STRIDES = (1, 2)
INPUTS = 8
LONG_INPUTS = (64, 32, 16)
"""Input channels of a work-item that compares first: the longer the pieces of memory, the nearer it comes to the bandwidth (512 x 512
filters of 3 x 3 with 8, 32 and 64: 1.1, .9 and .7 ms)."""
ITEMS_PER_UNIT = 4


@lru_cache(maxsize=64)
def table_of_maps(taps: int, stride: int, outputs: int) -> tuple[Matrix, int]:
    """The rows of G for all numbers of outputs, one below the other, and where those for `outputs` begin; usual strides share a table."""
    rows: list[Row] = []
    begins = {}
    for s in STRIDES if stride in STRIDES else (stride,):
        for m in range(1, MOST_PRODUCTS + 1):
            if filter_products(m, taps, s) <= MOST_PRODUCTS:
                begins[m, s] = len(rows)
                rows += strided(m, taps, s).weights
    return tuple(rows), begins[outputs, stride]


@dataclass(frozen=True)
class WinogradWeightsParams:
    """`group`: work-items side by side, each with an input channel of its own; 1 on CPU devices."""

    group: int


class WinogradWeights(Algorithm[ReorderProblem]):
    """The reorder from plain to transformed weights; runs once for inference, once a step in training, and in eager calls where weights
    changed.

    >>> problem = ReorderProblem((64, 16, 3, 3)).with_layouts(y=Transformed(block=8, tile=2, outputs=(4, 4)))
    >>> WinogradWeights().plan(problem, DeviceTraits.cpu(), WinogradWeightsParams(1)).calls[0].items
    (2, 4, 1)
    """

    name = "winograd_weights"
    takes = ReorderProblem

    def why_not(self, problem: ReorderProblem, traits: DeviceTraits) -> str | None:
        target = problem.layout("y")
        if problem.layout("x") != PLAIN or not isinstance(target, Transformed):
            return f"transforms plain weights, got {problem.layout('x')} -> {target}"
        if (problem.dtype, problem.out_dtype) != ("float32", "float32"):
            return f"computes in float32, got {problem.dtype} -> {problem.out_dtype}"
        if len(problem.shape) not in (3, 4) or problem.shape[0] % target.groups:
            return f"needs weights (K, C / groups, *kernel) with K a multiple of {target.groups} groups, got {problem.shape}"
        products = list(map(filter_products, target.outputs, (1, *problem.shape[2:])[-2:], target.stride))
        if max(products) > MOST_PRODUCTS:
            return f"needs at most {MOST_PRODUCTS} products along an axis, got {products}"
        return None

    def defaults(self, problem: ReorderProblem, traits: DeviceTraits) -> WinogradWeightsParams:
        return WinogradWeightsParams(traits.group(64))

    def plan(self, problem: ReorderProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, WinogradWeightsParams)
        target = problem.layout("y")
        assert isinstance(target, Transformed)
        for name in ("x", "y"):
            problem.spec(name).check_addressable(str(problem))
        outputs, inputs, kernel = problem.spec("y").weights_of_group
        taps, wide = math.prod(kernel), target.tile * target.block
        output_step, input_step = (taps, outputs * taps) if target.turned else (inputs * taps, taps)
        bindings: dict[str, str | int] = {
            "x": "x", "y": "y", "outputs": outputs, "inputs": inputs, "wide": wide, "output_step": output_step, "input_step": input_step,
            "tap0": taps - 1 if target.turned else 0, "tap_step": -1 if target.turned else 1,
        }  # fmt: skip
        kernels = (1, *kernel)[-2:]
        maps = []
        for axis, m, r, s in zip("hw", target.outputs, kernels, target.stride, strict=True):
            table, first = table_of_maps(r, s, m)
            maps.append(table)
            bindings |= {f"first_{axis}": first, f"products_{axis}": filter_products(m, r, s)}
        tiles = target.groups * -(-outputs // wide)
        enough = ITEMS_PER_UNIT * traits.compute_units
        long = [n for n in LONG_INPUTS if tiles * (inputs // n) >= enough] if problem.recalls and params.group == 1 else []
        each = bindings["each"] = next(iter(long), INPUTS)
        constants = names({"BLOCK": target.block, "TAPS_H": kernels[0], "TAPS_W": kernels[1]})
        recalled = {"seen": problem.spec("x").nbytes} if problem.recalls else {}
        bindings |= {name: name for name in recalled}
        arguments = names(block=target.block, maps=tuple(maps), recalls=problem.recalls)
        source = KernelSource("winograd_weights", "winograd_weights", constants, arguments, group=(params.group, 1, 1))
        call = KernelCall(source, (-(-inputs // each), tiles, 1), tuple(sorted(bindings.items())))
        return Plan((call,), tuple(recalled.items()), ("y", *recalled) if recalled else ())

    def rate(self, problem: ReorderProblem, traits: DeviceTraits) -> float:
        return 1e9
