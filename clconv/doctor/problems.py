"""What `clconv doctor` asks of a device: small problems, so that every algorithm runs every pass it is written for, with few kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from clconv.algorithms import ALGORITHMS
from clconv.algorithms.base import Algorithm
from clconv.device import DeviceTraits
from clconv.doctor.findings import Skipped
from clconv.errors import UnsupportedError
from clconv.problem import (
    LrnProblem,
    MapProblem,
    MatmulProblem,
    Pass,
    PoolProblem,
    Problem,
    ReduceProblem,
    ReorderProblem,
    ResampleProblem,
    ShuffleProblem,
    SoftmaxProblem,
    UnpoolProblem,
    WindowProblem,
    parse,
)
from clconv.problem.conv import Epilogue
from clconv.tensor import Blocked, Packed, Strided, TensorSpec, Transformed
from clconv.tuning.trial import Trial

DENSE, STRIDED, DEPTHWISE = "n2c16i7x9k24f3x3p1", "n1c11i9x8k13f3x3s1x2p1", "n2c19i6x7k19f3x3p1g19"
"""The first has channels as conv_winograd_gemm needs them, the others leave tails everywhere. A stride of one axis splits a gradient into
two kernels, one of both axes into four, which PoCL takes seven seconds to compile."""
POOLS = ("maxpool n2c17i7x5f3x3s2p1:idx", "maxpool n2c17i7x5f3x3s2p1", "avgpool n2c17i7x5f3x3s2p1:nopad")
WHOLE = "avgpool n2c17i7x5f7x5"


@dataclass(frozen=True)
class Case:
    """A problem in the layouts that an algorithm wants, ready to be tried; `kind` is the pass, for people."""

    trial: Trial
    kind: str

    @property
    def name(self) -> str:
        return self.trial.algorithm

    @property
    def dtype(self) -> str:
        """float16 if anything is stored so."""
        return next((spec.dtype for spec in self.trial.problem.tensors().values() if spec.dtype == "float16"), "float32")

    def __str__(self) -> str:
        return f"{self.name}, {self.trial.problem}"


def kind_of(problem: Problem) -> str:
    """What an algorithm may be written for or not: the pass, the kind of pooling, the sort of layouts that a reorder is between.

    >>> kind_of(parse("maxpool n1c1i4x4f2x2"))
    'max fwd'
    """
    if isinstance(problem, ReorderProblem):
        layouts = {type(problem.layout(name)).__name__ for name in ("x", "y")} - {"Plain"}
        return next((kind.lower() for kind in ("Blocked", "Packed", "Transformed") if kind in layouts), "strided")
    prefix = f"{problem.kind} " if isinstance(problem, PoolProblem) else ""
    direction = getattr(problem, "direction", None)
    return f"{prefix}{direction.value}" if direction else "all"


def problems(block: int) -> Iterator[Problem]:
    """All of them; tensors that are blocked have `block` channels in a block."""
    yield parse(f"{DENSE}+bias+relu+res")
    yield from (parse(f"{DENSE}:{direction}") for direction in ("bwd_d", "bwd_w", "f16"))
    yield from (parse(text + direction) for text, direction in product((STRIDED, DEPTHWISE), ("", ":bwd_d", ":bwd_w")))
    yield parse("n1c3i3x4x5k4f3x2x2s1x2x1p1")
    for pool in map(parse, POOLS):
        assert isinstance(pool, PoolProblem)
        yield pool
        yield replace(pool, direction=Pass.BACKWARD_DATA, with_indices=False)
    yield parse(WHOLE)
    yield PoolProblem("adaptive_avg", None, 2, 17, (7, 5), (1, 1))
    for direction in (Pass.FORWARD, Pass.BACKWARD_DATA):
        yield PoolProblem("adaptive_avg", None, 2, 17, (7, 5), (3, 2), direction)
        yield LrnProblem((2, 17, 5, 7), 4, 2.0, 0.5, 2.0, direction)
        yield SoftmaxProblem((3, 17), 1, False, direction)
        yield UnpoolProblem((2, 17, 5, 7), (11, 13), direction)
    yield from _pointwise((3, 17, 5, 7))
    yield MatmulProblem(7, 17, 35, 2, False, True)
    yield MatmulProblem(7, 17, 35, epilogue=Epilogue(True, True, ("relu", 0.0)))
    yield ResampleProblem((2, 17, 5, 7), 2, 11, 3)
    yield WindowProblem((2, 17, 5, 7), (0, 0, 2, 1), (2, 17, 8, 11), fill=-2.0)
    yield ShuffleProblem((2, 18, 5, 7), 3)
    yield from _reorders(block)


def _pointwise(shape: tuple[int, ...]) -> Iterator[Problem]:
    full, channel = TensorSpec(shape), TensorSpec((1, shape[1], 1, 1))
    relu = (("t0", "x0 + x1"), ("y0", "t0 < 0.0f ? 0.0f : t0"))
    yield MapProblem(shape, (full, channel), relu, label="add_relu")
    yield MapProblem(shape, (TensorSpec(shape, "float16"), channel), relu, ("float16",), label="add_relu")
    yield ReduceProblem(shape, (full,), (0, 2, 3), (("r0", "x0"),), label="sum")
    yield ReduceProblem(shape, (full,), (2, 3), (("r0", "x0"),), combine="max", label="largest")


def _reorders(block: int) -> Iterator[Problem]:
    plain = ReorderProblem((2, 17, 5, 7))
    halo = Blocked(block, ((1, 2), (3, 0)))
    yield plain.with_layouts(x=Strided((2 * 17 * 35, 2 * 35, 14, 2), 3))
    yield plain.with_layouts(y=halo)
    yield plain.with_layouts(x=halo)
    yield ReorderProblem((17, 5, 3, 3)).with_layouts(y=Packed(block, block, 2))
    yield ReorderProblem((17, 5, 3, 3)).with_layouts(y=Packed(block, block, 2, turned=True))
    yield ReorderProblem((17, 5, 3, 3)).with_layouts(y=Transformed(block, 1, (2, 2)))


def cases(traits: DeviceTraits, names: Iterable[str] = (), directory: str | None = None) -> tuple[list[Case], list[Skipped]]:
    """What is tried on a device, in the order of the algorithms, and the algorithms that it cannot run. `names` choose among them.

    GPU-shaped algorithms run on processors too: what a caller can ask for by name is tried. Raises UnsupportedError for an unknown name.

    >>> chosen, skipped = cases(DeviceTraits.cpu(8), ["conv_gemm"])
    >>> {case.kind for case in chosen} >= {"fwd", "bwd_d", "bwd_w"}
    True
    """
    chosen = [algorithm for algorithm in ALGORITHMS if not names or algorithm.name in names]
    if unknown := set(names) - {algorithm.name for algorithm in chosen}:
        raise UnsupportedError(f"no algorithm is called {', '.join(sorted(unknown))}; there are {', '.join(a.name for a in ALGORITHMS)}")
    asked, found, skipped = tuple(dict.fromkeys(problems(max(traits.block, 4)))), [], []
    for algorithm in chosen:
        own = [problem for problem in asked if isinstance(problem, algorithm.takes)]
        refusals = {problem: algorithm.why_not_forced(problem, traits) for problem in own}
        found += [_case(algorithm, problem, traits, directory) for problem in own if refusals[problem] is None]
        if None not in refusals.values():
            meant = (problem for problem in own if algorithm.why_not_forced(problem, DeviceTraits.cpu()) is None)
            skipped.append(Skipped(algorithm.name, refusals[next(meant, own[0])] or ""))
    return found, skipped


def _case(algorithm: Algorithm, problem: Problem, traits: DeviceTraits, directory: str | None) -> Case:
    params = algorithm.defaults(problem, traits)
    stored = problem.with_layouts(**algorithm.wants(problem, traits, params))
    return Case(Trial(stored, algorithm.name, params, directory), kind_of(problem))
