"""The text forms of all problems that have one that can be read: beside convolution and pooling, products of matrices, softmax, reductions.

    matmul b1m64n1000k2048[:nn|:nt|:tn|:tt][:f16][+bias+relu+res]     b batch; n or t: a, and b, are stored transposed
    softmax|log_softmax 64x1000 axis 1[:fwd|:bwd_d]
    sum|max 32x64x56x56 over 0,2,3
"""

from __future__ import annotations

import re

from clconv.errors import GeometryError
from clconv.problem.base import Problem
from clconv.problem.conv import Pass
from clconv.problem.elementwise import ReduceProblem
from clconv.problem.matmul import MatmulProblem
from clconv.problem.rows import SoftmaxProblem
from clconv.problem.text import epilogue_of, parse
from clconv.tensor import TensorSpec

FORMS = {
    "matmul": r"(?:b(?P<b>\d+))?m(?P<m>\d+)n(?P<n>\d+)k(?P<k>\d+)(?::(?P<a_flag>[nt])(?P<b_flag>[nt]))?(?P<half>:f16)?(?P<fused>\+.*)?",
    "softmax": r"(?P<shape>\d+(?:x\d+)*) axis (?P<axis>-?\d+)(?::(?P<pass>fwd|bwd_d))?",
    "sum": r"(?P<shape>\d+(?:x\d+)*) over (?P<axes>\d+(?:,\d+)*)",
}
EXAMPLES = {"matmul": "matmul b1m64n1000k2048:nt+bias", "softmax": "softmax 64x1000 axis 1:bwd_d", "sum": "sum 32x64x56x56 over 0,2,3"}
FORM_OF = {"matmul": "matmul", "softmax": "softmax", "log_softmax": "softmax", "sum": "sum", "max": "sum"}


def parse_any(text: str) -> Problem:
    """The problem that `text` describes, of any kind; GeometryError says what is wrong with it.

    >>> str(parse_any("matmul m1n10k400:nt+bias"))
    'matmul b1m1n10k400:nt+bias'
    """
    kind, _, rest = text.strip().partition(" ")
    if kind not in FORM_OF:
        return parse(text)
    form = FORM_OF[kind]
    match = re.fullmatch(FORMS[form], rest.strip())
    if match is None:
        raise GeometryError(f"problem {text!r}: expected a text such as {EXAMPLES[form]!r}")
    found = match.groupdict()
    if form == "matmul":
        return _matmul(found, text)
    shape = tuple(map(int, found["shape"].split("x")))
    if not all(shape):
        raise GeometryError(f"problem {text!r}: all axes must have elements, got {shape}")
    if form == "softmax":
        axis = int(found["axis"])
        if not -len(shape) <= axis < len(shape):
            raise GeometryError(f"problem {text!r}: axis {axis} is none of the {len(shape)} of {shape}")
        return SoftmaxProblem(shape, axis, kind == "log_softmax", Pass(found["pass"] or "fwd"))
    axes = tuple(map(int, found["axes"].split(",")))
    if len(set(axes)) != len(axes) or max(axes) >= len(shape):
        raise GeometryError(f"problem {text!r}: axes {axes} must be distinct ones of the {len(shape)} of {shape}")
    return ReduceProblem(shape, (TensorSpec(shape),), tuple(sorted(axes)), (("r0", "x0"),), combine=kind, label=kind)


def _matmul(found: dict[str, str], text: str) -> MatmulProblem:
    batch, m, n, k = (int(found[letter] or 1) for letter in "bmnk")
    if not batch * m * n * k:
        raise GeometryError(f"problem {text!r}: b, m, n and k must be at least 1, got {batch}, {m}, {n} and {k}")
    return MatmulProblem(
        m, n, k, batch, found["a_flag"] == "t", found["b_flag"] == "t", "float16" if found["half"] else "float32",
        epilogue_of(found["fused"] or "", text),
    )  # fmt: skip
