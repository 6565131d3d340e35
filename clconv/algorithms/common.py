"""What the plain-layout algorithms share: three axes for every rank, and how work is dealt out to work-items."""

from __future__ import annotations

from clconv.device import DeviceTraits
from clconv.geometry import Size
from clconv.problem import Problem

AXES = "DHW"
GROUP = 64
SHARING = 256
CEIL_DIV = {"CEIL_DIV(a, b)": "((a) > 0 ? ((a) + (b) - 1) / (b) : -(-(a) / (b)))"}


def three(values: Size, fill: int = 1) -> tuple[int, int, int]:
    """Sizes of one to three axes as (depth, height, width)."""
    d, h, w = (fill,) * (3 - len(values)) + tuple(values)
    return d, h, w


def per_axis_constants(name: str, values: Size, fill: int = 1) -> dict[str, str]:
    """NAME_D, NAME_H, NAME_W as header constants, negative ones in brackets."""
    return {f"{name}_{letter}": f"({value})" for letter, value in zip(AXES, three(values, fill), strict=True)}


def tasks_each(tasks: int, traits: DeviceTraits) -> int:
    """How many of `tasks` neighbouring tasks one work-item does: one on GPUs, on CPU devices so many that sixteen items per core remain."""
    return max(1, tasks // (16 * traits.compute_units)) if traits.is_cpu else 1


def power_above(n: int) -> int:
    """The least power of two that is at least n.

    >>> power_above(9)
    16
    """
    return 1 << (n - 1).bit_length()


def sharing_group(traits: DeviceTraits) -> int:
    """Work-items of a group that add up what they have as a tree: a power of two, as many as `SHARING` where the device allows it."""
    return power_above(min(SHARING, traits.max_work_group_size) // 2 + 1)


def check_operands(problem: Problem) -> None:
    """Refuses operands whose elements 32-bit numbers cannot count."""
    for name in problem.tensors():
        problem.spec(name).check_addressable(str(problem))
