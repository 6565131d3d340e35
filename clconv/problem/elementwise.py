"""Element-wise maps and reductions, given by small expressions.

An expression is OpenCL C over float values: the operands x0, x1, ... (broadcast to `shape` as NumPy does), temporaries t0, t1, ...,
run-time scalars by name, and `index` (position in `shape`, C order) where `uses_index` says so. All come from the library's own tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from clconv.problem.base import Problem
from clconv.tensor import TensorSpec

Statements = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MapProblem(Problem):
    """y0, y1, ... = statements(x0, x1, ...), element by element over `shape`.

    `scalars` are (name, C type) of run-time numbers; `label` is the operation's name for people.
    """

    shape: tuple[int, ...]
    operands: tuple[TensorSpec, ...]
    statements: Statements
    dtypes: tuple[str, ...] = ("float32",)
    scalars: tuple[tuple[str, str], ...] = ()
    uses_index: bool = False
    label: str = "map"

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"y{i}" for i in range(len(self.dtypes)))

    def tensors(self) -> dict[str, TensorSpec]:
        out = {f"x{i}": spec for i, spec in enumerate(self.operands)}
        out.update({f"y{i}": TensorSpec(self.shape, dtype) for i, dtype in enumerate(self.dtypes)})
        return out

    def __str__(self) -> str:
        return f"{self.label} {'x'.join(map(str, self.shape))}"


@dataclass(frozen=True)
class ReduceProblem(Problem):
    """y_i = post_i(sum, maximum or product over `axes` of r_i), where `statements` compute r0, r1, ... from the operands over `shape`.

    Outputs keep the reduced axes with length 1. `post` holds one expression an output over r (its own total) and `count`
    (elements reduced); `combine` is "sum", "max" or "prod" for all of them.
    """

    shape: tuple[int, ...]
    operands: tuple[TensorSpec, ...]
    axes: tuple[int, ...]
    statements: Statements
    post: tuple[str, ...] = ("r",)
    combine: str = "sum"
    dtype: str = "float32"
    label: str = "reduce"

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"y{i}" for i in range(len(self.post)))

    @property
    def out_shape(self) -> tuple[int, ...]:
        return tuple(1 if axis in self.axes else n for axis, n in enumerate(self.shape))

    @property
    def count(self) -> int:
        total = 1
        for axis in self.axes:
            total *= self.shape[axis]
        return total

    def tensors(self) -> dict[str, TensorSpec]:
        out = {f"x{i}": spec for i, spec in enumerate(self.operands)}
        out.update({f"y{i}": TensorSpec(self.out_shape, self.dtype) for i in range(len(self.post))})
        return out

    @property
    def multiply_adds(self) -> int:
        total = 1
        for n in self.shape:
            total *= n
        return total

    def __str__(self) -> str:
        return f"{self.label} {'x'.join(map(str, self.shape))} over {','.join(map(str, self.axes))}"
