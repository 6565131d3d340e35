"""The register-tile convolution on plain weights: bit for bit on whole numbers, whatever channels and filters leave over."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from clconv.algorithms.conv_blocked import ConvBlocked, ConvBlockedParams
from clconv.algorithms.conv_blocked_unpacked import ConvBlockedUnpacked
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, parse
from clconv.tensor import PLAIN, Blocked
from clconv.tuning.select import choose
from tests.support import run_plan, traits
from tests.test_conv_blocked import expected, operands_of

ALGORITHM = ConvBlockedUnpacked()
CPU = DeviceTraits.cpu(16)
SMALL = ConvBlockedParams(2, 4, 2, 4, 2)
"""Two blocks of filters, two of channels in a chunk."""


def laid_out(text: str, params: ConvBlockedParams = SMALL, device: DeviceTraits | None = None) -> ConvProblem:
    problem = parse(text)
    return problem.with_layouts(**ALGORITHM.wants(problem, device or traits(), params))


@pytest.mark.parametrize(
    "text",
    [
        "n2c41i7x9k33f3x3p1+bias+relu+res",
        pytest.param("n1c70i5x6k64f2x1s2x1p1,0d1x2g2+bias", marks=pytest.mark.exhaustive),
        pytest.param("n1c40i4x5k33f1x1", marks=pytest.mark.exhaustive),
        pytest.param("n1c5i6x6k40f5x3p2,1+bias+leaky_relu(0.5)", marks=pytest.mark.exhaustive),
        pytest.param("n3c17i13k20f5s2p2", marks=pytest.mark.exhaustive),
        pytest.param("n1c32i1x1k5f1x1", marks=pytest.mark.exhaustive),
        pytest.param("n1c130i14x13k100f3x3p1", marks=pytest.mark.exhaustive),
        pytest.param("n1c32i9x7k64f3x3p1:f16", marks=pytest.mark.exhaustive),
    ],
)
def test_integers_bit_for_bit(text: str) -> None:
    """Tails of channels and filters, elements that fill no block, groups, strides, dilation, fewer chunks than one."""
    problem = laid_out(text)
    if problem.geometry.groups > 1 and 35 % traits().block:
        problem = laid_out(text.replace("c70", f"c{4 * traits().block}"))  # groups that share no block
    operands = operands_of(problem)
    got = run_plan(ALGORITHM.plan(problem, traits(), SMALL), problem, operands)["y"]
    np.testing.assert_array_equal(got, expected(problem, operands))


def test_a_nan_of_the_last_filter_stays_there() -> None:
    problem = laid_out("n2c41i7x9k33f3x3p1+bias+relu+res")
    operands = operands_of(problem)
    operands["w"][-1, -1, -1, -1] = np.nan
    got = run_plan(ALGORITHM.plan(problem, traits(), SMALL), problem, operands)["y"]
    assert np.isfinite(got[:, :-1]).all() and np.isnan(got[:, -1]).any()


def test_it_is_for_forward_passes_on_small_maps() -> None:
    refusals = {
        "n1c512i7x7k512f3x3p1:bwd_d": "computes the forward pass, got",
        "n1c64i56x56k64f3x3p1": "waiting for the next weights, 8192 at most, got maps of 56 x 56",
        "n1c24i7x7k48f3x3p1g2": "needs groups that share no block of 16 channels, got 2 groups that do",
        "n1c3i7x7k512f3x3p1": "needs more than 4 channels, got 3",
        "n1c32i13x13k512f7x7p3": "keeps a chunk of packed weights at hand, 65536 bytes at most, got 100352",
        "n1c512i7x7k32f3x3p1": "leaves compute units idle",
        "n1c512i7x7x7k512f3x3x3p1": "needs 1 or 2 spatial axes",
        "n1c512i7x7k512f3x3p1g512": "one channel a group",
    }
    for text, sentence in refusals.items():
        assert sentence in (ALGORITHM.why_not(parse(text), CPU) or ""), text
    assert ALGORITHM.why_not(parse("n1c512i7x7k512f3x3p1"), CPU) is None
    assert ALGORITHM.why_not_forced(parse("n1c512i7x7k32f3x3p1"), CPU) is None
    assert "needs a CPU" in (ALGORITHM.why_not(parse("n1c512i7x7k512f3x3p1"), DeviceTraits.gpu()) or "")


@pytest.mark.parametrize("block", [4, 8, 16])
def test_what_is_taken_can_be_planned(block: int) -> None:
    """Maps of all sizes, also on tensors with more halo than asked for, where 1 x 1 kernels find no run of positions."""
    device, taken = DeviceTraits.cpu(block), 0
    for height, width, kernel in product(range(1, 41, 3), range(1, 48), ("1x1", "3x3p1")):
        problem = parse(f"n1c64i{height}x{width}k512f{kernel}")
        if ALGORITHM.why_not(problem, device) is None:
            params = ALGORITHM.defaults(problem, device)
            laid = problem.with_layouts(**ALGORITHM.wants(problem, device, params))
            wider = laid.with_layouts(x=Blocked(block, ((2, 1), (1, 2))))
            taken += sum(len(ALGORITHM.plan(each, device, params).calls) for each in (laid, wider))
    assert taken > 100


def test_plans_say_what_is_wrong() -> None:
    text = "n2c41i7x9k33f3x3p1"
    packed = parse(text).with_layouts(**ConvBlocked().wants(parse(text), CPU, SMALL))
    with pytest.raises(UnsupportedError, match="w must be plain, got packed"):
        ALGORITHM.plan(packed, CPU, SMALL)
    with pytest.raises(UnsupportedError, match="w must be packed"):
        ConvBlocked().plan(laid_out(text, device=CPU), CPU, SMALL)
    for params in (ConvBlockedParams(2, 4, 2, 4), ConvBlockedParams(1, 4, 4, 4, 2), ConvBlockedParams(1, 4, 1, 4, 8)):
        large = laid_out("n1c150i10x52k64f3x3p1", params, CPU)
        with pytest.raises(UnsupportedError, match="keeps too much at hand"):
            ALGORITHM.plan(large, CPU, params)


def test_chosen_where_weights_come_with_the_call_and_packed_ones_where_they_stay() -> None:
    problem = parse("n1c512i7x7k512f3x3p1")
    assert choose(problem, CPU).algorithm.name == "conv_blocked_unpacked"
    assert choose(problem, CPU).wants["w"] == PLAIN
    assert choose(problem, CPU, prepared=frozenset({"w"})).algorithm.name == "conv_blocked"
    assert choose(parse("n1c512i14x14k512f3x3p1"), CPU).algorithm.name == "conv_winograd", "which saves more than it takes to transform"
