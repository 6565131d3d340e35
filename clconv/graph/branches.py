"""What the steps of a run wait for, where it is not simply the step before."""

from __future__ import annotations

from collections.abc import Sequence

from clconv.graph.schedule import Step
from clconv.runtime.branched import Branched


def branched(steps: Sequence[Step]) -> Branched:
    """What the steps of a run, none of which changes a parameter, must wait for: whoever writes what they read.

    Several steps write one value only where each has a part of it, as in a concatenation.
    """
    writers: dict[int, list[int]] = {}
    waits: list[tuple[int, ...]] = []
    for number, step in enumerate(steps):
        waits.append(tuple(writer for value in step.inputs for writer in writers.get(id(value.root), ())))
        for value in step.outputs:
            writers.setdefault(id(value.root), []).append(number)
    return Branched.of(waits)
