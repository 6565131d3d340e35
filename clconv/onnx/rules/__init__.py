"""Import rules by operator: one table, made of one file a family."""

from clconv.onnx.rules import (
    activation,
    arithmetic,
    convolution,
    indexing,
    layer_normalisation,
    normalisation,
    pooling,
    reduction,
    resize,
    shape,
)
from clconv.onnx.rules.base import Batch, Call, Rule, Rules, Value

FAMILIES = (convolution, pooling, normalisation, layer_normalisation, activation, arithmetic, reduction, shape, indexing, resize)
RULES: Rules = {name: rule for family in FAMILIES for name, rule in family.RULES.items()}

__all__ = ["RULES", "Batch", "Call", "Rule", "Value"]
