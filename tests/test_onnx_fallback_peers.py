"""What the host computes beside ONNX Runtime: recurrent layers with all that they may say, and networks with host nodes everywhere."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyopencl.array as cla
import pytest
from onnx import TensorProto, helper

import clconv
from clconv.errors import FallbackWarning
from clconv.onnx import load
from tests.onnx_support import ints, model, normal
from tests.test_onnx_fallback import opened, recurrent_network
from tests.test_recurrent import BATCH, GATES, HIDDEN, LENGTH, WIDTH

pytestmark = pytest.mark.peers
node = helper.make_node

LAYERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "LSTM": ("LSTM", {}, False),
    "LSTM, both ways, lengths": ("LSTM", {"direction": "bidirectional"}, True),
    "LSTM, backwards, lengths, clipped": ("LSTM", {"direction": "reverse", "clip": 0.4}, True),
    "LSTM, coupled gates": ("LSTM", {"input_forget": 1}, False),
    "LSTM, other activations": ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Affine"], "activation_alpha": [0.3, 0.9],
                                         "activation_beta": [0.4, 0.1]}, False),
    "GRU, both ways, lengths": ("GRU", {"direction": "bidirectional"}, True),
    "GRU, linear": ("GRU", {"linear_before_reset": 1, "clip": 0.7}, False),
    "GRU, other activations": ("GRU", {"activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.2]}, False),
    "RNN, both ways": ("RNN", {"direction": "bidirectional", "activations": ["Relu", "Tanh"]}, False),
    "RNN, backwards, lengths": ("RNN", {"direction": "reverse", "activations": ["Elu"], "activation_alpha": [0.5]}, True),
}  # fmt: skip


def compared(queue: Any, proto: Any, *arrays: np.ndarray) -> Any:
    """The run, after its results were compared with those of ONNX Runtime."""
    from tests.onnx_peers import by_onnx_runtime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        net = load(proto, fallback="host")
        run = clconv.compile(net, {name: a.shape for name, a in zip(net.dimensions, arrays, strict=True)}, queue)
    results = run(*arrays)
    for got, wanted in zip(results if isinstance(results, tuple) else (results,), by_onnx_runtime(proto, *arrays), strict=True):
        assert got.shape == wanted.shape and (got.dtype == wanted.dtype or wanted.dtype == np.bool_)
        np.testing.assert_allclose(got.get(), wanted, rtol=0, atol=1e-5 * max(1.0, float(np.abs(wanted).max(initial=0))))
    return run


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers(queue: Any, name: str) -> None:
    kind, attributes, lengths = LAYERS[name]
    directions, gates = 2 if attributes.get("direction") == "bidirectional" else 1, GATES[kind] * HIDDEN
    tensors = {
        "w": normal(directions, gates, WIDTH), "r": normal(directions, gates, HIDDEN), "b": normal(directions, 2 * gates),
        "n": np.array([5, 2, 3], np.int32), "h": normal(directions, BATCH, HIDDEN), "c": normal(directions, BATCH, HIDDEN),
        "p": normal(directions, 3 * HIDDEN),
    }  # fmt: skip
    names = ["x", "w", "r", "b", "n" if lengths else "", "h"] + (["c", "p"] if kind == "LSTM" else [])
    outputs = ("y", "last", "cell") if kind == "LSTM" else ("y", "last")
    layer = node(kind, names, list(outputs), hidden_size=HIDDEN, name="here", **attributes)
    used = {name: tensor for name, tensor in tensors.items() if name in names}
    compared(queue, model([layer], {"x": (LENGTH, BATCH, WIDTH)}, used, outputs), normal(LENGTH, BATCH, WIDTH))


def test_a_recurrent_network(queue: Any) -> None:
    """Also from a device array and into every other element of one, with old memory full of NaN."""
    x = normal(1, 3, 8, 8)
    run = compared(queue, recurrent_network(), x)
    wanted, every = run(x).get(), cla.zeros(queue, (1, 10), np.float32)
    run.poison()
    run(cla.to_device(queue, x), out=every[:, ::2])
    np.testing.assert_array_equal(every.get(), np.stack([wanted, np.zeros_like(wanted)], 2).reshape(1, 10))
    assert run.memory["activations"] + run.memory["prepared"] == run.held_bytes > 0
    assert run.retune() == 0 and len(run.launches) == run.launch_count
    assert "__kernel" in run.source("conv")


def test_host_nodes_first_in_the_middle_of_branches_and_last(queue: Any) -> None:
    """Two inputs, two branches, whole numbers from the first node to the last."""
    nodes = [
        node("CumSum", ["a", "axis"], ["first"], name="first"),
        node("Relu", ["first"], ["left"]),
        node("TopK", ["left", "k"], ["best", "where"], name="middle"),
        node("Mul", ["b", "b"], ["right"]),
        node("GatherElements", ["right", "where"], ["same"], axis=1, name="gather"),
        node("Add", ["best", "same"], ["sum"]),
        node("Relu", ["sum"], ["y"]),
        node("NonZero", ["y"], ["z"], name="last"),
    ]
    tensors, whole = {"axis": np.array(1), "k": ints(3)}, {"where": TensorProto.INT64, "z": TensorProto.INT64}
    proto = opened(nodes, {"a": (2, 5), "b": (2, 5)}, tensors, ("y", "where", "z"), **whole)
    run = compared(queue, proto, normal(2, 5), normal(2, 5))
    text = run.explain()
    assert "stage 4 of 6, on the host\nmiddle: TopK" in text and "stage 6 of 6, on the host\nlast: NonZero" in text


def test_boxes_of_a_detector(queue: Any) -> None:
    """How many boxes are kept depends on the scores."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 8, (1, 6, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(1, 4, (1, 6, 2)).astype(np.float32)], 2)
    nodes = [
        node("Sigmoid", ["s"], ["scores"]),
        node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["y"], name="keep"),
    ]
    tensors = {"most": ints(3), "overlap": np.array([0.3], np.float32), "least": np.array([0.4], np.float32)}
    proto = opened(nodes, {"boxes": (1, 6, 4), "s": (1, 2, 6)}, tensors, y=TensorProto.INT64)
    compared(queue, proto, boxes, normal(1, 2, 6))


def test_what_comes_after_the_host_is_trained(queue: Any) -> None:
    """The classifier behind a frozen reader learns; the reader's weights stay as they are."""
    from clconv.train import SGD, Trainer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        net = load(recurrent_network(), fallback="host")
    net.freeze("w")
    before = net.state_dict()
    trainer = Trainer(net, optimiser=SGD(lr=0.5), queue=queue)
    x, target = normal(1, 3, 8, 8), np.array([2], np.int32)
    losses = [float(trainer.step(x, target).get()) for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]
    after = net.state_dict()
    assert not np.array_equal(before["g"], after["g"]) and all(np.array_equal(before[n], after[n]) for n in ("w", "W", "R"))
