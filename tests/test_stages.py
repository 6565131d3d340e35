"""Graphs of which the host computes a part: how they are cut, what is refused, and runs of them that need no kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyopencl.array as cla
import pytest

from clconv import grad
from clconv.errors import ArrayError, GeometryError, UnsupportedError
from clconv.graph.compile import compile_graph
from clconv.graph.hybrid import HybridRun
from clconv.graph.node import Node, input_node
from clconv.graph.ops import make
from clconv.graph.ops.host import OPEN, host
from clconv.graph.parameter import Parameter
from clconv.graph.stages import DeviceStage, HostStage, has_host_part, stages
from clconv.graph.trace import Graph, scope
from clconv.tensor import TensorSpec

PAIR = TensorSpec((2, 3))


@dataclass(frozen=True)
class Called:
    """A host function by name."""

    operation: str
    function: Callable[..., Sequence[np.ndarray]]
    reason: str = "it is a test"

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        return self.function(*values)


DOUBLED = Called("Double", lambda x: (2 * x,))
SORTED = Called("Sort", lambda x: (np.sort(x, 1), np.argsort(x, 1)))


def doubled(x: Node, label: str = "double") -> Node:
    with scope(label):
        return host(DOUBLED, [x], [x.spec])[0]


def ordered(x: Node) -> tuple[Node, ...]:
    with scope("sort"):
        return host(SORTED, [x], [x.spec, TensorSpec(x.shape, "int64")])


def relu(x: Node) -> Node:
    return make("relu", x)


def test_device_host_device_is_three_stages() -> None:
    x = input_node("x", PAIR)
    a = relu(x)
    h = doubled(a)
    b = relu(h + a)
    first, second, third = stages(Graph((x,), (b, a)))
    assert isinstance(first, DeviceStage) and first.reads == (x,) and first.gives == (a,)
    assert isinstance(second, HostStage) and second.nodes == (h,)
    assert isinstance(third, DeviceStage) and third.reads == (a, h) and third.gives == (b,)
    assert [node.shape for node in third.graph.inputs] == [(2, 3), (2, 3)] and len({n["name"] for n in third.graph.inputs}) == 2


def test_host_nodes_after_one_another_share_a_stage_and_branches_do_not_wait() -> None:
    x = input_node("x", PAIR)
    one, other = doubled(doubled(x)), relu(x)
    found = stages(Graph((x,), (one, other, relu(one + other))))
    assert [type(stage) for stage in found] == [DeviceStage, HostStage, DeviceStage]
    assert isinstance(found[0], DeviceStage) and found[0].gives == (other,)
    assert isinstance(found[1], HostStage) and len(found[1].nodes) == 2


def test_what_depends_on_parameters_alone_is_computed_where_it_is_read() -> None:
    """Not handed on from the first stage, which would make it work of every run; the host is given it, though."""
    x, p = input_node("x", PAIR), Parameter(np.ones((2, 3), np.float32))
    prepared = make("exp", p.node)
    assert isinstance(stages(Graph((x,), (doubled(x) + prepared,)))[0], HostStage)
    first, _, last = stages(Graph((x,), (relu(doubled(relu(x))) + prepared,)))
    assert isinstance(first, DeviceStage) and len(first.gives) == 1
    assert isinstance(last, DeviceStage) and len(last.reads) == 1
    given = stages(Graph((x,), (doubled(prepared),)))[0]
    assert isinstance(given, DeviceStage) and given.gives == (prepared,)


def test_new_values_of_parameters_are_written_at_the_end() -> None:
    """Though the first stage computes them: the last one still reads the old value."""
    x, p = input_node("x", PAIR), Parameter(np.ones((2, 3), np.float32))
    renewed = x + p.node
    first, _, last = stages(Graph((x,), (doubled(relu(x)) * p.node,), ((p, renewed),)))
    assert isinstance(first, DeviceStage) and renewed in first.gives and not first.graph.updates
    assert isinstance(last, DeviceStage) and [parameter for parameter, _ in last.graph.updates] == [p] and renewed in last.reads


def test_a_kernel_reads_no_whole_numbers_of_the_host_and_nothing_of_open_size() -> None:
    x = input_node("x", PAIR)
    with pytest.raises(GeometryError, match=r"relu: reads sort, which holds int64 of shape \(2, 3\) on the host; a kernel takes"):
        stages(Graph((x,), (relu(ordered(x)[1]),)))
    with scope("some"):
        (some,) = host(DOUBLED, [x], [TensorSpec((2, OPEN))])
    with pytest.raises(GeometryError, match=r"reads some, which holds float32 of shape \(2, -1\) on the host"):
        stages(Graph((x,), (Node("relu", (some,), {}, (PAIR,)),)))
    assert not has_host_part(Graph((x,), (relu(x),))) and has_host_part(Graph((x,), (some,)))


def test_no_gradient_leads_through_the_host_but_past_it() -> None:
    x, p = input_node("x", PAIR), Parameter(np.ones((2, 3), np.float32))
    (after,) = grad(make("sum", doubled(x) * p.node, axes=(0, 1)), [p])
    assert after.shape == (2, 3)
    with pytest.raises(UnsupportedError, match="double, backward: Double: is computed on the host, and no gradient leads through it"):
        grad(make("sum", doubled(x * p.node), axes=(0, 1)), [p])


def test_a_run_on_the_host_alone(queue: Any) -> None:
    """Results of all types come as device arrays, into one of the caller's where kernels know the type."""
    x = input_node("x", PAIR)
    values, positions = ordered(doubled(x))
    run = compile_graph(Graph((x,), (values, positions, values)), queue)
    assert isinstance(run, HybridRun) and run.launch_count == 0 and run.memory == {"activations": 0, "prepared": 0, "parameters": 0}
    given = np.array([[3, 1, 2], [5, 6, 4]], np.float32)
    sorted_, order, again = run(given)
    np.testing.assert_array_equal(sorted_.get(), [[2, 4, 6], [8, 10, 12]])
    np.testing.assert_array_equal(order.get(), [[1, 2, 0], [2, 0, 1]])
    assert order.dtype == np.int64 and again.base_data is not sorted_.base_data
    np.testing.assert_array_equal(run(x=cla.to_device(queue, given))[2].get(), sorted_.get())
    assert "double: Double\n    (float32 2x3) -> (float32 2x3)\n    it is a test" in run.explain()
    profile = run.profile(given, repeats=1)
    assert [(row.kernel, row.label) for row in profile.rows] == [("host", "double"), ("host", "sort")]
    assert sum(row.share for row in profile.rows) == pytest.approx(1)
    with pytest.raises(ArrayError, match="out: sort is int64 and made on the host; give None for it"):
        run(given, out=(None, order, None))
    with pytest.raises(UnsupportedError, match="'sort' is computed on the host, without a kernel"):
        run.source("sort")
    with pytest.raises(UnsupportedError, match="no layer is named 'nothing'"):
        run.source("nothing")


def test_whole_numbers_go_in_for_the_host(queue: Any) -> None:
    x = input_node("x", TensorSpec((3,), "int64"))
    run = compile_graph(Graph((x,), (doubled(x),)), queue)
    np.testing.assert_array_equal(run(np.array([1, 2, 2**40])).get(), [2, 4, 2**41])
    with pytest.raises(ArrayError, match=r"input 'x': element type int32 given, int64 needed; convert with astype\(np.int64\)"):
        run(np.zeros(3, np.int32))
    with pytest.raises(ArrayError, match=r"input 'x': shape \(2,\) given, \(3,\) compiled"):
        run([1, 2])


def test_a_parameter_is_read_anew_in_every_run(queue: Any) -> None:
    p = Parameter(np.array([1, 2], np.float32))
    run = compile_graph(Graph((), (doubled(p.node),)), queue)
    np.testing.assert_array_equal(run().get(), [2, 4])
    p.value = np.array([3, 4], np.float32)
    np.testing.assert_array_equal(run().get(), [6, 8])


def test_a_shape_that_turns_out_otherwise_is_an_error(queue: Any) -> None:
    """Where a kernel was compiled for it; a caller just gets it."""
    x = input_node("x", PAIR)
    with scope("cut"):
        (cut,) = host(Called("Cut", lambda a: (a[:, : int(a[0, 0])],)), [x], [PAIR])
    given = np.full((2, 3), 2, np.float32)
    assert compile_graph(Graph((x,), (cut,)), queue)(given).shape == (2, 2)
    run = compile_graph(Graph((x,), (make("reshape", cut, shape=(6,)),)), queue)
    with pytest.raises(ArrayError, match=r"cut: gave shape \(2, 2\), but what reads it was compiled for \(2, 3\)"):
        run(given)
    np.testing.assert_array_equal(run(given + 1).get(), [3] * 6)
