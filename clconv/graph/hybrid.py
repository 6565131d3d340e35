"""A graph of which the host computes a part, made ready to run: device runs and host functions in turns."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

from clconv.errors import ArrayError, UnsupportedError
from clconv.graph.assembly import Options
from clconv.graph.explain import Profile, ProfileRow
from clconv.graph.host_values import Values, described, host_input
from clconv.graph.network import Network
from clconv.graph.node import Node, input_node, topological
from clconv.graph.ops import make
from clconv.graph.ops.host import NOT_IN_ARRAYS, on_device
from clconv.graph.run import Run
from clconv.graph.schedule import Step
from clconv.graph.stages import DeviceStage, HostStage, Stage, stages
from clconv.graph.trace import Graph
from clconv.graph.validate import check_algorithms, check_graph
from clconv.runtime import arrays
from clconv.runtime.context import device_of, traits_of
from clconv.runtime.launch import Launch


class HybridRun(Run):
    """A compiled graph with host nodes; it is called, explained and profiled as any other. `runs` are its parts on the device.

    Values cross between device and host where one side reads what the other has computed, and only those. Results that no kernel knows
    the type of, such as whole numbers of 64 bits, come as device arrays of that type.
    """

    def __init__(self, graph: Graph, queue: Any, options: Options = Options(), network: Network | None = None) -> None:  # noqa: B008
        check_graph(graph)
        check_algorithms(options.algorithms, graph)
        if options.max_bytes is None and network is not None:
            options = replace(options, max_bytes=network.max_bytes)
        self.graph, self.queue, self.options, self.network = graph, queue, options, network
        self.traits = traits_of(device_of(queue))
        self.input_names = tuple(node["name"] for node in graph.inputs)
        self.seed = 0
        self.calls = 0
        self._lock = threading.Lock()
        self._stages: list[tuple[Stage, Run | None]] = []
        self.runs: list[Run] = []
        taken = 0
        for stage in stages(graph):
            run = None
            if isinstance(stage, DeviceStage):
                run = Run(stage.graph, queue, _matching(options, stage.graph), network, taken)
                taken += run.declared_bytes
                self.runs.append(run)
            self._stages.append((stage, run))
        self._host_nodes = [node for stage, _ in self._stages if isinstance(stage, HostStage) for node in stage.nodes]
        self._copies: dict[int, Run] = {}
        for node in graph.outputs:
            if node.dtype in NOT_IN_ARRAYS:
                raise UnsupportedError(f"{node.label}: gives {node.dtype}, which no array on a device holds; name other outputs")

    def __call__(self, *inputs: Any, out: Any = None, scalars: Mapping[str, float] | None = None, **named: Any) -> Any:
        """As of any run; `out` is filled at the end."""
        targets = self._targets(out)
        with self._lock:
            values = self._started(inputs, named)
            for stage, run in self._stages:
                self._execute(stage, run, values, scalars)
            self.calls += 1
            results: list[Any] = []
            for index, node in enumerate(self.graph.outputs):
                result, again = values.result(node), any(node is other for other in self.graph.outputs[:index])
                results.append(result.copy() if again else result)
                if targets[index] is not None:
                    results[index] = self._copied(index, result, targets[index])
        return results[0] if len(results) == 1 else tuple(results)

    def _started(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> Values:
        """The values that are there before anything runs: inputs, and the parameters that the host reads."""
        values = Values(self.queue)
        for value, node in zip(self._in_order(inputs, named), self.graph.inputs, strict=True):
            taken = self._take(value, node) if on_device(node.spec) else host_input(value, node.spec, f"input {node['name']!r}")
            values.put(node, taken)
        for node in self._host_nodes:
            for source in node.inputs:
                if source.op == "parameter":
                    values.host(source)
        return values

    def _execute(self, stage: Stage, run: Run | None, values: Values, scalars: Mapping[str, float] | None) -> None:
        if isinstance(stage, HostStage):
            for node in stage.nodes:
                values.compute(node)
            return
        assert run is not None
        run.seed = self.seed
        outputs = run(*[values.device(node) for node in stage.reads], scalars=scalars)
        for node, value in zip(stage.gives, outputs if isinstance(outputs, tuple) else (outputs,), strict=True):
            values.put(node, value)

    def _targets(self, out: Any) -> tuple[Any, ...]:
        """The caller's arrays for the results, None for new ones."""
        targets = (None,) * len(self.graph.outputs) if out is None else out if isinstance(out, tuple) else (out,)
        if len(targets) != len(self.graph.outputs):
            raise ArrayError(
                f"out: {len(targets)} arrays given for {len(self.graph.outputs)} results; give one each, or None for a new one"
            )
        for target, node in zip(targets, self.graph.outputs, strict=True):
            if target is not None:
                if not on_device(node.spec):
                    raise ArrayError(f"out: {node.label} is {node.dtype} and made on the host; give None for it")
                arrays.check_target(target, node.spec, self.queue)
        return targets

    def _copied(self, index: int, result: Any, target: Any) -> Any:
        """`target`, with the result in it: by a run that does nothing else, since it may be a view."""
        if index not in self._copies:
            whole = input_node("x", self.graph.outputs[index].spec)
            self._copies[index] = Run(Graph((whole,), (whole,)), self.queue, self.options)
        return self._copies[index](result, out=target)

    def explain(self) -> str:
        """What each stage does: as of any run for the device's, why and of what for the host's."""
        parts = []
        for number, (stage, run) in enumerate(self._stages, 1):
            text = run.explain() if run is not None else _explained(stage)
            parts.append(f"stage {number} of {len(self._stages)}, on the {'host' if run is None else 'device'}\n{text}")
        return "\n\n".join(parts)

    def profile(self, *inputs: Any, repeats: int = 10, scalars: Mapping[str, float] | None = None) -> Profile:
        """As of any run; host nodes are timed by the clock, and moving values between the two is not counted."""
        if repeats < 1:
            raise ArrayError(f"profile: repeats must be at least 1, got {repeats}")
        values, rows = self._started(inputs, {}), list[ProfileRow]()
        for stage, run in self._stages:
            self._execute(stage, run, values, scalars)
            if isinstance(stage, HostStage):
                rows += [_timed(node, values, repeats) for node in stage.nodes]
            elif run is not None:
                rows += run.profile(*[values.device(node) for node in stage.reads], repeats=repeats, scalars=scalars).rows
        total = sum(row.milliseconds for row in rows) or 1.0
        return Profile(f"{self.traits.label} and the host", tuple(replace(row, share=row.milliseconds / total) for row in rows))

    def source(self, name: str) -> str:
        labels = [node.label for node in self._host_nodes]
        if name in labels:
            raise UnsupportedError(f"source: {name!r} is computed on the host, without a kernel")
        found = [run for run in self.runs if any(step.label == name for step in run.steps)]
        if not found:
            names = list(dict.fromkeys(step.label for step in self.steps))
            raise UnsupportedError(f"source: no layer is named {name!r}; names are {', '.join(names[:20])}{' ...' if names[20:] else ''}")
        return "\n".join(run.source(name) for run in found)

    def retune(self) -> int:
        return sum(run.retune() for run in self.runs)

    def poison(self) -> None:
        for run in self.runs:
            run.poison()

    @property
    def launches(self) -> list[Launch]:
        return [launch for run in self.runs for launch in run.launches]

    @property
    def launch_count(self) -> int:
        return sum(run.launch_count for run in self.runs)

    @property
    def steps(self) -> list[Step]:
        return [step for run in self.runs for step in run.steps]

    @property
    def memory(self) -> dict[str, int]:
        parts = [run.memory for run in self.runs]
        return {name: sum(part[name] for part in parts) for name in ("activations", "prepared", "parameters")}

    @property
    def held_bytes(self) -> int:
        return sum(run.held_bytes for run in self.runs)


def _matching(options: Options, graph: Graph) -> Options:
    """The options of a part: wishes for layers of other parts would be refused there."""
    labels = ["", *(node.label for node in topological((*graph.outputs, *(node for _, node in graph.updates))) if node.label)]
    wishes = tuple(wish for wish in options.algorithms if any(fnmatch(label, wish[0]) for label in labels))
    return replace(options, algorithms=wishes)


def _explained(stage: Stage) -> str:
    lines = []
    for node in stage.nodes if isinstance(stage, HostStage) else ():
        results = [make("item", node, index=i) for i in range(len(node.results))]
        lines.append(f"{node.label}: {node['function'].operation}\n    {described(node.inputs)} -> {described(results)}")
        lines.append(f"    {node['function'].reason}")
    return "\n".join(lines)


def _timed(node: Node, values: Values, repeats: int) -> ProfileRow:
    """The median time of a host node, whose inputs are known."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        values.compute(node)
        times.append(1e3 * (time.perf_counter() - began))
    return ProfileRow(node.label, "host", node["function"].operation, statistics.median(times), 0.0, 0.0, 0.0)
