"""Minimal filtering: bit for bit on whole numbers where its fractions are exact, else within the error it states, in every layout, cut of
the maps into tiles and parts, and kind of memory.

The default run shares a handful of kernels: sizes, padding, parts and slices are run-time arguments. All of the rest is exhaustive.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

import tests.support as support
from clconv.algorithms.blocked_calls import Roles
from clconv.algorithms.conv_winograd import OUTPUTS, ConvWinograd, ConvWinogradParams, ranked
from clconv.algorithms.winograd_tiles import Parts, axes, fits, needed_halo
from clconv.device import DeviceTraits
from clconv.errors import GeometryError
from clconv.problem import ConvProblem, parse
from clconv.runtime.context import default_queue
from clconv.runtime.launch import rendered
from clconv.runtime.programs import programs_for
from clconv.tensor import Blocked, Layout
from tests.cases import Arrays, Prepared, bounds, check, expected, operands_of, prepare
from tests.support import run_plan, traits, weights_in

ALGORITHM = ConvWinograd()
SMALL = ConvWinogradParams(outputs=2, tile_k=1, width=3, part=6, chunk=16, slices=1)
"""F(2, r) in tiny tiles, so that few channels and positions have several chunks, runs and parts. Its fractions are exact up to r = 3."""
EPILOGUE = "+bias+leaky_relu(0.5)+res"


def exact(params: ConvWinogradParams, problem: ConvProblem) -> bool:
    """Whether the transforms multiply by powers of two only: with up to 4 products along an axis."""
    return max(axis.dense for axis in axes(problem, params.outputs)) <= 4


@dataclass(frozen=True)
class Case:
    """A problem (or its text form) with what it runs with; `real` numbers instead of whole ones."""

    text: str | ConvProblem
    params: ConvWinogradParams = SMALL
    device: DeviceTraits | None = None
    layouts: dict[str, Layout] | None = None
    real: bool = False

    def prepared(self) -> Prepared:
        problem, device = parse(self.text) if isinstance(self.text, str) else self.text, self.device or traits()
        assert ALGORITHM.why_not(problem, device) is None, ALGORITHM.why_not(problem, device)
        prepared = prepare(ALGORITHM, problem, device, self.params, self.layouts)
        return replace(prepared, factor=None) if exact(self.params, problem) and not self.real else prepared


def run(
    text: str | ConvProblem,
    params: ConvWinogradParams = SMALL,
    device: DeviceTraits | None = None,
    layouts: dict[str, Layout] | None = None,
    real: bool = False,
) -> Prepared:
    """One case against the oracle: whole numbers bit for bit where the transforms are exact."""
    return run_all([Case(text, params, device, layouts, real)])[0]


def run_all(cases: list[Case]) -> list[Prepared]:
    """As `run`, with all kernels built in a few programs."""
    prepared = [case.prepared() for case in cases]
    queue = default_queue()
    programs_for(queue.context, queue.device).kernels(rendered(call for each in prepared for call in each.plan.calls))
    for case, each in zip(cases, prepared, strict=True):
        assert isinstance(each.problem, ConvProblem)
        check(each, normal(each.problem) if case.real else None)
    return prepared


def normal(problem: ConvProblem, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(problem.spec(name).shape, np.float32) for name in problem.inputs}


def results(prepared: Prepared, given: Arrays) -> np.ndarray:
    w = weights_in(given["w"], prepared.problem.layout("w"))
    return run_plan(prepared.plan, prepared.problem, given, stored={"w": w})[prepared.problem.outputs[0]]


# Sizes and padding, on one kernel

SIZES = [
    "n1c5i2x2k1f3x3p1",  # a map of one tile
    "n1c5i3x3k9f3x3p1",  # one position more
    "n3c17i7x11k33f3x3p1",
    "n1c33i13x2k17f3x3p1",
    "n2c5i7x9k9f3x3p1,0x0,1",
    "n1c17i5x5k9f3x3p2,4x3,2",  # more padding than the kernel needs
    "n1c9i9x8k17f3x3",
    "n1c17i5x19k33f3x3p1:bwd_d",
    "n3c9i6x7k5f3x3p0,1x1,0:bwd_d",
    "n2c1i8x4k33f3x3:bwd_d",
    "n1c5i4x4k9f3x3p2:bwd_d",
    "deconv n1c17i5x4k9f3x3p1",
]


@pytest.mark.parametrize("text", SIZES)
def test_integers_bit_for_bit(text: str) -> None:
    run(text)


@pytest.mark.parametrize("text", ["n2c64i9x7k32f3x3p1g2", "n1c32i5x6k96f3x3p1g2:bwd_d", "n1c8i4x5k8f3x3p1", "n2c48i3x7k9f3x3p1"])
def test_groups_and_full_blocks_bit_for_bit(text: str) -> None:
    """Of whole blocks on the device under test; the kernel without a tail."""
    run(text.replace("c8i", f"c{traits().block}i"))


def test_all_sizes_run_the_same_kernel() -> None:
    sources = {prepare(ALGORITHM, parse(text), traits(), SMALL).plan.calls[0].source for text in SIZES}
    assert len(sources) == 1
    assert all(len(prepare(ALGORITHM, parse(text), traits(), SMALL).plan.calls) == 1 for text in SIZES)


def test_parts_and_slices_of_all_sizes() -> None:
    """From one tile a part to all in one; slices of the output channels from 1 to more than there are."""
    problem = parse("n2c17i7x5k65f3x3p1")
    cuts = set()
    for part, slices in ((1, 1), (2, 2), (3, 5), (5, 1), (7, 64), (24, 3), (200, 1)):
        params = replace(SMALL, part=part, slices=slices)
        cuts.add(Parts.of(problem, traits(), params))
        run(problem, params)
    assert {1, 2, 12, 18} <= {cut.parts for cut in cuts} and {1, 2, 3, 5} <= {cut.slices for cut in cuts}


@pytest.mark.parametrize("units", [1, 3, 64])
def test_any_number_of_compute_units(units: int) -> None:
    run("n2c17i9x7k33f3x3p1", device=replace(traits(), compute_units=units))
    run("n2c17i9x7k33f3x3p1", replace(SMALL, slices=units), replace(traits(), compute_units=units))


# Layouts and epilogues

SLICED = [f"n2c17i6x7k20f3x3p1{EPILOGUE}", "n2c20i6x7k17f3x3p1:bwd_d", "n1c33i7x5k9f3x3p1,0x2,3" + EPILOGUE]


def capture_buffers(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The output buffers of the next runs as they lie in memory."""
    seen: dict[str, np.ndarray] = {}
    load = support.load

    def keep(flat: np.ndarray, spec: object) -> np.ndarray:
        seen["flat"] = flat.copy()
        return load(flat, spec)  # type: ignore[arg-type]

    monkeypatch.setattr(support, "load", keep)
    return seen


@pytest.mark.parametrize("text", SLICED)
def test_larger_halos_and_slices(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halos beyond the need on every operand, inputs and outputs that are slices of a wider tensor: the other slices stay untouched."""
    seen = capture_buffers(monkeypatch)
    problem, c = parse(text), traits().block
    roles, ((top, bottom), (left, right)) = Roles.of(problem), needed_halo(problem, SMALL.outputs)
    layouts: dict[str, Layout] = {
        roles.source: Blocked(c, ((top + 1, bottom), (left + 2, right + 3)), blocks=7, first=2),
        roles.target: Blocked(c, ((2, 1), (0, 3)), blocks=6, first=1),
    }
    if problem.epilogue.residual:
        layouts["residual"] = Blocked(c, ((0, 2), (1, 1)), blocks=5, first=2)
    prepared = run(problem, replace(SMALL, slices=2), layouts=layouts)
    spec = prepared.problem.spec(roles.target)
    planes = seen["flat"].reshape(spec.shape[0], 6, -1)
    own = slice(1, 1 + spec.channel_blocks)
    assert not np.isnan(planes[:, own]).any()
    assert np.isnan(np.delete(planes, own, axis=1)).all()


def test_the_whole_epilogue_in_order() -> None:
    run(f"n3c17i5x7k33f3x3p1{EPILOGUE}")
    run(f"n1c9i2x3k9f3x3p1:bwd_d{EPILOGUE}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("epilogue", ["+bias", "+relu", "+res", "+leaky_relu(0.25)", "+bias+relu", "+bias+relu+res"])
@pytest.mark.parametrize("direction", ["", ":bwd_d"])
def test_every_epilogue(epilogue: str, direction: str) -> None:
    run_all([Case(f"n2c17i5x7k20f3x3p1{direction}{epilogue}"), Case(f"n2c16i5x7k32f3x3p1g2{direction}{epilogue}")])


def test_without_local_memory() -> None:
    """Data and sums in global memory: the same sizes, several work-items with memory of their own."""
    device = replace(traits(), local_memory_bytes=64, compute_units=3)
    for text in ("n3c17i7x11k33f3x3p1", "n1c5i2x2k1f3x3p1", "n1c17i5x19k33f3x3p1:bwd_d"):
        prepared = run(text, replace(SMALL, part=2, slices=2), device)
        assert [name for name, _ in prepared.plan.scratch] == ["data", "sums"]


def test_where_data_and_sums_go() -> None:
    problem, device = parse("n1c64i12x12k32f3x3p1"), traits()

    def scratch(nbytes: int) -> list[str]:
        plan = prepare(ALGORITHM, problem, replace(device, local_memory_bytes=nbytes), SMALL).plan
        bound = dict(plan.calls[0].bindings)
        assert all((name in bound) != (f"all_{name}" in bound) for name in ("data", "sums"))
        return [name for name, _ in plan.scratch]

    bound = dict(prepare(ALGORITHM, problem, replace(device, local_memory_bytes=1 << 30), SMALL).plan.calls[0].bindings)
    data, sums = bound["data"], bound["sums"]
    assert isinstance(data, int) and isinstance(sums, int) and data > sums
    assert scratch(data + sums) == [] and scratch(data + sums - 1) == ["data"]
    assert scratch(sums) == ["data"] and scratch(sums - 1) == ["data", "sums"]


# Every filter, kernel and vector width

KERNELS = ["f2x2", "f3x3", "f4x4", "f5x5", "f1x3", "f3x1", "f2x5", "f5x3", "f4x1", "f3", "f5", "f2"]


def cases_of(kernel: str) -> list[str]:
    """A map of several tiles and one where the smallest tiles just fit, with channel tails, in both passes."""
    large, small = ("29", "2") if "x" not in kernel else ("13x17", "6x7")
    pads = "p1,2" if "x" not in kernel else "p1,0x2,1"
    return [f"n2c17i{large}k20{kernel}{pads}", f"n1c9i{small}k33{kernel}p2:bwd_d", f"n1c20i{large}k5{kernel}p2{EPILOGUE}"]


def test_a_filter_with_more_outputs_and_the_tiles_of_the_defaults() -> None:
    """F(4, 3) by its default tile, on maps of 4, 5 and of prime sizes; two channel tiles, the last not full."""
    problem = parse("n2c17i11x13k33f3x3p1+bias+relu")
    params = replace(ALGORITHM.defaults(replace(problem, size=(28, 28)), traits()), outputs=4)
    for size in ((11, 13), (4, 4), (5, 4), (9, 23)):
        run(replace(problem, size=size), params)
    run(replace(problem, channels=33, size=(14, 9)), params, real=True)


@pytest.mark.parametrize("size", ["11x13", "5x6", "6x7", "16x8", "3x9"])
@pytest.mark.parametrize("direction", ["", pytest.param(":bwd_d", marks=pytest.mark.exhaustive)])
def test_stride_along_one_axis_and_dilation_along_the_other(size: str, direction: str) -> None:
    """Residues of unequal length, of which some end a tile earlier than others; a last tile that overhangs. A kernel a pass."""
    run(f"n2c17i{size}k20f3x3p1s2x1d1x2{direction}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_every_filter(kernel: str, outputs: int) -> None:
    cases = []
    for problem in map(parse, cases_of(kernel)):
        if fits(problem, outputs):
            default = replace(ALGORITHM.defaults(problem, traits()), outputs=outputs)
            cases += [Case(problem, params, real=real) for params in (replace(SMALL, outputs=outputs), default) for real in (False, True)]
    run_all(cases)
    longest = max(int(n) for n in kernel[1:].split("x"))
    assert cases or outputs + longest - 1 > 8


@pytest.mark.exhaustive
@pytest.mark.parametrize("dilation", ["d2", "d1x3", "d3x1", "d4x2"])
@pytest.mark.parametrize("outputs", [2, 3, 4])
@pytest.mark.parametrize("direction", ["", ":bwd_d"])
def test_dilation(dilation: str, outputs: int, direction: str) -> None:
    texts = [f"n2c17i{size}k20f3x3{pads}{dilation}{direction}" for size in ("21x23", "9x8", "16x20") for pads in ("p2x3", "p0,4x1,3", "p5")]
    cases = [Case(text, replace(SMALL, outputs=outputs)) for text in texts if fits(parse(text), outputs)]
    assert len(run_all(cases)) > 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("kernel", ["f3x3", "f5x5", "f2x2", "f4x3", "f3x1", "f3", "f4"])
@pytest.mark.parametrize("outputs", [2, 3])
@pytest.mark.parametrize("direction", ["", ":bwd_d"])
def test_strides(kernel: str, outputs: int, direction: str) -> None:
    """All residues of size and padding modulo the stride, one-sided padding, strides that differ."""
    line, cases = "x" not in kernel, []
    sizes = ("13", "12", "5", "23") if line else ("13x17", "12x16", "5x6", "8x9")
    strides = ("s2", "s3") if line else ("s2", "s3", "s2x1", "s1x3")
    for size, stride, pads in product(sizes, strides, ("p0", "p1", "p0,1", "p2,1") if line else ("p0", "p1", "p1,0x0,1", "p2x1")):
        problem = parse(f"n2c17i{size}k20{kernel}{stride}{pads}{direction}")
        if ALGORITHM.why_not(problem, traits()) is None and fits(problem, outputs):
            cases.append(Case(problem, replace(SMALL, outputs=outputs)))
    assert len(run_all(cases)) > 3 or (kernel, outputs) == ("f5x5", 3)  # which would take more than 8 products along an axis


@pytest.mark.exhaustive
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("nbytes", [64, 6000, 1 << 19])
def test_other_vector_widths(lanes: int, nbytes: int) -> None:
    device = replace(DeviceTraits.cpu(lanes, 3), local_memory_bytes=nbytes)
    cases = []
    for text in (
        "n2c17i7x11k33f3x3p1", "n1c5i9x4k6f3x3p1:bwd_d", f"n1c33i7x5k9f3x3p1{EPILOGUE}", f"n2c{4 * lanes}i9x8k{6 * lanes}f3x3p1g2",
        f"n1c{2 * lanes}i9x8k{2 * lanes}f5x5p2s2:bwd_d",
    ):  # fmt: skip
        for params in (SMALL, replace(SMALL, slices=2, tile_k=2), ALGORITHM.defaults(parse(text), device)):
            cases.append(Case(text, params, device))
    run_all(cases)


@pytest.mark.exhaustive
@pytest.mark.parametrize("tile_k", [1, 2, 3])
@pytest.mark.parametrize("width", [2, 6, 13])
@pytest.mark.parametrize("chunk", [1, 4])
def test_tiles_of_all_shapes(tile_k: int, width: int, chunk: int) -> None:
    params = ConvWinogradParams(2, tile_k, width, 2 * width, chunk * traits().block, 2)
    run_all([Case(text, params) for text in ("n2c17i11x9k33f3x3p1", "n1c40i5x6k9f3x3p1", "n3c7i2x5k50f3x3p1:bwd_d")])


@pytest.mark.exhaustive
@pytest.mark.parametrize("text", ["n2c17i14x15k33f3x3p1", "n1c32i9x9k32f3x3p1g2+bias", "n1c33i20x7k17f5x3p2,1x1:bwd_d", "n1c9i31k20f3p1d2"])
def test_every_entry_of_the_space(text: str) -> None:
    run_all([Case(text, params, real=real) for params in ranked(parse(text), traits()) for real in (False, True)])  # all it is taken from


def random_case(rng: random.Random) -> Case | None:
    """Anything that a text form can say and the algorithm takes, with parameters, device and layouts at random."""
    device = replace(
        DeviceTraits.cpu(rng.choice([4, 8, 16]), rng.choice([1, 2, 3, 64])), local_memory_bytes=rng.choice([64, 20_000, 500_000])
    )
    c, rank, groups = device.block, rng.choice([1, 2, 2]), rng.choice([1, 1, 2])
    kernel = [rng.choice([1, 2, 3, 3, 4, 5]) for _ in range(rank)]
    steps = [rng.choice([(1, 1), (1, 1), (1, 2), (1, 3), (2, 1), (3, 1)]) for _ in range(rank)]
    stride, dilation = ("x".join(map(str, values)) for values in zip(*steps, strict=True))
    few, many = ((c * groups * rng.choice([1, 2]),) * 2) if groups > 1 else (rng.choice([1, 9, 17, 33]), rng.choice([5, 8, 17, 40, 130]))
    backward = rng.random() < 0.4
    channels, filters = (few, many) if backward else (many, few)
    size = "x".join(str(rng.choice([1, 2, 3, 4, 5, 7, 8, 11, 13, 17])) for _ in range(rank))
    pads = "x".join(f"{rng.randint(0, 4)},{rng.randint(0, 4)}" for _ in range(rank))
    text = f"n{rng.choice([1, 2, 3])}c{channels}i{size}k{filters}f{'x'.join(map(str, kernel))}s{stride}p{pads}d{dilation}g{groups}"
    try:
        problem = parse(text + (":bwd_d" if backward else "") + rng.choice(["", "+relu", "+bias", EPILOGUE]))
    except GeometryError:
        return None  # no outputs are left
    if ALGORITHM.why_not(problem, device) is not None:
        return None
    outputs = rng.choice([m for m in OUTPUTS if fits(problem, m)])
    params = ConvWinogradParams(
        outputs, rng.choice([1, 2]), rng.choice([2, 3, 6]), rng.choice([2, 5, 14]), c * rng.choice([1, 2, 8]), rng.choice([1, 2, 64])
    )
    roles, halo = Roles.of(problem), needed_halo(problem, outputs)

    def wider(name: str, least: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))) -> Blocked:
        (t, b), (le, r) = (tuple(n + rng.choice([0, 0, 1, 3]) for n in side) for side in least)
        blocks, first = -(-problem.tensors()[name].shape[1] // c), rng.choice([0, 1, 2])
        return Blocked(c, ((t, b), (le, r)), blocks + first + 1, first)

    layouts: dict[str, Layout] = {roles.source: wider(roles.source, halo), roles.target: wider(roles.target)}
    if problem.epilogue.residual:
        layouts["residual"] = wider("residual")
    return Case(problem, params, device, layouts if rng.random() < 0.6 else {})


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(20))
def test_anything_at_random(seed: int) -> None:
    rng, cases = random.Random(seed), []
    while len(cases) < 10:
        case = random_case(rng)
        cases += [case] if case is not None else []
    run_all(cases)


# Real numbers, NaN and infinity


@pytest.mark.parametrize("text", ["n2c40i9x9k20f3x3p1", "n1c17i19x8k33f3x3p1:bwd_d"])
def test_real_data_within_the_stated_error(text: str) -> None:
    """The factor is neither too small nor made up: errors come to more than a hundredth of it."""
    problem = parse(text)
    prepared, given = prepare(ALGORITHM, problem, traits(), SMALL), normal(problem)
    error = abs(results(prepared, given) - expected(problem, given)[problem.outputs[0]]).max()
    allowed = bounds(problem, given, prepared.factor)
    assert allowed is not None and allowed / 100 < error <= allowed


def test_error_factors_grow_with_the_tile() -> None:
    problem = parse("n1c16i8x8k16f3x3p1")
    factors = [ALGORITHM.error_factor(problem, replace(SMALL, outputs=m)) for m in sorted(OUTPUTS)]
    assert None not in factors and factors == sorted(factors, key=lambda f: f or 0.0) and len(set(factors)) == len(OUTPUTS)


def reach(size: int, outputs: int, taps: int, pad: int, place: int) -> np.ndarray:
    """Which of `size` positions are stored by a tile that reads input `place` (of one axis, not dilated)."""
    out = np.zeros(size, bool)
    for wanted in range(0, size, outputs):
        first = min(wanted, size - outputs)
        if 0 <= place - (first - pad) < outputs + taps - 1:
            out[wanted : first + outputs] = True
    return out


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 4), (6, 6)])
def test_nan_and_infinity_stay_in_the_tiles_that_read_them(value: float, place: tuple[int, int]) -> None:
    """Every window that holds one is NaN or infinite, positions of other tiles, halo and lanes that are no channels are as ever."""
    problem = parse("n2c17i7x7k20f3x3p1")
    prepared = prepare(ALGORITHM, problem, traits(), SMALL, {"y": Blocked(traits().block, ((1, 1), (1, 1)))})
    given = operands_of(problem)
    given["w"][given["w"] == 0] = 1
    clean = results(prepared, given)
    given["x"][1, 16, *place] = value
    got = results(prepared, given)
    rows, columns = (reach(7, 2, 3, 1, at) for at in place)
    touched = rows[:, None] & columns[None]
    np.testing.assert_array_equal(got[0], clean[0])
    np.testing.assert_array_equal(got[1][:, ~touched], clean[1][:, ~touched])
    near = tuple(slice(max(0, at - 1), at + 2) for at in place)
    assert touched[near].all() and not touched.all()
    assert not np.isfinite(got[1][:, near[0], near[1]]).any()


def test_nan_passes_the_epilogue_and_bad_weights_stay_in_their_filter() -> None:
    problem = parse(f"n1c17i5x7k20f3x3p1{EPILOGUE}")
    prepared = prepare(ALGORITHM, problem, traits(), SMALL, {"y": Blocked(traits().block, ((1, 1), (1, 1)))})
    given = operands_of(problem)
    given["w"][19, 3, 1, 1] = np.nan
    given["bias"][2] = np.nan
    given["residual"][0, 5, 1, 1] = np.inf
    with np.errstate(invalid="ignore"):
        want = expected(problem, given)["y"]
    want[0, 19] = np.nan  # all tiles read all taps
    np.testing.assert_array_equal(results(prepared, given), want)
