"""A network's graph, node by node, as calls of torch.nn.functional: the same network in PyTorch, whatever made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from clconv.bench.rivals.torch_conv import average_pool, conv, conv_transpose, max_pool
from clconv.errors import UnsupportedError
from clconv.graph.node import Node
from clconv.graph.ops.conv import problem_of as conv_problem
from clconv.graph.trace import Graph
from clconv.problem import Pass
from clconv.problem.conv import Activation

Call = Callable[..., Any]

# In-place forms save a pass over memory, as in torchvision's models; only after operations whose gradient does not need their result.
OVERWRITABLE = ("conv", "batch_norm", "add", "matmul", "cat")


class Interpreter:
    """Calls in order over a list of values; each value is dropped after its last reader.

    `trained` makes the network's trainable parameters leaves of autograd. Running statistics start anew and are not written back.
    """

    def __init__(self, graph: Graph, trained: bool) -> None:
        self.order = _needed(graph)
        self.slots = {id(node): i for i, node in enumerate(self.order)}
        self.trainable: dict[str, torch.Tensor] = {}
        self.fixed: list[Any] = [None] * len(self.order)
        self.readers: dict[int, int] = {}
        for node in self.order:
            for source in operands(node):
                self.readers[id(source)] = self.readers.get(id(source), 0) + 1
        for output in graph.outputs:
            self.readers[id(output)] = self.readers.get(id(output), 0) + 1
        self.inputs = [self.slots.get(id(node)) for node in graph.inputs]
        self.outputs = [self.slots[id(node)] for node in graph.outputs]
        self.steps = [step for node in self.order if (step := self._step(node, trained)) is not None]
        self._drop_early()

    def _step(self, node: Node, trained: bool) -> list[Any] | None:
        """[call, slots of its operands, its own slot, slots to drop], or None for what is there before a run."""
        place = self.slots[id(node)]
        if node.op == "input":
            return None
        if node.op == "parameter":
            parameter = node["parameter"]
            tensor = torch.from_numpy(parameter.value)
            if trained and parameter.trainable:
                tensor.requires_grad_()
                self.trainable[parameter.name] = tensor
            self.fixed[place] = tensor
            return None
        if node.op == "constant":
            self.fixed[place] = torch.from_numpy(node["value"].copy())
            return None
        sources = operands(node)
        overwrite = bool(sources) and sources[0].op in OVERWRITABLE and self.readers[id(sources[0])] == 1
        return [call_of(node, overwrite), [self.slots[id(s)] for s in sources], place, []]

    def _drop_early(self) -> None:
        kept = {*self.outputs, *(i for i, value in enumerate(self.fixed) if value is not None)}
        last: dict[int, list[Any]] = {}
        for step in self.steps:
            last.update(dict.fromkeys(step[1], step))
        for slot, step in last.items():
            if slot not in kept:
                step[3].append(slot)

    def __call__(self, *inputs: torch.Tensor) -> list[Any]:
        """The outputs for inputs in the graph's order."""
        values = list(self.fixed)
        for place, value in zip(self.inputs, inputs, strict=True):
            if place is not None:
                values[place] = value
        for call, sources, place, dead in self.steps:
            values[place] = call(*[values[s] for s in sources])
            for slot in dead:
                values[slot] = None
        return [values[place] for place in self.outputs]


def operands(node: Node) -> tuple[Node, ...]:
    """What PyTorch's form of the operation reads: batch normalisation that computes its own statistics takes none."""
    if node.op == "batch_norm" and node["training"]:
        return (node.inputs[0], *node.inputs[3:])
    return node.inputs


def _needed(graph: Graph) -> list[Node]:
    """The nodes that the outputs need by way of `operands`, each after what it reads."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False) for node in reversed(graph.outputs)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((source, False) for source in reversed(operands(node)) if id(source) not in seen)
    return order


def call_of(node: Node, overwrite: bool) -> Call:
    """PyTorch's call for `node`; UnsupportedError names an operation that has none here."""
    if overwrite and node.op in IN_PLACE and node.inputs[0].shape == node.shape:
        return IN_PLACE[node.op]
    if node.op in SIMPLE:
        return SIMPLE[node.op]
    if node.op in MAKERS:
        return MAKERS[node.op](node)
    raise UnsupportedError(f"--against torch: no call is known for operation {node.op} of {node.label or 'the network'}")


def _conv(node: Node) -> Call:
    problem = conv_problem(node.inputs, node.attributes)
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        raise UnsupportedError("--against torch: a weight gradient inside of a network has no call here")
    if problem.direction is Pass.FORWARD:
        call = conv(problem.geometry)
    else:
        call = conv_transpose(problem.geometry, problem.size, problem.output_size)
    epilogue, activate = problem.epilogue, activation(problem.epilogue.activation)

    def run(x: Any, w: Any, *rest: Any) -> Any:
        y = call(x, w, rest[0] if epilogue.bias else None)
        return activate(y.add_(rest[-1]) if epilogue.residual else y)

    return run


def activation(kind: Activation | None) -> Call:
    """A fused activation, in place."""
    if kind is None:
        return lambda y: y
    name, *numbers = kind
    calls: dict[str, Call] = {
        "relu": torch.relu_,
        "leaky_relu": lambda y: F.leaky_relu_(y, *numbers),
        "clip": lambda y: y.clamp_(*numbers),
        "hardswish": lambda y: F.hardswish(y, inplace=True),
        "silu": lambda y: F.silu(y, inplace=True),
    }
    return calls[name]


def _matmul(node: Node) -> Call:
    flags = node.attributes
    activate = activation(flags.get("activation"))
    if flags.get("transpose_b") and not flags.get("transpose_a") and not flags.get("residual") and node.ndim == 2:
        return lambda a, b, *bias: activate(F.linear(a, b, *bias))

    def run(a: Any, b: Any, *rest: Any) -> Any:
        y = (a.transpose(-1, -2) if flags.get("transpose_a") else a) @ (b.transpose(-1, -2) if flags.get("transpose_b") else b)
        for extra in rest:
            y = y + extra
        return activate(y)

    return run


def _pool(node: Node) -> Call:
    if node["kind"] == "adaptive_avg":
        sizes = node["out_size"]
        call = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[len(sizes)]
        return lambda x: call(x, sizes)
    if node["kind"] == "max":
        return max_pool(node["geometry"])
    return average_pool(node["geometry"], node.attributes.get("count_include_pad", True), node.attributes.get("divisor"))


def _item(node: Node) -> Call:
    if node["index"]:
        raise UnsupportedError(f"--against torch: result {node['index']} of {node.inputs[0].op} is not taken up here")
    return lambda x: x


def _batch_norm(node: Node) -> Call:
    eps, channels = node["eps"], node.inputs[0].shape[1]
    if not node["training"]:
        return lambda x, mean, var, w, b: F.batch_norm(x, mean.reshape(-1), var.reshape(-1), w.reshape(-1), b.reshape(-1), False, 0.1, eps)
    mean, var = torch.zeros(channels), torch.ones(channels)
    return lambda x, w, b: F.batch_norm(x, mean, var, w.reshape(-1), b.reshape(-1), True, 0.1, eps)


def _window(node: Node) -> Call:
    pads = [n for pair in reversed(node["pads"]) for n in pair]
    return lambda x: F.pad(x, pads, value=node["fill"])


def _view(node: Node) -> Call:
    turned = [axis for axis, flipped in enumerate(node["flipped"]) if flipped]
    return lambda x: torch.flip(x.permute(node["order"]), turned) if turned else x.permute(node["order"])


def _softmax(node: Node) -> Call:
    call = F.log_softmax if node["log"] else F.softmax
    return lambda x: call(x, node["axis"])


IN_PLACE: dict[str, Call] = {"add": torch.Tensor.add_, "relu": torch.relu_}
SIMPLE: dict[str, Call] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "silu": F.silu, "gelu": F.gelu, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "square": torch.square,
}  # fmt: skip

MAKERS: dict[str, Callable[[Node], Call]] = {
    "conv": _conv,
    "matmul": _matmul,
    "pool": _pool,
    "item": _item,
    "batch_norm": _batch_norm,
    "window": _window,
    "view": _view,
    "softmax": _softmax,
    "gelu_tanh": lambda node: lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu": lambda node: lambda x: F.leaky_relu(x, node["slope"]),
    "elu": lambda node: lambda x: F.elu(x, node["alpha"]),
    "lrn": lambda node: lambda x: F.local_response_norm(x, node["window"], node["alpha"], node["beta"], node["k"]),
    "mean": lambda node: lambda x: x.mean(node["axes"], keepdim=True),
    "sum": lambda node: lambda x: x.sum(node["axes"], keepdim=True),
    "dropout": lambda node: lambda x: F.dropout(x, node["p"], training=True),
    "reshape": lambda node: lambda x: x.reshape(node["shape"]),
    "expand": lambda node: lambda x: x.expand(node["shape"]),
    "cat": lambda node: lambda *parts: torch.cat(parts, node["axis"]),
}
