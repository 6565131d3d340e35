"""What a device can do at most, measured by two kernels: multiply-adds on registers, and reading memory that no cache holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from clconv.bench.machine import Watch, cache_bytes, disturbance
from clconv.codegen.plan import KernelSource
from clconv.codegen.render import Argument, RenderedKernel
from clconv.runtime import arrays
from clconv.runtime.context import traits_of
from clconv.runtime.programs import programs_for
from clconv.tensor import TensorSpec

CHAINS = 10  # independent sums: enough to hide a multiply-add's latency on two pipes, few enough for 16 registers
STEPS = 16
ROUNDS = 5
SECONDS_EACH = 0.03

ARITHMETIC = """
__kernel void peak_arithmetic(__global float *out, const int times, const float scale, const float shift) {{
    const vec m = (vec)(scale), c = (vec)(shift);
    vec {declare};
    for (int i = 0; i < times; ++i) {{
        {steps}
    }}
    vec total = {total};
    vstore(total, get_global_id(0), out);
}}
"""

MEMORY = """
__kernel void peak_memory(__global const float *in, __global float *out, const int each) {{
    const size_t first = (size_t)get_global_id(0) * each;
    vec a = (vec)(0.0f), b = a, c = a, d = a;
    for (int i = 0; i < each; i += 4) {{
        a += vload(first + i, in); b += vload(first + i + 1, in);
        c += vload(first + i + 2, in); d += vload(first + i + 3, in);
    }}
    vstore(a + b + c + d, get_global_id(0), out);
}}
"""

MEMORY_SCALAR = """
__kernel void peak_memory(__global const float *in, __global float *out, const int each) {{
    float a = 0.0f;
    for (int i = 0; i < each; ++i) a += in[i * get_global_size(0) + get_global_id(0)];
    out[get_global_id(0)] = a;
}}
"""


@dataclass(frozen=True)
class Peaks:
    """Billions of operations (two a multiply-add) and of bytes read a second; `disturbed` says what makes them doubtful."""

    gflops: float
    gbytes: float
    disturbed: str = ""

    def share(self, gflops: float | None, gbytes: float | None) -> float:
        """How near a measurement is to the limit that is nearest.

        >>> Peaks(100.0, 10.0).share(50.0, 2.0)
        0.5
        """
        return max((gflops or 0.0) / self.gflops, (gbytes or 0.0) / self.gbytes)

    def attainable(self, intensity: float) -> float:
        """Billions of operations a second that the roofline allows at this many operations a byte (Williams et al. 2009)."""
        return min(self.gflops, intensity * self.gbytes)


@cache
def _kernel(queue: Any, name: str, text: str, width: int) -> Any:
    """A kernel of plain OpenCL C with `vec`, `vload` and `vstore` of `width` floats."""
    lanes = f"{width}" if width > 1 else ""
    load = f"vload{width}" if width > 1 else "LOAD_ONE"
    store = f"vstore{width}" if width > 1 else "STORE_ONE"
    head = f"#define vec float{lanes}\n#define vload {load}\n#define vstore {store}\n"
    head += "#define LOAD_ONE(i, p) ((p)[i])\n#define STORE_ONE(v, i, p) ((p)[i] = (v))\n"
    tail = "".join(f"\n#undef {word}" for word in ("vec", "vload", "vstore", "LOAD_ONE", "STORE_ONE"))
    arguments = (Argument("out", "buffer"),)
    rendered = RenderedKernel(name, head + text + tail + "\n", arguments, KernelSource("roofline", name))
    return getattr(programs_for(queue.context, queue.device).kernels([rendered])[name], name)


def _best(run: Callable[[int], None]) -> float:
    """Seconds of one unit of work at best: `run(n)` does n."""
    run(1)
    count = 1
    while True:
        begin = time.perf_counter()
        run(count)
        taken = time.perf_counter() - begin
        if taken >= SECONDS_EACH:
            break
        count *= 2 if taken <= 0 else max(2, min(16, int(1.5 * SECONDS_EACH / taken)))
    best = taken
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        run(count)
        best = min(best, time.perf_counter() - begin)
    return best / count


def arithmetic_text() -> str:
    """The kernel that only multiplies and adds: CHAINS sums that do not wait for each other."""
    names = [f"x{i}" for i in range(CHAINS)]
    declare = ", ".join(f"{name} = c + {i}.0f" for i, name in enumerate(names))
    line = " ".join(f"{name} = {name} * m + c;" for name in names)
    return ARITHMETIC.format(declare=declare, steps="\n        ".join([line] * STEPS), total=" + ".join(names))


def measure_arithmetic(queue: Any) -> float:
    """Billions of operations a second."""
    traits = traits_of(queue.device)
    width = traits.simd_width
    kernel = _kernel(queue, "peak_arithmetic", arithmetic_text(), width)
    group = traits.group(64)
    items = traits.compute_units * (4 if traits.is_cpu else 16 * group)
    out = arrays.empty(queue, (items * width,), "float32")
    times = 4096 if traits.is_cpu else 256

    def run(count: int) -> None:
        for _ in range(count):
            kernel(queue, (items,), (group,), out.data, np.int32(times), np.float32(0.999), np.float32(0.001))
        queue.finish()

    return 2.0 * items * times * STEPS * CHAINS * width / _best(run) / 1e9


def measure_memory(queue: Any, most_bytes: int | None = None) -> float:
    """Billions of bytes a second, read from an array four times as large as the last cache, or of `most_bytes`."""
    traits = traits_of(queue.device)
    width, group = traits.simd_width, traits.group(64)
    items = traits.compute_units * (4 if traits.is_cpu else 16 * group)
    wanted = min(max(4 * cache_bytes(queue.device), 64 << 20), traits.global_memory_bytes // 4, most_bytes or traits.global_memory_bytes)
    each = max(4, wanted // (4 * width * items) // 4 * 4)
    elements = items * each * width
    array = arrays.to_device(np.ones(elements, np.float32), TensorSpec((elements,)), queue, "array")  # unwritten pages would all be one
    out = arrays.empty(queue, (items * width,), "float32")
    kernel = _kernel(queue, "peak_memory", (MEMORY if width > 1 else MEMORY_SCALAR).format(), width)

    def run(count: int) -> None:
        for _ in range(count):
            kernel(queue, (items,), (group,), array.data, out.data, np.int32(each))
        queue.finish()

    return 4.0 * array.size / _best(run) / 1e9


@cache
def peaks(queue: Any, most_bytes: int | None = None) -> Peaks:
    """Both, measured once a process: about a second, building included, and more where `most_bytes` do not limit what is read.

    >>> peaks(default_queue())                                                                   # doctest: +SKIP
    Peaks(gflops=91.2, gbytes=18.4)
    """
    watch = Watch()
    gflops, gbytes = measure_arithmetic(queue), measure_memory(queue, most_bytes)
    return Peaks(gflops, gbytes, disturbance(watch.use(), {}))
