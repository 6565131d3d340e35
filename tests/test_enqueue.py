"""One list of bound launches, one finish: what it costs the host to hand a launch to the device."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyopencl as cl

import clconv
import clconv.functional as F
from tests.functional_support import send
from tests.support import host_seconds, least_median

MOST_SECONDS = 4e-6
LAUNCHES = 200


class Chain(clconv.nn.Module):
    """So many launches on a map of four positions, which take the device no time."""

    def forward(self, input: Any) -> Any:
        for _ in range(LAUNCHES):
            input = F.max_pool2d(input, 3, 1, 1)
        return input


def test_a_launch_of_a_compiled_run_costs_little_host_time(queue: Any) -> None:
    """At most 4 us; twice that where more processes want to run than there are processors, which then run at about half their speed.

    The device is held back by an event meanwhile: the host's work is the same, but nobody fights for its processor.
    """
    x = send(queue, np.zeros((1, 8, 2, 2), np.float32))
    run = clconv.compile(Chain(), x.shape, queue, persistent=False)
    assert run.launch_count >= LAUNCHES
    out = run(x)

    def seconds() -> float:
        queue.finish()
        held = cl.UserEvent(queue.context)
        cl.enqueue_marker(queue, [held])
        taken = host_seconds(lambda: run(x, out=out))
        held.set_status(cl.command_execution_status.COMPLETE)
        return taken

    crowded = os.getloadavg()[0] > (os.cpu_count() or 1)
    most = MOST_SECONDS * (2 if crowded else 1)
    best = least_median(queue, seconds, most * run.launch_count) / run.launch_count
    assert best <= most, f"{best * 1e6:.1f} us"
