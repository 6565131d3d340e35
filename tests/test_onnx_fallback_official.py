"""ONNX's own tests of operators that have no rule, or whose sizes and indices are computed: with the host's help, by a compiled run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

import clconv
from clconv.errors import ClconvError, FallbackWarning
from clconv.onnx import load

# Cases that do not pass, with the reason.
DEVIATING = {
    r"test_scan_sum": "onnx.reference does not run Scan of version 8",
    r"test_scatter_with(out)?_axis": "onnx.reference does not know Scatter, which ScatterElements took over from",
    r"test_(affine_grid_2d.*|range_float16.*)_expanded": "kernels read what has the shape that other values say",
}  # fmt: skip


def cases() -> Iterator[tuple[str, Any, list[np.ndarray], list[np.ndarray], float, float]]:
    """(name, model, inputs, outputs, rtol, atol) where arrays go in and come out and nothing but the fallback can run them; random numbers
    have no one right value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    for case in found:
        if case.model is None or "bernoulli" in case.name or not any(entry.domain in ("", "ai.onnx") for entry in case.model.opset_import):
            continue
        values = (*case.model.graph.input, *case.model.graph.output)
        if not all(v.type.WhichOneof("value") == "tensor_type" and v.type.tensor_type.elem_type != TensorProto.STRING for v in values):
            continue
        try:
            load(case.model)
        except ClconvError:
            inputs, outputs = ([_array(value) for value in part] for part in case.data_sets[0])
            yield case.name, case.model, inputs, outputs, case.rtol, case.atol


def _array(value: Any) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def disagreement(model: Any, inputs: list[np.ndarray], outputs: list[np.ndarray], rtol: float, atol: float) -> str | None:
    """What is wrong, or None. What kernels compute is float, also where ONNX calls it whole numbers or truth values."""
    try:
        net = load(model, fallback="host")
        run = clconv.compile(net, {name: array.shape for name, array in zip(net.dimensions, inputs, strict=True)})
        results = run(*inputs)
        for result, wanted in zip(results if isinstance(results, tuple) else (results,), outputs, strict=True):
            if result.dtype not in (wanted.dtype, np.float32):
                return f"gives {result.dtype} instead of {wanted.dtype}"
            half = 2.0**-10 if wanted.dtype == np.float16 else 0.0  # an ulp of 1: what is stored between steps is rounded
            np.testing.assert_allclose(result.get().astype(wanted.dtype), wanted, max(rtol, 2 * half), max(atol, half))
    except (ClconvError, AssertionError) as error:
        return str(error).strip()
    return None


@pytest.mark.exhaustive
def test_every_case(queue: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        wrong = {name: disagreement(*rest) for name, *rest in cases()}
    assert len(wrong) >= 600
    deviating = {name for name in wrong if any(re.fullmatch(pattern, name) for pattern in DEVIATING)}
    unexpected = {name: said for name, said in wrong.items() if said is not None and name not in deviating}
    assert not unexpected, "\n".join(f"{name}: {said[:300]}" for name, said in unexpected.items() if said)
    mended = [name for name in deviating if wrong[name] is None]
    assert not mended, f"these pass now: {', '.join(mended)}"
