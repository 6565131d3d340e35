"""The progress bar of Trainer.fit, on a terminal; nowhere else a word."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from clconv.train.history import Epoch


class Silence:
    """No progress: what fit reports to when nobody looks."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def begin(self, epoch: int, last: int, batches: int, done: int) -> None:
        """Epoch number `epoch` of `last` begins, with `done` of its batches behind it."""

    def advance(self, loss: float | None) -> None:
        """One more batch; `loss` is the epoch's mean so far where it is known."""

    def finish(self, epoch: Epoch) -> None:
        """The epoch is over."""


class Bar(Silence):
    """A bar for the running epoch, and above it a line for each one that is over."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        text, loss = TextColumn("{task.description}"), TextColumn("{task.fields[loss]}")
        self._progress = Progress(text, BarColumn(), MofNCompleteColumn(), loss, TimeRemainingColumn(), console=console, transient=True)
        self._task: Any = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, epoch: int, last: int, batches: int, done: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(f"epoch {epoch}/{last}", total=batches, completed=done, loss="")

    def advance(self, loss: float | None) -> None:
        self._progress.update(self._task, advance=1, loss="" if loss is None else f"loss {loss:.4f}")

    def finish(self, epoch: Epoch) -> None:
        self._progress.console.print(str(epoch), highlight=False)


def reporter(progress: bool) -> Silence:
    """A bar if one is wanted and the standard output is a terminal."""
    if not progress:
        return Silence()
    from rich.console import Console

    console = Console()
    return Bar(console) if console.is_terminal else Silence()
