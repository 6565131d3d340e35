"""From a torch.nn.Module to a compiled network, by both of PyTorch's exporters, with a batch that the file leaves open."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clconv
import clconv.onnx
from clconv.errors import FallbackWarning, OnnxError

pytestmark = pytest.mark.peers

CHANNELS, SIZE = 8, 9


def modules() -> dict[str, Any]:
    """Small networks on maps of 8 channels, which together have the layers of torchvision's families and of what comes after them."""
    import torch
    from torch import nn
    from torch.nn import functional as T

    class Residual(nn.Module):
        """ResNet's block with a stride."""

        def __init__(self) -> None:
            super().__init__()
            first, second = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.Conv2d(16, 16, 3, 1, 1, bias=False)
            self.body = nn.Sequential(first, nn.BatchNorm2d(16), nn.ReLU(), second, nn.BatchNorm2d(16))
            self.shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))

        def forward(self, x: Any) -> Any:
            return T.relu(self.body(x) + self.shortcut(x))

    class Excited(nn.Module):
        """A depthwise layer with squeeze and excitation, as in MobileNet v3 and EfficientNet."""

        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.SiLU(), nn.Conv2d(4, 8, 1), nn.Hardsigmoid())

        def forward(self, x: Any) -> Any:
            x = self.depthwise(x)
            return x * self.gate(x)

    class Channels(nn.Module):
        """Layer norm over channels and a pointwise network, as in ConvNeXt."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

        def forward(self, x: Any) -> Any:
            return x + self.down(T.gelu(self.up(self.norm(x.permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)

    class Mixed(nn.Module):
        """Channels split, gated, put together and shuffled, as in ShuffleNet; a map brought to the size of another one."""

        def forward(self, x: Any) -> Any:
            n, c, h, w = x.shape
            a, b = x.chunk(2, 1)
            x = torch.cat([a * torch.sigmoid(b), b], 1).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            return x + T.interpolate(T.avg_pool2d(x, 2, ceil_mode=True), size=(h, w), mode="bilinear", align_corners=False)

    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(), nn.Linear(72, 5), nn.Softmax(1))
    upwards = nn.Sequential(
        nn.ConvTranspose2d(8, 16, 4, 2, 1), nn.GroupNorm(4, 16), nn.GELU(), nn.PixelShuffle(2), nn.Upsample(scale_factor=2, mode="bilinear")
    )
    pooled = nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(8, 8, 3, padding="same"), nn.PReLU(8), nn.ReflectionPad2d(1))
    return {
        "residual": Residual(), "excited": Excited(), "channels": Channels(), "mixed": Mixed(), "classifier": classifier,
        "upwards": upwards, "pooled": pooled,
    }  # fmt: skip


def alive(module: Any) -> Any:
    """In inference mode, with running statistics that matter."""
    import torch

    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 1.5)
    return module.eval()


def exported(module: Any, example: Any, path: Path, modern: bool, open_batch: bool = True) -> None:
    import torch

    options: dict[str, Any] = {}
    if open_batch:
        options = {"dynamic_shapes": ({0: "batch"},)} if modern else {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (example,), path, dynamo=modern, **({"verbose": False} if modern else {}), **options)
    finally:
        logging.disable(logging.NOTSET)


NAMES = ("residual", "excited", "channels", "mixed", "classifier", "upwards", "pooled")
# The modern exporter takes seconds a module.
BY_BOTH = [
    *(pytest.param(name, False, id=f"{name}, older exporter") for name in NAMES),
    *(pytest.param(name, True, id=name, marks=() if name == "mixed" else pytest.mark.exhaustive) for name in NAMES),
]


@pytest.mark.parametrize(("name", "modern"), BY_BOTH)
def test_a_module_gives_what_it_gives_in_pytorch(queue: Any, tmp_path: Path, name: str, modern: bool) -> None:
    """At the batch of the example and at another one."""
    import torch

    module = alive(modules()[name])
    exported(module, torch.randn(2, CHANNELS, SIZE, SIZE), tmp_path / "model.onnx", modern)
    net = clconv.onnx.load(tmp_path / "model.onnx")
    for batch in (2, 3):
        x = torch.randn(batch, CHANNELS, SIZE, SIZE)
        with torch.no_grad():
            wanted = module(x).numpy()
        got = clconv.compile(net, tuple(x.shape), queue)(x.numpy()).get()
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_a_recurrent_reader_runs_with_the_hosts_help(queue: Any, tmp_path: Path) -> None:
    """Convolutions, a bidirectional LSTM of two layers over the columns of the map, and a linear layer for every column."""
    import torch
    from torch import nn

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Sequential(nn.Conv2d(8, 4, 3, padding=1), nn.ReLU())
            self.reader = nn.LSTM(4 * SIZE, 6, num_layers=2, bidirectional=True, batch_first=True)
            self.letters = nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            columns, _ = self.reader(self.maps(x).flatten(1, 2).transpose(1, 2))
            return self.letters(columns)

    module = alive(Reader())
    exported(module, torch.randn(2, CHANNELS, SIZE, SIZE), tmp_path / "model.onnx", modern=False)
    with pytest.raises(OnnxError, match="not supported: .*LSTM"):
        clconv.onnx.load(tmp_path / "model.onnx")
    with pytest.warns(FallbackWarning, match="LSTM"):
        net = clconv.onnx.load(tmp_path / "model.onnx", fallback="host")
    for batch in (2, 3):
        x = torch.randn(batch, CHANNELS, SIZE, SIZE)
        with torch.no_grad():
            wanted = module(x).numpy()
        got = clconv.compile(net, tuple(x.shape), queue)(x.numpy()).get()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_the_three_lines_of_the_readme(queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there: a file of one size, whose tensors the exporter may put beside it."""
    import torch

    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    lines = readme.partition("From PyTorch, ")[2].partition("```python\n")[2].partition("```")[0]
    module, example = alive(modules()["residual"]), torch.randn(1, CHANNELS, SIZE, SIZE)
    names: dict[str, Any] = {"torch": torch, "clconv": clconv, "module": module, "example": example}
    exec(lines, names)  # noqa: S102 -- the project's own README
    with torch.no_grad():
        np.testing.assert_allclose(names["run"](example.numpy()).get(), module(example).numpy(), rtol=0, atol=1e-4)
