"""Running one problem with one algorithm from NumPy arrays, with every output pre-filled with NaN and guarded on both sides."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pyopencl as cl

from clconv.codegen.plan import Plan
from clconv.doctor.exact import integers as integers  # what tests and `clconv doctor` share
from clconv.problem import Problem
from clconv.runtime.context import default_queue, traits_of
from clconv.runtime.launch import bind, rendered
from clconv.runtime.programs import programs_for
from clconv.tensor import Blocked, Packed, Plain, Strided, TensorSpec, Transformed, round_up
from clconv.tuning.packed import pack_weights as pack_weights
from clconv.tuning.packed import transform_weights as transform_weights
from clconv.tuning.packed import weights_in as weights_in

GUARD = 1024
OUTSIDE = -24576
"""What stands around outputs: exact in every type, and no NaN, so that a NaN written there shows as well."""
NUMPY = {"float32": np.float32, "float16": np.float16, "int32": np.int32}


def poison(count: int, dtype: str) -> np.ndarray:
    """Memory that no result may keep: NaN, or for integers a number that no test produces."""
    return np.full(count, -1234567 if dtype == "int32" else np.nan, NUMPY[dtype])


def store(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """`array` as the buffer that holds it in the layout of `spec`; independent of the kernels that do the same."""
    layout, dtype = spec.layout, NUMPY[spec.dtype]
    array = np.asarray(array).astype(dtype)
    assert array.shape == spec.shape, (array.shape, spec.shape)
    if isinstance(layout, Plain):
        return np.ascontiguousarray(array).reshape(-1)
    if isinstance(layout, Strided):
        flat = poison(spec.storage_elements, spec.dtype)
        item = flat.itemsize
        np.lib.stride_tricks.as_strided(flat[layout.offset :], spec.shape, [s * item for s in layout.strides])[...] = array
        return flat
    if isinstance(layout, Blocked):
        n, c, h, w = spec.planes
        own = np.zeros((n, round_up(c, layout.block), h, w), dtype)
        own[:, :c] = array.reshape(n, c, h, w)
        own = np.pad(own, ((0, 0), (0, 0), *layout.halo))
        blocks = own.reshape(n, -1, layout.block, *own.shape[2:]).transpose(0, 1, 3, 4, 2)
        whole = poison(spec.storage_elements, spec.dtype).reshape(n, spec.blocks_in_buffer, *blocks.shape[2:])
        whole[:, layout.first : layout.first + spec.channel_blocks] = blocks
        return whole.reshape(-1)
    raise AssertionError(f"store weights with weights_in, not store: {layout}")


def load(flat: np.ndarray, spec: TensorSpec, check_zeros: bool = True) -> np.ndarray:
    """The logical array in a buffer (weights as they lie); asserts that halo and tail channels of a blocked one are zero, and the
    gaps of a strided one untouched."""
    layout = spec.layout
    if isinstance(layout, Strided):
        strides = [s * flat.itemsize for s in layout.strides]
        rest = flat.copy()
        view = np.lib.stride_tricks.as_strided(rest[layout.offset :], spec.shape, strides)
        out = view.copy()
        view[...] = poison(1, spec.dtype)[0]
        np.testing.assert_array_equal(rest, poison(rest.size, spec.dtype), err_msg="written into the gaps of a view")
        return out
    if isinstance(layout, Packed | Transformed):
        return flat.copy()
    if not isinstance(layout, Blocked):
        return flat[: spec.elements].reshape(spec.shape)
    n, c, h, w = spec.planes
    rows, columns = spec.padded_plane
    whole = flat.reshape(n, spec.blocks_in_buffer, rows, columns, layout.block)[:, layout.first : layout.first + spec.channel_blocks]
    planes = whole.transpose(0, 1, 4, 2, 3).reshape(n, -1, rows, columns)
    (top, _), (left, _) = layout.halo
    if check_zeros:
        rest = planes.copy()
        rest[:, :c, top : top + h, left : left + w] = 0
        np.testing.assert_array_equal(rest, 0, err_msg="halo or tail channels are not zero")
    return planes[:, :c, top : top + h, left : left + w].reshape(spec.shape)


def run_plan(plan: Plan, problem: Problem, operands: dict[str, np.ndarray], queue: cl.CommandQueue | None = None,
             stored: dict[str, np.ndarray] | None = None, scalars: dict[str, float] | None = None,
             directory: str | None = None) -> dict[str, np.ndarray]:
    """Run `plan` and return the outputs as logical arrays. `stored` gives operands that are already in their layout (weights);
    templates in `directory` go before the library's own."""
    queue = queue or default_queue()
    context, flags = queue.context, cl.mem_flags.READ_WRITE
    device_buffers: dict[str, cl.Buffer] = {}
    views: dict[str, cl.Buffer] = {}
    sizes: dict[str, int] = {}
    for name in problem.tensors():
        spec = problem.spec(name)
        if name in problem.outputs:
            content = poison(spec.storage_elements, spec.dtype)
        else:
            content = stored[name] if stored and name in stored else store(operands[name], spec)
        # A kernel that reads beyond an input meets NaN.
        around = poison(1, spec.dtype) if name in problem.inputs else np.full(1, OUTSIDE, NUMPY[spec.dtype])
        band, padding = (np.repeat(around, n // content.itemsize) for n in (GUARD, -content.nbytes % GUARD))
        whole = np.concatenate([band, content, padding, band])
        device_buffers[name] = cl.Buffer(context, flags | cl.mem_flags.COPY_HOST_PTR, hostbuf=whole)
        views[name] = device_buffers[name][GUARD : GUARD + max(content.nbytes, 4)]
        sizes[name] = content.size
    for name, nbytes in plan.scratch:
        views[name] = cl.Buffer(context, flags | cl.mem_flags.COPY_HOST_PTR, hostbuf=poison(-(-nbytes // 4), "float32"))
    programs = programs_for(context, queue.device)
    programs.kernels(rendered(plan.calls, directory))
    for call in plan.calls:
        launch = bind(call, programs, views, directory=directory, reproduce=str(problem))
        for name, value in (scalars or {}).items():
            launch.set_scalar(name, value)
        launch.enqueue(queue)
    queue.finish()
    out = {}
    for name in problem.outputs:
        spec = problem.spec(name)
        whole = np.empty(device_buffers[name].size // NUMPY[spec.dtype]().itemsize, NUMPY[spec.dtype])
        cl.enqueue_copy(queue, whole, device_buffers[name])
        first = GUARD // whole.itemsize
        guards = np.concatenate([whole[:first], whole[first + sizes[name] :]])
        np.testing.assert_array_equal(guards, OUTSIDE, err_msg=f"{name}: written outside of its memory")
        out[name] = load(whole[first : first + sizes[name]], spec)
    return out


def traits():
    return traits_of(default_queue().device)


def sum_bound(terms: int, magnitude: np.ndarray) -> np.ndarray:
    """2 sqrt(K) 2^-24 sum |x w|: the error allowed to a float32 sum of `terms` products with the given sum of magnitudes."""
    return 2 * np.sqrt(terms) * 2.0**-24 * magnitude


def host_seconds(call: Callable[[], object]) -> float:
    """The calling thread's own time in `call`."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def least_median(queue: cl.CommandQueue, seconds: Callable[[], float], enough: float) -> float:
    """The least of several medians of `seconds()`, taken until one is low enough: whatever else the machine does only adds to it."""
    best = np.inf
    for _ in range(50):
        queue.finish()
        best = min(best, statistics.median(seconds() for _ in range(40)))
        if best <= enough:
            break
        time.sleep(0.02)
    return best
