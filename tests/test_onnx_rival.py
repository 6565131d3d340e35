"""How many of ONNX's own tests of convolution, pooling and normalisation pass here, and how many with ONNX Runtime.

Counted are the official cases (`onnx.backend.test`) of single operators and of those converted from PyTorch whose name speaks of
convolution, pooling or normalisation; normalising of strings is not meant.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.test_onnx_backend import Case, as_array, difference, disagreement, every_case

ABOUT = "conv|pool|norm(?!alizer)|lrn|mvn|roialign"
KINDS = ("node", "pytorch-converted", "pytorch-operator")

# What does not pass here, with the reason.
MISSING = {
    r"test_(basic_)?deform_conv_\w+": "reading at places that the device computes is not supported",
    r"test_roialign_\w+": "reading at places that the device computes is not supported",
}


def by_onnx_runtime(case: Case) -> str | None:
    """What is wrong with ONNX Runtime's results, or None; whatever it raises is an answer."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        for inputs, outputs in case.sets:
            results: list[np.ndarray] = session.run(None, dict(zip(names, map(as_array, inputs), strict=True)))
            if said := difference(case, results, outputs):
                return said
    except Exception as error:
        return str(error).strip() or repr(error)
    return None


@pytest.mark.peers
@pytest.mark.exhaustive
def test_more_official_cases_pass_than_with_onnx_runtime(queue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    cases = [case for kind in KINDS for case in every_case(kind, ABOUT)]
    ours = {case.name: said for case in cases if (said := disagreement(case)) is not None}
    theirs = {case.name: said for case in cases if (said := by_onnx_runtime(case)) is not None}
    with capsys.disabled():
        print(f"\nof {len(cases)} cases about convolution, pooling and normalisation pass {len(cases) - len(ours)} here,", end=" ")
        print(f"{len(cases) - len(theirs)} with ONNX Runtime {onnxruntime.__version__}")
    unexpected = {name: said for name, said in ours.items() if not any(re.fullmatch(pattern, name) for pattern in MISSING)}
    assert not unexpected, "\n".join(f"{name}: {said[:300]}" for name, said in unexpected.items())
    assert len(cases) >= 244 and len(ours) < len(theirs)
