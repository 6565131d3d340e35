"""clconv source."""

from __future__ import annotations

import click

from clconv.cli.options import algorithm_name, any_problem_of, device_option, kernels_option


@click.command()
@click.argument("problem")
@click.option("--algorithm", metavar="NAME", help="Show this algorithm's kernels instead of the chosen one's.")
@device_option
@kernels_option
def source(problem: str, algorithm: str | None, device: str | None, kernels: str | None) -> None:
    """Print the OpenCL C that runs for PROBLEM ("conv n1c3i224x224k64f7x7s2p3")."""
    from clconv.codegen.render import render
    from clconv.runtime.context import find_device, traits_of
    from clconv.tuning.select import choose

    asked = any_problem_of(problem)
    traits = traits_of(find_device(device))
    choice = choose(asked, traits, forced=algorithm_name(asked, algorithm))
    stored = asked.with_layouts(**choice.wants)
    click.echo(f"// {stored}: {choice.algorithm.name} on {traits.label}")
    calls = choice.algorithm.plan(stored, traits, choice.params).calls
    for call in calls:
        click.echo(f"// launch {call.source.entry}: global {call.global_size}, local {call.source.group}")
    for kernel in dict.fromkeys(call.source for call in calls):
        click.echo()
        click.echo(render(kernel, kernels).text, nl=False)
