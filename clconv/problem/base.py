"""The part that all problems share: named operands, each with shape, type and layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from clconv.tensor import PLAIN, Layout, TensorSpec


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A request. Subclasses define `tensors()`: operand name -> plain TensorSpec, and which of the names are written (`outputs`).

    `layouts` holds the operands that are stored otherwise than plain; `spec(name)` joins both.
    """

    layouts: tuple[tuple[str, Layout], ...] = ()

    def tensors(self) -> dict[str, TensorSpec]:
        raise NotImplementedError

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("y",)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name in self.tensors() if name not in self.outputs)

    def spec(self, name: str) -> TensorSpec:
        """The operand's TensorSpec with the layout it is stored in."""
        return self.tensors()[name].with_layout(self.layout(name))

    def layout(self, name: str) -> Layout:
        return dict(self.layouts).get(name, PLAIN)

    def with_layouts(self, **layouts: Layout) -> Self:
        """The same request on operands stored otherwise."""
        merged = {**dict(self.layouts), **layouts}
        return replace(self, layouts=tuple(sorted((k, v) for k, v in merged.items() if v != PLAIN)))

    def all_plain(self) -> bool:
        return not self.layouts

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds (or comparable steps) of the computation, for estimates and reports."""
        return sum(self.spec(name).elements for name in self.outputs)

    @property
    def bytes_moved(self) -> int:
        """Bytes of all operands read or written once."""
        return sum(self.spec(name).nbytes for name in self.tensors())
