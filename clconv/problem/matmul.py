"""Products of matrices."""

from __future__ import annotations

from dataclasses import dataclass

from clconv.problem.base import Problem
from clconv.problem.conv import Epilogue
from clconv.tensor import TensorSpec


@dataclass(frozen=True)
class MatmulProblem(Problem):
    """y[i] (m x n) = op(a[i]) op(b[i]) for i in range(batch); an operand is stored transposed where its flag says so.

    With `batch` 1 the operands are two-dimensional. The epilogue's bias has n entries, its residual the shape of y.
    """

    m: int
    n: int
    k: int
    batch: int = 1
    transpose_a: bool = False
    transpose_b: bool = False
    dtype: str = "float32"
    epilogue: Epilogue = Epilogue()

    def tensors(self) -> dict[str, TensorSpec]:
        lead = (self.batch,) if self.batch != 1 else ()
        out = {
            "a": TensorSpec((*lead, *((self.k, self.m) if self.transpose_a else (self.m, self.k))), self.dtype),
            "b": TensorSpec((*lead, *((self.n, self.k) if self.transpose_b else (self.k, self.n))), self.dtype),
        }
        if self.epilogue.bias:
            out["bias"] = TensorSpec((self.n,), self.dtype)
        y = TensorSpec((*lead, self.m, self.n), self.dtype)
        if self.epilogue.residual:
            out["residual"] = y
        out["y"] = y
        return out

    @property
    def multiply_adds(self) -> int:
        return self.batch * self.m * self.n * self.k

    def __str__(self) -> str:
        flags = ("t" if self.transpose_a else "n") + ("t" if self.transpose_b else "n")
        half = ":f16" if self.dtype == "float16" else ""
        return f"matmul b{self.batch}m{self.m}n{self.n}k{self.k}:{flags}{half}{self.epilogue}"
