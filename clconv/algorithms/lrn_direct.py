"""Local response normalisation (Krizhevsky et al. 2012) on plain tensors, forward and backward; accepts everything."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clconv.algorithms.base import Algorithm
from clconv.algorithms.common import GROUP, check_operands, tasks_each
from clconv.algorithms.strides import inlined
from clconv.codegen.expressions import float_literal
from clconv.codegen.plan import KernelCall, KernelSource, Plan, names
from clconv.device import DeviceTraits
from clconv.problem import LrnProblem, Pass

# base ^ -beta for the exponents that papers use; square roots are many times faster than pow or exp.
POWERS = {0.5: "(1.0f / sqrt(b))", 0.75: "(1.0f / (sqrt(b) * sqrt(sqrt(b))))", 1.0: "(1.0f / (b))"}


@dataclass(frozen=True)
class LrnParams:
    """tile: neighbouring positions of a channel that one work-item holds at once; 1 on GPUs, where neighbours are work-items."""

    tile: int


class LrnDirect(Algorithm[LrnProblem]):
    """Normalisation over neighbouring channels: one launch forward, two backward; accepts every LrnProblem."""

    name = "lrn_direct"
    takes = LrnProblem

    def why_not(self, problem: LrnProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: LrnProblem, traits: DeviceTraits) -> LrnParams:
        return LrnParams(64 if traits.is_cpu else 1)

    def plan(self, problem: LrnProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, LrnParams)
        check_operands(problem)
        share = problem.alpha / problem.window
        base = {"k": problem.k, "scale": share}
        if problem.direction is Pass.FORWARD:
            return Plan((_call(problem, traits, params, "lrn_direct", {"x": "x", "y": "y", **base}),))
        terms = {"x": "x", "dy": "dy", "terms": "terms", "powers": "powers"}
        nbytes = 4 * math.prod(problem.shape)
        calls = (
            _call(problem, traits, params, "lrn_direct_terms", terms | base),
            _call(problem, traits, params, "lrn_direct_backward", terms | {"dx": "dx", "factor": 2.0 * share * problem.beta}),
        )
        return Plan(calls, (("terms", nbytes), ("powers", nbytes)))


def power_of(problem: LrnProblem, traits: DeviceTraits) -> tuple[str, tuple[str, ...]]:
    """b ^ -beta as a C expression, and which of its functions are written out; b is at least 0 unless k or alpha is negative."""
    power = POWERS.get(problem.beta)
    if power is None:
        exponent = float_literal(-problem.beta)
        positive = problem.k >= 0 and problem.alpha >= 0
        power = f"exp({exponent} * log(b))" if traits.calls_functions and positive else f"pow((b), {exponent})"
    return power, inlined([power], traits)


def _call(problem: LrnProblem, traits: DeviceTraits, params: LrnParams, entry: str, bindings: dict) -> KernelCall:
    """One launch over (n, c, tile of positions)."""
    batch, channels, *size = problem.shape
    positions = math.prod(size)
    power, written_out = power_of(problem, traits)
    constants = names({"POWER(b)": power}, WINDOW=problem.window, TILE=params.tile)
    arguments = names(entry=entry, inlined=written_out)
    source = KernelSource("lrn_direct", entry, constants, arguments, problem.dtype, (traits.group(GROUP), 1, 1))
    tiles = -(-positions // params.tile)
    tasks = batch * channels * tiles
    each = tasks_each(tasks, traits)
    sizes = dict(batch=batch, channels=channels, positions=positions, tiles=tiles, tasks_each=each)
    return KernelCall(source, (-(-tasks // each), 1, 1), names(bindings | sizes))
