"""clconv devices."""

from __future__ import annotations

import click


@click.command()
def devices() -> None:
    """List the OpenCL devices and what the library knows of them; the first is the default."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from clconv.runtime.context import describe, find_device, list_devices

    default = find_device()  # refuses with what to install when there is none
    found = list_devices()
    console = Console(highlight=False)
    for device in found:
        table = Table(box=SIMPLE, show_header=False, title_justify="left", pad_edge=False)
        for what, value in describe(device).items():
            table.add_row(what, value)
        console.print(table)
    console.print(f"{len(found)} device{'s' if len(found) > 1 else ''}; the default is {default.name.strip()}. Others by --device NAME.")
