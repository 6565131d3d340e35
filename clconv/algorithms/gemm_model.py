"""How long a tiled product of matrices should take on a device: a model that ranks tiles and algorithms, not a measurement.

    time = max(multiply-adds / (peak * their share of the inner loop), bytes from global memory / bandwidth)

Multiply-adds count what fills up tiles and the last wave of work-groups; bytes what the tiles load, again and again, and what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from clconv.device import GemmTile


@dataclass(frozen=True)
class Machine:
    """`units` run a work-group each at a time; `rate` multiply-adds a second of one of them, `bandwidth` bytes a second of all."""

    units: int
    rate: float
    bandwidth: float

    @property
    def peak(self) -> float:
        return self.units * self.rate


@dataclass(frozen=True)
class Product:
    """`groups` products of m x `steps` * tile.depth by that x n; the steps are those of the loop, filled up.

    `stored` is the bytes of one element of the result, `loaded` those of the operands.
    """

    m: int
    n: int
    steps: int
    groups: int = 1
    loaded: int = 4
    stored: int = 4

    def tiles(self, tile: GemmTile) -> int:
        return self.groups * -(-self.m // tile.rows) * -(-self.n // tile.columns)


def multiply_adds(product: Product, tile: GemmTile, parts: int, units: int) -> int:
    """Those that the device could do meanwhile: of full tiles, in waves of work-groups that keep all units busy."""
    waves = -(-product.tiles(tile) * parts // units)
    return waves * units * -(-product.steps // parts) * tile.rows * tile.columns * tile.depth


def global_bytes(product: Product, tile: GemmTile, parts: int) -> int:
    """What all tiles load, and the results of every part."""
    loads = product.tiles(tile) * product.steps * tile.depth * (tile.rows + tile.columns) * product.loaded
    return loads + product.groups * product.m * product.n * parts * (product.stored if parts == 1 else 4)


def seconds(product: Product, tile: GemmTile, parts: int, machine: Machine, share: float) -> float:
    """The model's time of one launch; adding up the parts is another's.

    >>> machine = Machine(units=10, rate=1e9, bandwidth=1e9)
    >>> seconds(Product(m=64, n=160, steps=4), GemmTile(32, 32, 8, 4, 4), parts=1, machine=machine, share=0.5)
    6.5536e-05
    """
    work = multiply_adds(product, tile, parts, machine.units) / (machine.peak * share)
    return max(work, global_bytes(product, tile, parts) / machine.bandwidth)
