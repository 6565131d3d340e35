"""The graph of one training step, and of one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clconv.errors import ClconvError, GeometryError
from clconv.graph import trace
from clconv.graph.autodiff import grad
from clconv.graph.network import Network, Shapes
from clconv.graph.node import Node, input_node
from clconv.graph.trace import Graph
from clconv.tensor import TensorSpec
from clconv.train.optimiser import Optimiser

Loss = Callable[[Any, Node], Node]
TARGET = "target"


def _with_loss(net: Network, shapes: Shapes, target: TensorSpec, loss: Loss, training: bool) -> tuple[Graph, Node, Node]:
    graph = net.trace(shapes, training)
    wanted = input_node(TARGET, target)
    outputs = graph.outputs[0] if len(graph.outputs) == 1 else graph.outputs
    with trace.scope("loss"):
        value = loss(outputs, wanted)
    if not isinstance(value, Node) or value.spec.elements != 1:
        got = f"shape {value.shape}" if isinstance(value, Node) else type(value).__name__
        raise GeometryError(f"the loss must be a graph node that holds one element, got {got}; reduce it to its mean first")
    return graph, wanted, value


def training_graph(net: Network, shapes: Shapes, target: TensorSpec, loss: Loss, optimiser: Optimiser) -> Graph:
    """Forward pass in training mode, loss, gradients and optimiser step: inputs and the target in, the loss out.

    `shapes` are the inputs' as for `clconv.compile`, `target` is the target's shape and type. What `freeze` excludes gets no gradient.

    >>> import clconv.functional as F
    >>> from clconv.nn.models import lenet5
    >>> from clconv.train import SGD
    >>> graph = training_graph(lenet5(), (8, 1, 28, 28), TensorSpec((8,), "int32"), F.cross_entropy, SGD(0.1))
    >>> len(graph.updates)
    10
    """
    graph, wanted, value = _with_loss(net, shapes, target, loss, training=True)
    weights = net.trainable_parameters()
    if not weights:
        raise ClconvError("training: every parameter is frozen; net.unfreeze() some, or evaluate instead")
    with trace.scope("gradient"):
        gradients = dict(zip(weights, grad(value, list(weights.values())), strict=True))
    with trace.scope("optimiser"):
        updates = optimiser.updates(weights, gradients)
    return Graph((*graph.inputs, wanted), (value,), (*graph.updates, *updates))


def evaluation_graph(net: Network, shapes: Shapes, target: TensorSpec, loss: Loss) -> Graph:
    """Forward pass in inference mode and loss: (loss, scores) out."""
    graph, wanted, value = _with_loss(net, shapes, target, loss, training=False)
    return Graph((*graph.inputs, wanted), (value, graph.outputs[0]))


def auxiliary(loss: Loss, weight: float = 0.3) -> Loss:
    """`loss` for networks with auxiliary heads, whose training outputs are (main, head, ...): the heads' losses count `weight` times.

    In inference such a network gives one output, whose loss is taken as it is (Szegedy et al. 2015, section 5: weight 0.3).

    >>> trainer = Trainer(models.googlenet(), loss=auxiliary(F.cross_entropy))   # doctest: +SKIP
    """

    def total(outputs: Any, target: Node) -> Node:
        if isinstance(outputs, Node):
            return loss(outputs, target)
        main, *heads = outputs
        value = loss(main, target)
        for head in heads:
            value = value + loss(head, target) * weight
        return value

    return total


def shapes_of(inputs: Any) -> dict[str, tuple[int, ...]] | tuple[int, ...]:
    """The shapes of one array, or by name of several."""
    if isinstance(inputs, Mapping):
        return {name: tuple(value.shape) for name, value in inputs.items()}
    return tuple(inputs.shape)
