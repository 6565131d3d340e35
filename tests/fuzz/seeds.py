"""The models that mutants are made of: a few nodes each, of all families of operators that the importer knows.

They share shapes wherever they can, and so their kernels: building those is nearly all that comparing costs.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Seed:
    """A graph in ONNX's text form without its tensors: `weights` are drawn by shape, `values` are given."""

    name: str
    graph: str
    weights: Mapping[str, Sizes] = field(default_factory=dict)
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    opset: int = 17

    def model(self) -> Any:
        graph = onnx.parser.parse_graph(self.graph)
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        for name, shape in self.weights.items():
            # Quarters: sums of products are exact, so that a comparison or rounding later on decides alike everywhere.
            numbers = rng.integers(-4, 5, shape) / 4
            array = np.abs(numbers) + 0.5 if name.startswith("positive") else numbers
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        for name, given in self.values.items():
            array = np.asarray(given)
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32 if array.dtype.kind == "f" else np.int64), name))
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)], ir_version=8)


SEEDS = (
    Seed(
        "classifier",
        """classifier (float[1, 4, 8, 8] x) => (float[] y) {
            [first] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
            [norm] b = BatchNormalization (a, scale, shift, mean, positive)
            [act] c = Relu (b)
            [pool] d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
            [second] e = Conv <pads = [1, 1, 1, 1]> (d, w2)
            [whole] f = GlobalAveragePool (e)
            [flat] g = Flatten (f)
            [scores] h = Gemm <transB = 1> (g, w3, b3)
            [likely] y = Softmax (h)
        }""",
        {
            "w1": (8, 4, 3, 3), "b1": (8,), "scale": (8,), "shift": (8,), "mean": (8,), "positive": (8,), "w2": (8, 8, 3, 3),
            "w3": (5, 8), "b3": (5,),
        },
    ),
    Seed(
        "residual",
        """residual (float[1, 8, 8, 8] x) => (float[] y) {
            [one] a = Conv <pads = [1, 1, 1, 1]> (x, w1)
            [act] b = Relu (a)
            [two] c = Conv <pads = [1, 1, 1, 1]> (b, w2)
            [join] d = Add (c, x)
            [out] e = Relu (d)
            [pool] y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (e)
        }""",
        {"w1": (8, 8, 3, 3), "w2": (8, 8, 3, 3)},
    ),
    Seed(
        "depthwise",
        """depthwise (float[1, 8, 8, 8] x) => (float[] y) {
            [deep] a = Conv <group = 8, pads = [1, 1, 1, 1]> (x, w1)
            [six] b = Clip (a, low, high)
            [point] c = Conv (b, w2, b2)
            [swish] d = HardSwish (c)
            [sum] y = Mul (d, factor)
        }""",
        {"w1": (8, 1, 3, 3), "w2": (8, 8, 1, 1), "b2": (8,), "factor": (8, 1, 1)},
        {"low": 0.0, "high": 6.0},
    ),
    Seed(
        "decoder",
        """decoder (float[1, 8, 4, 4] x) => (float[] y) {
            [up] a = ConvTranspose <strides = [2, 2], kernel_shape = [2, 2]> (x, w1, b1)
            [leaky] b = LeakyRelu <alpha = 0.25> (a)
            [local] c = LRN <size = 3> (b)
            [both] y = Concat <axis = 1> (b, c)
        }""",
        {"w1": (8, 8, 2, 2), "b1": (8,)},
    ),
    Seed(
        "resizing",
        """resizing (float[1, 4, 4, 4] x) => (float[] y) {
            [border] a = Pad <mode = "constant"> (x, pads)
            [near] b = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (a, , scales)
            [smooth] y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (b, , , sizes)
        }""",
        values={"pads": [0, 0, 1, 1, 0, 0, 1, 1], "scales": [1.0, 1.0, 2.0, 2.0], "sizes": [1, 4, 6, 6]},
    ),
    Seed(
        "shapes",
        """shapes (float[2, 4, 4, 4] x) => (float[] y) {
            [shape] s = Shape (x)
            [first] n = Gather <axis = 0> (s, zero)
            [list] m = Unsqueeze (n, zeros)
            [rest] target = Concat <axis = 0> (m, minus)
            [flat] a = Reshape (x, target)
            [turn] b = Transpose <perm = [1, 0]> (a)
            [cut] c = Slice (a, start, end, ones)
            [half] d = Slice (b, start, end, zeros)
            [product] y = MatMul (c, d)
        }""",
        values={"zero": 0, "zeros": [0], "minus": [-1], "start": [0], "end": [8], "ones": [1]},
    ),
    Seed(
        "reductions",
        """reductions (float[2, 4, 4, 4] x) => (float[] y, float[] z) {
            [mean] a = ReduceMean <axes = [2, 3], keepdims = 1> (x)
            [less] b = Sub (x, a)
            [most] c = ReduceMax <axes = [1], keepdims = 1> (b)
            [norm] d = ReduceL2 <axes = [1], keepdims = 1> (b)
            [sum] e = ReduceSum (b, axes)
            [pair] y = Add (c, d)
            [where] f = ArgMax <axis = 1, keepdims = 0> (x)
            [float] g = Cast <to = 1> (f)
            [last] z = Add (g, e)
        }""",
        values={"axes": [1]},
    ),
    Seed(
        "picking",
        """picking (float[1, 8, 4, 4] x) => (float[] y, float[] z) {
            [rows] a = Gather <axis = 2> (x, rows)
            [same] b = Greater (x, half)
            [choose] c = Where (b, x, a)
            [halves] d, e = Split <axis = 1> (c, sizes)
            [twice] f = Tile (d, repeats)
            [wide] g = Expand (e, shape)
            [depth] h = DepthToSpace <blocksize = 2> (c)
            [more] z = Neg (h)
            [both] y = Sub (f, g)
        }""",
        values={"rows": [3, 1, 1, -4], "half": 0.5, "sizes": [4, 4], "repeats": [2, 1, 1, 1], "shape": [2, 4, 4, 4]},
    ),
    Seed(
        "functions",
        """functions (float[1, 8, 8, 8] x, float[1, 8, 8, 8] w) => (float[] y) {
            [sigmoid] a = Sigmoid (x)
            [tanh] b = Tanh (w)
            [elu] c = Elu (x)
            [least] d = Min (a, b, c)
            [most] e = Max (d, w)
            [square] f = Pow (e, two)
            [root] g = Sqrt (f)
            [size] h = Abs (w)
            [exp] i = Softplus (h)
            [ratio] j = Div (g, i)
            [erf] k = Erf (j)
            [mean] y = Mean (k, a, b)
        }""",
        values={"two": 2.0},
    ),
    Seed(
        "sequence",
        """sequence (float[2, 4, 12] x) => (float[] y) {
            [conv] a = Conv <pads = [1, 1]> (x, w1)
            [norm] b = InstanceNormalization (a, scale, shift)
            [pool] c = MaxPool <kernel_shape = [2], strides = [2]> (b)
            [power] d = LpPool <kernel_shape = [2], p = 2> (c)
            [flat] e = Flatten (d)
            [scores] f = MatMul (e, w2)
            [likely] y = LogSoftmax (f)
        }""",
        {"w1": (8, 4, 3), "scale": (8,), "shift": (8,), "w2": (40, 5)},
    ),
    Seed(
        "old",
        """old (float[1, 4, 8, 8] x) => (float[] y) {
            [conv] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
            [norm] b = BatchNormalization (a, scale, shift, mean, positive)
            [act] c = Relu (b)
            [pool] d = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (c)
            [drop] e = Dropout (d)
            [flat] f = Reshape (e, shape)
            [scores] g = Gemm (f, w2, b2)
            [likely] y = Softmax (g)
        }""",
        {"w1": (8, 4, 3, 3), "b1": (8,), "scale": (8,), "shift": (8,), "mean": (8,), "positive": (8,), "w2": (128, 5), "b2": (5,)},
        {"shape": [1, -1]},
        opset=8,
    ),
    Seed(
        "folded",
        """folded (float[2, 4, 4, 4] x) => (float[] y) {
            [ones] a = ConstantOfShape <value = float[1] {0.5}> (shape)
            [count] b = Range (zero, four, one)
            [real] c = Cast <to = 1> (b)
            [column] d = Reshape (c, column)
            [more] e = Tile (d, repeats)
            [number] f = Constant <value_float = 0.25> ()
            [by] g = Mul (e, f)
            [both] h = Add (a, g)
            [grow] i = Pad (h, pads)
            [low] j = Less (b, two)
            [mask] k0 = Cast <to = 1> (j)
            [masks] k = Reshape (k0, column)
            [mul] l = Mul (x, i)
            [add] y = Add (l, k)
        }""",
        values={
            "shape": [1, 4, 1, 1], "zero": 0, "four": 4, "one": 1, "two": 2, "column": [1, 4, 1, 1], "repeats": [2, 1, 1, 1],
            "pads": [0, 0, 0, 0, 0, 0, 0, 0],
        },
    ),
)  # fmt: skip
