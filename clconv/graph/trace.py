"""What happens around building a graph: the name of the place that builds, and what a training step shall also write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clconv.errors import ClconvError
from clconv.graph.node import Node

if TYPE_CHECKING:
    from clconv.graph.parameter import Parameter


@dataclass(frozen=True)
class Graph:
    """Inputs, outputs, and parameters with the nodes whose values replace theirs after a run (running statistics, optimiser steps)."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    updates: tuple[tuple[Parameter, Node], ...] = ()


@dataclass
class Recording:
    """What a trace collects besides nodes."""

    updates: list[tuple[Parameter, Node]] = field(default_factory=list)
    streams: int = 0


_scope: ContextVar[str] = ContextVar("clconv_scope", default="")
_recording: ContextVar[Recording | None] = ContextVar("clconv_recording", default=None)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Nodes made inside are labelled `name`, and errors begin with the innermost of the names."""
    token = _scope.set(name)
    try:
        yield
    except ClconvError as error:
        if name and not hasattr(error, "place"):
            error.place = name  # type: ignore[attr-defined]
            error.args = (f"{name}: {error}",)
        raise
    finally:
        _scope.reset(token)


def current_scope() -> str:
    return _scope.get()


@contextmanager
def recording() -> Iterator[Recording]:
    """Collects updates of running statistics and numbers the random streams of the nodes made inside."""
    record = Recording()
    token = _recording.set(record)
    try:
        yield record
    finally:
        _recording.reset(token)


def current_recording() -> Recording | None:
    return _recording.get()
