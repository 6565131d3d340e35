"""Winograd's minimal filtering F(m, r): m outputs of an r-tap correlation from m + r - 1 products, by three linear maps.

    y = A^T ((G g) * (B^T d)),   * element by element; in two dimensions  Y = A^T ((G g G^T) * (B^T d B)) A

The matrices come from Toom-Cook interpolation at points 0, 1, -1, ... and infinity (Winograd 1980; Lavin and Gray 2016, section 4). The
fractions stand in G alone: the data transforms of F(2, 3) and F(4, 3) are those of Lavin and Gray up to signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, reduce
from operator import mul

from clconv.codegen.linear_map import Matrix, Row

POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2), Fraction(1, 2), Fraction(-1, 2))
"""Small numbers in pairs of both signs: their powers stay near 1, and a pair shares half of its additions."""
MOST_PRODUCTS = len(POINTS) + 1


@lru_cache(maxsize=64)
def matrices(outputs: int, taps: int) -> tuple[Matrix, Matrix, Matrix]:
    """(A^T, G, B^T) of F(outputs, taps), exactly: m x n, n x r and n x n for n = m + r - 1 products.

    >>> [[str(v) for v in row] for row in matrices(2, 3)[0]]
    [['1', '1', '1', '0'], ['0', '1', '-1', '1']]
    """
    n = outputs + taps - 1
    if not 1 <= n <= MOST_PRODUCTS or outputs < 1 or taps < 1:
        raise ValueError(f"F({outputs}, {taps}) needs {n} products; from 1 to {MOST_PRODUCTS} are possible")
    if n == 1:
        one = ((Fraction(1),),)
        return one, one, one
    points = POINTS[: n - 1]
    others = [[q for q in points if q != p] for p in points]
    infinity = Fraction(0)
    a = tuple((*(p**i for p in points), Fraction(1) if i == outputs - 1 else infinity) for i in range(outputs))
    g = tuple(tuple(p**k / product(p - q for q in rest) for k in range(taps)) for p, rest in zip(points, others, strict=True))
    g += (tuple(Fraction(k == taps - 1) for k in range(taps)),)
    b = tuple((*polynomial(rest), Fraction(0)) for rest in others) + (polynomial(points),)
    scaled = [positive(row, column) for row, column in zip(b, g, strict=True)]
    return a, tuple(column for _, column in scaled), tuple(row for row, _ in scaled)


def product(factors: Iterable[Fraction]) -> Fraction:
    return reduce(mul, factors, Fraction(1))


def polynomial(roots: Sequence[Fraction]) -> Row:
    """Coefficients of the product of (x - root), lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        coefficients = [a - root * b for a, b in zip([Fraction(0), *coefficients], [*coefficients, Fraction(0)], strict=True)]
    return tuple(coefficients)


def positive(row: Row, column: Row) -> tuple[Row, Row]:
    """The pair scaled so that `row` has whole numbers without a common factor, `column` the inverse."""
    scale = Fraction(1)
    for value in row:
        if (value * scale).denominator > 1:
            scale *= (value * scale).denominator
    return tuple(v * scale for v in row), tuple(v / scale for v in column)


@dataclass(frozen=True)
class Filter:
    """The maps of one axis: `output` A^T (positions of a tile x products), `weights` G (products x taps), `data` B^T (products x window).

    A strided correlation is a sum of dense ones, one for each residue of the taps modulo the stride, and its products are theirs side by
    side; the gradient with respect to its data is as many dense ones that write neighbouring positions. The products stand in the order
    of the residues in both, so that the weights do not depend on the padding.
    """

    output: Matrix
    weights: Matrix
    data: Matrix


@dataclass(frozen=True)
class Branch:
    """The dense correlation of the taps with one residue: position j of a tile is row `row` + j * `row_step` of the tile, input i of its
    window is column `column` + i * `column_step` of the tile's window."""

    taps: range
    row: int
    row_step: int
    column: int
    column_step: int


def residues(taps: int, stride: int) -> tuple[range, ...]:
    """The taps with each residue modulo the stride, those without any left out.

    >>> [list(r) for r in residues(3, 2)]
    [[0, 2], [1]]
    """
    return tuple(range(first, taps, stride) for first in range(min(taps, stride)))


def strided(outputs: int, taps: int, stride: int = 1) -> Filter:
    """`outputs` positions of a correlation with `stride`, from a window of stride * (outputs - 1) + taps inputs."""
    branches = [Branch(part, 0, 1, part.start, stride) for part in residues(taps, stride)]
    return _joined(outputs, outputs, taps, stride * (outputs - 1) + taps, branches)


def transposed(outputs: int, taps: int, stride: int, firsts: Sequence[int], offsets: Sequence[int]) -> Filter:
    """stride * `outputs` positions of the gradient of a strided correlation, for taps that are turned.

    The taps with residue i make the positions `firsts[i]`, + stride, ..., from the inputs `offsets[i]`, + 1, ..., counted from the first
    input that any of them reads.
    """
    parts = residues(taps, stride)
    branches = [Branch(part, first, stride, offset, 1) for part, first, offset in zip(parts, firsts, offsets, strict=True)]
    window = max(branch.column + outputs + len(branch.taps) - 1 for branch in branches)
    return _joined(outputs, stride * outputs, taps, window, branches)


def _joined(outputs: int, rows: int, taps: int, window: int, branches: Sequence[Branch]) -> Filter:
    """The maps of all branches, their products side by side; each makes `outputs` of the tile's `rows` positions."""
    a: list[list[Fraction]] = [[] for _ in range(rows)]
    g: list[Row] = []
    b: list[Row] = []
    zero = Fraction(0)
    for branch in branches:
        own_a, own_g, own_b = matrices(outputs, len(branch.taps))
        places = {branch.row + j * branch.row_step: own_a[j] for j in range(outputs)}
        for row, line in enumerate(a):
            line.extend(places.get(row, (zero,) * len(own_g)))
        for weights, data in zip(own_g, own_b, strict=True):
            at_taps = dict(zip(branch.taps, weights, strict=True))
            at_inputs = {branch.column + i * branch.column_step: value for i, value in enumerate(data)}
            g.append(tuple(at_taps.get(t, zero) for t in range(taps)))
            b.append(tuple(at_inputs.get(i, zero) for i in range(window)))
    return Filter(tuple(map(tuple, a)), tuple(g), tuple(b))
