"""What to launch, as plain values: equal, hashable, printable, made without a device and read by the executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Constant: TypeAlias = "int | float | str"
Names: TypeAlias = "tuple[tuple[str, Constant | tuple], ...]"


def names(mapping: Mapping[str, object] | None = None, **more: object) -> tuple[tuple[str, Any], ...]:
    """A mapping as a sorted tuple of pairs, so that the value that holds it can be hashed and compared."""
    return tuple(sorted({**(mapping or {}), **more}.items()))


@dataclass(frozen=True)
class Scalar:
    """A kernel argument whose number is only known when the plan runs (learning rate, step, seed), by name."""

    name: str


@dataclass(frozen=True)
class KernelSource:
    """A template, the constants of its header, its render arguments, and the kernel to take from the result.

    `constants` become `#define NAME value`; `arguments` steer the template's `%if` and `%for`; `dtype` is the storage type of `real`;
    `group` is the work-group size, which the header states as WORK_GROUP.
    """

    template: str
    entry: str
    constants: Names = ()
    arguments: Names = ()
    dtype: str = "float32"
    group: tuple[int, ...] = (1, 1, 1)


@dataclass(frozen=True)
class KernelCall:
    """`items`: work-items wanted per dimension (rounded up to the group). `bindings`: kernel argument -> operand or scratch name (str),
    number, or Scalar; never a position."""

    source: KernelSource
    items: tuple[int, ...]
    bindings: tuple[tuple[str, str | int | float | Scalar], ...]

    @property
    def global_size(self) -> tuple[int, ...]:
        return tuple(-(-max(n, 1) // g) * g for n, g in zip(self.items, self.source.group, strict=True))


@dataclass(frozen=True)
class Plan:
    """Launches in order; `scratch` names temporary buffers with their sizes in bytes. Of the operands and buffers in `recalled` the next
    run finds what this one left there, the first one zeros."""

    calls: tuple[KernelCall, ...]
    scratch: tuple[tuple[str, int], ...] = field(default=())
    recalled: tuple[str, ...] = field(default=())
