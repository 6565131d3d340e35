"""What becomes of one mutant: refused, or loaded, run, and compared with ONNX Runtime."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime

import clconv
from clconv.errors import ClconvError, OnnxError
from tests.fuzz.deviations import CANCELLING, CANCELS, JUMPING, JUMPS, alternatives, up_to
from tests.fuzz.mutate import Mutant

BUDGET = 2**28
MARGIN = 2e-5
"""Of the largest result: sums of a few hundred products in float32, through a handful of layers."""
LONG = 2**14
"""Terms from which on a sum's own bound counts: straight summation loses up to terms * 2**-24."""
CANCELLED = 10
"""Times that what is subtracted must exceed what is left of it, for the difference to be mostly rounding."""
HALF = 2e-3
"""Of float16's results."""

Stages = Callable[[str], None]
Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Verdict:
    """`kind` is one of KINDS; `said` a refusal's or a failure's sentence."""

    kind: str
    said: str = ""


KINDS = {
    "agreed": "loaded, ran, and agreed with ONNX Runtime",
    "refused": "refused with an OnnxError",
    "beyond": "loaded, but refused when compiled",
    "open": "loaded; some input must be known before it can run",
    "alone": "loaded and ran; ONNX Runtime refuses it",
    "deviated": "differs from ONNX Runtime for a reason that is known",
    "failed": "FAILED",
}


def judge(mutant: Mutant, stage: Stages) -> Verdict:
    """`stage` is told what is about to be done, so that a process that dies is known to have died there."""
    stage("load")
    try:
        net = clconv.onnx.load(mutant.data, max_bytes=BUDGET)
    except OnnxError as error:
        return Verdict("refused", str(error)) if str(error) else Verdict("failed", "an OnnxError that says nothing")
    except Exception as error:
        return Verdict("failed", f"load: {_shown(error)}")
    if any(net.types.get(name) not in ("float32", "float16") for name in net.dimensions) or net.host_inputs():
        return Verdict("open")
    shapes = {name: tuple(n if isinstance(n, int) else 2 for n in sizes) for name, sizes in net.dimensions.items()}
    stage("run")
    try:
        run = clconv.compile(net, shapes, reuse=True, tuned=False)
        arrays = inputs_of(mutant, net, shapes)
        given = run(*arrays)
        results = [array.get() for array in (given if isinstance(given, tuple) else (given,))]
        if not all(np.isfinite(result).all() for result in results):
            # Minimal filtering spreads what is not finite over a tile, as documented.
            given = clconv.compile(net, shapes, reuse=True, tuned=False, strict=True)(*arrays)
            results = [array.get() for array in (given if isinstance(given, tuple) else (given,))]
    except ClconvError as error:
        return Verdict("beyond", str(error)) if str(error) else Verdict("failed", f"a {type(error).__name__} that says nothing")
    except Exception as error:
        return Verdict("failed", f"run: {_shown(error)}")
    stage("ONNX Runtime")
    inputs = dict(zip(net.dimensions, arrays, strict=True))
    try:
        expected = by_onnx_runtime(mutant.data, inputs, list(net.output_names))
    except Exception as error:
        return Verdict("alone", str(error))
    terms = max(array.size for array in arrays)
    margin = MARGIN if terms < LONG else terms * 2**-24
    difference = disagreement(results, expected, margin)
    if difference is None:
        return Verdict("agreed")
    proto = onnx.load_model_from_string(mutant.data)
    for reason, data in alternatives(proto):
        try:
            rewritten = by_onnx_runtime(data, inputs, list(net.output_names), as_written=True)
        except Exception:  # it does not take the other way: the difference stands
            continue
        if disagreement(results, rewritten, margin) is None:
            return Verdict("deviated", reason)
    if _agreed_up_to(proto, JUMPING, shapes, inputs, margin) is not None:
        return Verdict("deviated", JUMPS)
    subtracted = _agreed_up_to(proto, CANCELLING, shapes, inputs, margin)
    if subtracted is not None and _largest(subtracted) > CANCELLED * _largest(expected):
        return Verdict("deviated", CANCELS)
    return Verdict("failed", f"differs from ONNX Runtime: {difference}")


def _agreed_up_to(
    proto: Any, operators: tuple[str, ...], shapes: dict[str, tuple[int, ...]], inputs: dict[str, np.ndarray], margin: float
) -> Arrays | None:
    """What nodes of `operators` are given, if both agree on that."""
    data = up_to(proto, operators)
    if data is None:
        return None
    net = clconv.onnx.load(data, max_bytes=BUDGET)
    given = clconv.compile(net, shapes, reuse=True, tuned=False)(*inputs.values())
    results = [array.get() for array in (given if isinstance(given, tuple) else (given,))]
    return results if disagreement(results, by_onnx_runtime(data, inputs, list(net.output_names)), margin) is None else None


def _largest(arrays: Arrays) -> float:
    return max((float(np.abs(array, dtype=np.float64).max(initial=0.0)) for array in arrays), default=0.0)


def inputs_of(mutant: Mutant, net: Any, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """Quarters, whose sums of products are exact."""
    rng = np.random.default_rng(mutant.number)
    return [(rng.integers(-8, 9, shape) / 4).astype(net.input_type(name)) for name, shape in shapes.items()]


def by_onnx_runtime(data: bytes, inputs: dict[str, np.ndarray], outputs: list[str], as_written: bool = False) -> Arrays:
    """The outputs on the CPU; `as_written` keeps ONNX Runtime from joining operations."""
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found: Arrays = session.run(outputs, inputs)
    return found


def disagreement(results: Arrays, expected: Arrays, margin: float = MARGIN) -> str | None:
    """What differs by more than `margin` of the largest, or None. NaN and infinities must be in the same places."""
    for number, (ours, theirs) in enumerate(zip(results, expected, strict=True)):
        if ours.shape != theirs.shape:
            return f"output {number} has shape {ours.shape} instead of {theirs.shape}"
        a, b = ours.astype(np.float64), np.asarray(theirs).astype(np.float64)
        finite = np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
            return f"output {number}: other elements are not finite: {_some(a, b, ~(np.isfinite(a) & finite))}"
        largest = float(np.abs(b[finite]).max(initial=0.0))
        allowed = HALF if ours.dtype == np.float16 or np.asarray(theirs).dtype == np.float16 else margin
        wrong = finite & ~(np.abs(np.where(finite, a - np.where(finite, b, 0), 0)) <= allowed * largest + 1e-30)
        if wrong.any():
            return f"output {number}: {int(wrong.sum())} of {wrong.size} elements, such as {_some(a, b, wrong)}"
    return None


def _some(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> str:
    return ", ".join(f"{x:.7g} for {y:.7g}" for x, y in list(zip(a[where], b[where], strict=True))[:3])


def _shown(error: Exception) -> str:
    """The last frames of a traceback, and the error."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__}: {str(error)[:300]} ({places})"
