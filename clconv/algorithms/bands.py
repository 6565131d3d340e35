"""Bands: rows of windows over a plain map, whose elements a work-item copies into private memory so that its loops have no conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.blocked_view import two_axes, two_sizes, window_constants
from clconv.algorithms.common import tasks_each
from clconv.algorithms.conv_direct import vector_macros
from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, PoolProblem

# Elements of a band's copy: what private memory holds, and what the first-level cache holds beside the results.
WIDEST = 4096
BEST = 2048
# Vectors that a loop over the windows of a band computes at once: it may go that much beyond the last one.
AT_ONCE = 2


@dataclass(frozen=True)
class Band:
    """`rows` rows of windows; none fit where it is 0.

    The copy is split by the residues of rows and columns modulo the strides: `phase` elements for each, in rows of `pitch`. Neighbouring
    windows then read neighbouring elements, at any stride, and all windows of a band are one long row.
    """

    rows: int
    pitch: int
    phase: int

    @classmethod
    def of(cls, problem: ConvProblem | PoolProblem, lanes: int) -> Band:
        """As many rows as the cache likes. Pooling combines the rows of windows before it copies: one row then."""
        geometry = problem.geometry
        assert geometry is not None
        reach_h, reach_w = two_axes(geometry.effective_kernel)
        stride_h, stride_w = two_axes(geometry.stride)
        p_count, q_count = two_sizes(problem.output_size)
        if isinstance(problem, PoolProblem):
            reach_h = stride_h = p_count = 1
        pitch = -(-((q_count - 1) * stride_w + reach_w) // stride_w)
        phases, more = stride_h * stride_w, -(-reach_h // stride_h) - 1  # rows of a residue beyond those of windows
        rows = 0
        for limit in (BEST, WIDEST):
            rows = rows if rows > 0 else min(p_count, (limit // phases - lanes) // pitch - more)
        return cls(max(0, rows), pitch, (max(0, rows) + more) * pitch + lanes)


def span(problem: ConvProblem | PoolProblem) -> int:
    """Elements of a row, padding included, that its windows reach over."""
    geometry = problem.geometry
    assert geometry is not None
    return (problem.output_size[-1] - 1) * geometry.stride[-1] + geometry.effective_kernel[-1]


def why_no_band(problem: ConvProblem | PoolProblem, traits: DeviceTraits) -> str | None:
    """The part of `why_not` that all algorithms of bands share."""
    geometry = problem.geometry
    assert geometry is not None
    if not traits.is_cpu or traits.simd_width < 4:
        return f"is written for the vectors of CPU devices, got {traits.label} with {traits.simd_width} floats"
    if geometry.rank > 2:
        return f"needs 1 or 2 spatial axes, got {geometry.rank}"
    if not Band.of(problem, traits.simd_width).rows:
        return f"needs rows of which a window's reach has at most {WIDEST} elements, got {span(problem)} by {geometry.effective_kernel}"
    return None


def header(problem: ConvProblem | PoolProblem, lanes: int) -> dict[str, object]:
    """The constants of a kernel over bands."""
    g = problem.geometry
    assert g is not None
    reach = two_axes(g.effective_kernel)
    window = window_constants(g.kernel, g.stride, g.dilation, g.padding)
    return {
        "COPIED": WIDEST + AT_ONCE * lanes, "REACH_H": reach[0], "REACH_W": reach[1], **window, **vector_macros(lanes, problem.dtype)
    }  # fmt: skip


def launch(problem: ConvProblem | PoolProblem, traits: DeviceTraits) -> tuple[int, dict[str, int]]:
    """Work-items, and the sizes of maps and bands as arguments."""
    band = Band.of(problem, traits.simd_width)
    (height, width), (p_count, q_count) = two_sizes(problem.size), two_sizes(problem.output_size)
    tasks = math.prod(problem.spec("y").shape[:2]) * -(-p_count // band.rows)
    each = tasks_each(tasks, traits)
    arguments = {
        "height": height, "width": width, "p_count": p_count, "q_count": q_count, "pitch": band.pitch, "phase": band.phase,
        "size": problem.spec("x").elements, "tasks": tasks, "tasks_each": each,
    }  # fmt: skip
    return -(-tasks // each), arguments
