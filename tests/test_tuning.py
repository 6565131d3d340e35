"""Tuning: candidates that hang, crash or are wrong are rejected, time and Ctrl-C are respected, and what was found is used."""

from __future__ import annotations

import importlib.resources
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import clconv
from clconv import nn
from clconv.algorithms.conv_direct import DirectParams
from clconv.cli import main
from clconv.device import DeviceTraits
from clconv.errors import DeviceError, UnsupportedError
from clconv.graph import tune
from clconv.graph.run import Run
from clconv.nn import models
from clconv.problem import MapProblem, parse
from clconv.tensor import TensorSpec
from clconv.tuning import tuner
from clconv.tuning.database import VARIABLE, Database
from clconv.tuning.entry import Entry, params_row, problem_key, storage_key
from clconv.tuning.select import choose
from clconv.tuning.trial import Laboratory, Trial
from clconv.tuning.tuner import Outcome, Task, Tuner, standing, tune_problem
from clconv.tuning.worker import Rejected, Worker
from tests.support import traits

CONV = parse("conv n1c2i6x6k9f3x3p1")
"""Nine filters: a tile of six or eight has a rest, so that candidates differ in how they write."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "tuning.json"))
    return Database(tmp_path / "tuning.json")


# In a process of their own


def planted(folder: Path, plants: Sequence[tuple[DirectParams, str]]) -> str:
    """A directory with conv_direct's template, in which these parameters get a statement of their own before anything is computed."""
    first = "    int rest = get_global_id(0);\n"
    text = importlib.resources.files("clconv.kernels").joinpath("conv_direct.cl.mako").read_text()
    assert text.count(first) == 1
    for params, statement in plants:
        which = f"TILE_K == {params.tile_k} && TILE_H == {params.rows} && TILE_W == {params.columns}"
        text = text.replace(first, f"{first}#if {which}\n    {statement}\n#endif\n")
    (folder / "conv_direct.cl.mako").write_text(text)
    return str(folder)


HANGS = "for (volatile int forever = 1; forever;) {}"
WRONG = "if (rest > 0) return;  // all but the first tile stay unwritten"
CRASHES = "*(volatile __global int *)(ulong)(get_global_id(0) + 8) = 1;"


def test_hanging_crashing_and_wrong_candidates_are_rejected(base: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: Any):
    monkeypatch.setattr(tuner, "MOST_CANDIDATES", 4)
    task = standing(CONV, traits(), "conv_direct")
    default, hanging, wrong, crashing = tuner.shortlist(tuner.candidates(CONV, traits(), forced="conv_direct"), task.default)
    folder = planted(tmp_path, [(hanging.params, HANGS), (wrong.params, WRONG), (crashing.params, CRASHES)])  # type: ignore[list-item]
    outcome = tune_problem(CONV, queue, 60, algorithm="conv_direct", kernels=folder, patience={"run": 6.0})
    reasons = dict(outcome.rejected)
    assert set(reasons) == {str(hanging), str(wrong), str(crashing)}
    assert "hangs: no end of phase 'run' after 6 s" in reasons[str(hanging)]
    assert "WrongResult" in reasons[str(wrong)]
    assert "crashes: its process ended with code -11" in reasons[str(crashing)]
    assert outcome.tried == 4 and outcome.winner.params == default.params
    assert outcome.seconds and outcome.default_seconds
    assert not base.path.exists(), "edited templates say nothing about the library's own"


def test_a_problem_by_the_command(base: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner, "MOST_CANDIDATES", 2)
    text = "maxpool n1c3i9x9f2x2"
    result = CliRunner().invoke(main, ["tune", text, "--time", "60"])
    assert result.exit_code == 0, result.output
    assert text in result.output and f"1 entries written to {base.path}" in result.output.replace("\n", "")
    (entry,) = base.entries()
    assert entry.problem == text and entry.device == traits().identity and 0 < entry.seconds < 1
    told = CliRunner().invoke(main, ["explain", text])
    assert f"tuned: {entry.seconds * 1e6:.0f} us measured on {traits().identity}" in told.output
    assert "not a measurement" not in told.output.split("chosen")[1].splitlines()[0]


def test_a_device_that_is_not_here_is_refused() -> None:
    with Worker(DeviceTraits.gpu()) as worker, pytest.raises(DeviceError, match="no OpenCL device here is made-up GPU, 32 compute units"):
        worker.try_out(Trial(CONV, "conv_direct", None))


def test_other_problems_are_refused(queue: Any) -> None:
    with pytest.raises(UnsupportedError, match="convolutions, pooling and matrix products are tuned, got MapProblem"):
        tune_problem(MapProblem((2, 3), (TensorSpec((2, 3)),), (("y0", "x0"),)), queue)


# With made-up times


class Made:
    """A worker that measures nothing: seconds by candidate, and what else happens."""

    def __init__(self, seconds: Callable[[Trial], float]) -> None:
        self.seconds, self.tried, self.contests = seconds, list[Trial](), list[Sequence[Trial]]()

    def try_out(self, trial: Trial, hopeless: float = float("inf")) -> float:
        self.tried.append(trial)
        return self.seconds(trial)

    def contest(self, trials: Sequence[Trial], seconds: float) -> list[float]:
        self.contests.append(trials)
        return [self.seconds(trial) for trial in trials]

    def stop(self) -> None:
        pass


def made(seconds: Callable[[Trial], float]) -> tuple[Tuner, Made]:
    one = Tuner(traits())
    worker = Made(seconds)
    one.worker = worker  # type: ignore[assignment]
    return one, worker


def is_default(task: Task, trial: Trial) -> bool:
    return (trial.algorithm, trial.params) == (task.default.algorithm.name, task.default.params)


def test_the_fastest_is_kept_and_chosen(base: Database) -> None:
    task = standing(CONV, traits())
    favourite = tuner.shortlist(tuner.candidates(task.plain, traits(), task.layouts, task.prepared), task.default)[4]
    one, worker = made(lambda t: 1e-4 if (t.algorithm, t.params) == (favourite.algorithm.name, favourite.params) else 2e-4)
    outcome = one.tune(task, 60)
    assert str(outcome.winner) == str(favourite) and outcome.gain == 2 and not outcome.rejected
    assert len(worker.contests) == 2 and len(worker.contests[-1]) == 2, "the winner against the default once more"
    choice = choose(CONV, traits(), task.stored, task.prepared)
    assert choice.params == favourite.params and choice.tuned is not None and choice.tuned.seconds == 1e-4


@pytest.mark.parametrize("other", [1.0, 0.99, 1.5])
def test_the_default_stays_where_nothing_is_faster_for_sure(base: Database, other: float) -> None:
    task = standing(CONV, traits())
    one, _ = made(lambda t: 1e-4 * (1.0 if is_default(task, t) else other))
    outcome = one.tune(task, 60)
    assert outcome.winner is task.default and outcome.gain == 1
    assert base.entries()[0].params_like(task.default.params) == task.default.params


def test_a_winner_that_does_not_win_again_is_not_kept(base: Database) -> None:
    """The first contest flattered it."""
    task = standing(CONV, traits())
    one, worker = made(lambda t: 1e-4 if is_default(task, t) else 0.5e-4 if len(worker.contests) < 2 else 1.1e-4)
    assert one.tune(task, 60).winner is task.default
    assert len(worker.contests) == 2


def test_reorders_of_the_neighbours_count_against_a_candidate(base: Database) -> None:
    """conv_direct, a little faster by itself, would have plain tensors in the midst of blocked ones."""
    problem = parse("n1c32i28x28k32f3x3p1")
    task = standing(problem, traits())
    if task.default.algorithm.name == "conv_direct":
        pytest.fail(f"expected an algorithm for blocked tensors, {traits().label} has none")
    one, _ = made(lambda t: 9e-6 if t.algorithm == "conv_direct" else 10e-6)
    assert one.tune(task, 60).winner.algorithm.name != "conv_direct"


def test_a_rejected_default_gives_way(base: Database) -> None:
    task = standing(CONV, traits())

    def seconds(trial: Trial) -> float:
        if is_default(task, trial):
            raise Rejected("hangs")
        return 1e-4

    one, _ = made(seconds)
    outcome = one.tune(task, 60)
    assert outcome.default_seconds is None and not is_default(task, Trial(CONV, outcome.winner.algorithm.name, outcome.winner.params))
    assert base.entries()[0].default_seconds is None and dict(outcome.rejected) == {str(task.default): "hangs"}


def test_nothing_is_written_where_all_are_rejected(base: Database) -> None:
    def seconds(trial: Trial) -> float:
        raise Rejected("crashes")

    outcome = made(seconds)[0].tune(standing(CONV, traits()), 60)
    assert outcome.entry is None and outcome.seconds is None and len(outcome.rejected) == outcome.tried > 3
    assert base.entries() == []


def test_no_candidate_is_begun_when_time_is_over(base: Database) -> None:
    def seconds(trial: Trial) -> float:
        time.sleep(0.05)
        return 1e-4

    one, worker = made(seconds)
    begin = time.monotonic()
    tasks = [standing(parse(f"conv n1c2i{n}x{n}k9f3x3p1"), traits()) for n in range(6, 30)]
    report = one.tune_all(tasks, 0.6)
    taken = time.monotonic() - begin
    assert 0 < len(report.outcomes) < len(tasks) and len(report.outcomes) + len(report.left) == len(tasks)
    assert not report.interrupted
    assert taken < 0.6 + 0.05 * 7 + 0.3, "one trial and the contests of one problem may still be running"


def test_interrupting_keeps_what_was_found(base: Database) -> None:
    tasks = [standing(parse(f"conv n1c2i{n}x{n}k9f3x3p1"), traits()) for n in (6, 7, 8)]
    seen: list[Outcome] = []

    def seconds(trial: Trial) -> float:
        if len(seen) == 2:
            raise KeyboardInterrupt
        return 1e-4

    report = made(seconds)[0].tune_all(tasks, 60, seen.append)
    assert report.interrupted and len(report.outcomes) == 2 and len(report.left) == 1
    assert {entry.problem for entry in base.entries()} == {problem_key(outcome.task.problem) for outcome in report.outcomes}


def test_what_is_not_known_yet_comes_first(base: Database) -> None:
    texts = [f"conv n1c2i{n}x{n}k9f3x3p1" for n in (6, 7, 60)]
    tasks = [standing(parse(text), traits()) for text in (*texts, texts[0])]
    one, _ = made(lambda trial: 1e-4)
    first = one.tune_all(tasks, 60)
    assert [str(o.task.problem) for o in first.outcomes] == [texts[2], texts[0], texts[1]]
    assert [o.task.count for o in first.outcomes] == [1, 2, 1], "two steps of one kind count twice"
    base.remove([entry for entry in base.entries() if entry.problem == texts[1]])
    again = one.tune_all(tasks, 60)
    assert str(again.outcomes[0].task.problem) == texts[1]


def test_heavy_tasks_get_more_time() -> None:
    heavy, light = (standing(parse(f"conv n1c2i{n}x{n}k9f3x3p1"), traits()) for n in (200, 6))
    assert tuner.share_of([heavy, light, light]) > 0.6 and tuner.share_of([light]) == 1
    assert tuner.share_of([light, heavy]) > 0.25


def small(filters: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, filters, 3, padding=1), nn.ReLU())


def entry_for(params: DirectParams) -> Entry:
    problem, t = parse("conv n1c2i6x6k3f3x3p1"), traits()
    storage = storage_key(problem, {}, frozenset({"w"}))
    names = t.identity, t.driver, t.family, t.kind
    return Entry(problem_key(problem), storage, "conv_direct", params_row(params), 1e-6, "conv_direct", 2e-6, *names)


def test_retune_takes_what_was_found_meanwhile(base: Database, queue: Any) -> None:
    net = small()
    run = clconv.compile(net, (1, 2, 6, 6), queue)
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 6), np.float32)
    before = run(x).get()
    assert run.retune() == 0
    (step,) = [s for s in run.steps if not s.prepared and str(s.problem).startswith("conv")]
    assert step.choice.algorithm.name == "conv_direct"
    was = step.choice.params
    assert isinstance(was, DirectParams)
    params = DirectParams(1, 1, 1, was.lanes)
    base.add([entry_for(params)])
    assert run.retune() == 1
    assert "tuned: 1 us measured on" in run.explain() and "(untuned: conv_direct, 2 us)" in run.explain()
    np.testing.assert_allclose(run(x).get(), before, rtol=1e-5, atol=1e-6)
    assert clconv.compile(net, (1, 2, 6, 6), queue).retune() == 0
    untuned = clconv.compile(net, (1, 2, 6, 6), queue, tuned=False)
    assert "tuned" not in untuned.explain()


def test_a_network_that_becomes_slower_gets_its_old_entries_back(base: Database, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = entry_for(DirectParams(2, 1, 1, 1))
    base.add([old])

    def tuned(self: Tuner, tasks: Sequence[Task], seconds: float, done: Any) -> tuner.Report:
        new = entry_for(DirectParams(1, 1, 1, 1))
        base.add([new])
        (task,) = tasks
        return tuner.Report((Outcome(task, 2e-6, task.default, 1e-6, 2, (), new),), ())

    monkeypatch.setattr(Tuner, "tune_all", tuned)
    for after, kept in ((1.0, True), (0.5, True), (1.5, False)):
        base.add([old])
        monkeypatch.setattr(tune, "compare", lambda graph, queue, seconds, after=after: ([1.0] * 20, [after] * 20))
        result = tune.tune_network(small(), (1, 2, 6, 6), queue, 1)
        assert result.kept == kept and (result.before, result.after) == (1.0, after)
        assert (base.entries() == [old]) == (not kept)


def test_disturbances_are_not_taken_for_slowness(base: Database, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def tuned(self: Tuner, tasks: Sequence[Task], seconds: float, done: Any) -> tuner.Report:
        (task,) = tasks
        return tuner.Report((Outcome(task, 2e-6, task.default, 1e-6, 2, (), entry_for(DirectParams(1, 1, 1, 1))),), ())

    monkeypatch.setattr(Tuner, "tune_all", tuned)
    monkeypatch.setattr(tune, "compare", lambda graph, queue, seconds: ([1.0] * 20, [0.9] * 9 + [1.5] * 11))
    assert tune.tune_network(small(), (1, 2, 6, 6), queue, 1).kept


# The command


def refusal(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["tune", *arguments])
    assert result.exit_code == 2 and "Traceback" not in result.output, result.output
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((), "give one thing to tune"),
        (("resnet18", "--light", "resnet50"), "give one thing to tune"),
        (("resnet99",), "is not a network; networks are"),
        (("conv n1c3i8x8",), "'f' is missing"),
        (("conv n1c3i8x8k4f3x3", "--batch", "2"), "a problem says its pass and sizes itself"),
        (("lenet5", "--time", "0"), "is not in the range x>=1"),
    ],
    ids=str,
)
def test_the_command_refuses_readably(base: Database, arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(*arguments)


def test_the_command_refuses_to_work_for_nothing() -> None:
    assert "CLCONV_TUNING_DB is empty: there is no database to write to" in refusal("lenet5")


def test_an_interrupted_command_says_what_is_left(base: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Task] = []

    def one(self: Tuner, task: Task, seconds: float, forced: str | None = None) -> Outcome:
        calls.append(task)
        if len(calls) == 2:
            raise KeyboardInterrupt
        entry = entry_for(DirectParams(1, 1, 1, 1))
        return Outcome(task, 2e-6, task.default, 1e-6, 2, (("conv_direct(tile_k=1)", "hangs"),), entry)

    monkeypatch.setattr(Tuner, "tune", one)
    result = CliRunner().invoke(main, ["tune", "lenet5"])
    assert result.exit_code == 130, result.output
    assert "interrupted: 6 problems stay as they were" in result.output and "2.00x" in result.output
    assert "conv_direct(tile_k=1): hangs" in result.output and "1 entries written to" in result.output


# Everything for real


PLANTS = {
    "unwritten": "if (rest > 0) return;",
    "wrong everywhere": "#undef ACTIVATE\n#define ACTIVATE(v) ((v) + 0.01f)",
    "wrong in one element": "if (get_global_id(1) == 0 && rest == 0) { out[0] = 7.0f; return; }",
    "outside": "out[-1] = 0.0f;",
    "behind": "out[9 * 36] = 0.0f;",
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("plant", PLANTS)
def test_the_laboratory_finds(plant: str, tmp_path: Path, queue: Any) -> None:
    params = choose(CONV, traits(), forced="conv_direct", tuned=False).params
    assert isinstance(params, DirectParams)
    folder = planted(tmp_path, [(params, PLANTS[plant])])
    laboratory = Laboratory(queue)
    assert laboratory.try_out(Trial(CONV, "conv_direct", params)) > 0
    with pytest.raises(clconv.ClconvError, match="off by|outside of its memory"):
        laboratory.try_out(Trial(CONV, "conv_direct", params, folder))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "text",
    ["n2c24i9x9k40f3x3p1+bias+relu+res", "n2c24i9x9k40f3x3s2p1", "n1c3i17x17k16f7x7s2p3", "n2c16i9x9k24f3x3p1:bwd_d",
     "n2c16i9x9k24f3x3p1:bwd_w", "n1c24i9x9k24f3x3p1g24", "maxpool n2c20i9x9f3x3s2p1", "avgpool n2c20i9x9f3x3s2p1:bwd_d",
     "n1c16i9x9k16f3x3p1:f16"],
)  # fmt: skip
def test_every_candidate_is_right(text: str, queue: Any) -> None:
    """The whole space of every algorithm, in network state."""
    laboratory = Laboratory(queue)
    task = standing(parse(text), traits())
    found = tuner.candidates(task.plain, traits(), task.layouts, task.prepared)
    for candidate in found:
        problem = tuner.as_in_network(task, candidate.algorithm, candidate.wants)
        assert laboratory.try_out(Trial(problem, candidate.algorithm.name, candidate.params)) > 0
    times = laboratory.contest([Trial(task.problem, task.default.algorithm.name, task.default.params)] * 2, 0.1)
    assert len(times) == 2 and min(times) > 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("arguments", [("lenet5", "--batch", "2"), ("lenet5", "--batch", "4", "--train")], ids=" ".join)
def test_networks_are_tuned_by_the_command(base: Database, queue: Any, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["tune", *arguments, "--time", "30"])
    assert result.exit_code == 0, result.output
    assert base.entries() or "put back as it was" in result.output
    x = np.random.default_rng(0).standard_normal((2, 1, 28, 28), np.float32)
    net = models.lenet5()
    runs: list[Run] = [clconv.compile(net, x.shape, queue, tuned=tuned) for tuned in (True, False)]
    np.testing.assert_allclose(runs[0](x).get(), runs[1](x).get(), rtol=1e-4, atol=1e-5)
