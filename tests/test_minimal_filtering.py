"""The matrices of minimal filtering, in exact fractions, and the C statements that are made of them, evaluated here. No kernels."""

from __future__ import annotations

import doctest
import random
import re
from fractions import Fraction
from itertools import product
from math import gcd

import pytest

from clconv.algorithms import minimal_filtering
from clconv.algorithms.minimal_filtering import MOST_PRODUCTS, matrices, polynomial, residues, strided, transposed
from clconv.codegen import linear_map
from clconv.codegen.linear_map import Matrix, literal, mirrored, sum_of, transform
from clconv.tensor import filter_products

FILTERS = [(m, r) for m, r in product(range(1, MOST_PRODUCTS + 1), repeat=2) if m + r - 1 <= MOST_PRODUCTS]
EVERY = pytest.mark.parametrize(("outputs", "taps"), FILTERS, ids=lambda n: str(n))


def numbers(count: int, seed: int) -> list[Fraction]:
    rng = random.Random(seed)
    return [Fraction(rng.randint(-50, 50), rng.randint(1, 9)) for _ in range(count)]


def times(matrix: Matrix, vector: list[Fraction]) -> list[Fraction]:
    return [sum((a * x for a, x in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


def filtered(outputs: int, taps: int, d: list[Fraction], g: list[Fraction]) -> list[Fraction]:
    a, w, b = matrices(outputs, taps)
    return times(a, [u * v for u, v in zip(times(w, g), times(b, d), strict=True)])


def correlated(d: list[Fraction], g: list[Fraction]) -> list[Fraction]:
    return [sum((d[i + j] * g[j] for j in range(len(g))), Fraction(0)) for i in range(len(d) - len(g) + 1)]


# The matrices


def test_all_filters_of_up_to_8_products_are_here() -> None:
    assert len(FILTERS) == 36 and MOST_PRODUCTS == 8


@EVERY
def test_they_compute_a_correlation_exactly(outputs: int, taps: int) -> None:
    for seed in range(3):
        d, g = numbers(outputs + taps - 1, seed), numbers(taps, seed + 100)
        assert filtered(outputs, taps, d, g) == correlated(d, g)


@EVERY
def test_every_pair_of_an_input_and_a_tap_goes_where_it_belongs(outputs: int, taps: int) -> None:
    """Bilinear, so that unit vectors say everything: input l and tap j meet in output l - j."""
    n = outputs + taps - 1
    for place, tap in product(range(n), range(taps)):
        d, g = [Fraction(i == place) for i in range(n)], [Fraction(j == tap) for j in range(taps)]
        assert filtered(outputs, taps, d, g) == [Fraction(i == place - tap) for i in range(outputs)]


@EVERY
def test_shapes_and_where_the_fractions_stand(outputs: int, taps: int) -> None:
    n = outputs + taps - 1
    a, g, b = matrices(outputs, taps)
    assert [(len(matrix), len(matrix[0])) for matrix in (a, g, b)] == [(outputs, n), (n, taps), (n, n)]
    assert all(len(row) == len(matrix[0]) for matrix in (a, g, b) for row in matrix)
    for row in b:  # whole numbers without a common factor: the data, transformed in every run, is not multiplied in vain
        assert all(value.denominator == 1 for value in row) and gcd(*(value.numerator for value in row)) == 1
    if n <= 6:
        assert all(value.denominator == 1 for row in a for value in row)
    assert all(type(value) is Fraction for matrix in (a, g, b) for row in matrix for value in row)


def test_the_published_ones() -> None:
    """F(2, 3) and F(4, 3) of Lavin and Gray (2016), up to the signs of the products."""
    a, g, b = matrices(2, 3)
    half = Fraction(1, 2)
    published = (
        (((1, 0, 0), (half, half, half), (half, -half, half), (0, 0, 1)), ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))),
        ((1, 1, 1, 0), (0, 1, -1, -1)),
    )
    for i in range(4):
        signs = {1, -1}
        for column, mine in zip(zip(*published[1], strict=True), zip(*a, strict=True), strict=True):
            assert mine in (column, tuple(-v for v in column))
        assert any(tuple(s * v for v in published[0][0][i]) == g[i] for s in signs)
        assert any(tuple(s * v for v in published[0][1][i]) == b[i] for s in signs)
    assert matrices(4, 3)[2] == (
        (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
    )  # fmt: skip


@pytest.mark.parametrize(("outputs", "taps"), [(0, 3), (3, 0), (-1, 4), (4, -1), (8, 2), (7, 3), (1, 9)])
def test_what_is_not_possible_is_refused(outputs: int, taps: int) -> None:
    with pytest.raises(ValueError, match=rf"F\({outputs}, {taps}\) needs {outputs + taps - 1} products; from 1 to 8 are possible"):
        matrices(outputs, taps)


def test_polynomials_by_their_roots() -> None:
    assert polynomial([]) == (1,)
    assert polynomial([Fraction(2)]) == (-2, 1)
    assert polynomial([Fraction(1), Fraction(-1), Fraction(3)]) == (3, -1, -3, 1)


# With strides


def strided_cases() -> list[tuple[int, int, int]]:
    return [(m, r, s) for m, r, s in product(range(1, 7), range(1, 8), (1, 2, 3, 4)) if filter_products(m, r, s) <= MOST_PRODUCTS]


@pytest.mark.parametrize(("outputs", "taps", "stride"), strided_cases())
def test_strided_maps_compute_a_strided_correlation(outputs: int, taps: int, stride: int) -> None:
    maps = strided(outputs, taps, stride)
    products, window = filter_products(outputs, taps, stride), stride * (outputs - 1) + taps
    shapes = [(len(m), len(m[0])) for m in (maps.output, maps.weights, maps.data)]
    assert shapes == [(outputs, products), (products, taps), (products, window)]
    d, g = numbers(window, 1), numbers(taps, 2)
    got = times(maps.output, [u * v for u, v in zip(times(maps.weights, g), times(maps.data, d), strict=True)])
    assert got == [sum((d[stride * i + j] * g[j] for j in range(taps)), Fraction(0)) for i in range(outputs)]
    assert stride > 1 or (maps.output, maps.weights, maps.data) == matrices(outputs, taps)


def test_taps_by_residue() -> None:
    assert [list(part) for part in residues(5, 2)] == [[0, 2, 4], [1, 3]]
    assert [list(part) for part in residues(2, 3)] == [[0], [1]] and [list(part) for part in residues(4, 1)] == [[0, 1, 2, 3]]
    for taps, stride in product(range(1, 9), range(1, 6)):
        assert sorted(t for part in residues(taps, stride) for t in part) == list(range(taps))


@pytest.mark.parametrize(("outputs", "taps", "stride"), [case for case in strided_cases() if 1 < case[2] <= case[1]])
def test_transposed_maps_compute_the_gradient(outputs: int, taps: int, stride: int) -> None:
    """For every padding: dx[p] = sum of dy[q] w[t] over stride q + t = p + pad, from turned weights, in a tile that starts at 0."""
    w = numbers(taps, 3)
    for pad in range(stride):
        firsts, reads = [], []
        for part in residues(taps, stride):  # the turned tap t is w[taps - 1 - t]
            first = (taps - 1 - part.start - pad) % stride
            # Position p takes w[k] with dy[(p + pad - k) / stride]; the first turned tap of the part is the largest k of it.
            firsts.append(first)
            reads.append((first + pad - (taps - 1 - part.start)) // stride)
        base = min(reads)
        maps = transposed(outputs, taps, stride, firsts, [read - base for read in reads])
        dy = numbers(len(maps.data[0]), 4)
        got = times(maps.output, [u * v for u, v in zip(times(maps.weights, w[::-1]), times(maps.data, dy), strict=True)])
        want = []
        for p in range(stride * outputs):
            terms = [(p + pad - k, k) for k in range(taps) if (p + pad - k) % stride == 0]
            want.append(sum((dy[q // stride - base] * w[k] for q, k in terms), Fraction(0)))
        assert got == want, pad
        assert maps.weights == strided(outputs, taps, stride).weights


# The statements


def evaluated(lines: list[str], values: dict[str, Fraction], kind: str) -> dict[str, Fraction]:
    """C declarations of constants, in order, run in Python on fractions; each name is declared once, before it is read."""
    known = dict(values)
    for line in lines:
        found = re.fullmatch(rf"const {kind} (\w+) = (.+);", line)
        assert found, line
        name, text = found.groups()
        assert name not in known, f"{name} is declared twice"
        assert not re.search(r"\d\.\d+(?:e-?\d+)?(?!f|\d)", text), f"a literal of double precision: {text}"
        text = re.sub(r"(\d+\.\d+(?:e[-+]?\d+)?)f", r"Fraction(\1)", text)
        known[name] = eval(text, {"Fraction": Fraction, "__builtins__": {}}, known)
    return known


@EVERY
@pytest.mark.parametrize("which", [0, 1, 2], ids=["A", "G", "B"])
def test_the_statements_are_the_product(outputs: int, taps: int, which: int) -> None:
    """Exactly, for the literals as they are rounded to double: only G has fractions that are not finite in binary."""
    matrix = matrices(outputs, taps)[which]
    rounded = tuple(tuple(Fraction(float(v)) for v in row) for row in matrix)
    assert which == 1 or rounded == matrix
    inputs, results = [f"x{i}" for i in range(len(matrix[0]))], [f"y{i}" for i in range(len(matrix))]
    values = numbers(len(inputs), 7)
    known = evaluated(transform(matrix, inputs, results), dict(zip(inputs, values, strict=True)), "vec")
    assert [known[name] for name in results] == times(rounded, values)


def test_statements_of_any_matrix() -> None:
    """Random small ones, with zeros, equal rows, mirrored rows and mirrored columns among them; of any shape and element type."""
    rng = random.Random(3)
    for trial in range(300):
        rows, columns = rng.randint(1, 6), rng.randint(1, 6)
        matrix = [[Fraction(rng.choice((0, 0, 1, -1, 2, -3, Fraction(1, 4)))) for _ in range(columns)] for _ in range(rows)]
        for _ in range(rng.randint(0, 2)):
            i, j = rng.randrange(rows), rng.randrange(rows)
            matrix[i] = [rng.choice((v, -v)) for v in matrix[j]]
            i, j = rng.randrange(columns), rng.randrange(columns)
            for row in matrix:
                row[i] = rng.choice((row[j], -row[j]))
        frozen = tuple(map(tuple, matrix))
        inputs, results = [f"x{i}" for i in range(columns)], [f"y{i}" for i in range(rows)]
        values = numbers(columns, trial)
        known = evaluated(transform(frozen, inputs, results, "float"), dict(zip(inputs, values, strict=True)), "float")
        assert [known[name] for name in results] == times(frozen, values), frozen


def test_shared_additions_are_made_once() -> None:
    """The data transform of F(4, 3): each pair of mirrored rows shares its two sums; written out row by row it takes 16 additions."""
    matrix = matrices(4, 3)[2]
    lines = transform(matrix, [f"x{i}" for i in range(6)], [f"y{i}" for i in range(6)])
    assert len(mirrored(matrix)) == 2 and sum(sum(map(bool, row)) - 1 for row in matrix) == 16
    assert sum(len(re.findall(r" [-+] ", line)) for line in lines) == 12


def test_sums_and_literals() -> None:
    one = Fraction(1)
    assert sum_of([]) == sum_of([(0 * one, "a")]) == "0.0f"
    assert sum_of([(-one, "a"), (one, "b"), (0 * one, "c"), (-2 * one, "d")]) == "-a + b - 2.0f * d"
    assert sum_of([(one, "a")]) == "a" and sum_of([(-one / 4, "a")]) == "-0.25f * a"
    assert literal(one / 3) == "0.3333333333333333f" and literal(5 * one) == "5.0f" and literal(-one / 2) == "-0.5f"


def test_mirrored_pairs() -> None:
    rows = tuple(tuple(map(Fraction, row)) for row in ((1, 2, 0), (1, 2, 0), (1, -2, 0), (-1, -2, 0), (0, 0, 1), (0, 0, 1)))
    pairs = mirrored(rows)
    assert pairs == [(0, 2), (1, 3)]  # equal rows are none, and a row belongs to one pair


@pytest.mark.parametrize("module", [minimal_filtering, linear_map], ids=lambda m: m.__name__)
def test_examples_in_the_modules(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert results.attempted and not results.failed
