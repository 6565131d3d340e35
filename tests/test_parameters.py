"""Parameters whose first value is drawn when somebody needs it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import clconv
from clconv import nn
from clconv.errors import ArrayError
from clconv.graph.parameter import Drawn, Parameter, draw_ahead
from clconv.nn.init import LARGE, seeded

WIDE = LARGE // 256


def layers() -> nn.Sequential:
    with seeded(4):
        return nn.Sequential(first=nn.Linear(256, WIDE), last=nn.Linear(WIDE, 256))


def test_large_weights_do_not_depend_on_when_they_are_drawn() -> None:
    one, other = layers(), layers()
    assert one.first.weight.is_to_be_drawn and not one.first.bias.is_to_be_drawn
    last, first = other.last.weight.value, other.first.weight.value
    np.testing.assert_array_equal(one.first.weight.value, first)
    np.testing.assert_array_equal(one.last.weight.value, last)
    assert not one.first.weight.is_to_be_drawn and np.abs(first).max() > 0 and not np.array_equal(first.ravel(), last.ravel())


def test_what_is_loaded_over_is_never_drawn() -> None:
    def refuse(generator: np.random.Generator, shape: Any) -> np.ndarray:
        raise AssertionError("drawn")

    layer = nn.Linear(256, WIDE, bias=False, weight_init=refuse)
    layer.load_state_dict({"weight": np.ones((WIDE, 256), np.float32)})
    assert layer.weight.value.all()
    with pytest.raises(AssertionError, match="drawn"):
        nn.Linear(256, WIDE, weight_init=refuse).state_dict()


def test_a_draw_of_another_shape_is_refused() -> None:
    layer = nn.Linear(256, WIDE, weight_init=lambda generator, shape: np.zeros(shape[::-1], np.float32))
    with pytest.raises(ArrayError, match=rf"asked for an array of shape \({WIDE}, 256\), and gave one of \(256, {WIDE}\)"):
        layer.state_dict()


def test_everybody_gets_the_same_draw() -> None:
    """Two threads ask at once; one of them draws, and a value set meanwhile stays."""
    began, gate, count = threading.Event(), threading.Event(), []

    def draw() -> np.ndarray:
        count.append(1)
        began.set()
        gate.wait(30)
        return np.full(3, 2.0, np.float32)

    kept, replaced = (Parameter(Drawn((3,), draw)) for _ in range(2))
    got: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: got.append(kept.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    draw_ahead([replaced])
    assert began.wait(30)
    replaced.value = np.ones(3)
    gate.set()
    for thread in threads:
        thread.join(30)
    assert len(got) == 2 and all((value == 2).all() for value in got)
    assert len(count) <= 2, "at most one draw for each parameter"
    assert (replaced.value == 1).all()


def test_a_compiled_network_has_the_weights_that_were_drawn(queue: Any) -> None:
    net, x = layers(), np.eye(1, 256, 5, dtype=np.float32)
    got = clconv.compile(net, x.shape, queue)(x).get()
    state = {name: value.astype(np.float64) for name, value in net.state_dict().items()}
    hidden = x @ state["first.weight"].T + state["first.bias"]
    np.testing.assert_allclose(got, hidden @ state["last.weight"].T + state["last.bias"], rtol=1e-4, atol=1e-5)
