"""What becomes of files: weights beside the model, names of networks made elsewhere, half precision, trained networks, weights alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import clconv.functional as F
from clconv import nn
from clconv.errors import OnnxError
from clconv.nn import models
from clconv.onnx import exporting, load, save, to_model
from clconv.train import SGD, Trainer, load_weights, save_weights
from tests.interpreter import evaluate
from tests.onnx_support import ints, model, normal
from tests.test_blocks import randomised
from tests.test_onnx_errors import Whole
from tests.test_onnx_save import assert_same_names
from tests.train_support import small_net, stripes

IMAGES = (2, 3, 8, 8)


def elsewhere() -> Any:
    """A file as other exporters write them: names of their own, operations without a name, a shape with the batch in it."""
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["/features/c"], name="/features/conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["/features/c", "b0"], ["/features/a"], name="/features/add"),
        helper.make_node("Relu", ["/features/a"], ["r"]),
        helper.make_node("Resize", ["r", "", "s0"], ["big"], name="/up", mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric"),
        helper.make_node("GlobalAveragePool", ["big"], ["g"], name="/pool"),
        helper.make_node("Reshape", ["g", "shape"], ["flat"], name="/flatten"),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["logits"], name="/fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="/softmax", axis=1),
    ]  # fmt: skip
    tensors = {
        "w0": normal(4, 3, 3, 3), "b0": normal(4, 1, 1), "s0": np.array([1, 1, 2, 2], np.float32), "shape": ints(2, -1),
        "w1": normal(5, 4), "b1": normal(5),
    }  # fmt: skip
    return model(nodes, {"image": IMAGES}, tensors, ("logits", "probabilities"))


def test_a_network_made_elsewhere_keeps_its_names() -> None:
    proto = elsewhere()
    net = load(proto)
    again = to_model(net)
    onnx.checker.check_model(again, full_check=True)
    assert [node.op_type for node in again.graph.node] == [
        "Conv", "Add", "Relu", "Resize", "GlobalAveragePool", "Flatten", "Gemm", "Softmax"
    ]  # fmt: skip
    assert [node.name for node in again.graph.node] == [node.name or node.output[0] for node in proto.graph.node]
    for theirs, own in ((proto.graph.input, again.graph.input), (proto.graph.output, again.graph.output)):
        assert [value.name for value in theirs] == [value.name for value in own]
    back, x = load(again), normal(*IMAGES)
    assert_same_names(net, back)
    for got, wanted in zip(evaluate(back, x), evaluate(net, x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_frozen_parameters_and_constants_stay_so() -> None:
    net = nn.Sequential(conv=nn.Conv2d(3, 4, 3), scaled=Whole(lambda x: F.mul(x, np.full((4, 1, 1), 0.5, np.float32))))
    net.freeze("*.bias")
    back = load(to_model(net, IMAGES))
    assert list(back.trainable_parameters()) == ["conv.weight"] and len(back.named_parameters()) == 3
    proto = to_model(net, IMAGES)
    proto.metadata_props[0].value = "{]"
    with pytest.raises(OnnxError, match="metadata clconv.trained must be a JSON object of true and false by tensor; remove it"):
        load(proto)


class Scaled(nn.Module):
    """Numbers that are trained, or were, one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.offset = nn.Parameter(np.float32(1.5)), nn.Parameter(np.ones(1, np.float32), trainable=False)

    def forward(self, x: Any) -> Any:
        return F.add(F.mul(x, self.factor) * 2.0, self.offset)


def test_parameters_of_one_number_stay_parameters() -> None:
    net = Scaled()
    back = load(to_model(net, (2, 3)))
    assert_same_names(net, back)
    assert to_model(back).SerializeToString() == to_model(net, (2, 3)).SerializeToString()


def test_an_open_batch_stays_open() -> None:
    net = models.lenet5()
    proto = to_model(net, (1, 1, 28, 28), batch="images")
    back = load(proto)
    assert back.dimensions == {"input": ("images", 1, 28, 28)} and back.trace((5, 1, 28, 28)).outputs[0].shape == (5, 10)
    assert to_model(back).SerializeToString() == proto.SerializeToString()
    fixed = to_model(back, (3, 1, 28, 28))
    assert [d.dim_value for d in fixed.graph.input[0].type.tensor_type.shape.dim] == [3, 1, 28, 28]


def test_weights_beside_the_model(tmp_path: Path) -> None:
    net = randomised(models.lenet5())
    save(net, tmp_path / "net.onnx", (1, 1, 28, 28), external=True)
    assert sorted(os.listdir(tmp_path)) == ["net.onnx", "net.onnx.data"]
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    assert (tmp_path / "net.onnx").stat().st_size < 12_000 < 4 * net.parameter_count() < (tmp_path / "net.onnx.data").stat().st_size
    assert_same_names(net, load(tmp_path / "net.onnx"))
    whole = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "net.onnx").graph.initializer}
    np.testing.assert_array_equal(whole["fc3.weight"], net.state_dict()["fc3.weight"])


def test_a_model_above_two_gigabytes_needs_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MOST_BYTES", 200_000)
    net = models.lenet5()
    with pytest.raises(OnnxError, match=r"do not fit into a file of at most 200000; save\(..., external=True\) puts them beside it"):
        save(net, tmp_path / "net.onnx", (1, 1, 28, 28))
    save(net, tmp_path / "net.onnx", (1, 1, 28, 28), external=True)
    assert_same_names(net, load(tmp_path / "net.onnx"))


class Halves(nn.Module):
    """A convolution that is computed in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(normal(4, 1, 1).astype(np.float16).astype(np.float32))

    def forward(self, x: Any) -> Any:
        weight, bias = F.cast(self.conv.weight.node, "float16"), F.cast(self.conv.bias.node, "float16")
        return F.conv2d(F.cast(x, "float16"), weight, bias) * F.cast(self.scale.node, "float16")


def test_weights_in_half_precision_where_nothing_is_lost() -> None:
    net = Halves()
    proto = to_model(net, IMAGES)
    onnx.checker.check_model(proto, full_check=True)
    kinds = {t.name: t.data_type for t in proto.graph.initializer}
    assert kinds["scale"] == TensorProto.FLOAT16 and kinds["conv.weight"] == kinds["conv.bias"] == TensorProto.FLOAT
    assert proto.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    back, x = load(proto), normal(*IMAGES)
    assert_same_names(net, back)
    assert back.trace(IMAGES).outputs[0].dtype == "float16"
    np.testing.assert_allclose(evaluate(back, x)[0], evaluate(net, x)[0], rtol=0, atol=1e-9)
    assert to_model(back).SerializeToString() == proto.SerializeToString()


def test_values_that_were_given_are_part_of_the_file() -> None:
    nodes = [helper.make_node("Gather", ["x", "chosen"], ["y"], name="here", axis=1)]
    made = model(nodes, {"x": (2, 4)}, outputs=("y",))
    made.graph.input.append(helper.make_tensor_value_info("chosen", TensorProto.INT64, [3]))
    back = load(to_model(load(made).with_values(chosen=ints(3, 0, 3))))
    x = normal(2, 4)
    assert list(back.dimensions) == ["x"]
    np.testing.assert_array_equal(evaluate(back, x)[0], x[:, [3, 0, 3]].astype(np.float64))


def test_weights_alone_in_and_out(tmp_path: Path) -> None:
    """Of networks from files as of all others."""
    net = load(elsewhere())
    save_weights(net, tmp_path / "net.safetensors")
    other = load(elsewhere())
    assert not np.array_equal(other.state_dict()["w0"], net.state_dict()["w0"])
    load_weights(other, tmp_path / "net.safetensors")
    assert_same_names(net, other)
    x = normal(*IMAGES)
    np.testing.assert_array_equal(evaluate(net, x)[1], evaluate(other, x)[1])


@pytest.mark.peers
def test_a_trained_network_in_onnx_runtime(queue: Any, tmp_path: Path) -> None:
    """Weights and running statistics are those after training, wherever they lie."""
    from tests.onnx_peers import by_onnx_runtime

    net, data = small_net(norm=True), stripes()
    before = net.state_dict()
    Trainer(net, optimiser=SGD(lr=0.05, momentum=0.9), queue=queue).fit(data, epochs=2, batch_size=16, progress=False)
    assert not any(np.array_equal(before[name], value) for name, value in net.state_dict().items())
    save(net, tmp_path / "net.onnx", (1, 1, 8, 8), batch="N", external=True)
    x = normal(6, 1, 8, 8)
    (wanted,) = evaluate(net, x)
    bound = 1e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(by_onnx_runtime(onnx.load(tmp_path / "net.onnx"), x)[0], wanted, rtol=0, atol=bound)
    back = load(tmp_path / "net.onnx")
    assert_same_names(net, back)
    np.testing.assert_allclose(evaluate(back, x)[0], wanted, rtol=0, atol=bound)
