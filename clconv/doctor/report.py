"""What was seen and measured, as JSON for a bug report: without names of users, hosts and folders, and without the environment."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from clconv.doctor.advice import Advice
from clconv.doctor.findings import Examination
from clconv.doctor.platforms import Survey
from clconv.doctor.surroundings import Surroundings

FORMAT = 1
LONGEST = 4000
PACKAGES = ("clconv", "pyopencl", "pocl_binary_distribution", "numpy", "mako")
PUBLIC = ("/dev/", "/etc/", "/lib", "/opt/", "/sys/", "/usr/")
"""Folders whose names say nothing of who uses the machine."""
_NAME = r"[^\s/\\:'\"()\[\],;]"
PATH = re.compile(rf"(?:[A-Za-z]:(?=[/\\]))?{_NAME}*[/\\](?:{_NAME}+[/\\])+{_NAME}*")
"""Anything with two separators: what follows a space in a folder's name is caught too."""


@dataclass(frozen=True)
class Private:
    """What must not be seen: the folder of the user, and names that occur in paths and messages."""

    home: str
    names: tuple[str, ...]

    @classmethod
    def here(cls) -> Private:
        """This user's and this machine's."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = ""
        host = socket.gethostname()
        names = {user, host, host.partition(".")[0], host.lower(), Path.home().name}
        return cls(str(Path.home()), tuple(sorted((name for name in names if len(name) > 1), key=len, reverse=True)))

    def removed(self, text: str) -> str:
        """`text` without them; of a path outside of the system's folders only its last part stays.

        >>> Private("/home/eve", ("eve", "evebox")).removed("eve@evebox: /home/eve/a/x.cl:3:5: error in /usr/lib/libOpenCL.so")
        '...@...: .../x.cl:3:5: error in /usr/lib/libOpenCL.so'
        """
        if len(self.home) > 1:
            text = text.replace(self.home, "/~")
        text = PATH.sub(_shortened, text).replace("/~", "...")
        for name in self.names:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "...", text)
        return text


def _shortened(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith(PUBLIC) else ".../" + re.split(r"[/\\]", found[0])[-1]


def cleaned(value: Any, private: Private) -> Any:
    """The same structure with every text cut to LONGEST characters and without what is private."""
    if isinstance(value, str):
        text = private.removed(value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    if isinstance(value, dict):
        return {key: cleaned(content, private) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(content, private) for content in value]
    return value


def report(
    survey: Survey, around: Surroundings, examined: Sequence[Examination], told: Sequence[Advice], private: Private | None = None
) -> dict[str, Any]:
    """Everything as JSON takes it. Environment variables are named, never shown."""
    content = {
        "format": FORMAT,
        "versions": versions(),
        "system": {"name": platform.system(), "machine": platform.machine(), "kernel": platform.release(), "processors": os.cpu_count()},
        "drivers": {
            "named by": around.variable or "default",
            "folder exists": around.exists,
            "files": [asdict(icd) for icd in around.icds],
            "nodes": [asdict(node) for node in around.nodes],
            "cards": around.cards,
            "in container": around.in_container,
        },
        "platforms": [
            {"name": p.name, "vendor": p.vendor, "version": p.version, "error": p.error, "devices": [dict(d.facts) for d in p.devices]}
            for p in survey.platforms
        ],
        "trouble": {"kind": survey.trouble, "detail": survey.detail},
        "examined": [_examined(examination) for examination in examined],
        "advice": [asdict(each) for each in told],
    }
    return dict(cleaned(content, private or Private.here()))


def _examined(examination: Examination) -> dict[str, Any]:
    return {
        "device": asdict(examination.traits),
        "healthy": examination.healthy,
        "cases": [asdict(verdict) for verdict in examination.verdicts],
        "skipped": [asdict(skipped) for skipped in examination.skipped],
        "measured": asdict(examination.measured) if examination.measured else None,
        "not measured": examination.why,
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that matter here; those that are not installed are left out."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write(content: dict[str, Any], path: Path) -> None:
    """As JSON. OSError where the file cannot be written."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
