"""Resizing maps (torch.nn.functional.interpolate)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clconv.errors import GeometryError
from clconv.functional.check import batched, floating
from clconv.functional.eager import operation
from clconv.graph.ops.resample import resample
from clconv.graph.resize import Interpolation, Resizing, axis_tables

_MODES = {"nearest": (3, 4, 5), "nearest-exact": (3, 4, 5), "linear": (3,), "bilinear": (4,), "trilinear": (5,), "bicubic": (4,)}
_NEAREST = {
    "nearest": Interpolation("nearest", "asymmetric", "floor"),
    "nearest-exact": Interpolation("nearest", rounding="round_prefer_ceil"),
}


@operation
def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
) -> Any:
    """The spatial axes of x (N, C, ...) resized to `size`, or by `scale_factor`, as torch.nn.functional.interpolate.

    mode "nearest" or "nearest-exact" for any rank, "linear" for one axis, "bilinear" and "bicubic" for two, "trilinear" for three.

    >>> y = interpolate(x, scale_factor=2, mode="bilinear")   # doctest: +SKIP
    """
    x = floating(input, "interpolate")
    if mode not in _MODES:
        raise GeometryError(f"interpolate: mode {mode!r} is not one of {', '.join(map(repr, _MODES))}")
    if x.ndim not in _MODES[mode]:
        raise GeometryError(f"interpolate: mode {mode!r} takes an input of {' or '.join(map(str, _MODES[mode]))} axes, got shape {x.shape}")
    rank = x.ndim - 2
    x = batched(x, rank, "interpolate")
    if (size is None) == (scale_factor is None):
        raise GeometryError(f"interpolate: give either size or scale_factor, got size={size!r} and scale_factor={scale_factor!r}")
    if mode.startswith("nearest") and (align_corners or antialias):
        raise GeometryError(f"interpolate: align_corners and antialias mean nothing to mode {mode!r}")
    if size is not None:
        outs = _each(size, rank, "size", int)
        scales = [out / n for out, n in zip(outs, x.shape[2:], strict=True)]
    else:
        scales = _each(scale_factor, rank, "scale_factor", float)
        outs = [math.floor(n * scale) for n, scale in zip(x.shape[2:], scales, strict=True)]
    if any(out < 1 for out in outs):
        raise GeometryError(f"interpolate: {x.shape[2:]} would become {tuple(outs)}; every axis needs at least one element")
    how = _NEAREST.get(mode) or Interpolation(
        "cubic" if mode == "bicubic" else "linear",
        "align_corners" if align_corners else "half_pixel",
        cubic=-0.5 if antialias else -0.75,
        antialias=antialias,
        exclude_outside=antialias,
    )
    for axis, (n, out, scale) in enumerate(zip(x.shape[2:], outs, scales, strict=True), 2):
        if out != n or scale != 1:
            resizing = Resizing(how, out / n if align_corners else scale)
            tables = axis_tables(how, n, out, resizing.scale)
            x = resample(x, axis, tables.sources, tables.weights, resizing)
    return x


def _each(value: Any, rank: int, name: str, kind: type) -> list[Any]:
    """One number for all axes, or one an axis."""
    values = list(value) if isinstance(value, list | tuple) else [value] * rank
    number = int | np.integer if kind is int else int | float | np.integer | np.floating
    if len(values) != rank or not all(isinstance(v, number) and v > 0 for v in values):
        raise GeometryError(f"interpolate: {name} must be a positive {kind.__name__}, or {rank} of them, got {value!r}")
    return [kind(v) for v in values]
