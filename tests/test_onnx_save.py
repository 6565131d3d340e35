"""Networks written as ONNX files: valid, the same numbers, the same names, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import clconv
import clconv.functional as F
from clconv import nn
from clconv.graph.node import topological
from clconv.nn import models
from clconv.onnx import load, save, to_model
from tests.interpreter import evaluate
from tests.onnx_support import by_the_book, normal
from tests.test_blocks import randomised
from tests.test_onnx_errors import Whole

MAPS, ROWS, CUBES = (2, 4, 8, 6), (2, 4, 9), (1, 2, 4, 5, 3)
WEIGHT = normal(6, 4, 3, 3)
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "convolution": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((0, 1), (1, 2)), dilation=(1, 2), groups=2), MAPS),
    "convolution, same": (nn.Conv2d(4, 6, 4, padding="same", bias=False), MAPS),
    "convolution of one axis": (nn.Conv1d(4, 6, 3), ROWS),
    "convolution of three axes": (nn.Conv3d(2, 3, 2, padding=1), CUBES),
    "transposed": (nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), MAPS),
    "transposed, one axis": (nn.ConvTranspose1d(4, 3, 3, stride=2), ROWS),
    "transposed, three axes": (nn.ConvTranspose3d(2, 3, 2, stride=2, bias=False), CUBES),
    "linear": (nn.Linear(4, 3), (2, 4)),
    "linear without bias": (nn.Linear(4, 3, bias=False), (2, 4)),
    "batch norm": (nn.BatchNorm2d(4, eps=1e-3), MAPS),
    "batch norm without weights": (nn.BatchNorm2d(4, affine=False), MAPS),
    "batch norm of rows": (nn.BatchNorm1d(4), (3, 4)),
    "batch norm of three axes": (nn.BatchNorm3d(2), CUBES),
    "maximum": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), MAPS),
    "maximum of one axis": (nn.MaxPool1d(2, dilation=2), ROWS),
    "maximum of three axes": (nn.MaxPool3d(2, 1), CUBES),
    "mean": (nn.AvgPool2d(3, 2, 1), MAPS),
    "mean of one axis": (nn.AvgPool1d(3, 2), ROWS),
    "mean of three axes": (nn.AvgPool3d(2), CUBES),
    "mean without padding": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), MAPS),
    "sum of windows": (Whole(lambda x: F.avg_pool2d(x, 2, divisor_override=1)), MAPS),
    "adaptive mean": (nn.AdaptiveAvgPool2d((4, 3)), MAPS),
    "adaptive mean, unequal": (nn.AdaptiveAvgPool2d((5, 4)), MAPS),
    "adaptive mean of one axis": (nn.AdaptiveAvgPool1d(2), ROWS),
    "adaptive mean of three axes": (nn.AdaptiveAvgPool3d((2, 1, 3)), CUBES),
    "global mean": (nn.AdaptiveAvgPool2d(1), MAPS),
    "global maximum": (Whole(F.global_max_pool), MAPS),
    "mean of rows": (Whole(lambda x: F.mean(x, -1)), MAPS),
    "sum": (Whole(lambda x: F.sum(x, (1, 2), keepdim=True)), MAPS),
    "softmax": (nn.Softmax(), MAPS),
    "log softmax": (Whole(lambda x: F.log_softmax(x, 2)), MAPS),
    "activations": (nn.Sequential(nn.LeakyReLU(0.2), nn.ELU(0.5), nn.Tanh(), nn.SiLU(), nn.Sigmoid(), nn.ReLU()), (2, 3)),
    "more activations": (nn.Sequential(nn.ScaledTanh(), nn.GELU()), (2, 3)),
    "gelu and a mean": (Whole(lambda x: F.mean(F.gelu(x, "tanh"), 1)), (2, 3)),
    "arithmetic": (Whole(lambda x: (x - 1.5) / 2.0 * F.add(x, x, alpha=0.5)), (2, 3)),
    "fused": (Whole(lambda x: F.conv2d(x, WEIGHT, padding=1, activation=("leaky_relu", 0.1))), MAPS),
    "shapes": (Whole(lambda x: F.transpose(F.reshape(x, (2, 2, 2, 8, 6)), 1, 2)), MAPS),
    "padding and joining": (Whole(lambda x: F.cat([F.pad(x, (1, 2)), F.pad(x, (3, 0))], 1)), MAPS),
    "flattening all": (nn.Flatten(0), (2, 3)),
    "products": (Whole(lambda x: F.matmul(x, F.transpose(x, 1, 2))), (2, 3, 4)),
    "normalisation over channels": (nn.LocalResponseNorm(3, alpha=0.4, k=2.0), MAPS),
    "dropout": (nn.Sequential(nn.Dropout(), nn.ReLU()), (2, 3)),
    "nothing": (nn.Identity(), (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_means_the_same_in_the_file_and_when_loaded(name: str) -> None:
    net, shape = LAYERS[name]
    net = randomised(net)
    x = normal(*shape)
    proto = to_model(net, shape)
    onnx.checker.check_model(proto, full_check=True)
    (wanted,) = evaluate(net, x)
    back = load(proto)
    np.testing.assert_allclose(evaluate(back, x)[0], wanted, rtol=1e-6, atol=1e-7)
    if name not in WRONG_IN_REFERENCE:
        np.testing.assert_allclose(by_the_book(proto, x)[0], wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())
    assert_same_names(net, back)


# onnx.reference normalises some of the channels only.
WRONG_IN_REFERENCE = ("normalisation over channels",)


def assert_same_names(net: Any, back: Any) -> None:
    """The same parameters with the same values, of which the same are trained; what was a constant may have become one more that is not."""
    one, other = net.state_dict(), back.state_dict()
    assert sorted(one) == sorted(name for name in other if not name.startswith("constant"))
    for key, value in one.items():
        np.testing.assert_array_equal(other[key], value, err_msg=key)
    assert sorted(net.trainable_parameters()) == sorted(back.trainable_parameters())


def test_every_layer_has_a_case() -> None:
    layers = {name for name, kind in vars(nn).items() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    used = {type(module).__name__ for net, _ in LAYERS.values() for module in net.modules()}
    assert layers - used == {"Elementwise", "Module", "ModuleList"}, "these compute nothing themselves"


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet5": (lambda: models.lenet5(), (1, 1, 28, 28)),
    "resnet18": (lambda: models.resnet18(num_classes=10), (1, 3, 32, 32)),
    "resnet50": (lambda: models.resnet50(num_classes=10), (1, 3, 32, 32)),
    "unet": (lambda: models.unet(width=4), (1, 1, 32, 32)),
    "dcgan_generator": (lambda: models.dcgan_generator(ngf=4), (2, 100, 1, 1)),
    "dilated_context": (lambda: models.dilated_context(3), (1, 3, 20, 20)),
    "googlenet": (lambda: models.googlenet(num_classes=10, aux=False), (1, 3, 64, 64)),
    "lenet5 of 1998": (lambda: models.lenet5(original=True), (1, 1, 32, 32)),
    "dcgan_discriminator": (lambda: models.dcgan_discriminator(ndf=4), (2, 3, 64, 64)),
    "unet, not padded": (lambda: models.unet(width=4, padded=False, depth=2), (1, 1, 60, 60)),
    "dilated_context, large": (lambda: models.dilated_context(3, large=True), (1, 3, 20, 20)),
}
# Compared by ONNX Runtime's numbers; those of many weights with the exhaustive tests.
MORE_NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "googlenet of 2014": (lambda: models.googlenet(num_classes=10, original=True, aux=False), (1, 3, 64, 64)),
    "inception_v3": (lambda: models.inception_v3(num_classes=10, aux=False), (1, 3, 75, 75)),
}
LARGE_NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "alexnet": (lambda: models.alexnet(num_classes=10), (1, 3, 63, 63)),
    "alexnet of 2012": (lambda: models.alexnet(num_classes=10, original=True), (1, 3, 224, 224)),
    "resnet34": (lambda: models.resnet34(num_classes=10), (1, 3, 32, 32)),
    "resnet101": (lambda: models.resnet101(num_classes=10), (1, 3, 32, 32)),
    "resnet152": (lambda: models.resnet152(num_classes=10), (1, 3, 32, 32)),
    "vgg16": (lambda: models.vgg16(num_classes=10), (1, 3, 32, 32)),
    "vgg19": (lambda: models.vgg19(num_classes=10), (1, 3, 32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_its_parameters_and_the_names_of_its_layers(name: str) -> None:
    make, shape = NETWORKS[name]
    net = make()
    proto = to_model(net, shape)
    onnx.checker.check_model(proto, full_check=True)
    back = load(proto)
    assert_same_names(net, back)
    labels = {node.label for node in topological(net.trace(shape).outputs) if node.label and node.op != "input"}
    assert labels <= {node.name for node in proto.graph.node}
    # LeNet's table of connections is a tensor of the file too.
    assert len(back.named_parameters()) == len(net.named_parameters()) + ("1998" in name)
    assert to_model(back).SerializeToString() == proto.SerializeToString()
    assert net.summary(shape).multiply_adds == back.summary(shape).multiply_adds


def test_the_file_takes_any_batch() -> None:
    net, shape = models.lenet5(), (1, 1, 28, 28)
    assert load(to_model(net, shape)).trace((5, 1, 28, 28)).outputs[0].shape == (5, 10)


def test_saving_and_loading_by_path(tmp_path: Path) -> None:
    net = models.lenet5()
    save(net, tmp_path / "a.onnx", (1, 1, 28, 28))
    back = load(tmp_path / "a.onnx")
    assert back.input_shape == (1, 1, 28, 28) and back.output_names == ("output",)
    save(back, tmp_path / "b.onnx")
    assert_same_names(load(tmp_path / "b.onnx"), net)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.onnx", "b.onnx"]


def test_several_inputs_and_outputs() -> None:
    class Two(nn.Module):
        def forward(self, left: Any, right: Any) -> Any:
            return F.add(left, right), F.relu(left), right

    proto = to_model(Two(), {"left": (2, 3), "right": (2, 3)})
    onnx.checker.check_model(proto, full_check=True)
    assert [v.name for v in proto.graph.input] == ["left", "right"]
    assert [v.name for v in proto.graph.output] == ["output_0", "output_1", "output_2"]
    a, b = normal(2, 3), normal(2, 3)
    for got, wanted in zip(by_the_book(proto, a, b), (a + b, np.maximum(a, 0), b), strict=True):
        np.testing.assert_allclose(got, wanted)


def test_a_value_given_twice_is_two_outputs() -> None:
    proto = to_model(Whole(lambda x: (F.relu(x),) * 2), (2, 3))
    onnx.checker.check_model(proto, full_check=True)
    assert [n.op_type for n in proto.graph.node] == ["Relu", "Identity"]


def check_with_onnx_runtime(name: str) -> None:
    """For the batch that the file was written for and, where it is left open, for two more. Two hundred layers lose little of float32."""
    from tests.onnx_peers import by_onnx_runtime

    make, shape = (NETWORKS | MORE_NETWORKS | LARGE_NETWORKS)[name]
    net, x = randomised(make()), normal(*shape)
    proto = to_model(net, shape, batch="N")
    onnx.checker.check_model(proto, full_check=True)
    (wanted,) = evaluate(net, x)
    bound = 1e-5 * np.abs(wanted).max()
    assert bound > 1e-7
    np.testing.assert_allclose(by_onnx_runtime(proto, x)[0], wanted, rtol=0, atol=bound)
    np.testing.assert_allclose(by_onnx_runtime(proto, np.concatenate([x, x, x]))[0], np.concatenate([wanted] * 3), rtol=0, atol=bound)
    back = load(proto)
    assert_same_names(net, back)
    np.testing.assert_allclose(evaluate(back, x)[0], wanted, rtol=0, atol=bound / 10)
    assert to_model(back).SerializeToString() == proto.SerializeToString()


@pytest.mark.peers
@pytest.mark.parametrize("name", [*NETWORKS, *MORE_NETWORKS])
def test_onnx_runtime_gives_the_same_numbers(name: str) -> None:
    check_with_onnx_runtime(name)


@pytest.mark.peers
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", LARGE_NETWORKS)
def test_onnx_runtime_gives_the_same_numbers_for_large_networks(name: str) -> None:
    check_with_onnx_runtime(name)


@pytest.mark.peers
@pytest.mark.parametrize("name", LAYERS)
def test_onnx_runtime_gives_the_same_numbers_for_a_layer(name: str) -> None:
    from tests.onnx_peers import by_onnx_runtime

    net, shape = LAYERS[name]
    net, x = randomised(net), normal(*shape)
    (wanted,) = evaluate(net, x)
    np.testing.assert_allclose(by_onnx_runtime(to_model(net, shape), x)[0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.peers
@pytest.mark.parametrize("name", ["lenet5", "resnet18", "dcgan_generator"])
def test_onnx_runtime_gives_what_the_device_does(name: str, queue: Any) -> None:
    from tests.onnx_peers import by_onnx_runtime

    make, shape = NETWORKS[name]
    net, x = randomised(make()), normal(*shape)
    (wanted,) = by_onnx_runtime(to_model(net, shape), x)
    got = clconv.compile(net, shape, queue)(x).get()
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
