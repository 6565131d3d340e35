"""Whether results may be written where inputs lie: `out=` that names memory the run still reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clconv.errors import ArrayError
from clconv.graph.schedule import Step, overwrites
from clconv.runtime import arrays


def check_overlap(steps: Sequence[Step], names: Sequence[str], inputs: Sequence[Any], results: Sequence[Any]) -> None:
    """Refuse results that share memory with one another, or with an input that is still read when they are written.

    A result may go where an input was that nothing reads any more, and element-wise steps may write each element where they read it,
    as in `relu(x, out=x)` and the running statistics of batch_norm.
    """
    for i, result in enumerate(results):
        for name, array in zip(names, inputs, strict=True):
            if arrays.overlap(result, array) and not _may_overwrite(steps, name, i, arrays.same_memory(result, array)):
                raise ArrayError(f"out: its memory overlaps that of {name}, which is still read when it is written; give one of its own")
        if any(arrays.overlap(result, other) for other in results[:i]):
            raise ArrayError(f"out: arrays {i + 1} and an earlier one share memory; give each result one of its own")


def _may_overwrite(steps: Sequence[Step], name: str, output: int, same: bool) -> bool:
    writers = [k for k, step in enumerate(steps) if any(value.root.output == output for value in step.outputs)]
    readers = [k for k, step in enumerate(steps) for value in step.inputs if value.root.origin == "input" and value.root.content == name]
    first = min(writers, default=-1)
    if all(k < first for k in readers):
        return True
    if not same or len(writers) != 1 or any(k > first for k in readers):
        return False
    step = steps[writers[0]]
    own = [value for value in step.inputs if value.root.origin == "input" and value.root.content == name]
    written = next(value for value in step.outputs if value.root.output == output)
    return overwrites(step) and all(value.spec.elements == written.spec.elements for value in own)
