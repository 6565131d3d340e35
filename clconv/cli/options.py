"""Arguments that several commands take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from clconv.problem import ConvProblem, PoolProblem, Problem

device_option = click.option("--device", metavar="NAME", help="A part of the device's or platform's name; the first device if left out.")
kernels_option = click.option(
    "--kernels",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="A directory with edited templates (*.cl.mako), which go before the library's own.",
)
batch_option = click.option("--batch", metavar="N", type=click.IntRange(min=1), default=1, show_default=True, help="Images in a batch.")
size_option = click.option("--size", metavar="N", type=click.IntRange(min=1), help="Height and width, if not the model's usual.")


def problem_of(text: str) -> ConvProblem | PoolProblem:
    """The problem that `text` describes, ready to be planned."""
    from clconv.errors import UnsupportedError
    from clconv.problem import parse

    problem = parse(text)
    if problem.batch == 0:
        raise UnsupportedError(f"{problem}: a batch of 0 runs no kernel; give n at least 1")
    return problem


def any_problem_of(text: str) -> Problem:
    """As `problem_of`, of all kinds that have a text form."""
    from clconv.problem import parse_any
    from clconv.problem.operation_text import FORM_OF

    return parse_any(text) if text.strip().partition(" ")[0] in FORM_OF else problem_of(text)


def algorithm_name(problem: Problem, name: str | None) -> str | None:
    """`name` with its family's prefix put back ("direct" -> "conv_direct") where that makes it one of the problem's algorithms."""
    from clconv.algorithms import for_problem

    known = [a.name for a in for_problem(problem)]
    family = known[0].partition("_")[0] if known else ""
    return f"{family}_{name}" if name not in known and f"{family}_{name}" in known else name


def looks_like_a_problem(text: str) -> bool:
    """Whether `text` was meant as a problem rather than as the name of a network."""
    return " " in text.strip() or re.match(r"n[0-9]", text.strip()) is not None
