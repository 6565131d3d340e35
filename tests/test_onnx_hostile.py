"""Nodes with absurd operands and attributes, of every operator there is: a network or an OnnxError that says where, never anything else."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from clconv.errors import OnnxError, printable
from clconv.onnx import load
from clconv.onnx.rules import RULES
from tests.onnx_support import model, one

SHAPES = (
    (), (3,), (2, 3), (2, 4, 6), (1, 4, 6, 6), (1, 4, 3, 6, 6), (1, 2, 1, 2, 1, 2), (0, 4, 6, 6), (1, 4, 0, 6), (1, 0, 6, 6), (2**31, 0)
)  # fmt: skip
WHOLE = (-1, 0, 1, 2, 3, -2, 4, 7, 65537, 2**31 - 1, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63))
REAL = (0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, 3e38, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "SAME_UPPER", "VALID", "reflect", "wrap", "linear", "cubic", "align_corners", "tf_crop_and_resize", "not_smaller", "\0\n")
# fmt: off
INTEGERS = (
    "axis", "group", "ceil_mode", "count_include_pad", "keepdims", "to", "blocksize", "storage_order", "size", "p", "training_mode",
    "transA", "antialias", "exclude_outside", "noop_with_empty_axes", "select_last_index", "allowzero", "num_outputs", "broadcast",
)
LISTS = (
    "axes", "pads", "strides", "dilations", "kernel_shape", "perm", "output_padding", "output_shape", "split", "starts", "ends", "shape",
)
NUMBERS = ("alpha", "beta", "epsilon", "momentum", "bias", "gamma", "ratio", "value", "extrapolation_value", "cubic_coeff_a")
WORDS = ("auto_pad", "mode", "nearest_mode", "coordinate_transformation_mode", "keep_aspect_ratio_policy", "approximate")
# fmt: on
BUDGET = 2**26


def attributes(rng: np.random.Generator, op_type: str, version: int) -> dict[str, Any]:
    """Some that the operator has, where ONNX says which, now and then one that it has not; small values mostly."""
    known = list(onnx.defs.get_schema(op_type, version).attributes) if rng.random() < 0.9 else []
    names = known or [*INTEGERS, *LISTS, *NUMBERS, *WORDS]
    chosen = [name for name in names if rng.random() < (0.5 if known else 0.05)]
    small = rng.random() < 0.6

    def whole() -> int:
        return int(rng.integers(-2, 4)) if small else WHOLE[int(rng.integers(len(WHOLE)))]

    found: dict[str, Any] = {}
    for name in chosen:
        if name in LISTS:
            found[name] = [whole() for _ in range(int(rng.integers(0, 7)))]
        elif name in NUMBERS:
            found[name] = REAL[int(rng.integers(len(REAL)))]
        elif name in WORDS:
            found[name] = TEXTS[int(rng.integers(len(TEXTS)))]
        else:
            found[name] = whole()
    return {name: value for name, value in found.items() if value != []}


def operand(rng: np.random.Generator) -> np.ndarray:
    """A tensor of the file: sizes or indices, or numbers of any shape."""
    if rng.random() < 0.6:
        values = [WHOLE[int(rng.integers(len(WHOLE) if rng.random() < 0.3 else 7))] for _ in range(int(rng.integers(0, 7)))]
        return np.array(values, np.int64) if rng.random() < 0.9 else np.array(values[:1], np.int64).reshape(-1)[:1].sum()
    if rng.random() < 0.3:
        return np.array([REAL[int(rng.integers(len(REAL)))] for _ in range(int(rng.integers(1, 5)))], np.float32)
    shape = SHAPES[int(rng.integers(len(SHAPES) - 1))]
    return np.ones(shape, (np.float32, np.float64, np.float16, np.int64, bool, np.uint8)[int(rng.integers(6))])


def absurd(seed: int) -> Any:
    """A model of one node of any operator."""
    rng = np.random.default_rng(seed)
    op_type = list(RULES)[seed % len(RULES)]
    version = int(rng.choice((1, 6, 8, 9, 11, 13, 17, 18, 21, onnx.defs.onnx_opset_version())))
    try:
        given = attributes(rng, op_type, version)
    except onnx.defs.SchemaError:
        given = {}
    least, most = RULES[op_type].inputs
    count = int(rng.integers(least, (least + 3 if most is None else most) + 1))
    kinds = [str(rng.choice(("x", "w", "none"), p=(0.5 if i == 0 else 0.15, 0.4 if i == 0 else 0.75, 0.1))) for i in range(count)]
    names = [f"{kind}{i}" if kind != "none" else "" for i, kind in enumerate(kinds)]
    shapes = {name: SHAPES[int(rng.integers(len(SHAPES)))] for name in names if name.startswith("x")}
    outputs = [f"y{i}" for i in range(int(rng.choice((1, 1, 1, 2, 3))))]
    node = helper.make_node(op_type, names, outputs, name="here", **given)
    graph = helper.make_graph(
        [node, helper.make_node("Add", [outputs[-1], "x"], ["y"], name="there")],
        "absurd",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in {"x": (1,), **shapes}.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(operand(rng)), name) for name in names if name.startswith("w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)


def refusal(seed: int) -> str | None:
    """What is said of a model, or None if it is loaded; anything but an OnnxError comes through."""
    try:
        load(absurd(seed), max_bytes=BUDGET)
    except OnnxError as error:
        return str(error)
    return None


def check(seeds: range) -> None:
    said = [refusal(seed) for seed in seeds]
    assert all(text is None or text.startswith("absurd: ") for text in said), [t for t in said if t and not t.startswith("absurd: ")][:3]
    assert 0.05 < sum(text is None for text in said) / len(said) < 0.7


def test_a_node_with_absurd_operands_is_refused_or_loaded() -> None:
    check(range(12 * len(RULES)))


@pytest.mark.exhaustive
def test_many_nodes_with_absurd_operands() -> None:
    check(range(12 * len(RULES), 1000 * len(RULES)))


def chain(length: int, op_types: tuple[str, ...], **tensors: np.ndarray) -> Any:
    nodes = [helper.make_node(op_types[i % len(op_types)], [f"v{i}"], [f"v{i + 1}"]) for i in range(length)]
    inputs = {"x": (1, 4)} if tensors else {"x": (1, 4), "v0": (1, 4)}
    return model([*nodes, helper.make_node("Add", ["x", f"v{length}"], ["y"])], inputs, tensors)


def test_deep_and_wide_graphs_are_loaded() -> None:
    """Deeper than Python's stack; time grows with the number of nodes and inputs, no faster."""
    assert load(chain(3000, ("Relu", "Neg"))).trace({"x": (1, 4), "v0": (1, 4)}).outputs[0].shape == (1, 4)
    assert load(chain(2000, ("Identity",), v0=np.ones(4, np.float32))).trace((1, 4)).outputs[0].shape == (1, 4)
    start = time.perf_counter()
    load(model([helper.make_node("Sum", [f"x{i}" for i in range(1500)], ["y"])], {f"x{i}": (1, 2) for i in range(1500)}))
    assert time.perf_counter() - start < 10


def function(name: str, *calls: str) -> Any:
    body = [helper.make_node(called, [f"v{i}"], [f"v{i + 1}"], domain="" if called == "Relu" else "own") for i, called in enumerate(calls)]
    return helper.make_function("own", name, ["v0"], [f"v{len(calls)}"], body, [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ([function("f", "f")], "function 'f' of domain 'own' calls itself"),
        ([function("f", "g"), function("g", "f")], "of domain 'own' calls itself"),
        ([function("f", "f0"), *(function(f"f{i}", f"f{i + 1}", f"f{i + 1}") for i in range(40)), function("f40", "Relu")],
         "written out where they are called, make 1099511627776 nodes; at most 100000"),
        ([function("f", "f0"), *(function(f"f{i}", f"f{i + 1}") for i in range(300)), function("f300", "Relu")],
         "its functions cannot be written out where they are called"),
    ],
    ids=["itself", "each other", "without end", "deep"],
)  # fmt: skip
def test_functions_that_cannot_be_written_out(functions: list[Any], said: str) -> None:
    proto = model([helper.make_node("f", ["x"], ["y"], domain="own")], {"x": (1,)})
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.functions.extend(functions)
    with pytest.raises(OnnxError, match=f"made by hand: .*{said}"):
        load(proto)


def test_cycles_and_names_that_two_have() -> None:
    relu = helper.make_node("Relu", ["y"], ["y"], name="here")
    pair = [helper.make_node("Relu", ["b"], ["a"], name="one"), helper.make_node("Relu", ["a"], ["b"], name="two")]
    twice = model([helper.make_node("Add", ["x", "w"], ["y"])], {"x": (2,)}, {"w": np.ones(2, np.float32)})
    twice.graph.initializer.append(twice.graph.initializer[0])
    inputs = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)})
    inputs.graph.input.append(inputs.graph.input[0])
    outputs = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)})
    outputs.graph.output.append(outputs.graph.output[0])
    attributes = model([helper.make_node("Softmax", ["x"], ["y"], name="here", axis=0)], {"x": (2,)})
    attributes.graph.node[0].attribute.append(attributes.graph.node[0].attribute[0])
    for proto, said in (
        (model([relu], {"x": (2,)}), "Relu 'here' reads 'y', which no input, initializer or earlier node gives"),
        (model([*pair, helper.make_node("Add", ["x", "a"], ["y"])], {"x": (2,)}), "Relu 'one' reads 'b', which no input"),
        (twice, "holds two initializers of one name"),
        (inputs, "holds two inputs of the name 'x'"),
        (attributes, "Softmax 'here' has two attributes of the name 'axis'"),
    ):
        with pytest.raises(OnnxError) as caught:
            load(proto)
        assert said in str(caught.value)
    assert len(load(outputs).trace((2,)).outputs) == 2  # one value, given twice: nothing is ambiguous


def test_strides_beyond_the_map_are_cut_to_what_they_mean() -> None:
    """Kernels divide by them, and add to them."""
    (y,) = load(one("AveragePool", (1, 3, 8, 8), kernel_shape=[2, 2], strides=[2, 2**31 - 1])).trace((1, 3, 8, 8)).outputs
    assert y.shape == (1, 3, 4, 1) and y["geometry"].stride == (2, 9)


def test_names_that_are_no_text_are_shown_as_bytes() -> None:
    assert printable(b"a\xff\x1b") == "a\\xff\\x1b"


def _with_names() -> bytes:
    """Each kind of name once."""
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["inside"], name="deep")], "other", [], [helper.make_tensor_value_info("inside", 1, None)]
    )
    nodes = [
        helper.make_node("MaxPool", ["x"], ["pooled"], name="first", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("If", ["chosen"], ["y"], name="either", then_branch=branch, else_branch=branch),
    ]
    proto = model(nodes, {"x": (1, 1, 4, 4)}, {"chosen": np.array(True)})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.metadata_props.add(key="author", value="someone")
    data: bytes = proto.SerializeToString()
    return data


@pytest.mark.parametrize(
    "name", ["MaxPool", "first", "pooled", "strides", "chosen", "batch", "author", "someone", "other", "inside", "deep", "then_branch"]
)
def test_a_name_that_is_no_text_is_refused(name: str) -> None:
    whole, damaged = name.encode(), name[:-1].encode() + b"\xff"
    assert whole in _with_names()
    with pytest.raises(OnnxError) as caught:
        load(_with_names().replace(whole, damaged))
    assert f" is called '{name[:-1]}\\xff', which is no UTF-8 text; export the model again" in str(caught.value)
