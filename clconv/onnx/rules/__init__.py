"""Import rules by operator: one table, made of one file a family."""

from clconv.onnx.rules import arithmetic, convolution, normalisation, pooling, reduction, shape
from clconv.onnx.rules.base import Batch, Call, Rule, Rules, Value

RULES: Rules = {**convolution.RULES, **pooling.RULES, **normalisation.RULES, **arithmetic.RULES, **reduction.RULES, **shape.RULES}

__all__ = ["RULES", "Batch", "Call", "Rule", "Value"]
