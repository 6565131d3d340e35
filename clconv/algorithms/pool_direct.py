"""Pooling on plain tensors: maximum (with indices), mean and adaptive mean of one to three axes, forward and backward; accepts everything.

Backward is a gather, so that overlapping windows need no atomics. All ranks run as three axes, leading ones of size 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import CEIL_DIV, GROUP, check_operands, per_axis_constants, tasks_each, three
from clconv.codegen.expressions import float_literal
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.geometry import LARGEST, PoolGeometry
from clconv.problem import Pass, PoolProblem

LANES = 8
# How many elements of a window that starts at `start` lie before `limit`, along one axis.
TAPS = {
    "TAPS_AT(start, limit, axis)": "CEIL_DIV((limit) - (start), DILATION_##axis)",
    "TAPS_BELOW(start, limit, axis)": "(TAPS_AT(start, limit, axis) < 0 ? 0 : TAPS_AT(start, limit, axis) < KERNEL_##axis"
    " ? TAPS_AT(start, limit, axis) : KERNEL_##axis)",
}


@dataclass(frozen=True)
class PoolParams:
    """tile: neighbouring columns of a row that one work-item holds at once; 1 on GPUs, where neighbours are work-items."""

    tile: int


class PoolDirect(Algorithm[PoolProblem]):
    """Pooling row by row; accepts every PoolProblem."""

    name = "pool_direct"
    takes = PoolProblem

    def why_not(self, problem: PoolProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: PoolProblem, traits: DeviceTraits) -> PoolParams:
        return PoolParams(64 if traits.is_cpu else 1)

    def plan(self, problem: PoolProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, PoolParams)
        check_operands(problem)
        forward = problem.direction is Pass.FORWARD
        if problem.geometry is not None:
            source = _window_source(problem, problem.geometry, traits, params)
        else:
            source = _adaptive_source(problem, traits, params)
        size, outputs = three(problem.size), three(problem.output_size)
        planes = problem.batch * problem.channels
        bindings: dict[str, str | int] = {name: name for name in problem.tensors()}
        bindings |= dict(zip(("depth", "height", "width"), size, strict=True))
        bindings |= dict(zip(("o_count", "p_count", "q_count"), outputs, strict=True))
        if forward and problem.geometry is None:
            tasks = planes * math.prod(outputs)
        else:
            *rows, columns = outputs if forward else size
            bindings["tiles"] = -(-columns // params.tile)
            tasks = planes * math.prod(rows) * -(-columns // params.tile)
        each = tasks_each(tasks, traits)
        bindings |= {"planes": planes, "tasks_each": each}
        return Plan((KernelCall(source, (-(-tasks // each), 1, 1), names(bindings)),))  # type: ignore[arg-type]


def shared_divisor(problem: PoolProblem, geometry: PoolGeometry) -> float | None:
    """What every window's sum is divided by, or None where windows at the border count fewer elements."""
    if problem.divisor is not None:
        return float(problem.divisor)
    axes = zip(problem.size, problem.output_size, geometry.effective_kernel, geometry.stride, geometry.padding, strict=True)
    padded = problem.count_include_pad and all((o - 1) * s + m <= n + a + b for n, o, m, s, (a, b) in axes)
    return float(math.prod(geometry.kernel)) if padded or not geometry.reads_outside(problem.size) else None


def window_constants(problem: PoolProblem, geometry: PoolGeometry) -> tuple[dict[str, str], str]:
    """The header's names for the window, and what a mean is divided by: "same" for all, or elements "inside" or in the "padded" map."""
    constants = dict(CEIL_DIV)
    begins, ends = tuple(a for a, _ in geometry.padding), tuple(b for _, b in geometry.padding)
    for name, values, fill in (
        ("KERNEL", geometry.kernel, 1), ("STRIDE", geometry.stride, 1), ("DILATION", geometry.dilation, 1),
        ("PAD", begins, 0), ("PAD_END", ends, 0),
    ):  # fmt: skip
        constants |= per_axis_constants(name, values, fill)
    divisor = "same"
    if problem.kind == "avg":
        shared = shared_divisor(problem, geometry)
        if shared is not None:
            constants["DIVISOR"] = float_literal(shared)
        else:
            divisor = "padded" if problem.count_include_pad else "inside"
            constants |= TAPS
    return constants, divisor


def _window_source(problem: PoolProblem, geometry: PoolGeometry, traits: DeviceTraits, params: PoolParams) -> KernelSource:
    constants, divisor = window_constants(problem, geometry)
    constants["TILE"] = str(params.tile)
    forward = problem.direction is Pass.FORWARD
    entry = "pool_direct_forward" if forward else "pool_direct_backward"
    arguments = {"kind": problem.kind, "divisor": divisor} | ({"indices": problem.with_indices} if forward else {})
    return KernelSource(entry, entry, names(constants), names(arguments), problem.dtype, (traits.group(GROUP), 1, 1))


def _adaptive_source(problem: PoolProblem, traits: DeviceTraits, params: PoolParams) -> KernelSource:
    backward = problem.direction is not Pass.FORWARD
    # Window i of o over n elements: floor(i n / o) to ceil((i + 1) n / o). Divisions of 64 bits are slow and seldom needed.
    largest = max((n + 1) * (o + 1) for n, o in zip(problem.size, problem.out_size, strict=True))
    kind = "int" if largest <= LARGEST else "long"
    bounds = {
        "START(i, outputs, size)": f"((int)(({kind})(i) * (size) / (outputs)))",
        "END(i, outputs, size)": f"((int)(((({kind})(i) + 1) * (size) + (outputs) - 1) / (outputs)))",
    }
    constants = names(bounds, TILE=params.tile, LANES=LANES)
    entry = "pool_direct_adaptive_backward" if backward else "pool_direct_adaptive"
    return KernelSource("pool_direct_adaptive", entry, constants, names(backward=backward), problem.dtype, (traits.group(GROUP), 1, 1))
