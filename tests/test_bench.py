"""How benchmarks count: blocks and medians with a made-up clock, rows, and a check that finds what is wrong."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms import applicable, for_problem
from clconv.bench import eager as module
from clconv.bench.check import error_share, random_operands
from clconv.bench.contest import Settings
from clconv.bench.eager import Eager
from clconv.bench.networks import INPUTS, build, input_shape, randomise
from clconv.bench.problems import bench_problem, parameters_with, prepare
from clconv.bench.report import read_json, write_json
from clconv.bench.timing import AGAINST_RIVALS, BLOCK_SECONDS, LEAST_REPEATS, MOST_CALLS, SLOW_SECONDS, Timing, measure
from clconv.errors import UnsupportedError
from clconv.nn import models
from clconv.problem import ConvProblem, PoolProblem, parse
from clconv.runtime.companion import Companion
from tests.support import traits


class Clock:
    """Time that only passes when a candidate works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[tuple[str, int]] = []

    def __call__(self) -> float:
        return self.now

    def candidate(self, name: str, seconds: float):
        def run(times: int) -> None:
            self.now += seconds * times
            self.log.append((name, times))

        return run


def test_candidates_alternate_in_blocks_that_take_a_while() -> None:
    clock = Clock()
    fast, slow = measure([clock.candidate("fast", 1e-4), clock.candidate("slow", 1.0)], 15, clock)
    assert fast.median == pytest.approx(1e-4) and slow.median == pytest.approx(1.0)
    assert fast.calls * 1e-4 >= BLOCK_SECONDS and slow.calls == 1
    assert len(fast.seconds) == len(slow.seconds) == 15
    blocks = [name for name, _ in clock.log[-60:]]
    assert blocks == ["fast", "fast", "slow", "slow"] * 15, "a warm-up call, then the block, in turns"


def test_calls_that_take_no_time_end() -> None:
    (timing,) = measure([Clock().candidate("nothing", 0.0)], 15, Clock())
    assert timing.calls == MOST_CALLS and timing.spread == 0


def test_against_rivals_there_is_a_pause_before_every_block_and_the_first_round_is_dropped() -> None:
    clock, told = Clock(), []
    candidates = [clock.candidate("ours", 0.01), clock.candidate("theirs", 0.02)]

    def sleep(seconds: float) -> None:
        clock.log.append(("pause", 0))
        clock.now += seconds

    ours, theirs = measure(candidates, 15, clock, manner=AGAINST_RIVALS, sleep=sleep, step=lambda: told.append(clock.now))
    assert ours.median == pytest.approx(0.01) and theirs.median == pytest.approx(0.02), "pauses are not timed"
    assert ours.calls == theirs.calls == AGAINST_RIVALS.least_calls == 3
    assert [name for name, _ in clock.log[-96:]] == ["pause", "ours", "ours", "pause", "theirs", "theirs"] * 16
    assert len(ours.seconds) == 15 and len(told) == 32


def test_the_dropped_round_is_the_first() -> None:
    clock, cost = Clock(), iter([0.3] * 4 + [0.2] * 100)

    def slower_at_first(times: int) -> None:
        clock.now += next(cost) * times

    (timing,) = measure([slower_at_first], 15, clock, manner=AGAINST_RIVALS, sleep=lambda _: None)
    assert timing.seconds == pytest.approx((0.2,) * 15)


def test_slow_calls_need_no_company_in_their_block() -> None:
    clock = Clock()
    (timing,) = measure([clock.candidate("slow", 1.01 * SLOW_SECONDS)], 15, clock, manner=AGAINST_RIVALS, sleep=lambda _: None)
    assert timing.calls == 1


def test_few_repeats_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at least {LEAST_REPEATS} for a median worth printing, got 14"):
        measure([lambda n: None], 14)


def test_median_least_and_spread() -> None:
    timing = Timing((5.0, 1.0, 3.0, 2.0, 4.0), 1)
    assert (timing.median, timing.least) == (3.0, 1.0)
    assert timing.spread == pytest.approx((4.5 - 1.5) / 3.0)


PROBLEMS = ["conv n2c3i9x8k3f3x3p1+bias+leaky_relu(0.5)+res"]
MORE_PROBLEMS = [
    "conv n3c3i9x8k3f3x3p1:bwd_w",
    "conv n2c6i9x8k6f3x3p1g2:bwd_d",
    "maxpool n2c3i9x8f2x2:bwd_d",
    "avgpool n2c3i9x8f3x3s2p1:nopad",
    "deconv n1c3i5x5k3f2x2s3o1",
    "avgpool n2c3i9x8f3x3s2p1:bwd_d",
    "maxpool n2c3i9x8f3x3s2p1:idx:f16",
    "maxpool n2c3i9x8f3x3s2p1:idx",
    "avgpool n2c3i9x8f3x3s2p1:bwd_d:f16",
    "conv n2c5i9x8k6f3x3s2p1+bias+leaky_relu(0.25)+res",
    "conv n2c4i9x8k6f3x2p1,0g2:bwd_d",
    "conv n3c4i9k6f3p1:bwd_w",
    "deconv n1c4i5x5k6f4x4s2p1:f16+bias",
    "conv n2c3i9x8k4f3x3p1+bias+hardswish",
    "conv n2c5i9x8k6f3x3+silu+res",
    "conv n2c6i9x8k6f3x3p1g6+bias+clip(-0.5,0.5)",
]


@pytest.mark.parametrize("text", [*PROBLEMS, *(pytest.param(text, marks=pytest.mark.exhaustive) for text in MORE_PROBLEMS)])
def test_every_algorithms_result_is_checked_and_right(text: str, queue) -> None:
    problem = parse(text)
    operands = random_operands(problem)
    assert set(operands) == set(problem.inputs)
    for algorithm in applicable(problem, traits()):
        prepared = prepare(problem, algorithm, queue, operands)
        results = prepared.results()
        assert set(results) == set(problem.outputs)
        assert error_share(problem, operands, results, algorithm.error_factor(prepared.problem, prepared.params)) <= 1


def exact(problem: ConvProblem | PoolProblem, operands: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Right results of the two problems below, straight from the oracle."""
    x = operands["x"]
    if isinstance(problem, ConvProblem):
        return {"y": reference.conv(x, operands["w"], None, problem.geometry).astype(np.float32)}
    y, indices = reference.max_pool(x, problem.geometry)
    return {"y": y.astype(np.float32), "indices": indices}


@pytest.mark.parametrize("text", ["n1c3i8x8k4f3x3", "maxpool n1c3i8x8f2x2:idx"])
def test_a_wrong_element_is_found(text: str) -> None:
    problem = parse(text)
    operands = random_operands(problem)
    right = exact(problem, operands)
    assert error_share(problem, operands, right) <= 1
    for value in (1.001, 0.0):
        wrong = {**right, "y": right["y"].copy()}
        wrong["y"][0, 1, 2, 3] *= value
        assert error_share(problem, operands, wrong) > 1
    wrong["y"][0, 1, 2, 3] = np.nan
    assert not error_share(problem, operands, wrong) <= 1
    if "indices" in right:
        assert error_share(problem, operands, {**right, "indices": right["indices"] + 1}) == math.inf


def test_rows_say_what_was_measured(queue, tmp_path) -> None:
    problem = parse("conv n1c8i12x12k8f3x3p1")
    rows = bench_problem(problem, queue, "all", Settings(check=True))
    assert [row.algorithm for row in rows] == [a.name for a in for_problem(problem) if a.why_not(problem, traits()) is None]
    for row in rows:
        assert row.suite == "conv" and row.text == "conv n1c8i12x12k8f3x3p1" and row.caches == "warm" and not row.rivals
        assert row.repeats == 15 and 0 < row.min_ms <= row.median_ms
        assert row.gflops == pytest.approx(2 * problem.multiply_adds / row.median_ms / 1e6)
        assert row.gbytes == pytest.approx(problem.bytes_moved / row.median_ms / 1e6)
        assert row.error is not None and row.error <= 1
        assert row.device == traits().label and row.driver == traits().driver and row.threads == traits().compute_units
    write_json(rows, tmp_path / "rows.json")
    assert read_json(tmp_path / "rows.json") == rows


def test_pooling_counts_bytes_only(queue) -> None:
    (row,) = bench_problem(parse("maxpool n1c8i12x12f2x2"), queue)
    assert row.gflops is None and row.gbytes is not None and row.error is None


def test_cold_runs_rotate_through_copies(queue) -> None:
    (row,) = bench_problem(parse("maxpool n1c8i12x12f2x2"), queue, None, Settings(cold=True, check=True))
    assert row.caches == "cold" and row.error == 0


@dataclass(frozen=True)
class Tile:
    """Parameters of a made-up algorithm."""

    width: int = 4
    flat: bool = False
    sizes: tuple[int, ...] = (1, 2)


def test_parameters_by_hand() -> None:
    assert parameters_with(Tile(), {}, "made_up") == Tile()
    assert parameters_with(Tile(), {"width": "14", "flat": "yes", "sizes": "3x4"}, "made_up") == Tile(14, True, (3, 4))


@pytest.mark.parametrize(
    "given, message",
    [
        ({"height": "3"}, "made_up has no parameter 'height'; it has width, flat, sizes"),
        ({"width": "wide"}, "width='wide' is not a value like 4"),
        ({"flat": "perhaps"}, "flat='perhaps' is not a value like False"),
    ],
)
def test_parameters_that_are_none_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        parameters_with(Tile(), given, "made_up")


def test_the_eager_call_has_a_line(queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """With residual and activation, beside the compiled problem; it is called until another process has built what it wanted to."""
    monkeypatch.setenv("CLCONV_COMPANIONS", "0")
    monkeypatch.setattr(Companion, "latest", None)
    problem = parse("n2c3i9x8k3f3x3s1x2p1,0x1+bias+leaky_relu(0.5)+res")
    assert isinstance(problem, ConvProblem)
    _, eager, compiled = bench_problem(problem, queue, None, Settings(check=True), eager=True)
    assert (eager.algorithm, compiled.algorithm) == ("eager", "compiled")
    assert eager.error is not None and eager.error <= 1 and eager.params and eager.launches >= 1

    calls = Eager(problem, queue, random_operands(problem))
    monkeypatch.setattr(module, "OFTEN", 3)
    counted: list[object] = []

    def call(self: Eager) -> None:
        counted.append(None)
        if len(counted) == 2:
            Companion.latest = type("Over", (), {"is_over": True})()

    monkeypatch.setattr(Eager, "__call__", call)
    calls.settle()
    assert len(counted) == 2 * (3 + 1), "a round that changed nothing is the last"


def test_eager_calls_take_no_edited_templates(queue, tmp_path) -> None:
    with pytest.raises(UnsupportedError, match="--eager: eager calls take no edited templates, got --kernels"):
        bench_problem(parse("n1c3i8x8k4f3x3"), queue, settings=Settings(directory=str(tmp_path)), eager=True)


@pytest.mark.parametrize("text", ["maxpool n1c3i8x8f2x2", "n1c3i8x8k4f3x3:bwd_d"])
def test_only_forward_convolutions_are_called_eagerly(text: str, queue) -> None:
    with pytest.raises(UnsupportedError, match="--eager: times F.conv1d, F.conv2d and F.conv3d, got"):
        bench_problem(parse(text), queue, eager=True)


def test_parameters_are_those_of_one_algorithm(queue) -> None:
    with pytest.raises(UnsupportedError, match="name it with --algorithm"):
        bench_problem(parse("conv n1c8i12x12k8f3x3p1"), queue, "all", params={"tile_w": "2"})


def test_a_refusal_names_the_algorithms(queue) -> None:
    with pytest.raises(UnsupportedError, match="algorithm 'none_such' is not one of conv_"):
        bench_problem(parse("n1c3i8x8k4f3x3"), queue, "none_such")


def test_networks_by_name() -> None:
    assert set(INPUTS) <= set(models.__all__)
    assert input_shape("resnet18", 8) == (8, 3, 224, 224)
    assert input_shape("lenet5") == (1, 1, 28, 28)
    assert input_shape("vgg16", 2, 64) == (2, 3, 64, 64)
    with pytest.raises(UnsupportedError, match="'resnet99' is not a network; networks are alexnet, "):
        build("resnet99")


def test_random_parameters_keep_signals_alive() -> None:
    """As they begin, some networks give hardly more than their last bias: a comparison of results would see nothing."""
    network = build("dilated_context")
    before = network.state_dict()
    randomise(network)
    after = network.state_dict()
    assert not all(before[name].all() for name in before), "identity kernels are mostly zeros"
    for name, value in after.items():
        assert np.isfinite(value).all() and value.std() > 0, name
        if value.ndim > 1:
            assert value.std() == pytest.approx(math.sqrt(2 / math.prod(value.shape[1:])), rel=0.05), name


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "googlenet", "unet", "dcgan_generator", "dcgan_discriminator", "dilated_context"])
def test_usual_inputs_fit_their_networks(name: str) -> None:
    outputs = build(name).trace(input_shape(name, 3)).outputs
    assert outputs[0].shape[0] == 3
