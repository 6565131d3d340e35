"""Module: a network written as a class; parameters and submodules are its attributes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from clconv.errors import ArrayError, ClconvError
from clconv.graph.network import Network
from clconv.graph.node import Node
from clconv.graph.parameter import Parameter
from clconv.graph.trace import current_scope, scope


class Module(Network):
    """Base of layers and models: assign Parameters and Modules in `__init__`, say in `forward` what they compute.

    Names are the attribute names joined by dots, in the order of assignment, as torch's. Assigning again replaces in place; assigning
    None removes.

    >>> import clconv.functional as F
    >>> from clconv import nn
    >>> class Residual(nn.Module):
    ...     def __init__(self, channels):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(channels, channels, 3, padding=1)
    ...     def forward(self, x):
    ...         return F.relu(self.conv(x) + x)
    >>> list(Residual(8).named_parameters())
    ['conv.weight', 'conv.bias']
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module | Parameter):
            self._check_name(name)
            self._members[name] = value
            if isinstance(value, Module):
                value._label_as(name)
        else:
            self._members.pop(name, None)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._members.pop(name, None)
        super().__delattr__(name)

    @property
    def _members(self) -> dict[str, Module | Parameter]:
        """What is registered, by attribute name; made on first use, so that a subclass may assign before `super().__init__()`."""
        members: dict[str, Module | Parameter] = self.__dict__.setdefault("_registered", {})
        return members

    def _check_name(self, name: str) -> None:
        if hasattr(type(self), name):
            raise ClconvError(f"{type(self).__name__}: {name!r} is a method or property of the class; give the member another name")
        if not name or "." in name:
            raise ClconvError(f"{type(self).__name__}: a member's name must be non-empty and without dots, got {name!r}")

    def _label_as(self, label: str) -> None:
        """Remember the name under which this module's nodes are recorded, relative to the module that calls it."""
        self.__dict__["_label"] = label

    @property
    def training(self) -> bool:
        """Whether `forward` describes training (dropout draws, batch norm uses the batch's statistics). Setting it sets all submodules."""
        mode: bool = self.__dict__.get("_training", True)
        return mode

    @training.setter
    def training(self, mode: bool) -> None:
        for module in self.modules():
            module.__dict__["_training"] = bool(mode)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(attribute name, module) of the direct submodules, in definition order."""
        return ((name, member) for name, member in self._members.items() if isinstance(member, Module))

    def children(self) -> Iterator[Module]:
        """The direct submodules, in definition order."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module (the empty name) and everything below it, parents first."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and everything below it, parents first."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> dict[str, Parameter]:
        """Every Parameter below this module, running statistics included, by dotted name in definition order.

        One that is shared by several modules is listed once, under its first name.
        """
        found: dict[str, Parameter] = {}
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, member in module._members.items():
                if isinstance(member, Parameter) and id(member) not in seen:
                    seen.add(id(member))
                    found[f"{path}.{name}" if path else name] = member
        return found

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The computation, from Nodes to a Node or a tuple of Nodes."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(); write the computation there")

    def __call__(self, *inputs: Node, **options: Any) -> Any:
        """`forward`, with the nodes recorded under this module's name. Takes Nodes; arrays go to a compiled network."""
        for value in inputs:
            if not isinstance(value, Node):
                raise ArrayError(
                    f"{type(self).__name__}: a module is called with graph nodes inside forward(), got {type(value).__name__}; "
                    f"to run it on arrays: clconv.compile(net, shape)(array)"
                )
        label: str = self.__dict__.get("_label", "")
        if not label:
            return self.forward(*inputs, **options)
        outer = current_scope()
        with scope(f"{outer}.{label}" if outer else label):
            return self.forward(*inputs, **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        """A copy with Parameters of its own, at their current values."""
        for parameter in self.named_parameters().values():
            if id(parameter) not in memo:
                memo[id(parameter)] = Parameter(parameter.value, parameter.trainable)
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def extra_repr(self) -> str:
        """The arguments to print between the parentheses of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        return "\n".join([f"{type(self).__name__}({self.extra_repr()}", *children, ")"])
