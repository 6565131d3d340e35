"""The text form of convolution and pooling problems: one grammar for logs, commands, shape files, tests and the tuning database.

    [conv|deconv|maxpool|avgpool] n8c48i56x56k64f3x3s2x1p1,2x0,1o0d1g2[:bwd_d|:bwd_w][:f16][+bias+relu+res]

n batch, c input channels, i input size, k output channels, f kernel, s stride, p padding (begin,end per axis), o output_padding,
d dilation, g groups. Instead of relu also leaky_relu(slope), clip(least,most), hardswish, silu. One number stands for all axes; defaults
(stride 1, no padding ...) are left out on printing and accepted on reading. For deconv, c and i are its own input's. Pooling adds :ceil,
:idx, :nopad (padding not counted) and :divN.
"""

from __future__ import annotations

import re

from clconv.errors import GeometryError
from clconv.geometry import ConvGeometry, PoolGeometry, Size
from clconv.problem.conv import Activation, ConvProblem, Epilogue, Pass
from clconv.problem.pool import PoolProblem

KINDS = ("conv", "deconv", "maxpool", "avgpool")
FIELD = re.compile(r"([ncikfspodg])([0-9][0-9x,]*)")
PASSES = {p.value: p for p in Pass}


def parse(text: str) -> ConvProblem | PoolProblem:
    """The problem that `text` describes; GeometryError says what is wrong with it and where.

    >>> str(parse("n1c3i8x8k4f3x3s1p1"))
    'conv n1c3i8x8k4f3x3p1'
    """
    kind, _, rest = text.strip().partition(" ")
    if not rest:
        kind, rest = "conv", kind
    if kind not in KINDS:
        raise GeometryError(f"problem {text!r}: kind {kind!r} is not one of {', '.join(KINDS)}")
    match = re.fullmatch(r"([a-z0-9x,]+)((?::[a-z0-9_]+)*)((?:\+[a-z_]+(?:\([0-9.einf,-]+\))?)*)", rest.strip())
    fields = FIELD.findall(match[1]) if match else []
    if match is None or "".join(a + b for a, b in fields) != match[1]:
        raise GeometryError(f"problem {text!r}: expected letters with numbers such as n1c3i8x8k4f3x3, then :flags, then +epilogue")
    values = dict(fields)
    if len(values) != len(fields):
        raise GeometryError(f"problem {text!r}: a letter is given twice")
    flags = [f for f in match[2].split(":") if f]
    for needed in "cif" + ("" if kind.endswith("pool") else "k"):
        if needed not in values:
            raise GeometryError(
                f"problem {text!r}: {needed!r} is missing; c, i, f{'' if kind.endswith('pool') else ' and k'} must be given"
            )
    if kind.endswith("pool"):
        if match[3]:
            raise GeometryError(f"problem {text!r}: pooling has no epilogue, got {match[3]!r}")
        return _pool(kind, values, flags, text)
    return _conv(kind, values, flags, epilogue_of(match[3], text), text)


def _numbers(values: dict[str, str], letter: str, default: int, rank: int, text: str) -> Size:
    entries = tuple(_whole(e, letter, text) for e in values.get(letter, str(default)).split("x"))
    if len(entries) == 1:
        entries *= rank
    if len(entries) != rank:
        raise GeometryError(f"problem {text!r}: {letter} has {len(entries)} entries for {rank} spatial axes")
    return entries


def _whole(entry: str, letter: str, text: str) -> int:
    if not entry.isdigit():
        raise GeometryError(f"problem {text!r}: {letter} must hold whole numbers joined by x, got {values_text(entry)}")
    return int(entry)


def values_text(entry: str) -> str:
    return repr(entry) if entry else "nothing"


def _pads(values: dict[str, str], rank: int, text: str) -> tuple[tuple[int, int], ...]:
    pairs = []
    for entry in values.get("p", "0").split("x"):
        sides = tuple(_whole(side, "p", text) for side in entry.split(","))
        if len(sides) > 2:
            raise GeometryError(f"problem {text!r}: padding {entry!r} has {len(sides)} sides; give begin,end or one number")
        pairs.append((sides[0], sides[-1]))
    if len(pairs) == 1:
        pairs *= rank
    if len(pairs) != rank:
        raise GeometryError(f"problem {text!r}: p has {len(pairs)} entries for {rank} spatial axes")
    return tuple(pairs)


def _scalar(values: dict[str, str], letter: str, default: int, least: int, text: str) -> int:
    number = _whole(values.get(letter, str(default)), letter, text)
    if number < least:
        raise GeometryError(f"problem {text!r}: {letter} must be at least {least}, got {number}")
    return number


def epilogue_of(suffix: str, text: str) -> Epilogue:
    """What `suffix` asks for, as in "+bias+relu+res"."""
    bias = residual = False
    activation: Activation | None = None
    for part in filter(None, suffix.split("+")):
        numbered = re.fullmatch(r"(leaky_relu|clip)\(([0-9.einf,-]+)\)", part)
        if part == "bias":
            bias = True
        elif part == "res":
            residual = True
        elif part == "relu":
            activation = ("relu", 0.0)
        elif part in ("hardswish", "silu"):
            activation = (part,)
        elif numbered:
            activation = _numbered(numbered[1], numbered[2].split(","), text)
        else:
            raise GeometryError(
                f"problem {text!r}: epilogue +{part} is not one of +bias, +res, +relu, +leaky_relu(slope), "
                "+clip(least,most), +hardswish, +silu"
            )
    return Epilogue(bias, residual, activation)


def _numbered(name: str, entries: list[str], text: str) -> Activation:
    """leaky_relu with its slope, clip with its bounds, between which 0 must lie: what kernels fill up with zeros must stay zero."""
    numbers = []
    for entry in entries:
        try:
            numbers.append(float(entry))
        except ValueError:
            raise GeometryError(f"problem {text!r}: {'slope' if name == 'leaky_relu' else 'bound'} {entry!r} is not a number") from None
    if len(numbers) != (1 if name == "leaky_relu" else 2) or (name == "clip" and not numbers[0] <= 0 <= numbers[1]):
        raise GeometryError(f"problem {text!r}: {name} takes {'a slope' if name == 'leaky_relu' else 'bounds around 0'}, got {numbers}")
    return (name, *numbers)


def _conv(kind: str, values: dict[str, str], flags: list[str], epilogue: Epilogue, text: str) -> ConvProblem:
    rank = values["i"].count("x") + 1
    size = _numbers(values, "i", 1, rank, text)
    batch, groups = _scalar(values, "n", 1, 0, text), _scalar(values, "g", 1, 1, text)
    c, k = _scalar(values, "c", 1, 1, text), _scalar(values, "k", 1, 1, text)
    geometry = ConvGeometry.make(
        _numbers(values, "f", 1, rank, text),
        _numbers(values, "s", 1, rank, text),
        _pads(values, rank, text),
        _numbers(values, "d", 1, rank, text),
        groups,
        _numbers(values, "o", 0, rank, text),
        operation=kind,
    )
    unknown = [f for f in flags if f not in PASSES and f != "f16"]
    if unknown:
        raise GeometryError(f"problem {text!r}: flag :{unknown[0]} is not one of :fwd, :bwd_d, :bwd_w, :f16")
    if len([f for f in flags if f in PASSES]) > 1:
        raise GeometryError(f"problem {text!r}: more than one of :{', :'.join(f for f in flags if f in PASSES)}; a problem has one pass")
    if c % groups or k % groups:
        raise GeometryError(f"problem {text!r}: channels {c} and filters {k} must both divide by groups {groups}")
    direction = next((PASSES[f] for f in flags if f in PASSES), Pass.FORWARD)
    dtype = "float16" if "f16" in flags else "float32"
    if kind == "conv":
        problem = ConvProblem(geometry, batch, c, k, size, direction, dtype, epilogue)
        geometry.output_size(size, text)
        return problem
    swapped = {Pass.FORWARD: Pass.BACKWARD_DATA, Pass.BACKWARD_DATA: Pass.FORWARD}.get(direction, direction)
    return ConvProblem(geometry, batch, k, c, geometry.transposed_output_size(size, text), swapped, dtype, epilogue, transposed=True)


def _pool(kind: str, values: dict[str, str], flags: list[str], text: str) -> PoolProblem:
    rank = values["i"].count("x") + 1
    size, window = _numbers(values, "i", 1, rank, text), _numbers(values, "f", 1, rank, text)
    stride = _numbers(values, "s", 1, rank, text) if "s" in values else window
    divisor = None
    for flag in flags:
        if re.fullmatch(r"div[0-9]+", flag):
            divisor = int(flag[3:])
            if divisor < 1:
                raise GeometryError(f"problem {text!r}: divisor must be at least 1, got {divisor}")
        elif flag not in ("ceil", "idx", "nopad", "f16", "fwd", "bwd_d"):
            raise GeometryError(f"problem {text!r}: flag :{flag} is not one of :fwd, :bwd_d, :ceil, :idx, :nopad, :divN, :f16")
    geometry = PoolGeometry.make(
        window, stride, _pads(values, rank, text), _numbers(values, "d", 1, rank, text), "ceil" in flags, rank=rank, operation=kind
    )
    geometry.output_size(size, text)
    return PoolProblem(
        kind.removesuffix("pool"),
        geometry,
        _scalar(values, "n", 1, 0, text),
        _scalar(values, "c", 1, 1, text),
        size,
        direction=Pass.BACKWARD_DATA if "bwd_d" in flags else Pass.FORWARD,
        dtype="float16" if "f16" in flags else "float32",
        with_indices="idx" in flags,
        count_include_pad="nopad" not in flags,
        divisor=divisor,
    )


def _joined(letter: str, entries: Size, default: Size | None = None) -> str:
    if entries == default:
        return ""
    return letter + (str(entries[0]) if letter not in "if" and len(set(entries)) == 1 else "x".join(map(str, entries)))


def _padding(pads: tuple[tuple[int, int], ...]) -> str:
    if all(p == (0, 0) for p in pads):
        return ""
    entries = [str(a) if a == b else f"{a},{b}" for a, b in pads]
    return "p" + (entries[0] if len(set(entries)) == 1 else "x".join(entries))


def format_conv(problem: ConvProblem) -> str:
    """The text form; `parse` reads it back to an equal problem (layouts aside)."""
    g = problem.geometry
    one = (1,) * g.rank
    kind, direction = "conv", problem.direction
    c, k, size = problem.channels, problem.filters, problem.size
    if problem.transposed:
        kind, c, k, size = "deconv", k, c, problem.output_size
        direction = {Pass.FORWARD: Pass.BACKWARD_DATA, Pass.BACKWARD_DATA: Pass.FORWARD}.get(direction, direction)
    text = f"{kind} n{problem.batch}c{c}{_joined('i', size)}k{k}{_joined('f', g.kernel)}{_joined('s', g.stride, one)}{_padding(g.padding)}"
    text += _joined("o", g.output_padding or (0,) * g.rank, (0,) * g.rank) + _joined("d", g.dilation, one)
    text += (f"g{g.groups}" if g.groups > 1 else "") + ("" if direction is Pass.FORWARD else f":{direction.value}")
    return text + (":f16" if problem.dtype == "float16" else "") + str(problem.epilogue)


def format_pool(problem: PoolProblem) -> str:
    """The text form; adaptive pooling has none that can be read back and prints its output size instead."""
    flags = ("" if problem.direction is Pass.FORWARD else ":bwd_d") + (":idx" if problem.with_indices else "")
    half = ":f16" if problem.dtype == "float16" else ""
    g = problem.geometry
    head = f"{problem.kind}pool n{problem.batch}c{problem.channels}{_joined('i', problem.size)}"
    if g is None:
        return f"{head} to {'x'.join(map(str, problem.out_size))}{flags}{half}"
    text = f"{head}{_joined('f', g.kernel)}{_joined('s', g.stride, g.kernel)}{_padding(g.padding)}{_joined('d', g.dilation, (1,) * g.rank)}"
    text += flags + (":ceil" if g.ceil_mode else "") + ("" if problem.count_include_pad else ":nopad")
    return text + (f":div{problem.divisor}" if problem.divisor else "") + half
