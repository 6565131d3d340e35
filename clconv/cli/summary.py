"""clconv summary."""

from __future__ import annotations

import click

from clconv.cli.options import batch_option, size_option


@click.command()
@click.argument("network")
@batch_option
@size_option
def summary(network: str, batch: int, size: int | None) -> None:
    """Print NETWORK's layers: output shapes, parameters, multiply-adds and receptive fields. Needs no device."""
    from clconv.bench.networks import build, input_shape

    click.echo(str(build(network).summary(input_shape(network, batch, size))))
