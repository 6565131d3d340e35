"""Reorders from, to and between channel-blocked layouts: every element where it belongs, zeros in halo and tail, nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest

from clconv.algorithms.reorder_blocked import ReorderBlocked
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem
from clconv.tensor import PLAIN, Blocked, Layout, Packed, Strided
from tests.support import NUMPY, run_plan

ALGORITHM = ReorderBlocked()
CPU = DeviceTraits.cpu(8)
SHAPES = [(2, 17, 5, 7), (1, 3, 1, 1), (3, 8, 4, 4), (1, 33, 3, 2), (2, 1, 6, 3), (1, 9, 23, 37), (2, 5, 13), (1, 16, 1)]
HALO = ((1, 2), (3, 0))


def data(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """A different value everywhere, exact in half precision, none of them zero."""
    return (np.arange(np.prod(shape)) % 2000 + 1).reshape(shape).astype(NUMPY[dtype])


def run(shape: tuple[int, ...], x: Layout, y: Layout, dtypes: tuple[str, str] = ("float32", "float32"), traits: DeviceTraits = CPU) -> None:
    problem = ReorderProblem(shape, *dtypes).with_layouts(x=x, y=y)
    assert ALGORITHM.why_not(problem, traits) is None
    source = data(shape, dtypes[0])
    for params in ALGORITHM.space(problem, traits):
        plan = ALGORITHM.plan(problem, traits, params)
        assert len(plan.calls) == 1
        got = run_plan(plan, problem, {"x": source})["y"]
        np.testing.assert_array_equal(got, source.astype(NUMPY[dtypes[1]]), err_msg=f"{problem} {params}")


def slices(channels: int, block: int) -> list[Blocked]:
    """No halo, halo, slice of a wider tensor, both."""
    own = -(-channels // block)
    return [Blocked(block), Blocked(block, HALO), Blocked(block, blocks=own + 3, first=2), Blocked(block, HALO, own + 1, 1)]


@pytest.mark.parametrize("block", [1, pytest.param(4, marks=pytest.mark.exhaustive), 8, 16])
def test_plain_to_blocked_and_back(block: int) -> None:
    for shape in SHAPES if block == 8 else SHAPES[:5]:
        for layout in slices(shape[1], block):
            run(shape, PLAIN, layout)
            run(shape, layout, PLAIN)


def test_other_halo_slice_and_block() -> None:
    for shape in SHAPES:
        for x in slices(shape[1], 8):
            for y in slices(shape[1], 8):
                run(shape, x, y)
        run(shape, Blocked(1, HALO), Blocked(8, ((0, 1), (1, 1))))
        run(shape, Blocked(8, HALO), Blocked(1, ((2, 1), (1, 0))))
        run(shape, Blocked(1, HALO), Blocked(1, ((0, 1), (1, 1)), shape[1] + 2, 1))


def views(shape: tuple[int, ...]) -> list[Strided]:
    """Channels last, columns reversed, every second column, one image repeated."""
    n, c, h, w = shape
    return [
        Strided((h * w * c, 1, w * c, c)),
        Strided((c * h * w, h * w, w, -1), w - 1),
        Strided((2 * c * h * w, 2 * h * w, 2 * w, 2), 1),
        Strided((0, h * w, w, 1)),
    ]


@pytest.mark.parametrize("which", range(3))
def test_views_to_blocked(which: int) -> None:
    for shape in ((2, 17, 5, 7), (3, 8, 4, 4), (1, 3, 6, 2)):
        view = views(shape)[which]
        for y in (Blocked(8), Blocked(8, HALO), Blocked(1, HALO)):
            run(shape, view, y)


def test_a_repeated_image() -> None:
    shape = (3, 9, 4, 5)
    problem = ReorderProblem(shape).with_layouts(x=views(shape)[3], y=Blocked(8, HALO))
    one = data((1, *shape[1:]))
    got = run_plan(ALGORITHM.plan(problem, CPU, ALGORITHM.defaults(problem, CPU)), problem, {"x": np.broadcast_to(one, shape)})["y"]
    np.testing.assert_array_equal(got, np.broadcast_to(one, shape))


def test_blocked_to_views() -> None:
    for shape in ((2, 17, 5, 7), (3, 8, 4, 4)):
        for view in views(shape)[:3]:
            run(shape, Blocked(8, HALO), view)
            run(shape, Blocked(8), view)
            run(shape, Blocked(1, HALO), view)


MOVES = {"in": (PLAIN, Blocked(8, HALO)), "out": (Blocked(8, HALO), PLAIN), "within": (Blocked(8), Blocked(8, HALO))}
TYPES = [("float16", "float16"), ("float32", "float16"), ("float16", "float32"), ("int32", "int32")]


def types_and_moves() -> list[object]:
    """All of both; a default run has every type and every move, not each of them together."""
    default = {(TYPES[0], "in"), (TYPES[0], "out"), (TYPES[1], "in"), (TYPES[1], "within"), (TYPES[2], "out"), (TYPES[3], "in")}
    return [
        pytest.param(dtypes, move, marks=() if (dtypes, move) in default else pytest.mark.exhaustive, id=f"{'-'.join(dtypes)}-{move}")
        for dtypes in TYPES
        for move in MOVES
    ]


@pytest.mark.parametrize(("dtypes", "move"), types_and_moves())
def test_element_types(dtypes: tuple[str, str], move: str) -> None:
    run((2, 11, 5, 7), *MOVES[move], dtypes)


def test_rounding_to_half_is_to_the_nearest_even_and_nan_stays() -> None:
    shape = (1, 9, 3, 5)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    x[0, 8, 2, 4], x[0, 0, 0, 0], x[0, 1, 0, 0], x[0, 2, 0, 0] = np.nan, np.inf, 1 + 2.0**-11, 1 + 3 * 2.0**-11
    problem = ReorderProblem(shape, "float32", "float16").with_layouts(y=Blocked(8))
    got = run_plan(ALGORITHM.plan(problem, CPU, ALGORITHM.defaults(problem, CPU)), problem, {"x": x})["y"]
    np.testing.assert_array_equal(got, x.astype(np.float16))


def test_refusals_are_sentences() -> None:
    shape = (2, 8, 4, 4)
    blocked = ReorderProblem(shape).with_layouts(y=Blocked(8))
    assert ALGORITHM.why_not(blocked, DeviceTraits.gpu()) == "needs a CPU device with SIMD width of at least 4, got 1"
    assert ALGORITHM.why_not(ReorderProblem(shape), CPU) == "needs a channel-blocked side, got plain -> plain"
    packed = ReorderProblem(shape).with_layouts(x=Blocked(8), y=Packed(8, 8, 1))
    assert ALGORITHM.why_not(packed, CPU) == f"moves activations, got {Blocked(8)} -> {Packed(8, 8, 1)}"
    mixed = ReorderProblem(shape).with_layouts(x=Blocked(4), y=Blocked(8))
    assert ALGORITHM.why_not(mixed, CPU) == "needs equal blocks or one of 1 channel, got 4 and 8"
    counted = ReorderProblem(shape, "int32", "float32").with_layouts(y=Blocked(8))
    assert ALGORITHM.why_not(counted, CPU) == "converts between float types, got int32 to float32"
    cube = ReorderProblem((1, 8, 2, 2, 2)).with_layouts(y=Blocked(8))
    assert ALGORITHM.why_not(cube, CPU) == "needs a shape of N, C and one or two spatial axes, got (1, 8, 2, 2, 2)"
