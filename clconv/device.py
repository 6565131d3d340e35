"""What the library knows of a device, as a value; the one table of vendors' quirks, and that of the tiles that a GPU starts with."""

from __future__ import annotations

from dataclasses import dataclass, replace

NVIDIA, CDNA, RDNA, XE, INTEL = "NVIDIA", "AMD CDNA", "AMD RDNA", "Intel Xe", "Intel iGPU"
UNKNOWN = "unknown GPU"


@dataclass(frozen=True)
class DeviceTraits:
    """Everything that algorithms may ask of a device; made-up ones serve in tests.

    `sub_group_sizes` are the widths of sub-groups that a kernel may require, with block reads and broadcasts; empty where it may not.

    >>> DeviceTraits.cpu(simd_width=8).block
    8
    """

    name: str = "unknown"
    vendor: str = ""
    platform: str = ""
    driver: str = ""
    is_cpu: bool = False
    compute_units: int = 1
    max_work_group_size: int = 256
    simd_width: int = 1
    local_memory_bytes: int = 32768
    global_memory_bytes: int = 1 << 30
    buffer_alignment: int = 128
    vector_registers: int = 16
    loses_nan_in_max: bool = False
    calls_functions: bool = False
    has_own_kernel_cache: bool = False
    keeps_context_alive: bool = True
    sleeps_between_launches: bool = False
    gpu_class: str = UNKNOWN
    sub_group_sizes: tuple[int, ...] = ()

    @classmethod
    def cpu(cls, simd_width: int = 8, compute_units: int = 2) -> DeviceTraits:
        return cls(
            "made-up CPU", is_cpu=True, compute_units=compute_units, simd_width=simd_width, vector_registers=32 if simd_width == 16 else 16
        )

    @classmethod
    def gpu(cls, compute_units: int = 32, gpu_class: str = UNKNOWN) -> DeviceTraits:
        return cls("made-up GPU", is_cpu=False, compute_units=compute_units, gpu_class=gpu_class)

    @property
    def block(self) -> int:
        """Channels in a block of the channel-blocked layout: one vector register."""
        return self.simd_width

    @property
    def label(self) -> str:
        return f"{self.name} ({self.platform})" if self.platform else self.name

    @property
    def identity(self) -> str:
        """The device as measurements are filed under it; the driver's version apart."""
        return f"{self.label}, {self.compute_units} compute units"

    @property
    def family(self) -> str:
        """Devices on which measurements should agree: the same driver, kind, width of vectors and number of compute units.

        >>> DeviceTraits.cpu(simd_width=8, compute_units=2).family
        'CPU, SIMD 8, 2 compute units'
        """
        return ", ".join(filter(None, (self.platform or self.vendor, self.kind, f"{self.compute_units} compute units")))

    @property
    def kind(self) -> str:
        """The class of device: what decides over the shape of a kernel."""
        return f"CPU, SIMD {self.simd_width}" if self.is_cpu else "GPU" if self.gpu_class == UNKNOWN else self.gpu_class

    @property
    def start(self) -> StartTiles:
        """The row of START_TILES for this device."""
        return START_TILES["CPU" if self.is_cpu else self.gpu_class]

    def group(self, wanted: int) -> int:
        """A work-group size along one axis: 1 on CPU devices, else `wanted` cut to the device's limit."""
        return 1 if self.is_cpu else max(1, min(wanted, self.max_work_group_size))


@dataclass(frozen=True)
class Quirk:
    """Where `platform` and `device` occur in the names (empty matches all), these traits replace the queried ones, because of `reason`."""

    platform: str
    device: str
    changes: tuple[tuple[str, object], ...]
    reason: str


QUIRKS: tuple[Quirk, ...] = (
    Quirk("Portable Computing Language", "", (("has_own_kernel_cache", True),), "PoCL keeps built kernels in a cache of its own"),
    Quirk(
        "Portable Computing Language",
        "",
        (("loses_nan_in_max", True),),
        "max(v, 0.f) gives 0 for NaN: activations are written as comparisons",
    ),
    Quirk(
        "Portable Computing Language",
        "",
        (("calls_functions", True),),
        "exp, log, tanh and their like are calls that stay calls, of 10 to 25 ns an element: kernels write them out",
    ),
    Quirk(
        "Portable Computing Language",
        "",
        (("sleeps_between_launches", True),),
        "its threads sleep between kernels that wait for one another: branches of a graph are enqueued side by side",
    ),
    Quirk("NVIDIA", "", (("has_own_kernel_cache", True),), "the driver caches what it compiles; its binaries are PTX"),
    Quirk(
        "Intel(R) OpenCL", "", (("keeps_context_alive", False),), "a queue does not keep its context alive: the context is held beside it"
    ),
    Quirk("NVIDIA", "", (("gpu_class", NVIDIA),), "start tiles: 48 KiB of local memory for a group, waves of 32"),
    Quirk("AMD Accelerated", "gfx9", (("gpu_class", CDNA),), "start tiles: gfx9 has waves of 64, two multiply-adds packed from gfx90a on"),
    *(
        Quirk("AMD Accelerated", generation, (("gpu_class", RDNA),), "start tiles: waves of 32, dual issue from gfx11 on")
        for generation in ("gfx10", "gfx11", "gfx12")
    ),
    Quirk("Intel(R) OpenCL", "Graphics", (("gpu_class", INTEL),), "start tiles: 128 registers of 8 lanes, the processor's memory"),
    Quirk("Intel(R) OpenCL", "Arc(TM) A", (("gpu_class", XE),), "start tiles: the same registers, memory of its own"),
    *(
        Quirk("Intel(R) OpenCL", later, (("gpu_class", UNKNOWN), ("sub_group_sizes", (16, 32))), "no sub-groups of 8, as start tiles have")
        for later in ("Arc(TM) B", "Arc(TM) 1", "Data Center GPU Max")
    ),
)


@dataclass(frozen=True)
class GemmTile:
    """A work-group sums `rows` x `columns` products, `depth` steps of the sum at a time; a work-item has `item_rows` x `item_columns`.

    >>> GemmTile(128, 128, 8, 8, 8).items
    256
    """

    rows: int
    columns: int
    depth: int
    item_rows: int
    item_columns: int

    @property
    def items(self) -> int:
        """Work-items of a group."""
        return self.rows // self.item_rows * (self.columns // self.item_columns)

    def why_no_room(self, local_bytes: int, traits: DeviceTraits) -> str | None:
        """None if the device has so many work-items and bytes of local memory for a group, else one sentence.

        >>> GemmTile(32, 32, 8, 4, 4).why_no_room(4096, DeviceTraits.gpu())
        """
        if self.items <= traits.max_work_group_size and local_bytes <= traits.local_memory_bytes:
            return None
        return (
            f"needs work-groups of {self.items} with {local_bytes} bytes of local memory, "
            f"{traits.label} allows {traits.max_work_group_size} with {traits.local_memory_bytes}"
        )

    @property
    def local_bytes(self) -> int:
        """Both operands' tiles, twice: one is filled while the other is used."""
        return 2 * 4 * self.depth * (self.rows + self.columns)


@dataclass(frozen=True)
class StartTiles:
    """What a class of device starts with until the tuner has timed others.

    `large` suits large sums, `small` are for few channels or few positions, `weights` for the weight gradient. `sub_group` is the width
    that the compiler is told to join work-items to (0: its own choice), `indices` whether the inner loop is shorter when it moves
    indices of 32 bits instead of pointers. `rate` (multiply-adds per second) and `bytes_per_second` are
    those of one compute unit, rough numbers that only rank candidates; a work-group keeps `units_per_group` of them busy.
    """

    large: GemmTile
    small: tuple[GemmTile, ...]
    weights: tuple[GemmTile, ...]
    rate: float
    bytes_per_second: float
    reason: str
    sub_group: int = 0
    indices: bool = False
    units_per_group: int = 1


START_TILES: dict[str, StartTiles] = {
    NVIDIA: StartTiles(
        GemmTile(128, 128, 16, 8, 8), (GemmTile(64, 128, 16, 8, 8), GemmTile(64, 64, 16, 8, 4)),
        (GemmTile(128, 128, 8, 8, 8), GemmTile(128, 64, 8, 8, 8), GemmTile(64, 64, 16, 8, 4)), 1.2e11, 2e10,
        "16 steps between barriers fit into 48 KiB; the weight gradient keeps more addresses alive, 8 steps leave registers for them",
    ),
    CDNA: StartTiles(
        GemmTile(128, 128, 8, 8, 8), (GemmTile(64, 128, 8, 8, 8), GemmTile(64, 64, 8, 8, 4)),
        (GemmTile(128, 128, 8, 8, 8), GemmTile(128, 64, 8, 8, 8), GemmTile(64, 128, 8, 8, 8)), 1e11, 1.5e10,
        "8 x 8 sums and what feeds them take 120 of the 128 registers that two groups leave each other; 8 x 4 cost .10 of the peak",
    ),
    RDNA: StartTiles(
        GemmTile(128, 128, 8, 8, 8), (GemmTile(64, 128, 8, 8, 8), GemmTile(64, 64, 16, 8, 4)),
        (GemmTile(128, 128, 8, 8, 8), GemmTile(128, 64, 8, 8, 8), GemmTile(64, 128, 8, 8, 8)), 1.4e11, 8e9,
        "waves of 32 have twice the registers of CDNA's, 8 x 8 sums take 110; 16 steps spill in the weight gradient",
    ),
    XE: StartTiles(
        GemmTile(128, 64, 16, 8, 4), (GemmTile(64, 64, 16, 8, 4),), (GemmTile(128, 64, 16, 8, 4), GemmTile(64, 64, 16, 8, 4)), 1.5e10, 1e9,
        "8 x 8 sums spill in 128 registers; 8 x 4 with sub-groups of 8 do not; a compute unit is one vector engine of 8 lanes",
        sub_group=8, indices=True, units_per_group=16,
    ),
    INTEL: StartTiles(
        GemmTile(64, 64, 16, 8, 4), (GemmTile(64, 32, 8, 4, 4),), (GemmTile(64, 64, 16, 8, 4),), 1e10, 5e8,
        "as Xe, but so few engines that large tiles leave some idle", sub_group=8, indices=True,
        units_per_group=16,
    ),
    UNKNOWN: StartTiles(
        GemmTile(64, 64, 16, 4, 4), (GemmTile(64, 32, 8, 4, 4), GemmTile(32, 32, 8, 4, 4)),
        (GemmTile(64, 64, 8, 8, 4), GemmTile(32, 32, 8, 4, 4)), 1e11, 1e10,
        "a guess: few registers and 16 KiB of local memory, which every GPU has",
    ),
    "CPU": StartTiles(
        GemmTile(32, 32, 8, 4, 4), (), (GemmTile(32, 32, 8, 4, 4),), 2e9, 4e9,
        "only where it is asked for by name: 64 work-items, which a processor runs one after the other between barriers",
    ),
}  # fmt: skip
"""Tried in compilers for each class; none has been timed on a board yet."""


def apply_quirks(traits: DeviceTraits) -> DeviceTraits:
    """`traits` with every matching row of QUIRKS applied."""
    for quirk in QUIRKS:
        if quirk.platform in traits.platform and quirk.device in traits.name:
            traits = replace(traits, **dict(quirk.changes))  # type: ignore[arg-type]
    return traits
