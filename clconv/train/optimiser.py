"""Optimisers: one fused launch a parameter, built into the training graph.

An optimiser is called once, when a graph is built, with the parameters and the nodes of their gradients, and returns what to write back
after a run. What changes from step to step (the learning rate, Adam's corrections) comes in as run-time scalars, so that a new learning
rate builds nothing. A training loop of one's own:

>>> import numpy as np
>>> import clconv, clconv.functional as F
>>> from clconv.graph.node import input_node
>>> from clconv.nn.models import lenet5
>>> from clconv.tensor import TensorSpec
>>> net, optimiser = lenet5(), SGD(lr=0.05, momentum=0.9)
>>> graph = net.trace((8, 1, 28, 28), training=True)
>>> target = input_node("target", TensorSpec((8,), "int32"))
>>> loss = F.cross_entropy(graph.outputs[0], target)
>>> weights = net.trainable_parameters()
>>> gradients = dict(zip(weights, clconv.grad(loss, list(weights.values())), strict=True))
>>> updates = (*graph.updates, *optimiser.updates(weights, gradients))
>>> step = clconv.compile_graph(clconv.Graph((*graph.inputs, target), (loss,), updates))            # doctest: +SKIP
>>> for number, (x, y) in enumerate(batches, start=1):                                             # doctest: +SKIP
...     value = step(x, y, scalars=optimiser.scalars(number))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clconv.errors import ArrayError, ClconvError
from clconv.graph.node import Node
from clconv.graph.ops.optimiser import adam_step, sgd_step
from clconv.graph.parameter import Parameter

Updates = list[tuple[Parameter, Node]]


def _in_range(optimiser: str, name: str, value: float, low: float, below: float = float("inf")) -> float:
    if not low <= value < below:
        limit = f"at least {low:g}" if below == float("inf") else f"in [{low:g}, {below:g})"
        raise ClconvError(f"{optimiser}: {name} must be {limit}, got {value!r}")
    return float(value)


class Optimiser:
    """Base of optimisers; subclasses name their state in `slots` and give `step`.

    `lr` may be assigned at any time. `state` holds the Parameters that the optimiser keeps on the device, as "velocity.conv1.weight";
    they begin as zeros, live as long as the optimiser, and are what a checkpoint saves.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, lr: float) -> None:
        self.lr = _in_range(type(self).__name__, "lr", lr, 0.0)
        self.state: dict[str, Parameter] = {}

    def settings(self) -> dict[str, Any]:
        """What is fixed in the kernels: everything but the learning rate."""
        return {}

    def step(self, weight: Node, gradient: Node, state: tuple[Node, ...]) -> tuple[Node, ...]:
        """The new weight, then the new state in the order of `slots`."""
        raise NotImplementedError(f"{type(self).__name__} defines no step(); return the new weight and the new state")

    def scalars(self, step: int, factor: float = 1.0) -> dict[str, float]:
        """Run-time scalars of step number `step`, which counts from 1; `factor` is the schedule's."""
        return {"learning_rate": self.lr * factor}

    def updates(self, parameters: Mapping[str, Parameter], gradients: Mapping[str, Node]) -> Updates:
        """(parameter, node of its next value) for every parameter and for its state.

        `gradients` holds one node of the parameter's shape by the parameter's name. State that exists is taken up again.
        """
        found: Updates = []
        for name, parameter in parameters.items():
            states = [self._state(slot, name, parameter.shape) for slot in self.slots]
            results = self.step(parameter.node, gradients[name], tuple(state.node for state in states))
            found.extend(zip((parameter, *states), results, strict=True))
        return found

    def _state(self, slot: str, name: str, shape: tuple[int, ...]) -> Parameter:
        key = f"{slot}.{name}"
        held = self.state.get(key)
        if held is None:
            held = self.state[key] = Parameter(np.zeros(shape, np.float32), trainable=False)
            held.name = key
        elif held.shape != shape:
            raise ArrayError(
                f"{type(self).__name__}: {key} has shape {held.shape}, the parameter {name} has {shape}; "
                "an optimiser serves one network: make another for this one"
            )
        return held

    def __repr__(self) -> str:
        arguments = {"lr": self.lr, **self.settings()}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in arguments.items())})"


class SGD(Optimiser):
    """Gradient descent with momentum, as torch.optim.SGD: v = momentum v + (1 - dampening) (g + weight_decay w), w = w - lr v.

    Nesterov's momentum steps along g + momentum v (Sutskever et al. 2013). The first velocity is the first gradient, undampened.

    >>> SGD(lr=0.1, momentum=0.9, nesterov=True)
    SGD(lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=True, dampening=0.0)
    """

    def __init__(
        self, lr: float = 0.01, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False, dampening: float = 0.0
    ) -> None:
        super().__init__(lr)
        self.momentum = _in_range("SGD", "momentum", momentum, 0.0)
        self.weight_decay = _in_range("SGD", "weight_decay", weight_decay, 0.0)
        self.dampening = _in_range("SGD", "dampening", dampening, 0.0)
        self.nesterov = bool(nesterov)
        if self.nesterov and (not self.momentum or self.dampening):
            raise ClconvError(f"SGD: nesterov needs a momentum above 0 and no dampening, got momentum {momentum}, dampening {dampening}")
        self.slots = ("velocity",) if self.momentum else ()

    def settings(self) -> dict[str, Any]:
        return {
            "momentum": self.momentum, "weight_decay": self.weight_decay, "nesterov": self.nesterov, "dampening": self.dampening,
        }  # fmt: skip

    def step(self, weight: Node, gradient: Node, state: tuple[Node, ...]) -> tuple[Node, ...]:
        velocity = state[0] if state else None
        return sgd_step(weight, gradient, velocity, self.momentum, self.weight_decay, self.nesterov, self.dampening)

    def scalars(self, step: int, factor: float = 1.0) -> dict[str, float]:
        return {**super().scalars(step, factor), "intake": 1.0 if step <= 1 else 1.0 - self.dampening}


class Adam(Optimiser):
    """Adam (Kingma and Ba 2015, algorithm 1), as torch.optim.Adam: weight_decay is added to the gradient.

    The bias corrections 1 - beta^t are computed in double precision and handed to the kernel as scalars.
    """

    slots = ("first", "second")
    decoupled = False

    def __init__(
        self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr)
        kind = type(self).__name__
        self.betas = (_in_range(kind, "betas[0]", betas[0], 0.0, 1.0), _in_range(kind, "betas[1]", betas[1], 0.0, 1.0))
        self.eps = _in_range(kind, "eps", eps, 0.0)
        self.weight_decay = _in_range(kind, "weight_decay", weight_decay, 0.0)

    def settings(self) -> dict[str, Any]:
        return {"betas": self.betas, "eps": self.eps, "weight_decay": self.weight_decay}

    def step(self, weight: Node, gradient: Node, state: tuple[Node, ...]) -> tuple[Node, ...]:
        return adam_step(weight, gradient, state[0], state[1], self.betas, self.eps, self.weight_decay, self.decoupled)

    def scalars(self, step: int, factor: float = 1.0) -> dict[str, float]:
        corrections = {f"correction{i}": 1.0 - beta**step for i, beta in enumerate(self.betas, start=1)}
        return {**super().scalars(step, factor), **corrections}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW: w shrinks by lr weight_decay w first."""

    decoupled = True

    def __init__(
        self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)
