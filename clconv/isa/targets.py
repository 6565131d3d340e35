"""The GPUs that kernels can be compiled for here: the device as the library would see it, and a board's public data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clconv.algorithms.gemm_model import Machine
from clconv.device import CDNA, NVIDIA, RDNA, XE, DeviceTraits
from clconv.errors import UnsupportedError


@dataclass(frozen=True)
class Board:
    """A board's data sheet: units that run a work-group each, fp32 TFLOP/s (two a multiply-add), GB/s, and which peak that is.

    `per_slot` are the multiply-adds that one instruction slot of the peak holds: two where the peak counts packed or paired ones.
    """

    name: str
    units: int
    tera_flops: float
    giga_bytes: float
    peak: str
    per_slot: int = 1

    @property
    def machine(self) -> Machine:
        return Machine(self.units, self.tera_flops * 1e12 / 2 / self.units, self.giga_bytes * 1e9)


@dataclass(frozen=True)
class Target:
    """An architecture: `vendor` chooses the compiler, `arch` is its name there."""

    vendor: str
    arch: str
    gpu_class: str
    board: Board
    compute_units: int
    local_memory_bytes: int
    max_work_group_size: int = 256
    sub_group_sizes: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.vendor}:{self.arch}"

    @property
    def traits(self) -> DeviceTraits:
        """The device as its driver would describe it."""
        return replace(
            DeviceTraits.gpu(self.compute_units, self.gpu_class), name=f"{self.board.name} ({self.arch})",
            local_memory_bytes=self.local_memory_bytes, max_work_group_size=self.max_work_group_size, global_memory_bytes=16 << 30,
            sub_group_sizes=self.sub_group_sizes,
        )  # fmt: skip


KIB = 1024
TARGETS: tuple[Target, ...] = (
    Target("amd", "gfx90a", CDNA, Board("MI250X, one die", 110, 47.9, 1638, "packed fp32", 2), 110, 64 * KIB),
    Target("amd", "gfx942", CDNA, Board("MI300X", 304, 163.4, 5300, "packed fp32", 2), 304, 64 * KIB),
    Target("amd", "gfx1030", RDNA, Board("RX 6900 XT", 80, 23.0, 512, "fp32"), 80, 64 * KIB),
    Target("amd", "gfx1100", RDNA, Board("RX 7900 XTX", 96, 61.4, 960, "fp32, dual issue", 2), 96, 64 * KIB),
    Target("nvidia", "sm_80", NVIDIA, Board("A100 SXM 40 GB", 108, 19.5, 1555, "fp32 without tensor cores"), 108, 48 * KIB, 1024),
    Target("nvidia", "sm_90", NVIDIA, Board("H100 SXM", 132, 66.9, 3350, "fp32 without tensor cores"), 132, 48 * KIB, 1024),
    Target("intel", "dg2", XE, Board("Arc A770", 32, 17.2, 560, "fp32"), 512, 64 * KIB, 512, (8, 16, 32)),
)


def target_named(name: str) -> Target:
    """The target "amd:gfx90a", or of its architecture alone. UnsupportedError lists what there is."""
    for target in TARGETS:
        if name in (target.name, target.arch):
            return target
    raise UnsupportedError(f"target {name!r} is not one of {', '.join(t.name for t in TARGETS)}")
