"""From a network or a graph to what runs it: passes, schedule, plans and memory are made on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clconv.errors import ArrayError
from clconv.graph.assembly import Options
from clconv.graph.network import Network, Shapes
from clconv.graph.parameter import draw_ahead
from clconv.graph.reuse import compiled_before
from clconv.graph.run import Run
from clconv.graph.stages import has_host_part
from clconv.graph.trace import Graph
from clconv.graph.validate import check_graph
from clconv.runtime.context import default_queue, device_of


def compile_graph(
    graph: Graph,
    queue: Any = None,
    *,
    algorithms: Mapping[str, str] | None = None,
    kernels: str | None = None,
    passes: bool = True,
    reuse: bool = False,
    tuned: bool = True,
    keep_weights: bool = False,
    strict: bool = False,
    max_bytes: int | None = None,
    persistent: bool | None = None,
) -> Run:
    """As `compile`, for a graph; `passes=False` leaves it as it was traced."""
    options = Options(tuple((algorithms or {}).items()), kernels, passes, reuse, tuned, keep_weights, strict, max_bytes, persistent)
    return _run(graph, queue or default_queue(), options)


def _run(graph: Graph, queue: Any, options: Options, network: Network | None = None) -> Run:
    """A run of the graph; where the host has a part in it, one that takes turns."""
    check_graph(graph)
    if has_host_part(graph):
        from clconv.graph.hybrid import HybridRun

        return HybridRun(graph, queue, options, network)
    return Run(graph, queue, options, network)


def compile(
    net: Network,
    input_shape: Shapes,
    queue: Any = None,
    training: bool = False,
    *,
    algorithms: Mapping[str, str] | None = None,
    kernels: str | None = None,
    reuse: bool | None = None,
    tuned: bool = True,
    keep_weights: bool = False,
    strict: bool = False,
    max_bytes: int | None = None,
    persistent: bool | None = None,
) -> Run:
    """`net` made ready for inputs of `input_shape` (N, C, spatial...; a dict by name for several inputs) on `queue`'s device.

    `training` runs batch normalisation and dropout in training mode and updates running statistics. `algorithms` forces some by layer
    name pattern ({"layer1.*": "conv_direct"}); `kernels` names a directory with edited templates; `reuse` takes kernels that this
    process has built already where they fit, so that another batch or image size starts at once, perhaps a little slower: by default when
    `net` has been compiled for another size, but not yet for this one. `run.retune()` builds the rest; with PoCL another process of low
    priority does so after 64 calls, and a later call, some 50 ms longer, takes it over: results may differ in their last digits from then
    on, as between two algorithms. `tuned=False` ignores what
    `clconv tune` has measured and chooses by estimates alone; `keep_weights` holds parameters on the device that are only needed
    to pack them, so that a changed one is all that is uploaded.
    `strict` leaves out algorithms that trade accuracy for speed: minimal filtering (Winograd) rounds more than a straight sum, and
    spreads a NaN or infinity of the input over the tiles that read it.
    `max_bytes` is what inputs, outputs, parameters and everything between them may take on the device, by default its whole memory: a
    network that asks for more is refused before any of it is allocated.
    `persistent`, for a CPU device: all operations in one launch, whose threads need not sleep between two of them. The results are the
    same, small networks gain most. It takes as long to build as all kernels together: True builds it now, False never, None in another
    process of low priority once the run has been called 64 times. `explain` says what it came to.
    Several outputs come as a tuple.

    >>> run = compile(models.lenet5(), (1, 1, 28, 28))   # doctest: +SKIP
    >>> run(np.zeros((1, 1, 28, 28), np.float32)).shape  # doctest: +SKIP
    (1, 10)
    """
    if not isinstance(net, Network):
        raise ArrayError(f"compile: expected a network (a module, or what a file holds), got {type(net).__name__}; graphs: compile_graph")
    draw_ahead(net.named_parameters().values())
    queue, graph = queue or default_queue(), net.trace(input_shape, training)
    device_of(queue)
    shapes, known = tuple(node.shape for node in graph.inputs), compiled_before(net, queue.context, training)
    reuse = bool(known) and shapes not in known if reuse is None else reuse
    options = Options(tuple((algorithms or {}).items()), kernels, True, reuse, tuned, keep_weights, strict, max_bytes, persistent)
    run = _run(graph, queue, options, net)
    known.add(shapes)
    return run
