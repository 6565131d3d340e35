"""Direct convolution on plain tensors: every rank, pass, group count and epilogue. The last resort of its family.

All ranks run as three axes, leading ones of size 1. The tensor that windows slide over is first copied in float into scratch, with the
zeros of its padding around it and its columns sorted by residue modulo the stride, so that the sums run without a test and load whole
vectors. The zeros are multiplied like numbers: an infinite weight gives NaN where it meets padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import AXES, CEIL_DIV, GROUP, check_operands, per_axis_constants, tasks_each, three
from clconv.codegen.expressions import activation_macro
from clconv.codegen.plan import KernelCall, KernelSource, Names, Plan, names
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.geometry import ConvGeometry, Phase
from clconv.problem import ConvProblem, Pass
from clconv.tensor import MOST_ELEMENTS, round_up

# What the copies move on a CPU device, whatever the number of its cores: measured with two cores of Zen 1.
BYTES_PER_SECOND = 9e9
TILES = ((1, 4), (2, 4), (4, 2), (6, 2), (8, 2))


@dataclass(frozen=True)
class DirectParams:
    """Of forward and backward-data: a work-item sums tile_k channels x rows x columns vectors of `lanes` neighbouring outputs."""

    tile_k: int
    rows: int
    columns: int
    lanes: int


@dataclass(frozen=True)
class WeightsParams:
    """Of backward-weights: a work-item sums tile_k filters x tile_c channels x tile_s kernel columns, `lanes` outputs at once."""

    tile_k: int
    tile_c: int
    tile_s: int
    lanes: int


@dataclass(frozen=True)
class Axis:
    """One axis of a sliding sum: output f + j * out_step of phase f reads, for tap t, input offset + j * in_step + t * step."""

    phases: tuple[Phase, ...]
    out_step: int
    in_step: int

    @property
    def begin(self) -> int:
        """Zeros before the input (negative: its first elements are left out)."""
        return -min(p.offset + min(0, (p.taps - 1) * p.step) for p in self.phases if p.taps)

    def extent(self, count: int) -> int:
        """Staged elements that `count` outputs of every phase read."""
        last = max(p.offset + (count - 1) * self.in_step + max(0, (p.taps - 1) * p.step) for p in self.phases if p.taps)
        return last + self.begin + 1

    def constants(self, letter: str) -> dict[str, object]:
        """The header's names for this axis; those of a phase are chains of comparisons that fold where all phases agree."""
        steps = {p.step for p in self.phases if p.taps}
        by_phase = {
            "BASE": [p.offset + self.begin if p.taps else 0 for p in self.phases],
            "TAPS": [p.taps for p in self.phases],
            "TAP0": [p.tap0 for p in self.phases],
            "TAP_STEP": [p.tap_step for p in self.phases],
        }
        out: dict[str, object] = {f"{name}_{letter}(f)": _chain(values) for name, values in by_phase.items()}
        out[f"PHASES_{letter}"] = len(self.phases)
        out[f"OUT_STEP_{letter}"] = self.out_step
        out[f"IN_STEP_{letter}"] = self.in_step
        out[f"STEP_{letter}"] = f"({steps.pop()})"
        return out


def _chain(values: list[int]) -> str:
    if len(set(values)) == 1:
        return str(values[0])
    return "(" + "".join(f"(f) == {i} ? {v} : " for i, v in enumerate(values[:-1])) + f"{values[-1]})"


def axes_of(problem: ConvProblem) -> tuple[Axis, Axis, Axis]:
    """How forward or backward-data slides along (depth, height, width)."""
    g = problem.geometry
    one = Axis((Phase(0, 1, 0, 1, 0, 1),), 1, 1)
    axes = [one] * (3 - g.rank)
    for axis in range(g.rank):
        if problem.direction is Pass.FORWARD:
            taps = Phase(0, g.kernel[axis], 0, 1, -g.padding[axis][0], g.dilation[axis])
            axes.append(Axis((taps,), 1, g.stride[axis]))
        else:
            axes.append(Axis(g.phases(axis), g.stride[axis], 1))
    d, h, w = axes
    return d, h, w


def vector_macros(lanes: int, dtype: str) -> dict[str, object]:
    """Unaligned loads and stores of `vec`, `lanes` floats side by side: of the storage type, of staged floats, of private arrays."""
    if lanes == 1:
        return {
            "LANES": 1, "vec": "float", "READ(p)": "LOAD((p), 0)", "WRITE(v, p)": "STORE((p), 0, (v))",
            "READ_STAGED(p)": "(*(p))", "READ_LANES(p)": "(*(p))", "WRITE_LANES(v, p)": "(*(p) = (v))",
        }  # fmt: skip
    # Through a packed struct rather than vload: PoCL calls its built-in functions instead of inlining them.
    shape = f"struct __attribute__((packed)) {{ float{lanes} all; }} *"
    half = dtype == "float16"
    return {
        "LANES": lanes, "vec": f"float{lanes}", "mask": f"int{lanes}",
        "LANE_IDS": f"((int{lanes})({', '.join(map(str, range(lanes)))}))",
        "READ(p)": f"vload_half{lanes}(0, (p))" if half else f"(((__global const {shape})(p))->all)",
        "WRITE(v, p)": f"vstore_half{lanes}((v), 0, (p))" if half else f"(((__global {shape})(p))->all = (v))",
        "READ_STAGED(p)": f"(((__global const {shape})(p))->all)",
        "READ_LANES(p)": f"(((const {shape})(p))->all)",
        "WRITE_LANES(v, p)": f"(((__private {shape})(p))->all = (v))",
    }  # fmt: skip


@dataclass(frozen=True)
class Staged:
    """A tensor (planes, D, H, W) copied into scratch `name`: (planes, staged D, staged H, split, pitch) floats from `begin` zeros on."""

    name: str
    operand: str
    planes: int
    size: tuple[int, int, int]
    begin: tuple[int, int, int]
    extent: tuple[int, int, int]
    split: int = 1

    @property
    def pitch(self) -> int:
        """Columns of one residue."""
        return -(-self.extent[2] // self.split)

    @property
    def elements(self) -> int:
        return self.planes * self.extent[0] * self.extent[1] * self.split * self.pitch

    def call(self, problem: ConvProblem, traits: DeviceTraits) -> KernelCall:
        if self.elements > MOST_ELEMENTS:
            raise UnsupportedError(
                f"{problem}: the padded copy of {self.operand} has {self.elements} elements, kernels address at most {MOST_ELEMENTS}; "
                "split the batch"
            )
        group = traits.group(GROUP)
        constants = CEIL_DIV | {"SPLIT": str(self.split), "GROUP": str(group)}
        source = KernelSource("conv_direct_stage", "conv_direct_stage", names(constants), (), problem.dtype, (group, 1, 1))
        rows = self.extent[0] * self.extent[1]
        each = min(rows, tasks_each(rows * self.planes, traits))
        bindings = dict(x=self.operand, staged=self.name, rows_each=each, pitch=self.pitch)
        bindings |= dict(zip(("depth", "height", "width"), self.size, strict=True))
        bindings |= {f"begin_{letter}": begin for letter, begin in zip("dhw", self.begin, strict=True)}
        bindings |= dict(staged_depth=self.extent[0], staged_height=self.extent[1])
        return KernelCall(source, (group, -(-rows // each), self.planes), names(bindings))  # type: ignore[arg-type]


class ConvDirect(Algorithm[ConvProblem]):
    """Convolution by sums over a padded copy; accepts every ConvProblem."""

    name = "conv_direct"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        return None

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        """On CPU devices the sums and, after one another, the padded copies: what is copied is read and written once more."""
        if not traits.is_cpu:
            return super().seconds(problem, traits, params)
        weights = problem.direction is Pass.BACKWARD_WEIGHTS
        copied = sum(problem.spec(name).nbytes for name in (("x", "dy") if weights else problem.inputs[:1]))
        moved = 2 * copied + sum(problem.spec(name).nbytes for name in problem.outputs)
        estimate = problem.multiply_adds / (self.rate(problem, traits) * traits.compute_units) + moved / BYTES_PER_SECOND + 1e-5
        if problem.direction is Pass.BACKWARD_DATA:
            # It walks plain weights across their rows: measured, as if they were fetched at this rate.
            estimate += problem.spec("w").nbytes / 1.2e9
        return estimate

    def rate(self, problem: ConvProblem, traits: DeviceTraits) -> float:
        if not traits.is_cpu:
            return traits.start.rate / 10  # a guess: its few sums a work-item all come from global memory
        return (1.6e9 if problem.direction is Pass.BACKWARD_WEIGHTS else 1.9e9) * traits.simd_width

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> DirectParams | WeightsParams:
        lanes = traits.simd_width if traits.is_cpu else 1
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return weights_tile(problem, traits, lanes)
        own = channels_of_group(problem)[0]
        # Multiply-adds and loads for one vector of outputs of all channels of a group; the sums and their operands stay in registers.
        fitting = [(k, v) for k, v in TILES if k * v + v + 1 <= traits.vector_registers]
        tile_k, vectors = min(fitting, key=lambda t: (-(-own // t[0]) * (t[0] * t[1] + t[0] + t[1]) / t[1], -t[0]))
        return DirectParams(tile_k, *((1, vectors) if problem.geometry.rank == 1 else (vectors, 1)), lanes)

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[DirectParams | WeightsParams]:
        default = self.defaults(problem, traits)
        yield default
        if isinstance(default, WeightsParams):
            for tile_k in {1, 2, 4, 6} - {default.tile_k}:
                yield WeightsParams(tile_k, default.tile_c, default.tile_s, default.lanes)
            return
        tiles = [(k, *tile) for k, v in (*TILES, (4, 1), (4, 3), (8, 1)) for tile in dict.fromkeys(((v, 1), (1, v)))]
        for tile_k, rows, columns in tiles:
            params = DirectParams(tile_k, rows, columns, default.lanes)
            if params != default:
                yield params

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        check_operands(problem)
        if isinstance(params, WeightsParams):
            return plan_weights(problem, traits, params)
        assert isinstance(params, DirectParams)
        return plan_sums(problem, traits, params)


def channels_of_group(problem: ConvProblem) -> tuple[int, int]:
    """(channels of the output, channels summed over) of one group of forward or backward-data."""
    filters, channels = problem.filters // problem.geometry.groups, problem.channels // problem.geometry.groups
    return (filters, channels) if problem.direction is Pass.FORWARD else (channels, filters)


def weights_tile(problem: ConvProblem, traits: DeviceTraits, lanes: int) -> WeightsParams:
    """The largest tile whose sums, gradients and one input vector fit into the registers."""
    taps = problem.geometry.kernel[-1]
    tile_s = -(-taps // -(-taps // 5))
    filters, channels = problem.w_shape[0] // problem.geometry.groups, problem.w_shape[1]
    tile_c = 1 if tile_s > 2 else min(channels, 4 // tile_s)
    vectors = tile_c * tile_s
    most = max(1, (traits.vector_registers - 1) // (vectors + 1))
    tile_k = min(range(1, most + 1), key=lambda k: (-(-filters // k) * (k * vectors + k + vectors), -k))
    return WeightsParams(tile_k, tile_c, tile_s, lanes)


def plan_sums(problem: ConvProblem, traits: DeviceTraits, params: DirectParams) -> Plan:
    """Forward and backward-data: stage the input (float16: the weights too), then sum."""
    g, forward = problem.geometry, problem.direction is Pass.FORWARD
    axes = axes_of(problem)
    own, reduced = channels_of_group(problem)
    source_size, size = three(problem.size), three(problem.output_size)
    if not forward:
        source_size, size = size, source_size
    tile = (1, params.rows, params.columns * params.lanes)
    tiles = [-(-n // (a.out_step * t)) for n, a, t in zip(size, axes, tile, strict=True)]
    extent = three(tuple(a.extent(n * t) for a, n, t in zip(axes, tiles, tile, strict=True)))
    staged = Staged(
        "staged", "x" if forward else "dy", problem.batch * g.groups * reduced, source_size,
        three(tuple(a.begin for a in axes)), extent, axes[2].in_step,
    )  # fmt: skip
    calls, scratch, weights = _staged_weights(problem, traits)
    taps = math.prod(g.kernel)
    filter_step, channel_step = taps * problem.w_shape[1], taps
    bindings: dict[str, object] = dict(
        staged=staged.name, w=weights, out=problem.outputs[0], groups=g.groups, own=own, reduced=reduced, w_group=own * reduced * taps,
        w_own=filter_step if forward else channel_step, w_reduced=channel_step if forward else filter_step,
        depth=size[0], height=size[1], width=size[2], staged_depth=extent[0], staged_height=extent[1], pitch=staged.pitch,
        tiles_d=tiles[0], tiles_h=tiles[1], tiles_w=tiles[2], tiles_k=-(-own // params.tile_k),
    )  # fmt: skip
    bindings |= {name: name for name in ("bias", "residual") if name in problem.tensors()}
    phases = math.prod(len(a.phases) for a in axes)
    group = traits.group(GROUP)
    constants, arguments = _sums_source(problem, params, axes)
    source = KernelSource("conv_direct", "conv_direct", constants, arguments, problem.dtype, (group, 1, 1))
    items = (math.prod(tiles) * phases, g.groups * -(-own // params.tile_k), problem.batch)
    sums = KernelCall(source, items, names(bindings))  # type: ignore[arg-type]
    return Plan((*calls, staged.call(problem, traits), sums), (*scratch, (staged.name, 4 * staged.elements)))


def _sums_source(problem: ConvProblem, params: DirectParams, axes: tuple[Axis, Axis, Axis]) -> tuple[Names, Names]:
    """Header constants and render arguments of the template `conv_direct`."""
    constants: dict[str, object] = vector_macros(params.lanes, problem.dtype)
    for letter, axis, kernel in zip(AXES, axes, three(problem.geometry.kernel), strict=True):
        constants |= axis.constants(letter)
        constants[f"KERNEL_{letter}"] = kernel
    constants |= activation_macro(problem.epilogue.activation)
    constants |= {"SPLIT_W": axes[2].in_step, "TILE_K": params.tile_k, "TILE_H": params.rows, "TILE_W": params.columns}
    arguments = names(
        tile_k=params.tile_k, tile_v=params.rows * params.columns, tile_w=params.columns,
        bias=problem.epilogue.bias, residual=problem.epilogue.residual,
    )  # fmt: skip
    return names(constants), arguments


def _staged_weights(problem: ConvProblem, traits: DeviceTraits) -> tuple[tuple[KernelCall, ...], tuple[tuple[str, int], ...], str]:
    """The calls and scratch that give w in float, and the name it then goes by."""
    if problem.dtype == "float32":
        return (), (), "w"
    kernel = three(problem.geometry.kernel)
    copy = Staged("float_w", "w", problem.w_shape[0] * problem.w_shape[1], kernel, (0, 0, 0), kernel)
    return (copy.call(problem, traits),), ((copy.name, 4 * copy.elements),), copy.name


def plan_weights(problem: ConvProblem, traits: DeviceTraits, params: WeightsParams) -> Plan:
    """Backward-weights: stage x and dy, sum runs of output rows, add up the runs."""
    g = problem.geometry
    kernel, stride = three(g.kernel), three(g.stride)
    begin = three(tuple(a for a, _ in g.padding), 0)
    out = three(problem.output_size)
    reach = three(g.effective_kernel)
    wide = (*out[:2], round_up(out[2], params.lanes))
    extent = three(tuple((n - 1) * s + m for n, s, m in zip(wide, stride, reach, strict=True)))
    x = Staged("staged_x", "x", problem.batch * problem.channels, three(problem.size), begin, extent, stride[2])
    dy = Staged("staged_dy", "dy", problem.batch * problem.filters, out, (0, 0, 0), wide)
    filters, channels = problem.filters // g.groups, problem.channels // g.groups
    tiles_k, tiles_c, tiles_s = -(-filters // params.tile_k), -(-channels // params.tile_c), -(-kernel[2] // params.tile_s)
    items = (tiles_c * kernel[0] * kernel[1] * tiles_s, g.groups * tiles_k)
    rows = problem.batch * out[0] * out[1]
    wanted = traits.compute_units * (8 if traits.is_cpu else 1024)
    rows_each = -(-rows // min(rows, -(-wanted // math.prod(items))))
    splits, count = -(-rows // rows_each), math.prod(problem.w_shape)
    bindings = dict(
        x=x.name, dy=dy.name, partial="partial", batch=problem.batch, groups=g.groups, own=filters, channels=channels,
        staged_depth=extent[0], staged_height=extent[1], pitch=x.pitch, out_depth=out[0], out_height=out[1], out_width=out[2],
        dy_pitch=dy.pitch, tiles_c=tiles_c, tiles_k=tiles_k, rows_each=rows_each,
    )  # fmt: skip
    group = traits.group(GROUP)
    sums = KernelCall(_weights_source(problem, params, tiles_s, (group, 1, 1)), (*items, splits), names(bindings))  # type: ignore[arg-type]
    chunk = 64 if traits.is_cpu else 1
    total = KernelSource(
        "conv_direct_backward_weights", "conv_direct_sum", names(CHUNK=chunk), names(entry="conv_direct_sum"), problem.dtype, (group, 1, 1)
    )
    add = KernelCall(total, (-(-count // chunk), 1, 1), names(partial="partial", dw="dw", count=count, splits=splits))  # type: ignore[arg-type]
    scratch = ((x.name, 4 * x.elements), (dy.name, 4 * dy.elements), ("partial", 4 * splits * count))
    return Plan((x.call(problem, traits), dy.call(problem, traits), sums, add), scratch)


def _weights_source(problem: ConvProblem, params: WeightsParams, tiles_s: int, group: tuple[int, int, int]) -> KernelSource:
    g: ConvGeometry = problem.geometry
    constants: dict[str, object] = vector_macros(params.lanes, problem.dtype)
    for name, values in (("KERNEL", g.kernel), ("STRIDE", g.stride), ("DILATION", g.dilation)):
        constants |= per_axis_constants(name, values)
    constants |= {"TILE_K": params.tile_k, "TILE_C": params.tile_c, "TILE_S": params.tile_s, "TILES_S": tiles_s}
    arguments = names(
        entry="conv_direct_weights", tile_k=params.tile_k, tile_c=params.tile_c, tile_s=params.tile_s, masked=params.lanes > 1
    )
    return KernelSource("conv_direct_backward_weights", "conv_direct_weights", names(constants), arguments, problem.dtype, group)
