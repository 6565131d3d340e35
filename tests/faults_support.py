"""Making calls into OpenCL fail on purpose: the k-th of its kind, or all from there on."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyopencl as cl
import pyopencl._cl as _cl
import pytest

from clconv.errors import ClconvError, DeviceError

CODES: dict[str, tuple[type[cl.Error], int]] = {
    "buffer": (cl.MemoryError, cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE),
    "sub-buffer": (cl.MemoryError, cl.status_code.OUT_OF_HOST_MEMORY),
    "program": (cl.MemoryError, cl.status_code.OUT_OF_HOST_MEMORY),
    "build": (cl.RuntimeError, cl.status_code.OUT_OF_RESOURCES),
    "kernel": (cl.MemoryError, cl.status_code.OUT_OF_HOST_MEMORY),
    "argument": (cl.RuntimeError, cl.status_code.OUT_OF_RESOURCES),
    "launch": (cl.MemoryError, cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE),
    "copy": (cl.RuntimeError, cl.status_code.OUT_OF_RESOURCES),
    "fill": (cl.RuntimeError, cl.status_code.OUT_OF_RESOURCES),
    "marker": (cl.MemoryError, cl.status_code.OUT_OF_HOST_MEMORY),
    "finish": (cl.RuntimeError, cl.status_code.OUT_OF_RESOURCES),
    "wait": (cl.RuntimeError, cl.status_code.OUT_OF_RESOURCES),
    "flush": (cl.MemoryError, cl.status_code.OUT_OF_HOST_MEMORY),
    "queue": (cl.MemoryError, cl.status_code.OUT_OF_HOST_MEMORY),
    "context": (cl.RuntimeError, cl.status_code.DEVICE_NOT_AVAILABLE),
    "platforms": (cl.RuntimeError, cl.status_code.OUT_OF_HOST_MEMORY),
}
"""What each kind of call raises: allocations lack memory, the others resources of one kind or another."""

# Where the calls are: a class whose construction is meant, a method of a class, or a function of the module.
CLASSES = {"buffer": (cl, "Buffer"), "program": (_cl, "_Program"), "kernel": (cl, "Kernel"), "queue": (cl, "CommandQueue"),
           "context": (cl, "Context")}  # fmt: skip
METHODS = {"sub-buffer": (cl.Buffer, "__getitem__"), "build": (_cl._Program, "_build"), "argument": (cl.Kernel, "set_arg"),
           "finish": (cl.CommandQueue, "finish"), "flush": (cl.CommandQueue, "flush"), "wait": (cl.Event, "wait")}  # fmt: skip
FUNCTIONS = {"launch": (cl, "enqueue_nd_range_kernel"), "copy": (cl, "enqueue_copy"), "fill": (cl, "enqueue_fill_buffer"),
             "marker": (cl, "enqueue_marker"), "platforms": (cl, "get_platforms")}  # fmt: skip


def opencl_error(kind: str, code: int | None = None) -> cl.Error:
    raised, usual = CODES[kind]
    return raised(_cl._ErrorRecord(msg="planted", code=usual if code is None else code, routine=f"planted_{kind}"))


class Faults:
    """Counts the calls of every kind and makes those numbered `first` to `last` of `kind` raise instead of happening."""

    def __init__(self, kind: str = "", first: int = 0, last: int | None = None, code: int | None = None) -> None:
        self.kind, self.code = kind, code
        self.first, self.last = first, first if last is None else last
        self.calls: Counter[str] = Counter()
        self.raised = 0

    def arm(self, kind: str, number: int) -> None:
        """Make call `number` of `kind` from now on raise."""
        self.kind, self.first = kind, self.calls[kind] + number
        self.last = self.first

    def wrapped(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def replacement(*args: Any, **kwargs: Any) -> Any:
            if kind == "kernel" and args[1].startswith("_"):  # pyopencl looks for an attribute of a program
                return call(*args, **kwargs)
            self.calls[kind] += 1
            if kind == self.kind and self.first <= self.calls[kind] <= self.last:
                self.raised += 1
                raise opencl_error(kind, self.code)
            return call(*args, **kwargs)

        return replacement


def _class_of(original: type, construct: Callable[..., Any]) -> type:
    """Stands for `original` where it is called or asked for instances."""

    class Meta(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return construct(*args, **kwargs)

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, original)

    return Meta(original.__name__, (), {})


@contextlib.contextmanager
def injected(faults: Faults) -> Iterator[Faults]:
    """Every call into OpenCL inside passes through `faults`."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, (owner, name) in {**METHODS, **FUNCTIONS}.items():
            patch.setattr(owner, name, faults.wrapped(kind, getattr(owner, name)))
        for kind, (owner, name) in CLASSES.items():
            original = getattr(owner, name)
            patch.setattr(owner, name, _class_of(original, faults.wrapped(kind, original)))
        yield faults


def counted(action: Callable[[], Any]) -> Counter[str]:
    """How many calls of each kind `action` makes when none fails."""
    with injected(Faults()) as faults:
        action()
    return faults.calls


def numbers(count: int, most: int) -> list[int]:
    """1 to `count`; of more than `most`, that many spread evenly, the first and the last among them."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / (most - 1)) for i in range(most)})


def each_fault(action: Callable[[], Any], kinds: str, most: int = 10_000) -> Iterator[tuple[str, int]]:
    """Makes the calls of `action` fail one after the other; yields (kind, number) after each, for the caller to look at what is left.

    Every fault must surface as a ClconvError that a person can read; `action`, first taken without, must make calls of all the kinds.
    """
    action()
    calls = counted(action)
    for kind in kinds.split():
        assert calls[kind], f"no call of kind {kind}: {dict(calls)}"
        for number in numbers(calls[kind], most):
            try:
                with injected(Faults(kind, number)) as faults:
                    action()
            except ClconvError as error:
                check_message(error, kind)
            else:
                pytest.fail(f"{kind} {number} of {calls[kind]}: no error, {faults.raised} raised; all calls: {dict(faults.calls)}")
            yield kind, number


def check_message(error: ClconvError, kind: str) -> None:
    """Device, what was tried, the driver's own word, and what to do; raised from the driver's error, so that a traceback shows both."""
    text = str(error)
    assert isinstance(error, DeviceError), f"{type(error).__name__}: {text}"
    code = cl.status_code.to_string(CODES[kind][1])
    assert ": cannot " in text and code in text and f"planted_{kind}" in text, text
    assert "use a smaller batch" in text or "another" in text, text
    assert "object at 0x" not in text and "\n" not in text, text
    causes = itertools.takewhile(lambda e: e is not None, _chain(error))
    assert any(isinstance(cause, cl.Error) for cause in causes)


def _chain(error: BaseException | None) -> Iterator[BaseException | None]:
    while True:
        yield error
        error = error.__cause__ if error is not None else None
