"""The floors of the house: which file may import which, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A file imports from floors below its own, and from its own folder. `clconv` itself is the façade that names everything, lazily.
FLOORS = {
    "errors": 1,
    "kernels": 1,
    "codegen": 2,
    "device": 2,
    "tensor": 2,
    "geometry": 2,
    "runtime": 3,
    "problem": 3,
    "reference": 3,
    "algorithms": 4,
    "tuning": 5,
    "graph": 6,
    "functional": 7,
    "nn": 8,
    "train": 8,
    "onnx": 8,
    "bench": 9,
    "isa": 9,
    "doctor": 10,
    "cli": 11,
    "": 12,
}

# place -> what it must not know, beyond the floors
MUST_NOT_KNOW = {
    "reference": {"tensor", "device", "codegen"},
    "algorithms": {"runtime", "reference", "time"},
    "graph": {"codegen.render", "reference"},
    "functional": {"algorithms", "codegen", "reference"},
    "nn": {"algorithms", "codegen", "runtime", "reference"},
    "train": {"algorithms", "codegen", "reference"},
}

ONLY_USERS = {
    "mako": ("codegen/render.py",),
    "pyopencl": ("runtime/", "functional/"),
    "click": ("cli/",),
    "rich": ("cli/", "train/"),
    "matplotlib": ("cli/",),
    "pytest": ("bench/test_",),
}


def files() -> dict[str, Path]:
    """Every shipped module: path inside the package clconv -> file."""
    found = {str(p.relative_to(ROOT / "clconv")): p for p in sorted((ROOT / "clconv").rglob("*.py"))}
    for folder in ("kernels", "bench"):
        found.update({str(p.relative_to(ROOT)): p for p in sorted((ROOT / folder).rglob("*.py"))})
    return found


def place_of(path: str) -> str:
    """The row of FLOORS: the folder or module directly inside clconv."""
    parts = Path(path).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported, in functions too; `from a import b` gives a.b. TYPE_CHECKING blocks are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from imports(other)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are written in full here"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        else:
            yield from imports(node)


def violations(path: str, text: str) -> list[str]:
    """Sentences about the imports of `path` that the table does not allow."""
    own, out = place_of(path), []
    for line, name in imports(ast.parse(text)):
        package, _, rest = name.partition(".")
        where = f"{path}:{line}: {name}"
        if package != "clconv":
            if package in ONLY_USERS and not path.startswith(ONLY_USERS[package]):
                out.append(f"{where}: only {', '.join(ONLY_USERS[package])} may import {package}")
            if package in MUST_NOT_KNOW.get(own, ()):
                out.append(f"{where}: {own} must not know {package}")
            continue
        target = rest.split(".")[0] if rest.split(".")[0] in FLOORS else ""
        if target != own and FLOORS[target] >= FLOORS[own]:
            out.append(f"{where}: floor {FLOORS[own]} must not import from floor {FLOORS[target]}")
        out += [f"{where}: {own} must not know {banned}" for banned in MUST_NOT_KNOW.get(own, ()) if f"{rest}.".startswith(f"{banned}.")]
    return out


def test_every_place_stands_on_a_floor() -> None:
    places = {place_of(path) for path in files()}
    assert places <= set(FLOORS), f"not in the table: {places - set(FLOORS)}"
    assert {"codegen", "runtime", "algorithms", "graph", "nn", "bench", "cli", "kernels"} <= places


def test_imports_go_down() -> None:
    found = [sentence for path, file in files().items() for sentence in violations(path, file.read_text())]
    assert not found, "\n" + "\n".join(found)


def test_only_render_knows_mako_and_it_does() -> None:
    users = {path for path, file in files().items() for _, name in imports(ast.parse(file.read_text())) if name.split(".")[0] == "mako"}
    assert users == {"codegen/render.py"}


@pytest.mark.parametrize(
    "path, text, complaint",
    [
        ("geometry.py", "from clconv.tensor import PLAIN", "floor 2 must not import from floor 2"),
        ("tensor.py", "def f():\n    import clconv.runtime.context", "floor 2 must not import from floor 3"),
        ("nn/conv.py", "from clconv.train import sgd", "floor 8 must not import from floor 8"),
        ("nn/conv.py", "import clconv", "floor 8 must not import from floor 12"),
        ("nn/conv.py", "from clconv.runtime.context import default_queue", "nn must not know runtime"),
        ("graph/run.py", "from clconv.codegen.render import render", "graph must not know codegen.render"),
        ("graph/run.py", "import pyopencl as cl", "only runtime/, functional/ may import pyopencl"),
        ("algorithms/conv.py", "import time", "algorithms must not know time"),
        ("algorithms/conv.py", "from mako.template import Template", "only codegen/render.py may import mako"),
        ("tuning/select.py", "if True:\n    from clconv.graph import node", "floor 5 must not import from floor 6"),
    ],
)
def test_violations_are_found(path: str, text: str, complaint: str) -> None:
    (sentence,) = violations(path, text)
    assert complaint in sentence


@pytest.mark.parametrize(
    "path, text",
    [
        ("graph/trace.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from clconv.nn import Module"),
        ("graph/ops/conv.py", "from clconv.graph.node import Node\nfrom clconv.problem import ConvProblem"),
        ("runtime/context.py", "import pyopencl as cl\nfrom clconv.device import DeviceTraits"),
        ("__init__.py", "from clconv.cli import main"),
    ],
)
def test_what_the_table_allows(path: str, text: str) -> None:
    assert violations(path, text) == []


SLOW = {"numpy", "pyopencl", "mako", "rich", "matplotlib"}


def test_the_facade_imports_nothing_heavy() -> None:
    """`import clconv` and `clconv --help` are quick because what they import is."""
    for path in ("__init__.py", "errors.py", "cli/__init__.py", "cli/options.py"):
        tree = ast.parse((ROOT / "clconv" / path).read_text())
        top = [name for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for _, name in imports(ast.Module([node], []))]
        heavy = [n for n in top if n.split(".")[0] in SLOW or (n.startswith("clconv.") and n.split(".")[1] not in ("errors", "cli"))]
        assert not heavy, f"{path}: {heavy}"
