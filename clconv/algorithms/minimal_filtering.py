"""Winograd's minimal filtering F(m, r): m outputs of an r-tap correlation from m + r - 1 products, by three linear maps.

    y = A^T ((G g) * (B^T d)),   * element by element; in two dimensions  Y = A^T ((G g G^T) * (B^T d B)) A

The matrices come from Toom-Cook interpolation at points 0, 1, -1, ... and infinity (Winograd 1980; Lavin and Gray 2016, section 4). The
fractions stand in G alone: the data transforms of F(2, 3) and F(4, 3) are those of Lavin and Gray up to signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
