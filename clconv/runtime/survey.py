"""What the OpenCL loader says there is, as a program of its own: a driver may crash or hang as soon as it is asked."""

from __future__ import annotations

import json
from typing import Any

import pyopencl as cl

from clconv.runtime.context import describe


def survey() -> list[dict[str, Any]]:
    """A row a platform: name, vendor, version, what is known of each of its devices, and the error of one that cannot list them.

    >>> [row["name"] for row in survey()]  # doctest: +SKIP
    ['Portable Computing Language']
    """
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        if error.code == cl.status_code.PLATFORM_NOT_FOUND_KHR:
            return []
        raise
    return [_row(platform) for platform in platforms]


def _row(platform: cl.Platform) -> dict[str, Any]:
    row: dict[str, Any] = {"name": "", "vendor": "", "version": "", "devices": [], "error": ""}
    try:
        row |= {"name": platform.name.strip(), "vendor": platform.vendor.strip(), "version": platform.version.strip()}
        row["devices"] = [describe(device) for device in platform.get_devices()]
    except cl.Error as error:
        row["error"] = str(error)
    return row


def main() -> None:
    """The rows as the last line of the standard output, whatever drivers print before."""
    print("\n" + json.dumps(survey()), flush=True)
