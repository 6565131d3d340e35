"""A process that judges mutants, under limits of memory and time, so that whatever happens to it is seen and named from outside."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

MEMORY = 6 * 2**30
"""Of data, threads' stacks included."""

A_PROCESS = 4000
"""Mutants of one process: every kernel that it builds stays in it."""

STARTING = 120.0
SECONDS = 60.0
"""For one mutant with all kernels that it needs."""


@dataclass(frozen=True)
class Report:
    """What became of mutant `number`; `history` says how it was made."""

    number: int
    kind: str
    said: str
    history: tuple[str, ...]


def judge_all(seed: int, numbers: range, connection: Connection) -> None:
    """Sends ("made", history) of each mutant, ("stage", text) before each step, and ("report", Report) afterwards; None at the end."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _silence()
    from tests.fuzz.judge import judge
    from tests.fuzz.mutate import mutant

    for number in numbers:
        connection.send(("stage", "make"))
        made = mutant(seed, number)
        connection.send(("made", made.history))
        verdict = judge(made, lambda stage: connection.send(("stage", stage)))
        connection.send(("report", Report(number, verdict.kind, verdict.said, made.history)))
    connection.send(None)


def _silence() -> None:
    """What libraries print of broken models is not wanted; each worker takes one processor."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.environ |= {"CLCONV_COMPANIONS": "0", "CLCONV_TUNING_DB": "", "POCL_CPU_MAX_CU_COUNT": "1", "POCL_MAX_PTHREAD_COUNT": "1"}


def reports(seed: int, numbers: range, target: Callable[..., None] = judge_all, seconds: float = SECONDS) -> Iterator[Report]:
    """The reports on all these mutants. A process that dies or hangs is one on the mutant that it had, and a new one goes on behind it."""
    left = numbers
    while left:
        process, connection = _start(target, seed, left[:A_PROCESS])
        stage = "start"
        history: tuple[str, ...] = ()
        while True:
            ended, patience = "", STARTING if stage == "start" else seconds
            try:
                message = connection.recv() if connection.poll(patience) else ()
            except EOFError:
                process.join()
                ended = f"the process ended with {process.exitcode}"
            else:
                if message is None:
                    process.join()
                    break
                if message == ():
                    process.kill()
                    ended = f"nothing for {patience:.0f} s"
                elif message[0] == "report":
                    left = left[1:]
                    yield message[1]
                    history = ()
                elif message[0] == "made":
                    history = message[1]
                else:
                    stage = message[1]
            if ended:
                # What ONNX Runtime dies of is not clconv's fault.
                kind = "alone" if stage == "ONNX Runtime" else "failed"
                yield Report(left[0], kind, f"{stage}: {ended}", history)
                left = left[1:]
                break


def _start(target: Callable[..., None], seed: int, numbers: range) -> tuple[Any, Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(seed, numbers, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours
