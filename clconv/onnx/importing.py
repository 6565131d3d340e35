"""`load`: from a file to a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from clconv.errors import ClconvError, OnnxError
from clconv.onnx.budget import check_max_bytes, for_folding, for_tensors
from clconv.onnx.fallback import Fallback
from clconv.onnx.model import Model, Operation
from clconv.onnx.network import OnnxNetwork, check_traceable
from clconv.onnx.reading import needed, read
from clconv.onnx.rules import RULES, rule_of
from clconv.onnx.weights import with_constants_folded


def load(
    model: str | os.PathLike[str] | bytes | Any,
    outputs: Sequence[str] | None = None,
    max_bytes: int | None = None,
    *,
    fallback: Literal["host"] | None = None,
) -> OnnxNetwork:
    """The network of an ONNX model: a path, the bytes of a file, or an onnx.ModelProto.

    A file is not trusted: what it says is checked, and `max_bytes` bounds what its tensors and constants computed from them may take on
    the host, and later what the compiled network may on the device. By default that is half of the machine's memory, 1 GiB for computed
    constants (or twice what the file holds, if that is more), and the device's memory.

    It is compiled, explained, trained and saved as a model of clconv.nn is; with host nodes it cannot be saved. Its parameters are the
    file's float tensors, under their names (also those that ConstantOfShape makes): weights and biases of convolutions, matrix products and
    normalisations are trained, running statistics move in training, everything else stays. `outputs` names values of the file to return
    instead of its own outputs, such as the scores before a softmax, which training wants.

    The sizes of the file are only where it starts: `input_shape` has them, and `clconv.compile` takes others wherever the operations do.
    Exporters write the batch into shapes of Reshape; such a shape follows the real batch if its first number is the file's batch and the
    others then account for all elements, so that a file made for one image runs eight.

    `fallback="host"` lets the host compute what is not supported, one node after the other by onnx.reference, which is slow: recurrent
    layers, loops, whatever a rule refuses, and what reads whole numbers that those give. Such a network is compiled, run, explained and
    profiled like any other; no gradient leads through its host nodes, and a shape that depends on values keeps what reads it on the host.
    A FallbackWarning lists the nodes as they are found: where sizes are open, when it is compiled. Loops are tried once while loading and
    take as long as the file says, and `max_bytes` counts neither trials nor what host nodes make in a run: allow it to files you trust.

    Raises OnnxError for files that cannot be read or break ONNX's rules, and for operators that are not supported, all of them at once.

    >>> net = load("resnet50.onnx")                                   # doctest: +SKIP
    >>> run = clconv.compile(net, (8, 3, 224, 224))                   # doctest: +SKIP
    >>> trainer = train.Trainer(load("resnet50.onnx", ["logits"]))    # doctest: +SKIP
    """
    check_max_bytes(max_bytes)
    read_model = read(model, for_tensors(max_bytes))
    if outputs is not None:
        read_model = _ending_in(read_model, outputs)
    read_model = replace(read_model, operations=tuple(needed(read_model.operations, read_model.outputs)))
    if fallback not in (None, "host"):
        raise OnnxError(f"load: fallback must be None or 'host', got {fallback!r}")
    host = None if fallback is None else Fallback(read_model)
    _check_supported(read_model, host)
    net = OnnxNetwork(_folded(read_model, max_bytes), max_bytes, host)
    check_traceable(net, read_model.source)
    if host is not None:
        host.warn()
    return net


def _folded(model: Model, max_bytes: int | None) -> Model:
    held = sum(array.nbytes for array in model.tensors.values())
    try:
        return with_constants_folded(model, for_folding(max_bytes, held))
    except ClconvError as error:
        raise OnnxError(f"{model.source}: {error}") from error


def _ending_in(model: Model, outputs: Sequence[str]) -> Model:
    made = {name for operation in model.operations for name in operation.outputs if name}
    lost = [name for name in outputs if name not in made]
    if lost or not outputs or isinstance(outputs, str):
        shown = ", ".join([name for operation in model.operations[-8:] for name in operation.outputs if name])
        raise OnnxError(f"{model.source}: outputs must be a list of names of values, got {outputs!r}; the last ones are {shown}")
    return replace(model, outputs=tuple(outputs))


def _check_supported(model: Model, host: Fallback | None) -> None:
    """Every operator that has no rule, with its nodes, and every node with too few or too many inputs."""
    without = [operation for operation in model.operations if rule_of(operation) is None]
    if host is not None and (lost := host.check(without)):
        raise OnnxError(f"{model.source}: operators that neither clconv nor onnx.reference computes: {_listed(lost)}")
    if host is None and without:
        raise OnnxError(
            f"{model.source}: operators that are not supported: {_listed(without)}. Supported are {', '.join(sorted(RULES))}; "
            'load(..., fallback="host") lets the host compute the others, slowly'
        )
    for operation in model.operations:
        rule = rule_of(operation)
        if rule is None:
            continue
        least, most = rule.inputs
        count = len(operation.inputs)
        if count < least or (most is not None and count > most) or not all(operation.inputs[:least]):
            wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            raise OnnxError(
                f"{model.source}: {operation.op_type} {operation.place!r} takes {wanted} inputs, got ({', '.join(operation.inputs)})"
            )


def _listed(operations: Sequence[Operation]) -> str:
    """Operators with the names of their nodes."""
    places: dict[str, list[str]] = {}
    for operation in operations:
        kind = f"{operation.domain}.{operation.op_type}" if operation.domain else operation.op_type
        places.setdefault(kind, []).append(operation.place)
    return "; ".join(f"{kind} ({_some(names)})" for kind, names in places.items())


def _some(places: Sequence[str]) -> str:
    """The first names of a list, and how many follow."""
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
