"""ONNX Runtime, to compare with. Imported by tests that are marked `peers`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime


def by_onnx_runtime(proto: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """The outputs of a ModelProto on the CPU."""
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    outputs: list[np.ndarray] = session.run(None, dict(zip(names, arrays, strict=True)))
    return outputs
