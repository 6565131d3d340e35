"""One operation of a file as a function on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from clconv.errors import OnnxError
from clconv.onnx.model import Operation
from clconv.onnx.protos import model_of, node_proto, type_of
from clconv.onnx.reading import onnx_package
from clconv.onnx.recurrent import STEPS, recurrent


@dataclass(frozen=True, eq=False)
class Hosted:
    """`node`, computed from the values of `names` in their order; `types` are their ONNX types, `known` the values that never change.

    The device holds whole numbers and truth values as floats: they get back the types that the file means.
    """

    node: Operation
    names: tuple[str, ...]
    types: Mapping[str, Any]
    known: Mapping[str, np.ndarray]
    opsets: Mapping[str, int]
    reason: str

    @property
    def operation(self) -> str:
        return self.node.op_type

    def prepare(self) -> None:
        """Raises whatever the reference implementation raises for an operator that it does not know."""
        _ = self._function

    def __call__(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """All outputs. Raises OnnxError with what the reference implementation says where it does not take the values."""
        given = {name: self._typed(name, value) for name, value in zip(self.names, values, strict=True)}
        try:
            with np.errstate(all="ignore"):
                results = self._function({**self.known, **given})
        except Exception as error:  # the reference implementation raises all kinds
            said = str(error).partition("\n")[0] or repr(error)
            shapes = ", ".join(f"{name} {value.dtype}{value.shape}" for name, value in given.items() if isinstance(value, np.ndarray))
            raise OnnxError(f"{self.node.place}: {self.node.op_type}: cannot be computed on the host from ({shapes}): {said}") from error
        if len(results) < len(self.node.outputs):
            said = f"gives {len(results)} outputs, the node names {len(self.node.outputs)}"
            raise OnnxError(f"{self.node.place}: {self.node.op_type}: {said}")
        return tuple(result if isinstance(result, list) or result is None else np.asarray(result) for result in results)

    def _typed(self, name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray) or self.types[name].WhichOneof("value") != "tensor_type":
            return value
        wanted = onnx_package().helper.tensor_dtype_to_np_dtype(self.types[name].tensor_type.elem_type)
        return value.astype(wanted, copy=False)

    @cached_property
    def _function(self) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
        """From all values by name to the outputs."""
        node = self.node
        if not node.domain and node.op_type in STEPS:
            attributes = {name: attribute.value for name, attribute in node.attributes.items()}
            kept = len(node.outputs)
            return lambda values: recurrent(node.op_type, attributes, [values.get(name) for name in node.inputs], kept)
        from onnx.reference import ReferenceEvaluator

        if not node.domain and node.op_type == "Loop":
            body = node.attributes["body"].value
            return partial(_loop, node, body, ReferenceEvaluator(body, opsets=dict(self.opsets)))
        types = {name: self.types[name] for name in self.names} | {name: type_of(value) for name, value in self.known.items()}
        evaluator = ReferenceEvaluator(model_of([node_proto(node)], types, {}, self.opsets))
        return lambda values: evaluator.run(None, dict(values))


def _loop(node: Operation, graph: Any, body: Any, values: Mapping[str, Any]) -> list[Any]:
    """Loop: in the reference implementation it never begins without a condition, and joins what it collects along the wrong axis."""
    (count, condition), states = (values.get(name) for name in node.inputs[:2]), [values[name] for name in node.inputs[2:]]
    names, kept = [value.name for value in graph.input], len(states)
    collected: list[list[np.ndarray]] = [[] for _ in graph.output[1 + kept :]]
    step, going = 0, condition is None or bool(condition)
    while going and (count is None or step < int(count)):
        own = dict(zip(names, (np.array(step, np.int64), np.array(True), *states), strict=True))
        going, *results = body.run(None, {**values, **own})
        states = results[:kept]
        for pile, result in zip(collected, results[kept:], strict=True):
            pile.append(np.asarray(result))
        step += 1
    return [*states, *(np.stack(p) if p else _nothing(value) for p, value in zip(collected, graph.output[1 + kept :], strict=True))]


def _nothing(value: Any) -> np.ndarray:
    """What a loop without a step collects: no elements, of the type and shape that the body declares."""
    onnx = onnx_package()
    tensor = value.type.tensor_type
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type) if tensor.elem_type else np.dtype(np.float32)
    return np.empty((0, *(max(0, d.dim_value) for d in tensor.shape.dim)), kind)

