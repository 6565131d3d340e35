"""Random arguments, mostly sensible: a right result or a refusal for people, and never anything else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clconv.functional as F
from clconv import reference
from clconv.errors import ClconvError
from clconv.geometry import ConvGeometry, PoolGeometry
from tests.functional_support import exactly, send
from tests.support import integers

RNG = np.random.default_rng(12)

SIZES = st.integers(0, 9)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [0, -1, 2**31, 2**70, 1.5, None, "x", (), (1,), (1, 2, 3), ((1, 2),), {}, "same", "full", "valid"]
)
PADS = st.integers(0, 3)
PADDINGS = st.one_of(PADS, st.tuples(PADS, PADS), st.tuples(st.tuples(PADS, PADS), st.tuples(PADS, PADS)), st.just("same"))


def sometimes(odd: st.SearchStrategy[Any], usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One in six is odd."""
    return st.integers(0, 5).flatmap(lambda number: odd if number == 5 else usual)


BOUNDED = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@st.composite
def convolutions(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes that fit one another more often than not; two kernel sizes and three strides, so that few kernels are built."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    usual = st.tuples(st.integers(0, 3), st.just(channels), st.integers(1, 9), st.integers(1, 9))
    shape = draw(sometimes(st.lists(SIZES, max_size=5).map(tuple), usual))
    kernels = st.sampled_from([(outputs, channels // groups, *kernel) for kernel in ((1, 1), (3, 2))])
    weight = draw(sometimes(st.lists(PADS, max_size=5).map(tuple), kernels))
    keywords = {
        "stride": draw(sometimes(ODD, st.sampled_from([1, 1, 2, (2, 1)]))),
        "padding": draw(sometimes(ODD, PADDINGS)),
        "groups": draw(sometimes(ODD, st.just(groups))),
    }
    return shape, weight, keywords


def test_any_convolution(queue: Any) -> None:
    outcome: Counter[str] = Counter()

    @BOUNDED
    @given(convolutions())
    def attempt(case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]) -> None:
        shape, weight, keywords = case
        x, w = integers(RNG, shape), integers(RNG, weight)
        try:
            y = F.conv2d(send(queue, x), send(queue, w), algorithm="direct", **keywords)
        except ClconvError as error:
            assert str(error).startswith(("conv2d: ", "conv n")), error
            outcome["refused"] += 1
            return
        geometry = ConvGeometry.make(weight[2:], **keywords, input_size=shape[2:])
        exactly(y, reference.conv(x, w, None, geometry) if shape[0] else np.zeros((0, weight[0], *geometry.output_size(shape[2:]))))
        outcome["right"] += 1

    attempt()
    assert min(outcome["right"], outcome["refused"]) >= 25, outcome


@pytest.mark.exhaustive
def test_any_pooling(queue: Any) -> None:
    outcome: Counter[str] = Counter()
    usual = st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))

    @BOUNDED
    @given(
        sometimes(st.lists(SIZES, max_size=5).map(tuple), usual),
        sometimes(ODD, st.just((3, 2))),
        sometimes(ODD, st.sampled_from([None, 1])),
        sometimes(st.one_of(ODD, PADDINGS), st.sampled_from([0, 1])),
        st.booleans(),
    )
    def attempt(shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        x = integers(RNG, shape)
        try:
            y = F.max_pool2d(send(queue, x), kernel, stride, padding, ceil_mode=ceil_mode)
        except ClconvError as error:
            assert str(error).startswith(("max_pool2d: ", "maxpool n")), error
            outcome["refused"] += 1
            return
        geometry = PoolGeometry.make(kernel, stride, padding, 1, ceil_mode, rank=2, input_size=shape[2:])
        expected = reference.max_pool(x, geometry)[0] if shape[0] else np.zeros((0, shape[1], *geometry.output_size(shape[2:])))
        exactly(y, expected)
        outcome["right"] += 1

    attempt()
    assert min(outcome["right"], outcome["refused"]) >= 25, outcome
