"""How much a file may ask for: small files that ask for much are refused before it is made, with node, what is asked and what there is."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import clconv
from clconv import nn
from clconv.errors import DeviceError, FallbackWarning, OnnxError
from clconv.onnx import load
from clconv.onnx.budget import STEPS
from clconv.onnx.estimate import result_bytes, result_steps
from clconv.onnx.host import evaluate
from clconv.onnx.model import Attribute, Operation
from clconv.runtime.context import traits_of
from tests.onnx_support import ints, model, normal, one


def folded(op_type: str, operands: dict[str, np.ndarray], opset: int = 17, **attributes: Any) -> Any:
    """y = x + op_type(operands), which loading computes."""
    nodes = [
        helper.make_node(op_type, [name.strip("_") for name in operands], ["t"], name="here", **attributes),
        helper.make_node("Cast", ["t"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    return model(nodes, {"x": (1,)}, {name: array for name, array in operands.items() if name.strip("_")}, ("y",), opset)


ONES = np.ones(2**17, np.int64)
SMALL = np.ones((1, 1, 4, 4), np.int32)
BYTES, ONE, ZERO = np.ones((1, 1, 32, 32), np.uint8), np.float32(1), np.uint8(0)
PLANE = np.ones((1, 1, 2**10, 2**10), np.uint8)
QUANTA = {"a": PLANE, "s": ONE, "z": ZERO, "w": PLANE[:, :, :8, :8], "q": ONE, "u": ZERO, "v": ONE, "o": ZERO}
BOMBS: dict[str, tuple[str, Any]] = {
    "tile": ("Tile: asks for 8796093022208 bytes", folded("Tile", {"a": ints(1), "r": ints(2**40)})),
    "expand": ("Expand: asks for 8796093022208 bytes", folded("Expand", {"a": ints(1), "s": ints(2**20, 2**20)})),
    "range": ("Range: asks for 9223372036854775816 bytes", folded("Range", {"a": np.int64(0), "b": np.int64(2**60), "c": np.int64(1)})),
    "shape": ("ConstantOfShape: asks for 8589934588 bytes", folded("ConstantOfShape", {"s": ints(2**31 - 1)})),
    "shapes": ("ConstantOfShape: gives a tensor of shape (2147483648, 2, 0)", folded("ConstantOfShape", {"s": ints(2**31, 2, 0)})),
    "outer": ("Add: asks for 137438953472 bytes", folded("Add", {"a": ONES.reshape(-1, 1), "b": ONES})),
    "gather": ("Gather: asks for 137438953472 bytes", folded("Gather", {"a": ONES.reshape(1, -1), "i": ONES * 0})),
    "pad": ("Pad: asks for 8796160131200 bytes", folded("Pad", {"a": SMALL, "p": ints(0, 0, 2**20, 0, 0, 0, 0, 2**20)})),
    "windows": ("MaxPool: asks for", folded("MaxPool", {"a": SMALL.astype(np.uint8)}, kernel_shape=[3, 3], pads=[2**20] * 4)),
    "loops": ("MaxPool: would take 1073741824 steps", folded("MaxPool", {"a": np.ones((1, 1, 2**10, 2**10))}, kernel_shape=[32, 32])),
    "whole": ("ConvInteger: would take 67108864 steps", folded("ConvInteger", {"a": PLANE, "w": PLANE[:, :, :8, :8]})),
    "quanta": ("QLinearConv: would take 67108864 steps", folded("QLinearConv", QUANTA)),
    "parts": ("Split: would take 67108864 steps", folded("Split", {"a": ONES}, opset=18, num_outputs=2**20)),
    "resize": ("Resize: asks for", folded("Resize", {"a": SMALL, "": ints(), "s": np.array([1, 1, 1e5, 1e5], np.float32)})),
    "normalised": (
        "BatchNormalization: asks for 137438953472 bytes",
        folded("BatchNormalization", {"a": ONES.reshape(-1, 1), "b": ONES, "c": ONES, "d": ONES, "e": ONES}),
    ),
    "integers": ("ConvInteger: would take", folded("ConvInteger", {"a": np.ones((1, 1, 2**10, 2**10), np.uint8), "w": BYTES})),
    "quantised": (
        "QLinearConv: would take",
        folded(
            "QLinearConv",
            {"a": np.ones((1, 1, 2**10, 2**10), np.uint8), "b": ONE, "c": ZERO, "w": BYTES, "e": ONE, "p": ZERO} | {"g": ONE, "h": ZERO},
        ),
    ),
    "table": ("Tile: asks for 8589934592 bytes", one("Tile", (1, 4), {"r": ints(1, 2**28)})),
    "mirror": ("Pad: asks for 8589934624 bytes", one("Pad", (1, 4), {"p": ints(0, 2**30, 0, 0)}, mode="edge")),
    "zeros": ("ReduceMax: asks for 8589934588 bytes", one("ReduceMax", (2**31 - 1, 0), axes=[1])),
    "input": ("input 'x' is a tensor of shape (2, 4611686018427387904)", one("Relu", (2, 2**62))),
    "result": ("Expand: gives a tensor of shape (1048576, 1048576)", one("Expand", (1, 1), {"s": ints(2**20, 2**20)})),
}


@pytest.mark.parametrize("what", BOMBS)
def test_what_asks_for_too_much(what: str) -> None:
    sentence, proto = BOMBS[what]
    start = time.perf_counter()
    with pytest.raises(OnnxError) as caught:
        load(proto)
    text = str(caught.value)
    assert text.startswith("made by hand: ") and sentence in text and (what == "input" or "here: " in text), text
    assert time.perf_counter() - start < 2


def test_each_takes_from_what_is_left() -> None:
    """Twenty doublings, none of which is too much alone."""
    nodes = [helper.make_node("Concat", [f"t{i}", f"t{i}"], [f"t{i + 1}"], name=f"n{i}", axis=0) for i in range(20)]
    proto = model([*nodes, helper.make_node("Add", ["x", "t20"], ["y"])], {"x": (1,)}, {"t0": np.ones(1, np.float64)})
    assert load(proto).trace((1,)).outputs[0].shape == (2**20,)
    with pytest.raises(OnnxError, match="n16: Concat: asks for 1048576 bytes, 1048568 of the 2000000 that the file may take are taken"):
        load(proto, max_bytes=2_000_000)


def test_max_bytes_bounds_what_the_file_holds() -> None:
    proto = one("Conv", (1, 4, 6, 6), {"w": normal(6, 4, 3, 3)})
    with pytest.raises(OnnxError, match="made by hand: tensor 'w': asks for 864 bytes, 0 of the 800 that the file may take are taken"):
        load(proto, max_bytes=800)
    assert load(proto, max_bytes=864).max_bytes == 864
    for wrong in (0, -1, 1.5, "1", True):
        with pytest.raises(OnnxError, match="max_bytes must be a number of bytes from 1 on"):
            load(proto, max_bytes=wrong)  # type: ignore[arg-type]


def test_max_bytes_bounds_what_the_network_takes(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before the driver is asked for any memory, or to compile anything."""
    monkeypatch.setattr("clconv.graph.run.Executor", None)
    proto = one("Conv", (1, 4, 60, 60), {"w": normal(6, 4, 3, 3)})
    with pytest.raises(OnnxError) as caught:
        clconv.compile(load(proto, max_bytes=100_000), (1, 4, 60, 60), queue)
    text = str(caught.value)
    assert text.startswith("made by hand: here: the network asks for ") and "max_bytes allows 100000: take a smaller batch" in text
    with pytest.raises(OnnxError, match="max_bytes allows 1000: "):
        clconv.compile(load(proto), (1, 4, 60, 60), queue, max_bytes=1000)
    monkeypatch.setattr("clconv.graph.run.traits_of", lambda device: replace(traits_of(device), global_memory_bytes=5000))
    for asked in (None, 2**40):
        with pytest.raises(OnnxError, match="the device has 5000: take a smaller batch"):
            clconv.compile(load(proto), (1, 4, 60, 60), queue, max_bytes=asked)
    with pytest.raises(DeviceError, match="the network asks for .* max_bytes allows 1000: "):
        clconv.compile(nn.ReLU(), (1, 4, 60, 60), queue, max_bytes=1000)


def test_what_the_host_computes_of_known_values_is_counted() -> None:
    nodes = [helper.make_node("HannWindow", ["n"], ["w"], name="here"), helper.make_node("Add", ["x", "w"], ["y"])]
    with pytest.raises(OnnxError, match="here: HannWindow: asks for 12000000 bytes, 8 of the 10000 that the file may take are taken"):
        load(model(nodes, {"x": (1,)}, {"n": np.int64(3_000_000)}), max_bytes=10_000, fallback="host")


def test_stages_of_a_network_with_a_host_part_are_counted_together(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clconv.graph.run.Executor", lambda *arguments: None)
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="first"), helper.make_node("Det", ["a"], ["b"], name="det"),
             helper.make_node("Exp", ["b"], ["y"], name="last")]  # fmt: skip
    proto = model(nodes, {"x": (1000, 2, 2)})
    for most in (39_999, 40_000):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            net = load(proto, max_bytes=most, fallback="host")
        if most == 40_000:
            assert clconv.compile(net, (1000, 2, 2), queue).options.max_bytes == most
            continue
        with pytest.raises(OnnxError, match="^made by hand: last: the network asks for 40000 .*, earlier stages 32000.* allows 39999"):
            clconv.compile(net, (1000, 2, 2), queue)


OPERANDS: dict[str, tuple[str, dict[str, Any], list[np.ndarray]]] = {
    "Tile": ("Tile", {}, [SMALL, ints(1, 2, 3, 4)]),
    "Expand": ("Expand", {}, [np.ones((4, 1), np.float32), ints(2, 1, 5)]),
    "Range": ("Range", {}, [np.float32(1), np.float32(9.5), np.float32(0.25)]),
    "Range down": ("Range", {}, [np.int64(9), np.int64(-3), np.int64(-2)]),
    "ConstantOfShape": ("ConstantOfShape", {}, [ints(3, 4)]),
    "Pad": ("Pad", {}, [SMALL, ints(0, 0, 1, 2, 0, 0, 3, 4)]),
    "Gather": ("Gather", {"axis": 1}, [np.ones((3, 5)), ints(4, 1, 1)]),
    "MatMul": ("MatMul", {}, [np.ones((2, 3, 4)), np.ones((4, 5))]),
    "Gemm": ("Gemm", {"transB": 1}, [np.ones((3, 4)), np.ones((5, 4))]),
    "Add": ("Add", {}, [np.ones((3, 1)), np.ones((2, 1, 4))]),
    "Where": ("Where", {}, [np.ones((3, 1), bool), np.ones((1, 4)), np.ones((2, 1, 1))]),
    "Resize": ("Resize", {"mode": "nearest"}, [SMALL.astype(np.float32), np.zeros(0, np.float32), np.array([1, 1, 2.5, 3], np.float32)]),
    "Sizes": ("Resize", {}, [SMALL.astype(np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32), ints(1, 1, 9, 8)]),
    "MaxPool": ("MaxPool", {"kernel_shape": (2, 2), "pads": (1, 1, 1, 1)}, [SMALL.astype(np.uint8)]),
    "Conv": ("Conv", {"pads": (1, 1, 1, 1)}, [SMALL.astype(np.float64), np.ones((3, 1, 2, 2))]),
    "ConvTranspose": ("ConvTranspose", {"strides": (3, 3)}, [SMALL.astype(np.float64), np.ones((1, 2, 4, 4))]),
    "ConvInteger": ("ConvInteger", {"pads": (1, 1, 1, 1)}, [SMALL.astype(np.uint8), np.ones((3, 1, 2, 2), np.uint8)]),
    "QLinearConv": (
        "QLinearConv",
        {"pads": (1, 1, 1, 1)},
        [SMALL.astype(np.uint8), ONE, ZERO, np.ones((3, 1, 2, 2), np.uint8), ONE, ZERO, ONE, ZERO],
    ),
    "Mod": ("Mod", {}, [np.ones((30, 1), np.int64), np.ones((1, 40), np.int64)]),
    "Clip": ("Clip", {}, [np.ones((30, 1)), np.zeros((1, 40))]),
    "And": ("And", {}, [np.ones((30, 1), bool), np.ones((1, 40), bool)]),
    "Or": ("Or", {}, [np.ones((30, 1), bool), np.ones((1, 40), bool)]),
    "Xor": ("Xor", {}, [np.ones((30, 1), bool), np.ones((1, 40), bool)]),
    "BatchNormalization": ("BatchNormalization", {}, [np.ones((30, 1)), *[np.ones(40)] * 4]),
    "InstanceNormalization": ("InstanceNormalization", {}, [np.ones((30, 1, 2)), np.ones(40), np.ones(40)]),
    "LayerNormalization": ("LayerNormalization", {}, [np.ones((30, 1), np.float32), np.ones((1, 40), np.float32)]),
    "Concat": ("Concat", {"axis": 0}, [np.ones((2, 3)), np.ones((4, 3))]),
}


@pytest.mark.parametrize("what", OPERANDS)
def test_estimates_are_bounds(what: str) -> None:
    """Never less than what the operation then makes, and not absurdly more."""
    op_type, given, values = OPERANDS[what]
    kinds = {int: "int", tuple: "ints", str: "string"}
    attributes = {name: Attribute(kinds[type(value)], value) for name, value in given.items()}
    operation = Operation(op_type, "", tuple(f"v{i}" for i in range(len(values))), ("y",), attributes)
    (made,) = evaluate(operation, 17, values)
    assert made.nbytes <= result_bytes(operation, values) <= 40 * made.nbytes


def test_steps_of_a_causal_convolution() -> None:
    operation = Operation("CausalConvWithState", "", ("x", "w"), ("y", "state"), {})
    x, w = np.ones((1, 2, 10), np.float32), np.ones((2, 1, 30), np.float32)
    assert result_steps(operation, [x, w]) >= 2 * 10 * 30
    assert result_bytes(operation, [x, w]) >= 4 * 2 * (10 + 29)


def test_steps_are_counted_together() -> None:
    maps = np.ones((1, 1, 100, 100), np.uint8)
    nodes = [helper.make_node("MaxPool", ["a"], [f"t{i}"], name=f"n{i}", kernel_shape=[60, 60]) for i in range(2)]
    assert STEPS < 2 * 100 * 100 * 3600
    proto = model([*nodes, helper.make_node("Add", ["t0", "t1"], ["t"]), helper.make_node("Cast", ["t"], ["f"], to=1),
                   helper.make_node("Add", ["x", "f"], ["y"])], {"x": (1,)}, {"a": maps})  # fmt: skip
    with pytest.raises(OnnxError, match="n0: MaxPool: would take 36000000 steps on the host, where all constants of a file together may"):
        load(proto)
