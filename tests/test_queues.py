"""Parameters and runs shared by queues and by threads: serialised, never wrong."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn, reference
from clconv.geometry import ConvGeometry
from clconv.train import SGD, Trainer
from tests.functional_support import exactly, send
from tests.support import integers
from tests.train_support import assert_same_state

RNG = np.random.default_rng(11)


def disordered(queue: Any) -> Any:
    return cl.CommandQueue(queue.context, queue.device, cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE)


IMAGES, TARGET = integers(RNG, (4, 1, 4, 4)), integers(RNG, (4, 4, 4, 4))


def trainer_of(queue: Any) -> Trainer:
    net = nn.Sequential(conv=nn.Conv2d(1, 4, 3, padding=1))
    net.load_state_dict({"conv.weight": np.full((4, 1, 3, 3), 0.25), "conv.bias": np.zeros(4)})
    return Trainer(net, F.mse_loss, SGD(0.125), queue)


class Gate:
    """Inputs on a queue that only exist once the gate opens, which it does by itself after a while."""

    def __init__(self, queue: Any) -> None:
        self.event = cl.UserEvent(queue.context)
        self.timer = threading.Timer(0.2, self.event.set_status, [cl.command_execution_status.COMPLETE])
        self.timer.start()

    def input(self, queue: Any, array: np.ndarray) -> cla.Array:
        held = send(queue, array)
        held.add_event(self.event)
        return held


@pytest.fixture(scope="module")
def stepped(queue: Any) -> list[dict[str, np.ndarray]]:
    """The parameters after 0, 1, 2, ... steps on an ordinary queue."""
    trainer = trainer_of(queue)
    states = [trainer.net.state_dict()]
    for _ in range(8):
        trainer.step(IMAGES, TARGET)
        states.append(trainer.net.state_dict())
    return states


def test_parameters_on_an_out_of_order_queue(queue: Any, stepped: list[dict[str, np.ndarray]]) -> None:
    """Reading, other runs and new values wait for the step that is still under way."""
    mine = disordered(queue)
    trainer = warm(trainer_of(mine), stepped)
    predict = clconv.compile(trainer.net, IMAGES.shape, mine)
    before = predict(IMAGES).get()
    trainer.step(Gate(mine).input(mine, IMAGES), send(mine, TARGET))
    assert_same_state(trainer.net.state_dict(), stepped[1])
    trainer.step(Gate(mine).input(mine, IMAGES), send(mine, TARGET))
    after = predict(IMAGES).get()
    assert not np.array_equal(after, before)
    assert_same_state(trainer.net.state_dict(), stepped[2])
    np.testing.assert_array_equal(predict(IMAGES).get(), after)
    trainer.step(Gate(mine).input(mine, IMAGES), send(mine, TARGET))
    trainer.net.load_state_dict(stepped[0])
    np.testing.assert_array_equal(predict(IMAGES).get(), before)
    assert_same_state(trainer.net.state_dict(), stepped[0])


def test_parameters_on_two_queues(queue: Any, stepped: list[dict[str, np.ndarray]]) -> None:
    """Two in-order queues of one context share the parameters' memory; neither's order binds the other."""
    trainer = trainer_of(queue)
    other = cl.CommandQueue(queue.context, queue.device)
    predict = clconv.compile(trainer.net, IMAGES.shape, other)
    predict(IMAGES).get()
    trainer.step(Gate(queue).input(queue, IMAGES), send(queue, TARGET))
    after = predict(IMAGES).get()
    assert_same_state(trainer.net.state_dict(), stepped[1])
    np.testing.assert_array_equal(predict(IMAGES).get(), after)


def warm(trainer: Trainer, stepped: list[dict[str, np.ndarray]]) -> Trainer:
    """The trainer as new, but with everything built and bound."""
    trainer.step(IMAGES, TARGET)
    trainer.net.load_state_dict(stepped[0])
    return trainer


def in_two_threads(work: Callable[[int], None]) -> None:
    """At once, and with the interpreter changing between them as often as it can."""
    wrong: list[BaseException] = []
    start, interval = threading.Barrier(2), sys.getswitchinterval()

    def guarded(number: int) -> None:
        try:
            start.wait(60)
            work(number)
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(2)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        sys.setswitchinterval(interval)
    assert not wrong, wrong[0]
    assert not any(thread.is_alive() for thread in threads)


def test_a_run_from_two_threads(queue: Any) -> None:
    """Each with arrays of its own, views too, for which both want a new variant at once, and from the host."""
    net = nn.Sequential(conv=nn.Conv2d(1, 4, 3, padding=1))
    net.load_state_dict({"conv.weight": integers(RNG, (4, 1, 3, 3)), "conv.bias": integers(RNG, (4,))})
    run = clconv.compile(net, IMAGES.shape, queue)
    images = [integers(RNG, IMAGES.shape) for _ in range(2)]
    state = net.state_dict()
    wanted = [reference.conv(x, state["conv.weight"], state["conv.bias"], ConvGeometry.make((3, 3), padding=1)) for x in images]

    def work(number: int) -> None:
        plain, view = send(queue, images[number]), send(queue, images[number][:, :, ::-1])[:, :, ::-1]
        for _ in range(20):
            exactly(run(view), wanted[number])
            exactly(run(plain), wanted[number])
            exactly(run(images[number]), wanted[number])

    in_two_threads(work)


def test_a_training_step_from_two_threads(queue: Any, stepped: list[dict[str, np.ndarray]]) -> None:
    """Serialised: eight steps are eight steps, whoever takes them, and reading in between loses none."""
    trainer = warm(trainer_of(queue), stepped)

    def work(number: int) -> None:
        for _ in range(4):
            trainer.step(IMAGES, TARGET)
            assert trainer.net.state_dict()["conv.weight"].shape == (4, 1, 3, 3)

    in_two_threads(work)
    assert_same_state(trainer.net.state_dict(), stepped[8])
