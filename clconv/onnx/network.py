"""A network that a file describes: the same kind of object as a model of clconv.nn."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from clconv.errors import ClconvError, GeometryError, OnnxError, printable
from clconv.graph.network import Network
from clconv.graph.node import Node
from clconv.graph.ops import as_node, make
from clconv.graph.parameter import Parameter
from clconv.graph.trace import scope
from clconv.onnx.budget import Budget, check_shape, for_folding
from clconv.onnx.fallback import Fallback, Placement
from clconv.onnx.host import declare, evaluate
from clconv.onnx.model import Dimensions, Model, Operation
from clconv.onnx.reading import consumers
from clconv.onnx.rules import Batch, Call, Rule, Value, rule_of
from clconv.onnx.weights import sorted_tensors

ON_DEVICE = ("float32", "float16")


class OnnxNetwork(Network):
    """What `load` gives. Parameters have the names of the file's tensors, layers those of its nodes.

    `input_shape` is what the file was written for: a tuple, or a dict by name for several inputs; None where it leaves a size open.
    """

    def __init__(self, model: Model, max_bytes: int | None = None, fallback: Fallback | None = None) -> None:
        self.dimensions: dict[str, Dimensions] = dict(model.inputs)
        self.output_names = model.outputs
        self.version, self.types = model.version, dict(model.types)
        self._source, self._operations = model.source, model.operations
        self.max_bytes, self._tensor_bytes = max_bytes, sum(array.nbytes for array in model.tensors.values())
        tensors = sorted_tensors(model)
        self._parameters, self._arrays = tensors.parameters, tensors.arrays
        self._statistics = tensors.statistics
        self._halves = frozenset(name for name, array in model.tensors.items() if array.dtype == np.float16)
        self._fallback = fallback
        self.name_parameters()

    @property
    def input_shape(self) -> tuple[int, ...] | dict[str, tuple[int, ...]] | None:
        shapes = {name: tuple(n for n in sizes if isinstance(n, int)) for name, sizes in self.dimensions.items()}
        if any(len(shape) != len(self.dimensions[name]) for name, shape in shapes.items()):
            return None
        return next(iter(shapes.values())) if len(shapes) == 1 else shapes

    @property
    def operators(self) -> dict[str, str]:
        """The operator of each node by name, as the file calls them."""
        return {operation.place: operation.op_type for operation in self._operations}

    def named_parameters(self) -> dict[str, Parameter]:
        return dict(self._parameters)

    def input_names(self) -> tuple[str, ...]:
        return tuple(self.dimensions)

    def is_statistic(self, name: str) -> bool:
        return name in self._statistics

    def refusal(self, sentence: str) -> ClconvError:
        return OnnxError(f"{self._source}: {sentence}")

    def input_type(self, name: str) -> str:
        declared = self.types.get(name, "unknown")
        if self._fallback is not None and declared != "unknown":
            return declared
        return "float16" if declared == "float16" else "float32"

    def host_inputs(self) -> frozenset[str]:
        """Inputs that decide over shapes and the like, so that they must be known before anything runs: see `with_values`. Where the host
        may compute, it takes these as well."""
        if self._fallback is not None:
            return frozenset()
        readers = ((name, rule_of(o), slot) for name, uses in consumers(self._operations).items() for o, slot in uses)
        return frozenset(name for name, rule, slot in readers if name in self.dimensions and rule is not None and slot in rule.host)

    def with_values(self, **values: np.ndarray) -> OnnxNetwork:
        """The same network with some of its inputs known: shapes, axes and indices that a file leaves open, or tensors of types that are
        not computed on the device. Parameters are shared.

        >>> net = load("gather.onnx").with_values(indices=np.array([2, 0]))   # doctest: +SKIP
        """
        unknown = [name for name in values if name not in self.dimensions]
        if unknown:
            raise OnnxError(f"{self._source}: has no input {', '.join(map(repr, unknown))}; inputs are {', '.join(self.dimensions)}")
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.dimensions = {name: sizes for name, sizes in self.dimensions.items() if name not in values}
        twin._arrays = {**self._arrays, **{name: np.asarray(value) for name, value in values.items()}}
        return twin

    def forward(self, *inputs: Node) -> Any:
        """The operations of the file one after another; those whose operands are all known are computed here and now."""
        outputs = tuple(as_node(v, f"output {name!r}") for name, v in zip(self.output_names, self.values(*inputs), strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    def values(self, *inputs: Node) -> tuple[Value, ...]:
        """The outputs, those that are known already as arrays of their own type."""
        self._check_inputs(inputs)
        try:
            return self._outputs(inputs)
        except ClconvError as error:
            written = ", ".join(f"{name} ({', '.join(map(str, sizes))})" for name, sizes in self.dimensions.items())
            if tuple(node.shape for node in inputs) != tuple(self.dimensions.values()):
                error.args = (printable(f"{error}; the file was written for {written}"),)
            raise

    def _outputs(self, inputs: tuple[Node, ...]) -> tuple[Value, ...]:
        values: dict[str, Value] = {**self._arrays, **{name: self._parameter(name, p) for name, p in self._parameters.items()}}
        values |= dict(zip(self.dimensions, inputs, strict=True))
        from_input = set(self.dimensions)
        batch, budget = self._batch(inputs), for_folding(self.max_bytes, self._tensor_bytes)
        given = dict(zip(self.dimensions, inputs, strict=True))
        placement = None if self._fallback is None else Placement(self._fallback, given, budget)
        for operation in self._operations:
            with scope(operation.place):
                results = self._apply(operation, values, from_input, batch, budget, placement)
            if from_input.intersection(operation.reads):
                from_input.update(operation.outputs)
            values.update(zip(operation.outputs, results, strict=False))
        if self._fallback is not None:
            self._fallback.warn()
        for name in self.output_names:
            if name not in values:
                raise OnnxError(f"output {name!r} is {self._unsupported_output(name)}")
        return tuple(values[name] for name in self.output_names)

    def _unsupported_output(self, name: str) -> str:
        giver = next(o for o in self._operations if name in o.outputs)
        place = f"output {giver.outputs.index(name)} of {giver.op_type} {giver.place!r}"
        return f"{place}, which is not supported; only the outputs before it are"

    def _parameter(self, name: str, parameter: Parameter) -> Node:
        """Its node, in the type that the file has it in."""
        return make("cast", parameter.node, dtype="float16") if name in self._halves else parameter.node

    def _apply(
        self,
        operation: Operation,
        values: dict[str, Value],
        from_input: set[str],
        batch: Batch,
        budget: Budget,
        placement: Placement | None,
    ) -> tuple[Value, ...]:
        missing = next((name for name in operation.reads if name and name not in values), None)
        if missing is not None:
            raise OnnxError(f"{operation.op_type}: reads {missing!r}, {self._unsupported_output(missing)}")
        rule = rule_of(operation)
        hosts = () if rule is None else rule.host
        given = [self._operand(name, values, slot in hosts) for slot, name in enumerate(operation.reads)]
        if rule is not None and given and not any(isinstance(value, Node) for value in given):
            known = [value for value in given if not isinstance(value, Node)]
            declare(operation, known, budget)
            return evaluate(operation, self.version, known)
        flags = [name in from_input for name in operation.inputs]
        apply = None if rule is None else partial(_by_rule, rule, Call(operation, self.version, self.training, given, flags, batch, budget))
        if placement is not None:
            return placement.apply(operation, given, apply)
        assert apply is not None, "loading refuses operators without a rule"
        return apply()

    def _operand(self, name: str, values: dict[str, Value], on_host: bool) -> Value | None:
        """The value of that name, as an array where the operation must know it now and the file says it."""
        if not name:
            return None
        return self._arrays[name] if on_host and name in self._arrays else values[name]

    def _batch(self, inputs: tuple[Node, ...]) -> Batch:
        """The file's number of images and the real one, both in front of the first input."""
        first = next(iter(self.dimensions.values()), ())
        in_file = first[0] if first and isinstance(first[0], int) else None
        return Batch(in_file, inputs[0].shape[0] if inputs and inputs[0].ndim else 1)

    def _check_inputs(self, inputs: tuple[Node, ...]) -> None:
        if len(inputs) != len(self.dimensions):
            raise GeometryError(
                printable(f"{self._source}: takes {len(self.dimensions)} inputs ({', '.join(self.dimensions)}), ")
                + f"got shapes for {len(inputs)}; give a dict of shapes by name"
            )
        host = self.host_inputs()
        for (name, sizes), node in zip(self.dimensions.items(), inputs, strict=True):
            if node.ndim != len(sizes):
                raise GeometryError(
                    printable(f"{self._source}: input {name!r} has {len(sizes)} axes ({', '.join(map(str, sizes))}), ")
                    + f"got shape {node.shape}"
                )
            check_shape(node.shape, f"{self._source}: input {name!r} is")
            if name in host:
                raise OnnxError(f"{self._source}: input {name!r} decides what runs; give its value first: net.with_values({name}=array)")
            if self._fallback is None and self.types.get(name, "float32") not in ON_DEVICE:
                raise OnnxError(
                    f"{self._source}: input {name!r} holds {self.types[name]}; what is not float must be known before anything runs: "
                    f"net.with_values({name}=array)"
                )

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNetwork:
        """A copy with Parameters of its own, at their current values."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(self.__dict__)
        twin._parameters = {name: Parameter(p.value, p.trainable) for name, p in self._parameters.items()}
        twin.name_parameters()
        return twin

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name} ({', '.join(map(str, sizes))})" for name, sizes in self.dimensions.items())
        return printable(f"OnnxNetwork({self._source}: {inputs} -> {', '.join(self.output_names)}; {len(self._operations)} operations)")


def _by_rule(rule: Rule, call: Call) -> tuple[Value, ...]:
    results = rule.apply(call)
    call.attributes.close()
    results = results if isinstance(results, tuple) else (results,)
    for result in results:
        check_shape(result.shape, f"{call.operation.op_type}: gives")
    return results


def check_traceable(net: OnnxNetwork, source: str) -> None:
    """Whether the file fits together at the sizes it gives; a first axis that is left open is tried with 1."""
    shapes = {name: (1, *sizes[1:]) if sizes and isinstance(sizes[0], str) else sizes for name, sizes in net.dimensions.items()}
    host = net.host_inputs()
    if any(isinstance(n, str) for sizes in shapes.values() for n in sizes) or any(
        net.input_type(name) != net.types.get(name) or name in host for name in shapes
    ):
        return
    try:
        net.trace({name: tuple(int(n) for n in sizes) for name, sizes in shapes.items()})
    except ClconvError as error:
        said = str(error)
        raise OnnxError(said if said.startswith(printable(f"{source}: ")) else f"{source}: {said}") from error
