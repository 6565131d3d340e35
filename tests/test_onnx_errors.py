"""What a user reads when an ONNX file, or a network for one, is not as it must be: node, rule, both values, the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import clconv
import clconv.functional as F
from clconv import nn
from clconv.errors import LONGEST, ClconvError, GeometryError, OnnxError
from clconv.onnx import load, save, to_model
from clconv.onnx.reading import read
from tests.onnx_support import ints, model, normal, one

MAPS = (1, 4, 6, 6)
W = {"w": normal(6, 4, 3, 3)}
LARGE = 2**62


def with_attribute(proto: Any, **attributes: Any) -> Any:
    """`proto` with attributes that ONNX's helpers would not write."""
    proto.graph.node[0].attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    return proto


ATTRIBUTES: dict[str, Any] = {
    "here: Conv: attribute strides must hold numbers from 1 to 2147483647, got [0, 1]": one("Conv", MAPS, W, strides=[0, 1]),
    "here: Conv: attribute strides must have 2 entries, got 1: [1]": with_attribute(one("Conv", MAPS, W), strides=[1]),
    f"here: Conv: attribute pads must hold numbers from 0 to 2147483647, got [{LARGE}, 0, 0, 0]": with_attribute(
        one("Conv", MAPS, W), pads=[LARGE, 0, 0, 0]
    ),
    "here: Conv: attribute group must lie between 1 and 2147483647, got 0": with_attribute(one("Conv", MAPS, W), group=0),
    "here: Conv: attribute auto_pad must be one of NOTSET, SAME_UPPER, SAME_LOWER, VALID, got 'SOME'": with_attribute(
        one("Conv", MAPS, W), auto_pad="SOME"
    ),
    "here: Conv: attribute pads ((1, 0), (0, 0)) and auto_pad VALID contradict each other; give one of them": one(
        "Conv", MAPS, W, auto_pad="VALID", pads=[1, 0, 0, 0]
    ),
    "here: Conv: attribute kernel_shape [5, 5] must be the size of the weights, [3, 3]; leave it out": with_attribute(
        one("Conv", MAPS, W), kernel_shape=[5, 5]
    ),
    "here: Conv: attribute group must be of kind int, got float 2.0; export the model again": with_attribute(
        one("Conv", MAPS, W), group=2.0
    ),
    "here: Conv: attribute fused means nothing to this version of the operator, which has: "
    "auto_pad, dilations, group, kernel_shape, pads, strides": with_attribute(one("Conv", MAPS, W), fused=1),
    "here: MaxPool: attribute kernel_shape is missing, and there is no default; export the model again": model(
        [helper.make_node("MaxPool", ["x"], ["y"], name="here")], {"x": MAPS}, outputs=()
    ),
    "here: Softmax: axis 5 is outside of the 4 axes of the input; it must lie between -4 and 3": with_attribute(
        one("Softmax", MAPS), axis=5
    ),
    "here: Reshape: input of shape (1, 4, 6, 6) has 144 elements, which do not fit the shape [1, 100]": with_attribute(
        model([helper.make_node("Reshape", ["x", "s"], ["y"], name="here")], {"x": MAPS}, {"s": ints(1, 100)}, outputs=())
    ),
    "here: Reshape: shape [-1, -1] may hold one -1 and no other negative number": model(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="here")], {"x": MAPS}, {"s": ints(-1, -1)}, outputs=()
    ),
    "here: Reshape: input 1, 's', is computed from the network's inputs; it must be a constant of the file": model(
        [helper.make_node("Relu", ["x"], ["s"]), helper.make_node("Reshape", ["x", "s"], ["y"], name="here")], {"x": (2,)}, outputs=()
    ),
    "here: Transpose: attribute perm [0, 0] must name each of the 2 axes once": with_attribute(one("Transpose", (2, 3)), perm=[0, 0]),
    "here: Unsqueeze: axes [0, -4] name one twice": model(
        [helper.make_node("Unsqueeze", ["x", "a"], ["y"], name="here")], {"x": (2, 3)}, {"a": ints(0, -4)}, outputs=()
    ),
    "here: Squeeze: axis 1 of the input of shape (2, 3) has 3 elements; only axes of one can be dropped": model(
        [helper.make_node("Squeeze", ["x", "a"], ["y"], name="here")], {"x": (2, 3)}, {"a": ints(1)}, outputs=()
    ),
    "here: Pad: attribute mode must be one of constant, reflect, edge, wrap, got 'mirror'": one(
        "Pad", (2, 3), {"p": ints(0, 1, 0, 0)}, mode="mirror"
    ),
    "here: AveragePool: attribute pads [(2, 0), (0, 0)] must be less than the windows' reach [2, 2]": one(
        "AveragePool", MAPS, kernel_shape=[2, 2], pads=[2, 0, 0, 0]
    ),
    "here: Gather: indices from -3 to 2 lie outside of axis 0 with 2 elements": one("Gather", (2, 3), {"i": ints(2, -3)}),
    "here: Slice: steps [0] must not be 0": model(
        [helper.make_node("Slice", ["x", "s", "e", "a", "z"], ["y"], name="here")],
        {"x": (2, 3)},
        {"s": ints(0), "e": ints(1), "a": ints(0), "z": ints(0)},
        outputs=(),
    ),
    "here: Split: sizes [1, 1] must be one for each of 2 outputs and add up to 3": model(
        [helper.make_node("Split", ["x", "s"], ["y", "z"], name="here", axis=1)], {"x": (2, 3)}, {"s": ints(1, 1)}, outputs=()
    ),
    "here: Resize: needs either scales or sizes": model([helper.make_node("Resize", ["x"], ["y"], name="here")], {"x": MAPS}, outputs=()),
    "here: Expand: input of shape (2, 3) does not broadcast to [4, 2]": model(
        [helper.make_node("Expand", ["x", "s"], ["y"], name="here")], {"x": (2, 3)}, {"s": ints(4, 2)}, outputs=()
    ),
    "here: Tile: repeats [2] must be one number from 1 on for each axis of (2, 3)": model(
        [helper.make_node("Tile", ["x", "r"], ["y"], name="here")], {"x": (2, 3)}, {"r": ints(2)}, outputs=()
    ),
    "here: conv2d: input channels 4 != weight channels 5 x groups 1 (= 5); x (1, 4, 6, 6), w (6, 5, 3, 3)": model(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="here")], {"x": MAPS}, {"w": normal(6, 5, 3, 3)}, outputs=()
    ),
    "here: pool: element type int32 is not supported here; use float32 or float16: x.astype(np.float32)": model(
        [helper.make_node("ArgMax", ["x"], ["i"], axis=1), helper.make_node("AveragePool", ["i"], ["y"], name="here", kernel_shape=[2, 2])],
        {"x": MAPS},
        outputs=(),
    ),
    "second: Relu: reads 'more', output 1 of LpPool 'first', which is not supported; only the outputs before it are": model(
        [
            helper.make_node("LpPool", ["x"], ["p", "more"], name="first", kernel_shape=[2, 2]),
            helper.make_node("Relu", ["more"], ["y"], name="second"),
        ],
        {"x": MAPS},
        outputs=(),
    ),
}


TEXTS, COMPLEX = np.full(4, "a", object), np.full(4, 1 + 2j, np.complex64)
NOT_REAL: dict[str, tuple[str, Any]] = {
    **{
        f"{op_type} {array.dtype}": (f"here: {op_type}: takes real numbers, got an array of {array.dtype}", (op_type, array))
        for op_type in ("Add", "Pow", "MatMul", "Max", "PRelu", "Where", "LayerNormalization")
        for array in (TEXTS, COMPLEX)
    },
    "Upsample": ("here: Upsample: input 1 must hold numbers, got complex64 of shape (4,)", ("Upsample", COMPLEX)),
}


@pytest.mark.parametrize("what", NOT_REAL)
def test_tensors_that_hold_no_real_numbers(what: str) -> None:
    sentence, (op_type, array) = NOT_REAL[what]
    names = ["a", "x", "x"] if op_type == "Where" else ["x", "a"]
    node = helper.make_node(op_type, names, ["y"], name="here")
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (4,)}, {"a": array}, opset=9 if op_type == "Upsample" else 17)
    proto.graph.node[0].CopyFrom(node)
    with pytest.raises(OnnxError) as caught:
        load(proto)
    assert str(caught.value) == f"made by hand: {sentence}"


@pytest.mark.parametrize("array", [TEXTS, COMPLEX], ids=str)
def test_outputs_that_hold_no_real_numbers(array: np.ndarray) -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (4,)}, {"a": array})
    proto.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, None))
    with pytest.raises(OnnxError, match="made by hand: output 'a': takes real numbers, got an array of "):
        load(proto)


def test_scales_that_are_complex_are_refused_before_they_fold() -> None:
    nodes = [helper.make_node("Upsample", ["c", "a"], ["t"], name="here"), helper.make_node("Add", ["x", "t"], ["y"])]
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (1,)}, {"a": COMPLEX, "c": normal(1, 1, 2, 2)}, opset=9)
    proto.graph.node[0].CopyFrom(nodes[0])
    proto.graph.node.append(nodes[1])
    with pytest.raises(OnnxError, match="here: Upsample: "):
        load(proto)


@pytest.mark.parametrize("array", [ints(3_000_000_000, -1), np.array([3_000_000_000, 1], np.uint32)], ids=str)
def test_whole_numbers_beyond_int32_do_not_wrap(array: np.ndarray) -> None:
    (y,) = load(one("Add", (2,), {"a": array})).trace((2,)).outputs
    constant = y.inputs[1]
    assert constant.dtype == "float32"
    np.testing.assert_array_equal(constant["value"], array.astype(np.float32))


def opened(proto: Any) -> Any:
    """`proto` with the output y, whatever its shape."""
    if not proto.graph.output:
        proto.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return proto


@pytest.mark.parametrize("sentence", ATTRIBUTES)
def test_what_a_node_says_wrong(sentence: str) -> None:
    with pytest.raises(OnnxError) as caught:
        load(opened(ATTRIBUTES[sentence]))
    assert str(caught.value) == f"made by hand: {sentence}"


def test_unsupported_operators_are_named_all_at_once() -> None:
    nodes = [helper.make_node("Det", ["x"], [f"d{i}"], name=f"det{i}") for i in range(5)]
    nodes += [
        helper.make_node("Attention", ["d4"], ["a"], domain="com.microsoft"),
        helper.make_node("Sum", ["a", "d0", "d1", "d2", "d3"], ["y"]),
    ]
    with pytest.raises(OnnxError) as caught:
        load(opened(model(nodes, {"x": (2, 2)}, outputs=())))
    text = str(caught.value)
    assert "not supported: Det (det0, det1, det2 and 2 more); com.microsoft.Attention (a). Supported are Abs, Add, " in text


def test_what_nobody_needs_may_be_unsupported() -> None:
    nodes = [helper.make_node("Det", ["x"], ["d"]), helper.make_node("Relu", ["x"], ["y"])]
    assert load(model(nodes, {"x": (2, 2)})).input_shape == (2, 2)


def structure() -> dict[str, tuple[str, Any]]:
    """(what the message says, what is given)."""
    relu = helper.make_node("Relu", ["x"], ["y"], name="here")
    whole = model([relu], {"x": (2, 2)})
    shapeless = model([relu], {"x": (2, 2)})
    shapeless.graph.input[0].type.tensor_type.ClearField("shape")
    below = model([relu], {"x": (2, 2)})
    below.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -2
    damaged = model([helper.make_node("Add", ["x", "a"], ["y"])], {"x": (2, 2)}, {"a": normal(2, 2)})
    damaged.graph.initializer[0].raw_data = b"123"
    outside = one("Relu", (2, 2))
    outside.graph.node[0].attribute.append(onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="a"))
    return {
        "reference": ("attribute alpha takes 'a' of a function, but is in none", outside),
        "order": ("Relu 'here' reads 'x', which no input, initializer or earlier node gives", opened(model([relu], {}, outputs=()))),
        "twice": ("Relu 'here' gives 'y', which is made already", opened(model([relu, relu], {"x": (2, 2)}, outputs=()))),
        "output": ("output 'z' is given by no node", _with_output(model([relu], {"x": (2, 2)}), "z")),
        "inputs": ("Relu 'here' takes 1 inputs, got (x, x)", _with_inputs(model([relu], {"x": (2, 2)}), "x", "x")),
        "empty input": ("Relu 'here' takes 1 inputs, got ()", _with_inputs(model([relu], {"x": (2, 2)}), "")),
        "shape": ("input 'x' has no shape; infer or set it, at least the number of its axes", shapeless),
        "size": ("input 'x' has an axis of size -2; sizes are 0 or more, or -1 if open", below),
        "old": ("operator set 0 is not supported, 1 to ", model([relu], {"x": (2, 2)}, opset=0)),
        "tensor": ("made by hand: tensor 'a' of shape (2, 2) is damaged: ", damaged),
        "bytes": ("model: not an ONNX model", whole.SerializeToString()[:-5]),
        "no graph": ("model: not an ONNX model: it has no graph", b""),
        "kind": ("load: takes a path, bytes or an onnx.ModelProto, got int", 3),
        "path": ("nowhere.onnx: cannot be read: No such file or directory", Path("nowhere.onnx")),
        "no path": ("'a\\x00b.onnx': cannot be read: embedded null byte", "a\0b.onnx"),
    }


def _with_output(proto: Any, name: str) -> Any:
    proto.graph.output[0].name = name
    return proto


def _with_inputs(proto: Any, *names: str) -> Any:
    del proto.graph.node[0].input[:]
    proto.graph.node[0].input.extend(names)
    return proto


@pytest.mark.parametrize("what", structure())
def test_a_file_that_is_not_well_formed(what: str) -> None:
    sentence, given = structure()[what]
    with pytest.raises(OnnxError) as caught:
        load(given)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["m.json", "m.textproto", "m.onnxtxt"])
def test_a_name_does_not_choose_the_format(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(one("Relu", (2, 2)).SerializeToString())
    assert load(path).input_shape == (2, 2)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(OnnxError, match="not an ONNX model"):
        load(path)


def test_a_file_must_say_its_operator_set() -> None:
    proto = one("Relu", (2, 2))
    del proto.opset_import[:]
    with pytest.raises(OnnxError, match="must say once which operator set it uses, got nothing"):
        read(proto)


def test_outputs_that_the_file_does_not_have() -> None:
    with pytest.raises(OnnxError, match=r"outputs must be a list of names of values, got \['z'\]; the last ones are y"):
        load(one("Relu", (2, 2)), outputs=["z"])


def test_shapes_that_do_not_fit_the_file() -> None:
    net = load(one("Relu", (2, 2)))
    with pytest.raises(GeometryError, match=r"input 'x' has 2 axes \(2, 2\), got shape \(2, 2, 2\)"):
        net.trace((2, 2, 2))
    fixed = load(model([helper.make_node("Reshape", ["x", "s"], ["y"], name="here")], {"x": (1, 4)}, {"s": ints(1, 2, 2)}))
    with pytest.raises(OnnxError) as caught:
        fixed.trace((3, 5))
    assert str(caught.value) == (
        "here: Reshape: input of shape (3, 5) has 15 elements, which do not fit the shape [1, 2, 2]; the file was written for x (1, 4)"
    )
    two = load(model([helper.make_node("Add", ["a", "b"], ["y"])], {"a": (2,), "b": (2,)}))
    with pytest.raises(GeometryError, match=r"takes 2 inputs \(a, b\), got shapes for 1; give a dict of shapes by name"):
        two.trace((2,))


class Whole(nn.Module):
    """Whatever `function` makes of the input."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, input: Any) -> Any:
        return self.function(input)


def _elsewhere(x: Any) -> Any:
    values, places = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(values, places, 2, output_size=(7, 6))


SAVING: dict[str, tuple[str, Any]] = {
    "weights' gradient": (
        "the gradient of a convolution's weights has no ONNX operator; save the network without it",
        lambda x: F.conv2d_weight(x, (4, 4, 3, 3), F.pad(x, (-1, -1, -1, -1))),
    ),
    "gradient": (
        "relu_backward is part of a gradient, and a file holds what a network computes from its inputs",
        lambda x: clconv.grad(F.sum(F.relu(x)), [x])[0],
    ),
    "random numbers": ("dropout draws random numbers, where a file means inference; call it with training=self.training", F.dropout),
    "positions of other maps": (
        "positions count in maps of (6, 6) but are written into maps of (7, 6); give output_size=(6, 6)", _elsewhere
    ),
    "positions of nowhere": (
        "positions from 1 to 36 reach beyond maps of (6, 6)",
        lambda x: F.max_unpool2d(F.max_pool2d(x, 2), np.arange(1, 37, dtype=np.int32).reshape(1, 4, 3, 3), 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SAVING)
def test_what_cannot_be_saved(what: str) -> None:
    sentence, function = SAVING[what]
    with pytest.raises(OnnxError) as caught:
        to_model(Whole(function), MAPS)
    assert sentence in str(caught.value) and str(caught.value).startswith("save: ")


def test_saving_takes_no_empty_tensors_and_no_batch_that_decides_what_is_computed() -> None:
    with pytest.raises(OnnxError, match="is empty, which cannot be saved; give an input shape with a batch of at least 1"):
        to_model(nn.ReLU(), (0, 2))
    with pytest.raises(OnnxError, match=r"save: batch='' must be a name for the first axis of every input"):
        to_model(nn.ReLU(), (1, 2), batch="")
    cases: dict[str, Any] = {
        r"with 2 and 3: reshape: \(3, 4\) has 12 elements, \(2, 2, 2\) needs 8": lambda x: F.reshape(x, (2, 2, 2)),
        r"axes \[1, 2\] both depend on the number of inputs": lambda x: F.reshape(F.matmul(x, F.transpose(x, 0, 1)), (1, -1, x.shape[0])),
        r"Mul 'Mul' reads a constant that depends on the number of inputs": lambda x: x * float(x.shape[0]),
        r"with 2 it computes relu\(2, 4\) where it computes sigmoid\(3, 4\)": lambda x: F.relu(x) if x.shape[0] == 2 else F.sigmoid(x),
    }
    for sentence, function in cases.items():
        with pytest.raises(OnnxError, match=sentence):
            to_model(Whole(function), (1, 4), batch="N")


def test_saving_needs_a_network_a_shape_and_a_place(tmp_path: Path) -> None:
    with pytest.raises(OnnxError, match=r"save: needs the shape of the input, such as save\(net, path, \(1, 3, 224, 224\)\)"):
        save(nn.ReLU(), tmp_path / "a.onnx")
    with pytest.raises(OnnxError, match="save: expected a network .* got int"):
        save(3, tmp_path / "a.onnx", (1, 2))  # type: ignore[arg-type]
    with pytest.raises(OnnxError, match="cannot be written: No such file or directory"):
        save(nn.ReLU(), tmp_path / "none" / "a.onnx", (1, 2))
    assert not list(tmp_path.iterdir())


def test_messages_have_an_end() -> None:
    """What is left out is in the middle: the place and what to do are at the ends."""
    with pytest.raises(OnnxError) as caught:
        load(one("Conv", (1, 1, 4, 4), {"w": normal(1, 1, 3, 3)}, pads=[1] * 200_000))
    text = str(caught.value)
    assert text.startswith("made by hand: ") and " ... " in text and len(text) == LONGEST


def test_an_onnx_error_is_one_of_clconvs() -> None:
    assert issubclass(OnnxError, ClconvError) and issubclass(OnnxError, ValueError)
    assert onnx.__version__
