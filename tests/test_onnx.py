"""Import of ONNX files, operator by operator, against ONNX's own reference implementation; constants, parameters and batches."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import clconv.functional as F
import clconv.onnx
from clconv.errors import OnnxError
from clconv.graph.node import topological
from clconv.graph.passes import optimise
from clconv.onnx import OnnxNetwork
from clconv.onnx.rules import RULES
from clconv.tensor import TensorSpec
from clconv.train import SGD
from clconv.train.step import training_graph
from tests.interpreter import evaluate, interpret
from tests.onnx_support import by_the_book, ints, model, normal, one
from tests.test_onnx_backend import OPERATORS

W = {"w": normal(6, 4, 3, 3)}
NORM = {"scale": normal(4), "bias": normal(4), "mean": normal(4), "var": np.abs(normal(4)) + 0.5}
MAPS = (2, 4, 7, 6)

CASES: dict[str, Any] = {
    "Conv": one("Conv", MAPS, W, pads=[1, 1, 1, 1]),
    "Conv with bias, strides, one-sided pads": one("Conv", MAPS, {**W, "b": normal(6)}, strides=[2, 1], pads=[0, 1, 1, 2]),
    "Conv that says its kernel": one("Conv", MAPS, W, kernel_shape=[3, 3]),
    "Conv in groups, dilated": one("Conv", MAPS, {"w": normal(6, 2, 3, 2)}, group=2, dilations=[2, 3], pads=[2, 2, 2, 2]),
    "Conv SAME_UPPER": one("Conv", MAPS, {"w": normal(6, 4, 2, 4)}, auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv SAME_LOWER": one("Conv", MAPS, {"w": normal(6, 4, 2, 4)}, auto_pad="SAME_LOWER"),
    "Conv VALID": one("Conv", MAPS, W, auto_pad="VALID"),
    "Conv of one axis": one("Conv", (2, 4, 9), {"w": normal(3, 4, 3), "b": normal(3)}, pads=[1, 1]),
    "Conv of three axes": one("Conv", (1, 2, 4, 5, 4), {"w": normal(3, 2, 2, 3, 2)}),
    "ConvTranspose": one("ConvTranspose", (2, 4, 3, 4), {"w": normal(4, 3, 3, 3)}, strides=[2, 2], pads=[1, 0, 1, 1]),
    "ConvTranspose, longer": one("ConvTranspose", (2, 4, 3, 4), {"w": normal(4, 3, 3, 3)}, strides=[2, 2], output_padding=[1, 0]),
    "Gemm": one("Gemm", (3, 5), {"b": normal(4, 5), "c": normal(4)}, transB=1),
    "Gemm with factors": one("Gemm", (5, 3), {"b": normal(5, 4), "c": normal(3, 1)}, transA=1, alpha=0.5, beta=2.0),
    "Gemm of two": one("Gemm", (3, 5), {"b": normal(5, 4)}),
    "Gemm with one number": one("Gemm", (3, 5), {"b": normal(5, 4), "c": normal()}),
    "MatMul": one("MatMul", (2, 3, 5), {"b": normal(5, 4)}),
    "MaxPool": one("MaxPool", MAPS, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1]),
    "MaxPool, stride 1 by default": one("MaxPool", MAPS, kernel_shape=[3, 3]),
    "MaxPool, rounded up": one("MaxPool", MAPS, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "AveragePool": one("AveragePool", MAPS, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool with its padding": one("AveragePool", MAPS, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "AveragePool of everything": one("AveragePool", MAPS, kernel_shape=[8, 6], pads=[0, 0, 1, 0]),
    "GlobalAveragePool": one("GlobalAveragePool", MAPS),
    "GlobalMaxPool": one("GlobalMaxPool", MAPS),
    "BatchNormalization": one("BatchNormalization", MAPS, NORM, epsilon=1e-3),
    "BatchNormalization of rows": one("BatchNormalization", (3, 4), NORM),
    "LayerNormalization": one("LayerNormalization", (2, 3, 4), {"scale": normal(3, 4), "bias": normal(3, 4)}, axis=1, epsilon=1e-3),
    "LayerNormalization without bias": one("LayerNormalization", (2, 3, 4), {"scale": normal(4)}),
    "LpNormalization": one("LpNormalization", (2, 3, 4), axis=1, p=2),
    "Mish": one("Mish", (2, 3), opset=18),
    "Sign": one("Sign", (2, 3)),
    "Softmax": one("Softmax", (2, 3, 4), axis=1),
    "Softmax, the last axis by default": one("Softmax", (2, 3, 4)),
    "LogSoftmax": one("LogSoftmax", (2, 3, 4), axis=-2),
    "Dropout": one("Dropout", (2, 3), {"ratio": np.array(0.5, np.float32)}),
    "Relu": one("Relu", (2, 3)),
    "LeakyRelu": one("LeakyRelu", (2, 3), alpha=0.2),
    "Elu": one("Elu", (2, 3), alpha=0.7),
    "Gelu": one("Gelu", (2, 3), opset=20, approximate="tanh"),
    "Sigmoid": one("Sigmoid", (2, 3)),
    "Tanh": one("Tanh", (2, 3)),
    "Exp": one("Exp", (2, 3)),
    "Add": one("Add", MAPS, {"b": normal(4, 1, 1)}),
    "Sub": one("Sub", MAPS, {"b": normal(1)}),
    "Mul": one("Mul", MAPS, {"b": normal(1, 4, 1, 6)}),
    "Div": one("Div", MAPS, {"b": normal()}),
    "Sum": one("Sum", (2, 3), {"a": normal(2, 3), "b": normal(3), "c": normal(2, 1)}),
    "Sum of one": one("Sum", (2, 3)),
    "Concat": one("Concat", (2, 3, 4), {"a": normal(2, 1, 4), "b": normal(2, 2, 4)}, axis=-2),
    "Flatten": one("Flatten", (2, 3, 4), axis=2),
    "Flatten all": one("Flatten", (2, 3, 4), axis=0),
    "Identity": one("Identity", (2, 3)),
    "Pad": one("Pad", MAPS, {"pads": ints(0, 0, 1, 2, 0, 1, 0, 3), "fill": np.array(0.5, np.float32)}),
    "Reshape": one("Reshape", (2, 3, 4), {"s": ints(0, -1, 2, 2)}),
    "Squeeze": one("Squeeze", (2, 1, 3, 1), {"axes": ints(-1)}),
    "Squeeze all": one("Squeeze", (2, 1, 3, 1)),
    "Unsqueeze": one("Unsqueeze", (2, 3), {"axes": ints(0, -1)}),
    "Unsqueeze, old": one("Unsqueeze", (2, 3), opset=11, axes=[1, 2]),
    "Transpose": one("Transpose", (2, 3, 4), perm=[1, 2, 0]),
    "Transpose, reversed by default": one("Transpose", (2, 3, 4)),
    "Transpose of an axis of one": one("Transpose", (2, 3, 1), perm=[0, 2, 1]),
    "ReduceMean": one("ReduceMean", (2, 3, 4), axes=[-1], keepdims=0),
    "ReduceMean, new": one("ReduceMean", (2, 3, 4), {"axes": ints(1)}, opset=18),
    "ReduceSum": one("ReduceSum", (2, 3, 4)),
}  # fmt: skip

# What onnx.reference gets wrong, or does not take: compared with ONNX Runtime.
MORE_CASES: dict[str, Any] = {
    "ConvTranspose in groups with bias": one("ConvTranspose", (2, 4, 3, 3), {"w": normal(4, 2, 2, 2), "b": normal(4)}, group=2),
    "ConvTranspose to a shape": one("ConvTranspose", (1, 4, 3, 3), {"w": normal(4, 2, 3, 3)}, strides=[3, 2], output_shape=[8, 6]),
    "ConvTranspose SAME_UPPER": one("ConvTranspose", (1, 4, 3, 3), {"w": normal(4, 2, 3, 3)}, strides=[2, 2], auto_pad="SAME_UPPER"),
    "ConvTranspose SAME_LOWER": one("ConvTranspose", (1, 4, 3, 3), {"w": normal(4, 2, 3, 3)}, strides=[2, 2], auto_pad="SAME_LOWER"),
    "MaxPool SAME_LOWER": one("MaxPool", MAPS, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
    "LRN": one("LRN", (1, 7, 3, 2), size=5, alpha=0.3, beta=0.6, bias=2.0),
    "GroupNormalization by group": one("GroupNormalization", MAPS, {"scale": normal(2), "bias": normal(2)}, opset=18, num_groups=2),
    "MeanVarianceNormalization": one("MeanVarianceNormalization", MAPS),
    "Softmax before version 13": one("Softmax", (2, 3, 4), opset=11),
    "Dropout before version 12": one("Dropout", (2, 3), opset=10, ratio=0.5),
    "Pad, cutting": one("Pad", MAPS, {"pads": ints(0, 0, 1, -1, 0, 0, -2, 3), "fill": np.array(0.5, np.float32)}),
}


@pytest.mark.peers
@pytest.mark.parametrize("name", [*CASES, *MORE_CASES])
def test_an_operator_means_what_onnx_runtime_makes_of_it(name: str) -> None:
    from tests.onnx_peers import by_onnx_runtime

    proto = (CASES | MORE_CASES)[name]
    x = normal(*(d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim))
    (wanted,), (got,) = by_onnx_runtime(proto, x), evaluate(clconv.onnx.load(proto), x)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("auto, pads", [("SAME_UPPER", [0, 1, 1, 1]), ("SAME_LOWER", [1, 1, 0, 1]), ("VALID", [0, 0, 0, 0])])
def test_auto_pad_stands_for_pads(auto: str, pads: list[int]) -> None:
    """ceil(7 / 2) outputs of a window of 2, ceil(6 / 1) of one of 3."""
    given = {"kernel_shape": [2, 3], "strides": [2, 1]}
    a, b = (
        clconv.onnx.load(one("MaxPool", (1, 1, 7, 6), **given, **padding)).trace((1, 1, 7, 6)).outputs[0].inputs[0]
        for padding in ({"auto_pad": auto}, {"pads": pads})
    )
    assert a["geometry"] == b["geometry"]


@pytest.mark.parametrize("auto, pads", [("SAME_UPPER", ((0, 1), (1, 1))), ("SAME_LOWER", ((1, 0), (1, 1))), ("NOTSET", ((1, 0), (1, 1)))])
def test_a_transposed_convolution_is_cut_to_its_output_shape(auto: str, pads: Any) -> None:
    """2 (3 - 1) + 3 = 7 rows are one more than 6, 4 + 3 = 7 columns two more than 5."""
    proto = one("ConvTranspose", (1, 4, 3, 5), {"w": normal(4, 2, 3, 3)}, strides=[2, 1], output_shape=[6, 5], auto_pad=auto)
    (node,) = clconv.onnx.load(proto).trace((1, 4, 3, 5)).outputs
    assert node.shape == (1, 2, 6, 5) and node["geometry"].padding == pads


@pytest.mark.parametrize("name", CASES)
def test_an_operator_means_what_onnx_says(name: str) -> None:
    proto = CASES[name]
    x = normal(*(d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim))
    (wanted,) = by_the_book(proto, x)
    (got,) = evaluate(clconv.onnx.load(proto), x)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor"])
def test_logic_of_what_is_computed(op_type: str) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["a"]),
        helper.make_node("Less", ["x", "one"], ["b"]),
        helper.make_node("Not", ["b"], ["c"]),
        helper.make_node(op_type, ["a", "c"], ["d"]),
        helper.make_node("Cast", ["d"], ["y"], to=1),
    ]
    proto, x = model(nodes, {"x": (4,)}, {"zero": np.float32(0), "one": np.float32(1)}), np.array([-1, 0, 0.5, 2], np.float32)
    np.testing.assert_array_equal(evaluate(clconv.onnx.load(proto), x)[0], by_the_book(proto, x)[0])


@pytest.mark.parametrize("op_type", ["Log", "Sqrt"])
def test_operators_of_positive_numbers(op_type: str) -> None:
    proto, x = one(op_type, (2, 3)), np.abs(normal(2, 3)) + 0.1
    np.testing.assert_allclose(evaluate(clconv.onnx.load(proto), x)[0], by_the_book(proto, x)[0], rtol=2e-5)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_the_window_of_a_local_response_norm(size: int) -> None:
    """ONNX's formula, which its reference implementation computes for some of the channels only."""
    x, squares = normal(2, 7, 3, 2), np.zeros((2, 7, 3, 2))
    for c in range(7):
        window = slice(max(0, c - (size - 1) // 2), min(7, c + -(-(size - 1) // 2) + 1))
        squares[:, c] = (x[:, window].astype(np.float64) ** 2).sum(1)
    proto = one("LRN", x.shape, size=size, alpha=0.3, beta=0.6, bias=2.0)
    np.testing.assert_allclose(evaluate(clconv.onnx.load(proto), x)[0], x / (2.0 + 0.3 / size * squares) ** 0.6, rtol=1e-6)


def test_negative_padding_cuts() -> None:
    x = normal(1, 2, 5, 6)
    proto = one("Pad", x.shape, {"pads": ints(1, -1, -2, 0), "fill": np.float32(0.5), "axes": ints(3, 2)}, opset=18)
    wanted = np.pad(x[:, :, :5, :4], ((0, 0), (0, 0), (0, 0), (1, 0)), constant_values=0.5)[:, :, 1:]
    (got,) = evaluate(clconv.onnx.load(proto), x)
    np.testing.assert_array_equal(got, wanted)


def test_every_rule_has_a_case() -> None:
    """Here, or in ONNX's own tests of operators."""
    assert set(RULES) <= {proto.graph.node[0].op_type for proto in CASES.values()} | OPERATORS


@pytest.mark.parametrize("size", [6, 7])
def test_unpooling_puts_maxima_back_where_a_pool_found_them(queue, size) -> None:
    """Also in a map whose last row and column no window reached, which `output_shape` tells."""
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p", "i"], **window),
        helper.make_node("MaxUnpool", ["p", "i", "s"], ["y"], name="here", **window),
    ]
    shape = (2, 3, size, size)
    net = clconv.onnx.load(model(nodes, {"x": shape}, {"s": ints(*shape)}))
    x = np.random.default_rng(5).permutation(6 * size * size).reshape(shape).astype(np.float32)
    kept = x[:, :, :6, :6].reshape(2, 3, 3, 2, 3, 2)
    wanted = np.zeros(shape, np.float32)
    wanted[:, :, :6, :6] = np.where(kept == kept.max((3, 5), keepdims=True), kept, 0).reshape(2, 3, 6, 6)
    np.testing.assert_array_equal(clconv.compile(net, shape, queue)(x).get(), wanted)
    with pytest.raises(OnnxError, match="does not fit indices that count in what was pooled"):
        clconv.onnx.load(model(nodes, {"x": shape}, {"s": ints(2, 3, 8, 8)}))


def test_inputs_that_are_no_numbers_to_compute_with_are_given_before_compiling(queue) -> None:
    """Indices, and sizes that decide over shapes, whatever their type."""
    gather = one("Gather", (4, 3), {"i": ints(2, 0)}, axis=0)
    indices = gather.graph.initializer.pop()
    gather.graph.input.append(onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, (2,)))
    net = clconv.onnx.load(gather)
    with pytest.raises(OnnxError, match=r"input 'i' decides what runs; give its value first: net.with_values\(i=array\)"):
        net.trace({"x": (4, 3), "i": (2,)})
    with pytest.raises(OnnxError, match="has no input 'k'; inputs are x, i"):
        net.with_values(k=ints(1))
    x = normal(4, 3)
    known = net.with_values(i=onnx.numpy_helper.to_array(indices))
    np.testing.assert_array_equal(clconv.compile(known, (4, 3), queue)(x).get(), x[[2, 0]])
    added = model([onnx.helper.make_node("Add", ["x", "n"], ["y"])], {"x": (2, 2)}, outputs=())
    added.graph.input.append(onnx.helper.make_tensor_value_info("n", onnx.TensorProto.INT32, (2,)))
    added.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None))
    with pytest.raises(OnnxError, match="input 'n' holds int32; what is not float must be known before anything runs"):
        clconv.onnx.load(added).trace({"x": (2, 2), "n": (2,)})


def test_softmax_before_version_13_takes_all_axes_from_its_own_on() -> None:
    x = normal(2, 3, 4)
    for axis, split in ((1, 2), (2, 6), (0, 1)):
        rows = np.exp(x.reshape(split, -1).astype(np.float64))
        wanted = (rows / rows.sum(1, keepdims=True)).reshape(x.shape)
        np.testing.assert_allclose(evaluate(clconv.onnx.load(one("Softmax", x.shape, opset=11, axis=axis)), x)[0], wanted, rtol=1e-6)


def test_constants_are_computed_where_they_are_known() -> None:
    """A shape put together from constants is no operation of the graph."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value_ints=[2]),
        helper.make_node("Constant", [], ["rest"], value=numpy_helper.from_array(ints(-1))),
        helper.make_node("ConstantOfShape", ["length"], ["threes"], value=numpy_helper.from_array(ints(3))),
        helper.make_node("Mul", ["two", "three"], ["six"]),
        helper.make_node("Div", ["six", "two"], ["again"]),
        helper.make_node("Concat", ["two", "threes", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
        helper.make_node("Reshape", ["x", "again"], ["z"]),
    ]
    proto = model(nodes, {"x": (2, 6)}, {"three": ints(3), "length": ints(1)}, ["y"])
    net = clconv.onnx.load(proto)
    assert net.trace((2, 6)).outputs[0].shape == (2, 3, 2) and not net.named_parameters()
    assert [n.op for n in topological(net.trace((2, 6)).outputs)] == ["input", "reshape"]


def small_network() -> Any:
    """A convolution with normalisation, its factors as exporters of Caffe2 write them, a residual and a classifier, for one image."""
    nodes = [
        helper.make_node("ConstantOfShape", ["bias_shape"], ["conv_b"], value=numpy_helper.from_array(np.array([0.25], np.float32))),
        helper.make_node("Conv", ["x", "conv_w", "conv_b"], ["c"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "one", "zero", "mean", "var"], ["n"]),
        helper.make_node("Unsqueeze", ["factor", "planes"], ["f"]),
        helper.make_node("Mul", ["n", "f"], ["m"]),
        helper.make_node("Unsqueeze", ["shift", "planes"], ["s"]),
        helper.make_node("Add", ["m", "s"], ["a"]),
        helper.make_node("Sum", ["a", "x"], ["r"]),
        helper.make_node("Relu", ["r"], ["p"]),
        helper.make_node("Reshape", ["p", "groups"], ["g"]),
        helper.make_node("Transpose", ["g"], ["t"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["t", "maps"], ["q"]),
        helper.make_node("AveragePool", ["q"], ["v"], kernel_shape=[5, 5]),
        helper.make_node("Dropout", ["v"], ["d", "mask"]),
        helper.make_node("Reshape", ["d", "flat"], ["h"]),
        helper.make_node("Gemm", ["h", "fc_w", "fc_b"], ["k"], transB=1),
        helper.make_node("Softmax", ["k"], ["y"]),
    ]
    tensors = {
        "conv_w": normal(4, 4, 3, 3), "bias_shape": ints(4), "one": np.ones(4, np.float32), "zero": np.zeros(4, np.float32),
        "mean": normal(4), "var": np.abs(normal(4)) + 0.5, "factor": normal(4), "shift": normal(4), "fc_w": normal(3, 4), "fc_b": normal(3),
        "groups": ints(1, 2, 2, 5, 5), "maps": ints(1, 4, 5, 5), "flat": ints(1, 4), "planes": ints(1, 2), "unused": normal(3),
    }  # fmt: skip
    return model(nodes, {"x": (1, 4, 5, 5)}, tensors)


def test_parameters_are_the_tensors_that_are_computed_with() -> None:
    net = clconv.onnx.load(small_network())
    assert isinstance(net, OnnxNetwork) and net.input_shape == (1, 4, 5, 5) and net.output_names == ("y",)
    trained = {"conv_w", "conv_b", "one", "zero", "factor", "shift", "fc_w", "fc_b"}
    assert set(net.trainable_parameters()) == trained
    assert set(net.named_parameters()) == trained | {"mean", "var"}
    np.testing.assert_array_equal(net.state_dict()["conv_b"], np.full(4, 0.25, np.float32))
    net.freeze()
    net.unfreeze()
    assert set(net.trainable_parameters()) == trained, "running statistics are never trained"


def test_a_network_runs_and_follows_the_batch() -> None:
    proto, x = small_network(), normal(3, 4, 5, 5)
    net = clconv.onnx.load(proto)
    wanted = [by_the_book(proto, image[None])[0] for image in x]
    np.testing.assert_allclose(evaluate(net, x)[0], np.concatenate(wanted), rtol=1e-5)


def test_a_shape_follows_the_batch_only_where_all_elements_are_accounted_for() -> None:
    w = normal(2, 4)
    nodes = [
        helper.make_node("Reshape", ["w", "row"], ["r"]),
        helper.make_node("Reshape", ["x", "open"], ["o"]),
        helper.make_node("MatMul", ["o", "turned"], ["m"]),
        helper.make_node("Add", ["m", "r"], ["y"]),
    ]
    proto = model(nodes, {"x": (1, 2, 2)}, {"w": w, "row": ints(1, 8), "open": ints(1, -1), "turned": normal(4, 8)})
    x = normal(8, 2, 2)
    (got,) = evaluate(clconv.onnx.load(proto), x)
    np.testing.assert_allclose(got, np.concatenate([by_the_book(proto, image[None])[0] for image in x]), rtol=1e-5)


def test_normalisation_and_its_factors_fold_into_the_convolution() -> None:
    """As much is left as of a network written by hand: one convolution with its residual and activation."""
    net = clconv.onnx.load(small_network())
    graph = optimise(net.trace((2, 4, 5, 5)))
    left = [n for n in topological(graph.outputs) if any(s.op == "input" for s in topological([n])) and n.op not in ("input", "reshape")]
    assert [n.op for n in left] == ["conv", "shuffle", "mean", "matmul", "softmax"]
    assert left[0].attributes["activation"] == ("relu", 0.0) and left[0].attributes["residual"] and left[0].label == "first"
    x = normal(2, 4, 5, 5)
    np.testing.assert_allclose(interpret(graph, {"x": x})[0][0], evaluate(net, x)[0], rtol=1e-9)


def test_training_moves_statistics_and_draws_dropout() -> None:
    net = clconv.onnx.load(small_network(), outputs=["k"])
    graph = net.trace((2, 4, 5, 5), training=True)
    assert [parameter.name for parameter, _ in graph.updates] == ["mean", "var"]
    assert any(n.op == "dropout" for n in topological(graph.outputs)) and not net.training
    x = normal(2, 4, 5, 5)
    _, moved = interpret(graph, {"x": x}, {"step": 0, "seed_low": 1, "seed_high": 0})
    w, before = net.state_dict()["conv_w"], net.state_dict()["mean"]
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])], {"x": x.shape}, {"w": w})
    batch = by_the_book(proto, x)[0].mean((0, 2, 3)) + 0.25
    np.testing.assert_allclose(moved["mean"], 0.9 * before + 0.1 * batch, rtol=1e-4, atol=1e-6)


def test_a_network_of_a_file_trains() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1),
    ]
    net = clconv.onnx.load(model(nodes, {"x": (1, 2, 2)}, {"w": normal(3, 4), "b": normal(3)}))
    graph = training_graph(net, (6, 2, 2), TensorSpec((6,), "int32"), F.cross_entropy, SGD(0.5))
    data = {"x": normal(6, 2, 2), "target": np.array([0, 1, 2, 0, 1, 2], np.int32)}
    losses = []
    for _ in range(8):
        (loss,), moved = interpret(graph, data, SGD(0.5).scalars(1))
        losses.append(float(loss))
        net.load_state_dict(moved)
    assert set(moved) == {"w", "b"} and losses[-1] < 0.9 * losses[0]


def test_what_is_multiplied_with_weights_is_not_trained_but_can_be() -> None:
    """A mask, say: only factors and terms of one number a channel are."""
    nodes = [helper.make_node("Mul", ["w", "mask"], ["m"]), helper.make_node("Conv", ["x", "m"], ["y"])]
    net = clconv.onnx.load(model(nodes, {"x": (1, 4, 5, 5)}, {**W, "mask": np.ones((6, 4, 3, 3), np.float32)}))
    assert set(net.named_parameters()) == {"w", "mask"} and not net.trainable_parameters()
    net.unfreeze("w")
    assert set(net.trainable_parameters()) == {"w"}


def test_a_tensor_may_be_both_a_number_and_a_weight() -> None:
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"]), helper.make_node("Mul", ["c", "half"], ["y"])]
    net = clconv.onnx.load(model(nodes, {"x": (1, 1, 2, 2)}, {"w": normal(1, 1, 1, 1), "b": normal(1), "half": np.float32([0.5])}))
    assert set(net.named_parameters()) == {"w", "b"}


def test_outputs_may_be_values_in_between() -> None:
    net = clconv.onnx.load(small_network(), outputs=["p", "k"])
    assert [node.shape for node in net.trace((1, 4, 5, 5)).outputs] == [(1, 4, 5, 5), (1, 3)]


def test_sizes_may_be_open() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    for shape in (("batch", 4, 5, 5), (1, 4, "height", "width")):
        net = clconv.onnx.load(model([node], {"x": shape}, W))
        assert net.input_shape is None and net.trace((2, 4, 8, 9)).outputs[0].shape == (2, 6, 6, 7)


def test_several_inputs_have_names() -> None:
    node = helper.make_node("Sub", ["left", "right"], ["y"])
    net = clconv.onnx.load(model([node], {"left": (2, 3), "right": (1, 3)}))
    assert net.input_shape == {"left": (2, 3), "right": (1, 3)}
    a, b = normal(2, 3), normal(1, 3)
    np.testing.assert_allclose(evaluate(net, a, b)[0], a - b, rtol=1e-6)


def test_what_a_file_may_be_given_as(tmp_path: Any) -> None:
    proto = one("Relu", (1, 3))
    onnx.save(proto, tmp_path / "a.onnx")
    for source in (proto, proto.SerializeToString(), tmp_path / "a.onnx", str(tmp_path / "a.onnx")):
        assert clconv.onnx.load(source).input_shape == (1, 3)


def test_functions_of_the_file_are_inlined() -> None:
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Tanh", ["b"], ["c"])]
    function = helper.make_function("own", "Both", ["a"], ["c"], body, [helper.make_opsetid("", 17)])
    proto = model([helper.make_node("Both", ["x"], ["y"], domain="own")], {"x": (2, 2)})
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.functions.append(function)
    x = normal(2, 2)
    np.testing.assert_allclose(evaluate(clconv.onnx.load(proto), x)[0], np.tanh(np.maximum(x, 0)), rtol=1e-6)


def test_a_copy_has_parameters_of_its_own() -> None:
    net = clconv.onnx.load(small_network())
    twin = copy.deepcopy(net)
    twin.named_parameters()["fc_b"].value = np.zeros(3)
    assert np.abs(net.state_dict()["fc_b"]).max() > 0 and twin.trace((1, 4, 5, 5)).outputs[0].shape == (1, 3)


def test_onnx_is_imported_when_it_is_needed() -> None:
    code = "import sys, clconv, clconv.onnx; assert 'onnx' not in sys.modules; sys.modules['onnx'] = None\n"
    code += "try: clconv.onnx.load('a.onnx')\nexcept clconv.ClconvError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ONNX files need the package onnx, which is not installed: pip install 'clconv[onnx]'"
