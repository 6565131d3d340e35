"""ONNX Runtime on the processor: every graph optimisation, one thread pool."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from clconv.bench.rivals import InferenceJob, Opponent, ProblemJob


def session(model: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def inference(job: InferenceJob, threads: int) -> Opponent:
    """NumPy arrays in, NumPy arrays out."""
    made = session(job.onnx_model(), threads)
    inputs = by_name([entry.name for entry in made.get_inputs()], job.inputs)
    latest: list[np.ndarray] = []

    def run() -> None:
        latest[:] = made.run(None, inputs)

    return _opponent(threads, run, latest)


def problem(job: ProblemJob, threads: int) -> Opponent:
    """One node on tensors of its own that are bound beforehand: no copy in, none out."""
    from clconv.bench.rivals.onnx_nodes import one_node

    model, inputs = one_node(job)
    made = session(model, threads)
    binding = made.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value))
    for entry in made.get_outputs():
        binding.bind_ortvalue_output(entry.name, ort.OrtValue.ortvalue_from_shape_and_type(entry.shape, np.float32))
    opponent = _opponent(threads, lambda: made.run_with_iobinding(binding), [])
    return Opponent(opponent.name, opponent.version, opponent.settings, opponent.run, binding.copy_outputs_to_cpu)


def by_name(names: list[str], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs by the model's own names: the same, or, of the only one, whatever it is called."""
    if set(names) == set(inputs):
        return dict(inputs)
    return dict(zip(names, inputs.values(), strict=True))


def _opponent(threads: int, run: object, latest: list[np.ndarray]) -> Opponent:
    settings = f"all graph optimisations, {threads} threads"
    return Opponent("onnxruntime", ort.__version__, settings, run, lambda: list(latest))  # type: ignore[arg-type]
