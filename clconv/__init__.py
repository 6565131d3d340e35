"""Convolutional networks on any OpenCL device: generated kernels, a graph compiler, and training.

    import clconv
    import clconv.functional as F
    from clconv.nn import models

    queue = clconv.default_queue()
    run = clconv.compile(models.resnet18(), (1, 3, 224, 224), queue=queue)

The heavy parts are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "compile": "clconv.graph.compile",
    "compile_graph": "clconv.graph.compile",
    "grad": "clconv.graph.autodiff",
    "default_queue": "clconv.runtime.context",
    "list_devices": "clconv.runtime.context",
    "parse": "clconv.problem",
    "Graph": "clconv.graph.trace",
    "Network": "clconv.graph.network",
    "Parameter": "clconv.graph.network",
    "ClconvError": "clconv.errors",
    "GeometryError": "clconv.errors",
    "ArrayError": "clconv.errors",
}
_MODULES = ("functional", "nn", "train", "onnx", "errors")

__all__ = [*_PLACES, *_MODULES, "__version__"]

if TYPE_CHECKING:
    from clconv.errors import ArrayError as ArrayError
    from clconv.errors import ClconvError as ClconvError
    from clconv.errors import GeometryError as GeometryError
    from clconv.graph.autodiff import grad as grad
    from clconv.graph.compile import compile as compile
    from clconv.graph.compile import compile_graph as compile_graph
    from clconv.graph.network import Network as Network
    from clconv.graph.parameter import Parameter as Parameter
    from clconv.graph.trace import Graph as Graph
    from clconv.problem import parse as parse
    from clconv.runtime.context import default_queue as default_queue
    from clconv.runtime.context import list_devices as list_devices


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"clconv.{name}")
    raise AttributeError(f"module 'clconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
