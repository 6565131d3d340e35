"""`fallback="host"`: which operations of a file the host computes, and as what they stand in the graph."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clconv.errors import ArrayError, ClconvError, FallbackWarning, OnnxError, UnsupportedError, printable
from clconv.graph.node import Node
from clconv.graph.ops.host import OPEN, SEQUENCE, host, on_device
from clconv.onnx.budget import Budget, check_shape
from clconv.onnx.hosted import Hosted
from clconv.onnx.model import Model, Operation
from clconv.onnx.protos import inferred, node_proto, tensor_type, type_of
from clconv.onnx.reading import onnx_package, size_of
from clconv.onnx.rules import Value
from clconv.tensor import TensorSpec

NO_RULE = "there is no rule for this operator"
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


class Fallback:
    """The host's part of one file. `places` are the nodes that it computes, with the reason, in the order in which they were found."""

    def __init__(self, model: Model) -> None:
        self.source = model.source
        self.opsets = {"": model.version, **model.domains}
        self.types = _element_types(model, self.opsets)
        self.places: dict[str, tuple[str, str]] = {}
        self._said: set[str] = set()

    def check(self, operations: Sequence[Operation]) -> list[Operation]:
        """Those of `operations`, none of which has a rule, that the reference implementation does not know either."""
        lost = []
        for operation in operations:
            try:
                Hosted(operation, (), {}, {}, self.opsets, NO_RULE).prepare()
            except Exception:
                lost.append(operation)
            else:
                self.places[operation.place] = (operation.op_type, NO_RULE)
        return lost

    def warn(self) -> None:
        """One warning about all nodes that nobody has been told of yet."""
        new: dict[str, list[str]] = {}
        for place, (op_type, _) in self.places.items():
            if place not in self._said:
                new.setdefault(op_type, []).append(place)
        self._said.update(self.places)
        if new:
            listed = "; ".join(f"{op_type} ({', '.join(places)})" for op_type, places in new.items())
            message = f"{self.source}: computed on the host, as fallback=\"host\" allows, slowly and without gradients: {listed}"
            warnings.warn(printable(message), FallbackWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """How far up the line of the caller stands who is no part of this library."""
    frame, level = sys._getframe(1), 0
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "clconv":
        frame, level = frame.f_back, level + 1
    return level + 1


class Placement:
    """Where the operations of one trace are computed; remembers the ONNX types of what the host gives."""

    def __init__(self, fallback: Fallback, inputs: Mapping[str, Node], budget: Budget) -> None:
        self._fallback, self._budget = fallback, budget
        self._types: dict[str, Any] = {name: tensor_type(_of_file(fallback.types, name, n), n.shape) for name, n in inputs.items()}

    def apply(
        self, operation: Operation, values: Sequence[Value | None], rule: Callable[[], tuple[Value, ...]] | None
    ) -> tuple[Value, ...]:
        """The outputs of `operation` by its `rule`; by the host where there is none, where it refuses, or where the host has the values."""
        held = next((name for name, value in zip(operation.reads, values, strict=True) if _is_hosts(value)), None)
        if rule is not None and held is None:
            try:
                return rule()
            except (OnnxError, UnsupportedError, ArrayError) as refused:
                reason = str(refused)
                try:
                    return self._on_host(operation, values, reason)
                except ClconvError as error:
                    raise OnnxError(f"{reason}; on the host: {error}") from refused
        return self._on_host(operation, values, NO_RULE if rule is None else f"{held!r} is on the host, in a type that no kernel knows")

    def _on_host(self, operation: Operation, values: Sequence[Value | None], reason: str) -> tuple[Value, ...]:
        given = {name: value for name, value in zip(operation.reads, values, strict=True) if name and value is not None}
        nodes = {name: value for name, value in given.items() if isinstance(value, Node)}
        known = {name: value for name, value in given.items() if not isinstance(value, Node)}
        types = {name: self._type(name, node) for name, node in nodes.items()}
        function = Hosted(operation, tuple(nodes), types, known, self._fallback.opsets, reason)
        if not nodes and operation.op_type not in RANDOM:
            return self._known(function)
        outputs = self._outputs(function)
        results = host(function, list(nodes.values()), [_spec(kind) for kind in outputs])
        self._types.update(zip(operation.outputs, outputs, strict=False))
        self._fallback.places.setdefault(operation.place, (operation.op_type, reason))
        return results

    def _known(self, function: Hosted) -> tuple[Value, ...]:
        """What is computed here and now, counted as soon as ONNX can say how much it will be."""
        what = function.operation
        try:
            types = {name: type_of(value) for name, value in function.known.items()}
            found = inferred([node_proto(function.node)], types, function.known, function.opsets)
            specs = [_spec(kind) for kind in found.values() if _is_tensor(kind) and _has_shape(kind)]
        except (OnnxError, KeyError, TypeError, ValueError):  # the last three where a type has no name
            specs = []
        said = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs if OPEN not in spec.shape)
        self._budget.take(said, what)
        results = function([])
        parts = [part for result in results for part in (result if isinstance(result, list) else [result])]
        made = [part for part in parts if isinstance(part, np.ndarray)]
        for array in made:
            check_shape(array.shape, f"{what}: gives")
        self._budget.take(max(0, sum(array.nbytes for array in made) - said), what)
        return results

    def _type(self, name: str, node: Node) -> Any:
        """The ONNX type of a value, with its shape here."""
        found = self._types.get(name)
        return found if found is not None else tensor_type(_of_file(self._fallback.types, name, node), node.shape)

    def _outputs(self, function: Hosted) -> list[Any]:
        """The ONNX types of the results: what ONNX infers, and where it knows no shape, what zeros give. Whether those were right, a run
        finds out; where whole numbers are read, which may be a shape, they are not even tried unless it is a loop or a branch.
        """
        proto = node_proto(function.node)
        given = {**function.types, **{name: type_of(value) for name, value in function.known.items()}}
        wrong: OnnxError | None = None
        try:
            found = inferred([proto], given, function.known, function.opsets, strict=True)
        except OnnxError as error:
            wrong, found = error, {}  # it does not know all functions of its own operators: what the values say counts
        types = [found.get(name) for name in proto.output]
        if all(kind is not None and _has_shape(kind) for kind in types):
            return types
        plain = all(_is_tensor(kind) and "float" in _spec(kind).dtype and OPEN not in _spec(kind).shape for kind in function.types.values())
        if plain or None in types or any(attribute.kind == "graph" for attribute in function.node.attributes.values()):
            try:
                tried = [type_of(result) for result in function([_zeros(function.types[name]) for name in function.names])]
            except OnnxError as error:
                raise (wrong or error) from error
            types = [a if a is not None and _has_shape(a) else b for a, b in zip(types, tried, strict=True)]
        return types


def _is_hosts(value: Value | None) -> bool:
    return isinstance(value, Node) and not on_device(value.spec)


def _is_tensor(kind: Any) -> bool:
    return bool(kind.WhichOneof("value") == "tensor_type")


def _has_shape(kind: Any) -> bool:
    return not _is_tensor(kind) or bool(kind.tensor_type.HasField("shape"))


def _spec(kind: Any) -> TensorSpec:
    """The shape and element type of an ONNX type, as nodes have them."""
    if not _is_tensor(kind):
        return TensorSpec((OPEN,), SEQUENCE)
    tensor = kind.tensor_type
    shape = tuple(n if isinstance(n := size_of(d), int) else OPEN for d in tensor.shape.dim) if tensor.HasField("shape") else (OPEN,)
    return TensorSpec(shape, str(onnx_package().helper.tensor_dtype_to_np_dtype(tensor.elem_type)))


def _zeros(kind: Any) -> Any:
    """A value of a type; open sizes are 1."""
    if not _is_tensor(kind):
        return []
    spec = _spec(kind)
    return np.zeros([max(n, 1) if n == OPEN else n for n in spec.shape], spec.dtype)


def _of_file(types: Mapping[str, str], name: str, node: Node) -> str:
    """The element type that the file gives a value: kernels hold whole numbers and truth values as floats."""
    return types.get(name, node.dtype)


def _element_types(model: Model, opsets: Mapping[str, int]) -> dict[str, str]:
    """The element types of the values of a file, as far as ONNX can tell; those of half precision and up are what the nodes say."""
    onnx = onnx_package()
    given = {name: tensor_type(str(array.dtype), array.shape) for name, array in model.tensors.items()}
    for name, sizes in model.inputs.items():
        if model.types.get(name, "unknown") != "unknown":
            given[name] = tensor_type(model.types[name], [n if isinstance(n, int) else OPEN for n in sizes])
    try:
        found = inferred([node_proto(operation) for operation in model.operations], given, model.tensors, opsets)
    except OnnxError:
        found = {}
    types = {name: kind.tensor_type.elem_type for name, kind in {**given, **found}.items() if _is_tensor(kind)}
    return {name: str(onnx.helper.tensor_dtype_to_np_dtype(code)) for name, code in types.items() if code}
