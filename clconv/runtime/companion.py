"""Processes that compile beside this one what all of them will find in the driver's cache.

PoCL compiles under one lock a process (measured: two threads take as long as one, with a context each too), and a kernel's machine code
only when it is first launched. So the kernels of a network are shared out in the order of their launches: each companion builds its share
and launches every kernel of it once, on memory full of zeros, while this process does the first share. If a companion fails, nothing is
lost but time. CLCONV_COMPANIONS sets how many there are at most.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import queue as queues
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl

from clconv.codegen.plan import KernelCall, KernelSource, Scalar
from clconv.codegen.render import RenderedKernel
from clconv.device import DeviceTraits
from clconv.runtime.context import queue_like
from clconv.runtime.launch import SCALARS
from clconv.runtime.programs import cache_directory, programs_for

FEWEST_KERNELS = 6
"""Of a share. Starting a process takes as long as compiling one or two."""
MOST_COMPANIONS = 3
MOST_BYTES = 1 << 26
PATIENCE = 30.0
OFTEN = 64
"""Calls that show that a run will be called again, so that a humble companion is worth its work."""

_choosing = threading.Lock()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rehearsal:
    """A launch of the kernel `symbol`; `arguments` as (kind, value): "buffer" and "local" with their bytes, numbers by their type."""

    symbol: str
    arguments: tuple[tuple[str, float], ...]
    global_size: tuple[int, ...]
    local_size: tuple[int, ...]

    @classmethod
    def of(cls, kernel: RenderedKernel, call: KernelCall, sizes: Mapping[str, int]) -> Rehearsal:
        """`sizes`: bytes of each operand. Numbers that are only known when a run begins are 0 here."""
        bindings, arguments = dict(call.bindings), []
        for argument in kernel.arguments:
            value = bindings[argument.name]
            number = sizes[value] if isinstance(value, str) else 0.0 if isinstance(value, Scalar) else value
            arguments.append((argument.kind, float(number)))
        return cls(kernel.symbol, tuple(arguments), call.global_size, (*call.source.group,))

    @property
    def nbytes(self) -> float:
        return sum(value for kind, value in self.arguments if kind == "buffer")


def most_companions(traits: DeviceTraits) -> int:
    """How many processes may help: one for each further processor, where the driver keeps what another process compiles."""
    chosen = os.environ.get("CLCONV_COMPANIONS", "")
    most = int(chosen) if chosen.isdigit() else MOST_COMPANIONS
    kept = traits.has_own_kernel_cache and os.environ.get("POCL_KERNEL_CACHE") != "0" and cache_directory() is not None
    return min(most, traits.compute_units - 1) if kept and traits.is_cpu else 0


def shares(kernels: Sequence[RenderedKernel], companions: int) -> list[Sequence[RenderedKernel]]:
    """Kernels in order, cut into a share of about as much text for this process and for each companion that is worth it."""
    parts = 1 + min(companions, max(0, len(kernels) // FEWEST_KERNELS - 1))
    lengths = list(itertools.accumulate(len(kernel.text) for kernel in kernels))
    ends = [sum(1 for length in lengths if length * parts <= lengths[-1] * part) for part in range(1, parts + 1)]
    return [kernels[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


class Companion:
    """One of the processes, seen from here: it builds `kernels` and launches them as `rehearsals` say, the last one first.

    A `humble` one leaves the processors to all others.
    """

    latest: Companion | None = None
    """The humble one that began last."""

    def __init__(
        self, traits: DeviceTraits, kernels: Sequence[RenderedKernel], rehearsals: Sequence[Rehearsal], humble: bool = False
    ) -> None:
        self._built: queues.SimpleQueue[None] = queues.SimpleQueue()
        self.is_over = self.has_succeeded = False
        job = {
            "traits": asdict(traits),
            "humble": humble,
            "kernels": [(kernel.symbol, kernel.text) for kernel in kernels],
            "rehearsals": [asdict(rehearsal) for rehearsal in rehearsals if rehearsal.nbytes <= MOST_BYTES],
        }
        threading.Thread(target=self._accompany, args=(json.dumps(job).encode() + b"\n",), daemon=True).start()

    def _accompany(self, job: bytes) -> None:
        folder = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-P", "-c", "from clconv.runtime.companion import main; main()"]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        try:
            with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, env={**os.environ, "PYTHONPATH": paths}) as process:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(job)
                process.stdin.flush()
                process.stdout.readline()
                self._built.put(None)
                process.stdout.read()  # to its end
            self.has_succeeded = process.returncode == 0
            log.debug("companion: ended with code %s", process.returncode)
        except OSError as error:
            log.debug("companion: of no help: %s", error)
        finally:
            self.is_over = True
            self._built.put(None)

    @classmethod
    def humbly(cls, traits: DeviceTraits, kernels: Sequence[RenderedKernel], rehearsals: Sequence[Rehearsal]) -> Companion | None:
        """A humble one, for whatever run; None while the one before is at work."""
        with _choosing:
            if cls.latest is not None and not cls.latest.is_over:
                return None
            cls.latest = cls(traits, kernels, rehearsals, humble=True)
            return cls.latest

    def meet(self) -> None:
        """Wait until its kernels are built, or it has failed."""
        with contextlib.suppress(queues.Empty):
            self._built.get(timeout=PATIENCE)


def main() -> None:
    """The process itself. It leaves when the one that started it does."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if job["humble"] and hasattr(os, "nice"):
        os.nice(19)
    queue = queue_like(traits_from(job["traits"]))
    kernels = [RenderedKernel(symbol, text, (), KernelSource("", "")) for symbol, text in job["kernels"]]
    built = programs_for(queue.context, queue.device).kernels(kernels)
    print("built", flush=True)
    for rehearsal in reversed(job["rehearsals"]):
        rehearse(queue, built[rehearsal["symbol"]], rehearsal)


def traits_from(values: dict[str, Any]) -> DeviceTraits:
    """The traits that were written as JSON, where tuples are lists.

    >>> traits_from(json.loads(json.dumps(asdict(DeviceTraits(sub_group_sizes=(8, 16)))))).sub_group_sizes
    (8, 16)
    """
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return DeviceTraits(**known)


def _leave_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through the buffer, whose lock would be held when the process ends
    os._exit(0)


def rehearse(queue: cl.CommandQueue, program: cl.Program, rehearsal: Mapping[str, Any]) -> None:
    """Launch a kernel on memory full of zeros, of the sizes it is made for."""
    kernel = cl.Kernel(program, rehearsal["symbol"])
    buffers = []  # a kernel keeps none alive
    for index, (kind, value) in enumerate(rehearsal["arguments"]):
        if kind == "buffer":
            buffer = cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, max(int(value), 4))
            cl.enqueue_fill_buffer(queue, buffer, np.uint8(0), 0, max(int(value), 4))
            kernel.set_arg(index, buffer)
            buffers.append(buffer)
        elif kind == "local":
            kernel.set_arg(index, cl.LocalMemory(int(value)))
        else:
            kernel.set_arg(index, SCALARS[kind](value))
    cl.enqueue_nd_range_kernel(queue, kernel, tuple(rehearsal["global_size"]), tuple(rehearsal["local_size"]))
    queue.finish()
