"""Small odd shapes of every kind, by number: the same seed and number give the same case in any process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from zlib import crc32

import numpy as np

from clconv.algorithms import ALGORITHMS
from clconv.algorithms.base import Algorithm
from clconv.device import CDNA, XE, DeviceTraits
from clconv.errors import ClconvError
from clconv.problem import ConvProblem, Problem
from clconv.tensor import Blocked, Layout, round_up
from tests.cases import Prepared, all_cases, kind_of, prepare
from tests.oclgrind.problems import DRAWN

DEVICES = (
    DeviceTraits.cpu(4), DeviceTraits.cpu(8), DeviceTraits.cpu(16), DeviceTraits.gpu(), DeviceTraits.gpu(gpu_class=CDNA),
    DeviceTraits.gpu(gpu_class=XE), replace(DeviceTraits.gpu(1), max_work_group_size=16),
)  # fmt: skip
TRIES = 20_000
MOST_WORK = 1_500_000
"""Multiply-adds, with those that fill up tiles, of one case: the simulator does some 400,000 a second."""


@dataclass(frozen=True)
class Case:
    """What is run: a problem in its layouts, and words that say which."""

    number: int
    algorithm: str
    kind: str
    device: DeviceTraits
    params: object
    prepared: Prepared

    @property
    def label(self) -> str:
        layouts = "".join(f", {name} {layout}" for name, layout in self.prepared.problem.layouts)
        device = self.device.kind if self.device.is_cpu else f"{self.device.kind}, groups of at most {self.device.max_work_group_size}"
        return f"{self.algorithm}: {self.prepared.problem} ({device}; {self.params}{layouts})"


@cache
def pairs() -> tuple[tuple[Algorithm, str], ...]:
    """Every algorithm with every kind of problem that it takes: the shared cases know them all."""
    found = {
        (algorithm.name, kind_of(problem)): (algorithm, kind_of(problem))
        for algorithm in ALGORITHMS
        for problem in all_cases()
        if isinstance(problem, algorithm.takes) and takers(algorithm, problem)
    }
    return tuple(found.values())


def takers(algorithm: Algorithm, problem: Problem) -> list[DeviceTraits]:
    """The devices that the algorithm takes the problem on; if none, the processors on which only its speed is against it."""
    usual = [device for device in DEVICES if algorithm.why_not(problem, device) is None]
    return usual or [device for device in DEVICES if device.is_cpu and algorithm.why_not_forced(problem, device) is None]


def case(seed: int, number: int) -> Case:
    """The case of this number: pairs take turns, so that any run of numbers meets as many of them as it can."""
    algorithm, kind = pairs()[number % len(pairs())]
    rng = np.random.default_rng([seed, number, crc32(f"{algorithm.name} {kind}".encode())])
    for _ in range(TRIES):
        problem = draw_problem(rng, algorithm)
        if problem is None or kind_of(problem) != kind or not (devices := takers(algorithm, problem)):
            continue
        device = devices[rng.integers(len(devices))]
        # The defaults, which most calls use, as often as anything else that the tuner may find.
        space = [algorithm.defaults(problem, device), *algorithm.space(problem, device)]
        params = space[0] if rng.random() < 0.5 else space[rng.integers(len(space))]
        prepared = prepare(algorithm, problem, device, params, dict(wider(rng, algorithm, problem, device, params)))
        if work(prepared) <= MOST_WORK:
            return Case(number, algorithm.name, kind, device, params, prepared)
    raise AssertionError(f"{algorithm.name}, {kind}: none of {TRIES} problems drawn is taken; tests/oclgrind/problems.py must draw some")


def draw_problem(rng: np.random.Generator, algorithm: Algorithm) -> Problem | None:
    """One at random, or None where it has no result."""
    try:
        problem = DRAWN[algorithm.takes](rng)
    except ClconvError:
        return None
    return problem if all(math.prod(spec.shape) for spec in problem.tensors().values()) else None


def wider(
    rng: np.random.Generator, algorithm: Algorithm, problem: Problem, device: DeviceTraits, params: object
) -> Iterator[tuple[str, Layout]]:
    """Larger halos and slices of wider tensors than the algorithm asks for, now and then."""
    for name, layout in algorithm.wants(problem, device, params).items():
        if isinstance(layout, Blocked) and rng.random() < 0.3:
            (top, bottom), (left, right) = layout.halo
            more = [int(n) for n in rng.integers(0, 3, 4)]
            blocks = problem.spec(name).with_layout(layout).channel_blocks
            before, after = (int(n) for n in rng.integers(0, 2, 2))
            row = isinstance(problem, ConvProblem) and len(problem.size) == 1
            halo = ((top, bottom) if row else (top + more[0], bottom + more[1]), (left + more[2], right + more[3]))
            yield name, replace(layout, halo=halo, blocks=before + blocks + after, first=before)


def work(prepared: Prepared) -> int:
    """A rough count of multiply-adds: what is asked, or what the tiles of products of matrices come to with what fills them up."""
    problem = prepared.problem
    terms = problem.multiply_adds // max(1, sum(problem.spec(name).elements for name in problem.outputs))
    spent = 0
    for call in prepared.plan.calls:
        constants = dict(call.source.constants)
        if "TILE_M" in constants:
            groups = math.prod(call.global_size) // math.prod(call.source.group)
            spent += groups * constants["TILE_M"] * constants["TILE_N"] * round_up(terms, constants["TILE_K"])
    return problem.multiply_adds + spent
