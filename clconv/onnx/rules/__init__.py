"""Import rules by operator: one table, made of one file a family."""

from clconv.onnx.model import Operation
from clconv.onnx.rules import (
    activation,
    arithmetic,
    composed,
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

FAMILIES = (convolution, pooling, normalisation, layer_normalisation, activation, arithmetic, composed, reduction, shape, indexing, resize)
RULES: Rules = {name: rule for family in FAMILIES for name, rule in family.RULES.items()}


def rule_of(operation: Operation) -> Rule | None:
    """The rule of an operation, None where it has none."""
    return None if operation.domain else RULES.get(operation.op_type)


__all__ = ["RULES", "Batch", "Call", "Rule", "Value", "rule_of"]
