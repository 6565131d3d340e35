"""Small ONNX models made by hand, and what ONNX's own reference implementation makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int | str]],
    tensors: Mapping[str, np.ndarray] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> Any:
    """A ModelProto of these nodes; the shapes of outputs are what ONNX makes of them."""
    graph = helper.make_graph(
        list(nodes),
        "made by hand",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (tensors or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made) if all(node.domain == "" for node in nodes) else made


def one(op_type: str, shape: Sequence[int], tensors: Mapping[str, np.ndarray] | None = None, opset: int = 17, **attributes: Any) -> Any:
    """A model of one node: y = op_type(x, *tensors)."""
    node = helper.make_node(op_type, ["x", *(tensors or {})], ["y"], name="here", **attributes)
    return model([node], {"x": shape}, tensors, opset=opset)


def by_the_book(proto: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """The outputs by onnx.reference."""
    onnx.checker.check_model(proto)
    names = [value.name for value in proto.graph.input]
    return ReferenceEvaluator(proto).run(None, dict(zip(names, arrays, strict=True)))
