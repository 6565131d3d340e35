"""Steps of a run that may be on their way at once: the branches between two steps that all others wait for, or are waited for by.

A driver whose threads sleep between two kernels, one of which waits for the other, loses 10 to 40 us each time. Where a graph forks, the
kernels of one branch fill the gaps that another leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyopencl as cl

from clconv.runtime.launch import Launch


@dataclass(frozen=True)
class Branched:
    """For each step: the steps it waits for (numbers), all that are before it (as bits), and whether each other is before or after it.

    >>> fork = Branched.of([(), (0,), (0,), (0, 1, 2)])   # a step, two that read its result, and one that reads all three
    >>> fork.waits, fork.alone
    (((), (0,), (0,), (1, 2)), (True, False, False, True))
    >>> fork.may_meet((0, 1), (1, 3)), fork.may_meet((0,), (1, 3)), fork.may_meet((1,), (2,))
    (True, False, True)
    """

    waits: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]
    alone: tuple[bool, ...]

    @classmethod
    def of(cls, waits: Sequence[Sequence[int]]) -> Branched:
        """From what each step waits for; waits that follow from others are left out."""
        before: list[int] = []
        direct: list[tuple[int, ...]] = []
        for own in waits:
            followed = 0
            for each in own:
                followed |= before[each]
            direct.append(tuple(sorted(each for each in set(own) if not followed >> each & 1)))
            for each in own:
                followed |= 1 << each
            before.append(followed)
        after = [0] * len(before)
        for number in reversed(range(len(before))):
            for each in direct[number]:
                after[each] |= after[number] | 1 << number
        alone = tuple((before[number] | after[number]).bit_count() == len(before) - 1 for number in range(len(before)))
        return cls(tuple(direct), tuple(before), alone)

    @classmethod
    def in_order(cls, count: int) -> Branched:
        """One step after the other."""
        return cls.of([(number - 1,) if number else () for number in range(count)])

    def may_meet(self, one: Sequence[int], other: Sequence[int]) -> bool:
        """Whether some of the steps `one` may run when some of `other` have run and others have not, so that memory cannot be shared."""
        return not (self._all_before(one, other) or self._all_before(other, one))

    def _all_before(self, first: Sequence[int], then: Sequence[int]) -> bool:
        return all(self.before[later] >> each & 1 for each in first for later in then)


class SideBySide:
    """A run's launches on two queues: on the caller's what stands alone, so that whatever comes before and after is ordered as ever, and
    the branches on one without an order, held together by events."""

    def __init__(self, queue: cl.CommandQueue, branched: Branched, counts: Sequence[int]) -> None:
        """`counts`: launches of each step, which follow one another."""
        self.queue = queue
        self.side = cl.CommandQueue(queue.context, queue.device, cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE)
        self._places: list[tuple[bool, tuple[int, ...]]] = []
        last: list[int] = []
        for number, (count, waits) in enumerate(zip(counts, branched.waits, strict=True)):
            aside = not branched.alone[number]
            after = tuple(last[each] for each in waits if aside or not branched.alone[each])
            for _ in range(count):
                self._places.append((aside, after))
                after = (len(self._places) - 1,) if aside else ()
            last.append(len(self._places) - 1)
        awaited = {each for _, after in self._places for each in after}
        self._ends = tuple(i for i, (aside, _) in enumerate(self._places) if aside and i not in awaited)

    def enqueue(self, launches: Sequence[Launch], wait_for: list[cl.Event] | None, events: list[cl.Event]) -> cl.Event:
        """Adds the launches' events to `events` as they come; the event of it all is the result."""
        queue, side, enqueue, was_aside = self.queue, self.side, cl.enqueue_nd_range_kernel, False
        begin: list[cl.Event] | None = None
        for launch, (aside, after) in zip(launches, self._places, strict=True):
            if aside is not was_aside:
                (side if was_aside else queue).flush()  # or else the one queue might wait for what the other has not been handed
                was_aside = aside
            waits = [events[each] for each in after] or None
            if waits is None and aside:
                if begin is None:
                    begin = [cl.enqueue_marker(queue, wait_for=wait_for)]
                    queue.flush()
                waits = begin
            elif waits is None and not events:
                waits = wait_for
            events.append(enqueue(side if aside else queue, launch.kernel, launch.global_size, launch.local_size, None, waits))
        if not self._ends:
            return events[-1]
        side.flush()
        return cl.enqueue_marker(queue, wait_for=[events[each] for each in self._ends])

    def settle(self) -> None:
        """Wait for the branches that were enqueued."""
        self.side.finish()
