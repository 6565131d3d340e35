"""Many launches joined into one kernel, whose work-groups stay and take work from counters: between two launches no thread sleeps.

Persistent threads: Gupta, Stuart and Owens, "A Study of Persistent Threads Style GPU Programming for GPGPU Workloads", 2012. A group
waits for what others compute, so this is for devices whose groups, once begun, all keep running, as those of a CPU device do.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clconv.codegen.plan import KernelCall, KernelSource, Scalar, names
from clconv.codegen.render import RenderedKernel, render

HEAD = ("KERNEL", "TICKETS", "RUN", "ITEMS", "ITEMS_X", "ITEMS_Y", "ITEMS_Z", "NUMBERS", "PLACES", "WAITS", "WAIT_COUNT")
TICKETS_EACH = 16
"""Of a launch with many items, for each work-group at least: few enough that neighbours, which share lines of memory, mostly are one's."""
APART = 16
"""Numbers from one counter to the next: a cache line."""
LOCAL_ALIGNMENT = 128
MOST_REGIONS = 100
"""A device need not take more than 1024 bytes of arguments."""
INDEX_SPACE = ", ".join(f"const size_t item{what}" for what in ("_x", "_y", "_z", "s_x", "s_y", "s_z"))
LOCAL_ARRAY = re.compile(r"\b__local\s+\w+\s+\w+\s*\[")
KINDS = ("buffer", "local", "int", "uint", "float")

Region = tuple[str, int]
Place = tuple[Region, int]
"""Some memory, whatever its name, and the byte in it where an operand begins."""


@dataclass(frozen=True)
class Member:
    """One of the launches: its rendered kernel, where its operands are, and which launches, all before it, it waits for."""

    kernel: RenderedKernel
    call: KernelCall
    places: Mapping[str, Place]
    waits: tuple[int, ...]


@dataclass(frozen=True)
class Joined:
    """The kernel, its table, how many launches and work-groups, the memory that its first arguments stand for, in order, and bytes of local
    memory."""

    kernel: RenderedKernel
    table: tuple[int, ...]
    launches: int
    groups: int
    regions: tuple[Region, ...]
    local_bytes: int

    @property
    def counters(self) -> int:
        """How many numbers, all 0, a run needs to count in."""
        return (1 + self.launches * (1 + self.groups)) * APART


def why_not_calls(calls: Sequence[KernelCall]) -> str | None:
    """A sentence why these launches cannot be one, None if nothing but their kernels' texts can be against it."""
    for call in calls:
        if any(size != 1 for size in call.source.group):
            return f"{call.source.entry} works in groups of {' x '.join(map(str, call.source.group))} work-items"
        if any(isinstance(value, Scalar) for _, value in call.bindings):
            return f"{call.source.entry} takes numbers that are only known when a run begins"
    return None


def why_not(members: Sequence[Member]) -> str | None:
    """A sentence why these launches cannot be one, None if they can."""
    if reason := why_not_calls([member.call for member in members]):
        return reason
    for member in members:
        source, kernel = member.call.source, member.kernel
        if LOCAL_ARRAY.search(kernel.text):
            return f"{source.entry} declares local memory of its own"
        for argument in kernel.arguments:
            if argument.kind not in KINDS:
                return f"{source.entry} takes a number of the type {argument.kind}"
        if any(byte >= 1 << 31 for _, byte in member.places.values()):
            return "operands lie 2 GiB and more from where their memory begins"
    if len({region for member in members for region, _ in member.places.values()}) > MOST_REGIONS:
        return f"they use more than {MOST_REGIONS} pieces of memory"
    return None


def join(members: Sequence[Member], groups: int, directory: str | None = None) -> Joined:
    """The launches as one for so many work-groups, from the template in `directory` if it has one.

    `why_not` must have nothing against it.
    """
    kernels = list(dict.fromkeys(member.kernel for member in members))
    regions = tuple(dict.fromkeys(region for member in members for region, _ in member.places.values()))
    heads: list[list[int]] = []
    tail: list[int] = []
    local_bytes = 0
    for member in members:
        sizes = (*member.call.global_size, 1, 1)[:3]
        items = sizes[0] * sizes[1] * sizes[2]
        numbers, places, used = _arguments(member, regions)
        run = max(1, items // (TICKETS_EACH * groups))
        head = [kernels.index(member.kernel), -(-items // run), run, items, *sizes]
        for part in (numbers, places, list(member.waits)):
            head.append(len(HEAD) * len(members) + len(tail))
            tail += part
        heads.append([*head, len(member.waits)])
        local_bytes = max(local_bytes, used)
    constants = {f"LAUNCH_{name}": place for place, name in enumerate(HEAD)} | {"LAUNCH_SIZE": len(HEAD), "COUNTER_STEP": APART}
    functions = tuple((kernel.symbol, as_function(kernel), tuple(argument.kind for argument in kernel.arguments)) for kernel in kernels)
    source = KernelSource("persistent", "persistent", names(constants), names(kernels=functions, regions=len(regions)))
    table = tuple(number for head in heads for number in head) + tuple(tail)
    return Joined(render(source, directory), table, len(members), groups, regions, max(local_bytes, LOCAL_ALIGNMENT))


def _arguments(member: Member, regions: Sequence[Region]) -> tuple[list[int], list[int], int]:
    """What a launch's kernel is called with: numbers, places in memory as (number of the region, byte), and bytes of local memory."""
    bindings = dict(member.call.bindings)
    numbers: list[int] = []
    places: list[int] = []
    used = 0
    for argument in member.kernel.arguments:
        value = bindings[argument.name]
        if isinstance(value, str):
            region, byte = member.places[value]
            places += [regions.index(region), byte]
        elif argument.kind == "local":
            numbers.append(used)
            used += -(-int(value) // LOCAL_ALIGNMENT) * LOCAL_ALIGNMENT  # type: ignore[arg-type]
        else:
            numbers.append(bits(value, argument.kind))  # type: ignore[arg-type]
    return numbers, places, used


def bits(value: float, kind: str) -> int:
    """A number as the int with the same 32 bits.

    >>> bits(1.0, "float") == 0x3F800000, bits(-7, "int"), bits(2**32 - 1, "uint")
    (True, -7, -1)
    """
    packed = struct.pack("<f", value) if kind == "float" else struct.pack("<q", int(value))[:4]
    return int(struct.unpack("<i", packed)[0])


def as_function(kernel: RenderedKernel) -> str:
    """A kernel's text with a function in its place, which takes its work-item and the sizes of the index space before the arguments."""
    text, count = re.subn(
        rf"__kernel[^;{{]*?\bvoid\s+{re.escape(kernel.source.entry)}\s*\(",
        f"static void {kernel.source.entry}({INDEX_SPACE}, ",
        kernel.text,
    )
    assert count == 1, f"{kernel.symbol} has {count} signatures"
    return text
