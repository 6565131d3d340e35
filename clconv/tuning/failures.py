"""What `clconv doctor` found failing, so that `select` passes over it: one small file a device and driver among the cached files.

It is read once a process; where there is none, that costs one look at the disk. Another driver version has another file, so what an update
may have mended is tried again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

from clconv.device import DeviceTraits
from clconv.errors import DataError
from clconv.runtime.programs import cache_directory

FORMAT = 1


@dataclass(frozen=True)
class Failure:
    """An algorithm that failed on `date` (ISO); `what` says how, for people: "bwd_d computes something else".

    `dtype` is what it failed with: after "float32" nothing of the algorithm is trusted, after "float16" only what holds halves is not.
    """

    algorithm: str
    dtype: str
    what: str
    date: str

    def __str__(self) -> str:
        return f"failed clconv doctor on {self.date} with this driver ({self.what}); run clconv doctor again after updating"


@dataclass(frozen=True)
class Failures:
    """All of one device and driver; false if there are none."""

    entries: tuple[Failure, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    def of(self, algorithm: str, dtypes: Iterable[str]) -> Failure | None:
        """The failure that concerns the algorithm on operands of these element types.

        >>> found = Failures((Failure("conv_gemm", "float16", "fwd computes something else", "2026-01-31"),))
        >>> found.of("conv_gemm", ["float32"]) is None, found.of("conv_gemm", ["float16"]) is None
        (True, False)
        """
        concerned = {"float32", *dtypes}
        return next((entry for entry in self.entries if entry.algorithm == algorithm and entry.dtype in concerned), None)

    def replaced(self, tried: Iterable[str], found: Iterable[Failure]) -> Failures:
        """These, with what was `found` for the algorithms that were `tried` again."""
        names = set(tried)
        return Failures((*(entry for entry in self.entries if entry.algorithm not in names), *found))


def record_path(traits: DeviceTraits) -> Path | None:
    """The file of this device and driver; None where nothing is kept between runs ($CLCONV_CACHE_DIR is empty)."""
    folder = cache_directory()
    name = hashlib.sha256(repr((traits.identity, traits.driver)).encode()).hexdigest()[:32]
    return folder / "doctor" / f"{name}.json" if folder else None


@cache
def failures_for(traits: DeviceTraits) -> Failures:
    """What is recorded of the device; nothing, with one warning, where the file cannot be understood."""
    path = record_path(traits)
    try:
        return _read(path.read_bytes()) if path else Failures()
    except FileNotFoundError:
        return Failures()
    except (OSError, ValueError) as error:
        warnings.warn(f"the record of clconv doctor {path} is ignored: {error}; `clconv doctor` writes a new one", stacklevel=2)
        return Failures()


def _read(content: bytes) -> Failures:
    found = json.loads(content)
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("failures"), list):
        raise ValueError(f"it is no list of failures of format {FORMAT}")
    return Failures(tuple(_failure(row) for row in found["failures"]))


def _failure(row: object) -> Failure:
    names = [field.name for field in fields(Failure)]
    if not isinstance(row, Mapping) or not all(isinstance(row.get(name), str) for name in names):
        raise ValueError(f"an entry lacks one of {', '.join(names)}")
    return Failure(*(row[name] for name in names))


def record(traits: DeviceTraits, found: Failures) -> Path | None:
    """Write what is to be passed over from now on, in place of what was recorded before; no file for nothing. The path, if there is one.

    Raises DataError where it cannot be written.
    """
    path = record_path(traits)
    if path is None:
        return None
    if not found:
        forget(traits)
        return None
    content = {"format": FORMAT, "device": traits.identity, "driver": traits.driver, "failures": [asdict(entry) for entry in found.entries]}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise DataError(f"what failed cannot be recorded in {path}: {error}; name another folder in CLCONV_CACHE_DIR") from error
    failures_for.cache_clear()
    return path


def forget(traits: DeviceTraits) -> bool:
    """Remove the record of the device with this driver; whether there was one. Raises DataError where it cannot be removed."""
    path = record_path(traits)
    failures_for.cache_clear()
    try:
        if path is None:
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"the record {path} cannot be removed: {error}") from error
    return True
