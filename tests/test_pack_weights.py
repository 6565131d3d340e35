"""Weights packed on the device equal those packed by NumPy, padding included."""

from __future__ import annotations

import numpy as np
import pytest

from clconv.algorithms.pack_weights import PackWeights
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.tensor import Blocked, Packed
from tests.support import NUMPY, integers, pack_weights, run_plan, traits

ALGORITHM = PackWeights()
SHAPES = [(16, 8, 3, 3), (17, 3, 7, 7), (33, 17, 1, 1), (1, 1, 2, 3), (40, 24, 5), (5, 33, 3, 2)]


def packed_on_device(shape, layout, dtype="float32", device=None):
    problem = ReorderProblem(shape, dtype, dtype).with_layouts(y=layout)
    device = device or traits()
    assert ALGORITHM.why_not(problem, device) is None
    w = integers(np.random.default_rng(0), shape).astype(NUMPY[dtype])
    plan = ALGORITHM.plan(problem, device, ALGORITHM.defaults(problem, device))
    assert len(plan.calls) == 1
    return run_plan(plan, problem, {"x": w})["y"], pack_weights(w, layout)


@pytest.fixture(autouse=True)
def packed_buffers_as_they_are(monkeypatch):
    """`load` gives logical arrays; a packed buffer is compared as it lies in memory, all of it."""
    import tests.support as support

    load = support.load
    monkeypatch.setattr(support, "load", lambda flat, spec: flat.copy() if isinstance(spec.layout, Packed) else load(flat, spec))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("block_in", [1, 8])
@pytest.mark.parametrize("tile", [1, 2])
def test_packs(shape, turned, block_in, tile):
    got, expected = packed_on_device(shape, Packed(8, block_in, tile, turned=turned))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("turned", [False, True])
def test_groups(turned):
    for shape, groups in [((32, 8, 3, 3), 2), ((48, 16, 1, 3), 3), ((12, 5, 2, 2), 4)]:
        got, expected = packed_on_device(shape, Packed(8, 8, 2, groups, turned))
        np.testing.assert_array_equal(got, expected)


@pytest.mark.exhaustive
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("joint", ["lanes", "blocks"])
def test_joint_groups(turned, joint):
    cases = [((6, 1, 3, 3), 3), ((9, 2, 2, 3), 3), ((60, 20, 1, 1), 3), ((20, 5, 3), 4), ((17, 1, 3, 3), 17), ((32, 8, 1, 1), 2)]
    for shape, groups in cases:
        for block_in in (8,) if joint == "blocks" else (1, 2, 4):
            for tile in (1, 3):
                got, expected = packed_on_device(shape, Packed(8, block_in, tile, groups, turned, joint))
                np.testing.assert_array_equal(got, expected)


def test_joint_groups_by_hand():
    """Two groups of 3 outputs and 2 inputs in blocks of 4: the second run of outputs lies in the second group alone."""
    w = np.arange(1, 13, dtype=np.float32).reshape(6, 2, 1, 1)
    first = [[1, 3, 5, 0], [2, 4, 6, 0], [0, 0, 0, 7], [0, 0, 0, 8]]
    second = [[0, 0, 0, 0], [0, 0, 0, 0], [9, 11, 0, 0], [10, 12, 0, 0]]
    np.testing.assert_array_equal(pack_weights(w, Packed(4, 4, 1, 2, joint="blocks")), np.ravel([first, second]))
    lanes = [[1, 3, 5, 7], [2, 4, 6, 8], [9, 11, 0, 0], [10, 12, 0, 0]]
    np.testing.assert_array_equal(pack_weights(w, Packed(4, 2, 1, 2, joint="lanes")), np.ravel(lanes))


@pytest.mark.exhaustive
def test_half_and_other_widths():
    for layout in (Packed(8, 8, 2), Packed(16, 16, 1, turned=True), Packed(4, 1, 3)):
        got, expected = packed_on_device((17, 9, 3, 3), layout, "float16")
        np.testing.assert_array_equal(got, expected)


def test_nan_does_not_spread():
    layout = Packed(8, 8, 1)
    problem = ReorderProblem((9, 9, 1, 1)).with_layouts(y=layout)
    w = np.ones((9, 9, 1, 1), np.float32)
    w[8, 8] = np.nan
    got = run_plan(ALGORITHM.plan(problem, traits(), ALGORITHM.defaults(problem, traits())), problem, {"x": w})["y"]
    assert np.isnan(got).sum() == 1
    np.testing.assert_array_equal(got, pack_weights(w, layout))


def test_groups_of_work_items():
    """On a GPU 64 work-items stand side by side, more than there are input blocks."""
    got, expected = packed_on_device((20, 67, 3, 3), Packed(8, 1, 2), device=DeviceTraits.gpu())
    np.testing.assert_array_equal(got, expected)


def test_refusals_say_why():
    device = traits()
    weights = ReorderProblem((16, 8, 3, 3))
    assert "packs plain weights, got plain -> plain" in (ALGORITHM.why_not(weights, device) or "")
    assert "got blocked 8" in (ALGORITHM.why_not(weights.with_layouts(x=Blocked(8), y=Packed(8, 8, 1)), device) or "")
    mixed = ReorderProblem((16, 8, 3, 3), "float32", "float16").with_layouts(y=Packed(8, 8, 1))
    assert "float32 -> float16" in (ALGORITHM.why_not(mixed, device) or "")
    odd = ReorderProblem((15, 8, 3, 3)).with_layouts(y=Packed(8, 8, 1, groups=2))
    assert "multiple of 2 groups" in (ALGORITHM.why_not(odd, device) or "")
