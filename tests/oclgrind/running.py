"""A plan on buffers of exactly its operands' sizes, as the simulator wants them: whatever lies beside is out of bounds, and scratch is
uninitialised."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyopencl as cl

from clconv.codegen.render import RenderedKernel
from clconv.runtime.context import default_queue
from clconv.runtime.launch import bind, rendered
from clconv.runtime.programs import programs_for
from clconv.tensor import Packed, Transformed
from tests.cases import Prepared, bounds, expected, operands_of
from tests.support import NUMPY, load, poison, store, weights_in


def difference(prepared: Prepared) -> str:
    """Runs it and says how the results differ from the reference; empty where they agree."""
    problem = prepared.problem
    given = operands_of(problem)
    half = "float16" in {problem.spec(name).dtype for name in problem.tensors()}
    got = results(prepared, given)
    with np.errstate(all="ignore"):
        want, bound = expected(problem, given), bounds(problem, given, prepared.factor)
        for name, array in got.items():
            allowed = np.zeros(()) if bound is None else bound
            if half:  # half a unit in the last place more
                allowed = allowed + 2.0**-11 * abs(want[name]) + 2.0**-24
            error = abs(array.astype(np.float64) - want[name])
            if not (error <= allowed).all():
                return f"{name} is off by up to {np.nanmax(error)}, {np.isnan(error).sum()} are NaN"
    return ""


def results(prepared: Prepared, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    problem, queue = prepared.problem, default_queue()
    context, flags = queue.context, cl.mem_flags.READ_WRITE
    memory: dict[str, cl.Buffer] = {}
    for name in problem.tensors():
        spec = problem.spec(name)
        if name in problem.outputs:
            content = poison(spec.storage_elements, spec.dtype)  # an element that nobody writes shows
        elif isinstance(spec.layout, Packed | Transformed):
            content = weights_in(given[name].astype(NUMPY[spec.dtype]), spec.layout)
        else:
            content = store(given[name], spec)
        memory[name] = cl.Buffer(context, flags | cl.mem_flags.COPY_HOST_PTR, hostbuf=content)
    for name, nbytes in prepared.plan.scratch:
        memory[name] = cl.Buffer(context, flags, nbytes)
    programs = programs_for(context, queue.device)
    texts = {text.symbol: lane_by_lane(text) for text in rendered(prepared.plan.calls)}
    programs.kernels(list(texts.values()))
    for call in prepared.plan.calls:
        (own,) = rendered([call])
        bind(call, programs, memory, reproduce=str(problem), text=texts[own.symbol]).enqueue(queue)
        queue.finish()
    out = {}
    for name in problem.outputs:
        spec = problem.spec(name)
        flat = np.empty(spec.storage_elements, NUMPY[spec.dtype])
        cl.enqueue_copy(queue, flat, memory[name])
        out[name] = load(flat, spec, check_zeros=not is_slice(spec.layout))
    return out


def lane_by_lane(kernel: RenderedKernel) -> RenderedKernel:
    """The same kernel without shuffles of vectors, which the simulator's check for uninitialised values takes for others, or crashes at."""
    width = re.search(r"#define LANES (\d+)", kernel.text)

    def joined(found: re.Match[str]) -> str:
        assert width is not None
        lanes = range(found[2] == "odd", int(width[1]), 2)
        return f"(vec)({', '.join(f'{name}.s{lane:x}' for name in (found[1], found[3]) for lane in lanes)})"

    def shuffled(found: re.Match[str]) -> str:
        return f"(vec)({', '.join(f'{found[1]}.s{lane}' for lane in found[2])})"

    text = re.sub(r"\(vec\)\((\w+)\.(even|odd), (\w+)\.\2\)", joined, kernel.text)
    return replace(kernel, text=re.sub(r"\b([a-z]\w*)\.s([0-9a-f]{2,16})\b", shuffled, text))


def is_slice(layout: object) -> bool:
    return getattr(layout, "blocks", None) is not None
