"""From a plan to enqueued kernels: programs are built, arguments bound by name, and running is a loop over pre-bound launches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyopencl as cl

from clconv.codegen.plan import KernelCall, Scalar
from clconv.codegen.render import RenderedKernel, render
from clconv.errors import TemplateError
from clconv.runtime.programs import Programs

SCALARS = {"int": np.int32, "uint": np.uint32, "float": np.float32, "long": np.int64, "ulong": np.uint64}
MEMORY = cl.Buffer | None


@dataclass
class Launch:
    """A kernel object of its own with its arguments set. `open_buffers` and `open_scalars` say which arguments change between runs."""

    kernel: cl.Kernel
    global_size: tuple[int, ...]
    local_size: tuple[int, ...]
    label: str
    call: KernelCall
    open_buffers: dict[str, list[int]] = field(default_factory=dict)
    open_scalars: dict[str, list[tuple[int, type]]] = field(default_factory=dict)
    keep: list[object] = field(default_factory=list)

    def enqueue(self, queue: cl.CommandQueue, wait_for: Sequence[cl.Event] | None = None) -> cl.Event:
        return cl.enqueue_nd_range_kernel(queue, self.kernel, self.global_size, self.local_size, wait_for=wait_for)

    def set_buffer(self, operand: str, memory: MEMORY) -> None:
        for index in self.open_buffers.get(operand, ()):
            self.kernel.set_arg(index, memory)

    def set_scalar(self, name: str, value: float) -> None:
        for index, kind in self.open_scalars.get(name, ()):
            self.kernel.set_arg(index, kind(value))


def rendered(calls: Iterable[KernelCall], directory: str | None = None) -> list[RenderedKernel]:
    """The distinct kernels that `calls` need, in order."""
    return list(dict.fromkeys(render(call.source, directory) for call in calls))


def is_built(calls: Iterable[KernelCall], programs: Programs, directory: str | None = None) -> bool:
    """Whether `calls` can be launched without building anything."""
    return programs.has(render(call.source, directory).symbol for call in calls)


def bind(
    call: KernelCall,
    programs: Programs,
    memory: Mapping[str, MEMORY],
    *,
    label: str = "",
    directory: str | None = None,
    reproduce: str = "",
) -> Launch:
    """A Launch of `call`; operands missing from `memory` stay open and are set before each run."""
    text = render(call.source, directory)
    program = programs.kernels([text], reproduce)[text.symbol]
    group = (*call.source.group,)
    launch = Launch(cl.Kernel(program, text.symbol), call.global_size, group, label, call)
    bindings = dict(call.bindings)
    given, wanted = set(bindings), {argument.name for argument in text.arguments}
    if given != wanted:
        raise TemplateError(
            f"template {call.source.template}.cl.mako: kernel {call.source.entry} takes {sorted(wanted)}, its plan binds {sorted(given)}; "
            f"missing {sorted(wanted - given)}, unknown {sorted(given - wanted)}"
        )
    for index, argument in enumerate(text.arguments):
        value = bindings[argument.name]
        if argument.kind == "local":
            launch.kernel.set_arg(index, cl.LocalMemory(int(value)))  # type: ignore[arg-type]
        elif argument.kind == "buffer":
            assert isinstance(value, str), f"{argument.name} of {call.source.entry} must be bound to an operand's name"
            if value in memory:
                launch.kernel.set_arg(index, memory[value])
                launch.keep.append(memory[value])
            else:
                launch.open_buffers.setdefault(value, []).append(index)
        elif isinstance(value, Scalar):
            launch.open_scalars.setdefault(value.name, []).append((index, SCALARS[argument.kind]))
        else:
            launch.kernel.set_arg(index, SCALARS[argument.kind](value))
    return launch
