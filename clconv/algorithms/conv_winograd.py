"""Convolution and data gradients by minimal filtering on channel-blocked tensors: fewer multiplications, all in one kernel.

F(m x m, r x r) computes m x m positions with (m + r - 1)^2 products a pair of channels instead of m^2 r^2 (Winograd 1980; Lavin and Gray
2016). Errors grow with m: of the largest result about 1e-6 for m = 2, 1e-5 for 4, 3e-5 for 6. A NaN or infinity in the input spreads over
the tiles that read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from clconv.algorithms.base import Algorithm
from clconv.algorithms.blocked_calls import Roles, Steps, check_maps, target_addresses
from clconv.algorithms.conv_blocked import FEW_CHANNELS
from clconv.algorithms.minimal_filtering import MOST_PRODUCTS
from clconv.algorithms.register_tiles import step_cost, widest
from clconv.algorithms.winograd_tiles import Axis, Parts, axes, filters, fits, needed_halo, tile_outputs, two
from clconv.codegen.expressions import bounded_activation
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass
from clconv.tensor import Blocked, Layout, Transformed, round_up

OUTPUTS = (4, 2, 3, 6, 5)
# Beyond that the transforms lose another digit.
MOST_SAFE_PRODUCTS = 6
# By outputs: measured with normal and with uniform numbers, 5 to 512 channels, kernels of 2 to 5 taps; twice the largest.
ERROR_FACTORS = {2: 1.5, 3: 2.0, 4: 5.0, 5: 12.0, 6: 14.0}
CHUNK = 128
ITEMS_PER_UNIT = 4
MOST_CHOICES = 12
# A cache line, in floats: products are that much more apart than they need, or they fall on the same lines of the cache.
LINE = 16


@dataclass(frozen=True)
class Costs:
    """What a core takes: `vectors` multiply-adds of a vector a second, `transform` and `transform_more` times the products of an axis to
    transform a vector.

    Weights stream in at `stream` bytes a second, where `apart` each core its slice of them; again from a cache, `again` times as long, if
    a slice has at most `cached` bytes. Data and sums of a part beyond `near` bytes slow products by `far`. `hidden` is the share of the
    lesser of products and streaming that goes on beside the other; `begin` the seconds of a launch and of cores that wait for each other.
    """

    vectors: float
    stream: float
    apart: bool
    cached: float
    again: float
    near: float
    far: float
    transform: float
    transform_more: float
    hidden: float
    begin: float


# Measured with PoCL, on Zen 1 and on Sapphire Rapids (26 layers, 12 choices each: what is chosen takes 1.03 times the best on average).
NARROW = Costs(2.6e9, 15e9, False, 4e6, 0.0, math.inf, 0.0, 7.0, 0.0, 0.5, 5e-6)
WIDE = Costs(6.0e9, 13.8e9, True, 3.35e6, 0.23, 1.1e6, 0.1, 14.4, 1.6, 0.0, 4e-5)


@dataclass(frozen=True)
class ConvWinogradParams:
    """`outputs`: positions of a tile along an axis (1 where the kernel has one tap); `tile_k` channel blocks by `width` tiles stay in
    registers; a work-item transforms about `part` tiles at once; `chunk`: input channels whose weights stay in the first cache;
    `slices` of the output channels, each of which transforms the data anew."""

    outputs: int
    tile_k: int
    width: int
    part: int
    chunk: int
    slices: int


def check_params(problem: ConvProblem, traits: DeviceTraits, params: ConvWinogradParams) -> None:
    """UnsupportedError where parameters, or the tiles that weights are transformed for, do not go with the problem."""
    if not fits(problem, params.outputs):
        shape = problem.tensors()[Roles.of(problem).target].shape
        raise UnsupportedError(
            f"{problem}: outputs={params.outputs} need more than {MOST_PRODUCTS} products along an axis, or larger maps than {shape}"
        )
    if params.width < 2 or params.chunk < 1 or params.chunk % traits.block or min(params.tile_k, params.part, params.slices) < 1:
        raise UnsupportedError(f"{problem}: needs width of at least 2 and chunk of whole blocks of {traits.block} channels, got {params}")


def estimate(problem: ConvProblem, traits: DeviceTraits, params: ConvWinogradParams) -> float:
    """Seconds: the products at the rate of the register tile, the weights as they stream in, and the transforms."""
    roles, groups, c = Roles.of(problem), problem.geometry.groups, traits.block
    costs = WIDE if traits.vector_registers > 16 else NARROW
    rows, columns = axes(problem, params.outputs)
    products, cut = rows.products * columns.products, Parts.of(problem, traits, params)
    channel_tiles, input_blocks = -(-roles.outputs // (params.tile_k * c)), -(-roles.inputs // c)
    busy = min(traits.compute_units, cut.parts * cut.slices * groups)
    # Parts that the units cannot share evenly leave some of them waiting.
    waves = -(-cut.parts * cut.slices * groups // busy) * busy / (cut.parts * cut.slices * groups)
    slots = cut.parts * cut.slots * waves
    steps = products * slots * roles.inputs * channel_tiles * params.tile_k * groups
    slowed = step_cost(params.width, params.tile_k, traits.vector_registers) / (params.width * params.tile_k)
    multiply = steps * slowed / (costs.vectors * busy)
    if 4 * products * cut.slots * c * (input_blocks + params.tile_k) > costs.near:
        multiply *= 1 + costs.far
    weights = 4.0 * products * roles.inputs * channel_tiles * params.tile_k * c * groups / (cut.slices if costs.apart else 1)
    rounds = -(-cut.parts // max(1, busy // (cut.slices * groups)))
    stream = weights / costs.stream * (1 + (rounds - 1) * (costs.again if weights <= costs.cached else 1))
    vectors = groups * (input_blocks * cut.slices + channel_tiles * params.tile_k)
    each = costs.transform + costs.transform_more * max(rows.dense, columns.dense)
    transform = vectors * products * cut.tiles * each / (costs.vectors * busy)
    return transform + max(multiply, stream) + (1 - costs.hidden) * min(multiply, stream) + costs.begin


@lru_cache(maxsize=2048)
def ranked(problem: ConvProblem, traits: DeviceTraits) -> tuple[ConvWinogradParams, ...]:
    """All sensible parameters by estimate, those with up to MOST_SAFE_PRODUCTS products along an axis, whose errors stay small, first."""
    tile_k = 2 if Roles.of(problem).outputs > traits.block else 1
    width = widest(tile_k, traits.vector_registers)
    choices = [
        ConvWinogradParams(outputs, tile_k, width, part, CHUNK, slices)
        for outputs in OUTPUTS
        if fits(problem, outputs)
        for part in (width, 2 * width, 4 * width, 8 * width)
        for slices in dict.fromkeys((1, traits.compute_units))
    ]
    different = {(params.outputs, Parts.of(problem, traits, params)): params for params in reversed(choices)}

    def order(params: ConvWinogradParams) -> tuple[bool, float]:
        unsafe = max(axis.dense for axis in axes(problem, params.outputs)) > MOST_SAFE_PRODUCTS
        return unsafe, estimate(problem, traits, params)

    return tuple(sorted(different.values(), key=order))


class ConvWinograd(Algorithm[ConvProblem]):
    """Minimal filtering with transforms and products fused; wants blocked tensors with halo and transformed weights."""

    name = "conv_winograd"
    takes = ConvProblem

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        g, roles = problem.geometry, Roles.of(problem)
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return "computes the forward and backward_data passes, got backward_weights"
        if not traits.is_cpu or traits.simd_width < 4:
            return f"needs a CPU device with vectors of at least 4 floats, got {traits.label} with {traits.simd_width}"
        if problem.dtype != "float32":
            return f"computes and stores float32, got {problem.dtype}"
        if g.rank > 2:
            return f"needs 1 or 2 spatial axes, got {g.rank}"
        if any(s > 1 and d > 1 for s, d in zip(g.stride, g.dilation, strict=True)):
            return f"needs stride 1 or dilation 1 along an axis, got {g.stride} and {g.dilation}"
        if max(g.kernel) == 1 or max(g.kernel) > MOST_SAFE_PRODUCTS - 1:
            return f"needs a kernel of 2 to {MOST_SAFE_PRODUCTS - 1} taps along an axis, got {g.kernel}"
        if roles.inputs <= FEW_CHANNELS:
            return f"needs more than {FEW_CHANNELS} input channels to make up for the transforms, got {roles.inputs}"
        if g.groups > 1 and (roles.inputs % traits.block or roles.outputs % traits.block):
            return f"groups must hold whole blocks of {traits.block} channels, got {roles.inputs} in and {roles.outputs} out"
        if not any(fits(problem, m) for m in OUTPUTS):
            shape = problem.tensors()[roles.target].shape
            return f"needs maps of at least 2 positions along an axis (and residue of the dilation), got {shape}"
        return None

    def defaults(self, problem: ConvProblem, traits: DeviceTraits) -> ConvWinogradParams:
        return next(self.space(problem, traits))

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvWinogradParams]:
        yield from ranked(problem, traits)[:MOST_CHOICES]

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        assert isinstance(params, ConvWinogradParams)
        roles, c = Roles.of(problem), traits.block
        turned = problem.direction is Pass.BACKWARD_DATA
        out: dict[str, Layout] = {
            roles.source: Blocked(c, needed_halo(problem, params.outputs)),
            "w": Transformed(
                c, params.tile_k, tile_outputs(problem, params.outputs), two(problem.geometry.stride), problem.geometry.groups, turned
            ),
            roles.target: Blocked(c),
        }
        if problem.epilogue.residual:
            out["residual"] = Blocked(c)
        return out

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvWinogradParams)
        for name in problem.tensors():
            problem.spec(name).check_addressable(str(problem))
        stored, wanted = problem.layout("w"), self.wants(problem, traits, params)["w"]
        if isinstance(stored, Transformed):  # weights that are transformed already decide over what they hold
            params = replace(params, outputs=max(stored.outputs), tile_k=stored.tile)
            wanted = self.wants(problem, traits, params)["w"]
        if stored != wanted:
            raise UnsupportedError(f"{problem}: w must be {wanted}, got {stored}; transform it first")
        check_params(problem, traits, params)
        check_maps(problem, traits, (traits.block,), needed_halo(problem, params.outputs))
        roles, groups = Roles.of(problem), problem.geometry.groups
        rows, columns = axes(problem, params.outputs)
        cut = Parts.of(problem, traits, params)
        products = rows.products * columns.products
        product_step = cut.slots * round_up(roles.inputs, traits.block) + LINE
        data, sums = 4 * products * product_step, 4 * products * params.tile_k * cut.slots * traits.block
        local_sums, local = sums <= traits.local_memory_bytes, data + sums <= traits.local_memory_bytes
        workers = min(cut.parts, max(1, traits.compute_units * (ITEMS_PER_UNIT if local else 1) // (cut.slices * groups)))
        bindings: dict[str, str | int | float] = {"x": roles.source, "w": "w", "y": roles.target}
        x = Steps.of(problem.spec(roles.source))
        bindings |= target_addresses(problem, 0, 0)
        bindings |= {"x_image": x.image, "x_plane": x.plane, "x_row": x.row, "x_offset": x.at(rows.origin, columns.origin)}
        bindings |= {
            "channels": roles.inputs, "filters": roles.outputs, "out_h": rows.size, "out_w": columns.size,
            "phase_tiles_h": rows.tiles, "phase_tiles_w": columns.tiles, "tiles_h": rows.total, "tiles_w": columns.total,
            "tiles": cut.tiles, "parts": cut.parts, "slices": cut.slices, "slots": cut.slots, "product_step": product_step,
        }  # fmt: skip
        scratch = []
        for name, nbytes, fits_local in (("data", data, local), ("sums", sums, local_sums)):
            bindings |= {name: nbytes} if fits_local else {f"all_{name}": name}
            scratch += [] if fits_local else [(name, workers * groups * cut.slices * nbytes)]
        source = kernel_source(problem, traits, params, rows, columns, (local, local_sums))
        return Plan((KernelCall(source, (workers, groups * cut.slices, 1), tuple(sorted(bindings.items()))),), tuple(scratch))

    def stand_ins(self, call: KernelCall) -> Iterator[Plan]:
        """Kernels that keep in global memory what this one keeps in local memory."""
        arguments, bindings, scratch = dict(call.source.arguments), dict(call.bindings), []
        for name in ("data", "sums"):
            if not arguments[f"local_{name}"]:
                continue
            nbytes = bindings.pop(name)
            assert isinstance(nbytes, int)
            scratch.append((name, call.items[0] * call.items[1] * nbytes))
            arguments[f"local_{name}"], bindings[f"all_{name}"] = False, name
            source = replace(call.source, arguments=names(arguments))
            yield Plan((replace(call, source=source, bindings=tuple(sorted(bindings.items()))),), tuple(scratch))

    def error_factor(self, problem: ConvProblem, params: object) -> float | None:
        assert isinstance(params, ConvWinogradParams)
        return ERROR_FACTORS[params.outputs]

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        assert isinstance(params, ConvWinogradParams)
        return estimate(problem, traits, params)


def kernel_source(
    problem: ConvProblem, traits: DeviceTraits, params: ConvWinogradParams, rows: Axis, columns: Axis, local: tuple[bool, bool]
) -> KernelSource:
    """What of the call is in the code: everything but sizes, positions and channel counts."""
    maps = filters(problem, params.outputs)
    constants: dict[str, int | str] = {"BLOCK": traits.block, "TILE_K": params.tile_k, "WIDTH": params.width, "CHUNK": params.chunk}
    for name, axis in (("H", rows), ("W", columns)):
        constants |= {f"OUTPUTS_{name}": axis.outputs, f"PRODUCTS_{name}": axis.products, f"DILATION_{name}": axis.dilation}
        constants |= {f"READ_STRIDE_{name}": axis.read, f"WRITE_STRIDE_{name}": axis.write}
    constants |= bounded_activation(problem.epilogue.activation)[0]
    arguments = {
        "block": traits.block, "tile_k": params.tile_k, "width": params.width, "local_data": local[0], "local_sums": local[1],
        "data_maps": tuple(m.data for m in maps), "output_maps": tuple(m.output for m in maps),
        "tail": Roles.of(problem).inputs % traits.block > 0,
    }  # fmt: skip
    return KernelSource("conv_winograd", "conv_winograd", names(constants), names(arguments), problem.dtype)
