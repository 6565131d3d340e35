"""The functions that kernels write out as arithmetic, against NumPy in float64, over the whole range of float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from clconv.algorithms.map_blocked import MapBlocked
from clconv.algorithms.map_strided import MapStrided
from clconv.algorithms.softmax_rows import SoftmaxRows
from clconv.algorithms.strides import inlined
from clconv.codegen.render import render
from clconv.device import DeviceTraits, apply_quirks
from clconv.problem import MapProblem, SoftmaxProblem
from clconv.tensor import TensorSpec
from tests.support import run_plan, traits

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"exp": np.exp, "expm1": np.expm1, "log": np.log, "tanh": np.tanh}
MOST_UNITS = 4
CALLING = replace(DeviceTraits.cpu(8), calls_functions=True)


def arguments(step: int) -> np.ndarray:
    """Every `step`-th float32 by its bits (both signs, denormal numbers, NaN), the ends of ranges, and values near 0 and 1 more finely."""
    bits = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    special = [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 88.72283, 88.72284, -87.33655, -103.97208, -104, 1e-45, -1e-45]
    special += [1.1754944e-38, 3.4e38, 0.625, -0.625, 0.34657, 0.34658, 0.70710677, 0.70710683, 1.41421354]
    fine = [np.linspace(*ends, 20000) for ends in ((-110, 100), (0.5, 2), (-1, 1))]
    return np.concatenate([bits, np.array(special, np.float32), *(f.astype(np.float32) for f in fine)])


def check(x: np.ndarray, got: np.ndarray, exact: Callable[[np.ndarray], np.ndarray], name: str) -> None:
    with np.errstate(all="ignore"):
        want = exact(x.astype(np.float64))
        rounded = want.astype(np.float32)
        finite = np.isfinite(rounded)
        units = abs(got - want)[finite] / np.spacing(abs(rounded[finite])).astype(np.float64)
    np.testing.assert_array_equal(got[~finite], rounded[~finite], err_msg=name)
    assert units.max() <= MOST_UNITS, f"{name}({x[finite][units.argmax()]!r}) is {got[finite][units.argmax()]!r}: {units.max()} units off"
    zeros = (x == 0) & (rounded == 0)
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(rounded[zeros]), err_msg=f"sign of {name}(0)")


def mapped(x: np.ndarray, algorithm: MapStrided | MapBlocked) -> dict[str, np.ndarray]:
    statements = tuple((f"y{i}", f"{name}(x0)") for i, name in enumerate(FUNCTIONS))
    problem = MapProblem(x.shape, (TensorSpec(x.shape),), statements, ("float32",) * len(FUNCTIONS))
    device = replace(traits(), calls_functions=True)
    params = algorithm.defaults(problem, device)
    problem = problem.with_layouts(**algorithm.wants(problem, device, params))
    y = run_plan(algorithm.plan(problem, device, params), problem, {"x0": x})
    return {name: y[f"y{i}"] for i, name in enumerate(FUNCTIONS)}


def test_at_most_4_units_in_the_last_place_for_all_arguments() -> None:
    x = arguments(10007)
    for name, got in mapped(x, MapStrided()).items():
        check(x, got, FUNCTIONS[name], name)


@pytest.mark.exhaustive
def test_many_more_arguments() -> None:
    x = arguments(211)
    for name, got in mapped(x, MapStrided()).items():
        check(x, got, FUNCTIONS[name], name)


@pytest.mark.exhaustive
def test_on_blocked_tensors() -> None:
    x = arguments(100003)[: 17 * 2500].reshape(1, 17, 50, 50)
    for name, got in mapped(x, MapBlocked()).items():
        check(x.ravel(), got.ravel(), FUNCTIONS[name], name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("shape", [(3, 1003), (2, 21, 5, 9)], ids=str)
@pytest.mark.parametrize("log", [False, True])
def test_softmax_in_vectors_and_their_rest(shape: tuple[int, ...], log: bool) -> None:
    device = replace(traits(), calls_functions=True)
    problem, algorithm = SoftmaxProblem(shape, 1, log), SoftmaxRows()
    x = (np.random.default_rng(0).standard_normal(shape) * 8).astype(np.float32)
    got = run_plan(algorithm.plan(problem, device, algorithm.defaults(problem, device)), problem, {"x": x})["y"]
    shifted = x.astype(np.float64) - x.max(1, keepdims=True)
    want = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    relative = 2.0**-24 * (100 + 2 * np.sqrt(shape[1]))  # arguments of exp are rounded to some 2^-24 * 64
    assert (abs(got - (want if log else np.exp(want))) <= relative * (1 + abs(want) if log else np.exp(want))).all()


def test_only_where_the_device_calls_them() -> None:
    assert inlined(["exp(-x0) + tanh (x1)", "my_exp(x0) * log1p(x0)"], CALLING) == ("exp", "tanh")
    assert inlined(["exp(x0)"], DeviceTraits.cpu(8)) == inlined(["exp(x0) + sqrt(x1)"], DeviceTraits.gpu()) == ()
    assert inlined(["sqrt(x0)"], DeviceTraits.cpu(8)) == ("sqrt",)
    assert apply_quirks(DeviceTraits(platform="Portable Computing Language")).calls_functions
    assert not apply_quirks(DeviceTraits(platform="Intel(R) OpenCL")).calls_functions


def test_a_kernel_takes_back_the_names_it_gives() -> None:
    """Kernels are put together into programs: what one writes out must not change the next."""
    shape = (1, 8, 2, 2)
    problem = MapProblem(shape, (TensorSpec(shape),), (("y0", "exp(x0) + log(x0)"),))
    for algorithm in (MapStrided(), MapBlocked()):
        params = algorithm.defaults(problem, CALLING)
        stored = problem.with_layouts(**algorithm.wants(problem, CALLING, params))
        text = render(algorithm.plan(stored, CALLING, params).calls[0].source).text
        for name in ("exp", "log"):
            assert text.index(f"#define {name} clconv_{name}") < text.rindex(f"#undef {name}\n")
