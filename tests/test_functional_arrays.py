"""What the functions take and give back: views, queues, events, empty batches, refusals, bytes moved, kernels built, threads, host time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import reference
from clconv.geometry import ConvGeometry, PoolGeometry
from clconv.runtime.programs import statistics
from clconv.runtime.transfer import transfers
from tests.functional_support import exactly, send
from tests.support import host_seconds, integers, least_median

rng = np.random.default_rng(11)
X, W, B = integers(rng, (2, 3, 6, 5)), integers(rng, (4, 3, 3, 3)), integers(rng, (4,))
CONVOLVED = reference.conv(X, W, B, ConvGeometry.make((3, 3), padding=1))


# Views. Each gives the values of `array`, laid out otherwise, inside memory that is NaN (or a number that no test uses) around it.


def surrounded(queue: cl.CommandQueue, shape: tuple[int, ...], dtype: np.dtype) -> cla.Array:
    return send(queue, np.full(shape, -1234567 if dtype.kind == "i" else np.nan, dtype))


def slice_of_a_larger(queue: cl.CommandQueue, array: np.ndarray) -> cla.Array:
    view = surrounded(queue, tuple(n + 3 for n in array.shape), array.dtype)[tuple(slice(1, 1 + n) for n in array.shape)]
    return fill(view, array)


def every_second(queue: cl.CommandQueue, array: np.ndarray) -> cla.Array:
    view = surrounded(queue, tuple(2 * n for n in array.shape), array.dtype)[tuple(slice(0, 2 * n, 2) for n in array.shape)]
    return fill(view, array)


def transposed(queue: cl.CommandQueue, array: np.ndarray) -> cla.Array:
    return send(queue, array.T.copy()).transpose()


def reversed_in_memory(queue: cl.CommandQueue, array: np.ndarray) -> cla.Array:
    base = send(queue, array[(slice(None, None, -1),) * array.ndim].copy())
    strides = tuple(-s for s in base.strides)
    offset = sum(s * (n - 1) for s, n in zip(base.strides, base.shape, strict=True))
    return cla.Array(queue, array.shape, array.dtype, data=base.base_data, offset=offset, strides=strides)


def one_element_later(queue: cl.CommandQueue, array: np.ndarray) -> cla.Array:
    """Contiguous, but where no sub-buffer may begin."""
    return fill(surrounded(queue, (array.size + 1,), array.dtype)[1:].reshape(array.shape), array)


def fill(view: cla.Array, array: np.ndarray) -> cla.Array:
    """Write `array` into a view with positive strides by way of its whole buffer, so that no function under test is used."""
    whole = np.empty(view.base_data.size // array.itemsize, array.dtype)
    cl.enqueue_copy(view.queue, whole, view.base_data)
    np.lib.stride_tricks.as_strided(whole[view.offset // array.itemsize :], view.shape, view.strides)[...] = array
    cl.enqueue_copy(view.queue, view.base_data, whole)
    return view


def content(view: cla.Array) -> tuple[np.ndarray, np.ndarray]:
    """The values of a view with positive strides, and all the memory around them."""
    whole = np.empty(view.base_data.size // view.dtype.itemsize, view.dtype)
    view.queue.finish()
    cl.enqueue_copy(view.queue, whole, view.base_data)
    inside = np.lib.stride_tricks.as_strided(whole[view.offset // view.dtype.itemsize :], view.shape, view.strides)
    values = inside.copy()
    inside[...] = np.nan
    return values, whole


RARE = (transposed, slice_of_a_larger)
VIEWS = [slice_of_a_larger, every_second, transposed, reversed_in_memory, one_element_later]


@pytest.mark.parametrize("view", [pytest.param(v, marks=pytest.mark.exhaustive if v in RARE else ()) for v in VIEWS])
def test_every_operand_of_a_convolution_may_be_a_view(queue, view):
    y = F.conv2d(view(queue, X), view(queue, W), view(queue, B), padding=1, residual=view(queue, CONVOLVED.astype(np.float32)))
    exactly(y, 2 * CONVOLVED)


@pytest.mark.parametrize("view", [pytest.param(v, marks=() if v is every_second else pytest.mark.exhaustive) for v in VIEWS])
def test_every_kind_of_function_takes_views(queue, view):
    x = view(queue, X)
    exactly(F.relu(x), np.maximum(X, 0))
    exactly(F.max_pool2d(x, 2), reference.max_pool(X, PoolGeometry.make(2, rank=2))[0])
    exactly(F.sum(x, (0, 3)), X.sum(axis=(0, 3)))
    exactly(F.cat([x, send(queue, X)], 1), np.concatenate([X, X], 1))
    exactly(F.add(x, view(queue, X)), 2 * X)
    exactly(F.flatten(x, 1), X.reshape(2, -1))
    rows, weights = X.reshape(12, 15), W.reshape(12, 9).T.copy()
    exactly(F.matmul(view(queue, weights), view(queue, rows)), weights @ rows)
    exactly(F.linear(view(queue, rows.T.copy()), view(queue, weights), send(queue, np.arange(9))), rows.T @ weights.T + np.arange(9))


def test_class_numbers_and_statistics_may_be_views(queue):
    view = every_second
    logits, target = X.reshape(12, 15), rng.integers(0, 15, 12).astype(np.int32)
    plain = F.cross_entropy(send(queue, logits), send(queue, target)).get()
    exactly(F.cross_entropy(view(queue, logits), view(queue, target)), plain)
    mean, var = view(queue, np.arange(3, dtype=np.float32)), view(queue, np.ones(3, np.float32))
    F.batch_norm(send(queue, X), mean, var, training=True)
    np.testing.assert_allclose(content(mean)[0], 0.9 * np.arange(3) + 0.1 * X.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(content(var)[0], 0.9 + 0.1 * X.var(axis=(0, 2, 3)) * 60 / 59, rtol=1e-6)


@pytest.mark.parametrize("view", [pytest.param(slice_of_a_larger, marks=pytest.mark.exhaustive), every_second, one_element_later])
def test_out_may_be_a_view(queue, view):
    """What lies around the view keeps its value."""
    nothing = np.full(CONVOLVED.shape, 5, np.float32)
    for function, expected in (
        (lambda out: F.conv2d(send(queue, X), send(queue, W), send(queue, B), padding=1, out=out), CONVOLVED),
        (lambda out: F.relu(send(queue, CONVOLVED), out=out), np.maximum(CONVOLVED, 0)),
        (lambda out: F.cat([send(queue, CONVOLVED[:, :1]), send(queue, CONVOLVED[:, 1:])], 1, out=out), CONVOLVED),
    ):
        out = view(queue, nothing)
        assert function(out) is out
        values, around = content(out)
        np.testing.assert_array_equal(values, expected.astype(np.float32))
        assert np.isnan(around).all()


def test_out_may_be_a_whole_array_and_must_fit(queue):
    x, out = send(queue, X), send(queue, np.full(X.shape, np.nan))
    assert F.relu(x, out=out) is out
    exactly(out, np.maximum(X, 0))
    with pytest.raises(clconv.ArrayError, match=r"out: shape \(2, 3, 6\) given, \(2, 3, 6, 5\)"):
        F.relu(x, out=send(queue, X[..., 0]))
    with pytest.raises(clconv.ArrayError, match="out: element type float16 given, float32 needed"):
        F.relu(x, out=send(queue, X.astype(np.float16)))


def test_half_precision_is_stored_and_sums_are_float32(queue):
    """The oracle on the rounded inputs, rounded to half once."""
    halves = [send(queue, a.astype(np.float16)) for a in (X, W, B)]
    exactly(F.conv2d(*halves, padding=1), CONVOLVED, np.float16)
    exactly(F.relu(halves[0]), np.maximum(X, 0), np.float16)
    exactly(F.max_pool2d(halves[0], 2), reference.max_pool(X, PoolGeometry.make(2, rank=2))[0], np.float16)
    ones = send(queue, np.ones((1, 4096), np.float16))
    exactly(F.linear(ones, send(queue, np.full((1, 4096), 2.0**-11, np.float16))), np.full((1, 1), 2.0), np.float16)
    softened = F.softmax(halves[1], 1)
    assert softened.dtype == np.float16
    np.testing.assert_allclose(softened.get(), reference.softmax(W, 1), rtol=2.0**-11, atol=2.0**-25)
    exactly(F.cast(halves[0], "float32"), X)


# Queues and events


def test_arrays_of_another_queue_of_the_context(queue):
    """The first array's queue runs the call, and waits for what the other queue still does."""
    other = cl.CommandQueue(queue.context, queue.device)
    for _ in range(5):
        w = F.add(send(other, np.zeros_like(W)), send(other, W))
        y = F.conv2d(send(queue, X), w, send(other, B), padding=1)
        assert y.queue == queue
        exactly(y, CONVOLVED)


def test_an_out_of_order_queue(queue):
    disordered = cl.CommandQueue(queue.context, queue.device, cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE)
    x, w, b = send(disordered, X), send(disordered, W), send(disordered, B)
    expected = np.maximum(CONVOLVED, 0)
    for _ in range(10):
        y = x
        for _ in range(4):
            y = F.add(F.mul(y, 2.0), F.mul(y, -1.0))
        exactly(F.relu(F.conv2d(y, w, b, padding=1)), expected)


def test_events_are_honoured(queue):
    """A call does not run before its input's events are over, and its output carries the event that readers must wait for."""
    mine = cl.CommandQueue(queue.context, queue.device)
    exactly(F.relu(send(mine, X)), np.maximum(X, 0))
    x, gate, made = send(mine, np.full_like(X, np.nan)), cl.UserEvent(queue.context), []
    x.add_event(gate)
    caller = threading.Thread(target=lambda: made.append(F.relu(x)), daemon=True)
    caller.start()
    caller.join(20)
    try:
        assert made, "the call blocked until its input was ready instead of leaving that to the device"
        assert made[0].events
        assert made[0].events[-1].command_execution_status != cl.command_execution_status.COMPLETE
        cl.enqueue_copy(cl.CommandQueue(queue.context, queue.device), x.base_data, X)
    finally:
        gate.set_status(cl.command_execution_status.COMPLETE)
    exactly(made[0], np.maximum(X, 0))


def test_results_belong_to_the_caller(queue):
    x = send(queue, X)
    first = F.conv2d(x, send(queue, W), send(queue, B), padding=1)
    F.conv2d(send(queue, -X), send(queue, W), send(queue, B), padding=1)
    exactly(first, CONVOLVED)
    exactly(x, X)


def test_two_threads_at_once(queue):
    images = [integers(np.random.default_rng(i), X.shape) for i in range(2)]
    expected = [reference.conv(x, W, B, ConvGeometry.make((3, 3), padding=1)) for x in images]
    w, b = send(queue, W), send(queue, B)
    wrong: list[BaseException] = []

    def work(i: int) -> None:
        try:
            x = send(queue, images[i])
            for _ in range(40):
                exactly(F.conv2d(x, w, b, padding=1), expected[i])
                exactly(F.relu(x), np.maximum(images[i], 0))
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


# Empty batches


def test_a_batch_of_0_gives_an_empty_result_of_the_right_shape(queue):
    def none(*shape: int) -> cla.Array:
        return cla.empty(queue, (0, *shape), np.float32)

    w = send(queue, W)
    for y, shape in (
        (F.conv2d(none(3, 6, 5), w, send(queue, B), stride=2), (0, 4, 2, 2)),
        (F.conv_transpose2d(none(4, 2, 2), w, stride=2), (0, 3, 5, 5)),
        (F.relu(none(3, 6)), (0, 3, 6)),
        (F.max_pool2d(none(3, 6, 5), 2), (0, 3, 3, 2)),
        (F.avg_pool2d(none(3, 6, 5), 2), (0, 3, 3, 2)),
        (F.adaptive_avg_pool2d(none(3, 6, 5), 1), (0, 3, 1, 1)),
        (F.linear(none(7), send(queue, np.ones((2, 7)))), (0, 2)),
        (F.softmax(none(9)), (0, 9)),
        (F.batch_norm(none(3, 6), send(queue, np.zeros(3)), send(queue, np.ones(3))), (0, 3, 6)),
        (F.cat([none(3, 6), none(2, 6)], 1), (0, 5, 6)),
        (F.pad(none(3, 6), (1, 1)), (0, 3, 8)),
        (F.flatten(none(3, 6), 1), (0, 18)),
    ):
        assert y.shape == shape and y.dtype == np.float32
        assert y.get().shape == shape
    exactly(F.cat([none(2, 3), send(queue, np.ones((1, 2, 3)))]), np.ones((1, 2, 3)))
    exactly(F.sum(none(3, 2), 0), np.zeros((3, 2)))


# Refusals, each with the fix


def message(call: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_refused_element_types_and_ranks(queue):
    x, w = send(queue, X), send(queue, W)
    double, whole = cla.to_device(queue, X.astype(np.float64)), cla.to_device(queue, X.astype(np.int64))
    small = send(queue, X.astype(np.int32))
    for array, name in ((double, "float64"), (whole, "int64"), (small, "int32")):
        for call in (lambda a=array: F.relu(a), lambda a=array: F.conv2d(a, w), lambda a=array: F.max_pool2d(a, 2)):
            text = message(call, clconv.ArrayError)
            assert name in text and "astype(np.float32)" in text
    text = message(lambda: F.conv2d(x[0], w), clconv.GeometryError)
    assert "conv2d" in text and "(3, 6, 5)" in text and "x[None]" in text
    assert "x[None]" in message(lambda: F.max_pool2d(x[0], 2), clconv.GeometryError)
    assert "x[None]" in message(lambda: F.linear(x[0, 0, 0], send(queue, np.ones((2, 5)))), clconv.GeometryError)
    text = message(lambda: F.conv2d(x, send(queue, W.astype(np.float16))), clconv.ArrayError)
    assert "float32" in text and "float16" in text and "astype" in text
    text = message(lambda: F.cat([x, send(queue, X.astype(np.float16))]), clconv.ArrayError)
    assert "float16, float32" in text and "astype" in text
    assert "int32" in message(lambda: F.cross_entropy(x[:, :, 0, 0], x[:, 0, 0, 0]), clconv.ArrayError)


def test_refused_queues_and_contexts(queue):
    x = send(queue, X)
    lost = x.with_queue(None)
    text = message(lambda: F.relu(lost), clconv.ArrayError)
    assert "relu" in text and "with_queue" in text
    context = cl.Context([queue.device])
    foreign = send(cl.CommandQueue(context, queue.device), W)
    text = message(lambda: F.conv2d(x, foreign), clconv.ArrayError)
    assert "conv2d" in text and "two OpenCL contexts" in text and "one queue" in text
    assert "context" in message(lambda: F.relu(x, out=send(foreign.queue, X)), clconv.ArrayError)


def test_geometry_that_does_not_fit_names_both_values(queue):
    x, w = send(queue, X), send(queue, W)
    text = message(lambda: F.conv2d(x, w, groups=2), clconv.GeometryError)
    assert "input channels 3 != weight channels 3 x groups 2 (= 6)" in text and "(2, 3, 6, 5)" in text and "(4, 3, 3, 3)" in text
    assert "(5,)" in message(lambda: F.conv2d(x, w, send(queue, np.ones(5))), clconv.GeometryError)
    assert "reaches over 9" in message(lambda: F.conv2d(x, w, dilation=4), clconv.GeometryError)
    assert "residual" in message(lambda: F.conv2d(x, w, residual=x), clconv.GeometryError)
    assert "'gelu'" in message(lambda: F.conv2d(x, w, activation="gelu"), clconv.GeometryError)
    assert "fastest" in message(lambda: F.conv2d(x, w, algorithm="fastest"), clconv.ClconvError)


# Costs


def test_no_bytes_move_to_the_host_and_no_kernels_are_built_for_other_sizes(queue):
    def calls(batch: int, size: int) -> None:
        x = cla.empty(queue, (batch, 3, size, size), np.float32)
        x.fill(1.0)
        y = F.conv2d(x, w, b, padding=1, activation="relu")
        y = F.flatten(F.max_pool2d(y, 2), 1)
        F.softmax(F.linear(y, cla.empty(queue, (5, y.shape[1]), np.float32).fill(0.5)), 1)
        F.batch_norm(x, mean, var, training=True)

    w, b, mean, var = (send(queue, a) for a in (W, B, np.zeros(3), np.ones(3)))
    calls(2, 8)
    queue.finish()
    built, read, written = statistics.kernels_built, transfers.to_host, transfers.to_device
    calls(2, 8)
    queue.finish()
    assert transfers.to_device == written
    for batch, size in ((1, 8), (3, 8), (2, 9), (5, 13), (2, 40)):
        calls(batch, size)
    queue.finish()
    assert statistics.kernels_built == built
    assert transfers.to_host == read


MOST_SECONDS = 80e-6


@pytest.mark.parametrize("name", ["relu", "conv2d"])
def test_a_warm_call_costs_little_host_time(queue, name):
    """At most 80 us; twice that where more processes want to run than there are processors, which then run at about half their speed."""
    x, w = send(queue, X[:1, :1]), send(queue, W[:1, :1])
    call = (lambda: F.relu(x)) if name == "relu" else (lambda: F.conv2d(x, w, padding=1))
    crowded = os.getloadavg()[0] > (os.cpu_count() or 1)
    most = MOST_SECONDS * (2 if crowded else 1)
    best = least_median(queue, lambda: host_seconds(call), most)
    assert best <= most, f"{best * 1e6:.0f} us"
