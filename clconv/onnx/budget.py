"""How much memory a file may ask for. A file of a hundred bytes can ask for terabytes, so what is asked is counted before it is made."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from clconv.errors import OnnxError
from clconv.tensor import MOST_ELEMENTS

FOLDED_BYTES = 2**30
"""What folding on the host may make where nobody says more, besides as much as the file's own tensors take."""

STEPS = 2**25
"""What is looped over on the host may take that many iterations, a million of which are a second or so."""

MOST_AXES = 32
"""numpy, which works shapes out, has 64."""


def check_shape(shape: tuple[int, ...], what: str) -> None:
    """Refuses tensors that no kernel could address, also those that another axis leaves empty; `what` begins the error: "Expand: gives"."""
    elements = math.prod(n for n in shape if n)
    if elements > MOST_ELEMENTS or len(shape) > MOST_AXES:
        shown = f"({', '.join(map(str, shape[:8]))}{', ...' if len(shape) > 8 else ''})"
        raise OnnxError(
            f"{what} a tensor of shape {shown}; kernels address at most {MOST_ELEMENTS} elements, on {MOST_AXES} axes: take a smaller batch"
        )


def machine_bytes() -> int:
    """The machine's memory; 8 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**33


@dataclass
class Budget:
    """Bytes that may be made and those that are; steps of loops likewise.

    >>> budget = Budget(100)
    >>> budget.take(60, "first")
    >>> budget.take(60, "second")
    Traceback (most recent call last):
    clconv.errors.OnnxError: second: asks for 60 bytes, 60 of the 100 that the file may take are taken; load(..., max_bytes=) allows more
    """

    most: int
    used: int = 0
    steps: int = 0

    def take(self, nbytes: int, what: str) -> None:
        if self.used + nbytes > self.most:
            raise OnnxError(
                f"{what}: asks for {nbytes} bytes, {self.used} of the {self.most} that the file may take are taken; "
                "load(..., max_bytes=) allows more"
            )
        self.used += nbytes

    def work(self, steps: int, what: str) -> None:
        self.steps += steps
        if self.steps > STEPS:
            raise OnnxError(
                f"{what}: would take {steps} steps on the host, where all constants of a file together may take {STEPS}; "
                "compute it before the file is written"
            )


def check_max_bytes(max_bytes: int | None) -> None:
    if max_bytes is not None and (not isinstance(max_bytes, int) or isinstance(max_bytes, bool) or max_bytes < 1):
        raise OnnxError(f"load: max_bytes must be a number of bytes from 1 on, or None, got {max_bytes!r}")


def for_tensors(max_bytes: int | None) -> Budget:
    """For what the file holds: by default half of what the machine has."""
    return Budget(machine_bytes() // 2 if max_bytes is None else max_bytes)


def for_folding(max_bytes: int | None, tensors: int) -> Budget:
    """For what is folded on the host, the file's own tensors, of that many bytes, taken."""
    return Budget(FOLDED_BYTES + 2 * tensors if max_bytes is None else max_bytes, tensors)
