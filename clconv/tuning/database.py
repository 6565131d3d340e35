"""The tuning database: the user's own JSON file over the one that comes with the library.

Many processes may write at once: each takes a lock, reads, merges and replaces the file whole, so that readers never wait and never see
half a file. The operating system releases the lock of a process that dies.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from clconv.device import DeviceTraits
from clconv.errors import DataError
from clconv.tuning.entry import Entry, identity_of

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FORMAT = 1
VARIABLE = "CLCONV_TUNING_DB"
LOCK_SECONDS = 30.0


def database_path() -> Path | None:
    """The user's own file: $CLCONV_TUNING_DB, or `tuning.json` among the user's data; None, when the variable is empty, for no database."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    return _default_path()


@cache
def _default_path() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("clconv", appauthor=False)) / "tuning.json"


class _Newer(Exception):
    """A file of a format that a later version writes."""

    def __init__(self, found: int) -> None:
        super().__init__(f"has format {found}, this version of clconv knows {FORMAT}")


class Database:
    """The entries in one file.

    >>> Database(Path("tuning.json")).add([entry])   # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """All that can be understood. A damaged file is set aside with a warning; one that a later version wrote is left alone."""
        try:
            rows = self._rows()
        except ValueError:
            rows = self._after_damage()
        except _Newer as newer:
            _warn_once(
                self.path, f"tuning database {self.path} {newer} and is not used; upgrade clconv, or name another file in {VARIABLE}"
            )
            rows = []
        except OSError as error:
            _warn_once(self.path, f"tuning database {self.path} cannot be read and is not used: {error}")
            rows = []
        return [entry for row in rows if (entry := Entry.of_row(row)) is not None]

    def add(self, entries: Iterable[Entry]) -> None:
        """Put `entries` in, over older ones of the same problem, storage and device. Raises DataError where the file cannot be written."""
        self._change({identity_of(entry.as_row()): entry.as_row() for entry in entries})

    def remove(self, entries: Iterable[Entry]) -> None:
        """Take out what `add` put in."""
        self._change(dict.fromkeys((identity_of(entry.as_row()) for entry in entries), None))

    def _change(self, changes: dict[tuple[str, ...], dict[str, Any] | None]) -> None:
        """Rows by identity to put in, or None to take out; all others stay as they are, whatever they hold."""
        if not changes:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _exclusive(self.path):
                try:
                    rows = self._rows()
                except ValueError as damage:
                    rows = self._set_aside(damage)
                merged = {identity_of(row): row for row in rows} | changes
                self._write([merged[key] for key in sorted(merged) if merged[key] is not None])
        except _Newer as newer:
            raise DataError(
                f"tuning database {self.path} {newer}; nothing was written: upgrade clconv, or name another file in {VARIABLE}"
            ) from None
        except OSError as error:
            raise DataError(f"tuning database {self.path} cannot be written: {error}; name another file in {VARIABLE}") from error

    def _rows(self) -> list[dict[str, Any]]:
        """What the file holds; nothing where there is none. Raises ValueError for anything but a database."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        found = json.loads(content)
        if not isinstance(found, dict) or type(found.get("format")) is not int or found["format"] < 1:
            raise ValueError("no format is named")
        if found["format"] > FORMAT:
            raise _Newer(found["format"])
        if not isinstance(found.get("entries"), list):
            raise ValueError("there is no list of entries")
        return [row for row in found["entries"] if isinstance(row, dict)]

    def _write(self, rows: list[dict[str, Any] | None]) -> None:
        lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
        text = f'{{"format": {FORMAT}, "entries": [\n{lines}\n]}}\n' if rows else f'{{"format": {FORMAT}, "entries": []}}\n'
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError:
            os.unlink(temporary)
            raise

    def _after_damage(self) -> list[dict[str, Any]]:
        """A reader found damage: another process may have set the file aside meanwhile, so look again before doing so."""
        try:
            with _exclusive(self.path):
                try:
                    return self._rows()
                except ValueError as damage:
                    return self._set_aside(damage)
        except (OSError, DataError, _Newer) as error:
            _warn_once(self.path, f"tuning database {self.path} is damaged and is not used; it cannot be set aside: {error}")
            return []

    def _set_aside(self, damage: ValueError) -> list[dict[str, Any]]:
        """Rename the damaged file; what comes after starts empty. Only under the lock."""
        number = 0
        while (kept := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        os.replace(self.path, kept)
        warnings.warn(f"tuning database {self.path} was damaged ({damage}); it is kept as {kept.name}, a new one begins", stacklevel=2)
        return []


_warned: set[Path] = set()


def _warn_once(path: Path, message: str) -> None:
    if path not in _warned:
        _warned.add(path)
        warnings.warn(message, stacklevel=3)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """The lock beside `path`, which one process or thread holds at a time. The lock's file stays: removing it would let two in."""
    with open(path.with_name(path.name + ".lock"), "a+b") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise DataError(f"tuning database {path}: another process has held its lock for {LOCK_SECONDS:.0f} s; is one stopped?")
            time.sleep(0.01)
        try:
            yield
        finally:
            _unlock(file)


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)


class Table:
    """Entries by problem; the user's own go before those that come with the library, as far as their devices are equally near."""

    def __init__(self, own: Iterable[Entry], shipped: Iterable[Entry] = ()) -> None:
        self._by_problem: dict[str, list[tuple[int, Entry]]] = {}
        for source, entries in enumerate((own, shipped)):
            for entry in entries:
                self._by_problem.setdefault(entry.problem, []).append((source, entry))

    def find(self, problem: str, stored: str, traits: DeviceTraits) -> Entry | None:
        """The entry of the nearest device; among those of one device, the one that was measured on operands stored the same way."""
        found = []
        for source, entry in self._by_problem.get(problem, ()):
            distance = entry.suits(traits)
            if distance is not None:
                found.append(((distance, entry.stored != stored, source), entry))
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def __len__(self) -> int:
        return sum(map(len, self._by_problem.values()))


@cache
def shipped_entries() -> tuple[Entry, ...]:
    """What comes with the library."""
    content = json.loads(importlib.resources.files("clconv.tuning").joinpath("shipped.json").read_text(encoding="utf-8"))
    return tuple(entry for row in content["entries"] if (entry := Entry.of_row(row)) is not None)


Stamp = tuple[int, int, int] | None
_lock = threading.Lock()
_loaded: tuple[Path, Stamp, Table] | None = None


def current() -> Table | None:
    """The table to choose by: read anew whenever the user's file has changed, the same object otherwise; None for no database."""
    global _loaded
    path = database_path()
    if path is None:
        return None
    stamp, loaded = _stamp(path), _loaded
    if loaded is not None and loaded[0] == path and loaded[1] == stamp:
        return loaded[2]
    with _lock:
        table = Table(Database(path).entries(), shipped_entries())
        _loaded = (path, stamp, table)
        return table


def _stamp(path: Path) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
