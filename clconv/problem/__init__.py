"""What is asked, as hashable values: one class a family of operations, each with its operands and their layouts."""

from clconv.problem.base import Problem
from clconv.problem.conv import ConvProblem, Epilogue, Pass
from clconv.problem.elementwise import MapProblem, ReduceProblem
from clconv.problem.layout import ReorderProblem, ShuffleProblem, WindowProblem
from clconv.problem.matmul import MatmulProblem
from clconv.problem.operation_text import parse_any
from clconv.problem.pool import PoolProblem
from clconv.problem.resample import ResampleProblem, UnpoolProblem
from clconv.problem.rows import LrnProblem, SoftmaxProblem
from clconv.problem.text import parse

__all__ = [
    "ConvProblem",
    "Epilogue",
    "LrnProblem",
    "MapProblem",
    "MatmulProblem",
    "Pass",
    "PoolProblem",
    "Problem",
    "ReduceProblem",
    "ReorderProblem",
    "ResampleProblem",
    "ShuffleProblem",
    "SoftmaxProblem",
    "UnpoolProblem",
    "WindowProblem",
    "parse",
    "parse_any",
]
