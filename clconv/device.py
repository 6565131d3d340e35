"""What the library knows of a device, as a value; and the one table of vendors' quirks."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class DeviceTraits:
    """Everything that algorithms may ask of a device; made-up ones serve in tests.

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

    @classmethod
    def cpu(cls, simd_width: int = 8, compute_units: int = 2) -> DeviceTraits:
        return cls(
            "made-up CPU", is_cpu=True, compute_units=compute_units, simd_width=simd_width, vector_registers=32 if simd_width == 16 else 16
        )

    @classmethod
    def gpu(cls, compute_units: int = 32) -> DeviceTraits:
        return cls("made-up GPU", is_cpu=False, compute_units=compute_units)

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
        return f"CPU, SIMD {self.simd_width}" if self.is_cpu else "GPU"

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
    Quirk("NVIDIA", "", (("has_own_kernel_cache", True),), "the driver caches what it compiles; its binaries are PTX"),
    Quirk(
        "Intel(R) OpenCL", "", (("keeps_context_alive", False),), "a queue does not keep its context alive: the context is held beside it"
    ),
)


def apply_quirks(traits: DeviceTraits) -> DeviceTraits:
    """`traits` with every matching row of QUIRKS applied."""
    for quirk in QUIRKS:
        if quirk.platform in traits.platform and quirk.device in traits.name:
            traits = replace(traits, **dict(quirk.changes))  # type: ignore[arg-type]
    return traits
