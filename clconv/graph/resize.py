"""Where the elements of a resized axis come from: coordinates, interpolation and borders as ONNX's Resize defines them.

torch.nn.functional.interpolate is a choice among them: nearest is asymmetric with floor, linear and cubic are half_pixel or align_corners.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
MODES = ("nearest", "linear", "cubic")


@dataclass(frozen=True)
class Interpolation:
    """How between elements: `mode` of MODES, `coordinates` of COORDINATES, `rounding` of ROUNDINGS for nearest.

    `cubic` is the coefficient a of the cubic kernel (Keys 1981); `antialias` widens the kernel when shrinking; `exclude_outside` leaves
    elements beyond the border out, where else the border's element stands for them.
    """

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic: float = -0.75
    antialias: bool = False
    exclude_outside: bool = False


@dataclass(frozen=True)
class Resizing:
    """What the tables of an axis were made from: see `axis_tables`."""

    how: Interpolation
    scale: float
    region: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class AxisTables:
    """`sources` and `weights` (out, taps) as `graph.ops.resample` takes them; `outside`: which results lie beyond the cropped region."""

    sources: np.ndarray
    weights: np.ndarray
    outside: np.ndarray


def axis_tables(how: Interpolation, size: int, out: int, scale: float, region: tuple[float, float] = (0.0, 1.0)) -> AxisTables:
    """The tables of one axis of `size` elements resized to `out`; `scale` is results per element, `region` what is cropped to.

    >>> tables = axis_tables(Interpolation("linear", "align_corners"), 3, 5, 5 / 3)
    >>> [sorted((int(s), float(w)) for s, w in zip(*row) if w) for row in zip(tables.sources, tables.weights)]
    [[(0, 1.0)], [(0, 0.5), (1, 0.5)], [(1, 1.0)], [(1, 0.5), (2, 0.5)], [(2, 1.0)]]
    """
    at = _positions(how, size, out, scale, region)
    crops = how.coordinates == "tf_crop_and_resize"
    outside = (at < 0) | (at > size - 1) if crops else np.zeros(out, bool)
    # An element that is hit exactly is the upper one of its pair.
    whole = at == np.floor(at)
    base = np.where(whole, at - 1, np.floor(at)).astype(np.int64)
    ratio = np.where(whole, 1.0, at - np.floor(at))
    if how.mode == "nearest":
        upper = {
            "round_prefer_floor": ratio > 0.5, "round_prefer_ceil": ratio >= 0.5, "floor": whole, "ceil": np.ones(out, bool)
        }[how.rounding]  # fmt: skip
        sources = np.clip(base + upper, 0, size - 1)[:, None]
        return AxisTables(sources, np.ones((out, 1)), outside)
    shrunk = min(scale, 1.0) if how.antialias else 1.0
    reach = 1 if how.mode == "linear" else 2
    first = math.floor(-reach / shrunk) + 1
    offsets = np.arange(first, 2 - first)
    distances = np.abs((offsets - ratio[:, None]) * shrunk)
    weights = np.clip(1.0 - distances, 0.0, None) if how.mode == "linear" else _cubic(distances, how.cubic)
    found = base[:, None] + offsets
    if how.exclude_outside:
        weights = np.where((found < 0) | (found >= size), 0.0, weights)
    if how.exclude_outside or how.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    # What counts nothing is not read: a NaN beside it stays out.
    return AxisTables(np.where(weights == 0.0, -1, np.clip(found, 0, size - 1)), weights, outside)


def _positions(how: Interpolation, size: int, out: int, scale: float, region: tuple[float, float]) -> np.ndarray:
    """Where each result lies among the elements."""
    x = np.arange(out, dtype=np.float64)
    exact = scale * size  # what the scale asks for, before it is cut to whole elements
    match how.coordinates:
        case "asymmetric":
            return np.asarray(x / scale)
        case "align_corners":
            return np.zeros(out) if exact == 1 else np.asarray(x * (size - 1) / (exact - 1))
        case "pytorch_half_pixel":
            return np.full(out, -0.5) if exact == 1 else np.asarray((x + 0.5) / scale - 0.5)
        case "half_pixel_symmetric":
            return np.asarray(size / 2 * (1 - out / exact) + (x + 0.5) / scale - 0.5)
        case "tf_half_pixel_for_nn":
            return np.asarray((x + 0.5) / scale)
        case "tf_crop_and_resize":
            start, end = (edge * (size - 1) for edge in region)
            return np.full(out, (start + end) / 2) if out == 1 else np.asarray(start + x * (end - start) / (out - 1))
        case _:
            return np.asarray((x + 0.5) / scale - 0.5)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
