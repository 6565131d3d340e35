"""From values of our own back to ONNX's messages: single operations as models, which ONNX's tools take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.onnx.model import Attribute, Operation
from clconv.onnx.reading import onnx_package

LARGEST_SHAPE = 64
"""Tensors of whole numbers up to this many elements may say shapes, and go into a model by value."""


def node_proto(operation: Operation) -> Any:
    """The node; outputs that are left out get names, so that there are as many."""
    onnx = onnx_package()
    outputs = [name or f"unused output {i}" for i, name in enumerate(operation.outputs)]
    node = onnx.helper.make_node(operation.op_type, operation.inputs, outputs, operation.place, domain=operation.domain)
    node.attribute.extend(_attribute(onnx, name, attribute) for name, attribute in operation.attributes.items())
    return node


def _attribute(onnx: Any, name: str, attribute: Attribute) -> Any:
    if attribute.value is None:
        raise OnnxError(f"attribute {name} of kind {attribute.kind} is not supported")
    value = onnx.numpy_helper.from_array(attribute.value) if attribute.kind == "tensor" else attribute.value
    return onnx.helper.make_attribute(name, value, attr_type=onnx.AttributeProto.AttributeType.Value(attribute.kind.upper()))


def model_of(nodes: Sequence[Any], types: Mapping[str, Any], known: Mapping[str, np.ndarray], opsets: Mapping[str, int]) -> Any:
    """A ModelProto: `types` are those of its inputs by name (TypeProto), `known` has the values of some."""
    onnx = onnx_package()
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in known.items()]
    inputs = [onnx.helper.make_value_info(name, kind) for name, kind in types.items() if name not in known]
    outputs = [onnx.ValueInfoProto(name=name) for node in nodes for name in node.output]
    graph = onnx.helper.make_graph(nodes, "on the host", inputs, outputs, tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(*entry) for entry in opsets.items()])


def inferred(
    nodes: Sequence[Any], types: Mapping[str, Any], known: Mapping[str, np.ndarray], opsets: Mapping[str, int], strict: bool = False
) -> dict[str, Any]:
    """What ONNX says of the types and shapes of the values that nodes give, by name; what it cannot say is left out.

    `strict` raises OnnxError where it finds that a node does not take what it reads.
    """
    onnx = onnx_package()
    arrays = {name: array for name, array in known.items() if isinstance(array, np.ndarray)}
    shapes = {name: array for name, array in arrays.items() if array.dtype.kind in "ib" and array.size <= LARGEST_SHAPE}
    try:
        graph = onnx.shape_inference.infer_shapes(model_of(nodes, types, shapes, opsets), strict_mode=strict).graph
    except Exception as error:  # of several kinds, without a common base
        raise OnnxError(str(error).strip().rpartition("\n")[2]) from error
    return {value.name: value.type for value in (*graph.value_info, *graph.output) if value.type.WhichOneof("value")}


def tensor_type(dtype: str, shape: Sequence[int] | None) -> Any:
    """A TypeProto; negative sizes are open ones."""
    onnx = onnx_package()
    code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return onnx.helper.make_tensor_type_proto(code, None if shape is None else [n if n >= 0 else None for n in shape])


def type_of(value: Any) -> Any:
    """The TypeProto of an array, or of a list of them."""
    if isinstance(value, list):
        inner = tensor_type(str(value[0].dtype) if value else "float32", None)
        return onnx_package().helper.make_sequence_type_proto(inner)
    return tensor_type(str(np.asarray(value).dtype), np.asarray(value).shape)
