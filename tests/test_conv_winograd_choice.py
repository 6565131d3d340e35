"""Minimal filtering without a kernel: what it refuses and why, the layouts it wants, its parameters, estimates and cuts."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from clconv import reference
from clconv.algorithms.conv_winograd import MOST_SAFE_PRODUCTS, ConvWinograd, ConvWinogradParams
from clconv.algorithms.winograd_tiles import Parts, axes, filled
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import Pass, parse
from clconv.tensor import PLAIN, Blocked, Packed, Transformed
from tests.cases import expected, operands_of, prepare
from tests.support import traits

ALGORITHM = ConvWinograd()
SMALL = ConvWinogradParams(outputs=2, tile_k=1, width=3, part=6, chunk=16, slices=1)


def test_refusals_say_why() -> None:
    cpu = DeviceTraits.cpu()

    def why(text: str, device: DeviceTraits = cpu) -> str:
        return ALGORITHM.why_not(parse(text), device) or ""

    assert "got backward_weights" in why("n1c8i5x5k8f3x3:bwd_w")
    assert "needs 1 or 2 spatial axes, got 3" in why("n1c8i5x5x5k8f3x3x3")
    assert "needs stride 1 or dilation 1 along an axis, got (1, 2) and (2, 2)" in why("n1c8i9x9k8f3x3s1x2d2")
    assert "kernel of 2 to 5 taps along an axis, got (1, 1)" in why("n1c8i5x5k8f1x1")
    assert "kernel of 2 to 5 taps along an axis, got (3, 6)" in why("n1c8i9x9k8f3x6")
    assert "more than 4 input channels" in why("n1c3i5x5k8f3x3") and "got 3" in why("n1c8i5x5k3f3x3:bwd_d")
    assert "blocks of 8 channels, got 12 in and 8 out" in why("n1c24i5x5k16f3x3g2")
    assert "needs a CPU device" in why("n1c8i5x5k8f3x3", DeviceTraits.gpu()) and "with 1" in why("n1c8i5x5k8f3x3", DeviceTraits.cpu(1))
    assert "float32, got float16" in why("n1c8i5x5k8f3x3:f16")
    assert "maps of at least 2 positions" in why("n1c8i3x1k8f3x3p1") and "(1, 8, 3, 1)" in why("n1c8i3x1k8f3x3p1")
    assert "residue of the dilation" in why("n1c8i3x3k8f3x3p2d2")
    assert [why(t) for t in ("n1c8i5x5k8f3x3", "n1c8i2k8f3p1", "n1c8i1x2k8f1x3p0x1", "n1c8i4x4k8f3x3p2d2", "n1c5i9x9k1f5x2:bwd_d")] == [
        "", "", "", "", "needs more than 4 input channels to make up for the transforms, got 1"]  # fmt: skip


def test_layouts_that_do_not_fit_are_named() -> None:
    device, params = traits(), replace(SMALL, tile_k=2)
    c = device.block
    problem = parse(f"n1c{2 * c}i8x8k{2 * c}f3x3p1+res")
    problem = problem.with_layouts(**ALGORITHM.wants(problem, device, params))
    ALGORITHM.plan(problem, device, params)
    for layouts, message in (
        ({"x": Blocked(c)}, "x must be .*halo 1,1 1,1 at least, got .*halo 0,0 0,0; reorder it first"),
        ({"x": PLAIN}, "x must be blocked .*got plain"),
        ({"w": PLAIN}, "w must be transformed 2x2 by .*got plain; transform it first"),
        ({"w": Packed(c, c, 2)}, "w must be transformed 2x2 by .* got packed"),
        ({"w": Transformed(c, 2, (2, 2), turned=True)}, "w must be transformed 2x2 by .* got transformed .* turned"),
        ({"w": Transformed(c, 2, (2, 2), groups=2)}, "w must be transformed"),
        ({"w": Transformed(2 * c, 1, (2, 2))}, "w must be transformed"),
        ({"w": Transformed(c, 1, (2, 3))}, "w must be transformed 3x3 .* got transformed 2x3"),
        ({"y": Blocked(2 * c)}, "y must be blocked"),
        ({"residual": PLAIN}, "residual must be blocked"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            ALGORITHM.plan(problem.with_layouts(**layouts), device, params)


def test_parameters_that_do_not_fit_are_named() -> None:
    problem, device = parse("n1c16i5x5k16f3x3p1"), traits()
    for change, message in (
        ({"outputs": 6}, "outputs=6 need more than 8 products along an axis, or larger maps than"),
        ({"width": 1}, "width of at least 2"),
        ({"chunk": 3}, "whole blocks of"),
        ({"slices": 0}, "got ConvWinogradParams"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            prepare(ALGORITHM, problem, device, replace(SMALL, **change))


def test_transformed_weights_decide_over_the_tile() -> None:
    device = traits()
    problem = parse("n1c16i8x8k40f3x3p1")
    problem = problem.with_layouts(**ALGORITHM.wants(problem, device, SMALL))
    other = replace(SMALL, outputs=4, tile_k=2)
    assert ALGORITHM.plan(problem, device, other) == ALGORITHM.plan(problem, device, SMALL)


def test_a_data_gradient_is_the_forward_kernel_and_wants_turned_weights() -> None:
    device = traits()
    forward, backward = (parse(text) for text in ("n1c16i8x9k24f3x3p1,0x2,1", "n1c24i8x9k16f3x3p1,0x2,1:bwd_d"))
    plans = [prepare(ALGORITHM, p, device, SMALL).plan for p in (forward, backward)]
    assert plans[0].calls[0].source == plans[1].calls[0].source
    wants = ALGORITHM.wants(backward, device, SMALL)
    assert wants["w"] == Transformed(device.block, 1, (2, 2), turned=True) and wants["dx"] == Blocked(device.block)
    assert wants["dy"] == Blocked(device.block, ((1, 2), (0, 1)))
    assert ALGORITHM.wants(forward, device, SMALL)["x"] == Blocked(device.block, ((1, 0), (2, 1)))
    line = ALGORITHM.wants(parse("n1c8i9k8f3p1"), device, SMALL)
    assert line["w"] == Transformed(device.block, 1, (1, 2)) and line["x"] == Blocked(device.block, ((0, 0), (1, 1)))


def test_the_space() -> None:
    for device in (DeviceTraits.cpu(), DeviceTraits.cpu(16, 64), DeviceTraits.cpu(4, 8)):
        problem = parse("n1c128i28x28k128f3x3p1")
        space = list(ALGORITHM.space(problem, device))
        assert len(space) >= 8 and len(set(space)) == len(space) and space[0] == ALGORITHM.defaults(problem, device)
        assert len({params.outputs for params in space if isinstance(params, ConvWinogradParams)}) >= 2


@pytest.mark.parametrize("kernel", ["f2x2", "f3x3", "f4x4", "f5x5", "f1x3", "f5x1", "f3", "f5", "f2x5"])
def test_defaults_never_have_more_than_6_products_along_an_axis(kernel: str) -> None:
    tried = 0
    for size, channels, units in product((2, 3, 4, 7, 14, 56, 224), (5, 64, 512), (1, 2, 64)):
        size_text = f"{size}" if "x" not in kernel else f"{size}x{size}"
        problem, device = parse(f"n1c{channels}i{size_text}k{channels}{kernel}p2"), DeviceTraits.cpu(8, units)
        if ALGORITHM.why_not(problem, device) is None:
            params = ALGORITHM.defaults(problem, device)
            assert max(axis.dense for axis in axes(problem, params.outputs)) <= MOST_SAFE_PRODUCTS
            tried += 1
    assert tried > 30


@pytest.mark.parametrize("units", [1, 2, 16])
def test_more_work_is_not_estimated_to_take_less_time(units: int) -> None:
    """Roughly: parts and waves of tiles come in whole numbers."""
    device = DeviceTraits.cpu(8, units)

    def seconds(**change: object) -> float:
        problem = replace(parse("n1c64i28x28k64f3x3p1"), **change)  # type: ignore[arg-type]
        return ALGORITHM.seconds(problem, device, ALGORITHM.defaults(problem, device))

    for name, values in (
        ("batch", (1, 2, 4, 16)), ("channels", (16, 64, 256, 1024)), ("filters", (16, 64, 256, 1024)),
        ("size", ((7, 7), (14, 14), (28, 28), (56, 56), (112, 112))),
    ):  # fmt: skip
        times = [seconds(**{name: value}) for value in values]
        assert all(after > before for before, after in zip(times, times[1:], strict=False)), (name, times)
    problem = parse("n8c64i56x56k64f3x3p1")
    faster = [ALGORITHM.seconds(problem, d, ALGORITHM.defaults(problem, d)) for d in map(lambda n: DeviceTraits.cpu(8, n), (1, 2, 4, 16))]
    assert faster == sorted(faster, reverse=True)


def test_cuts_hold_all_tiles() -> None:
    """Random problems: no part is empty or has more tiles than slots, and slices are no more than channel tiles."""
    rng = random.Random(1)
    for _ in range(300):
        height, width = rng.randint(2, 60), rng.randint(2, 60)
        problem = parse(f"n{rng.randint(1, 4)}c16i{height}x{width}k{rng.choice([1, 16, 40, 200])}f3x3p1")
        params = ConvWinogradParams(2, rng.randint(1, 3), rng.randint(2, 14), rng.randint(1, 100), 16, rng.choice([1, 2, 64]))
        device = DeviceTraits.cpu(8, rng.choice([1, 2, 64]))
        cut = Parts.of(problem, device, params)
        ends = [i * cut.tiles // cut.parts for i in range(cut.parts + 1)]
        counts = [b - a for a, b in zip(ends, ends[1:], strict=False)]
        assert cut.tiles == problem.batch * -(-height // 2) * -(-width // 2) == sum(counts) and min(counts) >= 1
        assert cut.slots >= max(filled(n, params.width) for n in counts) >= max(counts)
        assert 1 <= cut.slices <= -(-problem.filters // (8 * params.tile_k))


def test_dilated_axes_are_cut_by_residue() -> None:
    rows, columns = axes(parse("n1c8i11x12k8f3x3p2x1d2x1"), 4)
    assert (rows.tiles, rows.total, rows.products) == (2, 4, 6) and (columns.tiles, columns.total) == (3, 3)
    line, across = axes(parse("n1c8i11x12k8f1x3p0x3d2x3"), 2)
    assert (line.outputs, line.products, line.dilation, line.total) == (1, 1, 1, 11) and across.total == 6


def test_the_oracle_of_this_module_is_the_reference() -> None:
    problem = parse("n2c5i6x7k3f3x3p1,2x0,1d2x1")
    given = operands_of(problem)
    np.testing.assert_array_equal(expected(problem, given)["y"], reference.conv(given["x"], given["w"], None, problem.geometry))
    assert problem.direction is Pass.FORWARD
