"""No name of a file reaches what is compiled, or the disk: sources, options and files are the same whatever things are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyopencl._cl as _cl
import pytest
from onnx import helper

import clconv
from clconv.errors import GeometryError, OnnxError
from clconv.graph.assembly import Assembly, Options
from clconv.onnx import load
from clconv.onnx.model import Operation
from clconv.runtime import texts
from clconv.runtime.context import traits_of
from clconv.runtime.programs import Programs
from clconv.tensor import PLAIN
from tests.onnx_support import ints, model, normal

MARK = "zqMARKqz"
HOSTILE = {
    "newline": "\n#define float int\n#include </etc/passwd>\n",
    "comment": "*/ __kernel void stolen() {} /*",
    "quotes": "\"'`\\\"",
    "options": "-cl-fast-relaxed-math -DREAL=half -I/",
    "mako": "${1/0}<%import os%>\n% if 0:\n## ",
    "path": "../../../../tmp/x",
    "unicode": "\u202e\U0001f600\u0000\x1b[31m",
    "format": "%s{0}{name}%(x)s",
    "backslash": "a\\\n",
    "long": "n" * 10_000,
}


def network(name: Callable[[str], str]) -> Any:
    """A model of all that makes kernels of several kinds, everything named by `name`."""
    def node(op_type: str, inputs: str, output: str, **attributes: Any) -> Any:
        return helper.make_node(
            op_type, [name(n) if n != "-" else "" for n in inputs.split()], [name(output)], name=name(f"node {output}"), **attributes
        )

    nodes = [
        node("Conv", "x w1 b1", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a scale shift mean variance", "b"),
        node("Relu", "b", "c"),
        node("MaxPool", "c", "d", kernel_shape=[2, 2], strides=[2, 2]),
        node("Sigmoid", "d", "e"),
        node("Concat", "e d", "f", axis=1),
        node("Resize", "f - scales", "g", mode="linear"),
        node("ReduceMean", "g", "h", axes=[2, 3]),
        node("Reshape", "h shape", "i"),
        node("Gemm", "i w2", "j"),
        node("Softmax", "j", "y"),
    ]
    tensors = {
        "w1": normal(8, 4, 3, 3), "b1": normal(8), "scale": normal(8), "shift": normal(8), "mean": normal(8), "variance": normal(8) ** 2,
        "scales": normal(4) * 0 + [1, 1, 2, 2], "shape": ints(1, -1), "w2": normal(16, 5),
    }  # fmt: skip
    tensors["scales"] = tensors["scales"].astype("float32")
    proto = model(nodes, {name("x"): (1, 4, 8, 8)}, {name(n): array for n, array in tensors.items()}, outputs=(name("y"),))
    proto.graph.name = proto.doc_string = proto.producer_name = name("graph")
    return proto


def named(text: str) -> Callable[[str], str]:
    return lambda plain: f"{MARK}{text}{plain}"


def launches(proto: Any, queue: Any) -> list[tuple[str, Any, Any]]:
    """What is launched: the source's text, its sizes and its arguments. Nothing is built for it."""
    graph = load(proto).trace((1, 4, 8, 8))
    assembly = Assembly(graph, traits_of(queue.device), Options(tuned=False), (PLAIN,), (PLAIN,))
    calls = [call for step in assembly.steps if id(step) in assembly.plans for call in assembly.plans[id(step)].calls]
    return [(texts.rendered_text(call.source).text, call.items, call.bindings) for call in calls]


@pytest.mark.parametrize("kind", HOSTILE)
def test_launches_do_not_depend_on_names(queue: Any, kind: str) -> None:
    plain = launches(network(lambda name: name), queue)
    assert launches(network(named(HOSTILE[kind])), queue) == plain and len(plain) >= 7
    assert not any(MARK in text for text, *_ in plain)


class Stopped(Exception):
    """Instead of compiling."""


def test_what_the_compiler_gets_does_not_depend_on_names(queue: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Source and options at the driver's door, and the files that are left behind."""
    given: list[tuple[str, bytes]] = []

    class Program:
        def __init__(self, context: Any, source: str) -> None:
            self.source = source

        def _build(self, options: bytes, devices: Any) -> None:
            given.append((self.source, options))
            raise Stopped

    monkeypatch.setenv("CLCONV_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CLCONV_COMPANIONS", "0")
    monkeypatch.setattr(_cl, "_Program", Program)
    for text in ("", *HOSTILE.values()):
        texts._kept.cache_clear()
        monkeypatch.setattr("clconv.runtime.executor.programs_for", lambda context, device: Programs(context, device))
        with pytest.raises(Stopped):
            clconv.compile(load(network(named(text))), (1, 4, 8, 8), queue)
    texts._kept.cache_clear()
    assert len(given) == 1 + len(HOSTILE) and len(set(given)) == 1 and "__kernel" in given[0][0]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(MARK in path.name or MARK.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("kind", HOSTILE)
def test_places_are_shown_without_what_a_terminal_acts_upon(kind: str) -> None:
    """In explain and in errors; what can be printed stays as it is."""
    net = load(network(lambda name: name + HOSTILE[kind]))
    labels = [node.label for node in net.trace((1, 4, 8, 8)).outputs[0].inputs]
    assert labels and all(label.isprintable() for label in labels)
    assert repr(net).isprintable()
    with pytest.raises(GeometryError) as caught:
        net.trace((4, 8, 8))
    assert str(caught.value).isprintable()
    with pytest.raises(OnnxError) as refused:
        load(model([helper.make_node(f"No{HOSTILE[kind]}", ["x"], ["y"], domain=f"d{HOSTILE[kind]}")], {"x": (1,)}))
    assert str(refused.value).isprintable() and str(net.refusal("\x1b[2J")).endswith(r": \x1b[2J")
    assert Operation("Relu", "größe/1", ("x",), ("y",), {}).place == "größe/1"
