"""clconv explain."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from clconv.cli.options import any_problem_of, batch_option, device_option, looks_like_a_problem, size_option

if TYPE_CHECKING:
    from clconv.device import DeviceTraits
    from clconv.problem import Problem


@click.command()
@click.argument("what", metavar="PROBLEM|NETWORK")
@batch_option
@size_option
@device_option
def explain(what: str, batch: int, size: int | None, device: str | None) -> None:
    """Say which algorithm a problem or each layer of a network (resnet18) gets, and why the others were not taken."""
    from clconv.runtime.context import default_queue, traits_of

    if looks_like_a_problem(what):
        problem = any_problem_of(what)
        click.echo(explain_problem(problem, traits_of(default_queue(device).device)))
        return
    from clconv.bench.networks import build, input_shape
    from clconv.graph.compile import compile

    network, shape = build(what), input_shape(what, batch, size)
    click.echo(compile(network, shape, default_queue(device)).explain())


def explain_problem(problem: Problem, traits: DeviceTraits) -> str:
    """Choice, layouts, launches, and the other algorithms with their estimates or their reasons to refuse."""
    from clconv.tuning.entry import params_text
    from clconv.tuning.select import candidates, choose, reason

    choice = choose(problem, traits)
    stored = problem.with_layouts(**choice.wants)
    plan = choice.algorithm.plan(stored, traits, choice.params)
    params, note = params_text(choice.params), "" if choice.tuned else " (a model, not a measurement)"
    others = Counter(candidate.algorithm.name for candidate in candidates(problem, traits))
    lines = [
        f"{problem} on {traits.label}",
        f"{problem.multiply_adds / 1e6:,.2f} million multiply-adds, {problem.bytes_moved / 2**20:,.2f} MiB read and written once",
        "",
        f"chosen: {choice.algorithm.name} ({params}), {reason(choice)}{note}",
    ]
    lines += [f"    {name}: {stored.spec(name).shape}, {stored.layout(name)}" for name in stored.tensors()]
    lines += [f"    launch {call.source.entry}: global {call.global_size}, local {call.source.group}" for call in plan.calls]
    lines += [f"    scratch {name}: {nbytes:,} bytes" for name, nbytes in plan.scratch]
    lines += [
        f"not chosen: {name}, estimate {own * 1e6:,.0f} us, {whole * 1e6:,.0f} us with the reorders of plain inputs"
        for name, own, whole in choice.others
    ]
    lines += [f"refused: {name}: {why}" for name, why in choice.refused]
    lines += choice.doubts
    lines.append(f"candidates for `clconv tune`: {others.total()}, " + ", ".join(f"{n} of {name}" for name, n in others.items()))
    return "\n".join(lines)
