"""What an executor is handed: plans whose operands have places in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clconv.codegen.plan import Plan


@dataclass(frozen=True)
class Place:
    """Where an operand lives: `region` is arena, prepared, constant, resident, recalled, input or output; `index` counts within the last
    five."""

    region: str
    index: int = 0
    offset: int = 0
    nbytes: int = 0


@dataclass(frozen=True)
class PlacedStep:
    """A plan with its operands' places. Without a plan, the step fills its outputs with zeros (reductions over nothing).

    `writes` numbers the parameters whose memory the step changes; `algorithm` is the one that made the plan.
    """

    label: str
    text: str
    plan: Plan | None
    operands: Mapping[str, Place]
    outputs: tuple[str, ...]
    prepared: bool = False
    writes: tuple[int, ...] = ()
    algorithm: str = ""
