"""Pooling on channel-blocked tensors against the oracle: values, indices, NaN, padding, divisors, halos and channel slices."""

from __future__ import annotations

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.pool_blocked import PoolBlocked
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.geometry import PoolGeometry
from clconv.problem import Pass, PoolProblem
from clconv.tensor import Blocked
from tests.support import integers, run_plan, sum_bound

ALGORITHM = PoolBlocked()
CPU = DeviceTraits.cpu(8)
SIZES = [(3, 17), (1, 3), (2, 8), (1, 33), (2, 1)]
GEOMETRIES = {
    "2x2": (PoolGeometry.make(2, rank=2), ((8, 10), (7, 11), (2, 2))),
    "3x3 stride 2 padded": (PoolGeometry.make(3, 2, 1, rank=2), ((13, 11), (1, 1), (2, 5), (112, 3))),
    "3x3 stride 1 same": (PoolGeometry.make(3, 1, 1, rank=2), ((7, 5), (1, 4))),
    "ceil": (PoolGeometry.make(3, 2, 1, ceil_mode=True, rank=2), ((8, 10), (7, 6), (4, 4))),
    "ceil, not square": (PoolGeometry.make((3, 2), (2, 3), ((1, 1), (0, 1)), ceil_mode=True, rank=2), ((8, 9), (7, 6), (4, 4))),
    "stride above kernel": (PoolGeometry.make((1, 2), 3, rank=2), ((7, 8),)),
    "dilation, one-sided": (PoolGeometry.make((3, 2), (1, 2), ((1, 0), (0, 1)), (2, 1), rank=2), ((9, 8), (5, 7))),
    "1-D, stride above kernel": (PoolGeometry.make(2, 3, 1, rank=1), ((17,), (1,))),
}


def widened(name: str, channels: int) -> Blocked:
    """A larger halo and a channel slice, different for every operand."""
    own = -(-channels // 8)
    return {
        "x": Blocked(8, ((1, 0), (2, 1)), own + 2, 1),
        "y": Blocked(8, ((2, 1), (0, 3)), own + 3, 2),
        "indices": Blocked(8, ((0, 1), (1, 2)), own + 1, 1),
        "dy": Blocked(8, ((1, 2), (1, 0)), own + 1, 0),
        "dx": Blocked(8, ((1, 1), (1, 1)), own + 2, 1),
    }[name]


def run(problem: PoolProblem, operands: dict[str, np.ndarray], wide: bool = False, traits: DeviceTraits = CPU) -> dict[str, np.ndarray]:
    assert ALGORITHM.why_not(problem, traits) is None
    out = {}
    for params in ALGORITHM.space(problem, traits):
        layouts = dict(ALGORITHM.wants(problem, traits, params))
        if wide:
            layouts = {name: widened(name, problem.channels) for name in layouts}
        stored = problem.with_layouts(**layouts)
        now = run_plan(ALGORITHM.plan(stored, traits, params), stored, operands)
        for name, array in now.items():
            np.testing.assert_array_equal(array, out.setdefault(name, array))
    return out


def forward(kind: str, geometry: PoolGeometry, batch: int, channels: int, size: tuple[int, ...], **more: object) -> PoolProblem:
    return PoolProblem(kind, geometry, batch, channels, size, **more)  # type: ignore[arg-type]


RARE = {"3x3 stride 1 same", "dilation, one-sided", "ceil, not square", "stride above kernel", "1-D, stride above kernel"}
"""Near others of the list: each would be three kernels more in a default run."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.exhaustive if name in RARE else ()) for name in GEOMETRIES])
def test_maximum_and_its_gradient(name: str) -> None:
    geometry, sizes = GEOMETRIES[name]
    rng = np.random.default_rng(1)
    for size in sizes:
        for batch, channels in SIZES[:3]:
            x = integers(rng, (batch, channels, *size))
            y, indices = reference.max_pool(x, geometry)
            plain = forward("max", geometry, batch, channels, size)
            with_indices = forward("max", geometry, batch, channels, size, with_indices=True)
            backward = forward("max", geometry, batch, channels, size, direction=Pass.BACKWARD_DATA)
            dy = integers(rng, y.shape)
            for wide in (False, True):
                np.testing.assert_array_equal(run(plain, {"x": x}, wide)["y"], y)
                both = run(with_indices, {"x": x}, wide)
                np.testing.assert_array_equal(both["y"], y)
                np.testing.assert_array_equal(both["indices"], indices)
                dx = run(backward, {"dy": dy, "indices": indices}, wide)["dx"]
                np.testing.assert_array_equal(dx, reference.max_pool_backward(dy, indices, size))


def means() -> list[object]:
    """Geometries with rules of the divisor, pairwise in a default run."""
    rare = {("2x2", "divisor"), ("2x2", "padded"), ("3x3 stride 2 padded", "divisor"), ("ceil", "inside")}
    names = ("2x2", "3x3 stride 2 padded", "ceil", "ceil, not square", "dilation, one-sided")
    return [
        pytest.param(name, rule, marks=pytest.mark.exhaustive if name in RARE or (name, rule) in rare else ())
        for name in names
        for rule in ("padded", "inside", "divisor")
    ]


@pytest.mark.parametrize(("name", "rule"), means())
def test_mean_and_its_gradient(name: str, rule: str) -> None:
    geometry, sizes = GEOMETRIES[name]
    rng = np.random.default_rng(2)
    more: dict[str, object] = {"count_include_pad": rule == "padded", "divisor": 7 if rule == "divisor" else None}
    rules = (rule == "padded", 7 if rule == "divisor" else None)
    for size in sizes:
        for batch, channels in ((3, 17), (1, 3)):
            x = integers(rng, (batch, channels, *size))
            y = reference.avg_pool(x, geometry, *rules)
            dy = integers(rng, y.shape)
            dx = reference.avg_pool_backward(dy, geometry, size, *rules)
            bound = sum_bound(9, reference.avg_pool_backward(np.abs(dy), geometry, size, *rules))
            backward = forward("avg", geometry, batch, channels, size, direction=Pass.BACKWARD_DATA, **more)
            for wide in (False, True):
                got = run(forward("avg", geometry, batch, channels, size, **more), {"x": x}, wide)["y"]
                np.testing.assert_array_equal(got, y.astype(np.float32))
                assert (np.abs(run(backward, {"dy": dy}, wide)["dx"] - dx) <= bound).all()


def test_padding_never_wins_and_nan_propagates() -> None:
    geometry = GEOMETRIES["3x3 stride 2 padded"][0]
    rng = np.random.default_rng(3)
    x = -1 - np.abs(integers(rng, (2, 11, 9, 7)))
    x[0, 2], x[1, 10] = -np.inf, -np.inf
    x[0, 5, 4, 3], x[0, 5, 4, 4], x[1, 3, 0, 0], x[1, 4, 8, 6] = np.nan, np.nan, np.nan, np.inf
    y, indices = reference.max_pool(x, geometry)
    assert np.isnan(y).any() and np.isneginf(y).any()
    problem = forward("max", geometry, 2, 11, (9, 7))
    np.testing.assert_array_equal(run(problem, {"x": x})["y"], y)
    both = run(forward("max", geometry, 2, 11, (9, 7), with_indices=True), {"x": x})
    np.testing.assert_array_equal(both["y"], y)
    np.testing.assert_array_equal(both["indices"], indices)


def test_a_nan_gradient_stays_in_its_element() -> None:
    geometry = GEOMETRIES["3x3 stride 2 padded"][0]
    rng = np.random.default_rng(4)
    x = integers(rng, (1, 9, 6, 6))
    y, indices = reference.max_pool(x, geometry)
    dy = integers(rng, y.shape)
    dy[0, 8, 1, 1] = np.nan
    problem = forward("max", geometry, 1, 9, (6, 6), direction=Pass.BACKWARD_DATA)
    np.testing.assert_array_equal(run(problem, {"dy": dy, "indices": indices})["dx"], reference.max_pool_backward(dy, indices, (6, 6)))


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_half_storage(kind: str) -> None:
    geometry = GEOMETRIES["3x3 stride 2 padded"][0]
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 11, 9, 8)).astype(np.float16)
    y, indices = reference.max_pool(x, geometry)
    problem = forward(kind, geometry, 2, 11, (9, 8), dtype="float16")
    got = run(problem, {"x": x}, wide=True)["y"]
    assert got.dtype == np.float16
    if kind == "max":
        np.testing.assert_array_equal(got, y)
        both = run(forward("max", geometry, 2, 11, (9, 8), with_indices=True, dtype="float16"), {"x": x}, wide=True)
        np.testing.assert_array_equal(both["y"], y)
        np.testing.assert_array_equal(both["indices"], indices)
    else:
        exact = reference.avg_pool(x, geometry)
        spacing = np.spacing(np.abs(exact).astype(np.float16)).astype(np.float64)
        assert (np.abs(got - exact) <= spacing / 2 + sum_bound(9, reference.avg_pool(np.abs(x), geometry))).all()


@pytest.mark.parametrize("block", [pytest.param(4, marks=pytest.mark.exhaustive), 16])
def test_other_vector_widths(block: int) -> None:
    geometry = GEOMETRIES["3x3 stride 2 padded"][0]
    x = integers(np.random.default_rng(6), (2, 19, 9, 7))
    y, indices = reference.max_pool(x, geometry)
    both = run(forward("max", geometry, 2, 19, (9, 7), with_indices=True), {"x": x}, traits=DeviceTraits.cpu(block))
    np.testing.assert_array_equal(both["y"], y)
    np.testing.assert_array_equal(both["indices"], indices)


def test_refusals_are_sentences() -> None:
    geometry = PoolGeometry.make(2, rank=2)
    problem = forward("max", geometry, 1, 8, (4, 4))
    assert ALGORITHM.why_not(problem, DeviceTraits.gpu()) == "needs a CPU device with SIMD width of at least 4, got 1"
    cube = forward("max", PoolGeometry.make(2, rank=3), 1, 8, (4, 4, 4))
    assert ALGORITHM.why_not(cube, CPU) == "needs one or two spatial axes, got 3"
    adaptive = PoolProblem("adaptive_avg", None, 1, 8, (4, 4), (2, 2))
    assert ALGORITHM.why_not(adaptive, CPU) == "needs windows of one size, got adaptive_avg pooling to (2, 2)"


def test_a_plain_operand_is_refused_with_the_layout_it_needs() -> None:
    problem = forward("max", PoolGeometry.make(2, rank=2), 1, 8, (4, 4)).with_layouts(x=Blocked(8))
    with pytest.raises(UnsupportedError, match=r"y must be stored as blocked 8.*got plain; reorder it first"):
        ALGORITHM.plan(problem, CPU, ALGORITHM.defaults(problem, CPU))
