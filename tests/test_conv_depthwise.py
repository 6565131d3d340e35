"""Convolution within the lanes of blocked tensors, depthwise and in small groups, all passes: bit for bit on whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clconv.algorithms.base import Algorithm
from clconv.algorithms.column_reads import parts_of
from clconv.algorithms.conv_depthwise import ConvDepthwise, ConvDepthwiseParams, turns
from clconv.algorithms.conv_depthwise_weights import ConvDepthwiseWeights
from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass, parse
from clconv.problem.conv import Epilogue
from clconv.tensor import Blocked, Packed
from clconv.tuning.select import choose
from tests.cases import check, expected, prepare
from tests.support import integers, pack_weights, run_plan, sum_bound, traits

SUMS, WEIGHTS = ConvDepthwise(), ConvDepthwiseWeights()
CPU = DeviceTraits.cpu(8)

# Odd channel counts, one-sided padding, even kernels, stride > kernel, dilation with stride, 1 x 1 maps, prime sizes, batch 3, large
# kernels, 1-D, and groups of 2 and 4 channels.
CASES = [
    "n3c17i5x7k17f3x3p1g17",
    "n2c33i11x13k33f3x3s2p1g33",
    "n1c3i7x9k3f3x3p1,0x0,1g3",
    "n1c9i9x10k9f3x2s2p2x1d2x3g9",
    "n2c8i7x5k8f2x2s3g8",
    "n1c16i1x1k16f1x1g16",
    "n1c20i23k20f5s2p2g20",
    "n1c9i14x15k9f7x11p3x5g9",
    "n3c12i5x7k12f3x3p1g3",
    "n1c34i11x8k34f3x3s2p1g17",
    "n2c20i9x9k20f3x2s2x3p2,1x0,1d2x1g10",
    "n3c8i7k8f1s3p1,0g2",
]
EPILOGUES = [
    "n2c17i6x7k17f3x3s2p1g17+bias+leaky_relu(0.5)+res",
    "n2c17i6x7k17f3x3s2p1g17:bwd_d+bias+leaky_relu(0.5)+res",
    "n1c12i6x5k12f3x3p1g3+bias+relu",
]


def all_of(texts: list[str]) -> list[ConvProblem]:
    return [replace(parse(text), direction=direction) for text in texts for direction in Pass]


def algorithm_for(problem: ConvProblem) -> Algorithm[ConvProblem]:
    return WEIGHTS if problem.direction is Pass.BACKWARD_WEIGHTS else SUMS


@pytest.mark.exhaustive
@pytest.mark.parametrize("problem", [*all_of(CASES), *map(parse, EPILOGUES)], ids=str)
def test_integers_bit_for_bit_with_every_parameter(problem: ConvProblem) -> None:
    algorithm = algorithm_for(problem)
    assert algorithm.why_not(problem, traits()) is None
    space = list(algorithm.space(problem, traits()))
    assert len(set(space)) == len(space) and algorithm.defaults(problem, traits()) == space[0]
    for params in space:
        check(prepare(algorithm, problem, traits(), params))


@pytest.mark.exhaustive
@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("text", [CASES[0], CASES[3], "n1c40i6x7k40f3x3p1g10", "n1c20i6x7k20f3x3s2p1g10", "n1c40i6x7k40f3x3p1g5"])
def test_other_vector_widths(lanes: int, text: str) -> None:
    device, taken = DeviceTraits.cpu(lanes), 0
    for problem in all_of([text]):
        algorithm = algorithm_for(problem)
        if algorithm.why_not(problem, device) is None:
            check(prepare(algorithm, problem, device, algorithm.defaults(problem, device)))
            taken += 1
    assert taken == (0 if problem.channels // problem.geometry.groups >= lanes else 3)


@pytest.mark.exhaustive
@pytest.mark.parametrize("text", [*EPILOGUES[:2], "n1c9i6x7k9f3x2s2x3p2,1x0,1d2x1g9:bwd_d"])
def test_larger_halos_and_slices(text: str) -> None:
    """`load` finds zeros in the halo and in the tail channels, and the guards and the other slices as they were."""
    problem = parse(text)
    block, params = traits().block, SUMS.defaults(problem, traits())
    wants = SUMS.wants(problem, traits(), params)
    source, target = ("x", "y") if problem.direction is Pass.FORWARD else ("dy", "dx")
    (top, bottom), (left, right) = wants[source].halo
    layouts = {
        source: Blocked(block, ((top + 1, bottom), (left + 2, right + 3)), blocks=7, first=2),
        target: Blocked(block, ((2, 1), (0, 3)), blocks=6, first=1),
    }
    if problem.epilogue.residual:
        layouts["residual"] = Blocked(block, ((0, 2), (1, 1)), blocks=5, first=2)
    check(prepare(SUMS, problem, traits(), params, layouts))


@pytest.mark.exhaustive
def test_the_halo_of_maps_whose_height_squared_is_beyond_32_bits() -> None:
    problem = parse("n1c9i70000x2k9f3x3p1g9")
    params = SUMS.defaults(problem, traits())
    assert params.rows < 70000
    check(prepare(SUMS, problem, traits(), params, {"y": Blocked(traits().block, ((1, 2), (1, 0)))}))


@pytest.mark.exhaustive
@pytest.mark.parametrize("text", ["n2c17i6x11k17f3x3p1g17+bias+relu", "n1c9i9x23k9f3x2s2p2x1d2x3g9", "n3c12i5x7k12f3x3p1g3"])
@pytest.mark.parametrize("direction", [Pass.FORWARD, Pass.BACKWARD_DATA])
def test_kernels_of_other_widths_stand_in(text: str, direction: Pass) -> None:
    """What is built for another map serves, where the last tile overlaps its neighbour too."""
    problem = replace(parse(text), direction=direction)
    prepared = prepare(SUMS, problem, traits(), SUMS.defaults(problem, traits()))
    first, *others = prepared.plan.calls
    plans = list(SUMS.stand_ins(first))
    widths = [dict(plan.calls[0].source.constants)["TILE_W"] for plan in plans]
    assert len(widths) > 1 and len({*widths, dict(first.source.constants)["TILE_W"]}) == len(widths) + 1
    for plan in plans:
        check(replace(prepared, plan=Plan((*plan.calls, *others))))


@pytest.mark.exhaustive
def test_sizes_beyond_the_tile_run_the_same_kernel() -> None:
    params = ConvDepthwiseParams(3, 2)
    problems = [parse(f"n{n}c{c}i{i}x{i + 3}k{c}f3x3p1g{c}") for n, c, i in ((1, 3, 5), (2, 17, 7), (3, 40, 12))]
    plans = [prepare(SUMS, problem, traits(), params) for problem in problems]
    backward = prepare(SUMS, replace(problems[0], direction=Pass.BACKWARD_DATA), traits(), params)
    assert len({call.source for each in (*plans, backward) for call in each.plan.calls}) == 1
    for each in (*plans, backward):
        check(each)


@pytest.mark.exhaustive
@pytest.mark.parametrize("problem", all_of(["n1c17i6x8k17f3x3p1g17:f16", "n1c12i6x8k12f3x3s2p1g6:f16"]), ids=str)
def test_half_storage(problem: ConvProblem) -> None:
    """Sums of whole numbers below 2048 are exact in half as well."""
    algorithm, rng = algorithm_for(problem), np.random.default_rng(0)
    given = {name: integers(rng, problem.tensors()[name].shape, 1) for name in problem.inputs}
    check(prepare(algorithm, problem, traits(), algorithm.defaults(problem, traits())), given)


@pytest.mark.exhaustive
@pytest.mark.parametrize("problem", all_of([CASES[1], CASES[8]]), ids=str)
def test_real_data_within_the_bound(problem: ConvProblem) -> None:
    algorithm, rng = algorithm_for(problem), np.random.default_rng(2)
    given = {name: rng.standard_normal(problem.tensors()[name].shape).astype(np.float32) for name in problem.inputs}
    prepared = prepare(algorithm, problem, traits(), algorithm.defaults(problem, traits()))
    layout = prepared.problem.layout("w") if "w" in given else None
    stored = {"w": pack_weights(given["w"], layout)} if isinstance(layout, Packed) else {}
    (got,) = run_plan(prepared.plan, prepared.problem, given, stored=stored).values()
    (exact,) = expected(problem, {name: value.astype(np.float64) for name, value in given.items()}).values()
    (magnitude,) = expected(problem, {name: abs(value).astype(np.float64) for name, value in given.items()}).values()
    terms = problem.multiply_adds // exact.size
    assert (abs(got - exact) <= sum_bound(max(terms, 9), magnitude) + 2.0**-24 * abs(exact)).all()


@pytest.mark.exhaustive
def test_nan_stays_in_its_channel_and_out_of_the_filling() -> None:
    """A NaN reaches the outputs of its own channel (its own group) only, and no infinity leaks into the lanes that are no channels."""
    for text, reached in (("n1c9i6x7k9f3x3p1g9+bias+relu+res", [3]), ("n1c12i6x7k12f3x3p1g3+bias+relu+res", [0, 1, 2, 3])):
        problem = parse(text)
        rng = np.random.default_rng(0)
        given = {name: integers(rng, problem.tensors()[name].shape) for name in problem.inputs}
        given["x"][0, 3, 2, 2], given["x"][0, 8, 5, 6] = np.nan, -np.inf
        given["w"][given["w"] == 0] = 1
        layouts = {"y": Blocked(traits().block, ((1, 1), (1, 1)))}
        check(prepare(SUMS, problem, traits(), SUMS.defaults(problem, traits()), layouts), given)
        with np.errstate(invalid="ignore"):
            (want,) = expected(problem, given).values()
        assert [c for c in range(problem.channels) if np.isnan(want[0, c, 2, 2])] == reached


# Without a kernel


def test_refusals_say_why() -> None:
    def why(text: str, device: DeviceTraits = CPU) -> str:
        problem = parse(text)
        return algorithm_for(problem).why_not(problem, device) or ""

    assert "needs groups, got 1" in why("n1c8i5x5k8f3x3")
    assert "as many output as input channels, got 16 and 8" in why("n1c8i5x5k16f3x3g8")
    assert "fill a block of 8 channels, got 3 channels in a group" in why("n1c9i5x5k9f3x3g3")
    assert "got 8 channels in a group" in why("n1c16i5x5k16f3x3g2")
    assert "needs one or two spatial axes, got 3" in why("n1c8i5x5x5k8f3x3x3g8")
    assert "needs a CPU device" in why("n1c8i5x5k8f3x3g8", DeviceTraits.gpu())
    assert why("n1c8i5x5k8f3x3g8") == why("n1c8i5x5k8f3x3g2:bwd_w") == why("n1c9i5x5k9f3x3g9:bwd_d") == ""
    assert "got backward_weights" in (SUMS.why_not(parse("n1c8i5x5k8f3x3g8:bwd_w"), CPU) or "")
    assert "got pass fwd" in (WEIGHTS.why_not(parse("n1c8i5x5k8f3x3g8"), CPU) or "")


def test_layouts_that_do_not_fit_are_named() -> None:
    problem = parse("n1c8i5x5k8f3x3p1g8")
    params = SUMS.defaults(problem, CPU)
    for layouts, message in (
        ({"x": Blocked(8)}, "x must be stored as blocked 8, halo 1,1 1,1"),
        ({"w": Packed(8, 1, 1)}, "w must be stored as packed 1x8 joint lanes .* got packed 1x8;"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            prepare(SUMS, problem, CPU, params, layouts)


def test_an_input_column_is_read_once_for_all_who_use_it() -> None:
    (part,) = parts_of(taps=3, step=1, read_stride=1, windows=4, most=8)
    assert [column for column, _ in part.reads] == list(range(6))
    uses = [(column, position, tap) for column, pairs in part.reads for position, tap in pairs]
    assert len(set(uses)) == len(uses) == 12 and all(column == position + tap for column, position, tap in uses)
    strided = parts_of(taps=11, step=2, read_stride=3, windows=5, most=4)
    assert [(p.first, p.taps) for p in strided] == [(0, 3), (3, 4), (7, 4)]
    assert all(column == 3 * position + 2 * tap for p in strided for column, pairs in p.reads for position, tap in pairs)


def test_turns_bring_every_channel_of_a_group_to_all_its_lanes() -> None:
    assert turns(1, 8) == ("",)
    assert turns(4, 8) == (".s00004444", ".s11115555", ".s22226666", ".s33337777")
    assert turns(8, 16)[7] == ".s77777777ffffffff"


def test_the_weights_of_both_passes_lie_in_the_lanes() -> None:
    for text in ("n1c12i6x7k12f3x3p1g3", "n1c17i6x7k17f3x3p1g17"):
        for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
            problem = replace(parse(text), direction=direction, epilogue=Epilogue())
            wants = SUMS.wants(problem, CPU, SUMS.defaults(problem, CPU))
            spec = problem.spec("w").with_layout(wants["w"])
            blocks = -(-problem.channels // 8)
            assert spec.storage_elements == blocks * 8 * 9 * problem.channels // problem.geometry.groups


def test_enough_splits_for_all_cores_and_a_bounded_scratch() -> None:
    for text in ("n8c8i56x56k8f3x3p1g8:bwd_w", "n1c1024i7x7k1024f3x3p1g1024:bwd_w", "n1c8i1x1k8f3x3p1g8:bwd_w"):
        problem = parse(text)
        first, second = prepare(WEIGHTS, problem, CPU, WEIGHTS.defaults(problem, CPU)).plan.calls
        splits = dict(first.bindings)["splits"]
        assert first.items[1] == splits == dict(second.bindings)["splits"]
        assert 1 <= splits <= problem.batch * problem.output_size[0]
        assert first.items[0] * splits >= min(8, problem.batch * problem.output_size[0])


def test_tiles_where_the_widest_phase_has_no_taps() -> None:
    """A kernel of one tap moved by 3: two of three columns of the input have no gradient, and most of them lie in such a phase."""
    problem = parse("n3c8i7k8f1s3p1,0g2:bwd_d")
    assert all(params.tile_w >= 1 and prepare(SUMS, problem, CPU, params) for params in SUMS.space(problem, CPU))


def test_chosen_where_its_neighbours_are_blocked() -> None:
    """The layers of MobileNet and ResNeXt, forward and backward; groups too small for dense tiles go to the plain algorithm."""
    blocked = dict.fromkeys(("x", "dy"), Blocked(8))
    prepared = frozenset({"w"})
    for text in ("n1c32i112x112k32f3x3p1g32", "n1c1024i7x7k1024f3x3p1g1024", "n1c128i56x56k128f3x3s2p1g128", "n1c128i56x56k128f3x3p1g32"):
        for problem in all_of([text]):
            stored = {name: layout for name, layout in blocked.items() if name in problem.inputs}
            assert choose(problem, CPU, stored, prepared).algorithm.name == algorithm_for(problem).name, str(problem)
    assert choose(parse("n1c240i28x28k60f1x1g3"), CPU, {"x": Blocked(8)}, prepared).algorithm.name == "conv_blocked"
    assert choose(parse("n1c96i28x28k96f3x3p1g32"), CPU, {"x": Blocked(8)}, prepared).algorithm.name == "conv_direct"
