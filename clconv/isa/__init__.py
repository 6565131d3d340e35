"""What GPU compilers make of a kernel, without the GPU: registers, spills, the inner loop, and a model of the time on a named board."""

from clconv.isa.report import Row, inspect
from clconv.isa.targets import TARGETS, target_named

__all__ = ["TARGETS", "Row", "inspect", "target_named"]
