"""A problem's kernels through a target's compiler, as rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from clconv.algorithms import conv_gemm, conv_winograd_gemm, matmul_gemm
from clconv.algorithms.conv_winograd_gemm import ConvWinogradGemmParams
from clconv.algorithms.gemm_shape import ConvGemmParams
from clconv.codegen.plan import KernelSource
from clconv.codegen.render import render
from clconv.isa import amd, intel, nvidia
from clconv.isa.compiled import Compiled
from clconv.isa.targets import Target
from clconv.problem import ConvProblem, MatmulProblem, Problem
from clconv.tuning.entry import params_text
from clconv.tuning.select import Choice, choose

BACK_ENDS = {"amd": amd.compile_kernel, "nvidia": nvidia.compile_kernel, "intel": intel.compile_kernel}


@dataclass(frozen=True)
class Row:
    """One kernel of a problem on one target. `mac_share` is None for kernels without a loop that multiplies, `modelled_fraction` for those
    of algorithms without a model: the attainable time of the whole problem on the target's board over the modelled one."""

    target: str
    entry: str
    algorithm: str
    registers: int
    spills: int
    scratch_bytes: int
    local_bytes: int
    occupancy: float
    mac_share: float | None
    modelled_fraction: float | None
    loads_per_mac: float | None
    parameters: str
    problem: str
    assembly: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For JSON: everything but the assembly."""
        return {key: value for key, value in asdict(self).items() if key != "assembly"}


@cache
def compiled(source: KernelSource, target: Target) -> Compiled:
    """Layers share kernels, so that each is compiled once."""
    kernel = render(source)
    with tempfile.TemporaryDirectory(prefix="clconv-isa-") as folder:
        path = Path(folder, "kernel.cl")
        path.write_text(kernel.text)
        return BACK_ENDS[target.vendor](path, kernel.symbol, target.arch, source.group[0] * source.group[1] * source.group[2])


def inspect(problem: Problem, targets: Iterable[Target], algorithm: str | None = None) -> list[Row]:
    """The rows of all kernels of `problem`, by the algorithm that is chosen for each target, or by the one named.

    UnsupportedError names the tool or the rule where a target's compiler or the algorithm is missing; BuildError has a compiler's log.
    """
    return [row for target in targets for row in rows_of(problem, target, algorithm)]


def rows_of(problem: Problem, target: Target, algorithm: str | None) -> list[Row]:
    choice = choose(problem, target.traits, forced=algorithm, tuned=False)
    stored = problem.with_layouts(**choice.wants)
    calls = choice.algorithm.plan(stored, target.traits, choice.params).calls
    found = {source: compiled(source, target) for source in dict.fromkeys(call.source for call in calls)}
    fraction = modelled_fraction(problem, target, choice, found.values())
    return [
        Row(
            target.name, source.entry, choice.algorithm.name, c.registers, c.spills, c.scratch_bytes, c.local_bytes, round(c.occupancy, 3),
            round(c.loop.share, 3) if c.loop else None, fraction if c.loop else None,
            round(c.loop.loads / c.loop.macs, 4) if c.loop else None, params_text(choice.params), str(problem),
            c.loop.lines if c.loop else (),
        )
        for source, c in found.items()
    ]  # fmt: skip


def modelled_fraction(problem: Problem, target: Target, choice: Choice, kernels: Iterable[Compiled]) -> float | None:
    """The roofline's time over the model's: multiply-adds at the peak or every operand once, against what tiles and loops really do.
    Above 1 is possible where minimal filtering does with fewer multiply-adds than the problem has."""
    loops = [c.loop for c in kernels if c.loop]
    if not isinstance(choice.params, ConvGemmParams | ConvWinogradGemmParams) or not loops:
        return None
    machine, board = target.board.machine, target.board
    loop = max(loops, key=lambda loop: loop.macs)
    share = loop.macs / (loop.vector_slots * board.per_slot)
    roof = max(problem.multiply_adds / machine.peak, problem.bytes_moved / machine.bandwidth)
    if isinstance(problem, MatmulProblem) and isinstance(choice.params, ConvGemmParams):
        return round(roof / matmul_gemm.estimate(problem, choice.params, machine, share), 3)
    assert isinstance(problem, ConvProblem)
    if isinstance(choice.params, ConvWinogradGemmParams):
        return round(roof / conv_winograd_gemm.estimate(problem, choice.params, machine, share), 3)
    return round(roof / conv_gemm.estimate(problem, choice.params, machine, share), 3)
