"""ONNX files for benchmarks: what rivals read, at the batch size that is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clconv.bench.light import NAMES, light_model
from clconv.errors import UnsupportedError
from clconv.graph.network import Network


def require(operation: str) -> Any:
    """The package onnx; UnsupportedError says how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(f"{operation}: needs the package onnx ({error}); `pip install onnx` installs it") from error
    return onnx


def saved(network: Network, shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """`network` as the bytes of an ONNX file with inputs of these shapes."""
    require("an ONNX file of a network")
    from clconv.onnx import to_model

    model: bytes = to_model(network, dict(shapes)).SerializeToString()
    return model


def light(name: str) -> Any:
    """The light model of that name with random weights; "alexnet" stands for "bvlc_alexnet", "zfnet" for "zfnet512"."""
    require(f"--light {name}")
    full = {"alexnet": "bvlc_alexnet", "zfnet": "zfnet512"}.get(name, name)
    if full not in NAMES:
        raise UnsupportedError(f"--light {name}: the light models are {', '.join(NAMES)}")
    return light_model(full)


def read(path: str | Path) -> Any:
    """The onnx.ModelProto in a file."""
    onnx = require(str(path))
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's own errors have no common base
        raise UnsupportedError(f"{path}: cannot be read: {error}") from error


def with_batch(model: Any, batch: int) -> Any:
    """A copy of `model` whose inputs hold `batch` images: the first size of every input, and of the shapes that Reshape is given as long
    as they begin with the file's own batch. Sizes noted for values in between are dropped; readers infer them again."""
    onnx = require("--batch")
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    weights = {tensor.name for tensor in graph.initializer}
    before = None
    for entry in graph.input:
        if entry.name in weights:
            continue
        first = entry.type.tensor_type.shape.dim[0]
        before = first.dim_value or before
        first.dim_value = batch
    if before in (None, batch):
        return changed
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape" and len(node.input) > 1}
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor) if tensor.name in shapes else None
        if values is not None and values.size > 1 and values[0] == before:
            values = values.copy()
            values[0] = batch
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    del graph.value_info[:]
    for entry in graph.output:
        entry.type.tensor_type.ClearField("shape")
    return changed


def without_operators(model: Any, operators: Sequence[str]) -> Any:
    """A copy of `model` in which nodes of these operators are gone: their first output is their first input.

    Raises UnsupportedError for an operator that the file does not have.
    """
    onnx = require("--without")
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    for operator in operators:
        gone = [node for node in graph.node if node.op_type == operator]
        if not gone:
            present = sorted({node.op_type for node in graph.node})
            raise UnsupportedError(f"--without {operator}: the file has no such operator; it has {', '.join(present)}")
        for node in gone:
            _bypass(graph, node.output[0], node.input[0])
            graph.node.remove(node)
    return changed


def _bypass(graph: Any, output: str, source: str) -> None:
    """Whoever reads `output` reads `source` instead; an output of the whole graph keeps its name by renaming what makes `source`."""
    outer = any(entry.name == output for entry in graph.output)
    old, new = (source, output) if outer else (output, source)
    for node in graph.node:
        for names in (node.input, node.output) if outer else (node.input,):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def input_shapes(model: Any, batch: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the model's inputs by name, for `batch` images. UnsupportedError where the file leaves another size open."""
    weights = {tensor.name for tensor in model.graph.initializer}
    shapes = {}
    for entry in model.graph.input:
        if entry.name in weights:
            continue
        sizes = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
        if any(n < 1 for n in sizes[1:]):
            raise UnsupportedError(f"--onnx: input {entry.name!r} leaves sizes open ({sizes}); only the first may be")
        shapes[entry.name] = (batch, *sizes[1:])
    return shapes
