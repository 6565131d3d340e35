"""Pictures as inputs, and folders of pictures as data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clconv.errors import DataError
from clconv.train import Preparation, image_folder, read_image
from clconv.train.images import IMAGENET_MEAN, IMAGENET_STD


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_a_picture_is_normalised_channel_by_channel(tmp_path: Path) -> None:
    x = read_image(save(tmp_path / "red.png", (255, 51, 0)))
    assert x.shape == (3, 224, 224) and x.dtype == np.float32
    for channel, value in enumerate((1.0, 0.2, 0.0)):
        np.testing.assert_allclose(x[channel], (value - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel], atol=1e-6)


def test_the_middle_is_cut_out_of_what_is_larger(tmp_path: Path) -> None:
    """Of a wide picture: the black sides go, also one seventh of the height."""
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 64:128] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    x = read_image(tmp_path / "wide.png", Preparation((56, 56), 1, (0.0,), (1.0,)))
    assert x.shape == (1, 56, 56)
    np.testing.assert_allclose(x, 1.0, atol=1e-6)
    tall = read_image(tmp_path / "wide.png", Preparation((20, 60), 3, (0.5,), (0.5,)))
    assert tall.shape == (3, 20, 60) and tall.min() == -1 and tall.max() == 1


def test_a_folder_of_folders_is_a_data_set(tmp_path: Path) -> None:
    save(tmp_path / "b" / "2.jpg", (0, 0, 0))
    save(tmp_path / "b" / "1.png", (255, 255, 255))
    save(tmp_path / "a" / "deep" / "x.png", (0, 0, 0))
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    data, classes = image_folder(tmp_path, Preparation((8, 8), mean=(0.0,), std=(1.0,)))
    assert classes == ("a", "b") and data.targets.tolist() == [0, 1, 1]
    assert isinstance(data.inputs, np.ndarray) and data.inputs.shape == (3, 3, 8, 8)
    np.testing.assert_allclose(data.inputs.mean((1, 2, 3)), [0, 1, 0], atol=1e-2)


def test_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    for call, said in (
        (lambda: read_image(tmp_path / "no.png"), "no.png: cannot be read as a picture"),
        (lambda: read_image(tmp_path / "none.png"), "none.png: cannot be read as a picture: No such file"),
        (lambda: image_folder(tmp_path / "none"), "none: is not a folder; give one that holds a folder of pictures for each class"),
        (lambda: image_folder(tmp_path), r"folder empty holds no picture \(.bmp"),
        (lambda: image_folder(tmp_path / "empty"), "it holds no picture"),
        (lambda: Preparation(channels=2), "a picture has 1 or 3 channels, got 2"),
        (lambda: Preparation(mean=(1.0, 2.0)), r"mean \(1.0, 2.0\) must hold one number, or one for each of 3 channels"),
        (lambda: Preparation(std=(0.0,)), r"std \(0.0,\) must be above 0"),
    ):
        with pytest.raises(DataError, match=said):
            call()
