"""Weights and checkpoints: what is written comes back, resumes bit for bit, and damage is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clconv.errors import CheckpointError, ClconvError
from clconv.train import SGD, Adam, AdamW, Dataset, Optimiser, Trainer, load_weights, random_shift, save_weights, schedule
from tests.train_support import assert_same_state, small_net, stripes

DATA = stripes(40)
MOVED = Dataset(DATA.arrays()[""], DATA.targets, random_shift(1))


def trainer_of(optimiser: Optimiser, seed: int = 7) -> Trainer:
    return Trainer(small_net(seed=3, dropout=0.4, norm=True), optimiser=optimiser, seed=seed)


def momentum() -> Optimiser:
    return SGD(lr=0.05, momentum=0.9, weight_decay=1e-3)


def plan(epoch: float) -> float:
    return schedule.cosine(4)(epoch)


@pytest.mark.parametrize("make", [momentum, lambda: Adam(lr=0.01)], ids=["SGD", "Adam"])
def test_two_epochs_are_one_epoch_saved_loaded_into_fresh_objects_and_one_more(make: Any, tmp_path: Path) -> None:
    """With dropout, batch norm, augmentation, a schedule and a smaller last batch."""
    through = trainer_of(make())
    through.fit(MOVED, 2, batch_size=12, schedule=plan, progress=False)

    first = trainer_of(make())
    first.fit(MOVED, 1, batch_size=12, schedule=plan, progress=False)
    first.save(tmp_path / "half.safetensors")
    second = trainer_of(make(), seed=99)
    second.load(tmp_path / "half.safetensors")
    assert (second.epoch, second.steps, second.seed) == (1, 4, 7)
    second.fit(MOVED, 1, batch_size=12, schedule=plan, progress=False)

    assert_same_state(through.net.state_dict(), second.net.state_dict())
    assert_same_state({n: p.value for n, p in through.optimiser.state.items()}, {n: p.value for n, p in second.optimiser.state.items()})
    assert [e.loss for e in through.history] == [e.loss for e in second.history]
    assert [e.number for e in second.history] == [1, 2]


def test_loading_rewinds_the_same_objects(tmp_path: Path) -> None:
    trainer = trainer_of(momentum())
    trainer.save(tmp_path / "start")
    trainer.fit(MOVED, 1, batch_size=12, progress=False)
    once = trainer.net.state_dict()
    trainer.load(tmp_path / "start")
    assert trainer.steps == 0 and trainer.history == [] and not np.any(trainer.optimiser.state["velocity.conv.weight"].value)
    trainer.fit(MOVED, 1, batch_size=12, progress=False)
    assert_same_state(once, trainer.net.state_dict())


def test_a_checkpoint_written_in_the_middle_of_an_epoch_resumes_there(tmp_path: Path) -> None:
    through = trainer_of(momentum())
    through.fit(MOVED, 2, batch_size=12, progress=False)

    stopped = trainer_of(momentum())
    for number, (x, y) in enumerate(MOVED.batches(12, seed=7, epoch=0)):
        if number == 2:
            break
        stopped._mean.add(stopped.step(x, y), len(y))
        stopped.batch, stopped.batch_size = number + 1, 12
    stopped.save(tmp_path / "c")
    resumed = trainer_of(momentum())
    resumed.load(tmp_path / "c")
    with pytest.raises(ClconvError, match="epoch 1 was interrupted after 2 batches of 12; go on with batch_size=12, got 8"):
        resumed.fit(MOVED, 1, batch_size=8, progress=False)
    resumed.fit(MOVED, 2, batch_size=12, progress=False)
    assert resumed.epoch == 2
    assert_same_state(through.net.state_dict(), resumed.net.state_dict())
    assert [e.loss for e in through.history] == [e.loss for e in resumed.history]


def test_what_is_frozen_and_the_learning_rate_come_back(tmp_path: Path) -> None:
    trainer = trainer_of(momentum())
    trainer.net.freeze("conv.*")
    trainer.optimiser.lr = 0.02
    trainer.save(tmp_path / "c")
    other = trainer_of(momentum())
    other.load(tmp_path / "c")
    assert other.optimiser.lr == 0.02
    for net in (trainer.net, other.net):
        assert list(net.trainable_parameters()) == ["norm.weight", "norm.bias", "fc.weight", "fc.bias"]


def test_weights_come_back_and_are_readable_by_others(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    net = small_net(seed=1, norm=True)
    save_weights(net, tmp_path / "deep" / "w.safetensors")
    assert_same_state(net.state_dict(), {name: load_file(tmp_path / "deep" / "w.safetensors")[name] for name in net.state_dict()})
    other = small_net(seed=2, norm=True)
    load_weights(other, tmp_path / "deep" / "w.safetensors")
    assert_same_state(net.state_dict(), other.state_dict())
    assert os.listdir(tmp_path / "deep") == ["w.safetensors"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "deep" / "w.safetensors").stat().st_mode) == 0o666 & ~mask


def test_the_weights_of_a_checkpoint_load_as_weights(tmp_path: Path) -> None:
    trainer = trainer_of(momentum())
    trainer.step(*DATA.take(slice(0, 12)))
    trainer.save(tmp_path / "c")
    other = small_net(seed=5, dropout=0.4, norm=True)
    load_weights(other, tmp_path / "c")
    assert_same_state(trainer.net.state_dict(), other.state_dict())


def test_half_and_double_weights_are_converted(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    net = small_net()
    state = net.state_dict()
    save_file({n: v.astype(np.float16 if n.endswith("bias") else np.float64) for n, v in state.items()}, tmp_path / "w")
    load_weights(net, tmp_path / "w")
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name].astype(np.float16).astype(np.float32) if name.endswith("bias") else state[name])


def test_errors_name_the_parameter_and_both_shapes_and_change_nothing(tmp_path: Path) -> None:
    from clconv import nn

    save_weights(nn.Sequential(conv=nn.Conv2d(1, 4, 3), fc=nn.Linear(64, 5)), tmp_path / "other")
    net = small_net()
    before = net.state_dict()
    with pytest.raises(CheckpointError, match=r"other.*fc\.weight: \(5, 64\) given, \(3, 64\) needed"):
        load_weights(net, tmp_path / "other")
    save_weights(nn.Sequential(convolution=nn.Conv2d(1, 4, 3)), tmp_path / "names")
    with pytest.raises(CheckpointError, match=r"missing: conv\.weight, .*not in the network: convolution\."):
        load_weights(net, tmp_path / "names")
    assert_same_state(before, net.state_dict())


def test_a_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    net = small_net()
    save_weights(net, tmp_path / "w")
    whole = (tmp_path / "w").read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut: not a whole safetensors file .*it was cut off, or is of another format"):
            load_weights(net, tmp_path / "cut")
    with pytest.raises(CheckpointError, match="absent: cannot be read"):
        load_weights(net, tmp_path / "absent")
    with pytest.raises(CheckpointError, match="holds weights but no state of a training"):
        trainer_of(momentum()).load(tmp_path / "w")


def test_a_checkpoint_of_another_training_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    trainer = trainer_of(Adam(lr=0.01))
    trainer.step(*DATA.take(slice(0, 12)))
    trainer.save(tmp_path / "adam")
    other = trainer_of(momentum())
    before = other.net.state_dict()
    with pytest.raises(CheckpointError, match="the training used Adam, not SGD; build the Trainer with Adam"):
        other.load(tmp_path / "adam")
    with pytest.raises(CheckpointError, match="the training used Adam, not AdamW"):
        trainer_of(AdamW()).load(tmp_path / "adam")
    with pytest.raises(CheckpointError, match=r"first of norm\.(\w+) has shape \(4,\), norm\.\1 is not in the network"):
        Trainer(small_net(), optimiser=Adam()).load(tmp_path / "adam")
    sgd = trainer_of(momentum())
    sgd.step(*DATA.take(slice(0, 12)))
    sgd.save(tmp_path / "sgd")
    with pytest.raises(CheckpointError, match=r"holds velocity of conv\.bias, which SGD\(lr=0.1, momentum=0.0.*does not keep"):
        trainer_of(SGD(0.1)).load(tmp_path / "sgd")
    assert_same_state(before, other.net.state_dict())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = small_net()
    save_weights(net, tmp_path / "w")
    before = (tmp_path / "w").read_bytes()

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    net.load_state_dict(small_net(seed=9).state_dict())
    with pytest.raises(CheckpointError, match="w: cannot be written: No space left on device"):
        save_weights(net, tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]
