"""From a plan to enqueued kernels: programs are built, arguments bound by name, and running is a loop over pre-bound launches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyopencl as cl

from clconv.codegen.plan import KernelCall, KernelSource, Scalar
from clconv.codegen.render import RenderedKernel
from clconv.errors import TemplateError
from clconv.runtime.failure import reported
from clconv.runtime.programs import Programs
from clconv.runtime.texts import rendered_text

SCALARS = {"int": np.int32, "uint": np.uint32, "float": np.float32, "long": np.int64, "ulong": np.uint64}
MEMORY: TypeAlias = "cl.Buffer | None"


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

    def set_scalar(self, name: str, value: float) -> None:
        for index, kind in self.open_scalars.get(name, ()):
            self.kernel.set_arg(index, kind(value))


def rendered(calls: Iterable[KernelCall], directory: str | None = None) -> list[RenderedKernel]:
    """The distinct kernels that `calls` need, in order."""
    return list(dict.fromkeys(rendered_text(call.source, directory) for call in calls))


def is_built(source: KernelSource, programs: Programs, directory: str | None = None) -> bool:
    """Whether the kernel can be launched without building anything."""
    return programs.has_seen(source) and programs.has([rendered_text(source, directory).symbol])


def bind(
    call: KernelCall,
    programs: Programs,
    memory: Mapping[str, MEMORY],
    *,
    label: str = "",
    directory: str | None = None,
    reproduce: str = "",
    text: RenderedKernel | None = None,
) -> Launch:
    """A Launch of `call`; operands missing from `memory` stay open and are set before each run. `text`: its kernel, checked already.

    Raises TemplateError where the kernel's arguments are not those that the plan binds (an edited template), DeviceError when the driver
    does not make the kernel.
    """
    if text is None:
        text = rendered_text(call.source, directory)
        check_bindings(call, text)
    program = programs.kernels([text], reproduce)[text.symbol]
    with reported(f"set up kernel {call.source.entry}{f' of {label}' if label else ''}", programs.device):
        launch = Launch(cl.Kernel(program, text.symbol), call.global_size, (*call.source.group,), label, call)
        bindings = dict(call.bindings)
        for index, argument in enumerate(text.arguments):
            _set(launch, index, argument.kind, bindings[argument.name], memory)
    return launch


def _set(launch: Launch, index: int, kind: str, value: str | int | float | Scalar, memory: Mapping[str, MEMORY]) -> None:
    """Set argument number `index` now, or note that it is set before each run."""
    if kind == "local":
        launch.kernel.set_arg(index, cl.LocalMemory(int(value)))  # type: ignore[arg-type]
    elif isinstance(value, Scalar):
        launch.open_scalars.setdefault(value.name, []).append((index, SCALARS[kind]))
    elif not isinstance(value, str):
        launch.kernel.set_arg(index, SCALARS[kind](value))  # type: ignore[arg-type]
    elif value in memory:
        launch.kernel.set_arg(index, memory[value])
        launch.keep.append(memory[value])
    else:
        launch.open_buffers.setdefault(value, []).append(index)


def check_bindings(call: KernelCall, text: RenderedKernel) -> None:
    """The rendered signature against the plan: names, and for each name the kind of argument. Raises TemplateError."""
    bindings = dict(call.bindings)
    kernel = f"template {call.source.template}.cl.mako: kernel {call.source.entry}"
    wanted = [argument.name for argument in text.arguments]
    missing, unknown = [n for n in bindings if n not in wanted], [n for n in wanted if n not in bindings]
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}, which its plan binds"] if missing else []
        parts += [f"takes {', '.join(unknown)}, which its plan does not bind"] if unknown else []
        raise TemplateError(f"{kernel} {'; it '.join(parts)}; the plan binds {', '.join(bindings) or 'nothing'}")
    for argument in text.arguments:
        value = bindings[argument.name]
        if argument.kind not in ("local", "buffer", *SCALARS):
            raise TemplateError(f"{kernel}: argument {argument.name} is of type {argument.kind}; give it one of {', '.join(SCALARS)}")
        if (argument.kind == "buffer") != isinstance(value, str):
            bound = f"the tensor {value}" if isinstance(value, str) else "a number"
            declared = "a pointer" if argument.kind == "buffer" else f"of type {argument.kind}"
            raise TemplateError(f"{kernel}: argument {argument.name} is {declared}, its plan binds {bound} to it")
