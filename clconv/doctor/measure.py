"""What a launch costs. Peak rates are those of `clconv bench`'s roofline."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from clconv.codegen.plan import KernelSource
from clconv.codegen.render import Argument, RenderedKernel
from clconv.runtime import arrays
from clconv.runtime.programs import programs_for

LAUNCHES = 256
ROUNDS = 15
NOTHING = "__kernel void nothing(__global float *out) { if (get_global_id(0) == 0) out[0] = 1.0f; }\n"


def measure_launches(queue: Any) -> tuple[float, float]:
    """(microseconds of a launch among many, of a launch and the wait for it): medians, of a kernel that does nothing.

    >>> measure_launches(default_queue())                                                         # doctest: +SKIP
    (6.1, 38.2)
    """
    kernel = RenderedKernel("nothing", NOTHING, (Argument("out", "buffer"),), KernelSource("doctor", "nothing"))
    program = programs_for(queue.context, queue.device).kernels([kernel])["nothing"]
    launch, out = program.nothing, arrays.empty(queue, (1,), "float32")

    def seconds(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            launch(queue, (1,), (1,), out.data)
        queue.finish()
        return time.perf_counter() - begin

    seconds(LAUNCHES)
    many = median(seconds(LAUNCHES) / LAUNCHES for _ in range(ROUNDS))
    return many * 1e6, median(seconds(1) for _ in range(ROUNDS * 8)) * 1e6
