"""The exceptions of clconv: every message says what was asked, which rule broke, both values, and what to do."""

from __future__ import annotations

LONGEST = 4000
"""Characters of an OnnxError."""


def printable(text: str | bytes) -> str:
    """Without what a terminal would act upon. A protocol buffer gives bytes for text that is no UTF-8.

    >>> printable("a\\x1b[2J")
    'a\\\\x1b[2J'
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class ClconvError(Exception):
    """Base of every exception that clconv raises on purpose."""


class GeometryError(ClconvError, ValueError):
    """Sizes or attributes that do not fit together (a window larger than its input, channels that do not divide)."""


class ArrayError(ClconvError, TypeError):
    """An array that cannot be taken: wrong type, dtype, device or rank. The message ends with the fix."""


class UnsupportedError(ClconvError, ValueError):
    """A well-formed request that no algorithm takes, or that exceeds a limit stated in the documentation."""


class DeviceError(ClconvError, RuntimeError):
    """No OpenCL device, no device of the given name, or a device that ran out of memory."""


class TemplateError(ClconvError):
    """A kernel template that could not be rendered; carries the place in the template and how to reproduce it."""


class BuildError(ClconvError):
    """OpenCL C that the driver's compiler refused; carries the log, the numbered source and how to reproduce it."""


class CheckpointError(ClconvError, ValueError):
    """A weights or checkpoint file whose names or shapes do not match the network."""


class DataError(ClconvError, ValueError):
    """A data file that is missing, damaged, or of another format than expected."""


class FallbackWarning(UserWarning):
    """Parts of an ONNX file are computed on the host, because the caller allowed it."""


class OnnxError(ClconvError, ValueError):
    """An ONNX file that is damaged, breaks ONNX's rules, or uses what is not supported; or a network that ONNX cannot hold.

    The message shows names of the file escaped, and leaves the middle out where it is longer than LONGEST.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > LONGEST:
            text = f"{text[: LONGEST * 3 // 4]} ... {text[5 - LONGEST // 4 :]}"
        return printable(text)
