"""Recurrent layers in NumPy, with all that ONNX's operators LSTM, GRU and RNN may say.

onnx.reference leaves out lengths of sequences, activations and clipping, and in older versions reads reversed sequences forwards, without
a word; so these are computed here (https://onnx.ai/onnx/operators/onnx__LSTM.html, and GRU and RNN beside it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clconv.errors import OnnxError

Array = np.ndarray
Function = Callable[[Array], Array]
Step = Callable[["Direction", Array, tuple[Array, ...]], tuple[Array, ...]]

DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


# name -> (function of x, alpha, beta; the values that alpha and beta have where the node says none)
ACTIVATIONS: dict[str, tuple[Callable[[Array, float, float], Array], float, float]] = {
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "elu": (lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x), 1.0, 0.0),
    "hardsigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "leakyrelu": (lambda x, a, b: np.where(x < 0, a * x, x), 0.01, 0.0),
    "relu": (lambda x, a, b: np.maximum(x, 0), 0.0, 0.0),
    "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "sigmoid": (lambda x, a, b: _sigmoid(x), 0.0, 0.0),
    "softplus": (lambda x, a, b: np.logaddexp(x, 0), 0.0, 0.0),
    "softsign": (lambda x, a, b: x / (1 + np.abs(x)), 0.0, 0.0),
    "tanh": (lambda x, a, b: np.tanh(x), 0.0, 0.0),
    "thresholdedrelu": (lambda x, a, b: np.where(x > a, x, 0), 1.0, 0.0),
}
TAKES_ALPHA = ("affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu")
TAKES_BETA = ("affine", "hardsigmoid", "scaledtanh")


@dataclass(frozen=True)
class Direction:
    """One reading of the sequences: recurrent weights (gates * H, H), biases of both sides (gates * H), LSTM's peepholes (3 * H)."""

    recurrent: Array
    bias: tuple[Array, Array]
    peepholes: Array
    functions: tuple[Function, ...]
    clip: float | None
    linear: bool
    coupled: bool

    def act(self, index: int, x: Array) -> Array:
        """The activation of that number, of clipped values."""
        return self.functions[index](x if self.clip is None else np.clip(x, -self.clip, self.clip))


def recurrent(kind: str, attributes: Mapping[str, Any], inputs: Sequence[Array | None], count: int) -> list[Array]:
    """Y, Y_h and, of LSTM, Y_c: the first `count`. `inputs` are those of the operator `kind`, None where left out.

    Sequences X (length, N, input size), or (N, length, input size) with layout 1; a sequence that is shorter than the longest gives zeros
    after its end, and its last state is that of its own last step.
    """
    x, w, r, b, lengths, h, c, p = [*inputs, *[None] * 8][:8]
    assert x is not None and w is not None and r is not None
    batch_first = attributes.get("layout", 0) == 1
    x, h, c = (None if a is None else a.swapaxes(0, 1) if batch_first else a for a in (x, h, c))
    assert x is not None
    directions, hidden, dtype = w.shape[0], r.shape[2], x.dtype
    named = str(attributes.get("direction", "forward"))
    if named not in ("forward", "reverse", "bidirectional") or directions != (2 if named == "bidirectional" else 1):
        raise OnnxError(f"{kind}: direction {named!r} does not fit weights for {directions} directions")
    valid = None if lengths is None else np.arange(len(x))[:, None] < np.asarray(lengths)
    functions = _functions(kind, attributes, directions)
    results = []
    for d in range(directions):
        sides = np.zeros((2, w.shape[1]), dtype) if b is None else b[d].reshape(2, -1)
        peepholes = np.zeros(3 * hidden, dtype) if p is None else p[d]
        clip, linear = attributes.get("clip"), bool(attributes.get("linear_before_reset", 0))
        own = Direction(r[d], (sides[0], sides[1]), peepholes, functions[d], clip, linear, bool(attributes.get("input_forget", 0)))
        zeros = np.zeros((x.shape[1], hidden), dtype)
        state = tuple(zeros if first is None else first[d] for first in ((h, c) if kind == "LSTM" else (h,)))
        results.append(_read(STEPS[kind], own, x @ w[d].T, state, valid, backwards=named == "reverse" or d == 1))
    y = np.stack([outputs for outputs, _ in results], 1)
    last = [np.stack(states) for states in zip(*(state for _, state in results), strict=True)]
    if batch_first:
        y, last = y.transpose(2, 0, 1, 3), [state.swapaxes(0, 1) for state in last]
    return [array.astype(dtype, copy=False) for array in (y, *last)][:count]


def _read(
    step: Step, own: Direction, projected: Array, state: tuple[Array, ...], valid: Array | None, backwards: bool
) -> tuple[Array, tuple[Array, ...]]:
    """All outputs (length, N, H) and the last states. A step beyond a sequence's end changes no state, also where reading begins there."""
    outputs = np.zeros((*projected.shape[:2], own.recurrent.shape[1]), projected.dtype)
    for t in reversed(range(len(projected))) if backwards else range(len(projected)):
        renewed = step(own, projected[t], state)
        if valid is None:
            state, outputs[t] = renewed, renewed[0]
        else:
            counts = valid[t][:, None]
            state = tuple(np.where(counts, new, old) for new, old in zip(renewed, state, strict=True))
            outputs[t] = np.where(counts, state[0], 0)
    return outputs, state


def _lstm(own: Direction, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Gates in the order input, output, forget, cell. The cell itself is not clipped, as in ONNX Runtime."""
    h, c = state
    i, o, f, g = np.split(x + h @ own.recurrent.T + own.bias[0] + own.bias[1], 4, axis=1)
    p_i, p_o, p_f = np.split(own.peepholes, 3)
    i = own.act(0, i + p_i * c)
    f = 1 - i if own.coupled else own.act(0, f + p_f * c)
    c = f * c + i * own.act(1, g)
    return own.act(0, o + p_o * c) * own.functions[2](c), c


def _gru(own: Direction, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Gates in the order update, reset, hidden."""
    (h,) = state
    size = h.shape[1]
    x = x + own.bias[0]
    z, r = np.split(own.act(0, x[:, : 2 * size] + h @ own.recurrent[: 2 * size].T + own.bias[1][: 2 * size]), 2, axis=1)
    weights, bias = own.recurrent[2 * size :].T, own.bias[1][2 * size :]
    inner = r * (h @ weights + bias) if own.linear else (r * h) @ weights + bias
    return ((1 - z) * own.act(1, x[:, 2 * size :] + inner) + z * h,)


def _rnn(own: Direction, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    return (own.act(0, x + state[0] @ own.recurrent.T + own.bias[0] + own.bias[1]),)


STEPS: dict[str, Step] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def _functions(kind: str, attributes: Mapping[str, Any], directions: int) -> list[tuple[Function, ...]]:
    """The activations of each direction; alpha and beta are listed for those alone that take one."""
    names = [str(name.decode() if isinstance(name, bytes) else name) for name in attributes.get("activations", ())]
    names = names or list(DEFAULTS[kind]) * directions
    each = len(DEFAULTS[kind])
    unknown = [name for name in names if name.lower() not in ACTIVATIONS]
    if unknown or len(names) != each * directions:
        raise OnnxError(f"{kind}: activations must be {each * directions} of {', '.join(ACTIVATIONS)}, got {', '.join(names)}")
    alphas, betas = list(attributes.get("activation_alpha", ())), list(attributes.get("activation_beta", ()))
    made: list[Function] = []
    for name in map(str.lower, names):
        function, alpha, beta = ACTIVATIONS[name]
        alpha = alphas.pop(0) if name in TAKES_ALPHA and alphas else alpha
        beta = betas.pop(0) if name in TAKES_BETA and betas else beta
        made.append(lambda x, function=function, alpha=alpha, beta=beta: function(x, alpha, beta))  # type: ignore[misc]
    return [tuple(made[d * each : (d + 1) * each]) for d in range(directions)]
