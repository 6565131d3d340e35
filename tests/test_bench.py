"""How benchmarks count: blocks and medians with a made-up clock, rows, and a check that finds what is wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms import applicable, for_problem
from clconv.bench.check import error_share, random_operands
from clconv.bench.networks import INPUTS, build, input_shape
from clconv.bench.problems import bench_problem, prepare
from clconv.bench.report import COLUMNS, Row, write_json
from clconv.bench.timing import BLOCK_SECONDS, LEAST_REPEATS, MOST_CALLS, Timing, measure
from clconv.errors import UnsupportedError
from clconv.nn import models
from clconv.problem import ConvProblem, PoolProblem, parse
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


def test_few_repeats_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at least {LEAST_REPEATS} for a median worth printing, got 14"):
        measure([lambda n: None], 14)


def test_median_least_and_spread() -> None:
    timing = Timing((5.0, 1.0, 3.0, 2.0, 4.0), 1)
    assert (timing.median, timing.least) == (3.0, 1.0)
    assert timing.spread == pytest.approx((4.5 - 1.5) / 3.0)


PROBLEMS = [
    "conv n2c3i9x8k3f3x3p1+bias+leaky_relu(0.5)+res",
    "conv n2c6i9x8k6f3x3p1g2:bwd_d",
    "conv n3c3i9x8k3f3x3p1:bwd_w",
    "deconv n1c3i5x5k3f2x2s3o1",
    "maxpool n2c3i9x8f2x2:bwd_d",
    "avgpool n2c3i9x8f3x3s2p1:nopad",
    "avgpool n2c3i9x8f3x3s2p1:bwd_d",
]
MORE_PROBLEMS = [
    "maxpool n2c3i9x8f3x3s2p1:idx:f16",
    "maxpool n2c3i9x8f3x3s2p1:idx",
    "avgpool n2c3i9x8f3x3s2p1:bwd_d:f16",
    "conv n2c5i9x8k6f3x3s2p1+bias+leaky_relu(0.25)+res",
    "conv n2c4i9x8k6f3x2p1,0g2:bwd_d",
    "conv n3c4i9k6f3p1:bwd_w",
    "deconv n1c4i5x5k6f4x4s2p1:f16+bias",
]


@pytest.mark.parametrize("text", [*PROBLEMS, *(pytest.param(text, marks=pytest.mark.exhaustive) for text in MORE_PROBLEMS)])
def test_every_algorithms_result_is_checked_and_right(text: str, queue) -> None:
    problem = parse(text)
    operands = random_operands(problem)
    assert set(operands) == set(problem.inputs)
    for algorithm in applicable(problem, traits()):
        results = prepare(problem, algorithm, queue, operands).results()
        assert set(results) == set(problem.outputs)
        assert error_share(problem, operands, results) <= 1


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
    rows = bench_problem(problem, queue, "all", check=True)
    assert [row.algorithm for row in rows] == [a.name for a in for_problem(problem) if a.why_not(problem, traits()) is None]
    for row in rows:
        assert row.text == "conv n1c8i12x12k8f3x3p1"
        assert row.repeats == 15 and 0 < row.min_ms <= row.median_ms
        assert row.gflops == pytest.approx(2 * problem.multiply_adds / row.median_ms / 1e6)
        assert row.gbytes == pytest.approx(problem.bytes_moved / row.median_ms / 1e6)
        assert row.error is not None and row.error <= 1
        assert row.device == traits().label and row.driver == traits().driver
        assert len(row.cells()) == len(COLUMNS)
    write_json(rows, tmp_path / "rows.json")
    assert [Row(**entry) for entry in json.loads((tmp_path / "rows.json").read_text())] == rows


def test_pooling_counts_bytes_only(queue) -> None:
    (row,) = bench_problem(parse("maxpool n1c8i12x12f2x2"), queue)
    assert row.gflops is None and row.gbytes is not None and row.error is None


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


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "googlenet", "unet", "dcgan_generator", "dcgan_discriminator", "dilated_context"])
def test_usual_inputs_fit_their_networks(name: str) -> None:
    outputs = build(name).trace(input_shape(name, 3)).outputs
    assert outputs[0].shape[0] == 3
