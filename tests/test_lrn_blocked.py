"""lrn_blocked against the oracle, forward and backward, across the borders of blocks."""

from __future__ import annotations

import numpy as np
import pytest

from clconv.algorithms.lrn_blocked import LrnBlocked, shifts
from clconv.device import DeviceTraits
from clconv.problem import LrnProblem, Pass
from clconv.tensor import Blocked
from tests.cases import check, prepare
from tests.support import run_plan, traits

LRN = LrnBlocked()
SHAPES = [(2, 7, 5, 6), (3, 17, 13), (1, 1, 1, 1), (2, 33, 3, 4), (1, 24, 9, 67), (1, 9, 1, 300)]
# window, alpha, beta, k: the exponents with roots, one without, a window of one channel and one wider than a block.
CASES = [(5, 1e-1, 0.75, 1.0), (4, 2.0, 0.5, 2.0), (1, 0.3, 1.0, 0.5), (3, 0.7, 0.6, 1.5), (11, 1.0, 0.75, 1.0)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("direction", [Pass.FORWARD, Pass.BACKWARD_DATA], ids=lambda d: d.value)
def test_shapes_and_exponents(case: tuple[int, float, float, float], direction: Pass) -> None:
    for shape in SHAPES:
        problem = LrnProblem(shape, *case, direction)
        params = LRN.defaults(problem, traits())
        check(prepare(LRN, problem, traits(), params))
        wider = {name: Blocked(traits().block, ((1, 2), (0, 3)), blocks=9, first=2) for name in problem.tensors()}
        check(prepare(LRN, problem, traits(), params, wider))


@pytest.mark.exhaustive
@pytest.mark.parametrize("lanes", [4, 16])
def test_other_vector_widths(lanes: int) -> None:
    device = DeviceTraits.cpu(lanes)
    for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
        problem = LrnProblem((2, 21, 3, 5), *CASES[0], direction)
        check(prepare(LRN, problem, device, LRN.defaults(problem, device)))


@pytest.mark.exhaustive
def test_nan_reaches_its_window_only_and_no_lane_that_is_no_channel() -> None:
    problem = LrnProblem((1, 11, 2, 3), 5, 0.1, 0.75, 0.0)
    x = np.ones((1, 11, 2, 3), np.float32)
    x[0, 7, 1, 1] = np.nan
    x[0, :, 0, 0] = 0  # with k = 0 this is 0 * infinity
    prepared = prepare(LRN, problem, traits(), LRN.defaults(problem, traits()), {"y": Blocked(traits().block, ((1, 1), (1, 1)))})
    y = run_plan(prepared.plan, prepared.problem, {"x": x})["y"]  # which finds zeros in the lanes and halo
    assert np.isnan(y[0, :, 1, 1]).tolist() == [5 <= c <= 9 for c in range(11)]
    assert np.isnan(y[0, :, 0, 0]).all() and np.isnan(y).sum() == 5 + 11


def test_shifted_lanes_are_the_channels_of_the_window() -> None:
    for block in (4, 8, 16):
        for shift in shifts(-block, block, block):
            assert [b * block + lane for b, lane in shift.lanes] == [lane + shift.by for lane in range(block)]


def test_refusals_say_why() -> None:
    cpu = DeviceTraits.cpu(8)
    assert "got (4, 3)" in (LRN.why_not(LrnProblem((4, 3), *CASES[0]), cpu) or "")
    assert "at most 16 channels, got 17" in (LRN.why_not(LrnProblem((1, 40, 3, 3), 17, 1.0, 0.5, 1.0), cpu) or "")
    assert "needs a CPU device" in (LRN.why_not(LrnProblem((1, 8, 3, 3), *CASES[0]), DeviceTraits.gpu()) or "")
