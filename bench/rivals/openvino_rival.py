"""OpenVINO on the processor: latency hint, float32 arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import properties

from clconv.bench.rivals import InferenceJob, Opponent, ProblemJob

_core = ov.Core()


def compiled(model: bytes, threads: int) -> Any:
    """A compiled model; the precision is said because some processors would take bfloat16 otherwise."""
    settings = {
        properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
        properties.hint.inference_precision(): ov.Type.f32,
        properties.inference_num_threads(): threads,
    }
    return _core.compile_model(_core.read_model(model), "CPU", settings)


def _opponent(model: bytes, inputs: Mapping[str, np.ndarray], threads: int, shared: bool) -> Opponent:
    network = compiled(model, threads)
    request = network.create_infer_request()
    names = [port.any_name for port in network.inputs]
    given = dict(inputs) if set(names) == set(inputs) else dict(zip(names, inputs.values(), strict=True))
    latest: list[np.ndarray] = []

    def run() -> None:
        found = request.infer(given, share_inputs=True, share_outputs=shared)
        latest[:] = [found[port] for port in network.outputs]

    settings = f"latency, f32, {threads} threads"
    return Opponent("openvino", ov.get_version().split("-")[0], settings, run, lambda: [np.array(value) for value in latest])


def inference(job: InferenceJob, threads: int) -> Opponent:
    """NumPy arrays in, NumPy arrays out."""
    return _opponent(job.onnx_model(), job.inputs, threads, shared=False)


def problem(job: ProblemJob, threads: int) -> Opponent:
    """One node; inputs and outputs share OpenVINO's memory: no copy in, none out."""
    from clconv.bench.rivals.onnx_nodes import one_node

    return _opponent(*one_node(job), threads, shared=True)
