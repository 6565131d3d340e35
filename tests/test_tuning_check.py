"""The judge of tuned candidates: right results pass, and every kind of wrong one is caught. NumPy only, no kernels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from clconv import reference
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, MapProblem, MatmulProblem, Pass, PoolProblem, Problem, parse
from clconv.problem.conv import Epilogue
from clconv.tensor import Blocked, Packed, Strided, TensorSpec
from clconv.tuning import check
from clconv.tuning.check import Judge, magnitudes, random_operands, spread_out, sum_bound, without_activation
from clconv.tuning.storage import can_store, load, store

Arrays = dict[str, np.ndarray]

PROBLEMS: list[Problem] = [
    parse("n3c6i7x5k8f3x2s2x1p1,0x1d1x2g2+bias+leaky_relu(0.5)+res"),
    parse("n2c6i7x5k8f3x3p1g2:bwd_d"),
    parse("deconv n2c4i4x3k6f3x3s2p1o1+bias+relu"),
    parse("n3c6i7x5k8f3x3p1g2:bwd_w"),
    parse("n1c3i4x3x5k2f2x2x2"),
    parse("maxpool n2c5i7x6f3x3s2p1:idx"),
    parse("maxpool n2c5i7x6f3x3s2p1:bwd_d"),
    parse("avgpool n2c5i7x6f3x3s2p1:nopad"),
    parse("avgpool n2c5i7x6f3x3s2p1:bwd_d"),
    PoolProblem("adaptive_avg", None, 2, 5, (7, 6), (3, 2)),
    PoolProblem("adaptive_avg", None, 2, 5, (7, 6), (3, 2), Pass.BACKWARD_DATA),
    MatmulProblem(3, 10, 20, transpose_b=True, epilogue=Epilogue(bias=True, activation=("relu", 0.0))),
    MatmulProblem(3, 10, 20, batch=2, transpose_a=True, epilogue=Epilogue(residual=True)),
]


def whole(problem: Problem, operands: Arrays) -> Arrays:
    """The complete result without the activation, by the reference and no sampling."""
    own = {name: array if array.dtype.kind == "i" else array.astype(np.float64) for name, array in operands.items()}
    if isinstance(problem, MatmulProblem):
        a, b = (own[n].swapaxes(-1, -2) if t else own[n] for n, t in (("a", problem.transpose_a), ("b", problem.transpose_b)))
        y = a @ b
    elif isinstance(problem, PoolProblem):
        return _pooled(problem, own)
    else:
        assert isinstance(problem, ConvProblem)
        g = problem.geometry
        if problem.direction is Pass.BACKWARD_WEIGHTS:
            return {"dw": reference.conv_backward_weights(own["x"], own["dy"], g)}
        if problem.direction is Pass.BACKWARD_DATA:
            y = reference.conv_backward_data(own["dy"], own["w"], g, problem.size)
        else:
            y = reference.conv(own["x"], own["w"], None, g)
        own["bias"] = own["bias"].reshape(-1, *(1,) * g.rank) if "bias" in own else np.zeros(1)
    return {problem.outputs[0]: y + own.get("bias", 0) + own.get("residual", 0)}


def _pooled(problem: PoolProblem, own: Arrays) -> Arrays:
    g, options = problem.geometry, (problem.count_include_pad, problem.divisor)
    if problem.direction is Pass.BACKWARD_DATA:
        if g is None:
            return {"dx": reference.adaptive_avg_pool_backward(own["dy"], problem.size)}
        if problem.kind == "max":
            return {"dx": reference.max_pool_backward(own["dy"], own["indices"], problem.size)}
        return {"dx": reference.avg_pool_backward(own["dy"], g, problem.size, *options)}
    if g is None:
        return {"y": reference.adaptive_avg_pool(own["x"], problem.out_size)}
    if problem.kind == "max":
        y, indices = reference.max_pool(own["x"], g)
        return {"y": y, "indices": indices}
    return {"y": reference.avg_pool(own["x"], g, *options)}


def right(problem: Problem, operands: Arrays) -> Arrays:
    """The result as a perfect kernel writes it."""
    out = {}
    for name, sums in whole(problem, operands).items():
        activation = problem.epilogue.activation if isinstance(problem, ConvProblem | MatmulProblem) else None
        value = reference.activated(sums, *(activation or ()))
        out[name] = value.astype(problem.tensors()[name].dtype)
    return out


def judge(problem: Problem, operands: Arrays) -> Judge:
    """With the whole result as the trusted one."""
    as_float = {name: array.astype(np.float32) if array.dtype != np.int32 else array for name, array in whole(problem, operands).items()}
    exact = isinstance(problem, PoolProblem) and problem.kind == "max" and problem.direction is Pass.FORWARD
    return Judge(problem, operands, as_float, None if exact else whole(without_activation(problem), magnitudes(operands)))


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_right_results_pass(problem: Problem) -> None:
    operands = random_operands(problem)
    assert judge(problem, operands).share(right(problem, operands)) <= 1
    assert Judge(problem, operands).share(right(problem, operands)) <= 1


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_one_wrong_element_anywhere_fails(problem: Problem) -> None:
    operands = random_operands(problem)
    strict, good = judge(problem, operands), right(problem, operands)
    name = problem.outputs[0]
    for at in np.random.default_rng(1).choice(good[name].size, 5, replace=False):
        for error in (0.01, math.nan):
            wrong = good[name].copy()
            wrong.reshape(-1)[at] += error
            assert not strict.share({**good, name: wrong}) <= 1


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_sample_alone_sees_the_first_and_the_last_channel(problem: Problem) -> None:
    operands = random_operands(problem)
    sampling, good = Judge(problem, operands), right(problem, operands)
    for name in problem.outputs:
        for at in (0, -1):
            wrong = good[name].copy()
            wrong.reshape(-1)[at] += 1
            assert not sampling.share({**good, name: wrong}) <= 1, (name, at)


def test_wrong_indices_fail_though_the_maxima_are_right() -> None:
    problem = parse("maxpool n1c2i6x6f2x2:idx")
    operands = random_operands(problem)
    good = right(problem, operands)
    assert not judge(problem, operands).share({**good, "indices": good["indices"][:, :, ::-1]}) <= 1


def test_a_wrong_trusted_kernel_is_not_trusted_alone() -> None:
    """A candidate that agrees with it fails by the reference's sample."""
    problem = parse("n1c4i5x5k6f3x3p1")
    operands = random_operands(problem)
    wrong = {"y": right(problem, operands)["y"] + 1}
    assert not Judge(problem, operands, wrong, magnitudes(wrong)).share(wrong) <= 1


def test_algorithms_that_mix_neighbours_may_err_by_their_factor() -> None:
    problem = parse("n1c4i5x5k6f3x3p1")
    operands = random_operands(problem)
    good = right(problem, operands)["y"]
    bound = sum_bound(36, whole(problem, magnitudes(operands))["y"])
    off = {"y": good + (3 * bound.max()).astype(np.float32)}
    assert not judge(problem, operands).share(off) <= 1
    assert judge(problem, operands).share(off, 4.0) <= 1
    assert not judge(problem, operands).share(off, 2.0) <= 1


def test_half_results_may_be_rounded_to_half() -> None:
    problem = replace(parse("n1c4i5x5k6f3x3p1"), dtype="float16")
    operands = random_operands(problem)
    assert operands["x"].dtype == np.float16
    good = right(problem, operands)
    assert Judge(problem, operands).share(good) <= 1
    assert not Judge(problem, operands).share({"y": (good["y"].astype(np.float32) * 1.01).astype(np.float16)}) <= 1


def test_a_large_problem_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert spread_out(10, 1e6) == [0, 3, 6, 9]
    assert spread_out(10, check.SAMPLED_MULTIPLY_ADDS / 2) == [0, 9]
    assert spread_out(10, 1e12) == [9]
    assert spread_out(1, 1.0) == [0]


def test_other_problems_are_refused() -> None:
    problem = MapProblem((2, 3), (TensorSpec((2, 3)),), (("y0", "x0"),))
    with pytest.raises(UnsupportedError, match="only convolutions, pooling and matrix products"):
        Judge(problem, {})


# Storage

HALO = ((1, 2), (0, 1))


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec((2, 3, 4, 5)),
        TensorSpec((2, 11, 4, 5), layout=Blocked(4, HALO)),
        TensorSpec((2, 11, 5), layout=Blocked(8)),
        TensorSpec((2, 6, 4, 5), "int32", Blocked(4, HALO, blocks=5, first=2)),
        TensorSpec((2, 6, 4, 5), "float16", Blocked(1, HALO)),
    ],
    ids=str,
)
def test_what_is_stored_is_loaded(spec: TensorSpec) -> None:
    array = np.arange(1, spec.elements + 1).reshape(spec.shape).astype(spec.dtype)
    flat = store(array, spec)
    assert flat.size == spec.storage_elements
    np.testing.assert_array_equal(load(flat.copy(), spec), array)


def test_views_are_stored() -> None:
    spec = TensorSpec((2, 3), layout=Strided((1, 4), 2))
    flat = store(np.array([[1, 2, 3], [4, 5, 6]], np.float32), spec)
    np.testing.assert_array_equal(flat[[2, 3, 6, 7, 10, 11]], [1, 4, 2, 5, 3, 6])
    assert np.isnan(flat[[0, 1, 4, 5, 8, 9]]).all()


def test_a_dirty_halo_or_tail_or_neighbour_is_seen() -> None:
    spec = TensorSpec((1, 6, 3, 3), layout=Blocked(4, ((1, 1), (1, 1)), blocks=3, first=1))
    flat = store(np.ones(spec.shape, np.float32), spec)
    slots = flat.reshape(1, 3, 5, 5, 4)
    for at, value, said in (
        ((0, 1, 0, 0, 0), 1.0, "halo or tail"),
        ((0, 1, 4, 2, 3), math.nan, "halo or tail"),
        ((0, 2, 2, 2, 2), 5.0, "halo or tail"),
        ((0, 0, 2, 2, 2), 0.0, "neighbour"),
    ):
        before = slots[at]
        slots[at] = value
        with pytest.raises(ValueError, match=said):
            load(flat.copy(), spec)
        slots[at] = before
    load(flat, spec)


def test_packed_weights_are_not_stored_by_numpy() -> None:
    packed = Packed(8, 8, 2)
    assert not can_store(packed) and can_store(Blocked(8))
    with pytest.raises(UnsupportedError, match="the library's own reorder"):
        store(np.zeros((8, 8, 3, 3), np.float32), TensorSpec((8, 8, 3, 3), layout=packed))
    with pytest.raises(UnsupportedError, match="plain and blocked ones can"):
        load(np.zeros(10, np.float32), TensorSpec((2, 3), layout=Strided((1, 2))))
