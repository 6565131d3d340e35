"""Resizing: every coordinate mode of ONNX, axis by axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

import clconv.functional as F
from clconv.graph.node import Node
from clconv.graph.ops import as_node
from clconv.graph.ops.resample import resample
from clconv.graph.resize import COORDINATES, MODES, ROUNDINGS, Interpolation, Resizing, axis_tables
from clconv.onnx.rules.base import Call, Rule, Rules

POLICIES = ("stretch", "not_larger", "not_smaller")


def resize(call: Call) -> Node:
    """By scales or to sizes; version 10 knows scales alone, and rounds coordinates down."""
    x, read = call.node(0), call.attributes
    mode = read.text("mode", "nearest", MODES)
    if call.version < 11:
        return _resized(call, x, Interpolation(mode, "asymmetric", "floor"), range(x.ndim), None, _scales(call, 1))
    how = Interpolation(
        mode,
        read.text("coordinate_transformation_mode", "half_pixel", COORDINATES),
        read.text("nearest_mode", "round_prefer_floor", ROUNDINGS),
        read.number("cubic_coeff_a", -0.75),
        call.version >= 18 and read.flag("antialias"),
        read.flag("exclude_outside"),
    )
    outside = read.number("extrapolation_value", 0.0)
    axes: Sequence[int] = range(x.ndim)
    policy = "stretch"
    if call.version >= 18:
        axes = [call.axis(a, x.ndim) for a in read.integers("axes", None, tuple(range(x.ndim)))]
        policy = read.text("keep_aspect_ratio_policy", "stretch", POLICIES)
    region = call.numbers(1) if call.has(1) else ()
    sizes = call.integers(3) if call.has(3) and call.array(3).size else None
    scales = _scales(call, 2) if call.has(2) and call.array(2).size else None
    if (sizes is None) == (scales is None):
        raise call.error("needs either scales or sizes")
    return _resized(call, x, how, axes, sizes, scales, policy, region, outside)


def _scales(call: Call, index: int) -> list[float]:
    values = list(call.numbers(index))
    if not values or not all(np.isfinite(v) and v > 0 for v in values):
        raise call.error(f"scales {values} must be above 0")
    return values


def _resized(
    call: Call,
    x: Node,
    how: Interpolation,
    axes: Sequence[int],
    sizes: Sequence[int] | None,
    scales: Sequence[float] | None,
    policy: str = "stretch",
    region: tuple[float, ...] = (),
    outside: float = 0.0,
) -> Node:
    given = sizes if sizes is not None else scales
    assert given is not None
    if len(given) != len(axes):
        raise call.error(f"{'sizes' if sizes is not None else 'scales'} {list(given)} must be one for each of the axes {list(axes)}")
    crops = how.coordinates == "tf_crop_and_resize"
    if crops and len(region) != 2 * len(axes):
        raise call.error(f"roi {list(region)} must hold a start for each of {len(axes)} axes, then an end for each")
    before = [x.shape[axis] for axis in axes]
    if sizes is not None:
        ratios = [out / max(1, n) for out, n in zip(sizes, before, strict=True)]
        if policy != "stretch":
            one = (min if policy == "not_larger" else max)(ratios)
            outs = [math.floor(one * n + 0.5) for n in before]
            ratios = [one] * len(outs)
        else:
            outs = list(sizes)
    else:
        assert scales is not None
        ratios, outs = list(scales), [math.floor(n * scale) for n, scale in zip(before, scales, strict=True)]
    if any(out < 1 for out in outs):
        raise call.error(f"sizes {before} would become {outs}; every axis needs at least one element")
    taps = [4 if not how.antialias else 4 * math.ceil(1 + 1 / min(ratio, 1.0)) for ratio in ratios]
    call.reserve(sum(4 * out * count for out, count in zip(outs, taps, strict=True)))
    for place, (axis, out, scale) in enumerate(zip(axes, outs, ratios, strict=True)):
        part = (region[place], region[len(axes) + place]) if crops else (0.0, 1.0)
        if out == x.shape[axis] and scale == 1 and part == (0.0, 1.0):
            continue
        tables = axis_tables(how, x.shape[axis], out, scale, part)
        x = resample(x, axis, tables.sources, tables.weights, Resizing(how, scale, part))
        if tables.outside.any():
            shape = tuple(-1 if i == axis else 1 for i in range(x.ndim))
            x = F.where(as_node(tables.outside.astype(np.float32).reshape(shape)), outside, x)
    return x


def upsample(call: Call) -> Node:
    """The operator before Resize: larger only, coordinates rounded down."""
    x, read = call.node(0), call.attributes
    mode = read.text("mode", "nearest", ("nearest", "linear", "bilinear"))
    how = Interpolation("linear" if mode == "bilinear" else mode, "asymmetric", "floor")
    if call.version >= 9:
        scales = _scales(call, 1)
    elif call.version >= 7:
        scales = list(read.numbers("scales"))
    else:
        scales = [1.0, 1.0, read.number("height_scale"), read.number("width_scale")]
    return _resized(call, x, how, range(x.ndim), None, scales)


RULES: Rules = {
    "Resize": Rule(resize, (1, 4), host=(1, 2, 3)),
    "Upsample": Rule(upsample, (1, 2), host=(1,)),
}
