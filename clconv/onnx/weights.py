"""Which tensors of a file are parameters of the network, and which only tell it what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from clconv.errors import OnnxError
from clconv.graph.parameter import Parameter
from clconv.graph.trace import scope
from clconv.onnx.budget import Budget
from clconv.onnx.model import Model, Operation
from clconv.onnx.reading import consumers
from clconv.onnx.rules import RULES, Batch, Call, rule_of

TRAINED = "clconv.trained"
"""The key under which a file of `save` says of each tensor whether it is trained."""


@dataclass(frozen=True)
class Tensors:
    """Parameters and host arrays by name; a tensor that is read in both ways is in both. `statistics` names the running ones."""

    parameters: dict[str, Parameter]
    arrays: dict[str, np.ndarray]
    statistics: frozenset[str]


def with_constants_folded(model: Model, budget: Budget) -> Model:
    """`model` with the results of Constant, and of ConstantOfShape where the shape is known, as tensors of the file like others."""
    tensors, left = dict(model.tensors), []
    for operation in model.operations:
        known = all(name in tensors for name in operation.inputs) and len(operation.outputs) == 1
        if operation.op_type in ("Constant", "ConstantOfShape") and not operation.domain and known:
            call = Call(operation, model.version, False, [tensors[name] for name in operation.inputs], [False], Batch(None, 1), budget)
            with scope(operation.place):
                result = RULES[operation.op_type].apply(call)
                call.attributes.close()
            assert isinstance(result, np.ndarray)
            tensors[operation.outputs[0]] = result
        else:
            left.append(operation)
    return replace(model, operations=tuple(left), tensors=tensors)


def sorted_tensors(model: Model) -> Tensors:
    """Parameters are the float tensors that operations compute with. Trained are those that come as weights, or as one factor or term
    a channel; single numbers are constants unless they are weights (a bias of one channel). What `save` noted comes before all that: it
    notes parameters, and constants of several numbers.
    """
    noted = _noted(model)
    readers = consumers(model.operations)
    parameters: dict[str, Parameter] = {}
    arrays: dict[str, np.ndarray] = {}
    statistics: set[str] = set()
    for name, array in model.tensors.items():
        uses = set(_uses(name, readers, array.size > 1 and max(array.shape) == array.size))
        if name not in readers and name not in model.outputs:
            continue
        several = array.size > 1 or name in noted
        if array.dtype in (np.float32, np.float16) and (uses & {"weight", "statistic"} or ("operand" in uses and several)):
            parameters[name] = Parameter(array, trainable=noted.get(name, "weight" in uses))
        if name not in parameters or "host" in uses:
            arrays[name] = array
        if "statistic" in uses:
            statistics.add(name)
    return Tensors(parameters, arrays, frozenset(statistics))


def _noted(model: Model) -> dict[str, bool]:
    """Which tensors are trained, as the file says itself."""
    if TRAINED not in model.notes:
        return {}
    try:
        noted = json.loads(model.notes[TRAINED])
    except (ValueError, RecursionError):
        noted = None
    if not isinstance(noted, dict) or not all(isinstance(value, bool) for value in noted.values()):
        raise OnnxError(f"{model.source}: metadata {TRAINED} must be a JSON object of true and false by tensor; remove it")
    return noted


def _uses(name: str, readers: Mapping[str, list[tuple[Operation, int]]], per_channel: bool) -> Iterator[str]:
    """What a tensor is read as ("weight", "statistic", "host", "operand"), followed through operations that only move its elements."""
    names = [name]
    while names:
        for operation, slot in readers.get(names.pop(), ()):
            rule = rule_of(operation)
            if rule is None:
                yield "operand"
            elif slot in rule.host:
                yield "host"
            elif rule.moves:
                names.append(operation.outputs[0])
                if operation.outputs[0] not in readers:  # an output
                    yield "operand"
            elif slot in rule.weights or (slot in rule.factors and per_channel):
                yield "weight"
            else:
                yield "statistic" if slot in rule.statistics else "operand"
