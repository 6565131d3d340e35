"""What is computed here and now, of operations whose inputs are all known: by ONNX's own reference implementation, in every type it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.onnx.budget import Budget
from clconv.onnx.estimate import result_bytes, result_steps
from clconv.onnx.model import Attribute, Operation
from clconv.onnx.reading import KINDS, onnx_package


def declare(operation: Operation, values: Sequence[np.ndarray | None], budget: Budget) -> None:
    """Takes from `budget` what `evaluate` will make and loop over; raises OnnxError where that is too much."""
    try:
        nbytes, steps = result_bytes(operation, values), result_steps(operation, values)
    except (IndexError, ValueError, OverflowError, TypeError, AttributeError) as error:
        raise OnnxError(f"{operation.op_type}: cannot be computed: operands say no size ({error})") from error
    budget.take(nbytes, operation.op_type)
    budget.work(steps, operation.op_type)


def evaluate(operation: Operation, version: int, values: Sequence[np.ndarray | None]) -> tuple[np.ndarray, ...]:
    """The outputs of one operation. Raises OnnxError with what the reference implementation says where it does not take the values.

    >>> evaluate(Operation("Add", "sum", ("a", "b"), ("c",), {}), 17, [np.array([1, 2]), np.array(5)])
    (array([6, 7]),)
    """
    if operation.op_type == "Unsqueeze" and "axes" in operation.attributes:  # before version 13, which the reference does not take
        return (_unsqueezed(operation, values[0]),)
    onnx = onnx_package()
    from onnx.reference import ReferenceEvaluator

    attributes = {name: _value(onnx, attribute) for name, attribute in operation.attributes.items()}
    outputs = [name or f"unused output {i}" for i, name in enumerate(operation.outputs)]
    node = onnx.helper.make_node(operation.op_type, operation.inputs, outputs)
    kinds = {kind: code for code, kind in KINDS.items()}
    for name, value in attributes.items():  # one that is an empty list does not say its kind itself
        node.attribute.append(onnx.helper.make_attribute(name, value, attr_type=kinds[operation.attributes[name].kind]))
    given = {name: value for name, value in zip(operation.inputs, values, strict=True) if name}
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(node, opsets={"": version}).run(None, given)
    except Exception as error:
        shapes = ", ".join(f"{name} {value.dtype}{value.shape}" for name, value in given.items() if value is not None)
        said = str(error).partition("\n")[0] or repr(error)
        raise OnnxError(f"{operation.op_type}: cannot be computed from ({shapes}): {said}") from error
    return tuple(np.asarray(result) for result in results)


def _unsqueezed(operation: Operation, value: np.ndarray | None) -> np.ndarray:
    axes, array = operation.attributes["axes"].value, np.asarray(value)
    try:
        return np.expand_dims(array, tuple(axes))
    except (ValueError, TypeError) as error:  # NumPy's AxisError is a ValueError
        raise OnnxError(f"Unsqueeze: axes {axes} do not fit an input of shape {array.shape}: {error}") from error


def _value(onnx: Any, attribute: Attribute) -> Any:
    if attribute.value is None:
        raise OnnxError(f"an attribute of kind {attribute.kind} is not supported here")
    return onnx.numpy_helper.from_array(attribute.value) if attribute.kind == "tensor" else attribute.value
