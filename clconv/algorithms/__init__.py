"""The algorithms: one file each, beside its template of the same name in `kernels/`. ALGORITHMS is the one ordered list.

A problem is taken by the first entries that accept it as `select` ranks them; one that accepts everything stands last in its family.
"""

from __future__ import annotations

from clconv.algorithms.base import Algorithm
from clconv.device import DeviceTraits
from clconv.problem import Problem

ALGORITHMS: tuple[Algorithm, ...] = ()


def for_problem(problem: Problem) -> tuple[Algorithm, ...]:
    """All algorithms written for this kind of problem, applicable or not, in list order."""
    return tuple(a for a in ALGORITHMS if isinstance(problem, a.takes))


def applicable(problem: Problem, traits: DeviceTraits) -> tuple[Algorithm, ...]:
    """The algorithms that accept the problem on the device, in list order."""
    return tuple(a for a in for_problem(problem) if a.why_not(problem, traits) is None)
