"""The whole list of algorithms: every entry on every shared case, and the promises that selection, tuner and executor rely on.

A new entry is taken up by itself. The only thing to add here is a line in NOT_FOR, if it is not written for every kind of its problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from clconv.algorithms import ALGORITHMS, applicable
from clconv.algorithms.base import Algorithm
from clconv.algorithms.conv_blocked import ConvBlockedParams
from clconv.algorithms.conv_winograd import ConvWinogradParams
from clconv.algorithms.conv_winograd_gemm import ConvWinogradGemmParams
from clconv.algorithms.gemm_shape import ConvGemmParams
from clconv.codegen.plan import Scalar
from clconv.codegen.render import render
from clconv.device import XE, DeviceTraits, GemmTile
from clconv.errors import UnsupportedError
from clconv.problem import (
    ConvProblem,
    LrnProblem,
    MapProblem,
    MatmulProblem,
    Pass,
    PoolProblem,
    Problem,
    ReduceProblem,
    ReorderProblem,
    ResampleProblem,
    ShuffleProblem,
    SoftmaxProblem,
    UnpoolProblem,
    WindowProblem,
    parse,
)
from clconv.runtime.context import default_queue
from clconv.runtime.launch import rendered
from clconv.runtime.programs import programs_for
from clconv.tensor import Blocked, Packed, Strided, TensorSpec, Transformed
from tests.cases import (
    BATCHES,
    CHANNELS,
    GEOMETRIES,
    Prepared,
    all_cases,
    check,
    conv_product,
    devices,
    kind_of,
    prepare,
    rare_cases,
    square_texts,
)

# The kinds of its problems (see kind_of) that an algorithm refuses, whatever the device and the sizes.
NOT_FOR = {
    "conv_blocked": {"bwd_w"},
    "conv_blocked_unpacked": {"bwd_d", "bwd_w"},
    "conv_blocked_weights": {"fwd", "bwd_d"},
    "conv_depthwise": {"bwd_w"},
    "conv_depthwise_rows": {"bwd_d", "bwd_w"},
    "conv_depthwise_weights": {"fwd", "bwd_d"},
    "conv_gemm_subgroups": {"bwd_w"},
    "conv_winograd": {"bwd_w"},
    "conv_winograd_gemm": {"bwd_w"},
    "pool_blocked": {"adaptive_avg fwd", "adaptive_avg bwd_d"},
    "pool_rows": {"adaptive_avg fwd", "adaptive_avg bwd_d", "avg bwd_d", "max bwd_d"},
    "pool_whole": {"adaptive_avg bwd_d", "avg bwd_d", "max bwd_d", "max fwd"},
    "pool_strips": {"adaptive_avg fwd", "adaptive_avg bwd_d", "avg bwd_d", "max bwd_d"},
    "reorder_blocked": {"strided", "packed", "transformed"},
    "reorder_strided": {"blocked", "packed", "transformed"},
    "pack_weights": {"strided", "blocked", "transformed"},
    "winograd_weights": {"strided", "blocked", "packed"},
}
# For GPUs, with a kernel of its own for many a case: run on a processor by the full product, and beside each algorithm.
IN_FULL_ONLY = {
    "conv_depthwise_strips", "conv_gemm_subgroups", "matmul_gemm", "matmul_vector", "pool_strips", "reduce_groups", "softmax_groups",
}  # fmt: skip
MADE_UP = (
    DeviceTraits.cpu(1), DeviceTraits.cpu(4), DeviceTraits.cpu(8), DeviceTraits.cpu(16, 64),
    DeviceTraits.gpu(), replace(DeviceTraits.gpu(1), max_work_group_size=16),
)  # fmt: skip
# Planned for, not run: few drivers for processors have sub-groups.
WITH_SUB_GROUPS = replace(DeviceTraits.gpu(512, XE), sub_group_sizes=(8, 16, 32))
EVERY = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)


@cache
def cases() -> tuple[Problem, ...]:
    return all_cases()


def cases_for(algorithm: Algorithm) -> list[Problem]:
    return [problem for problem in cases() if isinstance(problem, algorithm.takes)]


def rare_cases_for(algorithm: Algorithm) -> list[Problem]:
    return [problem for problem in rare_cases() if isinstance(problem, algorithm.takes)]


def kinds(algorithm: Algorithm) -> list[str]:
    return sorted({kind_of(problem) for problem in cases_for(algorithm)})


def kinds_of_all(leave_out: set[str] | None = None) -> list[object]:
    named = [a for a in ALGORITHMS if a.name not in (leave_out or ())]
    return [pytest.param(a, kind, id=f"{a.name}-{kind.replace(' ', '-')}") for a in named for kind in kinds(a)]


def planned_for(algorithm: Algorithm) -> tuple[DeviceTraits, ...]:
    """The devices whose plans are looked at, and not run."""
    return (WITH_SUB_GROUPS,) if algorithm.name == "conv_gemm_subgroups" else MADE_UP


def accepting(algorithm: Algorithm, problem: Problem) -> DeviceTraits | None:
    """The first device that the algorithm takes the problem on."""
    return next((device for device in devices() if algorithm.why_not(problem, device) is None), None)


def shared_params(algorithm: Algorithm, problem: Problem, device: DeviceTraits) -> object:
    """Parameters with which many sizes run the same kernels, so that few are built; other algorithms than these use their defaults.

    Which tile suits which size is tested beside each algorithm, and by the full product.
    """
    if isinstance(problem, ConvProblem):
        if algorithm.name == "conv_blocked":
            return ConvBlockedParams(tile_h=1, tile_w=1, tile_k=1, unroll=4)
        if algorithm.name == "conv_blocked_unpacked":
            return ConvBlockedParams(tile_h=1, tile_w=3, tile_k=1, unroll=4, chunk=1)
        if algorithm.name == "conv_gemm":
            return ConvGemmParams.of(GemmTile(64, 64, 8, 8, 4), 1, device)
        if algorithm.name == "conv_winograd_gemm":
            return ConvWinogradGemmParams.of(2, GemmTile(64, 64, 8, 8, 4), device)
        if algorithm.name == "conv_winograd":
            return ConvWinogradParams(outputs=2, tile_k=1, width=3, part=6, chunk=16, slices=1)
        if algorithm.name == "conv_direct":
            problem = replace(problem, channels=3, filters=3, geometry=replace(problem.geometry, groups=1))
        elif problem.geometry.groups == 1:
            problem = replace(problem, filters=20 if problem.channels <= 4 else 1)  # few channels are read unblocked, by other tiles
    return algorithm.defaults(problem, device)


def build(prepared: list[Prepared]) -> None:
    """All kernels in a few programs, instead of one program each."""
    queue = default_queue()
    programs_for(queue.context, queue.device).kernels(rendered(call for each in prepared for call in each.plan.calls))


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> dict[tuple[str, str], list[Prepared]]:
    """(algorithm, kind) -> what is run of it, for those that are run here."""
    users = [item for item in request.session.items if "runs" in getattr(item, "fixturenames", ())]
    asked = {(item.callspec.params["algorithm"], item.callspec.params["kind"]) for item in users}  # type: ignore[attr-defined]
    out: dict[tuple[str, str], list[Prepared]] = {}
    for algorithm in ALGORITHMS:
        for problem in cases_for(algorithm):
            device = accepting(algorithm, problem) if (algorithm, kind_of(problem)) in asked else None
            if device is not None:
                params = shared_params(algorithm, problem, device)
                out.setdefault((algorithm.name, kind_of(problem)), []).append(prepare(algorithm, problem, device, params))
    build([each for group in out.values() for each in group])
    return out


@pytest.mark.kernels
@pytest.mark.parametrize(("algorithm", "kind"), kinds_of_all(IN_FULL_ONLY))
def test_every_entry_on_every_case(algorithm: Algorithm, kind: str, runs: dict[tuple[str, str], list[Prepared]]) -> None:
    """Bit for bit on whole numbers. An algorithm that is written for a kind takes cases of it: nothing is left out in silence."""
    accepted = runs.get((algorithm.name, kind), [])
    assert bool(accepted) == (kind not in NOT_FOR.get(algorithm.name, set()))
    for prepared in accepted:
        check(prepared)


def test_the_exceptions_name_algorithms_and_kinds_that_exist() -> None:
    known = {algorithm.name: set(kinds(algorithm)) for algorithm in ALGORITHMS}
    assert all(refused < known[name] for name, refused in NOT_FOR.items())
    assert len({algorithm.name for algorithm in ALGORITHMS}) == len(ALGORITHMS) and known.keys() > IN_FULL_ONLY


def test_every_problem_has_a_taker_on_every_device() -> None:
    """Layouts aside, which are the request of a reorder: channel-blocked ones exist on CPU devices only."""
    for problem in cases():
        for device in MADE_UP:
            if not problem.layouts:
                assert applicable(problem, device), f"{problem} on {device.label}"


def test_the_cases_are_pairwise() -> None:
    problems = [(geometry, parse(text)) for geometry, text in square_texts()]
    for x, y, pairs in (
        (CHANNELS, CHANNELS, {(p.channels, p.filters) for _, p in problems}),
        (GEOMETRIES, CHANNELS, {(g, p.channels) for g, p in problems}),
        (GEOMETRIES, CHANNELS, {(g, p.filters) for g, p in problems}),
        (GEOMETRIES, BATCHES, {(g, p.batch) for g, p in problems}),
        (CHANNELS, BATCHES, {(p.channels, p.batch) for _, p in problems}),
        (CHANNELS, BATCHES, {(p.filters, p.batch) for _, p in problems}),
    ):
        assert pairs == {(a, b) for a in x for b in y}


# What every algorithm promises, on devices that do not exist


def more_problems(algorithm: Algorithm) -> list[Problem]:
    """The cases, and requests that some algorithms must refuse: half storage, three axes, whole numbers, large sizes."""
    out = cases_for(algorithm)
    half = [replace(p, dtype="float16") for p in out[::5] if hasattr(p, "dtype")]
    large = [p for p in enormous() if isinstance(p, algorithm.takes)]
    return [*out, *half, *large]


@EVERY
def test_why_not_is_none_or_a_sentence(algorithm: Algorithm) -> None:
    for problem in more_problems(algorithm):
        for device in planned_for(algorithm):
            why = algorithm.why_not(problem, device)
            assert why is None or (len(why.split()) >= 4 and why == why.strip() and "\n" not in why and why[-1] not in ".:,"), why


@EVERY
def test_defaults_are_in_the_space_and_all_of_it_can_be_planned(algorithm: Algorithm) -> None:
    for problem in cases_for(algorithm):
        for device in planned_for(algorithm):
            if algorithm.why_not(problem, device) is not None:
                continue
            space = list(algorithm.space(problem, device))
            assert algorithm.defaults(problem, device) in space
            assert len(set(space)) == len(space), f"{problem}: {space}"
            for params in space[:1] + space[-1:]:
                prepare(algorithm, problem, device, params)


@EVERY
def test_plans_are_pure_and_bind_what_their_kernels_take(algorithm: Algorithm) -> None:
    for problem in cases_for(algorithm):
        for device in planned_for(algorithm):
            if algorithm.why_not(problem, device) is not None:
                continue
            params = algorithm.defaults(problem, device)
            prepared, again = (prepare(algorithm, problem, device, params) for _ in range(2))
            assert prepared.plan == again.plan and hash(prepared.plan) == hash(again.plan)
            assert hash(params) == hash(algorithm.defaults(problem, device))
            check_bindings(prepared, device)


def check_bindings(prepared: Prepared, device: DeviceTraits) -> None:
    plan, problem = prepared.plan, prepared.problem
    scratch = dict(plan.scratch)
    assert plan.calls and all(nbytes > 0 for nbytes in scratch.values())
    known = {*problem.tensors(), *scratch}
    for call in plan.calls:
        arguments, bound = render(call.source).arguments, dict(call.bindings)
        assert {argument.name for argument in arguments} == set(bound), f"{problem}: {call.source.entry}"
        for argument in arguments:
            value = bound[argument.name]
            if argument.kind == "buffer":
                assert value in known, f"{problem}: {argument.name} is bound to {value}"
            else:
                assert isinstance(value, int | float | Scalar), f"{problem}: {argument.name} is bound to {value!r}"
        group = call.source.group
        assert len(group) == len(call.items) and max(group) <= device.max_work_group_size
        assert all(n % g == 0 and n >= i for n, g, i in zip(call.global_size, group, call.items, strict=True))
    used = {value for call in plan.calls for _, value in call.bindings if isinstance(value, str)}
    assert known <= used, f"{problem}: {sorted(known - used)} are used by no launch"


# Requests of one line take as many launches as each other: batch, channels, filters, groups and rows are sizes, not structure.
ALIKE: tuple[tuple[Problem, ...], ...] = (
    *(
        tuple(replace(parse(f"n{n}c{c}i9x10k{k}{geometry}g{g}"), direction=direction) for n, c, k, g in sizes)
        for direction in Pass
        for geometry in ("f3x3p1", "f3x3s2p1", "f1x1", "f2x2s3")
        for sizes in (
            ((1, 8, 8, 1), (64, 3, 17, 1), (2, 512, 1024, 1), (1, 128, 64, 4), (3, 32, 32, 32), (128, 64, 128, 64), (1, 17, 17, 17),
             (2, 24, 24, 6)),
        )
    ),
    *(
        tuple(replace(parse(f"{kind}pool n{n}c{c}i9x10f3x3s2p1"), direction=d) for n, c in ((1, 1), (64, 17), (3, 2048)))
        for kind in ("max", "avg")
        for d in (Pass.FORWARD, Pass.BACKWARD_DATA)
    ),
    tuple(parse(f"avgpool n{n}c{c}i9x10f9x10") for n, c in ((1, 1), (64, 17), (3, 2048))),
    *(
        tuple(PoolProblem("adaptive_avg", None, n, c, (9, 10), (3, 4), d) for n, c in ((1, 1), (64, 17), (3, 2048)))
        for d in (Pass.FORWARD, Pass.BACKWARD_DATA)
    ),
    *(
        tuple(make((n, c, 9, 10)) for n, c in ((1, 1), (64, 17), (3, 2048)))
        for make in (
            lambda shape: SoftmaxProblem(shape, 1),
            lambda shape: LrnProblem(shape, 5, 1e-4, 0.75, 1.0),
            lambda shape: LrnProblem(shape, 5, 1e-4, 0.75, 1.0, Pass.BACKWARD_DATA),
            lambda shape: MapProblem(shape, (TensorSpec(shape), TensorSpec((1, shape[1], 1, 1))), (("y0", "x0 + x1"),)),
            lambda shape: ReduceProblem(shape, (TensorSpec(shape),), (0, 2, 3), (("r0", "x0"),)),
            lambda shape: ReduceProblem(shape, (TensorSpec(shape),), (2, 3), (("r0", "x0"),)),
            lambda shape: ReorderProblem(shape).with_layouts(y=Blocked(8)),
            lambda shape: ReorderProblem(shape).with_layouts(y=Packed(8, 8, 2)),
            lambda shape: ReorderProblem((*shape[:2], 3, 3)).with_layouts(y=Transformed(8, 2, (4, 4))),
            lambda shape: ReorderProblem(shape).with_layouts(x=Strided((shape[1] * 90, 1, shape[1] * 10, shape[1]))),
            lambda shape: WindowProblem(shape, (0, 0, 1, 1), (*shape[:2], 11, 12)),
            lambda shape: ResampleProblem(shape, 2, 12, 2),
            lambda shape: ShuffleProblem(shape, shape[1]),
            lambda shape: UnpoolProblem(shape, (18, 20)),
            lambda shape: UnpoolProblem(shape, (18, 20), Pass.BACKWARD_DATA),
        )
    ),
    tuple(MatmulProblem(m, n, k, batch) for m, n, k, batch in ((1, 10, 400, 1), (64, 1000, 9216, 1), (300, 7, 3, 64))),
)  # fmt: skip


ADDS_PARTS = {"conv_gemm", "conv_gemm_subgroups", "matmul_gemm", "matmul_vector", "reduce_groups"}
"""Algorithms that split a long sum where the result is small, and add its parts up in one launch more."""


@EVERY
def test_launches_do_not_depend_on_batch_channels_filters_and_groups(algorithm: Algorithm) -> None:
    compared = 0
    for alike in ALIKE:
        for device in planned_for(algorithm):
            taken = [p for p in alike if isinstance(p, algorithm.takes) and algorithm.why_not(p, device) is None]
            counts = {len(prepare(algorithm, p, device, algorithm.defaults(p, device)).plan.calls) for p in taken}
            assert len(counts) <= 1 or (algorithm.name in ADDS_PARTS and max(counts) - min(counts) == 1), f"{taken[0]}: {counts}"
            compared += len(taken) > 1
    assert compared


# Beyond 32-bit indices


def enormous() -> list[Problem]:
    """One request of every kind with 2**31 elements or more in an operand, which are never allocated."""
    shape = (64, 64, 1024, 1024)
    wide = {"batch": 64, "channels": 64, "size": (1024, 1024)}
    full = TensorSpec(shape)
    blocked = Blocked(8)
    out: list[Problem] = [
        replace(parse(text), direction=direction, **wide) for direction in Pass for text in ("n1c1i8x8k64f3x3p1", "n1c64i8x8k64f3x3p1g64")
    ]
    out.append(parse(f"n{2**17}c32i8x8k4096f3x3p1"))  # maps of few sums
    for text in ("maxpool n1c1i8x8f2x2", "avgpool n1c1i8x8f2x2"):
        out += [replace(parse(text), direction=direction, **wide) for direction in (Pass.FORWARD, Pass.BACKWARD_DATA)]
    out.append(parse(f"avgpool n{2**17}c64i16x16f16x16"))
    out.append(PoolProblem("adaptive_avg", None, 64, 64, (1024, 1024), (1, 1)))
    for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
        out.append(PoolProblem("adaptive_avg", None, 64, 64, (1024, 1024), (7, 7), direction))
        out += [SoftmaxProblem(shape, 1, False, direction), LrnProblem(shape, 5, 1e-4, 0.75, 1.0, direction)]
    out += [
        MapProblem(shape, (full,), (("y0", "x0"),)),
        ReduceProblem(shape, (full,), (0, 2, 3), (("r0", "x0"),)),
        MatmulProblem(2**16, 16, 2**16),
        ReorderProblem(shape).with_layouts(x=Strided((1, 64, 2**12, 2**22))),
        ReorderProblem(shape).with_layouts(y=blocked),
        ReorderProblem((2**16, 2**14, 2, 2)).with_layouts(y=Packed(8, 8, 1)),
        ReorderProblem((2**15, 2**14, 1, 3)).with_layouts(y=Transformed(8, 1, (1, 2))),  # 2**31 products of fewer weights
        WindowProblem(shape, (0, 0, 1, 1), (64, 64, 1026, 1026)),
        ShuffleProblem(shape, 4),
        ResampleProblem(shape, 2, 2048, 2),
        *(UnpoolProblem(shape, (1024, 1024), direction) for direction in (Pass.FORWARD, Pass.BACKWARD_DATA)),
    ]
    return out


def refuses_to_plan(algorithm: Algorithm, problem: Problem, device: DeviceTraits) -> None:
    with pytest.raises(UnsupportedError, match=r"at most 2147483647; split"):
        prepare(algorithm, problem, device, algorithm.defaults(problem, device))


@pytest.mark.parametrize(("algorithm", "kind"), kinds_of_all())
def test_more_than_32_bits_of_elements_are_refused_before_a_launch(algorithm: Algorithm, kind: str) -> None:
    asked = 0
    for problem in enormous():
        for device in planned_for(algorithm):
            if isinstance(problem, algorithm.takes) and kind_of(problem) == kind and algorithm.why_not(problem, device) is None:
                refuses_to_plan(algorithm, problem, device)
                asked += 1
    assert bool(asked) == (kind not in NOT_FOR.get(algorithm.name, set()))


WIDE_PLANE = (2**14, 2**15)
FILLED_UP: tuple[Callable[[], Problem], ...] = (
    lambda: replace(parse("maxpool n1c1i8x8f2x2"), size=WIDE_PLANE),
    lambda: replace(parse("n1c1i8x8k1f3x3p1"), size=WIDE_PLANE),
    lambda: replace(parse("n1c1i8x8k1f3x3p1:bwd_w"), size=WIDE_PLANE),
    lambda: MapProblem((1, 1, *WIDE_PLANE), (TensorSpec((1, 1, *WIDE_PLANE)),), (("y0", "x0"),)),
    lambda: ReduceProblem((1, 1, *WIDE_PLANE), (TensorSpec((1, 1, *WIDE_PLANE)),), (2, 3), (("r0", "x0"),)),
    lambda: ReorderProblem((1, 1, *WIDE_PLANE)).with_layouts(y=Blocked(8)),
)


@pytest.mark.parametrize("number", range(len(FILLED_UP)))
def test_the_filled_up_channels_of_a_blocked_layout_count_as_elements(number: int) -> None:
    """One channel of 2**29 elements is small as it is, and four times too large in blocks of 8."""
    problem, device = FILLED_UP[number](), DeviceTraits.cpu(8)
    blocked = [algorithm for algorithm in applicable(problem, device) if algorithm.name.partition("_")[2].startswith("blocked")]
    assert blocked
    for algorithm in blocked:
        refuses_to_plan(algorithm, problem, device)


# The full product: minutes to hours


@pytest.mark.exhaustive
@EVERY
def test_all_parameters_of_all_cases_on_all_devices(algorithm: Algorithm) -> None:
    """All cases, with every entry of the space, at every vector width; GPU plans too, whose groups run on any device."""
    for problem in [*cases_for(algorithm), *rare_cases_for(algorithm)]:
        for device in dict.fromkeys((*devices(), *MADE_UP)):
            if algorithm.why_not(problem, device) is None:
                prepared = [prepare(algorithm, problem, device, params) for params in algorithm.space(problem, device)]
                build(prepared)
                for each in prepared:
                    check(each)


@pytest.mark.exhaustive
@EVERY
def test_every_channel_filter_and_map_with_every_geometry(algorithm: Algorithm) -> None:
    if algorithm.takes is not ConvProblem:
        problems: list[Problem] = [*cases_for(algorithm), *rare_cases_for(algorithm)]
    else:
        problems = list(conv_product())
    prepared = []
    for problem in problems:
        device = accepting(algorithm, problem)
        if device is not None:
            prepared.append(prepare(algorithm, problem, device, algorithm.defaults(problem, device)))
    build(prepared)
    for each in prepared:
        check(each)
