"""`clconv run`: an ONNX model on a picture or an array, its graph as a table, and readable refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import clconv.onnx
from clconv import nn
from clconv.cli.run import _classes
from clconv.graph.compile import compile
from tests.onnx_support import ints, model
from tests.test_cli import answer, refusal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two classes, "dark" and "bright", with a picture of each, and labels."""
    path = tmp_path_factory.mktemp("run")
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    convolution = net.named_parameters()
    convolution["0.weight"].value = np.array([[-1, -1, -1], [1, 1, 1]], np.float32).reshape(2, 3, 1, 1)
    convolution["0.bias"].value = np.zeros(2, np.float32)
    clconv.onnx.save(net, path / "model.onnx", (1, 3, 8, 8))
    for name, value in (("dark", 0), ("bright", 255)):
        Image.new("RGB", (12, 9), (value,) * 3).save(path / f"{name}.png")
    (path / "labels.txt").write_text("dark\nbright\n")
    np.save(path / "x.npy", np.full((1, 3, 8, 8), 0.5, np.float32))
    return path


@pytest.mark.parametrize("name", ["dark", "bright"])
def test_a_picture_gets_the_likeliest_classes_with_names(folder: Path, name: str) -> None:
    text = answer("run", str(folder / "model.onnx"), "--input", str(folder / f"{name}.png"), "--labels", str(folder / "labels.txt"))
    first = text.splitlines()[1].split()
    assert first[1] == name and float(first[2].rstrip("%")) > 90
    assert len(text.splitlines()) == 3


def test_mean_and_deviation_decide_what_is_bright(folder: Path) -> None:
    arguments = ("run", str(folder / "model.onnx"), "--input", str(folder / "bright.png"), "--top", "1")
    assert answer(*arguments, "--mean", "2", "--std", "0.1").splitlines()[1].split()[0] == "0"
    assert answer(*arguments, "--mean", "0,0,0", "--std", "1,1,1").splitlines()[1].split()[0] == "1"


def test_an_array_goes_in_and_out(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.npy"
    text = answer("run", str(folder / "model.onnx"), "--input", str(folder / "x.npy"), "--output", str(out))
    net = clconv.onnx.load(folder / "model.onnx")
    expected = compile(net, (1, 3, 8, 8))(np.load(folder / "x.npy")).get()
    np.testing.assert_array_equal(np.load(out), expected)
    assert str(out) in text and "(1, 2)" in text
    assert "from 0 to 1.5" in answer("run", str(folder / "model.onnx"), "--input", str(folder / "x.npy"))


def test_the_graph_as_a_table_with_totals(folder: Path) -> None:
    text = answer("run", str(folder / "model.onnx"), "--list")
    assert all(word in text for word in ("node", "operation", "algorithm", "multiply-adds", "parameters"))
    total = next(line for line in text.splitlines() if line.startswith("total"))
    assert total.split()[-2:] == ["384", "8"]
    assert "conv_" in text and "1x2x8x8" in text


def test_explain_and_profile(folder: Path) -> None:
    assert "operations on" in answer("run", str(folder / "model.onnx"), "--explain")
    assert "GFLOP/s" in answer("run", str(folder / "model.onnx"), "--input", str(folder / "x.npy"), "--profile")


def test_refusals_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    model = str(folder / "model.onnx")
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.save(tmp_path / "flat.npy", np.zeros(5, np.float32))
    assert "give --input, --list or --explain" in refusal("run", model)
    assert "--profile needs an --input" in refusal("run", model, "--profile", "--explain")
    assert "cannot be read as a picture" in refusal("run", model, "--input", str(folder / "labels.txt"))
    assert "cannot be read as an array" in refusal("run", model, "--input", str(tmp_path / "bad.npy"))
    assert "must hold one array of numbers" in refusal("run", model, "--input", str(tmp_path / "words.npy"))
    assert "has 4 axes" in refusal("run", model, "--input", str(tmp_path / "flat.npy"))
    assert "must be numbers with commas between them" in refusal("run", model, "--list", "--mean", "red")
    assert "not an ONNX model" in refusal("run", str(folder / "labels.txt"), "--list")
    pair = ("--mean", "1,2", "--input", str(folder / "dark.png"))
    assert "must hold one number, or one for each of 3 channels" in refusal("run", model, *pair)


def test_results_without_elements_or_axes(folder: Path, tmp_path: Path) -> None:
    """And an input of whole numbers."""
    ids = model([helper.make_node("Gather", ["table", "x"], ["y"])], {"x": (3,)}, {"table": np.arange(4, dtype=np.int64)}, ())
    ids.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    ids.graph.output.append(helper.make_tensor_value_info("y", TensorProto.INT64, None))
    np.save(tmp_path / "ids.npy", np.array([3, 0, 1]))
    onnx.save(ids, tmp_path / "ids.onnx")
    asked = ("run", str(tmp_path / "ids.onnx"), "--fallback", "host", "--input", str(tmp_path / "ids.npy"))
    assert "y (3,): from 0 to 3" in answer(*asked)
    empty = model([helper.make_node("TopK", ["x", "k"], ["y", "i"], name="top")], {"x": (1, 3, 8, 8)}, {"k": ints(0)})
    onnx.save(empty, tmp_path / "empty.onnx")
    asked = ("run", str(tmp_path / "empty.onnx"), "--fallback", "host", "--input")
    assert "y (1, 3, 8, 0)\n" in answer(*asked, str(folder / "x.npy"))
    assert "y (1, 3, 8, 0)\n" in answer(*asked, str(folder / "dark.png"))
    _classes(np.array(0.5), None, 1)


def test_what_the_host_computes_is_said_when_it_is_found(tmp_path: Path) -> None:
    """Where sizes are open, that is when it is compiled."""
    onnx.save(model([helper.make_node("Det", ["x"], ["y"], name="det"),
                     helper.make_node("TopK", ["y", "k"], ["z", "i"], name="top")], {"x": ("n", "m", "m")}, {"k": ints(1)}, ("z",)),
              tmp_path / "open.onnx")  # fmt: skip
    np.save(tmp_path / "x.npy", np.ones((2, 2, 2), np.float32))
    text = answer("run", str(tmp_path / "open.onnx"), "--fallback", "host", "--input", str(tmp_path / "x.npy"))
    assert text.count("FallbackWarning: ") == 1 and "z (1,): from 0 to 0" in text


def test_a_model_may_not_take_more_than_allowed(folder: Path) -> None:
    arguments = ("run", str(folder / "model.onnx"), "--list", "--max-bytes")
    assert "launches" in answer(*arguments, "100000")
    assert "asks for 24 bytes, 0 of the 20 that the file may take are taken" in refusal(*arguments, "20")
