"""The algorithms that take plain maps row by row: borders, and where they are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clconv.algorithms.bands import WIDEST
from clconv.algorithms.conv_depthwise_rows import ConvDepthwiseRows
from clconv.algorithms.pool_rows import PoolRows
from clconv.device import DeviceTraits
from clconv.problem import Pass, Problem, parse
from clconv.tuning.select import choose
from tests.cases import check, prepare
from tests.support import traits

POOL, CONV = PoolRows(), ConvDepthwiseRows()
WINDOWS = ("f3x3s2p1", "f2x2", "f3x3s1p1", "f2x3s1x2p1,0x0,1d2x1", "f3x3s2p1:ceil", "f5x1s1p2x0", "f9x9s1p4", "f7x7")


def check_rows(algorithm: Any, problem: Problem) -> None:
    check(prepare(algorithm, problem, traits(), algorithm.defaults(problem, traits())))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["maxpool", "avgpool"])
@pytest.mark.parametrize("window", WINDOWS)
def test_windows_at_every_border(kind: str, window: str) -> None:
    for size in ("9x14", "7x7", "40x9"):
        check_rows(POOL, parse(f"{kind} n2c3i{size}{window}"))
        if kind == "avgpool" and ":" not in window:
            check_rows(POOL, parse(f"{kind} n2c3i{size}{window}:nopad"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("geometry", ["f3x3p1", "f3x3s2p1", "f5x5p2d2", "f1x7p0x3", "f2x2s3p1,0x0,1", "f3x3p4"])
@pytest.mark.parametrize("epilogue", ["", "+bias+relu+res", "+bias+leaky_relu(0.5)"])
def test_depthwise_at_every_border(geometry: str, epilogue: str) -> None:
    for size in ("9x14", "13x9"):
        for channels, filters in ((3, 3), (2, 6)):
            check_rows(CONV, parse(f"n2c{channels}i{size}k{filters}{geometry}g{channels}{epilogue}"))


def test_alone_between_plain_tensors_they_are_chosen() -> None:
    cpu = DeviceTraits.cpu(8)
    assert choose(parse("n1c32i112x112k32f3x3p1g32"), cpu).algorithm.name == "conv_depthwise_rows"
    assert choose(parse("maxpool n1c64i112x112f3x3s2p1"), cpu).algorithm.name == "pool_rows"


def test_what_they_leave_to_others() -> None:
    cpu, gpu = DeviceTraits.cpu(8), DeviceTraits.gpu()
    wide = WIDEST + 1
    for algorithm, text, device, said in (
        (CONV, "n1c4i8x8k4f3x3p1g2", cpu, "needs one channel a group, got 4 in 2 groups"),
        (CONV, f"n1c4i3x{wide}k4f3x3p1g4", cpu, f"at most {WIDEST} elements, got {wide + 2} by (3, 3)"),
        (CONV, "n1c4i8x8k4f3x3p1g4", gpu, "is written for the vectors of CPU devices"),
        (POOL, "maxpool n1c4i8x8f3x3:idx", cpu, "gives no positions of maxima"),
        (POOL, f"maxpool n1c4i3x{wide}f3x3s1p1", cpu, f"has at most {WIDEST} elements, got {wide + 2}"),
        (POOL, "maxpool n1c4i8x8f3x3", gpu, "is written for the vectors of CPU devices"),
        (POOL, "maxpool n1c4i4x8x8f3x3x3", cpu, "needs 1 or 2 spatial axes, got 3"),
    ):
        assert said in str(algorithm.why_not(parse(text), device))  # type: ignore[arg-type]
    assert "computes the forward pass" in str(CONV.why_not(replace(parse("n1c4i8x8k4f3x3p1g4"), direction=Pass.BACKWARD_DATA), cpu))
