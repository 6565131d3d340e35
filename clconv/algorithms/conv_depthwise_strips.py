"""Depthwise convolution on plain maps of one or two axes, all passes: strips of a column's outputs, for GPUs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_calls import AxisCall, Roles, plane_calls
from clconv.algorithms.common import SHARING, check_operands, power_above, sharing_group
from clconv.algorithms.conv_gemm import LAUNCH_SECONDS, machine_of
from clconv.algorithms.gemm_launch import activation, epilogue, sub_group_attribute, two, with_second_pass
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Pass

MOST_TAPS, MOST_TAPS_OF_SEVERAL, MOST_COLUMNS = 49, 25, 11
"""Taps whose weights, or sums, stay in registers; in a loop over several filters of a channel; and of one row."""
LANES = 64
GROUPS_PER_UNIT = 4
STRIPS_EACH = 2
"""Strips of a column that a work-item of the weight gradient sums at least, before work-groups share a filter."""

Line = tuple[int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class ConvDepthwiseStripsParams:
    """A work-item computes `rows` outputs below each other, or sums the weight gradient of as many at once."""

    rows: int


def lines_of(rows: int, stride: int, taps: int, step: int) -> tuple[Line, ...]:
    """Each row that `rows` outputs read, counted from the first output's first tap: the pairs (output, row of taps) that read it.

    >>> lines_of(2, 1, 2, 1)
    ((0, ((0, 0),)), (1, ((0, 1), (1, 0))), (2, ((1, 1),)))
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for output in range(rows):
        for tap in range(taps):
            found.setdefault(output * stride + tap * step, []).append((output, tap))
    return tuple((line, tuple(uses)) for line, uses in sorted(found.items()))


class ConvDepthwiseStrips(Algorithm[ConvProblem]):
    """One channel a group, any number of filters a channel; geometry is in the code, sizes are arguments."""

    name = "conv_depthwise_strips"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if traits.is_cpu:
            return f"is shaped for GPUs: neighbouring work-items read neighbouring elements, which gains nothing on {traits.label}"
        return self.why_not_forced(problem, traits)

    def why_not_forced(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        g = problem.geometry
        if g.rank > 2:
            return f"needs 1 or 2 spatial axes, got {g.rank}"
        if g.groups != problem.channels or g.groups == 1:
            return f"needs one channel a group, got {problem.channels} in {g.groups} groups"
        several = problem.direction is Pass.BACKWARD_DATA and problem.filters > problem.channels
        most = MOST_TAPS_OF_SEVERAL if several else MOST_TAPS
        if math.prod(g.kernel) > most or g.kernel[-1] > MOST_COLUMNS:
            return f"writes out at most {most} taps, {MOST_COLUMNS} in a row, got a kernel of {g.kernel}"
        needed = 4 * g.kernel[-1] * sharing_group(traits)
        if problem.direction is Pass.BACKWARD_WEIGHTS and needed > traits.local_memory_bytes:
            return f"needs {needed} bytes of local memory, {traits.label} has {traits.local_memory_bytes}"
        return None

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvDepthwiseStripsParams:
        g, weights = problem.geometry, problem.direction is Pass.BACKWARD_WEIGHTS
        if g.rank == 1 or g.kernel[0] == 1:
            return ConvDepthwiseStripsParams(1)  # the rows of a strip would share nothing
        rows = problem.output_size[0] if weights else max(call.count for call, _ in plane_calls(problem))
        # So few that short maps do not fill strips up, and that the sums of many taps leave registers for reads.
        most = 2 if weights and math.prod(g.kernel) > MOST_TAPS_OF_SEVERAL else 4
        return ConvDepthwiseStripsParams(min(most, power_above(rows)))

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvDepthwiseStripsParams]:
        best = self.defaults(problem, traits)
        yield best
        yield from (ConvDepthwiseStripsParams(rows) for rows in (1, 2, 4, 8) if rows != best.rows)

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        """What is read and written, and multiply-adds at a fifth of the peak: addresses and tests of bounds take the rest."""
        machine = machine_of(traits)
        launches = 2 if problem.direction is Pass.BACKWARD_WEIGHTS else len(plane_calls(problem))
        moving = problem.bytes_moved / machine.bandwidth
        return max(moving, 5 * problem.multiply_adds / machine.peak) + LAUNCH_SECONDS * launches

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvDepthwiseStripsParams)
        assert problem.all_plain(), f"{problem}: operands must be plain, got {problem.layouts}"
        check_operands(problem)
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return plan_weights(problem, traits, params)
        return Plan(tuple(sums_call(problem, traits, params, rows, columns) for rows, columns in plane_calls(problem)))


def sums_call(
    problem: ConvProblem, traits: DeviceTraits, params: ConvDepthwiseStripsParams, rows: AxisCall, columns: AxisCall
) -> KernelCall:
    """Forward, or one phase of backward-data, whose taps are stored from the last to the first."""
    roles, g, forward = Roles.of(problem), problem.geometry, problem.direction is Pass.FORWARD
    kernel = (1, *g.kernel)[-2:]
    if forward:
        tap0, tap_steps = rows.tap0 * kernel[1] + columns.tap0, (rows.tap_step * kernel[1], columns.tap_step)
    else:
        tap0 = (kernel[0] - 1 - rows.tap0) * kernel[1] + kernel[1] - 1 - columns.tap0
        tap_steps = (-rows.tap_step * kernel[1], -columns.tap_step)
    if not rows.taps or not columns.taps:
        tap0 = 0
    lines = lines_of(params.rows, rows.read_stride, rows.taps, rows.step) if columns.taps else ()
    constants: dict[str, object] = {
        "ROWS": params.rows, "STRIDE_H": rows.read_stride, "STRIDE_W": columns.read_stride, "STEP_W": f"({columns.step})",
    }  # fmt: skip
    arguments = names(several=roles.inputs > 1, lines=lines, taps_h=rows.taps, taps_w=columns.taps, rows=params.rows)
    group = (traits.group(SHARING), 1, 1)
    source = KernelSource(
        "conv_depthwise_strips", "conv_depthwise_strips", names(constants | activation(problem)), arguments, problem.dtype, group
    )
    _, _, height, width = problem.spec(roles.source).planes
    batch, channels, out_height, out_width = problem.spec(roles.target).planes
    strips = -(-rows.count // params.rows)
    items = batch * channels * strips * columns.count
    bindings: dict[str, str | int | float] = {
        "source": roles.source, "w": "w", "out": roles.target, "channels": channels, "inputs": roles.inputs, "outputs": roles.outputs,
        "w_out": int(forward), "w_in": int(not forward), "height": height, "width": width, "out_height": out_height,
        "out_width": out_width, "strips": strips, "rows": rows.count, "columns": columns.count, "first_y": rows.first,
        "out_step_y": rows.out_stride, "first_x": columns.first, "out_step_x": columns.out_stride, "y_offset": rows.offset,
        "x_offset": columns.offset, "tap0": tap0, "tap_y_step": tap_steps[0], "tap_x_step": tap_steps[1],
        "taps_stored": math.prod(kernel), "item_count": items,
    }  # fmt: skip
    bindings |= epilogue(problem, roles.source)
    return KernelCall(source, (items, 1, 1), names(bindings))


def plan_weights(problem: ConvProblem, traits: DeviceTraits, params: ConvDepthwiseStripsParams) -> Plan:
    """Parts of each filter's sums, then their totals."""
    g = problem.geometry
    (kernel, stride, dilation), (begin_y, begin_x) = two(g.kernel, g.stride, g.dilation), ((0, 0), *g.padding)[-2:]
    _, _, height, width = problem.spec("x").planes
    _, _, out_height, out_width = problem.spec("dy").planes
    group = sharing_group(traits)
    lanes = min(group, LANES, power_above(out_width))
    strips = -(-out_height // params.rows)
    all_strips, beside = problem.batch * strips, group // lanes
    wanted = -(-GROUPS_PER_UNIT * max(1, traits.compute_units // traits.start.units_per_group) // problem.filters)
    strips_each = -(-all_strips // max(1, min(wanted, all_strips // (STRIPS_EACH * beside))))
    parts = -(-all_strips // strips_each)
    constants: dict[str, object] = {
        "ROWS": params.rows, "GROUP": group, "TAPS_H": kernel[0], "TAPS_W": kernel[1], "STRIDE_H": stride[0], "STRIDE_W": stride[1],
        "STEP_W": dilation[1], "SUB_GROUP": sub_group_attribute(traits.start.sub_group),
    }  # fmt: skip
    arguments = names(lines=lines_of(params.rows, stride[0], kernel[0], dilation[0]), taps_h=kernel[0], taps_w=kernel[1], rows=params.rows)
    name = "conv_depthwise_strips_weights"
    source = KernelSource(name, name, names(constants), arguments, problem.dtype, (group, 1, 1))
    bindings: dict[str, str | int] = {
        "source": "x", "gradient": "dy", "partial": "partial", "channels": problem.channels, "filters": problem.filters,
        "height": height, "width": width, "out_height": out_height, "out_width": out_width, "y_begin": -begin_y[0], "x_begin": -begin_x[0],
        "strips": strips, "all_strips": all_strips, "strips_each": strips_each, "lanes": lanes,
    }  # fmt: skip
    sums = KernelCall(source, (problem.filters * group, parts, 1), names(bindings))
    return with_second_pass(problem, traits, [sums], parts)
