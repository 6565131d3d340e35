"""The light topologies of the package onnx with random weights: what is made of them, and the numbers of ONNX Runtime."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import clconv
from clconv.bench.light import NAMES, light_model
from clconv.errors import UnsupportedError
from clconv.graph.node import topological
from clconv.graph.passes import optimise
from clconv.nn import models
from clconv.onnx import load

SMALL = ("inception_v2", "resnet50", "squeezenet", "densenet121", "shufflenet")
# Parameters as the networks' papers and their usual implementations have them; densenet121 counts the scales that stand beside those of
# its normalisations.
COUNTS = {"resnet50": 25_557_032, "squeezenet": 1_235_496, "shufflenet": 1_420_000, "densenet121": 7_978_856}


@functools.cache
def light(name: str) -> Any:
    """Each model once; tests do not change it."""
    return light_model(name)


def heavy(net: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """How many operations of each kind are left of inference once everything is fused; what depends on weights alone is not counted."""
    graph = optimise(net.trace(shape))
    order, depends, counts = topological(graph.outputs), set(), {}
    for node in order:
        if node.op == "input" or any(id(source) in depends for source in node.inputs):
            depends.add(id(node))
            counts[node.op] = counts.get(node.op, 0) + 1
    return counts


@pytest.mark.parametrize("name", SMALL)
def test_a_light_model_loads_for_any_batch(name: str) -> None:
    net = load(light(name))
    assert net.input_shape == (1, 3, 224, 224)
    one, eight = (net.trace((batch, 3, 224, 224)).outputs[0].shape for batch in (1, 8))
    assert one[:2] == (1, 1000) and eight == (8, *one[1:])


def test_weights_are_parameters_and_statistics_are_not_trained() -> None:
    net = load(light("resnet50"))
    trained = net.trainable_parameters()
    assert sum(math.prod(p.shape) for p in trained.values()) == COUNTS["resnet50"]
    assert sorted(set(net.named_parameters()) - set(trained)) == sorted(
        n for n in net.named_parameters() if n.endswith(("_rm_0", "_riv_0"))
    )
    squeezenet = load(light("squeezenet"))
    assert squeezenet.parameter_count(trainable_only=True) == squeezenet.parameter_count() == COUNTS["squeezenet"]


def test_resnet50_is_fused_as_the_model_written_by_hand() -> None:
    shape = (1, 3, 224, 224)
    theirs, own = heavy(load(light("resnet50")), shape), heavy(models.resnet50(), shape)
    assert theirs.pop("softmax") == 1
    assert theirs == own
    assert set(own) == {"input", "conv", "pool", "item", "mean", "reshape", "matmul"}


@pytest.mark.parametrize("name", ["inception_v2", "densenet121"])
def test_factors_beside_a_normalisation_cost_nothing(name: str) -> None:
    left = heavy(load(light(name)), (1, 3, 224, 224))
    assert not {"add", "mul", "batch_norm", "relu"} & set(left)
    # DenseNet normalises before it convolves: the first of the two in each of its 58 layers, 3 transitions and the last.
    assert left.get("map", 0) == (62 if name == "densenet121" else 0)


def test_the_models_have_no_weights_in_nodes_and_no_shapes_left() -> None:
    for name in SMALL:
        proto = light(name)
        onnx.checker.check_model(proto, full_check=True)
        assert "ConstantOfShape" not in {node.op_type for node in proto.graph.node}
        assert len(proto.graph.input) == 1
        read = {i for node in proto.graph.node for i in node.input}
        assert {t.name for t in proto.graph.initializer} <= read


def test_seeds_decide_the_weights() -> None:
    def first(seed: int) -> np.ndarray:
        return numpy_helper.to_array(light_model("squeezenet", seed).graph.initializer[0])

    np.testing.assert_array_equal(first(0), first(0))
    assert not np.array_equal(first(0), first(1))


def test_names_that_are_no_light_models() -> None:
    with pytest.raises(UnsupportedError, match="'resnet18' is not a light model; they are bvlc_alexnet, "):
        light_model("resnet18")


def check_against_onnx_runtime(name: str, batch: int, queue: Any) -> None:
    """Within 1e-4 of the largest value, which is no degenerate one."""
    from tests.onnx_peers import by_onnx_runtime

    proto = light_model(name)
    x = np.random.default_rng(1).standard_normal((batch, 3, 224, 224)).astype(np.float32)
    wanted = np.concatenate([by_onnx_runtime(proto, image[None])[0] for image in x])
    got = clconv.compile(load(proto), x.shape, queue)(x).get()
    assert got.shape == wanted.shape and np.abs(wanted).std() > 1e-4 and np.abs(wanted).max() < 10
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.peers
@pytest.mark.parametrize("name", ["shufflenet", "resnet50"])
def test_onnx_runtime_gives_the_same_numbers(name: str, queue: Any) -> None:
    check_against_onnx_runtime(name, 1, queue)


@pytest.mark.peers
@pytest.mark.exhaustive
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_gives_the_same_numbers_for_every_light_model(name: str, batch: int, queue: Any) -> None:
    check_against_onnx_runtime(name, batch, queue)
