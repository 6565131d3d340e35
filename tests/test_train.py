"""Optimisers, schedules, the Trainer, and layers, losses and loops of one's own."""

from __future__ import annotations

import doctest
import importlib
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.errors import ArrayError, ClconvError, GeometryError
from clconv.graph.node import input_node
from clconv.nn import models
from clconv.runtime import arrays
from clconv.runtime.programs import statistics
from clconv.runtime.transfer import transfers
from clconv.tensor import TensorSpec
from clconv.train import SGD, Adam, AdamW, Dataset, Epoch, Optimiser, Trainer, auxiliary, schedule, training_graph
from clconv.train.progress import Bar
from tests.interpreter import interpret
from tests.train_support import assert_same_state, small_net, stripes

SETTINGS: dict[str, Callable[[], Optimiser]] = {
    "plain": lambda: SGD(0.1),
    "decay": lambda: SGD(0.1, weight_decay=0.05),
    "momentum": lambda: SGD(0.1, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "dampening": lambda: SGD(0.1, momentum=0.9, dampening=0.3),
    "adam": lambda: Adam(0.01),
    "adam decay": lambda: Adam(0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05),
    "adamw": lambda: AdamW(0.1, weight_decay=0.05),
}


class Scale(nn.Module):
    """x times one weight a column."""

    def __init__(self, start: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(start)

    def forward(self, x: Any) -> Any:
        return F.mul(x, self.weight)


def by_hand(optimiser: Any, w: np.ndarray, gradient: Callable[[np.ndarray], np.ndarray], steps: int) -> np.ndarray:
    """The updates as torch documents them for torch.optim.SGD, Adam and AdamW, in float64."""
    w = w.astype(np.float64)
    first = second = np.zeros_like(w)
    for t in range(1, steps + 1):
        g = gradient(w)
        if isinstance(optimiser, AdamW):
            w = w - optimiser.lr * optimiser.weight_decay * w
        else:
            g = g + optimiser.weight_decay * w
        if isinstance(optimiser, SGD):
            first = g if t == 1 else optimiser.momentum * first + (1 - optimiser.dampening) * g
            w = w - optimiser.lr * (g + optimiser.momentum * first if optimiser.nesterov else first)
        else:
            b1, b2 = optimiser.betas
            first, second = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * g * g
            w = w - optimiser.lr * (first / (1 - b1**t)) / (np.sqrt(second / (1 - b2**t)) + optimiser.eps)
    return w


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.exhaustive if n == "decay" else ()) for n in SETTINGS])
def test_optimisers_do_what_their_formulas_say(name: str) -> None:
    generator = np.random.default_rng(0)
    start, x, y = (generator.normal(size=shape).astype(np.float32) for shape in ((5,), (8, 5), (8, 5)))
    trainer = Trainer(Scale(start), F.mse_loss, SETTINGS[name]())
    for _ in range(4):
        trainer.step(x, y)
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    expected = by_hand(trainer.optimiser, start, lambda w: (2 * x64 * (x64 * w - y64)).sum(axis=0) / x.size, 4)
    np.testing.assert_allclose(trainer.net.state_dict()["weight"], expected, rtol=2e-6, atol=2e-7)


def test_a_step_is_what_the_oracle_makes_of_its_graph() -> None:
    """Loss, new weights and new velocities of a small network against the same graph evaluated in float64."""
    net, optimiser, data = small_net(norm=True), SGD(0.1, momentum=0.9), stripes(10)
    graph = training_graph(net, (10, 1, 8, 8), TensorSpec((10,), "int32"), F.cross_entropy, optimiser)
    named = {"input": data.arrays()[""], "target": data.targets}
    (loss,), updates = interpret(graph, named, optimiser.scalars(1))
    trainer = Trainer(net, optimiser=optimiser)
    value = trainer.step(*data.take(slice(None)))
    np.testing.assert_allclose(value.get(), loss, rtol=1e-6)
    state = net.state_dict() | {name: held.value for name, held in optimiser.state.items()}
    assert set(updates) == set(state)
    for name, expected in updates.items():
        np.testing.assert_allclose(state[name], expected.reshape(state[name].shape), rtol=1e-5, atol=1e-6, err_msg=name)


def test_impossible_settings_are_refused() -> None:
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: SGD(-0.1), r"SGD: lr must be at least 0, got -0\.1"),
        (lambda: SGD(float("nan")), "SGD: lr must be at least 0, got nan"),
        (lambda: SGD(0.1, nesterov=True), "nesterov needs a momentum above 0 and no dampening, got momentum 0.0, dampening 0.0"),
        (lambda: AdamW(betas=(0.9, 1.0)), r"AdamW: betas\[1\] must be in \[0, 1\), got 1.0"),
        (lambda: schedule.cosine(10, warmup=10), "warmup must lie within the 10 epochs, got 10"),
        (lambda: schedule.one_cycle(0), "the number of epochs must be above 0, got 0"),
        (lambda: schedule.one_cycle(5, peak=1.0), "peak is the fraction of the epochs"),
    ]
    for make, message in cases:
        with pytest.raises(ClconvError, match=message):
            make()


def test_an_optimiser_serves_one_network() -> None:
    optimiser = SGD(0.1, momentum=0.9)
    Trainer(Scale(np.ones(5)), F.mse_loss, optimiser).step(np.ones((2, 5), np.float32), np.ones((2, 5), np.float32))
    other = Trainer(Scale(np.ones(4)), F.mse_loss, optimiser)
    with pytest.raises(ArrayError, match=r"velocity.weight has shape \(5,\), the parameter weight has \(4,\)"):
        other.step(np.ones((2, 4), np.float32), np.ones((2, 4), np.float32))


def test_schedules() -> None:
    for steady in (schedule.constant(), schedule.exponential(1.0)):
        assert steady(0.0) == steady(7.5) == 1.0
    assert schedule.exponential(0.5)(3.0) == 0.125
    steps = schedule.step_decay([60, 30], 0.5)
    assert [steps(e) for e in (0.0, 29.99, 30.0, 59.9, 60.0, 100.0)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    cosine = schedule.cosine(12, warmup=2, final=0.2)
    assert (cosine(0.0), cosine(1.0), cosine(2.0)) == (0.0, 0.5, 1.0)
    assert cosine(7.0) == pytest.approx(0.6) and cosine(12.0) == pytest.approx(0.2) and cosine(50.0) == pytest.approx(0.2)
    cycle = schedule.one_cycle(10, peak=0.4, start=0.1, end=0.01)
    assert cycle(0.0) == pytest.approx(0.1) and cycle(4.0) == 1.0 and cycle(10.0) == pytest.approx(0.01) == cycle(11.0)
    assert cycle(2.0) == pytest.approx(0.55) and cycle(7.0) == pytest.approx(0.505)
    rising, falling = [cycle(e / 10) for e in range(41)], [cycle(e / 10) for e in range(40, 101)]
    assert rising == sorted(rising) and falling == sorted(falling, reverse=True)


def test_fit_learns_and_keeps_a_history() -> None:
    seen: list[Epoch] = []
    trainer = Trainer(small_net(), optimiser=SGD(0.1, momentum=0.9), seed=5)
    history = trainer.fit(
        stripes(60), 4, batch_size=16, validation=stripes(30, seed=2), schedule=lambda epoch: 1 / (1 + 0.1 * epoch), progress=False,
        callbacks=[lambda caller, epoch: seen.append(epoch)],
    )  # fmt: skip
    assert history is trainer.history and history == seen and [e.number for e in history] == [1, 2, 3, 4]
    assert trainer.epoch == 4 and trainer.steps == 16 and trainer.batch == 0
    assert history[-1].loss < 0.3 * history[0].loss
    assert history[-1].validation_accuracy == 1.0
    assert history[-1].learning_rate == pytest.approx(0.1 / (1 + 0.375))
    assert all(e.seconds > 0 and e.examples_per_second > 0 for e in history)
    assert str(history[0]).startswith("epoch   1  loss ")


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples() -> None:
    data = stripes(20)
    trainer = Trainer(small_net(), optimiser=SGD(0.0))
    trainer.fit(data, 1, batch_size=8, progress=False)
    assert trainer.history[0].loss == pytest.approx(trainer.evaluate(data).loss, rel=1e-5)


def test_evaluation_counts_and_changes_nothing() -> None:
    net, data = small_net(dropout=0.9, norm=True), stripes(30)
    trainer = Trainer(net)
    before = net.state_dict()
    scores = trainer.evaluate(data, batch_size=16)
    assert_same_state(before, net.state_dict())
    output = clconv.compile(net, (30, 1, 8, 8))(data.arrays()[""]).get().astype(np.float64)
    assert scores.accuracy == (output.argmax(axis=1) == data.targets).mean()
    logits = output - output.max(axis=1, keepdims=True)
    each = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(30), data.targets]
    assert scores.loss == pytest.approx(each.mean(), rel=1e-5)
    regression = Trainer(Scale(np.ones(4)), F.mse_loss).evaluate((np.ones((3, 4)), np.zeros((3, 4))))
    assert (regression.loss, regression.accuracy) == (1.0, None)


def test_a_new_rate_and_another_batch_size_build_nothing() -> None:
    data = stripes(40)
    trainer = Trainer(small_net(), optimiser=SGD(0.1, momentum=0.9))
    trainer.fit(data, 1, batch_size=16, progress=False)  # batches of 16, 16 and 8
    built = statistics.kernels_built
    trainer.optimiser.lr = 0.01
    trainer.fit(data, 1, batch_size=12, schedule=schedule.one_cycle(2), progress=False)  # 12, 12, 12 and 4
    assert statistics.kernels_built == built


def test_a_step_on_device_arrays_moves_nothing_to_the_host(queue: Any) -> None:
    x, y = stripes(16).arrays()[""], stripes(16).targets
    trainer = Trainer(small_net(dropout=0.5, norm=True), optimiser=Adam(0.01), queue=queue)
    on_device = [arrays.to_device(a, TensorSpec(a.shape, t), queue, "x") for a, t in ((x, "float32"), (y, "int32"))]
    trainer.step(*on_device)
    before = (transfers.to_host, transfers.to_device)
    losses = [trainer.step(*on_device) for _ in range(3)]
    assert (transfers.to_host, transfers.to_device) == before
    assert losses[0].shape == () and np.isfinite(float(losses[2].get()))


def test_frozen_parameters_stay_and_thawed_ones_move() -> None:
    net, data = small_net(), stripes(16)
    trainer = Trainer(net, optimiser=SGD(0.1, momentum=0.9))
    batch = data.take(slice(None))
    start = net.state_dict()
    net.freeze("conv.*")
    trainer.step(*batch)
    after = net.state_dict()
    assert [n for n in start if not np.array_equal(start[n], after[n])] == ["fc.weight", "fc.bias"]
    assert not any("conv" in name for name in trainer.optimiser.state)
    net.unfreeze()
    trainer.step(*batch)
    later = net.state_dict()
    assert all(not np.array_equal(after[n], later[n]) for n in after)
    net.freeze()
    with pytest.raises(ClconvError, match=r"every parameter is frozen; net\.unfreeze\(\) some"):
        trainer.step(*batch)


def test_frozen_layers_take_part_in_the_gradient_of_those_below() -> None:
    """Freezing the last layer must not cut the first one off, and must not change its gradient."""
    batch = stripes(16).take(slice(None))
    one, two = small_net(), small_net()
    two.freeze("fc.*")
    for net in (one, two):
        Trainer(net, optimiser=SGD(0.1)).step(*batch)
    assert_same_state({"w": one.state_dict()["conv.weight"]}, {"w": two.state_dict()["conv.weight"]})
    np.testing.assert_array_equal(two.state_dict()["fc.weight"], small_net().state_dict()["fc.weight"])


def test_training_repeats_bit_for_bit_and_depends_on_the_seed() -> None:
    def trained(seed: int) -> dict[str, np.ndarray]:
        trainer = Trainer(small_net(dropout=0.5), optimiser=SGD(0.1), seed=seed)
        trainer.fit(stripes(30), 2, batch_size=8, progress=False)
        return trainer.net.state_dict()

    once = trained(1)
    assert_same_state(once, trained(1))
    assert not np.array_equal(once["fc.weight"], trained(2)["fc.weight"])


class Interrupting:
    """An augmentation that sends Ctrl-C when it is called for the given time."""

    def __init__(self, at: int, times: int = 1) -> None:
        self.at, self.times, self.calls = at, times, 0

    def __call__(self, images: Any, generator: np.random.Generator) -> Any:
        self.calls += 1
        if self.calls == self.at:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
        return images


@pytest.fixture
def ctrl_c_interrupts():
    """Python's own answer to Ctrl-C, which a process that was started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("at, place", [(3, (0, 3)), (7, (1, 2)), (5, (1, 0))])
def test_ctrl_c_finishes_the_step_saves_and_loses_nothing(tmp_path: Path, at: int, place: tuple[int, int]) -> None:
    data, file = stripes(40), tmp_path / "c.safetensors"
    images, kinds = data.take(slice(None))

    def trainer() -> Trainer:
        return Trainer(small_net(dropout=0.3), optimiser=Adam(0.01), seed=4)

    through = trainer()
    through.fit(data, 3, batch_size=8, progress=False)
    stopped = trainer()
    with pytest.raises(KeyboardInterrupt, match="training stopped"):
        stopped.fit(Dataset(images, kinds, Interrupting(at)), 3, batch_size=8, progress=False, checkpoint=file)
    assert (stopped.epoch, stopped.batch) == place and stopped.steps == place[0] * 5 + place[1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    fresh = trainer()
    fresh.load(file)
    for survivor in (stopped, fresh):
        survivor.fit(data, 3 - survivor.epoch, batch_size=8, progress=False)
        assert_same_state(through.net.state_dict(), survivor.net.state_dict())
        assert [e.loss for e in survivor.history] == [e.loss for e in through.history]


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_a_second_ctrl_c_interrupts_at_once() -> None:
    trainer = Trainer(small_net(), optimiser=SGD(0.1))
    images, kinds = stripes(40).take(slice(None))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(Dataset(images, kinds, Interrupting(2, times=2)), 1, batch_size=8, progress=False)
    assert trainer.batch == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_progress_is_a_bar_on_a_terminal_and_quiet_elsewhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    trainer = Trainer(small_net(), optimiser=SGD(0.1))
    trainer.fit(stripes(20), 1, batch_size=8)
    assert capsys.readouterr() == ("", "")
    screen = io.StringIO()
    terminal = Bar(Console(file=screen, force_terminal=True, width=100))
    monkeypatch.setattr("clconv.train.trainer.reporter", lambda progress: terminal)
    trainer.fit(stripes(20), 1, batch_size=8, validation=stripes(20))
    assert "epoch 2/2" in screen.getvalue() and "3/3" in screen.getvalue()
    assert str(trainer.history[1]) in screen.getvalue()


def test_a_layer_of_ones_own() -> None:
    """A layer is a class with parameters and a forward pass of clconv.functional operations; gradients come by themselves."""

    class Gate(nn.Module):
        """x times sigmoid(weight): switches maps on and off."""

        def __init__(self, channels: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(np.zeros((channels, 1, 1), np.float32))

        def forward(self, x: Any) -> Any:
            return F.mul(x, F.sigmoid(self.weight))

    net = nn.Sequential(conv=nn.Conv2d(1, 4, 3, padding=1), relu=nn.ReLU(), gate=Gate(4), flatten=nn.Flatten(), fc=nn.Linear(256, 3))
    trainer = Trainer(net, optimiser=Adam(0.02))
    trainer.fit(stripes(60), 4, batch_size=16, progress=False)
    assert trainer.evaluate(stripes(30, seed=2)).accuracy == 1.0
    assert np.abs(net.state_dict()["gate.weight"]).min() > 1e-3


def test_a_loss_of_ones_own() -> None:
    """A loss is a function of the network's output and the target, on graph nodes."""

    def hinge(output: Any, target: Any) -> Any:
        return F.mean(F.relu(1.0 - output * target))

    data = stripes(60)
    images, kinds = data.take(slice(None))
    signs = np.where(kinds[:, None] == np.arange(3), 1.0, -1.0)
    net = small_net()
    trainer = Trainer(net, hinge, SGD(0.1, momentum=0.9))
    trainer.fit((images, signs), 5, batch_size=20, progress=False)
    output = clconv.compile(net, (60, 1, 8, 8))(images).get()
    assert (output.argmax(axis=1) == kinds).all()
    assert trainer.evaluate((images, signs)).loss == pytest.approx(np.maximum(0, 1 - output * signs).mean(), rel=1e-5)


def test_a_training_loop_of_ones_own() -> None:
    """What Trainer does, by hand: one graph of forward pass, loss, gradients and updates, compiled and called; the weights agree."""
    data, net, optimiser = stripes(24), small_net(), SGD(0.1, momentum=0.9)
    graph = net.trace((8, 1, 8, 8), training=True)
    target = input_node("target", TensorSpec((8,), "int32"))
    loss = F.cross_entropy(graph.outputs[0], target)
    weights = net.trainable_parameters()
    gradients = dict(zip(weights, clconv.grad(loss, list(weights.values())), strict=True))
    updates = (*graph.updates, *optimiser.updates(weights, gradients))
    step = clconv.compile_graph(clconv.Graph((*graph.inputs, target), (loss,), updates))
    for number, (x, y) in enumerate(data.batches(8, seed=0, epoch=0), start=1):
        value = step(x, y, scalars=optimiser.scalars(number))

    twin = small_net()
    trainer = Trainer(twin, optimiser=SGD(0.1, momentum=0.9))
    losses = [trainer.step(x, y) for x, y in data.batches(8, seed=0, epoch=0)]
    assert float(value.get()) == float(losses[-1].get())
    assert_same_state(net.state_dict(), twin.state_dict())


class TwoHeads(nn.Module):
    """Gives (main, head) when training, main alone otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.main, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 3), nn.Linear(64, 3)

    def forward(self, x: Any) -> Any:
        maps = F.flatten(F.max_pool2d(F.relu(self.conv(x)), 2), 1)
        return (self.main(maps), self.head(maps)) if self.training else self.main(maps)


def test_several_outputs_reach_the_loss_as_a_tuple() -> None:
    data, net = stripes(24), TwoHeads()
    batch = data.take(slice(None))
    start = net.state_dict()
    trainer = Trainer(net, auxiliary(F.cross_entropy, 0.3), SGD(0.1))
    value = float(trainer.step(*batch).get())
    parts = []
    for name in ("main", "head"):
        alone = small_net()
        alone.load_state_dict({n.replace(name, "fc"): v for n, v in start.items() if n.startswith(("conv", name))})
        parts.append(Trainer(alone).evaluate(data).loss)
    assert value == pytest.approx(parts[0] + 0.3 * parts[1], rel=1e-5)
    assert all(not np.array_equal(start[n], after) for n, after in net.state_dict().items())
    assert trainer.evaluate(data).accuracy is not None


def test_several_inputs_come_as_a_dict() -> None:
    class Difference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, left: Any, right: Any) -> Any:
            return self.fc(left - right)

    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 64, 4))
    kinds = (left - right)[:, 0] > 0
    trainer = Trainer(Difference(), optimiser=SGD(0.5, momentum=0.9))
    trainer.fit(({"left": left, "right": right}, kinds), 6, batch_size=16, progress=False)
    assert (trainer.evaluate(({"left": left, "right": right}, kinds)).accuracy or 0.0) > 0.9


def test_a_loss_that_is_no_number_is_refused() -> None:
    batch = stripes(8).take(slice(None))
    with pytest.raises(GeometryError, match=r"a graph node that holds one element, got shape \(8, 3\); reduce it to its mean"):
        Trainer(small_net(), lambda output, target: output).step(*batch)
    with pytest.raises(GeometryError, match="got float"):
        Trainer(small_net(), lambda output, target: 1.0).step(*batch)  # type: ignore[arg-type, return-value]


def test_a_profile_of_the_step_names_its_launches() -> None:
    trainer = Trainer(small_net(), optimiser=SGD(0.1))
    batch = stripes(16).take(slice(None))
    before = trainer.net.state_dict()
    profile = trainer.profile(*batch, repeats=2)
    assert_same_state(before, trainer.net.state_dict())
    assert profile.milliseconds > 0 and any("bwd_w" in row.problem for row in profile.rows)


@pytest.mark.parametrize("module", ["data", "optimiser", "schedule", "step", "trainer"])
def test_the_examples_of_the_documentation_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"clconv.train.{module}"))
    assert result.attempted and not result.failed


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lenet_reads_97_percent_of_the_digits(seed: int) -> None:
    from clconv.cli.demo import lesson, trainer_for

    history = trainer_for(seed).fit(**lesson(), progress=False)
    assert history[-1].validation_accuracy is not None and history[-1].validation_accuracy >= 0.97


@pytest.mark.peers
def test_lenet_beside_pytorch() -> None:
    """The same weights and batches, SGD: losses equal to 1e-4 relative for 50 steps.

    On standardised images at a moderate rate: elsewhere 50 steps can blow the rounding of the first up to percents, and do so between
    PyTorch's own float32 and float64.
    """
    import torch

    from clconv.train import digits

    net = models.lenet5(seed=0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(6, 16, 5), torch.nn.ReLU(),
        torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(400, 120), torch.nn.ReLU(), torch.nn.Linear(120, 84), torch.nn.ReLU(),
        torch.nn.Linear(84, 10),
    )  # fmt: skip
    for own, value in zip(layers.parameters(), net.state_dict().values(), strict=True):
        own.data = torch.from_numpy(value)
    theirs = torch.optim.SGD(layers.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    trainer = Trainer(net, optimiser=SGD(lr=0.02, momentum=0.9, weight_decay=5e-4))
    train, _ = digits(standardise=True)
    ours, expected = [], []
    for x, y in list(train.batches(64, seed=0, epoch=0))[:50]:
        ours.append(float(trainer.step(x, y).get()))
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(layers(torch.from_numpy(x)), torch.from_numpy(y).long())
        loss.backward()
        theirs.step()
        expected.append(loss.item())
    assert len(ours) == 50 and expected[-1] < 0.4 * expected[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


@pytest.mark.peers
@pytest.mark.parametrize("name", SETTINGS)
def test_optimisers_beside_pytorch(name: str) -> None:
    import torch

    optimiser: Any = SETTINGS[name]()
    generator = np.random.default_rng(1)
    start, x, y = (generator.normal(size=shape).astype(np.float32) for shape in ((5,), (8, 5), (8, 5)))
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    theirs = getattr(torch.optim, type(optimiser).__name__)([weight], lr=optimiser.lr, **optimiser.settings())
    trainer = Trainer(Scale(start), F.mse_loss, optimiser)
    for _ in range(6):
        trainer.step(x, y)
        theirs.zero_grad()
        torch.nn.functional.mse_loss(torch.from_numpy(x) * weight, torch.from_numpy(y)).backward()
        theirs.step()
    np.testing.assert_allclose(trainer.net.state_dict()["weight"], weight.detach().numpy(), rtol=5e-6, atol=5e-7)
