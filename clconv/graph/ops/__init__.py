"""The operations of the graph, one file a family. Importing the package registers them all."""

from clconv.graph.ops import conv, elementwise, host, loss, matmul, normalise, optimiser, pool, reduce, resample, shape, softmax
from clconv.graph.ops.base import OPS, Lowering, Op, as_node, make, make_labelled

__all__ = [
    "OPS",
    "Lowering",
    "Op",
    "as_node",
    "conv",
    "elementwise",
    "host",
    "loss",
    "make",
    "make_labelled",
    "matmul",
    "normalise",
    "optimiser",
    "pool",
    "reduce",
    "resample",
    "shape",
    "softmax",
]
