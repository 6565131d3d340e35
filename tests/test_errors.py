"""What a user reads when something is wrong: every refusal names the operation, the rule, both values and the fix; nothing crashes."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.codegen.plan import KernelCall, KernelSource
from clconv.errors import ArrayError, BuildError, CheckpointError, ClconvError, DeviceError, GeometryError, TemplateError, UnsupportedError
from clconv.graph.node import Node, input_node
from clconv.graph.ops import as_node
from clconv.graph.ops.optimiser import sgd_step
from clconv.runtime import context
from clconv.runtime.launch import bind
from clconv.runtime.programs import programs_for
from clconv.tensor import TensorSpec
from clconv.train import SGD, Trainer
from tests.functional_support import exactly, send
from tests.refusals import ARRAYS, GEOMETRY, Make
from tests.train_support import assert_same_state

RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def make(queue: Any) -> Callable[..., cla.Array]:
    """An array of ones of this shape on the device."""

    def ones(*shape: int, dtype: Any = np.float32) -> cla.Array:
        return cla.to_device(queue, np.ones(shape, dtype))

    return ones


def refusal(call: Callable[[], object], kind: type[ClconvError]) -> str:
    """The message, which must be one for people."""
    with pytest.raises(ClconvError) as caught:
        call()
    text = str(caught.value)
    assert type(caught.value) is kind, f"{type(caught.value).__name__}: {text}"
    assert not re.search(r"object at 0x|Traceback|NoneType object|<class", text), text
    assert len(text) > 20 and text == text.strip(), text
    return text


# The functions


@pytest.mark.parametrize(("text", "call"), GEOMETRY, ids=[text for text, _ in GEOMETRY])
def test_geometry_that_cannot_be(text: str, call: Callable[[Make], object], make: Make) -> None:
    assert refusal(lambda: call(make), GeometryError) == text


@pytest.mark.parametrize(("text", "call"), ARRAYS, ids=[text for text, _ in ARRAYS])
def test_arrays_that_cannot_be_taken(text: str, call: Callable[[Make], object], make: Make) -> None:
    assert refusal(lambda: call(make), ArrayError) == text


def test_arrays_of_another_context(make: Make, queue: Any) -> None:
    context = cl.Context([queue.device])  # held: on some drivers a queue does not keep its context alive
    foreign = cl.CommandQueue(context, queue.device)
    there = send(foreign, np.ones(2))
    assert refusal(lambda: F.add(make(2), there), ArrayError) == "add: the arrays live in two OpenCL contexts; create them from one queue"
    text = refusal(lambda: F.relu(make(2), out=there), ArrayError)
    assert text == "out: the array lives in another OpenCL context than the inputs; create both from one queue"


def test_results_over_inputs(make: Make, queue: Any) -> None:
    """Element by element is right and allowed; anything else would read what it has overwritten."""
    x = send(queue, np.array([[-1.0, 2.0], [3.0, -4.0]]))
    for call in (
        lambda: F.transpose(x, 0, 1, out=x),
        lambda: F.softmax(x, 1, out=x),
        lambda: F.add(x, x[:1], out=x),
    ):
        text = refusal(call, ArrayError)
        assert re.match(r"out: its memory overlaps that of argument \d, which is still read when it is written; give one of its", text)
    exactly(F.relu(x, out=x), np.array([[0, 2], [3, 0]]))
    exactly(F.add(x[0], 1.0, out=x[1]), np.array([1, 3]))
    exactly(F.relu(x.reshape(-1)[:2], out=x.reshape(-1)[1:3]), np.array([0, 2]))  # an unaligned view is written last, by a copy
    exactly(x, np.array([[0, 0], [2, 3]]))


def test_algorithms_by_name(make: Make, queue: Any) -> None:
    x, w = make(2, 4, 8, 8), make(4, 4, 3, 3)
    text = refusal(lambda: F.conv2d(x, w, algorithm="magic"), UnsupportedError)
    assert text.startswith("conv n2c4i8x8k4f3x3: algorithm 'magic' is not one of conv_winograd, conv_blocked, ")
    assert "conv_direct" in text
    text = refusal(lambda: F.conv3d(make(1, 4, 4, 4, 4), make(4, 4, 3, 3, 3), algorithm="blocked"), UnsupportedError)
    assert "algorithm conv_blocked, asked for by name, does not take this on" in text
    assert text.endswith(": needs 1 or 2 spatial axes, got 3")
    text = refusal(lambda: F.conv2d(x, w, algorithm="conv_blocked_weights"), UnsupportedError)
    assert text.endswith(": computes the weight gradient, got pass fwd")


def test_tensors_too_large(make: Make, queue: Any) -> None:
    text = refusal(lambda: F.pad(make(1, 1), (0, 99999, 0, 99999)), UnsupportedError)
    limit = "kernels address at most 2147483647; split the batch"
    assert text.endswith(f"a tensor of shape (100000, 100000) (plain) has 10000000000 elements, {limit}")
    huge = nn.Sequential(conv=nn.Conv2d(3, 64, 3, padding=1))
    text = refusal(lambda: clconv.compile(huge, (4096, 3, 512, 512), queue), UnsupportedError)
    assert f"has 3221225472 elements, {limit}" in text
    if queue.device.max_mem_alloc_size < 4 * 40001**2 < 2**33:
        text = refusal(lambda: F.pad(make(1, 1), (0, 40000, 0, 40000)), DeviceError)
        assert "cannot allocate 6103.8 MiB for an array of shape (40001, 40001)" in text and "use a smaller batch" in text


# Devices


def test_devices_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(lambda: clconv.default_queue("voodoo"), DeviceError)
    assert text.startswith("no OpenCL device or platform has 'voodoo' in its name; give a part of one of these:\n")
    text = refusal(lambda: clconv.default_queue(0), DeviceError)
    assert text == "a device is chosen by a part of its name, got 0; `clconv devices` lists them"
    monkeypatch.setattr(context, "list_devices", list)
    text = refusal(context.find_device, DeviceError)
    assert text == f"no OpenCL device found: {context.ADVICE}" and "pip install 'clconv[pocl]'" in text


# Compiling and running


def small() -> nn.Sequential:
    return nn.Sequential(conv=nn.Conv2d(1, 4, 3, padding=1), relu=nn.ReLU(), flatten=nn.Flatten(), fc=nn.Linear(64, 3))


SHAPE = (2, 1, 4, 4)


class Two(nn.Module):
    def forward(self, a: Node, b: Node) -> Node:
        return F.sub(a, b)


class Returns(nn.Module):
    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Node) -> Any:
        return self.value


def test_what_cannot_be_compiled(queue: Any) -> None:
    net = small()

    def text(*arguments: Any, **keywords: Any) -> str:
        return refusal(lambda: clconv.compile(*arguments, **{"queue": queue, **keywords}), keywords.pop("kind", GeometryError))

    assert text(net, (2, 3, 4, 4)) == (
        "conv: conv2d: input channels 3 != weight channels 1 x groups 1 (= 1); x (2, 3, 4, 4), w (4, 1, 3, 3)"
    ), "begins with the layer's name"
    assert text(net, (2, 1, 5, 4)) == "fc: linear: input features do not fit: x (2, 80), weight (3, 64), which must be (out, in)"
    nested = nn.Sequential(block=nn.Sequential(inner=nn.Conv2d(1, 1, 9)))
    assert text(nested, SHAPE).startswith("block.inner: conv2d: axis 0: a kernel of 9")
    for shape in (None, 5, "abc", (1.0, 1, 4, 4), (-1, 1, 4, 4)):
        assert text(net, shape).startswith(f"input shape {shape!r} must be a tuple of sizes such as (1, 3, 224, 224)")
    assert text(Two(), {"a": (2,), "c": (2,)}) == "Two: shapes are given for a, c; forward takes a, b"
    assert text(Returns(None), SHAPE) == "Returns: forward must return graph nodes (one or a tuple), got NoneType"
    with pytest.raises(ArrayError, match=r"^compile: expected a network .*, got function; graphs: compile_graph$"):
        clconv.compile(lambda x: x, SHAPE, queue)
    with pytest.raises(ArrayError, match=r"^queue: expected a pyopencl.CommandQueue, got str; clconv.default_queue\(name\) finds one$"):
        clconv.compile(net, SHAPE, "cpu")
    for wishes, answer in (
        ({"conv": "magic"}, "algorithms: 'magic', asked for 'conv', is not one of conv_winograd, conv_blocked"),
        ({"body.*": "direct"}, "algorithms: no layer's name matches 'body.*'; names are input, conv, relu, flatten, fc"),
        ({"conv": "blocked_weights"}, "conv n2c1i4x4k4f3x3p1+bias+relu: algorithm conv_blocked_weights, asked for by name, does not take"),
    ):
        found = refusal(lambda wishes=wishes: clconv.compile(net, SHAPE, queue, algorithms=wishes), UnsupportedError)  # type: ignore[misc]
        assert found.startswith(answer)
    assert str(net.training) == "True", "a failed trace leaves the mode as it was"


def test_a_prefix_may_be_left_out(queue: Any) -> None:
    run = clconv.compile(small(), SHAPE, queue, algorithms={"conv": "direct"})
    assert "conv_direct" in run.explain()


def test_several_inputs_go_by_their_names(queue: Any) -> None:
    one, two = np.full((2,), 5, np.float32), np.full((2,), 3, np.float32)
    run = clconv.compile(Two(), {"b": (2,), "a": (2,)}, queue)
    exactly(run(a=one, b=two), np.array([2, 2]))
    exactly(run(two, one), np.array([2, 2]))  # in the order of the shapes


def test_what_a_run_refuses(queue: Any, make: Make) -> None:
    run = clconv.compile(small(), SHAPE, queue)
    x = np.ones(SHAPE, np.float32)
    context = cl.Context([queue.device])  # held: on some drivers a queue does not keep its context alive
    foreign = cl.CommandQueue(context, queue.device)
    ragged: Any = [[1.0, 2.0], [3.0]]
    for call, answer in (
        (lambda: run(x[:1]), r"input 'input': shape \(1, 1, 4, 4\) given, \(2, 1, 4, 4\) compiled; compile for the new shape, or bring"),
        (lambda: run(make(1, 1, 4, 4)), r"input 'input': shape \(1, 1, 4, 4\) given, \(2, 1, 4, 4\) compiled"),
        (lambda: run(x.astype(float)), r"input 'input': element type float64 given, float32 needed; convert with astype\(np.float32\)$"),
        (lambda: run(x.astype(int)), r"input 'input': element type int64 given, float32 needed"),
        (lambda: run(make(*SHAPE, dtype=np.float64)), r"input 'input': element type float64 is not supported; use float32"),
        (lambda: run(make(*SHAPE, dtype=np.float16)), r"input 'input': element type float16 given, float32 needed"),
        (lambda: run(send(foreign, x)), r"input 'input': the array lives in another OpenCL context than the run; create both from one"),
        (lambda: run(None), r"input 'input': expected an array of numbers, got NoneType \(object\)$"),
        (lambda: run("cat.png"), r"input 'input': expected an array of numbers, got str"),
        (lambda: run(ragged), r"input 'input': expected an array of numbers: setting an array element with a sequence"),
        (lambda: run(), r"run: takes the inputs \(input\); got 0 in order and \(\) by name$"),
        (lambda: run(x, x), r"run: takes the inputs \(input\); got 2 in order"),
        (lambda: run(image=x), r"run: takes the inputs \(input\); got 0 in order and \(image\) by name$"),
        (lambda: run(x, input=x), r"run: takes the inputs \(input\); got 1 in order and \(input\) by name$"),
        (lambda: run(x, out=make(2, 4)), r"out: shape \(2, 4\) given, \(2, 3\) needed"),
        (lambda: run(x, out=(None, None)), r"out: 2 arrays given for 1 results; give one each, or None for a new one$"),
        (lambda: run.profile(), r"run: takes the inputs \(input\)"),
        (lambda: run.profile(x, repeats=0), r"profile: repeats must be at least 1, got 0$"),
    ):
        assert re.match(answer, refusal(call, ArrayError)), answer
    text = refusal(lambda: run.source("layer9"), UnsupportedError)
    assert text == "source: no layer is named 'layer9'; names are conv, fc"
    assert run(x).shape == (2, 3), "still works"


def test_numbers_that_a_run_needs(queue: Any) -> None:
    p, g = clconv.Parameter(np.ones(3, np.float32)), input_node("g", TensorSpec((3,)))
    graph = clconv.Graph((g,), (), ((p, sgd_step(p.node, g, None, 0.0, 0.0, False)[0]),))
    run = clconv.compile_graph(graph, queue)
    text = refusal(lambda: run(np.ones(3, np.float32), scalars={"rate": 0.5}), ArrayError)
    assert text == "run: needs scalars={...} with learning_rate; got (rate)"
    run(np.ones(3, np.float32), scalars={"learning_rate": 0.5})
    np.testing.assert_array_equal(p.value, 0.5)


# Graphs


def test_graphs_that_cannot_be(queue: Any) -> None:
    x, twin = input_node("x", TensorSpec((2,))), input_node("x", TensorSpec((2,)))
    for graph, answer in (
        (clconv.Graph((x, twin), (F.sub(x, twin),)), "graph: two inputs are named 'x'; give each a name of its own"),
        (clconv.Graph((), (F.relu(x),)), "graph: 'x' is computed with, but is not among the inputs (none)"),
        (clconv.Graph((x,), F.relu(x)), "graph: outputs must be a tuple of nodes, got Node; write (output,) for one"),  # type: ignore[arg-type]
        (clconv.Graph((x,), (3,)), "graph: outputs must be nodes, got int"),  # type: ignore[arg-type]
    ):
        assert refusal(lambda graph=graph: clconv.compile_graph(graph, queue), GeometryError) == answer  # type: ignore[misc]
    assert refusal(lambda: clconv.grad(F.relu(x), [x]), GeometryError).startswith("grad: the loss must hold one element, got shape (2,)")


def test_outputs_that_are_inputs_parameters_and_one_another(queue: Any) -> None:
    x, p = input_node("x", TensorSpec((2, 3))), clconv.Parameter(np.full((2, 3), 7, np.float32))
    double, constant = F.mul(x, 2.0), as_node(np.full((2,), 9, np.float32))
    outputs = (double, x, p.node, double, F.reshape(double, (6,)), F.reshape(x, (3, 2)), constant)
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    mine = send(queue, given)
    run = clconv.compile_graph(clconv.Graph((x,), outputs), queue)
    run.poison()
    wanted = (2 * given, given, p.value, 2 * given, 2 * given.reshape(6), given.reshape(3, 2), np.full(2, 9))
    results = run(mine)
    for result, value in zip(results, wanted, strict=True):
        exactly(result, value)
    assert len({r.base_data.int_ptr for r in (*results, mine)}) == len(results) + 1, "each result is the caller's own"
    for result in results:
        result.fill(np.nan)
    exactly(mine, given)
    np.testing.assert_array_equal(p.value, 7)
    for result, value in zip(run(mine), wanted, strict=True):
        exactly(result, value)


# Weights


def test_weights_that_do_not_fit() -> None:
    net = small()
    state = net.state_dict()
    end = ". Nothing was loaded; strict=False takes what fits by name"
    for offered, answer in (
        ({**state, "conv.weight": np.ones((4, 1, 5, 5))}, f"wrong shapes: conv.weight: (4, 1, 5, 5) given, (4, 1, 3, 3) needed{end}"),
        ({k: v for k, v in state.items() if k != "fc.bias"}, f"missing: fc.bias{end}"),
        ({**state, "head.weight": np.ones(3)}, f"not in the network: head.weight{end}"),
        ({**state, "fc.bias": np.array(["a", "b", "c"])}, f"not numbers: fc.bias: <U1{end}"),
        ({}, f"missing: conv.weight, conv.bias, fc.weight, fc.bias{end}"),
        ("weights.safetensors", "takes arrays by name, got str; a file is loaded with clconv.train.load_weights(net, path)"),
    ):
        found = refusal(lambda offered=offered: net.load_state_dict(offered), CheckpointError)  # type: ignore[misc]
        assert found == f"load_state_dict: {answer}"
        assert_same_state(net.state_dict(), state)
    net.name_parameters()
    for name in ("freeze", "unfreeze"):
        text = refusal(lambda name=name: getattr(net, name)("layer9.*"), CheckpointError)  # type: ignore[misc]
        assert text == f"{name}: no parameter matches layer9.*; names look like conv.weight, conv.bias, fc.weight"
    for value, answer in (
        (np.ones(3), "a value of shape (3,) does not fit its shape (4,)"),
        (["a"] * 4, "a value must hold numbers, got <U1"),
    ):
        text = refusal(lambda value=value: setattr(net.named_parameters()["conv.bias"], "value", value), ArrayError)  # type: ignore[misc]
        assert text == f"parameter conv.bias: {answer}"
    net.freeze()
    trainer = Trainer(net, optimiser=SGD(0.1))
    x, y = np.ones(SHAPE, np.float32), np.zeros(2, np.int32)
    text = refusal(lambda: trainer.step(x, y), ClconvError)
    assert text == "training: every parameter is frozen; net.unfreeze() some, or evaluate instead"


# Templates


def edited(tmp_path: Path, old: str, new: str, template: str = "conv_direct") -> str:
    """A directory with one template, in which `old` has become `new`."""
    text = (resources.files("clconv.kernels") / f"{template}.cl.mako").read_text()
    assert text.count(old) >= 1
    (tmp_path / f"{template}.cl.mako").write_text(text.replace(old, new, 1))
    return str(tmp_path)


def compile_with(kernels: str, queue: Any) -> Any:
    net = nn.Sequential(conv=nn.Conv2d(1, 4, 3, padding=1))
    return clconv.compile(net, SHAPE, queue, algorithms={"conv": "direct"}, kernels=kernels)


SIGNATURE = "    const int groups, const int own,"
REPRODUCE = "reproduce: clconv source 'conv n2c1i4x4k4f3x3p1+bias' --algorithm conv_direct --kernels "


def test_a_template_that_does_not_render(tmp_path: Path, queue: Any) -> None:
    folder = edited(tmp_path, "% if bias:", "% if bias")
    line = (tmp_path / "conv_direct.cl.mako").read_text().splitlines().index("% if bias") + 1
    text = refusal(lambda: compile_with(folder, queue), TemplateError)
    assert text.startswith(f"template conv_direct.cl.mako at line {line}: ")
    assert f"\n{line:4d}  % if bias\n" in text and "\nrender arguments: {" in text
    assert text.endswith(REPRODUCE + folder)
    folder = edited(tmp_path, "% if bias:", "% if no_such_name:")
    text = refusal(lambda: compile_with(folder, queue), TemplateError)
    assert text.startswith(f"template conv_direct.cl.mako at line {line}: NameError: 'no_such_name' is not defined\n")
    assert f"\n{line:4d}  % if no_such_name:\n" in text


def test_a_template_that_does_not_compile(tmp_path: Path, queue: Any) -> None:
    folder = edited(tmp_path, "    int rest = get_global_id(0);", "    int rest = never_declared;")
    text = refusal(lambda: compile_with(folder, queue), BuildError)
    head, source = text.split("\nsource:\n")
    assert head.startswith("kernel conv_direct of template conv_direct.cl.mako does not build on ") and "never_declared" in head
    assert re.search(r"^ *\d+      int rest = never_declared;$", source, re.M), "numbered as the compiler counts"
    assert source.splitlines()[0] == "   1  // conv_direct" and source.splitlines()[-1] == REPRODUCE + folder
    (tmp_path / "conv_direct.cl.mako").unlink()
    assert compile_with(folder, queue)(np.zeros(SHAPE, np.float32)).shape == (2, 4, 4, 4), "mended, it works"


def test_a_template_whose_arguments_are_not_the_plans(tmp_path: Path, queue: Any) -> None:
    kernel = "template conv_direct.cl.mako: kernel conv_direct"
    for new, answer in (
        (f"    const int extra,\n{SIGNATURE}", " takes extra, which its plan does not bind; the plan binds "),
        (SIGNATURE.replace("groups", "grps"), " lacks groups, which its plan binds; it takes grps, which its plan does not bind; "),
        (SIGNATURE.replace("int groups", "int2 groups"), ": argument groups is of type int2; give it one of int, uint, float, long,"),
        (SIGNATURE.replace("int groups", "__global const int *groups"), ": argument groups is a pointer, its plan binds a number"),
    ):
        folder = edited(tmp_path, SIGNATURE, new)
        assert refusal(lambda folder=folder: compile_with(folder, queue), TemplateError).startswith(kernel + answer)  # type: ignore[misc]
    text = refusal(lambda: compile_with(edited(tmp_path, "void conv_direct(", "void conv_dir("), queue), TemplateError)
    assert text.startswith("template conv_direct.cl.mako: no `__kernel ... void conv_direct(` in the rendered text")
    (tmp_path / "toy.cl.mako").write_text("__kernel void toy(int x,\n    int y\n")
    toy = KernelCall(KernelSource("toy", "toy"), (1,), ())
    programs = programs_for(queue.context, queue.device)
    text = refusal(lambda: bind(toy, programs, {}, directory=str(tmp_path)), TemplateError)
    assert text == "template toy.cl.mako: the arguments of toy have no closing parenthesis"
    (tmp_path / "toy.cl.mako").write_text("__kernel void toy(int x) {}\n")
    text = refusal(lambda: bind(KernelCall(toy.source, (1,), (("x", "weights"),)), programs, {}, directory=str(tmp_path)), TemplateError)
    assert text == "template toy.cl.mako: kernel toy: argument x is of type int, its plan binds the tensor weights to it"


def test_a_directory_of_templates_that_is_none(queue: Any) -> None:
    assert refusal(lambda: compile_with("nowhere", queue), TemplateError) == (
        "kernels: nowhere is not a directory; give one that holds edited *.cl.mako files"
    )


# Nothing there


def test_nothing_in_nothing_out(queue: Any, make: Make) -> None:
    run = clconv.compile(small(), (0, 1, 4, 4), queue)
    assert run(np.ones((0, 1, 4, 4), np.float32)).shape == (0, 3)
    assert run(make(0, 1, 4, 4)).get().shape == (0, 3)
    nothing = cla.empty(queue, (0, 3), np.float32)
    exactly(F.sum(nothing, 0), np.zeros(3))
    assert np.isnan(F.mean(nothing, 0).get()).all() and F.mean(nothing, 0).shape == (3,)
    assert np.isnan(F.mse_loss(nothing, nothing).get())
    exactly(F.matmul(make(2, 0), make(0, 3)), np.zeros((2, 3)))
