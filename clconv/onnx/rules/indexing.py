"""Operations that pick, repeat and rearrange elements by positions that are known before anything runs."""

from __future__ import annotations

import math

import numpy as np

import clconv.functional as F
from clconv.graph.node import Node
from clconv.graph.ops import make
from clconv.graph.ops.resample import take
from clconv.graph.ops.shape import flip, reshape, transpose, window
from clconv.onnx.rules.base import Call, Result, Rule, Rules, as_pair


def shape_of(call: Call) -> np.ndarray:
    """Sizes of the axes from `start` to `end`."""
    shape, read = call.value(0).shape, call.attributes
    start, end = (read.integer("start", 0), read.integer("end", len(shape))) if call.version >= 15 else (0, len(shape))
    return np.asarray(shape[slice(start, end)], np.int64)


def size_of(call: Call) -> np.ndarray:
    """The number of elements."""
    return np.asarray(math.prod(call.value(0).shape), np.int64)


def slice_of(call: Call) -> Node | np.ndarray:
    """Parts of axes; steps may be negative. Positions beyond an end are moved to it."""
    x, read = call.node(0), call.attributes
    if call.version < 10:
        starts, ends = read.integers("starts", clamp=True), read.integers("ends", clamp=True)
        axes, steps = read.integers("axes", None, tuple(range(len(starts)))), (1,) * len(starts)
    else:
        starts, ends = call.integers(1), call.integers(2)
        axes = call.integers(3) if call.has(3) else tuple(range(len(starts)))
        steps = call.integers(4) if call.has(4) else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise call.error(f"starts {list(starts)}, ends {list(ends)}, axes {list(axes)} and steps {list(steps)} must be as many")
    if 0 in steps:
        raise call.error(f"steps {list(steps)} must not be 0")
    ranges = {call.axis(a, x.ndim): (start, end, step) for a, start, end, step in zip(axes, starts, ends, steps, strict=True)}
    if len(ranges) != len(axes):
        raise call.error(f"axes {list(axes)} name one twice")
    kept = {axis: range(x.shape[axis])[_python_slice(*part)] for axis, part in ranges.items()}
    if any(len(part) == 0 for part in kept.values()):
        return np.zeros([len(kept.get(i, range(n))) for i, n in enumerate(x.shape)], np.float32)
    cuts = {axis: (-part[0], part[-1] + 1 - x.shape[axis]) for axis, part in kept.items() if part.step == 1}
    if any(map(any, cuts.values())):
        x = window(x, tuple(cuts.get(axis, (0, 0)) for axis in range(x.ndim)))
    backwards = [axis for axis, part in kept.items() if part == range(x.shape[axis] - 1, -1, -1) and len(part) > 1]
    if backwards:
        x = flip(x, backwards)
    for axis, part in kept.items():
        if part.step != 1 and axis not in backwards:
            call.reserve(len(part))
            x = take(x, axis, np.arange(part.start, part.stop, part.step))
    return x


def _python_slice(start: int, end: int, step: int) -> slice:
    """ONNX writes "to the very beginning" as an end far below 0."""
    return slice(start, None if step < 0 and end < -(2**30) else end, step)


def split(call: Call) -> Result:
    """Parts along an axis, of given sizes or as equal as possible."""
    x, read = call.node(0), call.attributes
    axis, parts = call.axis(read.integer("axis", 0), x.ndim), len(call.operation.outputs)
    if call.version < 13:
        sizes = read.integers("split", None, (), least=0) or (call.integers(1) if call.version < 2 and call.has(1) else ())
    else:
        sizes = call.integers(1) if call.has(1) else ()
    if call.version >= 18:
        parts = read.integer("num_outputs", parts, least=1)
    if not sizes:
        each = -(-x.shape[axis] // parts)
        sizes = tuple(max(0, min(each, x.shape[axis] - i * each)) for i in range(parts))
    if sum(sizes) != x.shape[axis] or len(sizes) != len(call.operation.outputs) or min(sizes) < 0:
        raise call.error(f"sizes {list(sizes)} must be one for each of {len(call.operation.outputs)} outputs and add up to {x.shape[axis]}")
    results: list[Node | np.ndarray] = []
    start = 0
    for size in sizes:
        cut = tuple((-start, start + size - n) if i == axis else (0, 0) for i, n in enumerate(x.shape))
        results.append(window(x, cut) if size else np.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :]), np.float32))
        start += size
    return tuple(results)


def gather(call: Call) -> Node:
    """Slices of an axis by number; the axes of the indices take its place."""
    x, indices = call.node(0), call.array(1)
    axis = call.axis(call.attributes.integer("axis", 0), x.ndim)
    if indices.dtype.kind not in "iu":
        raise call.error(f"indices must be whole numbers, got {indices.dtype}")
    size = x.shape[axis]
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise call.error(f"indices from {indices.min()} to {indices.max()} lie outside of axis {axis} with {size} elements")
    call.reserve(indices.size)
    picked = take(x, axis, indices.reshape(-1) % max(1, size))
    return reshape(picked, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def pad(call: Call) -> Node:
    """Around the input: a constant, its mirror image, its edge, or its other end; negative numbers cut."""
    x, read = call.node(0), call.attributes
    mode = read.text("mode", "constant", ("constant", "reflect", "edge", "wrap"))
    if call.version >= 11:
        pads = call.integers(1)
        fill = call.number(2) if call.has(2) and call.array(2).size else 0.0
        axes = [call.axis(axis, x.ndim) for axis in call.integers(3)] if call.has(3) else list(range(x.ndim))
    else:
        name = "pads" if "pads" in read or call.version >= 2 else "paddings"
        pads, fill, axes = read.integers(name), read.number("value", 0.0), list(range(x.ndim))
    if len(pads) != 2 * len(axes):
        raise call.error(f"pads {list(pads)} must hold a begin for each of {len(axes)} axes, then an end for each")
    pairs = dict(zip(axes, as_pair(pads), strict=True))
    if mode == "constant":
        return window(x, tuple(pairs.get(axis, (0, 0)) for axis in range(x.ndim)), fill)
    for axis, (before, after) in pairs.items():
        size = x.shape[axis]
        if max(before, after) > 0 and (size == 0 or (mode == "reflect" and size == 1)):
            raise call.error(f"axis {axis} has {size} elements, which cannot be {'mirrored' if mode == 'reflect' else 'repeated'}")
        if size + before + after < 1:
            raise call.error(f"pads {(before, after)} leave nothing of axis {axis} with {size} elements")
        if before or after:
            call.reserve(size + before + after)
            x = take(x, axis, _repeated(np.arange(-before, size + after), size, mode))
    return x


def _repeated(places: np.ndarray, size: int, mode: str) -> np.ndarray:
    """Which of `size` elements stand at places before, among and behind them, in closed form: numpy.pad goes around for each period."""
    if mode == "edge":
        return np.clip(places, 0, size - 1)
    if mode == "wrap":
        return places % size
    period = max(1, 2 * (size - 1))
    return np.minimum(places % period, -places % period)


def expand(call: Call) -> Node:
    """Axes of length 1 repeated, and axes added in front, as NumPy broadcasts."""
    x, wanted = call.node(0), call.integers(1)
    try:
        shape = np.broadcast_shapes(x.shape, wanted)
    except ValueError:
        raise call.error(f"input of shape {x.shape} does not broadcast to {list(wanted)}") from None
    aligned = reshape(x, (1,) * (len(shape) - x.ndim) + x.shape)
    return aligned if aligned.shape == shape else make("expand", aligned, shape=shape)


def tile(call: Call) -> Node:
    """The input again and again along each axis."""
    x, repeats = call.node(0), call.integers(1)
    if len(repeats) != x.ndim or min(repeats, default=1) < 1:
        raise call.error(f"repeats {list(repeats)} must be one number from 1 on for each axis of {x.shape}")
    for axis, times in enumerate(repeats):
        if times > 1:
            call.reserve(times * x.shape[axis])
            x = take(x, axis, np.tile(np.arange(x.shape[axis]), times))
    return x


def depth_to_space(call: Call) -> Node:
    """Blocks of channels to blocks of positions: channels depth first (DCR) or position first (CRD)."""
    x, size = call.node(0), call.attributes.integer("blocksize", least=1)
    mode = call.attributes.text("mode", "DCR", ("DCR", "CRD"))
    if x.ndim != 4 or x.shape[1] % size**2:
        raise call.error(f"input of shape {x.shape} must have four axes, and a multiple of {size**2} channels")
    n, c, h, w = x.shape
    inner = c // size**2
    if mode == "DCR":
        parts = transpose(reshape(x, (n, size, size, inner, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        parts = transpose(reshape(x, (n, inner, size, size, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(parts, (n, inner, h * size, w * size))


def space_to_depth(call: Call) -> Node:
    """Blocks of positions to blocks of channels: positions first (DCR) or depth first (CRD)."""
    x, size = call.node(0), call.attributes.integer("blocksize", least=1)
    mode = call.attributes.text("mode", "DCR", ("DCR", "CRD"))
    if x.ndim != 4 or x.shape[2] % size or x.shape[3] % size:
        raise call.error(f"input of shape {x.shape} must have four axes, with sizes that are multiples of {size}")
    n, c, h, w = x.shape
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    parts = transpose(reshape(x, (n, c, h // size, size, w // size, size)), order)
    return reshape(parts, (n, c * size**2, h // size, w // size))


def known_range(call: Call) -> np.ndarray:
    """Numbers from start to limit; where all three are known, loading has made a tensor of it before."""
    raise call.error("start, limit and delta must be constants of the file, since they decide over a shape")


def concat(call: Call) -> Node:
    nodes = [call.node(i) for i in range(len(call.operation.inputs))]
    axis = call.axis(call.attributes.integer("axis", 1 if call.version < 4 else None), nodes[0].ndim)
    if any(node.ndim != nodes[0].ndim for node in nodes):
        raise call.error(f"inputs of shape {', '.join(str(node.shape) for node in nodes)} must have the same number of axes")
    if all(str(call.value(i).dtype) == "float16" for i in range(len(nodes))):  # constants stand in the graph as float32
        nodes = [F.cast(node, "float16") for node in nodes]
    filled = [node for node in nodes if node.shape[axis]] or nodes[:1]
    if len(filled) == 1:
        return filled[0]
    result: Node = F.cat(filled, axis)
    return result


RULES: Rules = {
    "Concat": Rule(concat, (1, None)),
    "DepthToSpace": Rule(depth_to_space, (1, 1)),
    "Expand": Rule(expand, (2, 2), host=(1,)),
    "Gather": Rule(gather, (2, 2), host=(1,)),
    "Pad": Rule(pad, (1, 4), host=(1, 2, 3)),
    "Range": Rule(known_range, (3, 3), host=(0, 1, 2)),
    "Shape": Rule(shape_of, (1, 1)),
    "Size": Rule(size_of, (1, 1)),
    "Slice": Rule(slice_of, (1, 5), host=(1, 2, 3, 4), moves=True),
    "SpaceToDepth": Rule(space_to_depth, (1, 1)),
    "Split": Rule(split, (1, 2), host=(1,)),
    "Tile": Rule(tile, (2, 2), host=(1,)),
}
