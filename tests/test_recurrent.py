"""Recurrent layers on the host, against steps written out by hand and ONNX's reference implementation where that is complete."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from clconv.errors import OnnxError
from clconv.onnx.recurrent import recurrent

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
LENGTH, BATCH, WIDTH, HIDDEN = 5, 3, 4, 2


def operands(kind: str, directions: int = 1, seed: int = 0) -> list[np.ndarray]:
    """X, W, R, B."""
    rng, gates = np.random.default_rng(seed), GATES[kind] * HIDDEN
    shapes = (LENGTH, BATCH, WIDTH), (directions, gates, WIDTH), (directions, gates, HIDDEN), (directions, 2 * gates)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("linear", [0, 1])
@pytest.mark.parametrize("kind", GATES)
def test_forwards_as_the_reference_implementation_computes(kind: str, linear: int) -> None:
    attributes = {"hidden_size": HIDDEN, **({"linear_before_reset": linear} if kind == "GRU" else {})}
    given, outputs = operands(kind), ["y", "h", "c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, ["x", "w", "r", "b"], outputs, **attributes)
    wanted = ReferenceEvaluator(node, opsets={"": 14}).run(None, dict(zip("xwrb", given, strict=True)))
    for got, expected in zip(recurrent(kind, attributes, given, len(outputs)), wanted, strict=True):
        assert got.shape == expected.shape and got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", GATES)
def test_backwards_is_forwards_of_the_turned_sequence(kind: str) -> None:
    x, w, r, b = operands(kind, 2)
    both = recurrent(kind, {"direction": "bidirectional"}, [x, w, r, b], 2)
    ahead = recurrent(kind, {}, [x, w[:1], r[:1], b[:1]], 2)
    turned = recurrent(kind, {}, [x[::-1], w[1:], r[1:], b[1:]], 2)
    back = recurrent(kind, {"direction": "reverse"}, [x, w[1:], r[1:], b[1:]], 2)
    np.testing.assert_array_equal(back[0], turned[0][::-1])
    np.testing.assert_array_equal(both[0], np.concatenate([ahead[0], back[0]], 1))
    np.testing.assert_array_equal(both[1], np.concatenate([ahead[1], turned[1]], 0))
    first = recurrent(kind, {"direction": "bidirectional", "layout": 1}, [x.swapaxes(0, 1), w, r, b], 2)
    np.testing.assert_array_equal(first[0], both[0].transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(first[1], both[1].swapaxes(0, 1))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("kind", GATES)
def test_a_shorter_sequence_is_read_as_if_it_stood_alone(kind: str, direction: str) -> None:
    x, w, r, b = (array.astype(np.float64) for array in operands(kind))
    lengths = np.array([5, 2, 3], np.int32)
    y, last = recurrent(kind, {"direction": direction}, [x, w, r, b, lengths], 2)
    for i, length in enumerate(lengths):
        alone = recurrent(kind, {"direction": direction}, [x[:length, i : i + 1], w, r, b], 2)
        np.testing.assert_allclose(y[:length, :, i : i + 1], alone[0], rtol=1e-12)
        np.testing.assert_allclose(last[:, i : i + 1], alone[1], rtol=1e-12)
        assert not y[length:, :, i].any()


def test_one_step_by_hand() -> None:
    """LSTM with peepholes, a first state, coupled gates, clipping and activations of its own: h = f(o) * relu(c)."""
    one = np.ones((1, 1, 1), np.float32)
    w, r = np.array([[[1.0], [2.0], [3.0], [4.0]]], np.float32), np.full((1, 4, 1), 0.5, np.float32)
    p = np.array([[0.25, 0.5, 0.75]], np.float32)
    attributes: dict[str, Any] = {"input_forget": 1, "clip": 3.0, "activations": ["HardSigmoid", "Affine", "Relu"],
                                  "activation_alpha": [0.1, 2.0], "activation_beta": [0.2, 1.0]}  # fmt: skip
    y, h, c = recurrent("LSTM", attributes, [one, w, r, None, None, one, 2 * one, p], 3)
    i = 0.1 * 2.0 + 0.2                   # 1 + 0.5 + 0.25 * 2 = 2
    cell = (1 - i) * 2 + i * (2 * 3 + 1)  # 4 + 0.5, clipped to 3
    o = 0.1 * 3 + 0.2                     # 2 + 0.5 + 0.5 * cell = 4.5, clipped to 3
    np.testing.assert_allclose([c.item(), h.item(), y.item()], [cell, o * cell, o * cell], rtol=1e-6)


def test_refusals() -> None:
    x, w, r, b = operands("GRU")
    with pytest.raises(OnnxError, match="GRU: direction 'bidirectional' does not fit weights for 1 directions"):
        recurrent("GRU", {"direction": "bidirectional"}, [x, w, r, b], 1)
    with pytest.raises(OnnxError, match="GRU: activations must be 2 of affine, .*, got Sigmoid, Magic"):
        recurrent("GRU", {"activations": ["Sigmoid", "Magic"]}, [x, w, r, b], 1)
    with pytest.raises(OnnxError, match="GRU: activations must be 2 of .*, got Tanh"):
        recurrent("GRU", {"activations": [b"Tanh"]}, [x, w, r, b], 1)
