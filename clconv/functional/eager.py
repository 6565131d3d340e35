"""Running one operation on arrays: the same steps as a compiled graph, taken once per configuration and remembered."""

from __future__ import annotations

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla

from clconv.errors import ArrayError
from clconv.graph.assembly import Options
from clconv.graph.node import Node, input_node
from clconv.graph.run import Run
from clconv.graph.trace import Graph
from clconv.runtime.arrays import dtype_of, queue_of
from clconv.tensor import TensorSpec

MOST_REMEMBERED = 1024
MOST_BYTES = 512 << 20

_remembered: OrderedDict[Any, Run] = OrderedDict()
_lock = threading.Lock()


def operation(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """Let a function on nodes take arrays as well, with `out=` to write into. `name` is what errors call it, where not by its own name."""
    function.__name__ = name or function.__name__

    @functools.wraps(function)
    def wrapper(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None and not _has_array(args) and not (kwargs and _has_array(tuple(kwargs.values()))):
            if args and _is_numpy(args[0]):
                raise ArrayError(f"{function.__name__}: a NumPy array is not on a device; send it with pyopencl.array.to_device(queue, x)")
            return function(*args, **kwargs)
        return _run(function, args, kwargs, out)

    signature = inspect.signature(function)
    extra = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
    wrapper.__signature__ = signature.replace(parameters=[*signature.parameters.values(), extra])  # type: ignore[attr-defined]
    return wrapper


def _is_numpy(value: Any) -> bool:
    """A NumPy array, or a list of nothing but them; among graph nodes they are constants."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(entry, np.ndarray) for entry in value)
    return isinstance(value, np.ndarray)


def _has_array(values: tuple[Any, ...]) -> bool:
    for value in values:
        if isinstance(value, cla.Array):
            return True
        if isinstance(value, list | tuple) and _has_array(tuple(value)):
            return True
    return False


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
    found: list[cla.Array] = []
    scalars = _seed(kwargs) if "seed" in kwargs else None
    what = function.__name__
    key_parts = [_part(value, found, what) for value in args]
    key_parts += [(name, _part(value, found, what)) for name, value in kwargs.items()]
    if not found:
        raise ArrayError(f"{what}: out= needs arrays; graph nodes have no memory to write into")
    first = found[0]
    queue = queue_of(first, what)
    for array in found[1:]:
        if array.queue is not queue and array.context != queue.context:
            raise ArrayError(f"{what}: the arrays live in two OpenCL contexts; create them from one queue")
    key = (function, tuple(key_parts), queue.int_ptr)
    with _lock:
        run = _remembered.get(key)
        if run is not None:
            _remembered.move_to_end(key)
    if run is None:
        run = _compile(function, args, kwargs, queue)
        with _lock:
            _remembered[key] = run
            while len(_remembered) > 1 and (len(_remembered) > MOST_REMEMBERED or _held() > MOST_BYTES):
                _remembered.popitem(last=False)
    return run(*found, out=out, scalars=scalars)


def _held() -> int:
    """Bytes of device memory that remembered calls keep for their temporaries."""
    return sum(run.held_bytes for run in _remembered.values())


def _seed(kwargs: dict[str, Any]) -> dict[str, float]:
    """The seed as run-time scalars: another seed is no other configuration."""
    import secrets

    seed = kwargs.pop("seed")
    if seed is not None and not isinstance(seed, int | np.integer):
        raise ArrayError(f"dropout: seed must be a whole number or None, got {seed!r}")
    seed = secrets.randbits(64) if seed is None else int(seed)
    return {"seed_low": seed & 0xFFFFFFFF, "seed_high": (seed >> 32) & 0xFFFFFFFF, "step": 0}


def _part(value: Any, found: list[cla.Array], what: str) -> Any:
    """The part of the key that an argument gives; arrays are collected on the way."""
    if isinstance(value, cla.Array):
        found.append(value)
        return (value.shape, value.dtype.char)
    if isinstance(value, list | tuple):
        return tuple(_part(entry, found, what) for entry in value)
    if isinstance(value, np.ndarray):
        raise ArrayError(
            f"{what}: device arrays and NumPy arrays cannot be mixed in one call, got one of shape {value.shape}; "
            "send it with pyopencl.array.to_device(queue, x), and give sizes as tuples"
        )
    if isinstance(value, Node) or hasattr(value, "node"):
        raise ArrayError(f"{what}: arrays and graph nodes cannot be mixed in one call; bring the array in as an input of the graph")
    try:
        hash(value)
    except TypeError:
        return repr(value)  # of a kind that no function takes: it will say so itself
    return value


def _compile(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], queue: cl.CommandQueue) -> Run:
    inputs: list[Node] = []

    def placeholder(value: Any) -> Any:
        if isinstance(value, cla.Array):
            node = input_node(f"argument {len(inputs) + 1}", TensorSpec(tuple(value.shape), dtype_of(value, function.__name__)))
            inputs.append(node)
            return node
        if isinstance(value, list | tuple) and _has_array(tuple(value)):
            return type(value)(placeholder(entry) for entry in value)
        return value

    # Two statements: in one call Python would evaluate the keywords before a generator of the positional arguments.
    positional = [placeholder(a) for a in args]
    named = {k: placeholder(v) for k, v in kwargs.items()}
    outputs = function(*positional, **named)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return Run(Graph(tuple(inputs), outputs), queue, Options(reuse=True, recalls=True))


def last_run() -> Run:
    """What the last eager call was compiled to; for benchmarks and tests. Raises ArrayError where there was none."""
    with _lock:
        if not _remembered:
            raise ArrayError("last_run: nothing was called on arrays yet, or it was forgotten")
        return next(reversed(_remembered.values()))


def forget() -> None:
    """Drop everything remembered; for tests and for freeing memory."""
    with _lock:
        _remembered.clear()
