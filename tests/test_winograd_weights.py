"""Weights transformed on the device equal those by NumPy, whose transform follows from the two others; what fills up a tile is zero."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyopencl.array as cla
import pytest

from clconv.algorithms.minimal_filtering import MOST_PRODUCTS
from clconv.algorithms.winograd_weights import WinogradWeights, WinogradWeightsParams
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.runtime.context import default_queue
from clconv.runtime.launch import bind, rendered
from clconv.runtime.programs import programs_for
from clconv.tensor import PLAIN, Blocked, Packed, Transformed, filter_products
from tests.cases import check, prepare
from tests.support import integers, run_plan, traits, transform_weights

ALGORITHM = WinogradWeights()
UNTOUCHED = np.float32(-77.5)
Asked = tuple[tuple[int, ...], Transformed]


def run_all(asked: list[Asked], params: WinogradWeightsParams | None = None, exact: bool = False) -> None:
    """All kernels in a few programs, then each against NumPy: equal, or within the rounding of its few terms."""
    problems = [ReorderProblem(shape).with_layouts(y=layout) for shape, layout in asked]
    prepared = [prepare(ALGORITHM, p, traits(), params or ALGORITHM.defaults(p, traits())) for p in problems]
    queue = default_queue()
    programs_for(queue.context, queue.device).kernels(rendered(call for each in prepared for call in each.plan.calls))
    rng = np.random.default_rng(0)
    for each in prepared:
        shape, layout = each.problem.spec("x").shape, each.problem.layout("y")
        assert isinstance(layout, Transformed)
        if exact:
            w = integers(rng, shape)
            np.testing.assert_array_equal(run_plan(each.plan, each.problem, {"x": w})["y"], transform_weights(w, layout))
        check(each, {"x": rng.standard_normal(shape, np.float32)})


@pytest.mark.parametrize("turned", [False, True])
def test_all_sizes_on_one_kernel(turned: bool) -> None:
    """Channels below, at and above a block and the channels of a work-item; groups. Halves are exact."""
    sizes = [(1, 1, 1), (8, 8, 1), (9, 17, 1), (33, 5, 1), (6, 3, 3), (32, 8, 2), (10, 9, 5)]
    run_all([((k, c, 3, 3), Transformed(8, 1, (2, 2), groups=g, turned=turned)) for k, c, g in sizes], exact=True)


def test_bad_weights_stay_where_they_are() -> None:
    """A NaN is in the products of its own pair of channels, and in none of those that only fill up a tile, of the last channel either."""
    layout = Transformed(8, 1, (2, 2))
    problem = ReorderProblem((10, 3, 3, 3)).with_layouts(y=layout)
    w = integers(np.random.default_rng(0), problem.shape)
    w[9, 1, 0, 2], w[2, 0, 1, 1] = np.nan, np.inf
    plan = prepare(ALGORITHM, problem, traits(), ALGORITHM.defaults(problem, traits())).plan
    got = run_plan(plan, problem, {"x": w})["y"].reshape(2, 16, 3, 8)
    bad = np.zeros(got.shape, bool)
    bad[1, :, 1, 1] = bad[0, :, 0, 2] = True
    want = transform_weights(np.where(np.isfinite(w), w, 0), layout).reshape(got.shape)
    np.testing.assert_array_equal(got[~bad], want[~bad])
    assert not np.isfinite(got[bad]).all() and (got[1, :, :, 2:] == 0).all()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("shape", "groups"), [((1, 1), 1), ((9, 17), 1), ((33, 5), 1), ((12, 64), 1), ((8, 150), 1), ((20, 18), 2)])
def test_only_what_changed_is_made_again(shape: tuple[int, int], groups: int, turned: bool) -> None:
    """Work-items that find other bits than the last time write their products anew, and no other writes anything."""
    layout = Transformed(8, 1, (2, 2), groups=groups, turned=turned)
    problem = ReorderProblem((*shape, 3, 3), recalls=True).with_layouts(y=layout)
    plan = ALGORITHM.plan(problem, DeviceTraits.cpu(), WinogradWeightsParams(1))
    assert plan.recalled == ("y", "seen")
    queue, rng = default_queue(), np.random.default_rng(0)
    x, seen = cla.zeros(queue, problem.shape, np.float32), cla.zeros(queue, problem.shape, np.float32)
    y = cla.zeros(queue, problem.spec("y").storage_elements, np.float32)
    (call,) = plan.calls
    launch = bind(call, programs_for(queue.context, queue.device), {"x": x.data, "y": y.data, "seen": seen.data})

    def run(w: np.ndarray) -> np.ndarray:
        x.set(w)
        y.fill(UNTOUCHED)
        launch.enqueue(queue)
        np.testing.assert_array_equal(seen.get().view(np.int32), w.view(np.int32))
        return np.asarray(y.get())

    w = integers(rng, problem.shape)
    assert (run(np.zeros_like(w)) == UNTOUCHED).all(), "zeros are what there was"
    run(w)
    assert (run(w) == UNTOUCHED).all(), "the same weights were transformed again"
    most = 16 * 8 * int(dict(call.bindings)["each"])
    for value in (-0.0, np.nan, 0.0, 5.0):
        before = transform_weights(w, layout).astype(np.float32)
        place = tuple(rng.integers(n) for n in w.shape) if value == 5 else (0, 0, 0, 0)
        w[place] = value
        got, want = run(w), transform_weights(w, layout).astype(np.float32)
        made = got != UNTOUCHED
        assert 0 < made.sum() <= most, "more than one work-item wrote"
        assert made[before.view(np.int32) != want.view(np.int32)].all(), "products of the weight that changed are as they were"
        np.testing.assert_array_equal(got[made], want[made])


def strided_layouts(kernel: tuple[int, ...]) -> list[Transformed]:
    rows, columns = (1, *kernel)[-2:]
    out = []
    for m, s, turned, tile in product(range(2, 7), (1, 2, 3), (False, True), (1, 2)):
        outputs, stride = (1 if rows == 1 else m, 1 if columns == 1 else m), (1 if rows == 1 else s, s)
        if max(map(filter_products, outputs, (rows, columns), stride)) <= MOST_PRODUCTS:
            out.append(Transformed(8, tile, outputs, stride, 1, turned))
    return out


@pytest.mark.exhaustive
@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (4, 4), (5, 5), (1, 3), (3, 1), (2, 5), (7, 3), (3,), (5,)], ids=str)
def test_every_filter_and_stride(kernel: tuple[int, ...]) -> None:
    run_all([((17, 9, *kernel), layout) for layout in strided_layouts(kernel)])


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", [4, 8, 16])
def test_other_widths_tiles_and_groups_of_work_items(block: int) -> None:
    layouts = [Transformed(block, tile, (4, 4), (1, 1), *more) for tile in (1, 3) for more in product((1, 3), (False, True))]
    asked: list[Asked] = [((12, 5, 3, 3), layout) for layout in layouts]
    for params in (WinogradWeightsParams(1), WinogradWeightsParams(4)):
        run_all(asked, params)


def test_refusals_say_why() -> None:
    def why(problem: ReorderProblem) -> str:
        return ALGORITHM.why_not(problem, DeviceTraits.cpu()) or ""

    plain, layout = ReorderProblem((16, 8, 3, 3)), Transformed(8, 1, (2, 2))
    assert "transforms plain weights, got plain -> plain" in why(plain)
    assert "got plain -> packed" in why(plain.with_layouts(y=Packed(8, 8, 1)))
    assert "-> transformed 2x2 by 8" in why(plain.with_layouts(x=Blocked(8), y=layout)) and "got transformed" in why(
        plain.with_layouts(x=layout, y=PLAIN)
    )
    half = ReorderProblem((16, 8, 3, 3), "float16", "float16").with_layouts(y=layout)
    assert "computes in float32, got float16 -> float16" in why(half)
    assert "K a multiple of 3 groups, got (16, 8, 3, 3)" in why(plain.with_layouts(y=Transformed(8, 1, (2, 2), groups=3)))
    assert "needs weights (K, C / groups, *kernel)" in why(ReorderProblem((16, 8)).with_layouts(y=layout))
    assert "at most 8 products along an axis, got [8, 9]" in why(ReorderProblem((16, 8, 3, 3)).with_layouts(y=Transformed(8, 1, (6, 7))))
    assert why(plain.with_layouts(y=layout)) == ""
