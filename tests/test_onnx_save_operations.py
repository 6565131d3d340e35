"""Every operation of a graph as an ONNX file: valid, the same when loaded, the same numbers in ONNX Runtime, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from clconv.graph.node import SOURCES, topological
from clconv.graph.ops import OPS
from clconv.onnx import load, to_model
from clconv.onnx.emit import REFUSED, RULES
from tests.interpreter import evaluate
from tests.onnx_operations import OPERATIONS
from tests.test_onnx_errors import Whole

# What is saved is loaded as other operations, so that the next file has these.
OTHERWISE_AGAIN = {
    "residual and activation": "the sum is a node of its own, which stands behind both of its parts",
    "positions": "a conversion to whole numbers is named after what found them",
    "positions as they are": "a conversion to whole numbers is named after what found them",
    "positions in planes": "a conversion to whole numbers is named after what found them",
    "mixing an axis": "a table without a resizing behind it is read as weights of a product",
    "mixing the last axis": "a table without a resizing behind it is read as weights of a product",
    "batch norm by the batch": "sums of squares are computed by operations of their own",
    "cross entropy": "what is known of the targets is computed when the file is loaded",
    "cross entropy of each": "what is known of the targets is computed when the file is loaded",
}
# What is written for so many inputs alone.
FOR_ONE_BATCH = (
    "gradient of data", "unpooling known positions", "cross entropy", "cross entropy of each", "reshaping", "sum of all", "amax",
    "squared error", "flattening all", "batch norm by the batch",
)  # fmt: skip


def inputs_of(name: str) -> tuple[Whole, np.ndarray]:
    """The network, and an input of which no two elements are equal, so that maxima have one place."""
    function, shape = OPERATIONS[name]
    rng = np.random.default_rng(len(name))
    x = rng.permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape) + rng.standard_normal(shape) * 1e-3
    return Whole(function), x.astype(np.float32)


def close(got: Any, wanted: Any, name: str) -> None:
    """Within what float32 sums lose, or float16 where the network computes in that."""
    assert np.shape(got) == np.shape(wanted)
    bound = 3e-3 if name.startswith(("half", "cast")) else 1e-5
    np.testing.assert_allclose(got, wanted, rtol=0, atol=bound * max(1e-3, float(np.abs(wanted).max())))


def test_every_operation_is_saved_or_refused() -> None:
    assert set(RULES) | set(REFUSED) == set(OPS) and not set(RULES) & set(REFUSED)
    assert all(len(why.split()) > 5 for why in REFUSED.values())
    used = {node.op for function, shape in OPERATIONS.values() for node in topological(Whole(function).trace(shape).outputs)}
    # `map` is what loading makes of Mod and of the positions of maxima.
    assert used - set(SOURCES) | {"map"} == set(RULES)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_means_the_same_when_loaded(name: str) -> None:
    net, x = inputs_of(name)
    proto = to_model(net, x.shape)
    onnx.checker.check_model(proto, full_check=True)
    back = load(proto)
    close(evaluate(back, x)[0], evaluate(net, x)[0], name)
    again = to_model(back)
    assert (again.SerializeToString() == proto.SerializeToString()) == (name not in OTHERWISE_AGAIN)
    close(evaluate(load(again), x)[0], evaluate(net, x)[0], name)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in FOR_ONE_BATCH])
def test_an_operation_takes_any_batch(name: str) -> None:
    net, x = inputs_of(name)
    proto = to_model(net, x.shape, batch="N")
    onnx.checker.check_model(proto, full_check=True)
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in (*proto.graph.input, *proto.graph.output)] == ["N", "N"]
    three = np.concatenate([x, x[:1], x])[:3]
    close(evaluate(load(proto), three)[0], evaluate(net, three)[0], name)
    assert to_model(load(proto)).SerializeToString() == proto.SerializeToString() or name in OTHERWISE_AGAIN


def check_with_onnx_runtime(name: str, batch: str | None, repeat: Callable[[np.ndarray], np.ndarray]) -> None:
    from tests.onnx_peers import by_onnx_runtime

    net, x = inputs_of(name)
    proto = to_model(net, x.shape, batch=batch)
    x = repeat(x)
    for got, wanted in zip(by_onnx_runtime(proto, x), evaluate(net, x), strict=True):
        close(got, wanted, name)


@pytest.mark.peers
@pytest.mark.parametrize("name", OPERATIONS)
def test_onnx_runtime_gives_the_same_numbers(name: str) -> None:
    check_with_onnx_runtime(name, None, lambda x: x)


@pytest.mark.peers
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in FOR_ONE_BATCH])
def test_onnx_runtime_takes_any_batch(name: str) -> None:
    check_with_onnx_runtime(name, "images", lambda x: np.concatenate([x, x[:1], x]))
