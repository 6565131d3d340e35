"""`save`: from a network to a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clconv.errors import ClconvError, OnnxError
from clconv.graph.network import Network, Shapes
from clconv.graph.node import SOURCES, Node, topological
from clconv.graph.trace import Graph
from clconv.onnx.emit import REFUSED, RULES, version_for
from clconv.onnx.model import Operation
from clconv.onnx.naming import named_apart, tensors_named, values_named
from clconv.onnx.network import OnnxNetwork
from clconv.onnx.reading import needed, onnx_package
from clconv.onnx.storing import add_tensors, store
from clconv.onnx.weights import TRAINED
from clconv.onnx.writer import TYPES, Writer

FORMATS = {17: 8, 18: 8, 19: 9, 20: 9}  # of the file itself: the one that came with each operator set
MOST_BYTES = 2**31 - 2**20


def save(
    net: Network, path: str | os.PathLike[str], input_shape: Shapes | None = None, *, batch: str | None = None, external: bool = False
) -> None:
    """Write the inference of `net` for inputs of `input_shape` as an ONNX file, with its weights under their names.

    `input_shape` is (N, C, spatial...), or a dict of shapes by input name; networks that `load` gave have one of their own. The file is
    for exactly these sizes, as other runtimes take it; with `batch`, any name, it takes any number of inputs: the first axis of every
    input is left open under that name. `external` puts the weights into a second file beside it, named as the first with .data behind,
    which models above 2 GB need.

    The file uses operator set 17 (18 for antialiased resizing, 19 for means over dilated windows, 20 for Gelu), appears whole or not at
    all, and loads again as a network with the same parameters, of which the same are trained; layers keep their names. What inference
    does not read, such as auxiliary classifiers and the momentum of batch normalisation, is not in it. Weights that are read in half
    precision alone are stored so if that loses nothing.
    Raises OnnxError for what ONNX has no operator for (gradients, random numbers), all of it at once, for networks that do not work with
    any `batch`, and for files above 2 GB.

    >>> save(models.lenet5(), "lenet5.onnx", (1, 1, 28, 28), batch="N")   # doctest: +SKIP
    """
    proto, tensors = _exported(net, input_shape, batch)
    if not external:
        _check_size(sum(array.nbytes for array in tensors.values()))
    store(onnx_package(), proto, tensors, path, external)


def to_model(net: Network, input_shape: Shapes | None = None, *, batch: str | None = None) -> Any:
    """The onnx.ModelProto that `save` writes."""
    proto, tensors = _exported(net, input_shape, batch)
    _check_size(sum(array.nbytes for array in tensors.values()))
    add_tensors(onnx_package(), proto.graph, tensors)
    return proto


def _check_size(nbytes: int) -> None:
    if nbytes > MOST_BYTES:
        raise OnnxError(
            f"save: {nbytes} bytes of weights do not fit into a file of at most {MOST_BYTES}; save(..., external=True) puts them beside it"
        )


def _exported(net: Network, input_shape: Shapes | None, batch: str | None) -> tuple[Any, Mapping[str, np.ndarray]]:
    """The ModelProto without its tensors, and these by name."""
    if not isinstance(net, Network):
        raise OnnxError(f"save: expected a network (a module, or what load gave), got {type(net).__name__}")
    if input_shape is None:
        input_shape, batch = _own_shape(net, batch)
    graph, twins = _traced(net, input_shape, batch)
    nodes = topological(graph.outputs)
    _check_supported(nodes)
    if lost := [f"{node['name']} ({node.dtype})" for node in graph.inputs if node.dtype not in TYPES]:
        raise OnnxError(f"save: inputs of types that only the host knows: {', '.join(lost)}; keep the file that the network came from")
    writer = Writer(net, version_for(nodes), nodes, twins)
    for node in graph.inputs:
        writer.end(node, writer.unique(node["name"]))
    for node in nodes:
        if node.op not in SOURCES:
            writer.begin(node)
            writer.end(node, RULES[node.op](writer, node))
    proto, tensors = _model(writer, graph, _output_names(net, graph), batch)
    trained = net.trainable_parameters()
    noted = [name for name, array in tensors.items() if array.dtype.kind == "f" and (array.size > 1 or name in writer.parameters)]
    proto.metadata_props.add(key=TRAINED, value=json.dumps({name: name in trained for name in noted}))
    return proto, tensors


def _own_shape(net: Network, batch: str | None) -> tuple[Shapes, str | None]:
    """The shapes that a loaded network was written for, and the name of its first axis where that is open."""
    if isinstance(net, OnnxNetwork) and net.dimensions:
        names = {sizes[0] for sizes in net.dimensions.values() if sizes and isinstance(sizes[0], str)}
        shapes = {name: (2, *sizes[1:]) if sizes and isinstance(sizes[0], str) else sizes for name, sizes in net.dimensions.items()}
        fixed = {name: tuple(n for n in sizes if isinstance(n, int)) for name, sizes in shapes.items()}
        if all(len(fixed[name]) == len(sizes) for name, sizes in shapes.items()) and len(names) < 2:
            return fixed, batch or next(iter(names), None)
    raise OnnxError("save: needs the shape of the input, such as save(net, path, (1, 3, 224, 224))")


def _traced(net: Network, input_shape: Shapes, batch: str | None) -> tuple[Graph, dict[int, Node]]:
    """The graph, and with `batch` for each of its nodes the same one for a batch of one more."""
    if batch is None:
        return net.trace(input_shape), {}
    shapes = net.input_shapes(input_shape)
    if not batch or not all(shapes.values()):
        raise OnnxError(f"save: batch={batch!r} must be a name for the first axis of every input, got input shapes {shapes}")
    # Two images at least: what is special about one alone must not get into the file.
    number = max(2, *(shape[0] for shape in shapes.values()))
    asked = f"save: batch={batch!r} asks for a network that takes any number of inputs"
    try:
        graph, more = (net.trace({name: (n, *shape[1:]) for name, shape in shapes.items()}) for n in (number, number + 1))
    except ClconvError as error:
        raise OnnxError(f"{asked}; with {number} and {number + 1}: {error}") from error
    pairs = [*zip(graph.inputs, more.inputs, strict=True), *zip(topological(graph.outputs), topological(more.outputs), strict=False)]
    for node, twin in pairs:
        if node.op != twin.op or node.ndim != twin.ndim or len(node.inputs) != len(twin.inputs):
            raise OnnxError(
                f"{asked}, but with {number} it computes {node!r} where it computes {twin!r} with {number + 1}; save it for a fixed batch"
            )
    return graph, {id(node): twin for node, twin in pairs}


def _check_supported(nodes: list[Node]) -> None:
    """Every operation that no file can hold, with its places, and every empty tensor."""
    unknown: dict[str, list[str]] = {}
    for node in nodes:
        if 0 in node.shape:
            raise OnnxError(f"save: {node!r} is empty, which cannot be saved; give an input shape with a batch of at least 1")
        if node.op not in (*SOURCES, *RULES):
            why = REFUSED.get(node.op, "has no rule")
            unknown.setdefault(f"{node.op} {why}", []).append(node.label or repr(node))
    if unknown:
        listed = "; ".join(f"{why} ({', '.join(dict.fromkeys(labels))})" for why, labels in unknown.items())
        raise OnnxError(f"save: {listed}")


def _output_names(net: Network, graph: Graph) -> tuple[str, ...]:
    if isinstance(net, OnnxNetwork):
        return net.output_names
    return ("output",) if len(graph.outputs) == 1 else tuple(f"output_{i}" for i in range(len(graph.outputs)))


def _model(writer: Writer, graph: Graph, names: Sequence[str], batch: str | None) -> tuple[Any, Mapping[str, np.ndarray]]:
    """The protocol buffer: what the outputs need, and nothing else."""
    onnx = onnx_package()
    outputs = []
    for wanted, node in zip(names, graph.outputs, strict=True):
        name = writer.unique(wanted)
        writer.operations.append(Operation("Identity", "", (writer.value(node),), (name,), {}))
        outputs.append(_declared(onnx, writer, name, node, batch))
    operations = needed(_without_last_copies(writer.operations), [value.name for value in outputs])
    operations = named_apart(_trimmed(operations), [writer.value(node) for node in graph.inputs])
    operations = values_named(operations, {value.name for value in outputs})
    for operation in operations:
        if writer.of_batch.intersection(operation.inputs):
            place = f"{operation.op_type} {operation.name!r}"
            raise OnnxError(f"save: {place} reads a constant that depends on the number of inputs; save it for a fixed batch")
    operations, tensors = tensors_named(operations, writer.tensors, writer.parameters)
    proto = onnx.ModelProto(ir_version=FORMATS[writer.version], producer_name="clconv")
    proto.opset_import.append(onnx.helper.make_opsetid("", writer.version))
    proto.graph.name = "clconv"
    proto.graph.input.extend(_declared(onnx, writer, writer.value(node), node, batch) for node in graph.inputs)
    proto.graph.output.extend(outputs)
    proto.graph.node.extend(_node(onnx, operation) for operation in operations)
    return proto, tensors


def _declared(onnx: Any, writer: Writer, name: str, node: Node, batch: str | None) -> Any:
    """An input or output of the file; what depends on the batch otherwise than being one in front has no size."""
    open_axes = writer.open_axes(node)
    sizes = [n if axis not in open_axes else batch if axis == 0 else None for axis, n in enumerate(node.shape)]
    return onnx.helper.make_tensor_value_info(name, TYPES[node.dtype], sizes)


def _trimmed(operations: Sequence[Operation]) -> list[Operation]:
    """The operations without last results that nobody reads."""
    read = {name for operation in operations for name in operation.inputs}
    return [replace(o, outputs=o.outputs[:-1]) if len(o.outputs) > 1 and o.outputs[-1] not in read else o for o in operations]


def _without_last_copies(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, with the names of the outputs given to what computes them; only a value that is two outputs is copied."""
    made = {name for operation in operations for name in operation.outputs}
    renamed: dict[str, str] = {}
    kept = []
    for operation in operations:
        source = operation.inputs[0] if operation.op_type == "Identity" else None
        if source in made and source not in renamed:
            renamed[source] = operation.outputs[0]
        else:
            kept.append(operation)

    def named(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(renamed.get(name, name) for name in values)

    return [replace(operation, inputs=named(operation.inputs), outputs=named(operation.outputs)) for operation in kept]


def _node(onnx: Any, operation: Operation) -> Any:
    attributes = {name: attribute.value for name, attribute in operation.attributes.items()}
    return onnx.helper.make_node(operation.op_type, operation.inputs, operation.outputs, operation.name, **attributes)
