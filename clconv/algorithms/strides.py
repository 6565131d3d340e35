"""Loop nests over strided operands: broadcasting as strides of 0, and coalescing, so that the contiguous case is one flat loop."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import Problem
from clconv.problem.elementwise import Statements
from clconv.tensor import MOST_ELEMENTS, Plain, Strided, TensorSpec, contiguous_strides, round_up

Strides = tuple[int, ...]

STORAGE_TYPES = {"float32": "float", "float16": "half", "int32": "int"}
VALUE_TYPES = {"float32": "float", "float16": "float", "int32": "int"}


def load(pointer: str, at: str, dtype: str) -> str:
    """The OpenCL C that reads element `at` of a buffer as a float or an int."""
    return f"vload_half({at}, {pointer})" if dtype == "float16" else f"{pointer}[{at}]"


def store(pointer: str, at: str, value: str, dtype: str) -> str:
    """The OpenCL C statement that writes element `at` of a buffer."""
    return f"vstore_half({value}, {at}, {pointer});" if dtype == "float16" else f"{pointer}[{at}] = {value};"


def unaligned_moves(dtype: str, width: int) -> dict[str, str]:
    """Header constants LOADU(p, i) and STOREU(p, i, v): vectors of `width` floats at any element. The kernel defines the type
    `loose`, a `vec` aligned as one element: on some drivers vloadN is a call that is not inlined."""
    if width == 1:
        return {"LOADU(p, i)": "LOAD(p, i)", "STOREU(p, i, v)": "STORE(p, i, v)"}
    if dtype == "float32":
        return {"LOADU(p, i)": "(*(__global const loose *)((p) + (i)))", "STOREU(p, i, v)": "(*(__global loose *)((p) + (i)) = (v))"}
    return {"LOADU(p, i)": f"vload_half{width}(0, (p) + (i))", "STOREU(p, i, v)": f"vstore_half{width}((v), 0, (p) + (i))"}


def check_addressable(problem: Problem, *shapes: tuple[int, ...]) -> None:
    """Refuses operands, and index spaces `shapes` of their own, that 32-bit indices do not reach."""
    for name in problem.tensors():
        problem.spec(name).check_addressable(str(problem))
    for shape in shapes:
        if math.prod(shape) > MOST_ELEMENTS:
            raise UnsupportedError(
                f"{problem}: {shape} is {math.prod(shape)} positions, kernels count at most {MOST_ELEMENTS}; split the first axis"
            )


def element_strides(spec: TensorSpec, shape: tuple[int, ...], what: str) -> Strides:
    """Strides with which `spec`, broadcast to `shape` as NumPy does, is walked: one for each axis of `shape`, 0 where it repeats.

    >>> element_strides(TensorSpec((3, 1)), (2, 3, 4), "add")
    (0, 1, 0)
    """
    if isinstance(spec.layout, Plain):
        own = contiguous_strides(spec.shape)
    elif isinstance(spec.layout, Strided):
        own = spec.layout.strides
    else:
        raise UnsupportedError(f"{what}: operands must be plain or strided, got {spec.layout}; reorder it first")
    missing = len(shape) - len(spec.shape)
    if missing < 0 or any(n not in (1, m) for n, m in zip(spec.shape, shape[missing:], strict=True)):
        raise UnsupportedError(f"{what}: an operand of shape {spec.shape} does not broadcast to {shape}")
    return (0,) * missing + tuple(0 if n == 1 else s for n, s in zip(spec.shape, own, strict=True))


def offset(spec: TensorSpec) -> int:
    """The element at which `spec` starts in its buffer."""
    return spec.layout.offset if isinstance(spec.layout, Strided) else 0


def is_flat(strides: Strides, shape: tuple[int, ...]) -> bool:
    """Whether `strides` walk memory in C order without gaps; axes of length 1 do not matter."""
    return all(n == 1 or s == c for n, s, c in zip(shape, strides, contiguous_strides(shape), strict=True))


@dataclass(frozen=True)
class Nest:
    """Extents of nested loops, outermost first, and for every operand the stride of each loop. Loops of unlike `labels` are not merged."""

    extents: tuple[int, ...]
    strides: tuple[Strides, ...]
    labels: tuple[int, ...] = ()

    @classmethod
    def make(cls, extents: Sequence[int], strides: Sequence[Strides], labels: Sequence[int] | None = None) -> Nest:
        return cls(tuple(extents), tuple(strides), tuple(labels) if labels is not None else (0,) * len(extents))

    def coalesced(self) -> Nest:
        """The same walk with loops of length 1 left out and neighbours joined where every operand's strides allow; maybe no loop is left.

        >>> Nest.make((2, 3, 1, 4), [(12, 4, 4, 1), (1, 0, 7, 0)]).coalesced()
        Nest(extents=(2, 12), strides=((12, 1), (1, 0)), labels=(0, 0))
        """
        kept: list[tuple[int, int, Strides]] = []
        for axis, (extent, label) in enumerate(zip(self.extents, self.labels, strict=True)):
            steps = tuple(s[axis] for s in self.strides)
            if extent == 1:
                continue
            if kept and kept[-1][1] == label and all(a == b * extent for a, b in zip(kept[-1][2], steps, strict=True)):
                kept[-1] = (kept[-1][0] * extent, label, steps)
            else:
                kept.append((extent, label, steps))
        strides = tuple(tuple(step[i] for _, _, step in kept) for i in range(len(self.strides)))
        return Nest(tuple(n for n, _, _ in kept), strides, tuple(label for _, label, _ in kept))

    def ordered(self, axes: Sequence[int]) -> Nest:
        """The loops in another order, or some of them only."""
        return Nest(
            tuple(self.extents[i] for i in axes),
            tuple(tuple(s[i] for i in axes) for s in self.strides),
            tuple(self.labels[i] for i in axes),
        )

    def padded_with_zeros(self, rank: int) -> Nest:
        """With loops of length 1 and stride 0 around it until there are `rank`."""
        missing = max(0, rank - len(self.extents))
        return Nest((1,) * missing + self.extents, tuple((0,) * missing + s for s in self.strides), (0,) * missing + self.labels)

    def padded(self, rank: int) -> Nest:
        """With loops of length 1 around it until there are `rank`, so that fewer different kernels are needed.

        An empty nest gets an innermost loop with stride 1, which is as good as any and the most frequent.
        """
        missing = rank - len(self.extents)
        if missing <= 0:
            return self
        inner = 1 if not self.extents else 0
        strides = tuple((0,) * (missing - 1) + (inner,) + s for s in self.strides)
        return Nest((1,) * missing + self.extents, strides, (0,) * missing + self.labels)


@dataclass(frozen=True)
class Access:
    """How a template reaches one operand. `flat`: at the position in the nest itself; else by a stride for each outer loop and `step`
    in the innermost ("0", "1" or the name of an argument). `shifted`: it starts at an offset that is an argument."""

    name: str
    dtype: str
    flat: bool
    shifted: bool
    step: str

    @property
    def storage(self) -> str:
        return STORAGE_TYPES[self.dtype]

    @property
    def value(self) -> str:
        return VALUE_TYPES[self.dtype]

    def at(self, column: str) -> str:
        """The index along the innermost loop, in C."""
        return {"0": "0", "1": column}.get(self.step, f"({column}) * {self.step}")

    def load(self, row: str, column: str) -> str:
        """The element `column` of the innermost loop, in C; `row` points to its element 0."""
        return load(row, self.at(column), self.dtype)

    def store(self, row: str, column: str, value: str) -> str:
        """The statement that writes the element `column` of the innermost loop, in C."""
        return store(row, self.at(column), value, self.dtype)


@dataclass(frozen=True)
class Target:
    """One output as a template sees it; it lies in the order of the loops."""

    name: str
    dtype: str

    @property
    def storage(self) -> str:
        return STORAGE_TYPES[self.dtype]

    def store(self, row: str, column: str, value: str) -> str:
        """The statement that writes element `column`, in C; `row` points to element 0."""
        return store(row, column, value, self.dtype)


def declared(statements: Statements, targets: Sequence[Target] = ()) -> tuple[str, ...]:
    """Statements as C declarations: a target has the type it names, or that of the output of its name, or float."""
    types = {target.name: VALUE_TYPES[target.dtype] for target in targets}
    typed = (name if " " in name else f"{types.get(name, 'float')} {name}" for name, _ in statements)
    return tuple(f"const {target} = {expression};" for target, (_, expression) in zip(typed, statements, strict=True))


def mentions(statements: Statements, function: str) -> bool:
    """Whether an expression calls `function`."""
    return any(re.search(rf"\b{function}\s*\(", expression) for _, expression in statements)


INLINED = ("exp", "expm1", "log", "tanh")


def inlined(texts: Iterable[str], traits: DeviceTraits) -> tuple[str, ...]:
    """The functions called in `texts` that templates write out as arithmetic (`inline_math`), because a call cannot be vectorised."""
    names = (*(INLINED if traits.calls_functions else ()), *(("sqrt",) if traits.is_cpu else ()))
    whole = " ".join(texts)
    return tuple(name for name in names if re.search(rf"\b{name}\s*\(", whole))


def access(name: str, spec: TensorSpec, inner: int, flat: bool = False) -> Access:
    """The Access of an operand whose innermost stride is `inner`."""
    step = str(inner) if inner in (0, 1) or flat else f"{name}_step"
    return Access(name, spec.dtype, flat, isinstance(spec.layout, Strided), "1" if flat else step)


def stride_bindings(operand: Access, spec: TensorSpec, outer: Sequence[int], inner: int) -> Mapping[str, int]:
    """The numbers of an operand's stride arguments, by argument name."""
    out = {f"{operand.name}_offset": offset(spec)} if operand.shifted else {}
    if not operand.flat:
        out.update({f"{operand.name}_stride{axis}": s for axis, s in enumerate(outer)})
        if operand.step not in ("0", "1"):
            out[operand.step] = inner
    return out


def pieces(length: int, most: int, multiple: int = 1) -> tuple[int, int]:
    """(count, size): `length` cut into equal pieces of at most about `most`, whose size is a multiple of `multiple`."""
    count = max(1, -(-length // most))
    size = round_up(-(-length // count), multiple)
    return -(-length // size), size
