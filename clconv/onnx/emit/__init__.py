"""Export rules by operation: one table, made of one file a family, and what no file can hold."""

from collections.abc import Iterable

from clconv.graph.node import Node
from clconv.graph.ops.elementwise import UNARY
from clconv.onnx.emit import convolution, elementwise, moving, normalisation, pooling, reduction, resampling
from clconv.onnx.emit.base import Rules

FAMILIES = (convolution, pooling, normalisation, elementwise, reduction, moving, resampling)
RULES: Rules = {name: rule for family in FAMILIES for name, rule in family.RULES.items()}

GRADIENT = "is part of a gradient, and a file holds what a network computes from its inputs; save the network without it"
REFUSED: dict[str, str] = {
    "dropout": "draws random numbers, where a file means inference; call it with training=self.training",
    "host": "is computed by the host, by a node of the file it came from; keep that file",
    "shuffle": "is what compiling makes of two reshapes and a transpose; save the network as it was traced",
    "norm_sums": GRADIENT,
    "unpool_backward": GRADIENT,
    "pool_backward": GRADIENT,
    "lrn_backward": GRADIENT,
    "softmax_backward": GRADIENT,
    **{f"{name}_backward": GRADIENT for name in UNARY},
}

OLDEST, FIRST_WITH_ANTIALIAS, FIRST_WITH_DILATED_MEANS, FIRST_WITH_GELU = 17, 18, 19, 20


def version_for(nodes: Iterable[Node]) -> int:
    """The oldest operator set, from 17 on, that has all the operators that these operations become."""
    version = OLDEST
    for node in nodes:
        resizing = node.attributes.get("resizing")
        if node.op.startswith("gelu"):
            version = max(version, FIRST_WITH_GELU)
        elif pooling.is_dilated_mean(node):
            version = max(version, FIRST_WITH_DILATED_MEANS)
        elif resizing is not None and resizing.how.antialias:
            version = max(version, FIRST_WITH_ANTIALIAS)
    return version


__all__ = ["REFUSED", "RULES", "version_for"]
