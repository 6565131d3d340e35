"""Mistakes that were found by reading, each with the smallest case that shows it."""

from __future__ import annotations

import numpy as np
import pyopencl as cl
import pyopencl.array as cla
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.errors import ArrayError, GeometryError
from clconv.functional import eager
from clconv.graph.compile import compile_graph
from clconv.graph.node import Node, input_node
from clconv.graph.parameter import Parameter
from clconv.graph.trace import Graph
from clconv.tensor import TensorSpec


def send(queue: cl.CommandQueue, array: np.ndarray) -> cla.Array:
    return cla.to_device(queue, np.ascontiguousarray(array))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def node(*shape: int, dtype: str = "float32") -> Node:
    return input_node("x", TensorSpec(shape, dtype))


def both_ways(x: Node, y: Node, queue: cl.CommandQueue, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The graph's result with and without passes."""
    graph = Graph((x,), (y,))
    return compile_graph(graph, queue)(value).get(), compile_graph(graph, queue, passes=False)(value).get()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_part_without_elements_leaves_the_others_of_a_concatenation_alone(queue, axis, empty):
    parts = [normal(2, 3), normal(2, 3) + 1]
    parts.insert(empty, np.zeros((0, 3) if axis == 0 else (2, 0), np.float32))
    np.testing.assert_array_equal(F.cat([send(queue, p) for p in parts], axis).get(), np.concatenate(parts, axis))


def test_a_parameter_that_takes_over_anothers_value_gets_that_of_before_the_run(queue):
    now, before = Parameter(np.array([1.0, 2.0])), Parameter(np.zeros(2))
    x = node(2)
    run = compile_graph(Graph((x,), (x * 2.0,), ((now, now.node - x), (before, now.node))), queue)
    run(np.ones(2, np.float32))
    np.testing.assert_array_equal(now.value, [0, 1])
    np.testing.assert_array_equal(before.value, [1, 2])


def test_two_parameters_exchange_their_values(queue):
    a, b = Parameter(np.array([1.0, 2.0])), Parameter(np.array([3.0, 4.0]))
    x = node(2)
    compile_graph(Graph((x,), (x * 2.0,), ((a, b.node), (b, a.node))), queue)(np.ones(2, np.float32))
    np.testing.assert_array_equal(a.value, [3, 4])
    np.testing.assert_array_equal(b.value, [1, 2])


@pytest.mark.parametrize(("shape", "dtype"), [((5,), "float32"), ((2,), "float16")])
def test_updates_that_do_not_fit_their_parameter_are_refused(queue, shape, dtype):
    x = node(*shape, dtype=dtype)
    with pytest.raises(GeometryError, match=r"shape \(2,\) cannot be updated with a float(32|16) value"):
        compile_graph(Graph((x,), (x * 2.0,), ((Parameter(np.zeros(2)), x + 1.0),)), queue)


@pytest.mark.exhaustive
def test_float_statistics_are_not_folded_into_a_half_convolution(queue):
    x, weight = node(1, 3, 5, 5), Parameter(normal(4, 3, 3, 3))
    half = F.conv2d(F.cast(x, "float16"), F.cast(weight, "float16"), padding=1)
    y = F.cast(F.batch_norm(half, Parameter(normal(4)), Parameter(np.full(4, 2.0))), "float32")
    np.testing.assert_array_equal(*both_ways(x, y, queue, normal(1, 3, 5, 5)))


@pytest.mark.parametrize("conv_first", [True, pytest.param(False, marks=pytest.mark.exhaustive)])
def test_a_float_residual_is_not_read_as_half(queue, conv_first):
    x, weight = node(1, 3, 5, 5), Parameter(normal(3, 3, 3, 3))
    half = F.conv2d(F.cast(x, "float16"), F.cast(weight, "float16"), padding=1)
    y = half + x if conv_first else x + half
    assert y.dtype == "float32"
    np.testing.assert_array_equal(*both_ways(x, y, queue, normal(1, 3, 5, 5)))


@pytest.mark.exhaustive
def test_gradients_of_half_networks_are_half_and_those_of_their_float_parameters_float(queue):
    x, weight = node(1, 2, 4, 4, dtype="float16"), Parameter(normal(3, 2, 3, 3))
    scale = Parameter(np.array([2.0]))
    loss = F.sum(F.conv2d(x, F.cast(weight, "float16"), padding=1) * scale)
    gradients = clconv.grad(loss, [x, weight, scale])
    assert [g.dtype for g in gradients] == ["float16", "float32", "float32"]
    value = np.ones((1, 2, 4, 4), np.float16)
    dx, dw, dscale = (g.get() for g in compile_graph(Graph((x,), tuple(gradients)), queue)(value))
    np.testing.assert_array_equal(dw, np.broadcast_to(2.0 * np.outer([3, 4, 3], [3, 4, 3]), (3, 2, 3, 3)))
    assert np.isfinite(dx).all() and dscale.shape == (1,)


def test_numbers_do_not_change_the_type_of_half_tensors_and_floats_do(queue):
    half, single = send(queue, np.ones(3, np.float16)), send(queue, np.ones(3, np.float32))
    assert F.mul(2.0, half).dtype == F.mul(half, 2.0).dtype == np.float16
    assert F.add(half, single).dtype == F.add(single, half).dtype == np.float32


def test_whole_numbers_are_refused_or_become_floats_beside_them(queue):
    whole, single = send(queue, np.arange(3, dtype=np.int32)), send(queue, np.full(3, 0.5, np.float32))
    np.testing.assert_array_equal(F.mul(whole, single).get(), [0, 0.5, 1])
    np.testing.assert_array_equal(F.mul(np.int64(3), single).get(), [1.5, 1.5, 1.5])
    with pytest.raises(ArrayError, match="add: element type int32 is not supported here; use float32"):
        F.add(whole, whole)


@pytest.mark.exhaustive
def test_the_mean_of_squares_of_half_numbers_does_not_pass_through_their_sum(queue):
    x, zero = (send(queue, np.full(2000, value, np.float16)) for value in (10, 0))
    assert F.mse_loss(x, zero).get() == 100


@pytest.mark.exhaustive
def test_batch_statistics_of_half_numbers_are_float(queue):
    x = (30 + 0.3 * normal(64, 4)).astype(np.float16)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    y = F.batch_norm(send(queue, x), None, None, training=True).get()
    # Two roundings: of the result to half, and of float arithmetic on values a hundred times the deviation.
    assert np.abs(y - exact).max() <= 2.0**-11 * np.abs(exact).max() + 100 * 2.0**-20


def test_a_batch_norm_layer_used_twice_moves_its_statistics_twice(queue):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(2)

        def forward(self, x):
            return self.bn(self.bn(x))

    net, x = Twice(), normal(8, 2) + 5
    clconv.compile(net, (8, 2), queue=queue, training=True)(x)
    np.testing.assert_allclose(net.bn.running_mean.value, 0.9 * (0.1 * x.mean(0)), rtol=1e-5)  # the second mean is 0


def test_momentum_may_be_a_numpy_number(queue):
    mean, var = (send(queue, np.full(2, value, np.float32)) for value in (0, 1))
    F.batch_norm(send(queue, np.array([[1, 2], [3, 6]], np.float32)), mean, var, training=True, momentum=np.float64(0.25))
    np.testing.assert_array_equal(mean.get(), [0.5, 1])


def test_tracing_leaves_the_modes_of_layers_as_they_were():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    norm = list(net.children())[1]
    norm.eval()
    net.summary((1, 1, 7, 7))
    assert net.training and not norm.training


def test_the_gradient_of_a_mean_over_an_empty_batch_is_empty(queue):
    x = node(0, 3, 4, 4)
    (gradient,) = clconv.grad(F.sum(F.adaptive_avg_pool2d(x, 1)), [x])
    assert compile_graph(Graph((x,), (gradient,)), queue)(np.zeros((0, 3, 4, 4), np.float32)).shape == (0, 3, 4, 4)


def test_profile_takes_views(queue):
    run = clconv.compile(nn.Conv2d(1, 2, 3, padding=1), (1, 1, 7, 7), queue=queue)
    x = send(queue, normal(4, 1, 7, 7))
    assert run.profile(x[1:2], repeats=1).milliseconds > 0
    assert run.profile(x[::-1][:1], repeats=1).milliseconds > 0


def test_views_that_start_at_many_places_share_few_schedules(queue):
    eager.forget()
    x = send(queue, normal(80, 7))
    for i in range(80):
        np.testing.assert_array_equal(F.relu(x[i : i + 1]).get(), np.maximum(x[i : i + 1].get(), 0))
        np.testing.assert_array_equal(F.relu(x[i : i + 1, ::-1]).get(), np.maximum(x[i : i + 1].get(), 0)[:, ::-1])
    (run,) = eager._remembered.values()
    assert len(run._variants) <= 2 * (run.traits.buffer_alignment // 4 + 1)
