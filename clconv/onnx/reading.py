"""From a file, bytes or ModelProto to a `Model`: the only place that knows how ONNX stores things."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.onnx.budget import Budget, for_tensors
from clconv.onnx.external import element_type, is_external, read_external
from clconv.onnx.functions import inlined
from clconv.onnx.model import Attribute, Dimensions, Model, Operation
from clconv.onnx.subgraphs import captured
from clconv.onnx.texts import check_texts

OLDEST_VERSION = 1
KINDS = {1: "float", 2: "int", 3: "string", 4: "tensor", 5: "graph", 6: "floats", 7: "ints", 8: "strings"}
OPEN_SIZE = -1
"""What some exporters write for an axis of any size, instead of a name or nothing."""
OWN_DOMAINS = ("", "ai.onnx")


def onnx_package() -> Any:
    """The package onnx, which only this format needs."""
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise OnnxError("ONNX files need the package onnx, which is not installed: pip install 'clconv[onnx]'") from error
    return onnx


def read(source: Any, budget: Budget | None = None) -> Model:
    """The main graph of a model, checked for being well formed: each value is made once, and before it is read.

    Its tensors are taken from `budget` before they are made.
    """
    budget = budget or for_tensors(None)
    onnx = onnx_package()
    proto, name, folder = _parsed(onnx, source)
    check_texts(proto, name)
    proto = inlined(proto, name)
    version = _version(onnx, proto, name)
    graph = proto.graph
    if len(graph.sparse_initializer):
        raise OnnxError(f"{name}: sparse initializers are not supported, got {len(graph.sparse_initializer)}; make them dense")
    if len({t.name for t in graph.initializer}) != len(graph.initializer):
        raise OnnxError(f"{name}: holds two initializers of one name; each value is made once")
    if (twice := _first_twice(v.name for v in graph.input)) is not None:
        raise OnnxError(f"{name}: holds two inputs of the name {twice!r}; each value is made once")
    tensors = {t.name: _array(onnx, t, name, folder, budget) for t in graph.initializer}
    inputs = {v.name: _dimensions(v, name) for v in graph.input if v.name not in tensors}
    types = {v.name: _type(onnx, v) for v in (*graph.input, *graph.output)}
    operations = tuple(_operation(onnx, node, name, folder, budget) for node in graph.node)
    notes = {entry.key: entry.value for entry in proto.metadata_props}
    domains = {entry.domain: int(entry.version) for entry in proto.opset_import if entry.domain not in OWN_DOMAINS}
    model = Model(name, version, inputs, tuple(v.name for v in graph.output), operations, tensors, types, notes, domains)
    _check_order(model)
    return model


def _parsed(onnx: Any, source: Any) -> tuple[Any, str, Path | None]:
    """(ModelProto, what errors call it, the folder that tensors outside of it may lie in)."""
    from google.protobuf.message import DecodeError

    if isinstance(source, onnx.ModelProto):
        return source, source.graph.name or "model", None
    name = "model" if isinstance(source, bytes) else os.fspath(source) if isinstance(source, str | os.PathLike) else None
    if name is None:
        raise OnnxError(f"load: takes a path, bytes or an onnx.ModelProto, got {type(source).__name__}")
    try:
        if isinstance(source, bytes):
            proto = onnx.load_model_from_string(source)
        else:  # of this format, whatever the name ends in
            proto = onnx.load(source, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise OnnxError(f"{name}: not an ONNX model ({error}); it was cut off, or is of another format") from error
    except OSError as error:
        raise OnnxError(f"{name}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # names that no file can have
        raise OnnxError(f"{name!r}: cannot be read: {error}") from error
    if not len(proto.graph.node) and not len(proto.graph.output):
        raise OnnxError(f"{name}: not an ONNX model: it has no graph")
    return proto, str(name), None if isinstance(source, bytes) else Path(os.fspath(source)).parent


def _version(onnx: Any, proto: Any, name: str) -> int:
    """The version of ONNX's own operators that the file is written in."""
    versions = [entry.version for entry in proto.opset_import if entry.domain in OWN_DOMAINS]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1:
        raise OnnxError(f"{name}: must say once which operator set it uses, got {versions or 'nothing'}; export the model again")
    if not OLDEST_VERSION <= versions[0] <= newest:
        raise OnnxError(
            f"{name}: operator set {versions[0]} is not supported, {OLDEST_VERSION} to {newest} are; "
            f"convert it with onnx.version_converter.convert_version(model, {min(17, newest)})"
        )
    return int(versions[0])


def _array(onnx: Any, tensor: Any, name: str, folder: Path | None, budget: Budget) -> np.ndarray:
    said = f"{name}: tensor {tensor.name!r}"
    if any(n < 0 for n in tensor.dims):
        raise OnnxError(f"{said} has shape {tuple(tensor.dims)}; sizes must not be negative")
    kind = element_type(onnx, tensor.data_type)
    budget.take(math.prod(tensor.dims) * (kind.itemsize if kind is not None else 1), said)
    if is_external(tensor):
        return read_external(onnx, tensor, folder, name)
    try:
        array: np.ndarray = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise OnnxError(f"{said} of shape {tuple(tensor.dims)} is damaged: {error}") from error
    return array


def _dimensions(value: Any, name: str) -> Dimensions:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise OnnxError(f"{name}: input {value.name!r} must be a tensor, got {kind or 'nothing'}")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise OnnxError(f"{name}: input {value.name!r} has no shape; infer or set it, at least the number of its axes")
    if negative := [d.dim_value for d in tensor.shape.dim if d.dim_value < OPEN_SIZE]:
        raise OnnxError(f"{name}: input {value.name!r} has an axis of size {negative[0]}; sizes are 0 or more, or -1 if open")
    return tuple(size_of(d) for d in tensor.shape.dim)


def size_of(dimension: Any) -> int | str:
    """The size of an axis, or the name of an open one, "?" without any."""
    if dimension.HasField("dim_value") and dimension.dim_value != OPEN_SIZE:
        return int(dimension.dim_value)
    return dimension.dim_param or "?"


def _type(onnx: Any, value: Any) -> str:
    """The element type as NumPy calls it; "unknown" where the file says none that there is."""
    kind = element_type(onnx, value.type.tensor_type.elem_type)
    return "unknown" if kind is None else str(kind)


def _operation(onnx: Any, node: Any, name: str, folder: Path | None, budget: Budget) -> Operation:
    if (twice := _first_twice(a.name for a in node.attribute)) is not None:
        raise OnnxError(f"{name}: {node.op_type} {node.name!r} has two attributes of the name {twice!r}; which one counts is not said")
    attributes = {a.name: _attribute(onnx, a, name, folder, budget) for a in node.attribute}
    domain = "" if node.domain in OWN_DOMAINS else node.domain
    inner = [attribute.value for attribute in attributes.values() if attribute.kind == "graph"]
    outer = tuple(dict.fromkeys(value for graph in inner for value in captured(graph, name)))
    return Operation(node.op_type, node.name, tuple(node.input), tuple(node.output), attributes, domain, outer)


def _first_twice(names: Iterable[str]) -> str | None:
    """The first name that was there before."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def _attribute(onnx: Any, attribute: Any, name: str, folder: Path | None, budget: Budget) -> Attribute:
    if attribute.ref_attr_name:
        raise OnnxError(f"{name}: attribute {attribute.name} takes {attribute.ref_attr_name!r} of a function, but is in none")
    kind = KINDS.get(attribute.type)
    if kind is None:
        return Attribute(onnx.AttributeProto.AttributeType.Name(attribute.type).lower(), None)
    if kind == "tensor":
        return Attribute(kind, _array(onnx, attribute.t, name, folder, budget))
    value = onnx.helper.get_attribute_value(attribute)
    if kind == "string":
        return Attribute(kind, value.decode("utf-8", "replace"))
    return Attribute(kind, tuple(value) if kind.endswith("s") else value)


def _check_order(model: Model) -> None:
    """Every value is made by one node, before those that read it."""
    known = {*model.inputs, *model.tensors}
    for operation in model.operations:
        missing = [name for name in operation.reads if name and name not in known]
        if missing:
            raise OnnxError(
                f"{model.source}: {operation.op_type} {operation.place!r} reads {', '.join(map(repr, missing))}, which no input, "
                "initializer or earlier node gives; nodes must be in order of execution"
            )
        for name in operation.outputs:
            if name and name in known:
                raise OnnxError(f"{model.source}: {operation.op_type} {operation.place!r} gives {name!r}, which is made already")
            known.add(name)
    lost = [name for name in model.outputs if name not in known]
    if lost or not model.outputs:
        raise OnnxError(f"{model.source}: output {', '.join(map(repr, lost)) or '(none)'} is given by no node")


def needed(operations: Iterable[Operation], outputs: Iterable[str]) -> list[Operation]:
    """The operations that `outputs` depend on, in their order."""
    wanted, kept = set(outputs), []
    for operation in reversed(tuple(operations)):
        if wanted.intersection(name for name in operation.outputs if name):
            kept.append(operation)
            wanted.update(operation.reads)
    return kept[::-1]


def consumers(operations: Iterable[Operation]) -> Mapping[str, list[tuple[Operation, int]]]:
    """Who reads each value, and as which of what it reads."""
    found: dict[str, list[tuple[Operation, int]]] = {}
    for operation in operations:
        for slot, name in enumerate(operation.reads):
            if name:
                found.setdefault(name, []).append((operation, slot))
    return found
