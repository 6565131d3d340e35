"""Suites of layers: the distinct convolutions and poolings of a network, or those that a CSV file lists.

A file has a header line and a layer a line, in one of two forms:

- a column `problem` with the text form ("conv n1c64i56x56k64f3x3p1");
- columns op (conv, deconv, pool or maxpool, avgpool), n, c_in, h_in, w_in, kh, kw, and c_out but for pooling; where they differ from
  their defaults groups, sh, sw (1), ph, pw (0), ph_end, pw_end (as ph, pw), dh, dw (1). h_out, w_out, where given, say how a deconv ends.

Columns `name` and `count` (how often the layer occurs) may stand in both; other columns are taken for remarks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clconv.algorithms import applicable
from clconv.bench.check import random_operands
from clconv.bench.contest import Settings, blank, contest
from clconv.bench.machine import copies_for
from clconv.bench.networks import build, input_shape
from clconv.bench.problems import bench_problem, check_addressable, compiled_contestant
from clconv.bench.report import Row
from clconv.bench.rivals import ProblemJob
from clconv.errors import DataError, GeometryError, UnsupportedError
from clconv.geometry import ConvGeometry, PoolGeometry
from clconv.graph.node import topological
from clconv.graph.ops import OPS
from clconv.graph.passes import optimise
from clconv.problem import ConvProblem, Epilogue, Pass, PoolProblem, parse
from clconv.runtime.context import traits_of

Operation = ConvProblem | PoolProblem
PASSES = {"forward": Pass.FORWARD, "bwd_d": Pass.BACKWARD_DATA, "bwd_w": Pass.BACKWARD_WEIGHTS}
NEEDED = ("op", "n", "c_in", "h_in", "w_in", "kh", "kw")


@dataclass(frozen=True)
class Layer:
    """A problem, how often it occurs, and what it belongs to."""

    problem: Operation
    count: int = 1
    name: str = ""


def with_batch(problem: Operation, batch: int | None) -> Operation:
    """The same layer on `batch` images (None: as it is)."""
    return problem if batch is None else replace(problem, batch=batch)


def with_pass(problem: Operation, name: str | None) -> Operation:
    """The forward pass of the layer, or one of its gradients, which have no epilogue. UnsupportedError for a weight gradient of pooling."""
    if name is None:
        return problem
    direction = PASSES[name]
    if isinstance(problem, PoolProblem):
        if direction is Pass.BACKWARD_WEIGHTS:
            raise UnsupportedError(f"{problem}: --pass bwd_w: pooling has no weights")
        return replace(problem, direction=direction, with_indices=problem.with_indices and direction is Pass.FORWARD)
    if problem.transposed and direction is not Pass.BACKWARD_WEIGHTS:
        direction = Pass.FORWARD if direction is Pass.BACKWARD_DATA else Pass.BACKWARD_DATA
    return replace(problem, direction=direction, epilogue=problem.epilogue if name == "forward" else Epilogue())


def merged(layers: Sequence[Layer]) -> list[Layer]:
    """Equal problems once, with their counts added, in the order of their first occurrence."""
    found: dict[Operation, Layer] = {}
    for layer in layers:
        seen = found.get(layer.problem)
        found[layer.problem] = layer if seen is None else replace(seen, count=seen.count + layer.count)
    return list(found.values())


def of_network(name: str, batch: int = 1, direction: str | None = None) -> list[Layer]:
    """The distinct convolutions and poolings of the model `name` as it is compiled: batch norm, bias, residual and ReLU belong to them.

    Adaptive pooling, linear layers and whatever else there is are left out, and pooling where weight gradients are asked for.

    >>> [layer.count for layer in of_network("lenet5")]
    [1, 2, 1]
    """
    graph = optimise(build(name).trace(input_shape(name, batch)))
    layers = []
    for node in topological(graph.outputs):
        problem = OPS[node.op].lower(node).problem if node.op in ("conv", "pool") else None
        if not isinstance(problem, ConvProblem | PoolProblem):
            continue
        if isinstance(problem, PoolProblem) and (problem.geometry is None or direction == "bwd_w"):
            continue
        layers.append(Layer(with_pass(problem, direction), name=name))
    return merged(layers)


def from_csv(path: str | Path, batch: int | None = None, direction: str | None = None, only: str = "") -> tuple[list[Layer], list[str]]:
    """(layers, a sentence for each line that describes none that can be): those lines with `only` in any of their cells.

    Raises DataError for a file that cannot be read, lacks columns, or holds something else than numbers.
    """
    layers, refused = [], []
    for number, line in _lines(path):
        if only and not any(only in str(cell) for cell in line.values()):
            continue
        try:
            problem = parse(line["problem"]) if line.get("problem") else _problem(line, f"{path}: line {number}")
            problem = with_pass(with_batch(problem, batch), direction)
            layers.append(Layer(problem, _number(line, "count", 1, f"{path}: line {number}"), line.get("name") or Path(path).stem))
        except (GeometryError, UnsupportedError) as error:
            refused.append(f"line {number}: {error}")
    if not layers:
        reason = f"; {refused[0]}" if refused else f" with {only!r} in it" if only else ""
        raise DataError(f"{path}: no line describes a layer{reason}")
    return merged(layers), refused


def _lines(path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column)."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    reader = csv.DictReader(text.splitlines())
    columns = reader.fieldnames or []
    lacking = [name for name in NEEDED if name not in columns]
    if "problem" not in columns and lacking:
        raise DataError(f"{path}: the header lacks {', '.join(lacking)}; it needs {', '.join(NEEDED)}, or a column named problem")
    for line in reader:
        if None in line or None in line.values():
            raise DataError(f"{path}: line {reader.line_num}: {'more' if None in line else 'fewer'} cells than the header's {len(columns)}")
        yield reader.line_num, {key: value.strip() for key, value in line.items()}


def _number(line: Mapping[str, str], column: str, default: int | None, where: str) -> int:
    text = line.get(column) or ""
    if not text and default is not None:
        return default
    if not text.removeprefix("-").isdigit():
        raise DataError(f"{where}: {column} must be a whole number, got {text!r}")
    return int(text)


def _pair(line: Mapping[str, str], columns: tuple[str, str], default: int | None, where: str) -> tuple[int, int]:
    return _number(line, columns[0], default, where), _number(line, columns[1], default, where)


def _check_output(line: Mapping[str, str], size: tuple[int, ...], where: str) -> None:
    """Where the file gives the output's size too, it must be what the geometry gives."""
    given = _pair(line, ("h_out", "w_out"), 0, where)
    if any(wanted not in (0, n) for wanted, n in zip(given, size, strict=True)):
        raise GeometryError(f"the output would be {size}, the file says {given}")


def _problem(line: Mapping[str, str], where: str) -> Operation:
    op = line["op"]
    kinds = {"conv": "conv", "deconv": "deconv", "pool": "max", "maxpool": "max", "avgpool": "avg"}
    if op not in kinds:
        raise DataError(f"{where}: op {op!r} is not one of {', '.join(kinds)}")
    n, c = _number(line, "n", None, where), _number(line, "c_in", None, where)
    size, kernel = _pair(line, ("h_in", "w_in"), None, where), _pair(line, ("kh", "kw"), None, where)
    stride, dilation = _pair(line, ("sh", "sw"), 1, where), _pair(line, ("dh", "dw"), 1, where)
    begins = _pair(line, ("ph", "pw"), 0, where)
    ends = (_number(line, "ph_end", begins[0], where), _number(line, "pw_end", begins[1], where))
    padding = tuple((a, max(0, b)) for a, b in zip(begins, ends, strict=True))  # below 0: the last pixels are not read
    if kinds[op] in ("max", "avg"):
        window = PoolGeometry(kernel, stride, padding, dilation)  # not `make`: files pad by more than half of a window
        if any(max(pair) >= m for pair, m in zip(padding, window.effective_kernel, strict=True)):
            raise GeometryError(f"padding {padding} must be less than the window's reach {window.effective_kernel}")
        _check_output(line, window.output_size(size), where)
        return PoolProblem(kinds[op], window, n, c, size)
    k, groups = _number(line, "c_out", None, where), _number(line, "groups", 1, where)
    if c % groups or k % groups:
        raise GeometryError(f"channels {c} and filters {k} must both divide by groups {groups}")
    geometry = ConvGeometry.make(kernel, stride, padding, dilation, groups)
    if op == "conv":
        _check_output(line, geometry.output_size(size), where)
        return ConvProblem(geometry, n, c, k, size)
    plain = geometry.transposed_output_size(size)
    wanted = (_number(line, "h_out", plain[0], where), _number(line, "w_out", plain[1], where))
    extra = tuple(b - a for a, b in zip(plain, wanted, strict=True))
    geometry = ConvGeometry.make(kernel, stride, padding, dilation, groups, extra)
    return ConvProblem(geometry, n, k, c, wanted, Pass.BACKWARD_DATA, transposed=True)


def bench_layer(layer: Layer, queue: Any, settings: Settings, own_layouts: bool = False, suite: str = "layers") -> list[Row]:
    """A row: the layer compiled by itself on plain arrays, or, with `own_layouts`, the algorithm that is chosen for it alone."""
    problem, traits = layer.problem, traits_of(queue.device)
    row = blank(suite, str(problem), traits, count=layer.count, name=layer.name, images=problem.batch)
    if not applicable(problem, traits):
        raise UnsupportedError(f"{problem}: no algorithm takes it")
    if own_layouts:
        return bench_problem(problem, queue, None, settings, row=row)
    check_addressable(problem)
    settings.tell(f"{problem}: compiling")
    operands = random_operands(problem)
    copies = copies_for(problem.bytes_moved, queue.device) if settings.cold else 1
    contestant = compiled_contestant(problem, queue, operands, copies, settings)
    return contest([contestant], ProblemJob(problem, operands), row, traits, settings, copies=copies)
