"""Passes of a convolution over channel-blocked maps, whichever kernel computes them: dense calls along each axis, the operands by what they
do, and where things lie in their buffers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from clconv.codegen.expressions import bounded_activation
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.geometry import ConvGeometry
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Blocked, TensorSpec

Halo = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class AxisCall:
    """One axis of one call: output number j < `count` lies at `first` + j * `out_stride` and sums, for t < `taps`, the input at
    `offset` + j * `read_stride` + t * `step` times the stored weights of tap `tap0` + t * `tap_step`."""

    first: int = 0
    count: int = 1
    out_stride: int = 1
    read_stride: int = 1
    offset: int = 0
    taps: int = 1
    step: int = 1
    tap0: int = 0
    tap_step: int = 1

    def __post_init__(self) -> None:
        if self.taps == 1:  # steps that are never taken must not make another kernel
            object.__setattr__(self, "step", 1)
            object.__setattr__(self, "tap_step", 1)

    def reach(self, size: int) -> tuple[int, int]:
        """How far the call reads before and behind an input of `size`."""
        if not self.taps:
            return 0, 0
        last = self.offset + (self.count - 1) * self.read_stride + (self.taps - 1) * self.step
        return max(0, -self.offset), max(0, last + 1 - size)


def axis_calls(problem: ConvProblem, axis: int) -> tuple[AxisCall, ...]:
    """The calls along `axis`: one of a forward pass, one for each phase with outputs of a data gradient.

    The weights of a data gradient are stored turned, so that its taps are walked backwards: stored tap r' is r = kernel - 1 - r', and the
    gradient is read in ascending order.
    """
    g: ConvGeometry = problem.geometry
    if problem.direction is Pass.FORWARD:
        count = problem.output_size[axis]
        return (AxisCall(0, count, 1, g.stride[axis], -g.padding[axis][0], g.kernel[axis], g.dilation[axis]),)
    calls = []
    for phase in g.phases(axis):
        count = -(-(problem.size[axis] - phase.first) // g.stride[axis])
        if count < 1:
            continue
        call = AxisCall(phase.first, count, g.stride[axis], taps=0)
        if phase.taps:
            last = phase.taps - 1
            call = replace(
                call, offset=phase.offset + last * phase.step, taps=phase.taps, step=-phase.step,
                tap0=g.kernel[axis] - 1 - phase.tap0 - last * phase.tap_step, tap_step=phase.tap_step,
            )  # fmt: skip
        calls.append(call)
    return tuple(calls)


def plane_calls(problem: ConvProblem) -> tuple[tuple[AxisCall, AxisCall], ...]:
    """The calls of the whole pass as (rows, columns); one spatial axis counts as one row."""
    rank = problem.geometry.rank
    rows = axis_calls(problem, 0) if rank == 2 else (AxisCall(),)
    return tuple(product(rows, axis_calls(problem, rank - 1)))


@dataclass(frozen=True)
class Roles:
    """The operands by what they do, whatever the pass: `source` is read, `target` written; channels are those of one group."""

    source: str
    target: str
    inputs: int
    outputs: int

    @classmethod
    def of(cls, problem: ConvProblem) -> Roles:
        c, k = problem.channels // problem.geometry.groups, problem.filters // problem.geometry.groups
        return cls("x", "y", c, k) if problem.direction is Pass.FORWARD else cls("dy", "dx", k, c)


def needed_halo(problem: ConvProblem) -> Halo:
    """Zeros that the pass reads around the planes of its source."""
    _, _, height, width = problem.tensors()[Roles.of(problem).source].planes
    calls = plane_calls(problem)
    ends = []
    for axis, size in enumerate((height, width)):
        reaches = [call[axis].reach(size) for call in calls]
        ends.append((max(begin for begin, _ in reaches), max(end for _, end in reaches)))
    return ends[0], ends[1]


def covers(halo: Halo, needed: Halo) -> bool:
    """Whether `halo` is at least `needed` on every side."""
    return all(have >= need for sides, needs in zip(halo, needed, strict=True) for have, need in zip(sides, needs, strict=True))


def check_maps(problem: ConvProblem, traits: DeviceTraits, blocks: tuple[int, ...], halo: Halo) -> None:
    """The part of `check_layouts` about all operands but the weights; the source may have any of `blocks`, and `halo` at least."""
    roles, c = Roles.of(problem), traits.block
    source = problem.layout(roles.source)
    if not isinstance(source, Blocked) or source.block not in blocks or not covers(source.halo, halo):
        least = Blocked(c, halo)
        other = " (or blocked 1)" if 1 in blocks else ""
        raise UnsupportedError(f"{problem}: {roles.source} must be {least} at least{other}, got {source}; reorder it first")
    for name in (roles.target, *(["residual"] if problem.epilogue.residual else [])):
        layout = problem.layout(name)
        if not isinstance(layout, Blocked) or layout.block != c:
            raise UnsupportedError(f"{problem}: {name} must be blocked {c}, got {layout}; reorder it first")


@dataclass(frozen=True)
class Steps:
    """Distances in the buffer of a blocked tensor, in elements; `origin` is where channel 0 of the map's first position lies."""

    image: int
    plane: int
    row: int
    origin: int
    column: int

    @classmethod
    def of(cls, spec: TensorSpec) -> Steps:
        assert isinstance(spec.layout, Blocked)
        rows, columns = spec.padded_plane
        (top, _), (left, _) = spec.layout.halo
        row = columns * spec.layout.block
        plane = rows * row
        origin = spec.layout.first * plane + top * row + left * spec.layout.block
        return cls(spec.blocks_in_buffer * plane, plane, row, origin, spec.layout.block)

    def at(self, row: int, column: int) -> int:
        return self.origin + row * self.row + column * self.column


def addresses(problem: ConvProblem, rows: AxisCall, columns: AxisCall, tile_k: int, halo: bool) -> dict[str, str | int | float]:
    """The arguments that say where things lie in their buffers."""
    x = Steps.of(problem.spec(Roles.of(problem).source))
    out = target_addresses(problem, rows.first, columns.first, halo)
    empty = not rows.taps or not columns.taps
    out |= {"x_image": x.image, "x_plane": x.plane, "x_row": x.row, "x_offset": 0 if empty else x.at(rows.offset, columns.offset)}
    target = problem.layout(Roles.of(problem).target)
    assert isinstance(target, Blocked)
    out["w_offset"] = (rows.tap0 * problem.geometry.kernel[-1] + columns.tap0) * x.column * tile_k * target.block
    return out


def target_addresses(problem: ConvProblem, row: int, column: int, halo: bool = True) -> dict[str, str | int | float]:
    """The part of `addresses` about the target from position (`row`, `column`) on, its halo and its epilogue."""
    target = problem.spec(Roles.of(problem).target)
    assert isinstance(target.layout, Blocked)
    y = Steps.of(target)
    padded_rows, padded_columns = target.padded_plane
    (top, _), (left, _) = target.layout.halo
    _, _, height, width = target.planes
    out: dict[str, str | int | float] = {
        "y_image": y.image, "y_plane": y.plane, "y_row": y.row, "y_offset": y.at(row, column),
        "writes_halo": int(halo and target.layout.halo != ((0, 0), (0, 0))), "y_first": target.layout.first * y.plane,
        "y_rows": padded_rows, "y_columns": padded_columns, "y_top": top, "y_left": left, "y_h": height, "y_w": width,
    }  # fmt: skip
    return out | epilogue(problem, row, column)


def epilogue(problem: ConvProblem, row: int, column: int) -> dict[str, str | int | float]:
    """The arguments for bias, residual and activation; where there is none of them, another operand stands in, which is not read."""
    fused, stand_in = problem.epilogue, Roles.of(problem).source
    more = Steps.of(problem.spec("residual" if fused.residual else stand_in))
    return {
        "has_bias": int(fused.bias), "bias": "bias" if fused.bias else stand_in,
        "has_residual": int(fused.residual), "residual": "residual" if fused.residual else stand_in,
        "residual_image": more.image, "residual_plane": more.plane, "residual_row": more.row, "residual_offset": more.at(row, column),
        "low": bounded_activation(fused.activation)[1],
    }  # fmt: skip


def is_dense(problem: ConvProblem, rows: AxisCall, columns: AxisCall) -> bool:
    """Whether the kernel is 1 x 1 and neither skips nor pads."""
    dense = all(a.taps == 1 and a.read_stride == a.out_stride == 1 and a.offset == 0 for a in (rows, columns))
    return dense and problem.size == problem.output_size
