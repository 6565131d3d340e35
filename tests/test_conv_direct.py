"""conv_direct against the oracle: every pass, rank and epilogue, bit for bit on whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.conv_direct import ConvDirect, DirectParams, WeightsParams
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass, parse
from tests.support import integers, run_plan, sum_bound, traits

DIRECT = ConvDirect()
PASSES = {"forward": Pass.FORWARD, "backward_data": Pass.BACKWARD_DATA, "backward_weights": Pass.BACKWARD_WEIGHTS}

# Problems of one line share their kernels: sizes, groups and padding are arguments, and the tile is that of 3 channels.
CASES = {
    "same": ("n3c3i11x13k3f3x3p1", "n1c33i5x5k17f3x3p1", "n2c17i7x9k33f3x3p1", "n2c1i2x2k1f3x3p1"),
    "phases without taps": ("n2c3i9x10k5f3x2s2x3p2,1x0,1d2x1", "n1c17i4x7k3f3x2s2x3p2,1x0,1d2x1"),
    "phases without taps, transposed": ("deconv n2c3i4x5k2f3x2s2x3p1x0d2x1o1", "deconv n1c3i1x1k3f3x2s2x3p1x0d2x1o1"),
    "even, one-sided": ("n2c3i9x10k5f2x4s2p1,0x0,1", "n1c17i4x7k3f2x4s2p1,0x0,1"),
    "dilation and stride": ("n2c3i13x11k3f3x3s2p1d2", "n1c1i5x5k1f3x3s2p1d2"),
    "dilation is a multiple of the stride": ("n2c3i11x12k3f3x2s2p2d2x4",),
    "stride above kernel, pixels unread": ("n2c3i12x9k3f2x2s3", "n1c3i9x18k5f2x2s3"),
    "groups": ("n2c12i9x10k12f3x3p1g4", "n2c6i8x8k6f3x3p1g6", "n3c3i5x17k6f3x3p1g3"),
    "pointwise": ("n3c17i5x7k3f1x1", "n1c3i1x1k17f1x1"),
    "pointwise strided": ("n2c6i9x8k6f1x1s2",),
    "wide": ("n2c1i7x11k3f3x3p2", "n1c1i1x1k3f3x3p2"),
    "one axis": ("n3c2i37k5f4s3p1d2", "n1c2i8k17f4s3p1d2"),
    "one axis, long kernel": ("n2c1i53k1f11p5",),
    "three axes": ("n2c3i5x6x7k3f3x2x3s2x1x2p1d1x2x1", "n1c3i3x5x4k5f3x2x3s2x1x2p1d1x2x1"),
    "transposed": ("deconv n2c3i5x6k3f3x3s2p1o1", "deconv n1c3i1x1k5f3x3s2p1o1"),
    "transposed, phases without taps": ("deconv n2c3i4x5k3f2x2s3o1",),
}
# The passes that a default run has of a case, where not all: those that it is there for. None where it is near another case.
PASSES_OF = {
    "even, one-sided": (),
    "dilation and stride": (),
    "dilation is a multiple of the stride": (),
    "stride above kernel, pixels unread": (),
    "pointwise strided": (),
    "one axis": ("forward", "backward_data"),
    "one axis, long kernel": ("backward_weights",),
    "transposed": (),
    "transposed, phases without taps": (),
}


def cases_and_passes() -> list[object]:
    """All of both; those that a default run leaves out are marked."""
    chosen = {(case, direction) for case in CASES for direction in PASSES_OF.get(case, tuple(PASSES))}
    return [
        pytest.param(case, direction, marks=() if (case, direction) in chosen else pytest.mark.exhaustive)
        for case in CASES
        for direction in PASSES
    ]


def shared_tile(problem: ConvProblem) -> object:
    """The tile of 3 channels and 3 filters, so that other counts of them run the same kernels."""
    geometry = replace(problem.geometry, groups=1)
    return DIRECT.defaults(replace(problem, channels=3, filters=3, geometry=geometry), traits())


def operands(problem: ConvProblem, seed: int = 0, real: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {name: problem.tensors()[name].shape for name in problem.inputs}
    return {name: rng.standard_normal(s).astype(np.float32) if real else integers(rng, s) for name, s in shapes.items()}


def expected(problem: ConvProblem, given: dict[str, np.ndarray]) -> np.ndarray:
    g = problem.geometry
    if problem.direction is Pass.FORWARD:
        out = reference.conv(given["x"], given["w"], None, g)
    elif problem.direction is Pass.BACKWARD_DATA:
        out = reference.conv_backward_data(given["dy"], given["w"], g, problem.size)
    else:
        return reference.conv_backward_weights(given["x"], given["dy"], g)
    if problem.epilogue.bias:
        out = out + given["bias"].astype(np.float64).reshape(1, -1, *(1,) * g.rank)
    if problem.epilogue.residual:
        out = out + given["residual"]
    if problem.epilogue.activation:
        out = np.where(out < 0, out * problem.epilogue.activation[1], out)
    return out


def run(problem: ConvProblem, given: dict[str, np.ndarray], device: DeviceTraits | None = None, params: object = None) -> np.ndarray:
    device = device or traits()
    assert DIRECT.why_not(problem, device) is None
    chosen = params or (shared_tile(problem) if device == traits() else DIRECT.defaults(problem, device))
    return run_plan(DIRECT.plan(problem, device, chosen), problem, given)[problem.outputs[0]]


def check_exact(problem: ConvProblem, device: DeviceTraits | None = None, params: object = None) -> None:
    given = operands(problem)
    dtype = np.float16 if problem.dtype == "float16" else np.float32
    np.testing.assert_array_equal(run(problem, given, device, params), expected(problem, given).astype(dtype), err_msg=str(problem))


@pytest.mark.parametrize(("case", "direction"), cases_and_passes())
def test_whole_numbers_match_bit_for_bit(case: str, direction: str) -> None:
    for text in CASES[case]:
        check_exact(replace(parse(text), direction=PASSES[direction]))


@pytest.mark.parametrize(
    "direction", ["forward", *(pytest.param(d, marks=pytest.mark.exhaustive) for d in ("backward_data", "backward_weights"))]
)
@pytest.mark.parametrize("text", ["n2c5i11x19k10f3x3p1", "n1c1i13x29k9f3x3p1"])
def test_the_tiles_that_other_sizes_want(text: str, direction: str) -> None:
    problem = replace(parse(text), direction=PASSES[direction])
    check_exact(problem, params=DIRECT.defaults(problem, traits()))


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        pytest.param("n2c3i13x11k4f3x3s2p1d2", "forward", marks=pytest.mark.exhaustive),
        pytest.param("n2c3i13x11k4f3x3s2p1d2", "backward_weights", marks=pytest.mark.exhaustive),
        pytest.param("deconv n2c3i4x5k2f2x2s3o1", "backward_data", marks=pytest.mark.exhaustive),
        pytest.param("n2c3i13x11k4f3x3s2p1d2", "backward_data", marks=pytest.mark.exhaustive),
        pytest.param("deconv n2c3i4x5k2f2x2s3o1", "forward", marks=pytest.mark.exhaustive),
        pytest.param("deconv n2c3i4x5k2f2x2s3o1", "backward_weights", marks=pytest.mark.exhaustive),
    ],
)
def test_groups_of_work_items_as_on_gpus(text: str, direction: str) -> None:
    check_exact(replace(parse(text), direction=PASSES[direction]), DeviceTraits.gpu())


@pytest.mark.parametrize(
    "text",
    ["n2c3i11x13k5f3x3p1+bias+leaky_relu(0.5)+res", "n2c3i11x13k5f3x3p1+bias+relu", "deconv n2c5i6x7k3f3x3s2p1o1+bias+leaky_relu(0.5)+res"],
)
def test_epilogue_is_bias_then_residual_then_activation(text: str) -> None:
    check_exact(parse(text))


def test_epilogue_reaches_outputs_without_taps() -> None:
    problem = parse("deconv n1c1i2x3k1f1x1s3+bias")
    given = operands(problem) | {"bias": np.array([7.0], np.float32)}
    out = run(problem, given)
    assert out.shape == (1, 1, 4, 7) and (out[0, 0, 1:3] == 7).all() and (out[0, 0, :, 1] == 7).all()
    np.testing.assert_array_equal(out, expected(problem, given))


@pytest.mark.parametrize("direction", PASSES)
def test_real_data_stay_within_the_bound_of_a_float_sum(direction: str) -> None:
    problem = replace(parse("n3c17i14x13k19f3x3p1"), direction=PASSES[direction])
    given = operands(problem, real=True)
    magnitude = expected(problem, {name: abs(value) for name, value in given.items()})
    terms = {"forward": 17 * 9, "backward_data": 19 * 9, "backward_weights": 3 * 14 * 13}[direction]
    error = abs(run(problem, given) - expected(problem, given))
    assert (error <= sum_bound(terms, magnitude)).all()


@pytest.mark.parametrize(
    "direction", ["backward_data", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("forward", "backward_weights"))]
)
def test_float16_is_storage_and_sums_are_float(direction: str) -> None:
    problem = replace(parse("n2c5i9x11k6f3x3s2p1:f16"), direction=PASSES[direction])
    check_exact(problem)
    given = {name: value.astype(np.float16) for name, value in operands(problem, real=True).items()}
    out, want = run(problem, given), expected(problem, given)
    # A float sum may fall on the other side of a rounding border of half: one unit in the last place.
    assert out.dtype == np.float16
    assert (abs(out - want) <= 2.0**-10 * abs(want) + 2.0**-24).all()


def test_float16_epilogue() -> None:
    check_exact(parse("n2c3i9x10k5f3x3p1:f16+bias+relu+res"))


def test_nan_passes_sums_and_activation_as_in_the_oracle() -> None:
    problem = parse("n2c3i11x13k5f3x3p1+bias+relu")
    given = operands(problem)
    given["x"][0, 1, 4, 12] = np.nan
    given["bias"][3] = np.nan
    out = run(problem, given)
    want = expected(problem, given)
    assert 0 < np.isnan(want).sum() < want.size
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("direction", ["forward", "backward_weights"])
def test_numbers_that_no_window_meets_are_not_used(direction: str) -> None:
    problem = replace(parse("n2c2i12x9k2f3x2s2x3d2x1"), direction=PASSES[direction])
    given = operands(problem)
    given["x"][:, :, 1::2] = np.nan
    given["x"][:, :, :, 2::3] = np.inf
    clean = {**given, "x": np.nan_to_num(given["x"], nan=0, posinf=0)}
    np.testing.assert_array_equal(run(problem, given), expected(problem, clean))


def test_nan_in_the_last_column_reaches_only_the_weights_that_meet_it() -> None:
    problem = parse("n2c3i12x9k3f3x3:bwd_w")
    given = operands(problem)
    given["x"][1, 2, 7, 8] = np.nan
    want = expected(problem, given)
    assert np.isnan(want[:, 2, :, 2]).all() and np.isnan(want).sum() == 3 * 3
    np.testing.assert_array_equal(run(problem, given), want)


@pytest.mark.parametrize("params", [DirectParams(2, 2, 2, 16), pytest.param(DirectParams(8, 2, 1, 4), marks=pytest.mark.exhaustive)])
def test_other_tiles_of_the_sums(params: DirectParams) -> None:
    check_exact(parse("n2c5i11x19k10f3x3s2p1+bias+res"), params=params)


@pytest.mark.parametrize("params", [WeightsParams(4, 2, 2, 4), pytest.param(WeightsParams(1, 3, 1, 16), marks=pytest.mark.exhaustive)])
def test_other_tiles_of_the_weights(params: WeightsParams) -> None:
    check_exact(parse("n2c5i11x19k10f3x3s2p1:bwd_w"), params=params)


@pytest.mark.parametrize("direction", PASSES)
def test_batch_and_image_size_change_neither_source_nor_launch_count(direction: str) -> None:
    device = traits()
    sources = set()
    for text in ("n1c6i14x14k16f5x5s2p2", "n64c6i15x13k16f5x5s2p2", "n3c6i224x224k16f5x5s2p2"):
        problem = replace(parse(text), direction=PASSES[direction])
        sources.add(tuple(call.source for call in DIRECT.plan(problem, device, DIRECT.defaults(problem, device)).calls))
    assert len(sources) == 1


def test_weights_of_many_pixels_are_summed_in_splits() -> None:
    device = DeviceTraits.cpu()
    problem = parse("n64c1i28x28k6f3x3p1:bwd_w")
    plan = DIRECT.plan(problem, device, DIRECT.defaults(problem, device))
    assert plan.calls[-1].source.entry == "conv_direct_sum"
    assert dict(plan.calls[-1].bindings)["splits"] > 1
    check_exact(problem)


def test_space_begins_with_the_defaults_and_has_no_doubles() -> None:
    device = traits()
    for text in ("n2c5i11x19k10f3x3s2p1", "n2c5i11x19k10f3x3s2p1:bwd_w"):
        problem = parse(text)
        space = list(DIRECT.space(problem, device))
        assert space[0] == DIRECT.defaults(problem, device)
        assert len(set(space)) == len(space) > 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("direction", PASSES)
@pytest.mark.parametrize("case", CASES)
def test_every_tile_of_the_space(case: str, direction: str) -> None:
    problem = replace(parse(CASES[case][0]), direction=PASSES[direction])
    for device in (traits(), DeviceTraits.gpu()):
        for params in DIRECT.space(problem, device):
            check_exact(problem, device, params)


@pytest.mark.parametrize(
    ("text", "part"),
    [("n800c64i224x224k64f3x3p1", "a tensor of shape"), ("n1c1i32768x32768k1f3x3s4p8000", "the padded copy of x")],
)
def test_what_32_bits_cannot_index_is_refused_before_a_launch(text: str, part: str) -> None:
    problem = parse(text)
    with pytest.raises(UnsupportedError, match=f"{part}.* elements, kernels address at most 2147483647; split the batch"):
        DIRECT.plan(problem, traits(), DIRECT.defaults(problem, traits()))
