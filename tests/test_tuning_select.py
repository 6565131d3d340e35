"""How selection ranks candidates, and how what tuning has measured decides. No kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clconv.algorithms.conv_blocked import ConvBlockedParams
from clconv.algorithms.gemm_shape import ConvGemmParams
from clconv.device import NVIDIA, DeviceTraits
from clconv.errors import UnsupportedError
from clconv.graph.assembly import Options
from clconv.graph.tune import tasks_of
from clconv.nn import models
from clconv.problem import ReorderProblem, parse
from clconv.tensor import Blocked
from clconv.tuning.database import VARIABLE, Database
from clconv.tuning.entry import Entry, params_row, problem_key, storage_key
from clconv.tuning.select import candidates, choose, describe
from clconv.tuning.tuner import Task, as_in_network, shortlist, standing

CPU = replace(DeviceTraits.cpu(8), platform="Some OpenCL", driver="1.0")
CONV = parse("conv n1c32i28x28k32f3x3p1+bias+relu")
INSIDE, PREPARED = {"x": Blocked(8)}, frozenset({"w"})


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "tuning.json"))
    return Database(tmp_path / "tuning.json")


def measured(algorithm: str, params: object, seconds: float = 84e-6, traits: DeviceTraits = CPU, **changes: object) -> Entry:
    """An entry for CONV inside of a network, whose default takes 100 us."""
    default = choose(CONV, traits, INSIDE, PREPARED, tuned=False).algorithm.name
    entry = Entry(
        problem_key(CONV), storage_key(CONV, INSIDE, PREPARED), algorithm, params_row(params), seconds, default, 100e-6,
        traits.identity, traits.driver, traits.family, traits.kind,
    )  # fmt: skip
    return replace(entry, **changes)  # type: ignore[arg-type]


BLOCKED = ConvBlockedParams(1, 2, 1, 8)


# Ranking


def test_stride_1_has_twenty_candidates_of_three_algorithms() -> None:
    ranked = candidates(parse("n1c64i56x56k64f3x3p1"), CPU)
    assert len(ranked) >= 20 and len({c.algorithm.name for c in ranked}) >= 3


@pytest.mark.parametrize(
    "text",
    ["n1c64i56x56k64f1x1", "n1c3i224x224k64f7x7s2p3", "n1c64i56x56k128f3x3s2p1", "n8c64i7x7k64f3x3p1:bwd_w", "n8c64i28x28k64f3x3s2p1:bwd_d",
     "n1c32i28x28k32f3x3p1g32", "n1c64i28x28k64f3x3p4d4", "deconv n1c64i14x14k32f4x4s2p1"],
)  # fmt: skip
def test_other_convolutions_have_ten(text: str) -> None:
    assert len(candidates(parse(text), CPU)) >= 10


def test_candidates_are_ranked_and_distinct_and_hold_all_defaults() -> None:
    ranked = candidates(CONV, CPU, INSIDE, PREPARED)
    assert [c.total for c in ranked] == sorted(c.total for c in ranked)
    assert len({(c.algorithm.name, c.params) for c in ranked}) == len(ranked)
    for algorithm in {c.algorithm for c in ranked}:
        assert algorithm.defaults(CONV, CPU) in [c.params for c in ranked if c.algorithm is algorithm]


def test_reorders_count_where_they_are_needed() -> None:
    inside = {(c.algorithm.name, c.params): c for c in candidates(CONV, CPU, INSIDE, PREPARED)}
    outside = {(c.algorithm.name, c.params): c for c in candidates(CONV, CPU, {}, PREPARED)}
    for key, candidate in inside.items():
        assert (candidate.total > candidate.seconds) == (key[0] == "conv_direct")
        assert (outside[key].total > outside[key].seconds) == (key[0] != "conv_direct")


def test_one_algorithm_by_name() -> None:
    assert {c.algorithm.name for c in candidates(CONV, CPU, forced="conv_direct")} == {"conv_direct"}
    with pytest.raises(UnsupportedError, match="is not one of"):
        candidates(CONV, CPU, forced="conv_magic")


def test_the_shortlist_begins_with_the_default_and_has_every_algorithm() -> None:
    ranked = candidates(CONV, CPU, INSIDE, PREPARED)
    default = standing(CONV, CPU).default
    first = shortlist(ranked, default)
    assert (first[0].algorithm, first[0].params) == (default.algorithm, default.params)
    names = {c.algorithm.name for c in ranked}
    assert {c.algorithm.name for c in first[: len(names) + 1]} == names
    assert len({(c.algorithm.name, c.params) for c in first}) == len(first)


# Tuned


def test_a_tuned_candidate_wins_and_is_explained(base: Database) -> None:
    untuned = choose(CONV, CPU, INSIDE, PREPARED)
    assert untuned.tuned is None and "tuned" not in describe(untuned)
    base.add([measured("conv_blocked", BLOCKED)])
    for weight in (1.0, 0.3, 0.0):
        choice = choose(CONV, CPU, INSIDE, PREPARED, reorder_weight=weight)
        assert (choice.algorithm.name, choice.params) == ("conv_blocked", BLOCKED)
    text = describe(choice)
    assert f"tuned: 84 us measured on {CPU.identity} (untuned: {untuned.algorithm.name}, 100 us)" in text
    assert "instead of" in text and "conv_direct (estimate" in text and "refused: conv_blocked_unpacked" in text


def test_a_tile_that_the_device_has_no_room_for_is_ignored(base: Database) -> None:
    """One of its kind tuned it; a plan would be refused."""
    large = replace(DeviceTraits.gpu(64, NVIDIA), platform="Some OpenCL", local_memory_bytes=49152)
    small = replace(large, name="smaller", max_work_group_size=64)
    params = ConvGemmParams.of(large.start.large, 1, large)
    base.add([measured("conv_gemm", params, traits=large, stored="x plain")])
    assert choose(CONV, large, prepared=PREPARED).params == params
    chosen = choose(CONV, small, prepared=PREPARED)
    assert chosen.tuned is None and chosen.params == choose(CONV, small, prepared=PREPARED, tuned=False).params


def test_tuning_can_be_ignored(base: Database) -> None:
    base.add([measured("conv_blocked", BLOCKED)])
    assert choose(CONV, CPU, INSIDE, PREPARED, tuned=False).tuned is None


def test_its_time_is_on_the_scale_of_the_estimates(base: Database) -> None:
    untuned = choose(CONV, CPU, INSIDE, PREPARED)
    base.add([measured("conv_blocked", BLOCKED, seconds=50e-6)])
    assert choose(CONV, CPU, INSIDE, PREPARED).seconds == pytest.approx(untuned.seconds / 2)


def test_elsewhere_it_competes(base: Database) -> None:
    """Inputs that come plain: reorders may cost more than tuning gained."""
    base.add([measured("conv_direct", choose(CONV, CPU, forced="conv_direct").params, seconds=99e-6)])
    fair = choose(CONV, CPU, {}, frozenset({"w"}))
    assert fair.tuned is not None and fair.algorithm.name == "conv_direct"
    base.add([measured("conv_direct", fair.params, seconds=1.0)])
    slow = choose(CONV, CPU, {}, frozenset({"w"}))
    assert slow.tuned is None and slow.algorithm.name != "conv_direct"


def test_a_rejected_default_leaves_the_measured_time(base: Database) -> None:
    base.add([measured("conv_blocked", BLOCKED, default_seconds=None)])
    choice = choose(CONV, CPU, INSIDE, PREPARED)
    assert choice.seconds == 84e-6 and "rejected there" in describe(choice)


@pytest.mark.parametrize(
    "entry",
    [
        measured("conv_blocked_weights", BLOCKED),
        measured("conv_gone", BLOCKED),
        replace(measured("conv_blocked", BLOCKED), params=(("rows", 1),)),
        measured("conv_blocked", BLOCKED, traits=DeviceTraits.gpu()),
        measured("conv_blocked", BLOCKED, problem="conv n2c32i28x28k32f3x3p1"),
    ],
    ids=["refuses", "unknown", "renamed", "other device", "other batch"],
)
def test_what_does_not_apply_is_ignored(base: Database, entry: Entry) -> None:
    wanted = choose(CONV, CPU, INSIDE, PREPARED)
    base.add([entry])
    choice = choose(CONV, CPU, INSIDE, PREPARED)
    assert (choice.algorithm.name, choice.params, choice.tuned) == (wanted.algorithm.name, wanted.params, None)


def test_another_algorithm_by_name_goes_before_tuning(base: Database) -> None:
    base.add([measured("conv_blocked", BLOCKED)])
    assert choose(CONV, CPU, INSIDE, PREPARED, forced="conv_direct").algorithm.name == "conv_direct"
    assert choose(CONV, CPU, INSIDE, PREPARED, forced="conv_blocked").params == BLOCKED


def test_a_device_of_the_family_profits_and_is_told_whose_time_it_is(base: Database) -> None:
    sister = replace(CPU, name="sister")
    base.add([measured("conv_blocked", BLOCKED, traits=sister)])
    choice = choose(CONV, CPU, INSIDE, PREPARED)
    assert choice.params == BLOCKED and f"measured on {sister.identity}" in describe(choice)


def test_reorders_do_not_ask_the_database(base: Database) -> None:
    base.path.parent.mkdir(exist_ok=True)
    base.path.write_text("not even read")
    problem = ReorderProblem((1, 8, 4, 4)).with_layouts(y=Blocked(8))
    assert choose(problem, CPU).algorithm.name.startswith("reorder")


# Tasks of networks


def test_a_networks_tasks_have_its_layouts(base: Database) -> None:
    tasks = tasks_of(models.resnet18().trace((1, 3, 224, 224)), CPU)
    by_label = {task.label: task for task in tasks}
    inner = by_label["layer1.0.conv1"]
    assert str(inner.problem) == "conv n1c64i56x56k64f3x3p1+bias+relu"
    assert inner.prepared == {"w", "bias"} and inner.key == ("conv n1c64i56x56k64f3x3p1", "x blocked 8")
    halo = inner.problem.layout("x")
    assert isinstance(halo, Blocked) and halo.halo == ((1, 1), (1, 1))
    assert len(tasks) == 22 and len({task.key for task in tasks}) == 13


def test_tasks_are_what_runs_without_tuning(base: Database) -> None:
    graph = models.resnet18().trace((1, 3, 64, 64))
    plain = tasks_of(graph, CPU)
    target = next(task for task in plain if task.label == "layer1.0.conv1")
    entry = measured("conv_blocked", BLOCKED, problem=target.key[0], stored=target.key[1])
    base.add([entry])
    tuned = tasks_of(graph, CPU, Options())
    changed = next(task for task in tuned if task.label == "layer1.0.conv1")
    assert changed.default.params == BLOCKED
    assert [str(task.default) for task in tasks_of(graph, CPU)] == [str(task.default) for task in plain]


def test_a_candidate_keeps_the_networks_halo_and_place(base: Database) -> None:
    wide = Blocked(8, ((2, 2), (0, 2)))
    slot = Blocked(8, ((1, 1), (1, 1)), blocks=9, first=3)
    default = standing(CONV, CPU).default
    task = Task(CONV.with_layouts(x=wide, y=slot), default, INSIDE, PREPARED)
    problem = as_in_network(task, default.algorithm, default.wants)
    assert problem.layout("x") == Blocked(8, ((2, 2), (1, 2))) and problem.layout("y") == slot
    assert problem.layout("w") == default.wants["w"]
    direct = choose(CONV, CPU, forced="conv_direct")
    assert as_in_network(task, direct.algorithm, direct.wants).all_plain()
