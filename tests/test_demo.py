"""clconv demo, two epochs of it: what it prints and what it leaves behind."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from clconv import nn
from clconv.cli import demo_pictures, main
from clconv.nn.models import lenet5
from clconv.train import Epoch, load_weights


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("demo") / "pictures"
    return CliRunner().invoke(main, ["demo", "--epochs", "2", "--seed", "3", "--output", str(folder)]), folder


def test_it_names_the_device_and_ends_with_accuracy_speed_and_what_to_try(ran: tuple[Result, Path]) -> None:
    from clconv.runtime.context import find_device

    result, folder = ran
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(f"device: {find_device().name.strip()}")
    assert "LeNet-5, 61,706 parameters; 4,000 digits to train with, 1,000 others to test with" in lines
    assert re.search(r"^epoch   2  loss 0\.\d+  validation 0\.\d+  accuracy \d\d\.\d %", result.output, re.MULTILINE)
    place = next(i for i, line in enumerate(lines) if re.fullmatch(r"test accuracy: \d\d\.\d %", line))
    assert re.fullmatch(r"\d+\.\d\d s per epoch, [\d,]+ images/s", lines[place + 1])
    assert lines[place + 2 : place + 4] == ["", "try next:"]
    assert len(lines) == place + 8 and all(line.startswith("  clconv ") for line in lines[place + 4 :])


def test_the_commands_to_try_next_exist(ran: tuple[Result, Path]) -> None:
    commands = [shlex.split(line)[1:] for line in ran[0].output.splitlines() if line.startswith("  clconv ")]
    assert [c[0] for c in commands] == ["devices", "explain", "source", "bench"]
    for command in commands[:3]:
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output


def test_the_pictures_are_pictures(ran: tuple[Result, Path]) -> None:
    from matplotlib.image import imread

    assert sorted(path.name for path in ran[1].iterdir()) == ["curves.png", "filters.png", "lenet5.safetensors", "mistakes.png"]
    for name in ("curves.png", "mistakes.png", "filters.png"):
        pixels = imread(ran[1] / name)
        assert pixels.shape[0] > 300 and pixels.shape[1] > 1000, name
        assert pixels[..., :3].std() > 0.05, f"{name} is blank"


def test_the_weights_load_and_give_the_accuracy_that_was_printed(ran: tuple[Result, Path]) -> None:
    from clconv.train import Trainer, digits

    net = lenet5(seed=9)
    load_weights(net, ran[1] / "lenet5.safetensors")
    accuracy = Trainer(net).evaluate(digits(standardise=True)[1]).accuracy
    assert accuracy is not None and f"test accuracy: {100 * accuracy:.1f} %" in ran[0].output


def test_what_is_not_installed_is_named_before_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    for package in ("matplotlib", "mlxtend"):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, hidden=package: None if name == hidden else find(name))
        result = CliRunner().invoke(main, ["demo", "--output", str(tmp_path / "none")])
        assert result.exit_code == 2
        assert package in result.output and "pip install 'clconv[demo]'" in result.output
    assert not (tmp_path / "none").exists()


def test_an_unknown_device_is_refused_with_those_there_are() -> None:
    result = CliRunner().invoke(main, ["demo", "--device", "abacus"])
    assert result.exit_code == 2 and "no OpenCL device or platform has 'abacus' in its name" in result.output


def texts(figure: Any) -> list[str]:
    """Titles of a figure and of its axes."""
    return [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes if axes.get_title())]


def test_mistakes_are_sorted_and_labelled_and_all_right_is_no_error() -> None:
    images, labels = np.zeros((4, 1, 28, 28), np.float32), np.array([1, 2, 3, 4])
    scores = np.zeros((4, 10), np.float32)
    scores[0, 1] = scores[1, 7] = scores[2, 5] = 3
    scores[2, 5] = 5
    scores[3, 4] = 1
    assert texts(demo_pictures.mistakes(images, labels, scores)) == [
        "2 of 4 test digits are read wrongly", "3 read as 5\n94 % sure", "2 read as 7\n69 % sure",
    ]  # fmt: skip
    assert texts(demo_pictures.mistakes(images, labels, np.eye(10)[labels])) == ["0 of 4 test digits are read wrongly"]


def test_curves_of_a_single_epoch_draw(tmp_path: Path) -> None:
    figure = demo_pictures.curves([Epoch(1, 0.5, 0.1, 1.0, 4000.0, 0.4, 0.9)])
    figure.savefig(tmp_path / "one.png")
    assert texts(figure)[0] == "LeNet-5 on MNIST digits: 90.0 % of the test digits are read right"


def test_each_filter_stands_beside_its_maps(queue: Any) -> None:
    net: Any = lenet5(seed=0)
    images = np.random.default_rng(0).random((3, 1, 28, 28)).astype(np.float32)
    from clconv.graph.compile import compile

    maps = compile(nn.Sequential(conv1=net.conv1, relu1=net.relu1), images.shape, queue)(images).get()
    figure = demo_pictures.filters(net.state_dict()["conv1.weight"], images, maps)
    shown = [axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()]
    assert len(shown) == 3 + 6 * (1 + 3)
    for k in range(6):
        np.testing.assert_array_equal(shown[3 + 4 * k], net.state_dict()["conv1.weight"][k, 0])
        for n in range(3):
            np.testing.assert_array_equal(shown[3 + 4 * k + 1 + n], maps[n, k])
