"""Platforms, drivers and devices as the OpenCL loader lists them, asked in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120.0
COMMAND = "from clconv.runtime.survey import main; main()"


@dataclass(frozen=True)
class Device:
    """A device's facts by name, as `clconv devices` prints them."""

    facts: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str:
        return dict(self.facts).get(name, "")


@dataclass(frozen=True)
class Platform:
    """A driver's platform; `error` is what it said instead of listing its devices."""

    name: str
    vendor: str
    version: str
    devices: tuple[Device, ...]
    error: str = ""


@dataclass(frozen=True)
class Survey:
    """All platforms; or the `trouble` that came between: "import" (pyopencl does not load), "error", "crash", "hang", and its `detail`."""

    platforms: tuple[Platform, ...] = ()
    trouble: str = ""
    detail: str = ""

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(device for platform in self.platforms for device in platform.devices)


def take_survey(patience: float = PATIENCE) -> Survey:
    """Ask the loader; whatever it does, an answer comes.

    >>> [platform.name for platform in take_survey().platforms]  # doctest: +SKIP
    ['Portable Computing Language']
    """
    folder = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), folder)))  # the same pyopencl as here
    command = [sys.executable, "-P", "-c", COMMAND]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, env={**os.environ, "PYTHONPATH": paths}
        )
    except subprocess.TimeoutExpired:
        return Survey(trouble="hang", detail=f"no list after {patience:g} s")
    except OSError as error:
        return Survey(trouble="error", detail=f"no process can be started: {error}")
    told = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode != 0:
        fallen = done.returncode < 0 or not told
        trouble = "crash" if fallen else "import" if told.startswith(("ImportError", "ModuleNotFoundError")) else "error"
        return Survey(trouble=trouble, detail=f"code {done.returncode}" if fallen else told)
    return of_text(done.stdout.decode(errors="replace"))


def of_text(text: str) -> Survey:
    """From what the process printed: the last line counts.

    >>> of_text('driver 1.0 loaded\\n[]')
    Survey(platforms=(), trouble='', detail='')
    """
    try:
        rows = json.loads(text.strip().rpartition("\n")[2])
        platforms = tuple(
            Platform(row["name"], row["vendor"], row["version"], tuple(Device(tuple(d.items())) for d in row["devices"]), row["error"])
            for row in rows
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Survey(trouble="error", detail=f"the list of platforms cannot be read: {error}")
    return Survey(platforms)
