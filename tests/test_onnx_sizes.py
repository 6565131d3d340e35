"""Files that leave batch, height and width open: another size is planned anew and builds nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

import clconv
from clconv.device import DeviceTraits
from clconv.graph.assembly import Assembly, Options
from clconv.graph.reuse import Ready
from clconv.onnx import load
from clconv.runtime.programs import statistics
from clconv.tensor import PLAIN
from tests.onnx_support import ints, model, normal
from tests.test_reuse import kernels

FIRST = (1, 3, 64, 64)
OTHERS = [(2, 3, 64, 64), (8, 3, 64, 64), (1, 3, 96, 64), (3, 3, 80, 112)]


def open_sizes() -> Any:
    """A network as exporters write it: normalised convolutions with a residual, a depthwise one, pooling that is rounded up, a map resized
    to the size of another one, which is computed from its shape, and a classifier whose batch is computed as well."""
    rng = np.random.default_rng(7)

    def weights(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)

    def convolution(name: str, x: str, stride: int = 1, group: int = 1, relu: bool = True) -> list[Any]:
        nodes = [
            helper.make_node("Conv", [x, f"{name}.w"], [f"{name}.c"], name=name, strides=[stride] * 2, pads=[1] * 4, group=group),
            helper.make_node("BatchNormalization", [f"{name}.c", "scale", "shift", "mean", "var"], [f"{name}.n"], name=f"{name}.bn"),
        ]
        return [*nodes, helper.make_node("Relu", [f"{name}.n"], [name], name=f"{name}.relu")] if relu else nodes

    nodes = [
        *convolution("stem", "x", 2), *convolution("a", "stem"), *convolution("b", "a", relu=False),
        helper.make_node("Add", ["b.n", "stem"], ["sum"], name="residual"),
        helper.make_node("MaxPool", ["sum"], ["pooled"], name="pool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        *convolution("depth", "pooled", group=32),
        helper.make_node("Shape", ["sum"], ["sizes"]),
        helper.make_node("Slice", ["sizes", "zero", "one"], ["images"]),
        helper.make_node("Slice", ["sizes", "two", "four"], ["plane"]),
        helper.make_node("Concat", ["images", "maps", "plane"], ["target"], axis=0),
        helper.make_node("Resize", ["depth", "", "", "target"], ["large"], name="resize", mode="linear"),
        helper.make_node("Concat", ["large", "sum"], ["both"], name="cat", axis=1),
        helper.make_node("GlobalAveragePool", ["both"], ["mean_map"], name="mean"),
        helper.make_node("Shape", ["mean_map"], ["batch_first"]),
        helper.make_node("Gather", ["batch_first", "zero"], ["batch"], axis=0),
        helper.make_node("Concat", ["batch", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["mean_map", "flat"], ["features"], name="flatten"),
        helper.make_node("Gemm", ["features", "classes", "bias"], ["y"], name="classes", transB=1),
    ]  # fmt: skip
    tensors = {
        "stem.w": weights(32, 3, 3, 3), "a.w": weights(32, 32, 3, 3), "b.w": weights(32, 32, 3, 3), "depth.w": weights(32, 1, 3, 3),
        "scale": np.ones(32, np.float32), "shift": normal(32) * np.float32(0.1), "mean": np.zeros(32, np.float32),
        "var": np.ones(32, np.float32),
        "zero": ints(0), "one": ints(1), "two": ints(2), "four": ints(4), "rest": ints(-1), "maps": ints(32),
        "classes": weights(10, 64), "bias": normal(10),
    }  # fmt: skip
    return model(nodes, {"x": ("batch", 3, "height", "width")}, tensors)


def assembled(net: Any, shape: tuple[int, ...], traits: DeviceTraits, built: set[Any] | None = None) -> Assembly:
    ready = None if built is None else Ready(traits, built.__contains__)
    return Assembly(net.trace(shape), traits, Options(tuned=False, reuse=built is not None), (PLAIN,), (PLAIN,), ready)


def test_no_kernel_is_needed_but_those_of_the_first_size() -> None:
    """By plans alone, not slower by far than the best by estimate."""
    net, traits = load(open_sizes()), DeviceTraits.cpu(8)
    assert net.input_shape is None and repr(net).startswith("OnnxNetwork(made by hand: x (batch, 3, height, width) -> y; ")
    built = kernels(assembled(net, FIRST, traits))
    for shape in OTHERS:
        free, reused = assembled(net, shape, traits), assembled(net, shape, traits, built)
        assert kernels(reused) <= built, shape
        assert reused.outputs[0].spec.shape == (shape[0], 10)
        seconds = [sum(step.choice.seconds for step in a.steps if not step.prepared) for a in (free, reused)]
        assert seconds[1] <= 1.5 * seconds[0], (shape, seconds)


@pytest.mark.peers
def test_another_size_builds_nothing_and_is_right(queue: Any) -> None:
    from tests.onnx_peers import by_onnx_runtime

    proto = open_sizes()
    net = load(proto)
    clconv.compile(net, FIRST, queue)(normal(*FIRST))
    for shape in OTHERS:
        x, before = normal(*shape), statistics.kernels_built
        got = clconv.compile(net, shape, queue)(x).get()
        assert statistics.kernels_built == before, shape
        (wanted,) = by_onnx_runtime(proto, x)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_an_axis_of_size_minus_one_is_open() -> None:
    """So some exporters write it."""
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 3)})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    net = load(proto)
    assert net.dimensions == {"x": ("?", 3)} and net.trace((5, 3)).outputs[0].shape == (5, 3)


def test_shapes_computed_as_before_version_13() -> None:
    """Axes were attributes then: Shape, Gather, Unsqueeze, Concat, Reshape, as older exporters flatten a batch."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch"], ["batches"], axes=[0]),
        helper.make_node("Concat", ["batches", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    proto = model(nodes, {"x": (2, 3, 4)}, {"first": np.array(0, np.int64), "rest": ints(-1)}, opset=11)
    assert load(proto).trace((2, 3, 4)).outputs[0].shape == (2, 12)
