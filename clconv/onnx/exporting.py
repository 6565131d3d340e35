"""`save`: from a network to a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.graph.network import Network, Shapes
from clconv.graph.node import SOURCES, Node, topological
from clconv.graph.trace import Graph
from clconv.onnx.emit import FIRST_WITH_GELU, RULES
from clconv.onnx.model import Operation
from clconv.onnx.network import OnnxNetwork
from clconv.onnx.reading import needed, onnx_package
from clconv.onnx.writer import Writer, named_apart

VERSION = 17
FORMAT = 8  # of the file itself: the one that came with operator set 17
MOST_BYTES = 2**31 - 2**20


def save(net: Network, path: str | os.PathLike[str], input_shape: Shapes | None = None) -> None:
    """Write the inference of `net` for inputs of `input_shape` as an ONNX file, with its weights under their names.

    `input_shape` is (N, C, spatial...), or a dict of shapes by input name; networks that `load` gave have one of their own. The file uses
    operator set 17 (20 where it needs Gelu), appears whole or not at all, and loads again as a network with the same parameters; layers
    keep their names. Momentum of batch normalisation is not part of inference and becomes the default.
    Raises OnnxError for operations that ONNX has no operator for, all of them at once, and for files above 2 GB.

    >>> save(models.lenet5(), "lenet5.onnx", (1, 1, 28, 28))   # doctest: +SKIP
    """
    data = to_model(net, input_shape).SerializeToString()
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise OnnxError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def to_model(net: Network, input_shape: Shapes | None = None) -> Any:
    """The onnx.ModelProto that `save` writes."""
    if not isinstance(net, Network):
        raise OnnxError(f"save: expected a network (a module, or what load gave), got {type(net).__name__}")
    if input_shape is None:
        input_shape = net.input_shape if isinstance(net, OnnxNetwork) else None
        if input_shape is None:
            raise OnnxError("save: needs the shape of the input, such as save(net, path, (1, 3, 224, 224))")
    nbytes = 4 * net.parameter_count()
    if nbytes > MOST_BYTES:
        raise OnnxError(f"save: {nbytes} bytes of parameters do not fit into a file of at most {MOST_BYTES}; save the weights alone")
    graph = net.trace(input_shape)
    nodes = topological(graph.outputs)
    _check_supported(nodes)
    version = FIRST_WITH_GELU if any(n.op.startswith("gelu") for n in nodes) else VERSION
    writer = Writer(net, version)
    for node in graph.inputs:
        writer.end(node, writer.unique(node["name"]))
    for node in nodes:
        if node.op not in SOURCES:
            writer.begin(node)
            writer.end(node, RULES[node.op](writer, node))
    return _model(writer, graph)


def _check_supported(nodes: list[Node]) -> None:
    unknown: dict[str, list[str]] = {}
    for node in nodes:
        if node.op not in (*SOURCES, *RULES):
            unknown.setdefault(str(node.attributes.get("named", node.op)), []).append(node.label or repr(node))
        elif node.dtype != "float32" and node.op not in ("constant", "item"):
            unknown.setdefault(f"{node.op} of {node.dtype}", []).append(node.label or repr(node))
    if unknown:
        listed = "; ".join(f"{kind} ({', '.join(dict.fromkeys(labels))})" for kind, labels in unknown.items())
        raise OnnxError(f"save: operations that are not supported: {listed}. Supported are {', '.join(sorted(RULES))}, all in float32")


def _model(writer: Writer, graph: Graph) -> Any:
    """The protocol buffer: what the outputs need, and nothing else."""
    onnx = onnx_package()
    sole = len(graph.outputs) == 1
    outputs = []
    for i, node in enumerate(graph.outputs):
        name = writer.unique("output" if sole else f"output_{i}")
        writer.operations.append(Operation("Identity", "", (writer.value(node),), (name,), {}))
        outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, node.shape))
    operations = needed(_without_last_copies(writer.operations), [value.name for value in outputs])
    operations = named_apart(operations, [writer.value(node) for node in graph.inputs])
    read = {name for operation in operations for name in operation.inputs}
    inputs = [onnx.helper.make_tensor_value_info(writer.value(n), onnx.TensorProto.FLOAT, n.shape) for n in graph.inputs]
    proto = onnx.ModelProto(ir_version=FORMAT, producer_name="clconv")
    proto.opset_import.append(onnx.helper.make_opsetid("", writer.version))
    proto.graph.name = "clconv"
    proto.graph.input.extend(inputs)
    proto.graph.output.extend(outputs)
    proto.graph.node.extend(_node(onnx, operation) for operation in operations)
    _add_tensors(onnx, proto.graph, {name: array for name, array in writer.tensors.items() if name in read})
    return proto


def _without_last_copies(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, with the names of the outputs given to what computes them, where nobody else reads it."""
    readers: dict[str, int] = {}
    for operation in operations:
        for name in operation.inputs:
            readers[name] = readers.get(name, 0) + 1
    made = {name for operation in operations for name in operation.outputs}
    renamed = {
        o.inputs[0]: o.outputs[0] for o in operations if o.op_type == "Identity" and readers[o.inputs[0]] == 1 and o.inputs[0] in made
    }
    kept = [o for o in operations if not (o.op_type == "Identity" and o.inputs[0] in renamed)]
    return [replace(o, outputs=tuple(renamed.get(name, name) for name in o.outputs)) for o in kept]


def _node(onnx: Any, operation: Operation) -> Any:
    attributes = {name: attribute.value for name, attribute in operation.attributes.items()}
    return onnx.helper.make_node(operation.op_type, operation.inputs, operation.outputs, operation.name, **attributes)


def _add_tensors(onnx: Any, graph: Any, tensors: Mapping[str, np.ndarray]) -> None:
    """Tensors as raw bytes, one after another: no second copy of all of them."""
    for name, array in tensors.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.initializer.append(onnx.TensorProto(name=name, data_type=kind, dims=array.shape))
        graph.initializer[-1].raw_data = np.ascontiguousarray(array).tobytes()
