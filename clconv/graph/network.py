"""Networks: named parameters and the graph that uses them. What nn traces, files load, compile and Trainer take."""

from __future__ import annotations

import fnmatch
import inspect
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from clconv.errors import CheckpointError, ClconvError, DeviceError, GeometryError
from clconv.graph import trace as tracing
from clconv.graph.node import Node, input_node
from clconv.graph.parameter import Parameter
from clconv.graph.trace import Graph
from clconv.tensor import TensorSpec

if TYPE_CHECKING:
    from clconv.graph.summary import Summary

Shapes = tuple[int, ...] | Mapping[str, tuple[int, ...]]


class Network:
    """Base of everything that can be compiled and trained. Subclasses give `named_parameters` and `forward`."""

    training = False

    def named_parameters(self) -> dict[str, Parameter]:
        """All parameters, running statistics too, by name in order of definition."""
        raise NotImplementedError

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The computation, on graph nodes."""
        raise NotImplementedError

    def input_names(self) -> tuple[str, ...]:
        names = tuple(inspect.signature(self.forward).parameters)
        return names or ("input",)

    def input_type(self, name: str) -> str:
        """The element type of an input."""
        return "float32"

    def input_shapes(self, shapes: Shapes) -> dict[str, tuple[int, ...]]:
        """`shapes` by input name: a tuple is the shape of the one input, a mapping names several."""
        if isinstance(shapes, Mapping):
            return {name: shape for name, given in shapes.items() for shape in self.input_shapes(given).values()}
        if not isinstance(shapes, list | tuple) or not all(isinstance(n, int | np.integer) and n >= 0 for n in shapes):
            array = getattr(shapes, "shape", None)
            given = f"given as an array of shape {array}" if isinstance(array, tuple) else reprlib.repr(shapes)
            raise GeometryError(f"input shape {given} must be a tuple of sizes such as (1, 3, 224, 224), or a dict of them by input name")
        return {self.input_names()[0]: tuple(int(n) for n in shapes)}

    def trace(self, shapes: Shapes, training: bool = False) -> Graph:
        """The graph of `forward` for these input shapes, with the updates of running statistics when training."""
        inputs = {name: input_node(name, TensorSpec(shape, self.input_type(name))) for name, shape in self.input_shapes(shapes).items()}
        ordered = self._in_order(inputs)
        with mode(self, training), tracing.recording() as record:
            self.name_parameters()
            outputs = self(*ordered) if callable(self) else self.forward(*ordered)
        outputs = tuple(outputs) if isinstance(outputs, list | tuple) else (outputs,)
        for output in outputs:
            if not isinstance(output, Node):
                raise GeometryError(f"{type(self).__name__}: forward must return graph nodes (one or a tuple), got {type(output).__name__}")
        return Graph(tuple(inputs.values()), outputs, tuple(record.updates))

    def _in_order(self, inputs: Mapping[str, Node]) -> list[Node]:
        """Several inputs as forward names them, in whatever order they are given; one may have any name."""
        names = self.input_names()
        variadic = any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(self.forward).parameters.values())
        if len(inputs) == 1 or (variadic and not set(inputs) <= set(names)):
            return list(inputs.values())
        if list(names[: len(inputs)]) != [name for name in names if name in inputs]:
            raise GeometryError(f"{type(self).__name__}: shapes are given for {', '.join(inputs)}; forward takes {', '.join(names)}")
        return [inputs[name] for name in names[: len(inputs)]]

    def name_parameters(self) -> None:
        for name, parameter in self.named_parameters().items():
            parameter.name = name

    def train(self) -> Network:
        self.training = True
        return self

    def eval(self) -> Network:
        self.training = False
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Every parameter's current value by name."""
        return {name: parameter.value for name, parameter in self.named_parameters().items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> None:
        """Set the parameters; nothing is changed unless everything fits. torchvision's `num_batches_tracked` counters are ignored."""
        own = self.named_parameters()
        if not isinstance(state, Mapping):
            raise CheckpointError(
                f"load_state_dict: takes arrays by name, got {type(state).__name__}; "
                "a file is loaded with clconv.train.load_weights(net, path)"
            )
        given = {name: np.asarray(value) for name, value in state.items() if not name.endswith("num_batches_tracked")}
        missing, unexpected = [n for n in own if n not in given], [n for n in given if n not in own]
        wrong = [f"{n}: {given[n].shape} given, {own[n].shape} needed" for n in own if n in given and given[n].shape != own[n].shape]
        problems = [f"wrong shapes: {'; '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}"] if wrong else []
        other = [f"{n}: {given[n].dtype}" for n in own if n in given and given[n].dtype.kind not in "fiub"]
        problems += [f"not numbers: {'; '.join(other[:5])}"] if other else []
        if strict:
            problems += [f"missing: {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"] if missing else []
            problems += [f"not in the network: {', '.join(unexpected[:5])}{' ...' if len(unexpected) > 5 else ''}"] if unexpected else []
        if problems:
            raise CheckpointError(f"load_state_dict: {'. '.join(problems)}. Nothing was loaded; strict=False takes what fits by name")
        for name, parameter in own.items():
            if name in given:
                parameter.value = given[name]

    def freeze(self, *patterns: str) -> None:
        """Exclude parameters whose names match any of the shell patterns ("layer1.*"; none given: all) from training."""
        self._set_trainable("freeze", patterns, False)

    def unfreeze(self, *patterns: str) -> None:
        self._set_trainable("unfreeze", patterns, True)

    def _set_trainable(self, what: str, patterns: tuple[str, ...], trainable: bool) -> None:
        names = [n for n in self.named_parameters() if not patterns or any(fnmatch.fnmatch(n, p) for p in patterns)]
        if not names:
            raise CheckpointError(
                f"{what}: no parameter matches {', '.join(patterns)}; names look like {', '.join(list(self.named_parameters())[:3])}"
            )
        for name in names:
            parameter = self.named_parameters()[name]
            if not self.is_statistic(name):
                parameter.trainable = trainable

    max_bytes: int | None = None
    """What a compiled network may take on a device, where the caller of compile does not say; None for what the device has."""

    def refusal(self, sentence: str) -> ClconvError:
        """The error for a network that asks for more memory than it may."""
        return DeviceError(sentence)

    def is_statistic(self, name: str) -> bool:
        """Whether the parameter of that name is a running statistic, which no optimiser may touch."""
        return name.rpartition(".")[2].startswith("running_")

    def trainable_parameters(self) -> dict[str, Parameter]:
        return {name: p for name, p in self.named_parameters().items() if p.trainable}

    def parameter_count(self, trainable_only: bool = False) -> int:
        chosen = self.trainable_parameters() if trainable_only else self.named_parameters()
        return sum(int(np.prod(p.shape)) for p in chosen.values())

    def summary(self, shapes: Shapes) -> Summary:
        """Output shape, parameters, multiply-adds and receptive field per layer; print it."""
        from clconv.graph.summary import summarise

        return summarise(self, shapes)


@contextmanager
def mode(network: Network, training: bool) -> Iterator[None]:
    """`network` in training or inference mode inside, as before outside."""
    modules = getattr(network, "modules", None)
    before = [(module, module.training) for module in (modules() if modules else (network,))]
    network.train() if training else network.eval()
    try:
        yield
    finally:
        for module, was in before:  # parents come first, and setting one sets what is below it
            module.training = was
