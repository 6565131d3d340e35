"""Parameters after a training step that failed halfway: what the device changed in place, undone where that is possible."""

from __future__ import annotations

from collections.abc import Sequence

from clconv.graph.parameter import Parameter
from clconv.runtime.resident import Resident


def restore(written: Sequence[tuple[Parameter, Resident]]) -> str:
    """Make every parameter's value and its memory agree again after a failed run that had overwritten these.

    Where all values of before the run are held on the host too, they become current again, as if the run had not been tried. Else some
    exist no more, and what the device holds now counts for each; the sentence that comes back says so ("" otherwise).
    """
    if all(parameter.outlives(resident) for parameter, resident in written):
        for parameter, _ in written:
            parameter.changed()
        return ""
    for parameter, resident in written:
        parameter.advance(resident)
    names = ", ".join(parameter.name or "(unnamed)" for parameter, _ in written[:3])
    return (
        f"the step stopped halfway: {len(written)} parameters ({names}{', ...' if len(written) > 3 else ''}) have taken it and the others "
        "have not; load a checkpoint to go back to a whole step"
    )
