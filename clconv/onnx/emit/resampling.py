"""Axes read through tables: resized, repeated, mirrored, picked from."""

from __future__ import annotations

import math

import numpy as np

from clconv.graph.node import Node
from clconv.graph.resize import Interpolation, Resizing, axis_tables
from clconv.onnx.emit.base import Rules
from clconv.onnx.writer import Writer

# Of positions in single precision, and of weights computed from them.
ROUNDING, NEARLY = 5e-7, 1e-5


def resample(writer: Writer, node: Node) -> str:
    """As a resizing where it is one, along all axes at once; else by picking elements, or by a product with the table."""
    whole = _resize(writer, node)
    if whole is not None:
        return whole
    x, sources, weights = node.inputs
    table, factors, axis = sources["value"], weights["value"], node["axis"]
    if table.shape[1] == 1 and np.all(table >= 0) and np.all(factors == 1):
        return writer.emit("Gather", writer.value(x), writer.constant(table[:, 0].astype(np.int64)), axis=axis)
    dense = _dense(table, factors, x.shape[axis]).astype(node.dtype)
    last = [i for i in range(node.ndim) if i != axis] + [axis]
    if last == list(range(node.ndim)):
        return writer.emit("MatMul", writer.value(x), writer.constant(dense))
    product = writer.emit("MatMul", writer.emit("Transpose", writer.value(x), perm=last), writer.constant(dense))
    return writer.emit("Transpose", product, perm=[last.index(i) for i in range(node.ndim)])


def _resize(writer: Writer, node: Node) -> str | None:
    """Resize of this axis and of those that were resized the same way before; None where ONNX's rounding would give something else."""
    how = _way(node)
    if how is None:
        return None
    source, scales, regions = node, dict[int, float](), dict[int, tuple[float, float]]()
    while _way(source) == how and source["axis"] not in scales:
        scale = _scale(source)
        if scale is None:
            break
        scales[source["axis"]], regions[source["axis"]] = scale, source["resizing"].region
        source = source.inputs[0]
    if not scales:
        return None
    factors = np.array([scales.get(axis, 1.0) for axis in range(node.ndim)], np.float32)
    ends = [regions.get(axis, (0.0, 1.0)) for axis in range(node.ndim)]
    crops = how.coordinates == "tf_crop_and_resize"
    roi = writer.constant(np.array([start for start, _ in ends] + [end for _, end in ends], np.float32)) if crops else ""
    return writer.emit(
        "Resize",
        writer.value(source),
        roi,
        writer.constant(factors),
        mode=how.mode,
        coordinate_transformation_mode=how.coordinates,
        nearest_mode=how.rounding if how.mode == "nearest" else None,
        cubic_coeff_a=how.cubic if how.mode == "cubic" else None,
        exclude_outside=1 if how.exclude_outside else None,
        antialias=1 if how.antialias else None,
    )


def _way(node: Node) -> Interpolation | None:
    resizing: Resizing | None = node.attributes.get("resizing") if node.op == "resample" else None
    return None if resizing is None else resizing.how


def _scale(node: Node) -> float | None:
    """The factor in single precision, which is what a file holds, if by it every result comes from the same elements."""
    resizing: Resizing = node["resizing"]
    size, out = node.inputs[0].shape[node["axis"]], node.shape[node["axis"]]
    if resizing.how.coordinates == "align_corners" and abs(size * resizing.scale - out) > NEARLY:
        return None  # ONNX aligns with the end of a broken size, runtimes with that of a whole one
    nearby = np.float32(resizing.scale)
    for scale in (nearby, np.nextafter(nearby, np.float32(np.inf))):
        if math.floor(size * float(scale)) == out and math.floor(np.float32(size) * scale) == out:
            # A factor that single precision holds gives exact positions where an element is hit; others may miss it by a rounding.
            exact = float(scale) == resizing.scale
            tried = (1.0,) if exact or resizing.how.mode != "nearest" else (1.0 - ROUNDING, 1.0, 1.0 + ROUNDING)
            tables = [axis_tables(resizing.how, size, out, float(scale) * factor, resizing.region) for factor in tried]
            wanted = _dense(node.inputs[1]["value"], node.inputs[2]["value"], size)
            if any(table.outside.any() for table in tables):
                return None  # ONNX has another number there, which is an operation of its own here
            same = all(np.allclose(_dense(table.sources, table.weights, size), wanted, rtol=0, atol=NEARLY) for table in tables)
            return float(scale) if same else None
    return None


def _dense(sources: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """The tables (out, taps) as one matrix (size, out)."""
    matrix = np.zeros((size, len(sources)))
    rows, taps = np.nonzero(sources >= 0)
    np.add.at(matrix, (sources[rows, taps], rows), weights[rows, taps])
    return matrix


RULES: Rules = {"resample": resample}
