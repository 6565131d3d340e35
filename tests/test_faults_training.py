"""Training steps that fail at each call into OpenCL: values are of before the step, or the error says which are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyopencl as cl
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.errors import DeviceError
from clconv.graph.parameter import Parameter
from clconv.nn.init import seeded
from clconv.train import SGD, Trainer
from clconv.train.meter import Mean
from tests import faults_support as support
from tests.faults_support import Faults, counted, each_fault, injected
from tests.functional_support import send
from tests.support import integers
from tests.train_support import assert_same_state

RNG = np.random.default_rng(5)
IMAGES = integers(RNG, (4, 1, 8, 8))
TARGET = integers(RNG, (4, 4, 8, 8))


def trainer_of(queue: Any) -> Trainer:
    with seeded(1):
        net = nn.Sequential(conv=nn.Conv2d(1, 4, 3, padding=1))
    return Trainer(net, F.mse_loss, SGD(0.01, momentum=0.9), queue)


def state_of(trainer: Trainer) -> dict[str, np.ndarray]:
    return {**trainer.net.state_dict(), **{name: p.value for name, p in trainer.optimiser.state.items()}}


def put(trainer: Trainer, state: dict[str, np.ndarray]) -> None:
    parameters: dict[str, Parameter] = {**trainer.net.named_parameters(), **trainer.optimiser.state}
    for name, value in state.items():
        parameters[name].value = value


def built(queue: Any) -> Trainer:
    """A trainer as new, but with everything built and bound."""
    trainer = trainer_of(queue)
    start = trainer.net.state_dict()
    trainer.step(IMAGES, TARGET)
    put(trainer, {**start, **{name: np.zeros(p.shape, np.float32) for name, p in trainer.optimiser.state.items()}})
    trainer.steps = 0
    return trainer


@pytest.fixture(scope="module")
def course(queue: Any) -> list[tuple[float, dict[str, np.ndarray]]]:
    """Loss and state after 0, 1, 2 and 3 undisturbed steps."""
    trainer = built(queue)
    out = [(np.nan, state_of(trainer))]
    for _ in range(3):
        loss = float(trainer.step(IMAGES, TARGET).get())
        out.append((loss, state_of(trainer)))
    assert out[3][0] < out[1][0]
    return out


def test_the_first_step_of_all(queue: Any, course: Any) -> None:
    """Compiled and run by new objects, at whatever point they stopped."""
    trainers: list[Trainer] = []

    def first_step() -> None:
        trainers.append(trainer_of(queue))
        trainers[-1].step(IMAGES, TARGET)

    for _ in each_fault(first_step, "buffer copy sub-buffer kernel argument launch", most=4):
        trainer = trainers[-1]
        assert trainer.steps == 0
        assert_same_state(trainer.net.state_dict(), {n: v for n, v in course[0][1].items() if not n.startswith("velocity")})
        assert float(trainer.step(IMAGES, TARGET).get()) == course[1][0]
        assert_same_state(state_of(trainer), course[1][1])


def test_a_step_from_values_that_the_host_holds_is_undone(queue: Any, course: Any) -> None:
    trainer = built(queue)

    def step_from_the_start() -> None:
        put(trainer, course[0][1])
        trainer.steps = 0
        trainer.step(IMAGES, TARGET)
        queue.finish()  # or else it depends on chance whether the next step finds the memory of this one's inputs free

    for _ in each_fault(step_from_the_start, "buffer copy argument launch"):
        assert trainer.steps == 0
        assert_same_state(state_of(trainer), course[0][1])
        for loss, state in course[1:3]:
            assert float(trainer.step(IMAGES, TARGET).get()) == loss
            assert_same_state(state_of(trainer), state)


def test_other_runs_notice_that_a_step_was_undone(queue: Any, course: Any) -> None:
    """A run for inference shares the parameters' memory, which the failed step has overwritten in part."""
    trainer = built(queue)
    predict = clconv.compile(trainer.net, IMAGES.shape, queue)
    before = predict(IMAGES).get()
    launches = counted(lambda: trainer.step(IMAGES, TARGET))["launch"]
    put(trainer, course[0][1])
    np.testing.assert_array_equal(predict(IMAGES).get(), before)
    with injected(Faults("launch", launches)), pytest.raises(DeviceError):
        trainer.step(IMAGES, TARGET)
    np.testing.assert_array_equal(predict(IMAGES).get(), before)


def test_parameters_shared_with_another_queue(queue: Any, course: Any) -> None:
    """Runs on two queues wait for one another, and reading a parameter for both."""
    trainer = built(queue)
    predict = clconv.compile(trainer.net, IMAGES.shape, cl.CommandQueue(queue.context, queue.device))

    def both() -> None:
        put(trainer, course[0][1])
        trainer.steps = 0
        predict(IMAGES)
        trainer.step(IMAGES, TARGET)
        predict(IMAGES)

    for _ in each_fault(both, "flush copy launch"):
        put(trainer, course[0][1])
        predict(IMAGES)
        assert float(trainer.step(IMAGES, TARGET).get()) == course[1][0]
        predict(IMAGES)
        assert_same_state(state_of(trainer), course[1][1])


def test_a_step_from_values_that_only_the_device_holds(queue: Any, course: Any) -> None:
    """What was overwritten in place is gone: each parameter is of before or after the step, with its momentum; the error says so."""
    trainer = built(queue)
    halfway = 0

    def second_step(armed: Faults, number: int) -> None:
        put(trainer, course[0][1])
        trainer.steps = 0
        trainer.step(IMAGES, TARGET)
        armed.arm("launch", number)
        trainer.step(IMAGES, TARGET)

    trainer.step(IMAGES, TARGET)
    launches = counted(lambda: trainer.step(IMAGES, TARGET))["launch"]
    for number in range(1, launches + 1):
        armed = Faults()
        with injected(armed), pytest.raises(DeviceError) as caught:
            second_step(armed, number)
        state, before, after = state_of(trainer), course[1][1], course[2][1]
        stepped = {name for name in state if np.array_equal(state[name], after[name])}
        assert_same_state(state, {name: after[name] if name in stepped else before[name] for name in state})
        mixed = bool(stepped)
        halfway += mixed
        assert ("the step stopped halfway" in str(caught.value)) == mixed
        assert all((f"velocity.{name}" in stepped) == (name in stepped) for name in trainer.net.named_parameters())
        if mixed:
            assert all(name in str(caught.value) for name in list(stepped)[:1])
        check_goes_on(trainer, state, queue)
    assert 0 < halfway < launches


def check_goes_on(trainer: Trainer, state: dict[str, np.ndarray], queue: Any) -> None:
    """The trainer takes its next step from `state`, as one does that was given it."""
    assert trainer.steps == 1
    other = built(queue)
    put(other, state)
    assert float(trainer.step(IMAGES, TARGET).get()) == float(other.step(IMAGES, TARGET).get())
    assert_same_state(state_of(trainer), state_of(other))


def test_reading_a_parameter(queue: Any, course: Any) -> None:
    trainer = trainer_of(queue)
    trainer.step(IMAGES, TARGET)
    with injected(Faults("copy", 1)), pytest.raises(DeviceError) as caught:
        state_of(trainer)
    support.check_message(caught.value, "copy")
    assert "copy 144 bytes from the device" in str(caught.value)
    assert_same_state(state_of(trainer), course[1][1])


def test_a_loss_that_cannot_be_fetched_counts_once(queue: Any) -> None:
    mean = Mean()
    mean.add(send(queue, np.array([1.0])), 1)
    mean.add(send(queue, np.array([4.0])), 2)
    for number in (1, 2):
        with injected(Faults("copy", number)), pytest.raises(DeviceError):
            mean.fetch()
    assert mean.take() == 3.0
