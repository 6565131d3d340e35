"""Tensors in files beside the model: read where they belong, refused where a file would lead elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import clconv.onnx
from clconv.errors import OnnxError

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def written(folder: Path, location: str = "weights.bin", shape: tuple[int, ...] = (2, 3), **entries: str) -> Path:
    """A model y = x + w in `folder` whose w says that it lies at `location`."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 3)) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "external", [x], [y], [tensor])
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return path


def weights_of(path: Path) -> np.ndarray:
    return clconv.onnx.load(path).named_parameters()["w"].value


def test_a_file_beside_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(VALUES.tobytes())
    np.testing.assert_array_equal(weights_of(written(tmp_path)), VALUES)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "more.bin").write_bytes(b"\xff" * 8 + VALUES.tobytes() + b"\xff" * 5)
    np.testing.assert_array_equal(weights_of(written(tmp_path, "deep/more.bin", offset="8", length="24")), VALUES)


def test_what_onnx_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(VALUES.tobytes())
    model = onnx.load(str(written(tmp_path)))
    onnx.save(model, str(tmp_path / "again.onnx"), save_as_external_data=True, location="again.bin", size_threshold=0)
    np.testing.assert_array_equal(weights_of(tmp_path / "again.onnx"), VALUES)


@pytest.mark.parametrize(
    ("location", "entries", "said"),
    [
        ("../weights.bin", {}, r"lies at '../weights.bin'; it must be a path within the folder of the model, without \.\."),
        ("deep/../../weights.bin", {}, r"without \.\."),
        ("/etc/hostname", {}, "it must be a path within the folder"),
        ("C:\\\\weights.bin", {}, "it must be a path within the folder"),
        ("", {}, "it must be a path within the folder"),
        ("soft.bin", {}, "'soft.bin' is a link; put the file itself into the folder"),
        ("linked/weights.bin", {}, "'linked' is a link"),
        ("hard.bin", {}, "hard.bin must be a file of its own, not a device or a link"),
        ("own.bin", {"offset": "4"}, "bytes 4 to 28 lie beyond the 24 of own.bin"),
        ("own.bin", {"length": "8"}, r"of float32\(2, 3\) takes 24 bytes, but its entry says 8"),
        ("own.bin", {"offset": "-4"}, "offset '-4' must be a whole number from 0 on"),
        ("own.bin", {"offset": "9" * 30}, "must be a whole number from 0 on"),
        ("none.bin", {}, "cannot be read: No such file"),
        ("folder", {}, "cannot be read: Is a directory|must be a file of its own"),
    ],
)
def test_what_leads_elsewhere_is_refused(tmp_path: Path, location: str, entries: dict[str, str], said: str) -> None:
    inside = tmp_path / "inside"
    for folder in (inside, inside / "deep", inside / "folder", tmp_path / "outside"):
        folder.mkdir()
    for file in (tmp_path / "weights.bin", tmp_path / "outside" / "weights.bin", inside / "own.bin"):
        file.write_bytes(VALUES.tobytes())
    (inside / "soft.bin").symlink_to(tmp_path / "weights.bin")
    (inside / "linked").symlink_to(tmp_path / "outside")
    os.link(tmp_path / "weights.bin", inside / "hard.bin")
    with pytest.raises(OnnxError, match=rf"tensor 'w'.*({said})"):
        clconv.onnx.load(written(inside, location, **entries))


def test_a_model_that_is_no_file_has_none_beside_it(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(VALUES.tobytes())
    content: Any = written(tmp_path).read_bytes()
    with pytest.raises(OnnxError, match="lies in another file, 'weights.bin'; load the model from its path"):
        clconv.onnx.load(content)


def test_an_element_type_that_there_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(VALUES.tobytes())
    for code in (99, TensorProto.STRING, 0):
        model = onnx.load(str(written(tmp_path)), load_external_data=False)
        model.graph.initializer[0].data_type = code
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(OnnxError, match=f"element type, number {code}, that other files cannot hold"):
            clconv.onnx.load(tmp_path / "model.onnx")
    model = onnx.load(str(written(tmp_path)))
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(OnnxError, match="input 'x' holds unknown; what is not float must be known"):
        clconv.onnx.load(model).trace((2, 3))


def test_shapes_are_checked_before_memory_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(VALUES.tobytes())
    beyond = ((2**40, 2**20), "asks for 4611686018427387904 bytes"), ((9, 3), "lie beyond the 24 of weights.bin")
    for shape, said in (((-2, 3), "must not be negative"), *beyond):
        with pytest.raises(OnnxError, match=said):
            clconv.onnx.load(written(tmp_path, shape=shape))
