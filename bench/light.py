"""The light topologies that the package onnx ships, with random weights: the same file for clconv and for others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clconv.errors import OnnxError, UnsupportedError

NAMES = (
    "bvlc_alexnet", "inception_v1", "inception_v2", "resnet50", "vgg19", "squeezenet", "densenet121", "shufflenet", "zfnet512",
)  # fmt: skip


def light_model(name: str, seed: int = 0) -> Any:
    """The onnx.ModelProto of a light model, its tensors drawn at random and held as such: what an exporter would write.

    In the shipped file every large tensor is 0.02 everywhere, which a wrong convolution would survive, and the small ones come from a
    trained network, which random weights do not fit. Here each layer keeps the size of what it is given (He et al. 2015), branches that
    a residual sum adds count a third, so that scores differ, but no class takes everything. Raises UnsupportedError for other names.

    >>> light_model("squeezenet").graph.input[0].name    # doctest: +SKIP
    'data_0'
    """
    if name not in NAMES:
        raise UnsupportedError(f"{name!r} is not a light model; they are {', '.join(NAMES)}")
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise OnnxError("light models come with the package onnx, which is not installed: pip install 'clconv[onnx]'") from error
    model = onnx.load(Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx")
    graph, rng = model.graph, np.random.default_rng(seed)
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    shapes = {name: array.shape for name, array in tensors.items() if array.dtype == np.float32}
    shapes |= {n.output[0]: tuple(map(int, tensors[n.input[0]])) for n in graph.node if n.op_type == "ConstantOfShape"}
    nodes = [n for n in graph.node if n.op_type != "ConstantOfShape"]
    read = {name for node in nodes for name in node.input}
    whole = [t for t in graph.initializer if t.name in read and t.name not in shapes]
    inputs = [value for value in graph.input if value.name in read and value.name not in tensors]
    model.ir_version = 8  # from 4 on, tensors that are no inputs are constants, which others fold as clconv does
    _replace(graph.node, nodes)
    _replace(graph.initializer, whole)
    _replace(graph.input, inputs)
    for name, scale in _scales(nodes, shapes).items():
        graph.initializer.append(onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=shapes[name]))
        graph.initializer[-1].raw_data = _draw(rng, scale, shapes[name]).tobytes()
    return model


def _replace(field: Any, entries: list[Any]) -> None:
    del field[:]
    field.extend(entries)


def _scales(nodes: Iterable[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[float, float]]:
    """(mean, standard deviation) of every tensor that is read."""
    nodes = list(nodes)
    readers = {name: node.op_type for node in nodes for name in node.input}
    makers = {name: node.op_type for node in nodes for name in node.output}
    scores = [node for node in nodes if node.op_type in ("Conv", "Gemm")][-1]
    scales: dict[str, tuple[float, float]] = {}
    alias: dict[str, str] = {}
    for node in nodes:
        if node.op_type in ("Unsqueeze", "Reshape"):
            alias[node.output[0]] = node.input[0]
            continue
        for slot, given in enumerate(node.input):
            name = alias.get(given, given)
            if name not in shapes:
                continue
            if node.op_type == "Mul" or (node.op_type == "BatchNormalization" and slot in (1, 4)):
                mean = 1 / 3 if slot == 1 and readers[node.output[0]] == "Sum" else 1.0
                scales[name] = (mean, 0.1 * mean)
            elif len(shapes[name]) == 1:
                scales[name] = (0.0, 0.1)
            else:
                # What comes through a ReLU has lost half of its energy; scores are kept small.
                energy = 1.0 if makers.get(node.input[0]) == "BatchNormalization" else 2.0
                scales[name] = (0.0, math.sqrt(energy / math.prod(shapes[name][1:])) / (3 if node is scores else 1))
    return scales


def _draw(rng: np.random.Generator, scale: tuple[float, float], shape: tuple[int, ...]) -> np.ndarray:
    mean, deviation = scale
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(deviation)
    values += np.float32(mean)
    return values
