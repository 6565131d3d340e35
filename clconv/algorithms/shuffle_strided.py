"""Channel shuffle on plain tensors: the transpose that it is; accepts everything."""

from __future__ import annotations

import math

from clconv.algorithms.base import Algorithm
from clconv.algorithms.reorder_strided import ReorderStrided, ReorderStridedParams
from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits
from clconv.problem import ReorderProblem, ShuffleProblem
from clconv.tensor import Strided


class ShuffleStrided(Algorithm[ShuffleProblem]):
    """The kernel of `reorder_strided`, on (N, channels of a group, groups, positions)."""

    name = "shuffle_strided"
    takes = ShuffleProblem

    def why_not(self, problem: ShuffleProblem, traits: DeviceTraits) -> str | None:
        return None

    def defaults(self, problem: ShuffleProblem, traits: DeviceTraits) -> ReorderStridedParams:
        return ReorderStrided().defaults(self._transpose(problem), traits)

    def plan(self, problem: ShuffleProblem, traits: DeviceTraits, params: object) -> Plan:
        return ReorderStrided().plan(self._transpose(problem), traits, params)

    @staticmethod
    def _transpose(problem: ShuffleProblem) -> ReorderProblem:
        batch, channels, *size = problem.shape
        own, positions = channels // problem.groups, math.prod(size)
        view = Strided((channels * positions, positions, own * positions, 1))
        shape = (batch, own, problem.groups, positions)
        return ReorderProblem(shape, problem.dtype, problem.dtype).with_layouts(x=view)

    def rate(self, problem: ShuffleProblem, traits: DeviceTraits) -> float:
        return ReorderStrided().rate(self._transpose(problem), traits)
