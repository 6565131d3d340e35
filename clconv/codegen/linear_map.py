"""Small constant matrices as C statements: what a kernel writes out instead of looping over coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]


def literal(value: Fraction) -> str:
    return f"{float(value)!r}f"


def sum_of(terms: Sequence[tuple[Fraction, str]]) -> str:
    """A C expression for the weighted sum of names."""
    text = ""
    for weight, name in terms:
        if not weight:
            continue
        size = abs(weight)
        factor = name if size == 1 else f"{literal(size)} * {name}"
        text += (f" {'-' if weight < 0 else '+'} " if text else "-" if weight < 0 else "") + factor
    return text or "0.0f"


def mirrored(rows: Matrix) -> list[tuple[int, int]]:
    """Pairs of rows that differ in signs only, in some places."""
    pairs, used = [], set()
    for i, first in enumerate(rows):
        for j in range(i + 1, len(rows)):
            second = rows[j]
            if i in used or j in used or first == second or [abs(v) for v in first] != [abs(v) for v in second]:
                continue
            pairs.append((i, j))
            used |= {i, j}
    return pairs


def transform(matrix: Matrix, inputs: Sequence[str], outputs: Sequence[str], kind: str = "vec") -> list[str]:
    """Statements that declare `outputs` = `matrix` times `inputs`, with the additions shared that two rows or columns have in common.

    >>> one = Fraction(1)
    >>> transform(((one, 2 * one), (one, -2 * one)), ["a", "b"], ["p", "q"])
    ['const vec p_even = a;', 'const vec p_odd = 2.0f * b;', 'const vec p = p_even + p_odd;', 'const vec q = p_even - p_odd;']
    """
    columns = tuple(zip(*matrix, strict=True))
    if len(matrix) < len(columns):  # the output transform: pairs of columns
        return _by_columns(matrix, columns, inputs, outputs, kind)
    pairs = mirrored(matrix)
    paired = {i for pair in pairs for i in pair}
    lines = [
        f"const {kind} {outputs[i]} = {sum_of(list(zip(row, inputs, strict=True)))};" for i, row in enumerate(matrix) if i not in paired
    ]
    for i, j in pairs:
        same = [(v, x) for v, u, x in zip(matrix[i], matrix[j], inputs, strict=True) if v == u]
        opposite = [(v, x) for v, u, x in zip(matrix[i], matrix[j], inputs, strict=True) if v != u]
        even, odd = f"{outputs[i]}_even", f"{outputs[i]}_odd"
        lines += [f"const {kind} {even} = {sum_of(same)};", f"const {kind} {odd} = {sum_of(opposite)};"]
        lines += [f"const {kind} {outputs[i]} = {even} + {odd};", f"const {kind} {outputs[j]} = {even} - {odd};"]
    return lines


def _by_columns(matrix: Matrix, columns: Matrix, inputs: Sequence[str], outputs: Sequence[str], kind: str) -> list[str]:
    pairs = mirrored(columns)
    paired = {i for pair in pairs for i in pair}
    lines, parts = [], {}
    for i, j in pairs:
        even, odd = f"{outputs[0]}_even{i}", f"{outputs[0]}_odd{i}"
        lines += [f"const {kind} {even} = {inputs[i]} + {inputs[j]};", f"const {kind} {odd} = {inputs[i]} - {inputs[j]};"]
        parts[i] = (j, even, odd)
    for row, output in zip(matrix, outputs, strict=True):
        terms = [(row[i], even if row[i] == row[j] else odd) for i, (j, even, odd) in parts.items()]
        terms += [(row[i], name) for i, name in enumerate(inputs) if i not in paired]
        lines.append(f"const {kind} {output} = {sum_of(terms)};")
    return lines
