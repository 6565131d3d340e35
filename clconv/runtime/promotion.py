"""When a run becomes one launch: at once, never, or after it has been called often.

The kernel of one launch holds the text of all others, so building it takes as long as all of them did. A run therefore begins with its
launches one by one. When it has been called often, a process of low priority builds the kernel into the driver's cache, from where a later
call takes it, which costs that call as much as loading any other network's kernels.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

from clconv.codegen.persistent import Joined
from clconv.device import DeviceTraits
from clconv.errors import ClconvError
from clconv.runtime.companion import OFTEN, Companion, most_companions
from clconv.runtime.persistent import Persistent, rehearsal
from clconv.runtime.programs import Programs

SEPARATE = "launches one by one"

log = logging.getLogger(__name__)


class Promotion:
    """Asked at each call of one run. `note` says what it came to, and why; what cannot be built is noted, never raised.

    `wanted`: True for one launch at once, False for never, None for when the run has been called often. `reason`: why it cannot be, as far
    as that is known beforehand.
    """

    def __init__(
        self,
        join: Callable[[], Joined | str],
        bind: Callable[[Joined], Persistent],
        programs: Programs,
        traits: DeviceTraits,
        wanted: bool | None,
        reason: str | None = None,
    ) -> None:
        """`join` gives the launches as one, or a sentence why they stay apart; `bind` is a method of whoever owns this object."""
        self._join, self._programs, self._traits = join, programs, traits
        self._bind = weakref.WeakMethod(bind)  # no cycle: the owner's memory is freed with its last user
        self._calls = 0
        self._joined: Joined | None = None
        self._companion: Companion | None = None
        self._is_decided = False
        self.persistent: Persistent | None = None
        self.note = f"{SEPARATE}, until {OFTEN} calls show that one for all is worth building"
        if wanted is False:
            self._stay("persistent=False")
        elif reason is not None:
            self._stay(reason)
        elif wanted:
            self._prepare()
            self._change()
        elif not most_companions(traits):
            self._stay("no other process may build one for all; persistent=True builds it when the network is compiled")

    def current(self) -> Persistent | None:
        """The one launch, if it has come to that by this call."""
        if not self._is_decided:
            self._calls += 1
            if self._calls >= OFTEN:
                self._advance()
        return self.persistent

    def _advance(self) -> None:
        """One stage further, where that can be had without waiting."""
        if self._joined is None:
            self._prepare()
        elif self._programs.has([self._joined.kernel.symbol]):
            self._change()
        elif self._companion is None:
            self._accompany(self._joined)
        elif self._companion.is_over and self._companion.has_succeeded:
            self._change()
        elif self._companion.is_over:
            self._stay("another process has failed to build one for all")

    def _prepare(self) -> None:
        try:
            joined = self._join()
        except ClconvError as error:
            self._fail(error)
            return
        if isinstance(joined, str):
            self._stay(joined)
        else:
            self._joined = joined

    def _accompany(self, joined: Joined) -> None:
        self._companion = Companion.humbly(self._traits, [joined.kernel], [rehearsal(joined)])
        if self._companion is not None:
            self.note = f"{SEPARATE}, while another process builds one for all"

    def _change(self) -> None:
        bind = self._bind()
        if self._joined is None or bind is None:
            return
        try:
            self.persistent = bind(self._joined)
        except ClconvError as error:
            self._fail(error)
        else:
            self._settle("one launch for all operations")

    def _fail(self, error: ClconvError) -> None:
        log.warning("launches stay apart: %s", str(error)[:2000])
        self._stay("one for all does not build: " + str(error).partition("\n")[0])

    def _stay(self, reason: str) -> None:
        self._settle(f"{SEPARATE}: {reason}")

    def _settle(self, note: str) -> None:
        self._is_decided, self._joined, self._companion, self.note = True, None, None, note
