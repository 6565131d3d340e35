"""`load(..., fallback="host")`: what runs on the host, in which types, and what is said about it. Most of it needs no kernel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import clconv
import clconv.functional as F
from clconv.errors import FallbackWarning, OnnxError, UnsupportedError
from clconv.graph.hybrid import HybridRun
from clconv.graph.node import topological
from clconv.onnx import OnnxNetwork, load, to_model
from clconv.onnx.backend import prepare
from clconv.tensor import TensorSpec
from clconv.train import SGD
from clconv.train.step import training_graph
from tests.interpreter import evaluate
from tests.onnx_support import by_the_book, ints, model, normal
from tests.test_cli import answer

node = helper.make_node


def hosted(proto: Any, **options: Any) -> OnnxNetwork:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        return load(proto, fallback="host", **options)


def opened(nodes: Sequence[Any], inputs: Any, tensors: Any = None, outputs: Sequence[str] = ("y",), **types: int) -> Any:
    """A model whose inputs and outputs in `types` hold what they say there."""
    proto = model(nodes, inputs, tensors, outputs)
    for value in (*proto.graph.input, *proto.graph.output):
        if value.name in types:
            value.type.tensor_type.elem_type = types[value.name]
    return onnx.shape_inference.infer_shapes(proto)


def recurrent_network() -> Any:
    """A convolution whose columns are a sequence, an LSTM over it, and a classifier of its last state."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], name="conv"),
        node("Relu", ["c"], ["r"], name="relu"),
        node("Reshape", ["r", "rows"], ["q"], name="reshape"),
        node("Transpose", ["q"], ["t"], perm=[2, 0, 1], name="transpose"),
        node("LSTM", ["t", "W", "R"], ["", "h"], hidden_size=4, name="lstm"),
        node("Squeeze", ["h", "first"], ["z"], name="squeeze"),
        node("Gemm", ["z", "g"], ["y"], name="gemm"),
    ]
    tensors = {"w": normal(2, 3, 1, 1), "rows": ints(1, 2, 64), "W": normal(1, 16, 2), "R": normal(1, 16, 4), "first": ints(0)}
    return model(nodes, {"x": (1, 3, 8, 8)}, {**tensors, "g": normal(4, 5)})


def positions() -> Any:
    """The three largest of each row, where they were, and what another tensor has there: whole numbers go from node to node."""
    nodes = [
        node("TopK", ["x", "k"], ["v", "i"], name="best"),
        node("GatherElements", ["x", "i"], ["g"], axis=1, name="there"),
        node("Add", ["g", "v"], ["y"], name="sum"),
        node("Mul", ["i", "two"], ["j"], name="twice"),
    ]
    return opened(nodes, {"x": (2, 5)}, {"k": ints(3), "two": ints(2)}, ("y", "j", "i"), j=TensorProto.INT64, i=TensorProto.INT64)


def test_a_convolution_a_recurrent_layer_and_a_classifier(queue: Any) -> None:
    proto, x = recurrent_network(), normal(1, 3, 8, 8)
    net = hosted(proto)
    run = clconv.compile(net, (1, 3, 8, 8), queue)
    assert isinstance(run, HybridRun) and len(run.runs) == 2
    wanted = by_the_book(proto, x)[0]
    np.testing.assert_allclose(run(x).get(), wanted, rtol=1e-5, atol=1e-6)
    text = run.explain()
    assert "stage 2 of 3, on the host\nlstm: LSTM\n    (float32 64x1x2, float32 1x16x2, float32 1x16x4) -> " in text
    assert "there is no rule for this operator" in text and "stage 3 of 3, on the device" in text
    host = next(row for row in run.profile(x, repeats=1).rows if row.kernel == "host")
    assert (host.label, host.problem) == ("lstm", "LSTM") and host.share > 0.1
    assert net.parameter_count() == 6 + 32 + 64 + 20


def test_one_warning_lists_all_nodes_and_names_the_callers_line() -> None:
    dets = [node("Det", ["x"], ["d"], name="det"), node("Det", ["x"], ["e"], name="other")]
    nodes = [*dets, node("TopK", ["d", "k"], ["y", "i"], name="top"), node("Add", ["y", "e"], ["z"])]
    proto = model(nodes, {"x": (2, 3, 3)}, {"k": ints(2)}, ("z",))
    with pytest.warns(FallbackWarning) as caught:
        net = load(proto, fallback="host")
        net.trace((2, 3, 3))
    assert [str(w.message) for w in caught] == [
        'made by hand: computed on the host, as fallback="host" allows, slowly and without gradients: Det (det, other); TopK (top)'
    ]
    assert Path(caught[0].filename).name == Path(__file__).name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(model([node("Relu", ["x"], ["y"])], {"x": (2, 2)}), fallback="host")


def test_whole_numbers_stay_what_they_are() -> None:
    """Also where a kernel could compute with them, as floats: what reads them is on the host too."""
    proto, x = positions(), normal(2, 5)
    net = hosted(proto)
    for got, wanted in zip(evaluate(net, x), by_the_book(proto, x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    run = clconv.compile(net, (2, 5))
    *_, doubled, best = run(x)
    assert doubled.dtype == best.dtype == np.int64
    np.testing.assert_array_equal(doubled.get(), 2 * np.argsort(-x, 1)[:, :3])
    assert "'i' is on the host, in a type that no kernel knows" in run.explain()


def test_truth_values_of_a_kernel_reach_the_host_as_such() -> None:
    nodes = [node("Greater", ["x", "zero"], ["m"]), node("Compress", ["x", "m"], ["y"], name="some")]
    proto = model(nodes, {"x": (6,)}, {"zero": np.zeros(1, np.float32)})
    x = normal(6)
    np.testing.assert_array_equal(evaluate(hosted(proto), x)[0], x[x > 0])


def test_shapes_that_depend_on_values_keep_what_reads_them_on_the_host() -> None:
    nodes = [
        node("NonZero", ["x"], ["i"], name="where"),
        node("Transpose", ["i"], ["t"], name="turned"),
        node("GatherND", ["x", "t"], ["v"], name="values"),
        node("Relu", ["v"], ["r"], name="relu"),
        node("ReduceSum", ["r"], ["s"], keepdims=0, name="all"),
        node("Exp", ["s"], ["y"], name="exp"),
    ]
    proto, x = model(nodes, {"x": (2, 3)}, outputs=("y", "r")), np.array([[0, 1, -2], [0.5, 0, 0]], np.float32)
    net = hosted(proto)
    by_place = {n.label: n.op for n in topological(net.trace((2, 3)).outputs) if n.op not in ("item", "input")}
    assert by_place == dict.fromkeys(("where", "turned", "values", "relu", "all"), "host") | {"exp": "exp"}
    y, r = evaluate(net, x)
    np.testing.assert_allclose(y, np.exp(1.5), rtol=1e-6)
    np.testing.assert_array_equal(r, [1, 0, 0.5])


def test_a_loop_a_branch_and_what_their_graphs_read_from_outside() -> None:
    """The loop collects a row in each of three steps, though it has no condition; the branch is taken by a value."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Mul", ["s", "factor"], ["t"]), node("Identity", ["go"], ["on"]), node("Identity", ["t"], ["row"])], "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("s", TensorProto.FLOAT, [2])],
        [value("on", TensorProto.BOOL, []), value("t", TensorProto.FLOAT, [2]), value("row", TensorProto.FLOAT, [2])],
    )  # fmt: skip
    branches = {
        name: helper.make_graph([node(op, ["rows"], [f"{op}_out"])], name, [], [value(f"{op}_out", TensorProto.FLOAT, None)])
        for name, op in (("then_branch", "Neg"), ("else_branch", "Identity"))
    }
    nodes = [
        node("Relu", ["x"], ["factor"]),
        node("Loop", ["three", "", "x"], ["last", "rows"], body=body, name="loop"),
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["positive"]),
        node("If", ["positive"], ["y"], name="branch", **branches),
    ]
    proto = model(nodes, {"x": (2,)}, {"three": np.array(3), "zero": np.array(0, np.float32)}, ("y", "last"))
    net = hosted(proto)
    for x in (np.array([2, 1], np.float32), np.array([-3, 1], np.float32)):
        rows = np.stack([x * np.maximum(x, 0) ** n for n in (1, 2, 3)])
        y, last = evaluate(net, x)
        np.testing.assert_array_equal(y, -rows if x.sum() > 0 else rows)
        np.testing.assert_array_equal(last, rows[-1])


def test_what_a_rule_refuses_runs_on_the_host() -> None:
    proto = model([node("Pad", ["x", "p", "v"], ["y"], name="pad")], {"x": (2, 3), "v": ()}, {"p": ints(0, 1, 0, 0)})
    with pytest.raises(OnnxError, match="input 'v' decides what runs"):
        load(proto).trace({"x": (2, 3), "v": ()})
    net, x = hosted(proto), normal(2, 3)
    np.testing.assert_array_equal(evaluate(net, x, np.array(7, np.float32))[0], np.pad(x, ((0, 0), (1, 0)), constant_values=7))
    text = clconv.compile(net, {"x": (2, 3), "v": ()}).explain()
    assert "(float32 2x3, float32 scalar) -> (float32 2x4)\n    Pad: input 2, 'v', is computed from the network's inputs" in text


def test_sizes_that_do_not_fit_are_no_case_for_the_host() -> None:
    proto = model([node("Conv", ["x", "w"], ["y"], name="here")], {"x": (1, 4, 6, 6)}, {"w": normal(6, 5, 3, 3)})
    with pytest.raises(OnnxError, match="here: conv2d: input channels 4 != weight channels 5 x groups 1"):
        hosted(proto)


def test_inputs_of_whole_numbers_are_taken_or_given_before() -> None:
    nodes = [node("Gather", ["table", "ids"], ["e"], name="embed"), node("Relu", ["e"], ["y"])]
    net = hosted(opened(nodes, {"ids": (2, 2)}, {"table": normal(5, 3)}, ids=TensorProto.INT64))
    table = net.named_parameters()["table"].value
    ids = np.array([[0, 4], [2, 2]])
    np.testing.assert_array_equal(evaluate(net, ids)[0], np.maximum(table[ids], 0))
    assert not any(n.op == "host" for n in topological(net.with_values(ids=ids).trace({}).outputs))


@pytest.mark.parametrize("op_type, gates, most", [("LSTM", 4, 3), ("GRU", 3, 2)])
def test_outputs_that_the_operator_does_not_have(op_type: str, gates: int, most: int) -> None:
    names = ["y", "h", "c", "d"][: most + 1]
    tensors = {"W": normal(1, 4 * gates, 2), "R": normal(1, 4 * gates, 4)}
    proto = model([node(op_type, ["x", "W", "R"], names, hidden_size=4, name="here")], {"x": (3, 1, 2)}, tensors)
    with pytest.raises(OnnxError, match=f"here: {op_type}: gives {most} outputs, the node names {most + 1}"):
        evaluate(hosted(proto), normal(3, 1, 2))


def test_what_neither_knows_is_named_and_the_error_tells_of_the_fallback() -> None:
    nodes = [node("Attention", ["x"], ["a"], domain="com.microsoft", name="mine"), node("Det", ["a"], ["y"], name="det")]
    proto = model(nodes, {"x": (2, 2)}, outputs=())
    proto.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    with pytest.raises(OnnxError, match="neither clconv nor onnx.reference computes: com.microsoft.Attention \\(mine\\)$"):
        hosted(proto)
    with pytest.raises(OnnxError, match=r"\(mine\); Det \(det\)\. Supported are .*; load\(\.\.\., fallback=\"host\"\) lets the host"):
        load(proto)
    with pytest.raises(OnnxError, match="load: fallback must be None or 'host', got 'gpu'"):
        load(proto, fallback="gpu")  # type: ignore[arg-type]


def test_tensors_of_a_branch_do_not_come_from_other_files() -> None:
    far = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    far.external_data.add(key="location", value="/etc/passwd")
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("far", TensorProto.FLOAT, [2])], [far])
    proto = model([node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], {}, {"c": np.array(True)}, outputs=())
    proto.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [2]))
    with pytest.raises(OnnxError, match="tensor 'far' of a subgraph lies in another file"):
        hosted(proto)


def test_text_and_sequences_cannot_be_results() -> None:
    net = hosted(opened([node("SplitToSequence", ["x"], ["y"], name="split")], {"x": (2, 2)}))
    with pytest.raises(UnsupportedError, match="split: gives sequence, which no array on a device holds; name other outputs"):
        clconv.compile(net, (2, 2))


def test_gradients_end_at_the_host() -> None:
    """What comes after its last node is trained; what comes before is refused, unless it is frozen."""
    net, target = hosted(recurrent_network()), TensorSpec((1,), "int32")
    with pytest.raises(UnsupportedError, match="lstm, backward: LSTM: is computed on the host, .* freeze the parameters before it"):
        training_graph(net, (1, 3, 8, 8), target, F.cross_entropy, SGD(0.1))
    net.freeze("w")
    graph = training_graph(net, (1, 3, 8, 8), target, F.cross_entropy, SGD(0.1))
    assert [parameter.name for parameter, _ in graph.updates] == ["g"]


def test_the_official_interface_computes_nothing_on_the_host() -> None:
    with pytest.raises(OnnxError, match="not supported: TopK"):
        prepare(positions())


def test_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(recurrent_network(), path)
    table = answer("run", str(path), "--list", "--fallback", "host")
    assert next(line for line in table.splitlines() if line.startswith("lstm")).split()[1:4] == ["LSTM", "64x1x1x4", "host"]
    assert "FallbackWarning: " in table and "LSTM (lstm)" in table


def test_inputs_of_types_that_only_the_host_knows_are_not_saved() -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3]), helper.make_tensor_value_info("n", TensorProto.INT64, [2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 3])]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", inputs, outputs)
    net = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), fallback="host")
    with pytest.raises(OnnxError, match=r"types that only the host knows: n \(int64\)"):
        to_model(net)
