"""One convolution or pooling as an ONNX file of a few nodes, made on the fly. Weights and bias are constants of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper

from clconv.bench.rivals import ProblemJob
from clconv.errors import UnsupportedError
from clconv.geometry import Pads, Size
from clconv.problem import ConvProblem, Pass, PoolProblem
from clconv.problem.conv import Activation

OPSET = 17
IR_VERSION = 8
WEIGHTS = ("w", "bias")
NAMES = {"x": "x", "dy": "x", "w": "w", "bias": "bias", "residual": "residual"}


def one_node(job: ProblemJob) -> tuple[bytes, dict[str, np.ndarray]]:
    """(the file, its inputs by name). UnsupportedError where ONNX has no node for the problem: its inference operators have no weight
    gradient and no gradient of pooling; a data gradient is a ConvTranspose."""
    problem = job.problem
    if problem.dtype != "float32":
        raise UnsupportedError(f"{problem}: rivals are measured in float32 only")
    nodes = _conv_nodes(problem) if isinstance(problem, ConvProblem) else _pool_nodes(problem)
    names = [name for name in problem.inputs if name not in WEIGHTS]
    inputs = [helper.make_tensor_value_info(NAMES[n], TensorProto.FLOAT, job.operands[n].shape) for n in names]
    shape = problem.tensors()[problem.outputs[0]].shape
    weights = [numpy_helper.from_array(np.ascontiguousarray(job.operands[n]), n) for n in problem.inputs if n in WEIGHTS]
    graph = helper.make_graph(nodes, "one", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model)
    return model.SerializeToString(), {NAMES[n]: np.ascontiguousarray(job.operands[n]) for n in names}


def _conv_nodes(problem: ConvProblem) -> list[NodeProto]:
    g, epilogue = problem.geometry, problem.epilogue
    if problem.direction is Pass.BACKWARD_WEIGHTS:
        raise UnsupportedError("ONNX has no node for a weight gradient")
    steps = ["conv"] + ["residual"] * epilogue.residual + ["activation"] * (epilogue.activation is not None)
    outputs = [f"after_{step}" for step in steps[:-1]] + ["y"]
    operands = ["x", "w"] + ["bias"] * epilogue.bias
    window: dict[str, Any] = {
        "kernel_shape": g.kernel,
        "strides": g.stride,
        "dilations": g.dilation,
        "group": g.groups,
        "pads": pads(g.padding),
    }
    if problem.direction is Pass.FORWARD:
        nodes = [helper.make_node("Conv", operands, outputs[:1], **window)]
    else:
        extra = missing(problem.size, problem.output_size, g.stride, g.effective_kernel, g.padding)
        nodes = [helper.make_node("ConvTranspose", operands, outputs[:1], output_padding=extra, **window)]
    if epilogue.residual:
        nodes.append(helper.make_node("Add", [outputs[0], "residual"], [outputs[1]]))
    if epilogue.activation:
        nodes += _activation_nodes(epilogue.activation, outputs[-2], outputs[-1])
    return nodes


def _activation_nodes(activation: Activation, given: str, result: str) -> list[NodeProto]:
    name, *numbers = activation
    if name == "silu":
        return [helper.make_node("Sigmoid", [given], ["gate"]), helper.make_node("Mul", [given, "gate"], [result])]
    if name == "clip":
        bounds = [helper.make_node("Constant", [], [f"bound_{i}"], value_float=number) for i, number in enumerate(numbers)]
        return [*bounds, helper.make_node("Clip", [given, "bound_0", "bound_1"], [result])]
    operator = {"relu": "Relu", "leaky_relu": "LeakyRelu", "hardswish": "HardSwish"}[name]
    return [helper.make_node(operator, [given], [result], **({"alpha": numbers[0]} if name == "leaky_relu" else {}))]


def _pool_nodes(problem: PoolProblem) -> list[NodeProto]:
    g = problem.geometry
    if problem.direction is not Pass.FORWARD:
        raise UnsupportedError("ONNX has no node for the gradient of pooling")
    if g is None or problem.with_indices or problem.divisor is not None:
        raise UnsupportedError(f"ONNX has no node for {problem}: neither positions in planes, nor adaptive windows, nor a divisor")
    window: dict[str, Any] = {"kernel_shape": g.kernel, "strides": g.stride, "pads": pads(g.padding), "ceil_mode": int(g.ceil_mode)}
    if problem.kind == "max":
        return [helper.make_node("MaxPool", ["x"], ["y"], dilations=g.dilation, **window)]
    return [helper.make_node("AveragePool", ["x"], ["y"], count_include_pad=int(problem.count_include_pad), **window)]


def pads(padding: Pads) -> list[int]:
    """ONNX's order: the beginnings of all axes, then the ends."""
    return [a for a, _ in padding] + [b for _, b in padding]


def missing(size: Size, output_size: Size, stride: Size, reach: Size, padding: Pads) -> Sequence[int]:
    """What a transposed convolution of `output_size` must add at the ends to give `size`."""
    axes = zip(size, output_size, stride, reach, padding, strict=True)
    return [n - ((o - 1) * s + m - a - b) for n, o, s, m, (a, b) in axes]
