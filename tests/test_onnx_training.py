"""Fine-tuning what a file describes: some of its parameters frozen, its normalisation in training mode, the loss on what comes before
its softmax; and the trained network saved under the names that the file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import clconv
from clconv.onnx import load
from clconv.onnx.exporting import to_model
from clconv.train import SGD, Trainer
from tests.interpreter import evaluate
from tests.train_support import small_net, stripes


def classifier() -> Any:
    """A file with convolution, normalisation, linear layer and softmax, as an exporter writes them."""
    proto = to_model(small_net(norm=True), (1, 1, 8, 8))
    (scores,) = proto.graph.output
    proto.graph.node.append(helper.make_node("Softmax", [scores.name], ["classes"], axis=1))
    proto.graph.output[0].name = "classes"
    return proto


def scores_of(proto: Any) -> str:
    """What the last softmax reads."""
    name: str = [node.input[0] for node in proto.graph.node if node.op_type == "Softmax"][-1]
    return name


def tensors(proto: Any) -> dict[str, tuple[int, ...]]:
    return {t.name: tuple(t.dims) for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}


@pytest.mark.peers
def test_an_imported_network_is_fine_tuned(queue: Any, tmp_path: Path) -> None:
    proto, data = classifier(), stripes()
    net = load(proto, outputs=[scores_of(proto)])
    assert set(net.named_parameters()) == set(tensors(proto))
    net.freeze("conv.*")
    before = {name: value.copy() for name, value in net.state_dict().items()}
    trainer = Trainer(net, optimiser=SGD(0.1, momentum=0.9), queue=queue)
    history = trainer.fit(data, epochs=3, batch_size=25, progress=False)
    assert history[-1].loss < 0.5 * history[0].loss

    after = net.state_dict()
    same = {name for name in before if np.array_equal(before[name].view(np.int32), after[name].view(np.int32))}
    assert same == {"conv.weight", "conv.bias"}

    clconv.onnx.save(net, tmp_path / "tuned.onnx", (1, 1, 8, 8))
    saved = onnx.load(tmp_path / "tuned.onnx")
    assert tensors(saved) == tensors(proto)
    again = load(saved)
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, after[name])
    x = data.inputs[:4]
    np.testing.assert_array_equal(evaluate(net, x)[0], evaluate(again, x)[0])
