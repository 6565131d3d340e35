"""Floors of speed against PyTorch on the same cores, in one run, alternating, medians; and how long the import takes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

import clconv
from clconv.nn import models
from clconv.runtime import arrays
from clconv.tensor import TensorSpec
from clconv.train import SGD, Trainer

ROUNDS, CALLS = 15, 3


def alternating(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both over rounds of a few calls each; the pause lets the other's threads go to sleep."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, row in zip((ours, theirs), times, strict=True):
            time.sleep(0.05)
            call()
            begin = time.perf_counter()
            for _ in range(CALLS):
                call()
            row.append((time.perf_counter() - begin) / CALLS)
    return statistics.median(times[0]), statistics.median(times[1])


def torch_with_threads():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


def torch_lenet5(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def torch_resnet18(torch, state):
    """ResNet-18 from torchvision's names, batch norm in inference mode."""
    F = torch.nn.functional
    weights = {name: torch.from_numpy(value) for name, value in state.items()}

    def unit(x, conv, norm, stride, padding):
        y = F.conv2d(x, weights[f"{conv}.weight"], None, stride, padding)
        return F.batch_norm(y, *(weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    def forward(x):
        x = F.max_pool2d(F.relu(unit(x, "conv1", "bn1", 2, 3)), 3, 2, 1)
        for stage in range(1, 5):
            for block in range(2):
                name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                shortcut = unit(x, f"{name}.downsample.0", f"{name}.downsample.1", stride, 0) if stride == 2 else x
                y = F.relu(unit(x, f"{name}.conv1", f"{name}.bn1", stride, 1))
                x = F.relu(unit(y, f"{name}.conv2", f"{name}.bn2", 1, 1) + shortcut)
        return F.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])

    return forward


@pytest.mark.peers
def test_a_training_step_of_lenet5_takes_at_most_twice_as_long_as_pytorchs(queue, capsys):
    torch = torch_with_threads()
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 64)
    net = torch_lenet5(torch)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)

    def theirs():
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(tx), ty).backward()
        optimiser.step()

    trainer = Trainer(models.lenet5(), optimiser=SGD(lr=0.01), queue=queue)
    cx, cy = (arrays.to_device(a, TensorSpec(a.shape, d), queue, "batch") for a, d in ((x, "float32"), (y, "int32")))

    def ours():
        trainer.step(cx, cy)
        queue.finish()

    ours_s, theirs_s = alternating(ours, theirs)
    with capsys.disabled():
        print(f"\nLeNet-5 training step, batch 64: clconv {ours_s * 1e3:.2f} ms, PyTorch {theirs_s * 1e3:.2f} ms")
    assert ours_s <= 2 * theirs_s


@pytest.mark.peers
def test_inference_of_resnet18_takes_at_most_twice_as_long_as_pytorchs(queue, capsys):
    torch = torch_with_threads()
    net = models.resnet18()
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    forward, tx = torch_resnet18(torch, net.state_dict()), torch.from_numpy(x)
    run = clconv.compile(net, x.shape, queue)

    def theirs():
        with torch.inference_mode():
            return forward(tx)

    np.testing.assert_allclose(run(x).get(), theirs().numpy(), rtol=0, atol=1e-4 * float(theirs().abs().max()))
    ours_s, theirs_s = alternating(lambda: run(x).get(), theirs)
    with capsys.disabled():
        print(f"\nResNet-18 inference, batch 1: clconv {ours_s * 1e3:.1f} ms, PyTorch {theirs_s * 1e3:.1f} ms")
    assert ours_s <= 2 * theirs_s


def test_the_import_takes_less_than_four_tenths_of_a_second():
    code = "import time; t = time.perf_counter(); import clconv; print(time.perf_counter() - t)"
    taken = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) for _ in range(3))
    assert taken < 0.4
