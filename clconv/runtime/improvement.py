"""Better kernels for a run that took what was built already: another process builds them when the run has been called often."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from clconv.codegen.plan import KernelSource
from clconv.codegen.render import RenderedKernel
from clconv.device import DeviceTraits
from clconv.errors import ClconvError
from clconv.runtime.companion import MOST_BYTES, OFTEN, Companion, Rehearsal
from clconv.runtime.failure import size_text
from clconv.runtime.placed import PlacedStep
from clconv.runtime.programs import Programs
from clconv.runtime.texts import rendered_text

REUSED = "kernels that were built already go before better ones; run.retune() builds those"

log = logging.getLogger(__name__)


class Improvement:
    """Asked at each call of one run. `note` says what it came to; what stands in its way is noted, never raised."""

    def __init__(
        self,
        ideal: Callable[[], Sequence[PlacedStep]],
        used: Iterable[KernelSource],
        programs: Programs,
        traits: DeviceTraits,
        directory: str | None,
    ) -> None:
        """`ideal` gives the steps as they would be if everything were built; `used` are the kernels of the run as it is."""
        self._ideal, self._used, self._programs, self._traits, self._directory = ideal, frozenset(used), programs, traits, directory
        self._calls = 0
        self._is_over = self._differs = False
        self._missing: list[RenderedKernel] | None = None
        self._rehearsals: list[Rehearsal] = []
        self._companion: Companion | None = None
        self.note = f"{REUSED}, as does another process after {OFTEN} calls"

    def is_due(self) -> bool:
        """Whether the run had to do without kernels that are built by now, so that it had better choose again."""
        if self._is_over:
            return False
        self._calls += 1
        if self._calls < OFTEN:
            return False
        try:
            return self._advance()
        except ClconvError as error:
            self.fail(error)
            return False

    def fail(self, error: ClconvError) -> None:
        """The run stays as it is, for this reason."""
        log.warning("kernels that were built already stay in use: %s", str(error)[:2000])
        self._settle(f"{REUSED}: {str(error).partition(chr(10))[0]}")

    def _advance(self) -> bool:
        """One stage further, where that can be had without waiting."""
        if self._missing is None:
            self._missing = self._look()
        if not self._missing:
            self._settle("")
            return self._differs
        if any(rehearsal.nbytes > MOST_BYTES for rehearsal in self._rehearsals):
            self._settle(f"{REUSED}: another process would need more than {size_text(MOST_BYTES)}")
            return False
        if self._companion is None:
            self._companion = Companion.humbly(self._traits, self._missing, self._rehearsals)
            if self._companion is not None:
                self.note = f"{REUSED}, which another process does now"
            return False
        if not self._companion.is_over:
            return False
        if not self._companion.has_succeeded:
            self._settle(f"{REUSED}: another process has failed to")
            return False
        self._programs.kernels(self._missing)  # together, as they were built there: so they are found in the driver's cache
        self._settle("")
        return True

    def _look(self) -> list[RenderedKernel]:
        """The kernels that are missing for the best choices, and what launches them."""
        missing: dict[str, RenderedKernel] = {}
        sources = set()
        for step in self._ideal():
            sizes = {name: place.nbytes for name, place in step.operands.items()}
            for call in step.plan.calls if step.plan else ():
                kernel = rendered_text(call.source, self._directory)
                sources.add(call.source)
                if kernel.symbol not in missing and not self._programs.has([kernel.symbol]):
                    missing[kernel.symbol] = kernel
                    self._rehearsals.append(Rehearsal.of(kernel, call, sizes))
        self._differs = sources != self._used
        return list(missing.values())

    def _settle(self, note: str) -> None:
        self._is_over, self.note = True, note
        self._missing, self._rehearsals, self._companion = [], [], None
