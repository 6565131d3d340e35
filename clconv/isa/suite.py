"""What must compile well on every target: layers of many networks in all passes, with groups, ragged channels, halves; and the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from clconv.algorithms import ALGORITHMS
from clconv.isa.report import Row
from clconv.isa.targets import Target
from clconv.problem import ConvProblem, Pass, Problem, ReduceProblem, parse, parse_any
from clconv.tensor import TensorSpec
from clconv.tuning.select import choose

# AlexNet, GoogLeNet, ResNet-50, VGG, DCGAN; ragged channels, dilation, storage in halves, groups.
LAYERS = (
    "n32c3i227x227k96f11x11s4+bias+relu", "n32c96i27x27k256f5x5p2g2+bias+relu", "n32c256i13x13k384f3x3p1+bias+relu",
    "n32c3i224x224k64f7x7s2p3+relu", "n32c192i28x28k96f1x1+relu", "n32c96i28x28k128f3x3p1+relu", "n32c16i28x28k32f5x5p2+relu",
    "n32c480i14x14k192f1x1+relu", "n32c832i7x7k384f1x1+relu",
    "n32c64i56x56k64f1x1+relu", "n32c64i56x56k64f3x3p1+relu", "n32c256i56x56k128f1x1+relu", "n32c128i56x56k128f3x3s2p1+relu",
    "n32c256i56x56k512f1x1s2", "n32c1024i14x14k256f1x1+relu", "n32c256i14x14k256f3x3p1+relu", "n32c512i7x7k512f3x3p1+relu",
    "n32c512i7x7k2048f1x1+relu+res", "n1c2048i7x7k512f1x1+relu",
    "n32c3i224x224k64f3x3p1+relu", "n32c128i112x112k128f3x3p1+relu", "n32c512i28x28k512f3x3p1+relu",
    "n64c512i8x8k1024f4x4s2p1", "n64c3i64x64k64f4x4s2p1",
    "n32c100i19x19k130f3x3p1+bias", "n8c130i17x31k100f3x3p2d2", "n32c128i28x28k128f3x3p1:f16", "n32c256i14x14k1024f1x1:f16",
    "n32c3i224x224k64f7x7s2p3:f16", "n32c128i28x28k128f3x3p1g4",
)  # fmt: skip
DEPTHWISE = (
    "n32c96i112x112k96f3x3s2p1g96", "n32c384i14x14k384f3x3p1g384", "n32c144i56x56k144f5x5p2g144+bias+relu", "n32c384i14x14k384f7x7p3g384",
    "n8c32i28x28k64f3x3p1g32:f16",
)  # fmt: skip
MATMULS = (
    "matmul m1024n1024k1024", "matmul m1024n1000k1020:nt", "matmul m1000n1024k1024:tn", "matmul b8m512n512k60:tt+bias+relu",
    "matmul m64n1000k2048:nt+bias", "matmul b96m256n256k64:f16", "matmul m2048n512k4096:nt",
)  # fmt: skip
OTHERS = (
    "matmul m1n1000k2048:nt+bias+relu", "matmul m1n1000k2048", "matmul m4096n1k4096", "matmul m8n4096k9216:nt:f16",
    "sum 32x64x56x56 over 0,2,3", "sum 64x1000 over 1", "sum 64x1000 over 0", "sum 64x1000 over 0,1", "max 32x64x56x56 over 2,3",
    *(f"{kind} {where}:{direction}" for kind in ("softmax", "log_softmax") for where in ("64x1000 axis 1", "8x21x64x64 axis 1")
      for direction in ("fwd", "bwd_d")),
    *(f"{pool}:{more}" for pool in ("maxpool n32c64i112x112f3x3s2p1", "avgpool n32c64i56x56f3x3s2p1:nopad") for more in ("fwd", "bwd_d")),
    "maxpool n32c64i112x112f3x3s2p1:idx", "avgpool n32c192i28x28f3x3s1p1",
)  # fmt: skip

FLOORS = {
    "forward": 0.80, "backward_data": 0.80, "backward_weights": 0.75, "subgroups": 0.80, "winograd": 0.87, "matmul": 0.75, "others": 0.0,
}  # fmt: skip
"""The least geometric mean, over the layers of a target, of the share of multiply-adds in the inner loop; of others' kernels, which wait
for memory, no more is asked than that nothing spills."""


def operations() -> list[Problem]:
    """What stands beside convolution; moments over several axes are a batch normalisation's statistics."""
    shape = (32, 64, 56, 56)
    moments = (("t0", "x0 - x1"), ("r0", "t0"), ("r1", "t0 * t0"))
    statistics = ReduceProblem(
        shape, (TensorSpec(shape), TensorSpec((1, 64, 1, 1))), (0, 2, 3), moments, ("r", "r / count"), label="moments"
    )
    return [*map(parse_any, (*MATMULS, *OTHERS)), statistics]


def problems() -> list[ConvProblem]:
    """All layers in all passes; a network's first layer has no data gradient."""
    out: list[ConvProblem] = []
    for layer in map(parse_conv, (*LAYERS, *DEPTHWISE)):
        for direction in Pass:
            if direction is Pass.BACKWARD_DATA and layer.channels == 3 and layer.size[0] > 64:
                continue
            plain = layer if direction is Pass.FORWARD else replace(layer, epilogue=type(layer.epilogue)())
            out.append(replace(plain, direction=direction))
    return out


def parse_conv(text: str) -> ConvProblem:
    problem = parse(text)
    assert isinstance(problem, ConvProblem)
    return problem


FOR_GPUS = ("conv_gemm", "conv_gemm_subgroups", "conv_winograd_gemm", "conv_depthwise_strips")


def asked_of(target: Target) -> list[tuple[Problem, str]]:
    """The suite as problems with the algorithm whose kernels are compiled: conv_gemm where it takes the problem, by sub-groups and Winograd
    as well, strips for depthwise layers; beside convolution what is chosen, but tiles for MATMULS."""
    out: list[tuple[Problem, str]] = []
    traits, by_name = target.traits, {algorithm.name: algorithm for algorithm in ALGORITHMS}
    for problem in problems():
        out += [(problem, name) for name in FOR_GPUS if by_name[name].why_not(problem, traits) is None]
    for number, operation in enumerate(operations()):
        out.append((operation, "matmul_gemm" if number < len(MATMULS) else choose(operation, traits, tuned=False).algorithm.name))
    return out


@dataclass(frozen=True)
class Verdict:
    """What a target's rows of one pass (or of Winograd's products) come to: the geometric mean and the least share of multiply-adds, and
    how many rows spill or use private memory."""

    target: str
    kind: str
    kernels: int
    mean: float
    least: float
    spilling: int

    @property
    def holds(self) -> bool:
        return not self.spilling and self.mean >= FLOORS[self.kind]


MEASURED = {"conv_gemm", "conv_gemm_subgroups", "conv_gemm_weights", "conv_gemm_products", "matmul_gemm"}
"""Kernels whose inner loop is to multiply; others, of depthwise layers and before and after the products, must only not spill."""


def kind_of(row: Row) -> str:
    """The row's entry of FLOORS."""
    if row.algorithm in ("conv_winograd_gemm", "matmul_gemm"):
        return "winograd" if row.algorithm == "conv_winograd_gemm" else "matmul"
    if row.algorithm == "conv_gemm_subgroups":
        return "subgroups"
    return parse_conv(row.problem).direction.name.lower() if row.algorithm.startswith("conv_") else "others"


def verdicts(rows: Iterable[Row]) -> list[Verdict]:
    """One for each target and kind, in the order of the rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.target, kind_of(row)), []).append(row)
    out = []
    for (target, kind), members in groups.items():
        shares = [row.mac_share for row in members if row.mac_share is not None and row.entry in MEASURED]
        mean = math.exp(sum(map(math.log, shares)) / len(shares)) if shares else 0.0
        spilling = sum(bool(row.spills or row.scratch_bytes) for row in members)
        out.append(Verdict(target, kind, len(members), mean, min(shares, default=0.0), spilling))
    return out
