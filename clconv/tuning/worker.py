"""Trials in a process of their own: a kernel that hangs or crashes takes that process with it, and the next trial gets a new one.

The two processes exchange pickled messages over the child's standard input and output. The child leaves when its input ends, even in the
middle of an endless kernel, and does not hear Ctrl-C, which is for the parent to deal with.
"""

from __future__ import annotations

import os
import pickle
import queue as queues
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from clconv.device import DeviceTraits
from clconv.errors import ClconvError, DeviceError
from clconv.runtime.context import queue_like
from clconv.tuning.patience import SLICE_SECONDS, Patience, reader
from clconv.tuning.trial import Laboratory, Trial

PATIENCE: Mapping[str, float] = {"start": 120.0, "build": 45.0, "run": 10.0, "check": 120.0, "contest": 60.0}
"""Seconds that each phase of a trial may take before it counts as hung."""


class Rejected(ClconvError):
    """A candidate that does not build, hangs, crashes, or computes something else; the message says which."""


class Hung(Rejected):
    """A phase took longer than it may, and the process was killed."""


class Crashed(Rejected):
    """The process ended by itself."""


class Worker:
    """The parent's side. Use it as a context manager; the process starts at the first trial, and again after one that was rejected so.

    `laboratory` is what runs in the process: a class that takes a queue and whom to tell of phases, and whose methods `ask` calls. On a
    busy machine each phase may take `stretched` times as long.
    """

    def __init__(
        self,
        traits: DeviceTraits,
        patience: Mapping[str, float] | None = None,
        laboratory: Callable[..., object] = Laboratory,
        stretched: float = 1.0,
    ) -> None:
        self.traits, self.laboratory, self.stretched = traits, laboratory, stretched
        self.patience = {**PATIENCE, **(patience or {})}
        self.started = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queues.SimpleQueue[Any] = queues.SimpleQueue()
        self._errors: IO[bytes] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def try_out(self, trial: Trial, hopeless: float = float("inf")) -> float:
        """As Laboratory.try_out; Rejected says why not."""
        return float(self.ask("try_out", trial, hopeless))

    def contest(self, trials: Sequence[Trial], seconds: float) -> list[float]:
        """As Laboratory.contest; Rejected where the process does not survive it."""
        return list(self.ask("contest", tuple(trials), seconds, extra=seconds))

    def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def ask(self, what: str, *arguments: Any, extra: float = 0.0) -> Any:
        """What the laboratory's method `what` answers. Rejected where it raises, Hung or Crashed where it does not come to that; `extra`
        seconds are added to the patience."""
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            pickle.dump((what, arguments), process.stdin)
            process.stdin.flush()
        except OSError as error:
            raise Crashed(self._death()) from error
        phase = "build"
        while True:
            kind, content = self._answer(phase, extra)
            if kind == "phase":
                phase = content
            elif kind == "answer":
                return content
            else:
                raise Rejected(content)

    def _answer(self, phase: str, extra: float = 0.0) -> tuple[str, Any]:
        limit = self.patience[phase] + extra
        assert self._process is not None
        patience, answers = Patience(limit, reader(self._process.pid), self.stretched), self._answers
        while True:
            part = max(0.0, min(patience.left, SLICE_SECONDS))
            try:
                answer = answers.get(timeout=part)
                break
            except queues.Empty:
                patience.spend(part)
            if patience.is_over:
                self.stop()
                raise Hung(f"hangs: no end of phase {phase!r} after {limit:.3g} s; its process was killed")
        if answer is None:
            raise Crashed(self._death())
        kind, content = answer
        return kind, content

    def _death(self) -> str:
        """What is known of a process that ended by itself."""
        process, told = self._process, ""
        code = process.wait() if process else None
        if self._errors is not None:
            self._errors.seek(0)
            told = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.stop()
        return f"crashes: its process ended with code {code}{f' ({told})' if told else ''}"

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        folder = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        process = self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from clconv.tuning.worker import main; main()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        self._answers = queues.SimpleQueue()
        threading.Thread(target=_collect, args=(process.stdout, self._answers), daemon=True).start()
        self.started += 1
        try:
            pickle.dump((self.traits, self.laboratory), process.stdin)
            process.stdin.flush()
            kind, content = self._answer("start")
        except (OSError, Rejected) as error:
            self.stop()
            raise DeviceError(f"the process for trials does not start: {error}") from error
        if kind != "answer":
            self.stop()
            raise DeviceError(f"the process for trials: {content}")
        return process


def _collect(stream: IO[bytes], answers: queues.SimpleQueue[Any]) -> None:
    """Messages from the child; None when it has ended."""
    try:
        while True:
            answers.put(pickle.load(stream))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        answers.put(None)


def main() -> None:
    """The child's side: traits and the laboratory first, then requests, until the input ends."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # drivers and compilers may print
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def send(kind: str, content: Any) -> None:
        pickle.dump((kind, content), output)
        output.flush()

    requests: queues.SimpleQueue[Any] = queues.SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    try:
        traits, kind = requests.get()
        laboratory = kind(queue_like(traits), lambda name: send("phase", name))
    except ClconvError as error:
        send("error", str(error))
        return
    send("answer", None)
    while True:
        what, arguments = requests.get()
        try:
            send("answer", getattr(laboratory, what)(*arguments))
        except MemoryError:
            send("error", "needs more memory than there is")
        except Exception as error:  # whatever a candidate raises, it is the candidate that fails
            send("error", f"{type(error).__name__}: {error}")


def _receive(requests: queues.SimpleQueue[Any]) -> None:
    """Requests from the parent. When there is no parent any more, the process ends at once, even inside a kernel that never does."""
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(0)
