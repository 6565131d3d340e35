"""The tiles of minimal filtering, acted out in NumPy along one axis: every output once, from inputs within the halo, in every pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clconv import reference
from clconv.algorithms.blocked_calls import Roles
from clconv.algorithms.winograd_tiles import Axis, Parts, axes, filled, filters, fits, needed_halo
from clconv.device import DeviceTraits
from clconv.errors import GeometryError
from clconv.geometry import ConvGeometry
from clconv.problem import ConvProblem, Pass, parse


@dataclass(frozen=True)
class Params:
    outputs: int = 4
    tile_k: int = 2
    width: int = 6
    part: int = 24
    slices: int = 1


def starts(axis: Axis) -> Iterator[tuple[int, int, int, int]]:
    """(residue, outputs with it, first wanted output, first output) of every tile."""
    for tile in range(axis.total):
        residue = tile // axis.tiles
        count = -(-(axis.size - residue) // axis.dilation)
        wanted = (tile - residue * axis.tiles) * axis.outputs
        yield residue, count, wanted, min(wanted, axis.last(count))


def filter_axis(problem: ConvProblem, outputs: int, source: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One row of inputs through the tiles; each output is written once, what lies outside of the halo is NaN."""
    axis, maps = axes(problem, outputs)[1], filters(problem, outputs)[1]
    a, g, b = (np.array([[float(v) for v in row] for row in m]) for m in (maps.output, maps.weights, maps.data))
    before, behind = needed_halo(problem, outputs)[1]
    padded = np.pad(np.pad(source, (before, behind)), 64, constant_values=np.nan)
    out = np.full(axis.size, np.nan)
    for residue, count, wanted, first in starts(axis):
        start = axis.origin + residue + first // axis.write * axis.read * axis.dilation
        window = padded[64 + before + start + axis.dilation * np.arange(axis.window)]
        values = a @ ((g @ weights) * (b @ window))
        for i, value in enumerate(values):
            if wanted <= first + i < count:
                at = residue + (first + i) * axis.dilation
                assert np.isnan(out[at]), f"output {at} is written twice"
                out[at] = value
    return out


def check(problem: ConvProblem, outputs: int) -> None:
    rng = np.random.default_rng(0)
    forward = problem.direction is Pass.FORWARD
    source = rng.standard_normal(problem.tensors()[Roles.of(problem).source].shape[-1])
    weights = rng.standard_normal(problem.geometry.kernel[-1])
    if forward:
        expected = reference.conv(source[None, None], weights[None, None], None, problem.geometry)
    else:
        expected = reference.conv_backward_data(source[None, None], weights[None, None], problem.geometry, problem.size)
    got = filter_axis(problem, outputs, source, weights if forward else weights[::-1])
    np.testing.assert_allclose(got, expected[0, 0], rtol=0, atol=1e-11)


@st.composite
def problems(draw: st.DrawFn) -> ConvProblem:
    kernel, stride = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    dilation = draw(st.integers(1, 4)) if stride == 1 else 1
    pads = (draw(st.integers(0, 7)), draw(st.integers(0, 7)))
    geometry = ConvGeometry((kernel,), (stride,), (pads,), (dilation,))
    direction = draw(st.sampled_from([Pass.FORWARD, Pass.BACKWARD_DATA]))
    return ConvProblem(geometry, 1, 1, 1, (draw(st.integers(1, 30)),), direction)


@given(problems(), st.sampled_from([2, 3, 4, 5, 6]))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_tiles_compute_the_convolution(problem: ConvProblem, outputs: int) -> None:
    try:
        problem.geometry.output_size(problem.size)
    except GeometryError:
        return
    if fits(problem, outputs):
        check(problem, outputs)


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("n1c1i13k1f3p1", 4),
        ("n1c1i4k1f3p1", 4),
        ("n1c1i12k1f3s2p1", 2),
        ("n1c1i13k1f5s2p2", 2),
        ("n1c1i13k1f2s3p1", 2),
        ("n1c1i13k1f3p4d4", 3),
        ("n1c1i12k1f3s2p1:bwd_d", 2),
        ("n1c1i13k1f3s2p1:bwd_d", 3),
        ("n1c1i13k1f2s3p1:bwd_d", 2),
        ("deconv n1c1i7k1f4s2p1", 2),
        ("deconv n1c1i7k1f3s2p1o1", 3),
    ],
)
def test_named_cases_fit(text: str, outputs: int) -> None:
    problem = parse(text)
    assert isinstance(problem, ConvProblem) and fits(problem, outputs)
    check(problem, outputs)


def test_a_stride_takes_fewer_products_than_taps() -> None:
    """F(2, 3) with stride 2 is F(2, 2) and F(2, 1) side by side; a transposed 4 x 4 kernel twice F(2, 2)."""
    problem = parse("n1c8i16x16k8f3x3s2p1")
    assert [(a.products, a.window, a.dense) for a in axes(problem, 2)] == [(5, 5, 3)] * 2
    problem = parse("deconv n1c8i8x8k8f4x4s2p1")
    assert [(a.outputs, a.products, a.window) for a in axes(problem, 2)] == [(4, 6, 4)] * 2


def test_what_does_not_fit() -> None:
    assert not fits(parse("n1c8i3x16k8f3x3p1"), 4)  # fewer rows than a tile has
    assert not fits(parse("n1c8i16x16k8f7x7s2p3"), 2)  # 9 products along an axis
    assert not fits(parse("n1c8i9x16k8f3x3p4d4"), 3)  # residues of two rows


def test_parts_share_the_tiles_evenly() -> None:
    traits = DeviceTraits.cpu(8, compute_units=2)
    parts = Parts.of(parse("n1c128i28x28k128f3x3p1"), traits, Params())
    assert (parts.tiles, parts.parts, parts.slots) == (49, 2, 25)
    for batch in (1, 3, 64):
        problem = replace(parse("n1c8i30x30k128f3x3p1"), batch=batch)
        cut = Parts.of(problem, traits, Params())
        assert cut.tiles == batch * 64 and cut.slots >= -(-cut.tiles // cut.parts)
    assert [filled(n, 6) for n in (1, 5, 6, 7, 11, 12, 13, 16, 49)] == [5, 5, 6, 10, 11, 12, 15, 16, 49]
