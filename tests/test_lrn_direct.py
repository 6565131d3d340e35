"""lrn_direct against the oracle, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.lrn_direct import LrnDirect
from clconv.device import DeviceTraits
from clconv.problem import LrnProblem, Pass
from tests.support import run_plan, traits

LRN = LrnDirect()
SHAPES = [(2, 7, 5, 6), (3, 17, 13), (1, 1, 1, 1), (2, 33, 3, 4, 5), (4, 3), (1, 6, 9, 15)]
CASES = [(5, 1e-1, 0.75, 1.0), (4, 2.0, 0.5, 2.0), (1, 0.3, 1.0, 0.5), (3, 0.7, 0.6, 1.5)]


def run(problem: LrnProblem, given: dict[str, np.ndarray], device: DeviceTraits | None = None) -> np.ndarray:
    device = device or traits()
    assert LRN.why_not(problem, device) is None
    return run_plan(LRN.plan(problem, device, LRN.defaults(problem, device)), problem, given)[problem.outputs[0]]


def tolerance(window: int) -> float:
    """Relative error: `window` roundings of the sum, 16 units of pow (OpenCL's limit), a few of the products; twice for the gradient."""
    return 2 * (window + 24) * 2.0**-23


Case = tuple[int, float, float, float]


def check(shape: tuple[int, ...], case: Case, dtype: str = "float32", device: DeviceTraits | None = None) -> None:
    window, alpha, beta, k = case
    rng = np.random.default_rng(0)
    storage = np.float16 if dtype == "float16" else np.float32
    x, dy = (rng.standard_normal(shape).astype(storage) * 2 for _ in range(2))
    own = 2.0**-10 if dtype == "float16" else tolerance(window)
    y = run(LrnProblem(shape, *case, Pass.FORWARD, dtype), {"x": x}, device)
    want = reference.local_response_norm(x, *case)
    assert y.dtype == storage and (abs(y - want) <= own * abs(want) + 2.0**-24).all()
    dx = run(LrnProblem(shape, *case, Pass.BACKWARD_DATA, dtype), {"x": x, "dy": dy}, device)
    want = reference.local_response_norm_backward(dy, x, *case)
    # Both terms of the gradient with the signs taken out: what the float sums may cancel. Half is rounded once, at the end.
    straight = abs(reference.local_response_norm(np.ones_like(x), *case))
    magnitude = abs(reference.local_response_norm_backward(abs(dy), -abs(x), *case)) + 2 * abs(dy) * straight + 2 * abs(want)
    assert (abs(dx - want) <= tolerance(window) * magnitude + (2.0**-10 * abs(want) if dtype == "float16" else 0) + 2.0**-24).all()


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.exhaustive if case in CASES[2:] else ()) for case in CASES])
def test_shapes_and_exponents(case: tuple[int, float, float, float]) -> None:
    for shape in SHAPES:
        check(shape, case)


def test_windows_wider_than_the_channels() -> None:
    for channels in (1, 2, 3):
        check((2, channels, 4, 4), CASES[0])


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_groups_of_work_items_as_on_gpus(dtype: str) -> None:
    check((2, 7, 5, 6), (3, 0.3, 1.0, 0.5), dtype, DeviceTraits.gpu())


@pytest.mark.exhaustive
def test_float16_is_storage_only() -> None:
    check((2, 7, 5, 6), CASES[1], "float16")


def test_nan_stays_within_its_windows_and_its_position() -> None:
    x = np.random.default_rng(1).standard_normal((2, 9, 5, 30)).astype(np.float32)
    x[1, 4, 2, 17] = np.nan
    y = run(LrnProblem(x.shape, 5, 0.1, 0.75, 1.0), {"x": x})
    where = np.zeros(x.shape, bool)
    where[1, 2:7, 2, 17] = True
    np.testing.assert_array_equal(np.isnan(y), where)


def test_launches_do_not_depend_on_the_shape() -> None:
    device = traits()
    for direction, launches in ((Pass.FORWARD, 1), (Pass.BACKWARD_DATA, 2)):
        problems = [LrnProblem(shape, 5, 1e-4, 0.75, 1.0, direction) for shape in ((1, 96, 55, 55), (64, 256, 27, 27))]
        plans = [LRN.plan(p, device, LRN.defaults(p, device)) for p in problems]
        assert {len(plan.calls) for plan in plans} == {launches}
        assert plans[0].calls[0].source == plans[1].calls[0].source
