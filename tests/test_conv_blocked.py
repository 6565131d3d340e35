"""The register-tile convolution: bit for bit on whole numbers, in every layout a caller may choose, halo and tail channels included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tests.support as support
from clconv import reference
from clconv.algorithms.blocked_calls import Roles, needed_halo
from clconv.algorithms.conv_blocked import ConvBlocked, ConvBlockedParams, useful_share
from clconv.algorithms.register_tiles import Cut, Map, ranked_tiles
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass, parse
from clconv.runtime.context import default_queue
from clconv.runtime.launch import rendered
from clconv.runtime.programs import programs_for
from clconv.tensor import Blocked, Packed, input_blocks
from tests.support import NUMPY, integers, pack_weights, run_plan, sum_bound, traits

ALGORITHM = ConvBlocked()

# Odd channel counts, one-sided padding, even kernels, stride > kernel, dilation with stride, 1 x 1 maps, prime sizes, batch 3, groups, 1-D.
FORWARD = [
    "n1c1i5x5k1f3x3p1",
    "n3c3i11x13k17f3x3s2p1+bias+relu",
    "n1c17i7x9k33f3x3p1,0x0,1+bias+relu+res",
    "n2c33i6x5k3f2x2s3",
    "n1c8i9x10k16f3x2s2p2x1d2x3+bias",
    "n1c16i1x1k24f1x1+bias+leaky_relu(0.25)",
    "n2c24i7x7k16f1x1+bias+relu+res",
    "n1c32i13x11k48f3x3p1g2+bias",
    "n1c5i23k20f5s2p2+bias+relu",
    "n3c17i4x31k9f4x1p1,2x0",
    "n1c4i17x19k33f7x7s2p3",
    "n2c8i3x3k40f3x3p1",
]
BACKWARD = [
    "n1c1i5x5k1f3x3p1:bwd_d",
    "n3c17i7x9k33f3x3p1,0x0,1:bwd_d",
    "n2c9i11x8k17f3x3s2p1:bwd_d",
    "n1c33i7x5k5f2x2s3:bwd_d",
    "n1c8i9x11k16f3x2s2p2x1d2x3:bwd_d+bias",
    "n2c16i5x7k3f1x1s2:bwd_d",
    "n1c32i9x7k48f3x3p1g2:bwd_d",
    "n1c20i23k5f5s2p2:bwd_d",
    "n1c8i1x1k8f1x1:bwd_d",
    "n2c24i7x7k16f1x1:bwd_d+bias+relu+res",
    "deconv n1c12i4x3k9f4x4s2p1+bias+relu",
    "deconv n1c9i3x4k8f3x3s2p1o1+bias",
]


# Near others of the lists, and several kernels each.
RARE = {
    "n1c32i13x11k48f3x3p1g2+bias",
    "n3c17i4x31k9f4x1p1,2x0",
    "n2c8i3x3k40f3x3p1",
    "n1c1i5x5k1f3x3p1:bwd_d",
    "n2c9i11x8k17f3x3s2p1:bwd_d",
    "n1c33i7x5k5f2x2s3:bwd_d",
    "n2c16i5x7k3f1x1s2:bwd_d",
    "n2c24i7x7k16f1x1:bwd_d+bias+relu+res",
    "n1c8i9x11k16f3x2s2p2x1d2x3:bwd_d+bias",
    "n1c8i1x1k8f1x1:bwd_d",
    "n1c20i23k5f5s2p2:bwd_d",
    "deconv n1c9i3x4k8f3x3s2p1o1+bias",
}
SHARED = ConvBlockedParams(1, 1, 1, 4)
"""A tile that fits every size, so that the kernels are the same for all of them."""


def often_and_rarely(texts: list[str]) -> list[object]:
    return [pytest.param(text, marks=pytest.mark.exhaustive if text in RARE else ()) for text in texts]


@pytest.fixture(scope="module", autouse=True)
def cases_built():
    problems = [laid_out(parse(text)) for text in FORWARD + BACKWARD if text not in RARE]
    build([(problem, ALGORITHM.defaults(problem, traits())) for problem in problems])


def build(cases: list[tuple[ConvProblem, ConvBlockedParams]]) -> None:
    """All kernels of `cases` in a few programs, instead of one program each."""
    queue = default_queue()
    calls = [call for problem, params in cases for call in ALGORITHM.plan(problem, traits(), params).calls]
    programs_for(queue.context, queue.device).kernels(rendered(calls))


def laid_out(problem: ConvProblem, device: DeviceTraits | None = None, params: ConvBlockedParams | None = None) -> ConvProblem:
    device = device or traits()
    assert ALGORITHM.why_not(problem, device) is None
    return problem.with_layouts(**ALGORITHM.wants(problem, device, params or ALGORITHM.defaults(problem, device)))


def operands_of(problem: ConvProblem, most: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: integers(rng, problem.spec(name).shape, most) for name in problem.inputs}


def expected(problem: ConvProblem, operands: dict[str, np.ndarray]) -> np.ndarray:
    bias = operands.get("bias")
    if problem.direction is Pass.FORWARD:
        y = reference.conv(operands["x"], operands["w"], bias, problem.geometry)
    else:
        y = reference.conv_backward_data(operands["dy"], operands["w"], problem.geometry, problem.size)
        if bias is not None:
            y = y + bias.reshape(1, -1, *(1,) * problem.geometry.rank)
    y = y + operands.get("residual", 0)
    if problem.epilogue.activation:
        slope = problem.epilogue.activation[1]
        y = np.where(y < 0, y * slope if slope else 0, y)
    return y


def run(problem: ConvProblem, operands: dict[str, np.ndarray], device: DeviceTraits | None = None, params: ConvBlockedParams | None = None):
    device = device or traits()
    plan = ALGORITHM.plan(problem, device, params or ALGORITHM.defaults(problem, device))
    packed = problem.layout("w")
    assert isinstance(packed, Packed)
    w = pack_weights(operands["w"].astype(NUMPY[problem.dtype]), packed)
    return run_plan(plan, problem, operands, stored={"w": w})[problem.outputs[0]]


def check(problem: ConvProblem, device: DeviceTraits | None = None, params: ConvBlockedParams | None = None, most: int = 4) -> None:
    operands = operands_of(problem, most)
    np.testing.assert_array_equal(run(problem, operands, device, params), expected(problem, operands), err_msg=str(problem))


@pytest.mark.parametrize("text", often_and_rarely(FORWARD + BACKWARD))
def test_integers_bit_for_bit(text):
    check(laid_out(parse(text)))


@pytest.mark.parametrize("chunk", [0, pytest.param(2, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(
    "text", ["n2c24i7x9k16f3x3p1+bias+res", *(pytest.param(text, marks=pytest.mark.exhaustive) for text in FORWARD + BACKWARD)]
)
def test_kernels_with_tiles_of_other_widths_stand_in(text, chunk):
    params = ConvBlockedParams(1, 3, 1, 4, chunk)
    problem = laid_out(parse(text), params=params)
    operands = operands_of(problem)
    plan = ALGORITHM.plan(problem, traits(), params)
    packed = problem.layout("w")
    assert isinstance(packed, Packed)
    stored = {"w": pack_weights(operands["w"], packed)}
    options = [list(ALGORITHM.stand_ins(call)) for call in plan.calls]
    assert all(option.calls[0].source != call.source for call, found in zip(plan.calls, options, strict=True) for option in found)
    for wanted in (2, 5, 10):  # more columns than the map has leave out the kernel
        calls = [
            next((o.calls[0] for o in found if dict(o.calls[0].source.arguments)["tile_w"] == wanted), call)
            for call, found in zip(plan.calls, options, strict=True)
        ]
        got = run_plan(replace(plan, calls=tuple(calls)), problem, operands, stored=stored)[problem.outputs[0]]
        np.testing.assert_array_equal(got, expected(problem, operands), err_msg=f"{text} with tiles of {wanted}")


@pytest.mark.parametrize(
    "text", ["n2c41i7x9k33f3x3p1+bias+relu+res", pytest.param("n1c57i6x5k17f3x3p1+bias", marks=pytest.mark.exhaustive)]
)
def test_weights_in_chunks_of_input_blocks(text):
    """The last chunk is shorter and has a tail; tiles overlap. Maps with too many sums to wait are computed at once."""
    problem = parse(text)
    for chunk in (2,) if problem.batch > 1 else (2, 3):
        params = ConvBlockedParams(2, 4, 2, 4, chunk)
        check(laid_out(problem, params=params), params=params)
    large = parse("n1c20i60x70k24f3x3p1")
    plan = ALGORITHM.plan(laid_out(large, params=params), traits(), params)
    assert not dict(plan.calls[0].source.arguments)["chunked"]



@pytest.mark.parametrize(
    "text", ["n3c3i11x13k17f3x3p1+bias+leaky_relu(0.5)+res", "n1c17i7x9k33f3x3p1", "n2c9i11x8k17f3x2s2x3p2,1x0,1d2x1:bwd_d"]
)
def test_other_sizes_take_the_same_kernels(text):
    """Batch, channels and sizes are run-time arguments: with the same tile and epilogue nothing new is built."""
    problem = parse(text)
    params = SHARED
    more = {"batch": problem.batch + 1, "channels": problem.channels + 16, "filters": problem.filters + 16}
    double = replace(problem, size=tuple(n + 2 for n in problem.size), **more)
    plans = [ALGORITHM.plan(laid_out(p, params=params), traits(), params) for p in (problem, double)]
    if problem.channels > 4:
        assert [c.source for c in plans[0].calls] == [c.source for c in plans[1].calls]
    else:
        assert [c.source for c in plans[0].calls] != [c.source for c in plans[1].calls]  # 3 channels are read plain, 19 in blocks
    check(laid_out(double, params=params), params=params)


def capture_buffers(monkeypatch) -> dict[str, np.ndarray]:
    """The output buffers of the next runs as they lie in memory."""
    seen: dict[str, np.ndarray] = {}
    load = support.load

    def keep(flat, spec):
        seen["flat"] = flat.copy()
        return load(flat, spec)

    monkeypatch.setattr(support, "load", keep)
    return seen


SLICED = [
    "n2c17i6x7k20f3x3p1+bias+leaky_relu(0.5)+res",
    "n2c20i6x7k17f3x3p1:bwd_d+bias+leaky_relu(0.5)+res",
    "n1c9i6x7k20f3x2s2x3p2,1x0,1d2x1:bwd_d",
    "n2c17i6x7k24f1x1",
]


@pytest.mark.parametrize("text", SLICED)
def test_larger_halos_and_slices(text, monkeypatch):
    """Halos beyond the need on every operand, inputs and outputs that are slices of a wider tensor: the other slices stay untouched."""
    seen = capture_buffers(monkeypatch)
    problem = laid_out(parse(text), params=SHARED)
    roles, c = Roles.of(problem), traits().block
    (top, bottom), (left, right) = needed_halo(problem)
    layouts = {
        roles.source: Blocked(c, ((top + 1, bottom), (left + 2, right + 3)), blocks=7, first=2),
        roles.target: Blocked(c, ((2, 1), (0, 3)), blocks=6, first=1),
    }
    if problem.epilogue.residual:
        layouts["residual"] = Blocked(c, ((0, 2), (1, 1)), blocks=5, first=2)
    problem = problem.with_layouts(**layouts)
    check(problem, params=SHARED)
    spec = problem.spec(roles.target)
    planes = seen["flat"].reshape(spec.shape[0], 6, -1)
    own = slice(1, 1 + spec.channel_blocks)
    assert not np.isnan(planes[:, own]).any()
    assert np.isnan(np.delete(planes, own, axis=1)).all()


def test_the_halo_is_written_once_by_a_pass_of_many_phases():
    problem = laid_out(parse("n1c33i7x5k5f3x2s2x3p2,1x0,1d2x1:bwd_d"), params=SHARED)
    problem = problem.with_layouts(dx=Blocked(traits().block, ((1, 2), (3, 0))))
    plan = ALGORITHM.plan(problem, traits(), SHARED)
    assert len(plan.calls) == 6
    assert [dict(call.bindings)["writes_halo"] for call in plan.calls] == [1] + [0] * 5
    check(problem, params=SHARED)


def check_space(problem: ConvProblem, step: int = 1) -> None:
    """With every entry of the space, or every `step`-th and the last, which unrolls differently."""
    space = list(ALGORITHM.space(problem, traits()))
    assert ALGORITHM.defaults(problem, traits()) == space[0] and len(set(space)) == len(space) >= 2
    space = [*space[:-1:step], space[-1]]
    build([(laid_out(problem, params=params), params) for params in space])
    for params in space:
        check(laid_out(problem, params=params), params=params)


def test_tiles_of_the_space():
    problem = parse("n1c16i7x11k40f3x3p1+bias")
    check_space(problem, step=7)
    assert len(list(ALGORITHM.space(problem, traits()))) == 8


@pytest.mark.exhaustive
@pytest.mark.parametrize("text", ["n1c16i7x11k40f3x3p1+bias", "n2c16i5x7k24f3x3s2p1:bwd_d", *FORWARD, *BACKWARD])
def test_every_tile_of_every_case(text):
    check_space(parse(text))


@pytest.mark.exhaustive
def test_tiles_larger_than_the_map_are_cut():
    problem = parse("n1c8i3x5k16f3x3p1")
    for params in (ConvBlockedParams(4, 14, 1, 2), ConvBlockedParams(2, 2, 3, 1)):
        check(laid_out(problem, params=params), params=params)


@pytest.mark.parametrize(
    ("lanes", "text"),
    [
        pytest.param(4, "n1c9i5x6k17f1x3s2x1p0x1:bwd_d", marks=pytest.mark.exhaustive),
        (16, "n1c17i7x9k33f3x3p1,0x0,1+bias+relu+res"),
        (16, "n1c3i9x9k20f3x3s2p1+bias"),
        pytest.param(4, "n1c17i7x9k33f3x3p1,0x0,1+bias+relu+res", marks=pytest.mark.exhaustive),
        pytest.param(4, "n1c3i9x9k20f3x3s2p1+bias", marks=pytest.mark.exhaustive),
        pytest.param(16, "n1c9i5x6k17f1x3s2x1p0x1:bwd_d", marks=pytest.mark.exhaustive),
    ],
)
def test_other_vector_widths(lanes, text):
    device, params = DeviceTraits.cpu(lanes), ConvBlockedParams(1, 2, 1, 2)
    check(laid_out(parse(text), device, params), device, params)


@pytest.mark.parametrize("text", ["n1c17i5x6k20f3x3p1:f16+bias+relu+res", "n1c9i6x8k17f4x4s2p1:bwd_d:f16", "n1c3i9x9k20f3x3s2p1:f16"])
def test_half_storage(text):
    """Sums of whole numbers below 2048 are exact in half as well."""
    check(laid_out(parse(text)), most=1)


def test_half_rounds_once():
    """Operands are rounded to half, sums are float32, and only the result is rounded again."""
    problem = laid_out(parse("n1c17i5x6k20f3x3p1:f16"))
    rng = np.random.default_rng(1)
    operands = {name: rng.standard_normal(problem.spec(name).shape).astype(np.float16) for name in problem.inputs}
    exact, got = expected(problem, operands), run(problem, operands)
    assert (np.abs(got - exact) <= np.abs(np.spacing(exact.astype(np.float16))) / 2 * 1.01 + 1e-6).all()


@pytest.mark.parametrize("text", ["n2c40i9x9k20f3x3p1", "n2c9i11x8k17f3x2s2x3p2,1x0,1d2x1:bwd_d", "n1c33i17x19k5f1x1"])
def test_real_data_within_the_bound(text):
    problem = laid_out(parse(text), params=SHARED)
    rng = np.random.default_rng(2)
    operands = {name: rng.standard_normal(problem.spec(name).shape).astype(np.float32) for name in problem.inputs}
    magnitude = expected(problem, {name: np.abs(value) for name, value in operands.items()})
    terms = Roles.of(problem).inputs * int(np.prod(problem.geometry.kernel))
    assert (np.abs(run(problem, operands, params=SHARED) - expected(problem, operands)) <= sum_bound(terms, magnitude)).all()


def test_nan_and_infinity_pass_through_the_epilogue_but_not_into_padding():
    """A NaN reaches every channel, so it would reach the lanes that are none: `load` finds zeros there."""
    like = parse(FORWARD[2])  # runs its kernel
    params = ALGORITHM.defaults(like, traits())
    problem = laid_out(replace(like, filters=20), params=params).with_layouts(y=Blocked(traits().block, ((1, 1), (1, 1))))
    operands = operands_of(problem)
    operands["x"][0, 3, 1, 1] = np.nan
    operands["x"][0, 16, 6, 8] = -np.inf
    operands["w"][operands["w"] == 0] = 1
    with np.errstate(invalid="ignore"):
        exact = expected(problem, operands)
    assert np.isnan(exact[:, :, :2, :2]).all() and np.isinf(exact).any()
    np.testing.assert_array_equal(run(problem, operands, params=params), exact)


def test_wants_the_least_halo():
    device = traits()
    forward = laid_out(parse("n1c16i8x8k16f3x3s2p1,1x1,1"))
    assert forward.layout("x") == Blocked(device.block, ((1, 0), (1, 0)))  # the last window ends inside
    assert laid_out(parse("n1c3i8x8k16f3x3p1")).layout("x") == Blocked(1, ((1, 1), (1, 1)))
    backward = laid_out(parse("n1c16i8x8k16f3x3s2p1:bwd_d"))
    assert backward.layout("dy") == Blocked(device.block, ((0, 1), (0, 1)))
    assert laid_out(parse("n1c16i7x7k16f3x3s2p1:bwd_d")).layout("dy") == Blocked(device.block, ((0, 0), (0, 0)))
    assert laid_out(parse("n1c16i8x8k16f3x3:bwd_d")).layout("dy") == Blocked(device.block, ((2, 2), (2, 2)))


def test_a_stride_1_data_gradient_is_the_forward_kernel():
    params = ConvBlockedParams(1, 4, 2, 4)
    kernels = [
        ALGORITHM.plan(laid_out(parse(text), params=params), traits(), params).calls[0].source
        for text in ("n1c16i8x8k16f3x3p1", "n1c32i12x12k16f3x3p1:bwd_d")
    ]
    assert kernels[0] == kernels[1]


def test_rows_are_flattened_only_without_halo():
    problem = laid_out(parse("n1c16i7x7k16f1x1"), params=SHARED)
    device = traits()

    def rows(p):
        return dict(ALGORITHM.plan(p, device, SHARED).calls[0].bindings)["out_h"]

    assert rows(problem) == 1
    assert rows(problem.with_layouts(y=Blocked(device.block, ((1, 1), (1, 1))))) == 7
    check(problem.with_layouts(y=Blocked(device.block, ((1, 1), (1, 1)))), params=SHARED)


def test_refusals_say_why():
    cpu = DeviceTraits.cpu()

    def why(text: str, device: DeviceTraits = cpu) -> str:
        return ALGORITHM.why_not(parse(text), device) or ""

    assert "got backward_weights" in why("n1c8i5x5k8f3x3:bwd_w")
    assert "needs 1 or 2 spatial axes, got 3" in why("n1c8i5x5x5k8f3x3x3")
    assert "depthwise" in why("n1c8i5x5k8f3x3g8")
    assert "needs a CPU device" in why("n1c8i5x5k8f3x3", DeviceTraits.gpu())
    assert why("n1c8i5x5k8f3x3") == why("n1c8i5x5k16f3x3g2") == ""


# Groups that share blocks with their neighbours: smaller than a block, not dividing it, larger, unequal in and out, strided, 1-D.
SHARED_BLOCKS = [
    "n1c6i5x7k9f3x3p1g3",
    "n2c12i9x9k24f3x3s2p1g3+bias+relu+res",
    "n1c60i7x7k60f1x1g3+bias",
    "n1c34i5x5k68f3x3p1g2",
    "n1c32i7x6k32f3x3p1g8",
    "n3c40i3x5k15f1x1g5",
    "n1c51i19k102f3s2p1g3",
    "n1c20i9x8k12f3x2s2x3p2,1x0,1d2x1g4",
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("direction", [Pass.FORWARD, Pass.BACKWARD_DATA], ids=lambda d: d.value)
@pytest.mark.parametrize("text", SHARED_BLOCKS)
def test_groups_that_share_blocks(text, direction):
    check_space(replace(parse(text), direction=direction))


@pytest.mark.exhaustive
@pytest.mark.parametrize("lanes", [4, 16])
def test_groups_that_share_blocks_of_other_widths(lanes):
    device = DeviceTraits.cpu(lanes)
    for text in SHARED_BLOCKS:
        check(laid_out(parse(text), device), device)


@pytest.mark.exhaustive
def test_groups_that_share_blocks_in_slices_with_halo():
    problem, c = laid_out(parse("n2c12i9x9k24f3x3s2p1g3+bias+relu+res"), params=SHARED), traits().block
    x, y = Blocked(c, ((2, 1), (1, 3)), blocks=7, first=2), Blocked(c, ((1, 0), (0, 2)), blocks=6, first=1)
    check(problem.with_layouts(x=x, y=y, residual=Blocked(c, ((0, 1), (2, 0)))), params=SHARED)


def test_each_tile_reads_the_blocks_of_its_own_groups():
    """Three groups of 20 of 80 channels: of eight blocks of outputs one holds channels of two groups."""
    assert input_blocks(groups=3, inputs=80, outputs=20, block=8, run=8) == (10, 10, 20, 10, 10, 10, 10, 10)
    problem = parse("n1c240i28x28k60f1x1g3")
    assert useful_share(problem, DeviceTraits.cpu(8), 1) == 60 * 80 / (90 * 64)
    assert useful_share(problem, DeviceTraits.cpu(8), 2) < useful_share(problem, DeviceTraits.cpu(8), 1)
    assert useful_share(parse("n1c32i9x9k48f3x3g2"), DeviceTraits.cpu(8), 3) == 1


def test_layouts_that_do_not_fit_are_named():
    device = traits()
    problem = laid_out(parse("n1c16i8x8k16f3x3p1"))
    params = ALGORITHM.defaults(problem, device)
    c = device.block
    for layouts, message in (
        ({"x": Blocked(c)}, "x must be .*halo 1,1 1,1 at least .* got .*halo 0,0 0,0"),
        ({"w": Packed(c, c, 2, turned=True)}, "w must be packed .* got packed .* turned"),
        ({"y": Blocked(2 * c)}, "y must be blocked"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            ALGORITHM.plan(problem.with_layouts(**layouts), device, params)


def test_cuts_cover_a_row_exactly():
    for columns in range(1, 60):
        for tile_w in range(1, 15):
            cut = Cut.of(columns, tile_w)
            assert 1 <= cut.width <= tile_w and 1 <= cut.wide <= cut.tiles
            assert cut.wide * cut.width + (cut.tiles - cut.wide) * (cut.width - 1) == columns
    assert Cut.of(49, 14) == Cut(4, 13, 1)


def test_the_tiles_that_were_measured_best_come_first():
    best = ranked_tiles((Map(7, 7, 9),), 64, 16)[0]
    assert (best.rows, best.columns) == (1, 4)  # 4 + 3 columns: nothing is computed twice
    wide = ranked_tiles((Map(56, 56, 9),), 8, 16)[0]
    assert wide.rows * wide.columns * wide.blocks == 12
    wide = ranked_tiles((Map(56, 56, 9),), 4, 32)[0]
    assert (wide.rows, wide.columns, wide.blocks) == (1, 6, 4)  # 14 x 2 spills


def test_estimates_prefer_full_vectors():
    """The rate follows the waste: 64 filters fill the vectors of the device, 9 half of them."""
    full, odd = (ALGORITHM.rate(parse(f"n1c64i56x56k{k}f3x3p1"), traits()) for k in (64, 9))
    assert full > 1.2 * odd > 0
