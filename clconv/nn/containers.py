"""Modules that hold modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from clconv.errors import ClconvError
from clconv.graph.node import Node
from clconv.nn.module import Module


def _require_module(owner: Module, value: object) -> Module:
    if not isinstance(value, Module):
        hint = f"; write {value.__name__}(...)" if isinstance(value, type) else ""
        raise ClconvError(f"{type(owner).__name__}: members must be modules, got {type(value).__name__}{hint}")
    return value


class _Indexed(Module):
    """What Sequential and ModuleList share: length, iteration, and members by position."""

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def _add(self, name: str, module: object) -> None:
        setattr(self, name, _require_module(self, module))

    def append(self, module: Module) -> _Indexed:
        """Add one at the end, named by its position."""
        taken = {name for name, _ in self.named_children()}
        self._add(next(str(index) for index in range(len(self), 2 * len(self) + 1) if str(index) not in taken), module)
        return self


class Sequential(_Indexed):
    """One module after another; members are named 0, 1, ... or, given by keyword, as the keywords say.

    >>> from clconv import nn
    >>> net = nn.Sequential(conv=nn.Conv2d(1, 8, 3), relu=nn.ReLU())
    >>> list(net.named_parameters())
    ['conv.weight', 'conv.bias']
    """

    def __init__(self, *modules: Module, **named: Module) -> None:
        super().__init__()
        for index, module in enumerate(modules):
            self._add(str(index), module)
        for name, module in named.items():
            self._add(name, module)

    def forward(self, input: Node) -> Any:
        for module in self.children():
            input = module(input)
        return input

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        """The member at a position; a slice shares its members and keeps their names."""
        members = list(self.named_children())
        return Sequential(**dict(members[index])) if isinstance(index, slice) else members[index][1]


class ModuleList(_Indexed):
    """A list of modules that the owner's `forward` calls as it likes; names are 0, 1, ..."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def _label_as(self, label: str) -> None:
        # A list is never called itself, so its members carry its name in front of theirs.
        super()._label_as(label)
        for name, child in self.named_children():
            child._label_as(f"{label}.{name}")

    def _add(self, name: str, module: object) -> None:
        super()._add(name, module)
        label = self.__dict__.get("_label")
        if label:
            self._label_as(label)

    def __getitem__(self, index: int) -> Module:
        return list(self.children())[index]

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise ClconvError("ModuleList: a list computes nothing by itself; call its members, or use Sequential")


class Identity(Module):
    """Returns its input."""

    def forward(self, input: Node) -> Node:
        return input
