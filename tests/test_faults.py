"""Full memory and failing drivers, by injection: each call into OpenCL fails once, and then the same objects work as if it had not."""

from __future__ import annotations

import ast
import importlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn, reference
from clconv.errors import BuildError, DeviceError
from clconv.geometry import ConvGeometry
from clconv.nn.init import seeded
from clconv.runtime import arrays, context, programs
from tests import faults_support as support
from tests.faults_support import Faults, counted, each_fault, injected, opencl_error
from tests.functional_support import exactly, send
from tests.support import integers
from tests.train_support import assert_same_state

eager = importlib.import_module("clconv.functional.eager")
RNG = np.random.default_rng(5)
X, W, B = integers(RNG, (3, 4, 8, 8)), integers(RNG, (4, 4, 3, 3)), integers(RNG, (4,))
GEOMETRY = ConvGeometry.make((3, 3), padding=1)
CONVOLVED = np.maximum(reference.conv(X[1:], W, B, GEOMETRY), 0)


# That nothing is left out

# Names of pyopencl that runtime/ calls, and the kind of fault that covers each.
COVERED = {
    "Buffer": "buffer", "Kernel": "kernel", "CommandQueue": "queue", "Context": "context", "_Program": "program",
    "enqueue_nd_range_kernel": "launch", "enqueue_copy": "copy", "enqueue_fill_buffer": "fill", "enqueue_marker": "marker",
    "get_platforms": "platforms",
}  # fmt: skip
COVERED_METHODS = {"set_arg": "argument", "finish": "finish", "flush": "flush", "wait": "wait", "_build": "build"}
NO_CALL = {"Program": "wraps a built program", "LocalMemory": "a number of bytes", "Array": "wraps a buffer", "empty": "of no element"}
METHODS_OF_OPENCL = {*COVERED_METHODS, "build", "set_args", "get_sub_region", "set_status", "release"}


def test_every_call_into_opencl_is_covered() -> None:
    """Read from the source, so that a new call must come with its faults."""
    called, methods = set(), set()
    folder = Path(importlib.import_module("clconv.runtime").__file__ or "").parent
    for file in folder.glob("*.py"):
        for call in (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)):
            assert isinstance(call.func, ast.Attribute)
            receiver = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
            if receiver in ("cl", "_cl", "cla"):
                called.add(call.func.attr)
            elif receiver != "file" and call.func.attr in METHODS_OF_OPENCL:
                methods.add(call.func.attr)
    assert called == set(COVERED) | set(NO_CALL)
    assert methods == set(COVERED_METHODS)
    assert {*COVERED.values(), *COVERED_METHODS.values(), "sub-buffer"} == set(support.CODES)


# Eager calls


@pytest.fixture
def operands(queue: Any) -> tuple[cla.Array, ...]:
    """x starts inside its buffer, so that the call takes a sub-buffer."""
    return send(queue, X)[1:], send(queue, W), send(queue, B)


def convolve(operands: tuple[cla.Array, ...]) -> cla.Array:
    x, w, b = operands
    return F.conv2d(x, w, b, padding=1, activation="relu")


def test_an_eager_call_that_is_compiled(operands: tuple[cla.Array, ...]) -> None:
    def cold() -> None:
        eager.forget()
        convolve(operands)

    remembered: OrderedDict[Any, Any] = eager._remembered
    for _ in each_fault(cold, "buffer sub-buffer kernel argument launch"):
        assert len(remembered) <= 1
        exactly(convolve(operands), CONVOLVED)


def test_an_eager_call_that_is_remembered(operands: tuple[cla.Array, ...]) -> None:
    run = convolve(operands) is not None and next(reversed(eager._remembered.values()))
    for _ in each_fault(lambda: convolve(operands), "buffer sub-buffer argument launch"):
        exactly(convolve(operands), CONVOLVED)
        assert next(reversed(eager._remembered.values())) is run, "the failed call did not make it be compiled again"


def test_filling_with_zeros(queue: Any) -> None:
    nothing = cla.empty(queue, (0, 3, 2), np.float32)
    for _ in each_fault(lambda: F.sum(nothing, 0), "buffer fill"):
        exactly(F.sum(nothing, 0), np.zeros((3, 2)))


def test_a_failed_call_leaves_other_threads_free(operands: tuple[cla.Array, ...]) -> None:
    convolve(operands)
    with injected(Faults("launch", 1)), pytest.raises(DeviceError):
        convolve(operands)
    results: list[cla.Array] = []
    thread = threading.Thread(target=lambda: results.append(convolve(operands)), daemon=True)
    thread.start()
    thread.join(60)
    assert results, "a lock was not released"
    exactly(results[0], CONVOLVED)


def test_on_an_out_of_order_queue(queue: Any) -> None:
    """The launches before the failed one may still run when the next call comes; even where the queue cannot be waited for."""
    disordered = cl.CommandQueue(queue.context, queue.device, cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE)
    operands = send(disordered, X)[1:], send(disordered, W), send(disordered, B)
    launches = counted(lambda: convolve(operands))["launch"]
    assert launches > 1
    for number in range(1, launches + 1):
        with injected(Faults("launch", number)) as faults, pytest.raises(DeviceError):
            convolve(operands)
        assert faults.calls["finish"] == 1
        exactly(convolve(operands), CONVOLVED)


# Building


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither in memory nor, for drivers without a cache of their own, on the disk."""
    monkeypatch.setenv("CLCONV_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(programs, "_registry", {})
    eager.forget()


def test_building_that_fails_once_is_tried_kernel_by_kernel(operands: tuple[cla.Array, ...], nothing_built: None) -> None:
    """A long program may be too much for a compiler where each of its kernels is not."""
    with injected(Faults("build", 1)) as faults:
        exactly(convolve(operands), CONVOLVED)
    assert faults.raised == 1 and faults.calls["build"] > 2


@pytest.mark.parametrize("kind", ["program", "build"])
def test_building_that_goes_on_failing(operands: tuple[cla.Array, ...], nothing_built: None, kind: str) -> None:
    for first in (1, 2):
        with injected(Faults(kind, 1, 10_000)) as faults, pytest.raises(DeviceError) as caught:
            convolve(operands)
        assert faults.raised == 2, "together, then the first alone"
        support.check_message(caught.value, kind)
        assert "cannot build kernel conv_direct" in str(caught.value)
        assert first == 1 or not next(iter(programs._registry.values()))._programs
    if kind == "build":
        exactly(convolve(operands), CONVOLVED)


def test_a_refused_source_is_a_build_error(operands: tuple[cla.Array, ...], nothing_built: None) -> None:
    refused = Faults("build", 1, 10_000, code=cl.status_code.BUILD_PROGRAM_FAILURE)
    with injected(refused), pytest.raises(BuildError) as caught:
        convolve(operands)
    text = str(caught.value)
    assert "planted_build" in text and "   1  // conv_direct" in text
    assert "\nreproduce: clconv source 'conv n2c4i8x8k4f3x3p1+bias+relu' --algorithm conv_direct" in text


# A compiled network


def network() -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(conv=nn.Conv2d(4, 8, 3, padding=1), relu=nn.ReLU(), last=nn.Conv2d(8, 8, 1))


FORCED = {"*": "conv_blocked"}


def weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: integers(rng, p.shape, 2) for name, p in network().named_parameters().items()}


def predicted(state: dict[str, np.ndarray]) -> np.ndarray:
    first = np.maximum(reference.conv(X, state["conv.weight"], state["conv.bias"], GEOMETRY), 0)
    return reference.conv(first, state["last.weight"], state["last.bias"], ConvGeometry.make((1, 1)))


def test_compiling_a_network(queue: Any) -> None:
    net = network()
    net.load_state_dict(weights(0))

    def compiled() -> Any:
        return clconv.compile(net, X.shape, queue, algorithms=FORCED)

    for number, _ in enumerate(each_fault(compiled, "sub-buffer kernel argument", most=5)):
        net.load_state_dict(weights(number))
        exactly(compiled()(X), predicted(weights(number)))


def test_compiling_a_network_for_the_first_time(queue: Any) -> None:
    """Each time a new network, whose parameters have no memory on the device yet."""
    kept: list[nn.Sequential] = []

    def compiled() -> Any:
        kept.append(network())
        return clconv.compile(kept[-1], X.shape, queue, algorithms=FORCED)

    for _ in each_fault(compiled, "buffer"):
        net = kept[-1]
        assert_same_state(net.state_dict(), network().state_dict())
        net.load_state_dict(weights(0))
        exactly(clconv.compile(net, X.shape, queue, algorithms=FORCED)(X), predicted(weights(0)))


def test_running_a_network_with_new_weights(queue: Any) -> None:
    """Uploads, packing, inputs and launches fail in turn: the weights of before must not be taken for the new ones."""
    net = network()
    run = clconv.compile(net, X.shape, queue, algorithms=FORCED)
    assert run.memory["prepared"] > 0
    count = 0

    def new_weights_and_run() -> cla.Array:
        nonlocal count
        count += 1
        net.load_state_dict(weights(count))
        result = run(X)
        queue.finish()  # or else it depends on chance whether the next run finds the memory of this one's input free
        return result

    for number, _ in enumerate(each_fault(new_weights_and_run, "buffer copy wait argument launch")):
        run.poison()
        if number % 2:  # the objects work again with the weights of the failed run, or with others
            net.load_state_dict(weights(-count % 100 + 1000))
            exactly(run(X), predicted(weights(-count % 100 + 1000)))
        else:
            exactly(run(X), predicted(weights(count)))
        assert_same_state(net.state_dict(), weights(-count % 100 + 1000) if number % 2 else weights(count))


def test_views_and_results_of_the_callers(queue: Any) -> None:
    net = network()
    net.load_state_dict(weights(0))
    run = clconv.compile(net, X.shape, queue, algorithms=FORCED)
    wide = send(queue, np.concatenate([X, X]))
    out = send(queue, np.zeros((6, 8, 8, 8)))

    def on_views() -> None:
        run(wide[3:], out=out[3:])

    for _ in each_fault(on_views, "sub-buffer argument launch"):
        on_views()
        np.testing.assert_array_equal(out.get(), np.concatenate([np.zeros((3, 8, 8, 8)), predicted(weights(0))]))


def test_profiling(queue: Any) -> None:
    net = network()
    net.load_state_dict(weights(0))
    run = clconv.compile(net, X.shape, queue, algorithms=FORCED)
    run(X)
    for _ in each_fault(lambda: run.profile(X, repeats=1), "buffer copy argument launch queue finish", most=4):
        exactly(run(X), predicted(weights(0)))
    assert "conv" in str(run.profile(X, repeats=1))


# Devices


def test_queues_and_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("context", "queue"):
        monkeypatch.setattr(context, "_contexts", {})
        monkeypatch.setattr(context, "_queues", {})
        with injected(Faults(kind, 1)), pytest.raises(DeviceError) as caught:
            context.default_queue()
        support.check_message(caught.value, kind)
        mine = context.default_queue()
        assert mine is context.default_queue()
        np.testing.assert_array_equal(arrays.to_host(send(mine, X)), X)


def test_a_loader_that_fails() -> None:
    with injected(Faults("platforms", 1)), pytest.raises(DeviceError) as caught:
        context.list_devices()
    assert "cannot list its platforms" in str(caught.value) and "pip install" in str(caught.value)


def test_a_buffer_beyond_what_the_device_gives(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the device's largest allocation, without touching any of it; made up where no tensor may be that large."""
    elements = queue.device.max_mem_alloc_size // 4 + 1
    if elements >= 2**31:
        elements = 2**31 - 1
        monkeypatch.setattr(cl, "Buffer", Mock(side_effect=opencl_error("buffer", cl.status_code.INVALID_BUFFER_SIZE)))
    with pytest.raises(DeviceError) as caught:
        arrays.empty(queue, (elements,), "float32")
    text = str(caught.value)
    assert f"cannot allocate {elements * 4 / 2**20:.1f} MiB for an array of shape ({elements},)" in text
    assert "use a smaller batch" in text and "one allocation may take" in text
