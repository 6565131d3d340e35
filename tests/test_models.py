"""The networks: sizes, torchvision's names and shapes, the papers' numbers, initial values, and conversion to convolutions."""

from __future__ import annotations

import functools
import hashlib
import math

import numpy as np
import pytest

from clconv import nn, reference
from clconv.errors import GeometryError, UnsupportedError
from clconv.geometry import ConvGeometry
from clconv.graph.node import topological
from clconv.nn import models
from clconv.nn.models import lenet
from clconv.nn.models.googlenet import Inception
from clconv.nn.models.unet import cropped
from tests.interpreter import evaluate

# Trainable parameters as published (torchvision's documentation; for the rest see the tests of each paper below), and the first 16
# digits of SHA-256 over torchvision 0.29's lines "name shape" in its order of definition, without num_batches_tracked.
TORCHVISION = {
    "alexnet": (61_100_840, "9c198ebdae1863e4"),
    "resnet18": (11_689_512, "f70b90acc4b42e13"),
    "resnet34": (21_797_672, "1eddc54194ca6b04"),
    "resnet50": (25_557_032, "fa8a2ba5a01c9375"),
    "resnet101": (44_549_160, "da89ea62078932e4"),
    "resnet152": (60_192_808, "beda52c1587effdf"),
    "vgg16": (138_357_544, "35c4623e0cd4a39d"),
    "vgg19": (143_667_240, "4723255af8f6c485"),
    "googlenet": (13_004_888, "d36f5b57402ac156"),
    "inception_v3": (27_161_264, "3b80b9a7c62390fe"),
}


REUSED = ("alexnet", "googlenet", "resnet18", "resnet50", "vgg16")


@functools.cache
def built(name, **arguments):
    """Each model once; tests do not change it."""
    return getattr(models, name)(**arguments)


class Zeros(np.random.Generator):
    """Draws zeros, at once: for large networks whose weights nobody reads."""

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return np.zeros(size, dtype)

    def random(self, size=None, dtype=np.float64, out=None):
        return np.zeros(size, dtype)


def scores_shape(net, *shape, training=False):
    shapes = tuple(node.shape for node in net.trace(shape, training).outputs)
    return shapes if training else shapes[0]


# --- torchvision's names and sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameter_count_names_and_shapes_are_torchvisions(name):
    count, digest = TORCHVISION[name]
    net = built(name) if name in REUSED else getattr(models, name)(seed=Zeros(np.random.PCG64(0)))
    assert net.parameter_count(trainable_only=True) == count
    lines = "\n".join(f"{key} {parameter.shape}" for key, parameter in net.named_parameters().items())
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest


def test_names_one_knows_by_heart():
    resnet, googlenet = built("resnet18").named_parameters(), built("googlenet").named_parameters()
    assert list(resnet)[:6] == ["conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "layer1.0.conv1.weight"]
    assert resnet["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert "layer1.0.downsample.0.weight" not in resnet
    assert built("resnet50").named_parameters()["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert googlenet["inception3a.branch2.0.conv.weight"].shape == (96, 192, 1, 1)
    assert googlenet["inception3a.branch3.1.conv.weight"].shape == (32, 16, 3, 3)
    assert googlenet["aux1.conv.conv.weight"].shape == (128, 512, 1, 1)
    assert googlenet["aux1.fc1.weight"].shape == (1024, 2048)


def test_a_torchvision_checkpoint_with_its_counters_loads():
    net, other = built("resnet18"), models.resnet18(seed=1)
    checkpoint = net.state_dict()
    checkpoint["bn1.num_batches_tracked"] = np.array(7)
    other.load_state_dict(checkpoint)
    np.testing.assert_array_equal(other.state_dict()["layer4.1.conv2.weight"], checkpoint["layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("alexnet", (2, 3, 224, 224), (2, 1000)),
        ("alexnet", (1, 3, 63, 100), (1, 1000)),
        ("vgg16", (1, 3, 32, 47), (1, 1000)),
        ("resnet18", (2, 3, 1, 1), (2, 1000)),
        ("resnet18", (1, 3, 65, 31), (1, 1000)),
        ("resnet50", (1, 3, 32, 32), (1, 1000)),
        ("googlenet", (1, 3, 15, 40), (1, 1000)),
    ],
)
def test_classifiers_take_other_sizes(name, shape, expected):
    assert scores_shape(built(name), *shape) == expected


@pytest.mark.parametrize(("name", "size"), [("alexnet", 62), ("vgg16", 31)])
def test_images_below_the_smallest_size_are_refused(name, size):
    with pytest.raises(GeometryError, match="max_pool2d: axis 0"):
        built(name).trace((1, 3, size, 224))


def test_num_classes_changes_the_last_layer_only():
    small, large = models.resnet18(num_classes=10).state_dict(), built("resnet18").state_dict()
    assert [name for name in large if small[name].shape != large[name].shape] == ["fc.weight", "fc.bias"]


# --- LeNet-5 -------------------------------------------------------------------------------------------------------


def test_lenet5_today():
    net = models.lenet5()
    assert net.parameter_count() == 61_706
    assert scores_shape(net, 4, 1, 28, 28) == (4, 10)
    assert scores_shape(models.lenet5(input_size=32), 4, 1, 32, 32) == (4, 10)
    with pytest.raises(GeometryError, match="lenet5: input_size must be 28 .* got 30"):
        models.lenet5(input_size=30)
    with pytest.raises(GeometryError, match="the original takes 32 x 32 images, got input_size 28"):
        models.lenet5(original=True, input_size=28)


def test_table_1_of_lecun_1998():
    table = lenet.connection_table()
    assert table.shape == (16, 6)
    assert [int(row.sum()) for row in table] == [3] * 6 + [4] * 9 + [6]
    readers = [sorted(np.flatnonzero(row)) for row in table]
    assert readers[:6] == [sorted({k % 6, (k + 1) % 6, (k + 2) % 6}) for k in range(6)]  # three contiguous maps
    assert readers[6:12] == [sorted({(k + i) % 6 for i in range(4)}) for k in range(6)]  # four contiguous maps
    assert readers[12:15] == [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]]  # discontinuous subsets
    assert readers[15] == list(range(6))


def test_lenet5_original_has_the_papers_parameters_layer_by_layer():
    net = models.lenet5(original=True)
    sizes = {name: 0 for name, _ in net.named_children()}
    for name, parameter in net.named_parameters().items():
        sizes[name.split(".")[0]] += np.count_nonzero(parameter.value)
    assert [sizes[name] for name in ("c1", "s2", "c3", "s4", "c5", "f6")] == [156, 12, 1516, 32, 48120, 10164]
    assert sum(sizes.values()) - sizes["output"] == 60_000
    maps = {node.label: node.shape[1:] for node in topological(net.trace((1, 1, 32, 32)).outputs)}
    assert [maps[name] for name in ("c1", "s2", "c3", "s4", "c5", "f6")] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,),
    ]  # fmt: skip


def test_c3_ignores_what_table_1_leaves_out():
    layer = lenet.PartialConv2d(lenet.connection_table(), 5)
    x = np.random.default_rng(0).standard_normal((1, 6, 7, 7))
    (before,) = evaluate(layer, x)
    (after,) = evaluate(layer, x + np.arange(6).reshape(1, 6, 1, 1).clip(4, 5) % 4)  # maps 0 to 3 as they were, the others moved
    changed = np.abs(after - before).max(axis=(0, 2, 3)) > 0
    assert changed.tolist() == lenet.connection_table()[:, [5]].astype(bool).ravel().tolist()


def test_c3_masks_whatever_weights_it_is_given():
    layer = lenet.PartialConv2d(lenet.connection_table(), 3)
    layer.weight.value = np.ones(layer.weight.shape)
    layer.bias.value = np.zeros(16)
    (y,) = evaluate(layer, np.ones((1, 6, 3, 3)))
    np.testing.assert_array_equal(y.ravel(), 9 * lenet.connection_table().sum(axis=1))


def test_subsampling_adds_scales_and_shifts():
    layer = lenet.Subsampling(2)
    layer.weight.value, layer.bias.value = np.array([[[2.0]], [[3.0]]]), np.array([[[10.0]], [[20.0]]])
    (y,) = evaluate(layer, np.arange(8.0).reshape(1, 2, 2, 2))
    np.testing.assert_array_equal(y.ravel(), [2 * 6 + 10, 3 * 22 + 20])


def test_scaled_tanh_maps_one_to_one():
    (y,) = evaluate(nn.ScaledTanh(), np.array([[-1.0, 0.0, 1.0]]))
    np.testing.assert_allclose(y, [[-1, 0, 1]], atol=1e-4)  # 1.7159 has five digits


def test_lenet5_original_begins_within_its_fan_in():
    state = models.lenet5(original=True).state_dict()
    for name, inputs in (("c1", 25), ("c5", 400), ("f6", 120), ("output", 84)):
        bound = np.float32(2.4 / inputs)
        assert 0.9 * bound < np.abs(state[f"{name}.weight"]).max() <= bound
    bounds = 2.4 / (25 * lenet.connection_table().sum(axis=1))
    assert np.all(np.abs(state["c3.weight"]).max(axis=(1, 2, 3)) <= bounds * (1 + 1e-6))
    assert np.all(np.abs(state["c3.weight"]).max(axis=(1, 2, 3)) > 0.8 * bounds)


# --- AlexNet and VGG -----------------------------------------------------------------------------------------------


def test_alexnet_original_is_the_paper_network():
    net = built("alexnet", original=True)
    assert net.parameter_count() == 60_965_224
    assert scores_shape(net, 1, 3, 224, 224) == (1, 1000)
    state = net.named_parameters()
    assert [state[f"features.{i}.weight"].shape for i in (0, 4, 8, 10, 12)] == [
        (96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3),
    ]  # fmt: skip
    ones = ["features.4", "features.10", "features.12", "classifier.0", "classifier.3"]
    assert [name for name in state if name.endswith("bias") and np.all(state[name].value == 1)] == [f"{name}.bias" for name in ones]
    assert all(np.all(state[f"{name}.bias"].value == 0) for name in ("features.0", "features.8", "classifier.6"))
    assert abs(state["features.10.weight"].value.std() / 0.01 - 1) < 0.01


def test_alexnet_original_neurons_per_layer():
    """Figure 2: 253,440 - 186,624 - 64,896 - 64,896 - 43,264 - 4096 - 4096 - 1000 neurons. Its first number is a known slip for 290,400."""
    nodes = topological(built("alexnet", original=True).trace((1, 3, 224, 224)).outputs)
    assert [math.prod(node.shape) for node in nodes if node.op in ("conv", "matmul")] == [
        96 * 55 * 55, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000,
    ]  # fmt: skip


def test_alexnet_original_normalises_as_section_3_3():
    """b_i = a_i / (k + alpha sum over 5 neighbours of a_j^2)^beta with k = 2, alpha = 1e-4, beta = 0.75."""
    norm = next(m for m in built("alexnet", original=True).modules() if isinstance(m, nn.LocalResponseNorm))
    x = 100 * np.random.default_rng(0).standard_normal((1, 9, 1, 1))
    a = x.ravel()
    expected = [a[i] / (2 + 1e-4 * np.sum(a[max(0, i - 2) : i + 3] ** 2)) ** 0.75 for i in range(9)]
    np.testing.assert_allclose(evaluate(norm, x)[0].ravel(), expected, rtol=1e-12)


def test_vgg_begins_as_torchvision():
    state = built("vgg16").named_parameters()
    assert abs(state["features.14.weight"].value.std() / math.sqrt(2 / (256 * 9)) - 1) < 0.01
    assert abs(state["classifier.3.weight"].value.std() / 0.01 - 1) < 0.001
    assert all(np.all(parameter.value == 0) for name, parameter in state.items() if name.endswith("bias"))


# --- Inception and residual networks -------------------------------------------------------------------------------


def test_googlenet_heads_speak_in_training_only():
    net = built("googlenet")
    assert scores_shape(net, 2, 3, 64, 64, training=True) == ((2, 1000),) * 3
    assert scores_shape(net, 2, 3, 64, 64) == (2, 1000)
    bare = built("googlenet", aux=False)
    assert bare.parameter_count(trainable_only=True) == 6_624_904
    assert scores_shape(bare, 2, 3, 64, 64, training=True) == ((2, 1000),)
    assert not any(name.startswith("aux") for name in bare.named_parameters())


def test_googlenet_original_is_table_1():
    net = built("googlenet", original=True)
    assert scores_shape(net, 1, 3, 224, 224, training=True) == ((1, 1000),) * 3
    maps = {node.label: node.shape[1:] for node in topological(net.trace((1, 3, 224, 224)).outputs)}
    assert maps["conv1"] == (64, 112, 112) and maps["conv3"] == (192, 56, 56) and maps["norm1"] == (64, 56, 56)
    assert [maps[f"inception{name}"] for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")] == [
        (256, 28, 28), (480, 28, 28), (512, 14, 14), (512, 14, 14), (512, 14, 14), (528, 14, 14), (832, 14, 14), (832, 7, 7), (1024, 7, 7),
    ]  # fmt: skip
    assert net.named_parameters()["inception3a.branch3.1.conv.weight"].shape == (32, 16, 5, 5)


def test_an_inception_has_the_weights_of_its_row():
    """Row "inception (3a)" of Table 1: 159K parameters, which counts weights without biases in units of 1024."""
    sizes = [p.shape for p in Inception(192, 64, (96, 128), (16, 32), 32, largest=5).named_parameters().values() if len(p.shape) == 4]
    assert sizes == [(64, 192, 1, 1), (96, 192, 1, 1), (128, 96, 3, 3), (16, 192, 1, 1), (32, 16, 5, 5), (32, 192, 1, 1)]
    assert sum(map(math.prod, sizes)) // 1024 == 159


def test_a_residual_network_learns_the_difference_from_the_identity():
    """With the last batch norm of a block at zero gain, the block passes on what it gets (through a ReLU)."""
    block = built("resnet18").layer1[0]
    x = np.abs(np.random.default_rng(0).standard_normal((1, 64, 4, 4)))
    (f,) = evaluate(nn.Sequential(block), x)
    assert not np.allclose(f, x)
    kept = block.bn2.weight.value
    block.bn2.weight.value = np.zeros(64)
    (same,) = evaluate(nn.Sequential(block), x)
    block.bn2.weight.value = kept
    np.testing.assert_array_equal(same, x)


def test_a_bottleneck_by_hand():
    """Figure 5, right, with the stride in the 3 x 3 convolution and a projection, composed from the oracle's operations."""
    block = models.resnet50(seed=2).layer2[0]
    state = {name: value.astype(np.float64) for name, value in block.state_dict().items()}
    x = np.random.default_rng(1).standard_normal((1, 256, 5, 6))

    def conv(x, name, stride=1):
        w = state[f"{name}.weight"]
        return reference.conv(x, w, None, ConvGeometry.make(w.shape[2:], stride, w.shape[2] // 2))

    def norm(x, name):
        return reference.batch_norm(x, *(state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")))

    y = reference.relu(norm(conv(x, "conv1"), "bn1"))
    y = reference.relu(norm(conv(y, "conv2", stride=2), "bn2"))
    y = norm(conv(y, "conv3"), "bn3") + norm(conv(x, "downsample.0", stride=2), "downsample.1")
    np.testing.assert_allclose(evaluate(block, x)[0], reference.relu(y), rtol=1e-12, atol=1e-12)


def test_resnet_begins_as_he_et_al():
    state = built("resnet50").named_parameters()
    assert abs(state["layer4.0.conv2.weight"].value.std() / math.sqrt(2 / (512 * 9)) - 1) < 0.01
    assert np.all(state["layer4.0.bn3.weight"].value == 1)


# --- DCGAN, U-Net, context module ----------------------------------------------------------------------------------


def test_dcgan_sizes_and_beginnings():
    generator, discriminator = built("dcgan_generator"), built("dcgan_discriminator")
    assert generator.parameter_count(trainable_only=True) == 3_576_704
    assert discriminator.parameter_count(trainable_only=True) == 2_765_568
    assert scores_shape(generator, 2, 100, 1, 1) == (2, 3, 64, 64)
    assert scores_shape(discriminator, 2, 3, 64, 64) == (2, 1)
    sizes = [node.shape[1:] for node in topological(generator.trace((1, 100, 1, 1)).outputs) if node.op == "conv"]
    assert sizes == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)]
    state = generator.named_parameters()
    assert abs(state["3.weight"].value.std() / 0.02 - 1) < 0.01
    assert abs(state["1.weight"].value.mean() - 1) < 5 * 0.02 / math.sqrt(512)
    assert np.all(state["1.bias"].value == 0)


def test_unet_is_figure_1():
    padded = models.unet(width=4)
    assert scores_shape(padded, 1, 1, 64, 96) == (1, 2, 64, 96)
    original = models.unet(width=4, padded=False)
    maps = {node.label: node.shape[2:] for node in topological(original.trace((1, 1, 572, 572)).outputs) if node.op == "conv"}
    assert [maps[f"down.{level}.conv2"] for level in range(5)] == [(568, 568), (280, 280), (136, 136), (64, 64), (28, 28)]
    assert [maps[f"merge.{level}.conv2"] for level in range(4)] == [(52, 52), (100, 100), (196, 196), (388, 388)]
    assert maps["head"] == (388, 388)
    assert list(padded.named_parameters()) == list(original.named_parameters())
    with pytest.raises(GeometryError, match=r"unet: a map of 9 x 8 cannot be halved .* a multiple of 16"):
        padded.trace((1, 1, 72, 64))


def test_unet_parameters():
    """Two 3 x 3 convolutions a level down, a 2 x 2 up-convolution and two 3 x 3 a level up, a 1 x 1 at the end."""
    widths = [64, 128, 256, 512, 1024]

    def conv(inputs, outputs, kernel):
        return inputs * outputs * kernel**2 + outputs

    down = sum(conv(a, b, 3) + conv(b, b, 3) for a, b in zip([1, *widths], widths, strict=False))
    up = sum(conv(2 * a, a, 2) + conv(2 * a, a, 3) + conv(a, a, 3) for a in widths[:-1])
    assert down + up + conv(64, 2, 1) == 31_030_658
    assert models.unet(seed=Zeros(np.random.PCG64(0))).parameter_count() == 31_030_658


def test_unet_crops_the_middle():
    class Crop(nn.Module):
        def forward(self, x):
            return cropped(x, (1, 1, 2, 3))

    x = np.arange(42.0).reshape(1, 1, 6, 7)
    np.testing.assert_array_equal(evaluate(Crop(), x)[0], x[:, :, 2:4, 2:5])


def test_dilated_context_is_table_1():
    net = models.dilated_context(5)
    rows = net.summary((1, 5, 80, 80)).rows
    fields = [row.receptive_field for row in rows if row.operation == "conv"]
    assert fields == [(n, n) for n in (3, 5, 9, 17, 33, 65, 67, 67)]
    assert scores_shape(net, 1, 5, 17, 19) == (1, 5, 17, 19)
    assert net.parameter_count() == 7 * (25 * 9 + 5) + 25 + 5
    widths = [p.shape[0] for name, p in models.dilated_context(5, large=True).named_parameters().items() if name.endswith("weight")]
    assert widths == [10, 10, 20, 40, 80, 160, 160, 5]
    with pytest.raises(GeometryError, match="noise must be at least 0, got -1"):
        models.dilated_context(5, noise=-1)


@pytest.mark.parametrize("large", [False, True])
def test_dilated_context_begins_as_the_identity(large):
    x = np.abs(np.random.default_rng(0).standard_normal((1, 3, 9, 9)))
    (y,) = evaluate(models.dilated_context(3, large, noise=0.0), x)
    np.testing.assert_allclose(y, x, rtol=1e-6)  # the fractions C / c are float32
    noisy = models.dilated_context(3, large, noise=0.001).state_dict()["0.weight"]
    off = noisy[np.abs(noisy) < 0.1]
    assert 0.0005 < off.std() < 0.002


# --- Seeds and conversion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "dcgan_generator"])
def test_a_seed_fixes_a_model(name):
    make = getattr(models, name)
    first, again, other = make(seed=1).state_dict(), make(seed=1).state_dict(), make(seed=2).state_dict()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("original", "size"), [(False, 28), (True, 32)])
def test_lenet5_as_convolutions_gives_the_same_scores_and_a_map_on_larger_images(original, size):
    net = models.lenet5(original=original)
    sliding = nn.to_convolutional(net, (1, 1, size, size))
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 1, size, size))
    (scores,), (maps,) = evaluate(net, images), evaluate(sliding, images)
    assert maps.shape == (2, 10, 1, 1)
    np.testing.assert_allclose(maps[:, :, 0, 0], scores, rtol=1e-9, atol=1e-12)
    assert list(sliding.named_parameters()) == list(net.named_parameters())
    assert scores_shape(sliding, 1, 1, size + 12, size + 4) == (1, 10, 4, 2)
    if original:  # no padding anywhere: every position is the classifier on its own window, 4 pixels further each
        large = rng.standard_normal((1, 1, 40, 36))
        (maps,) = evaluate(sliding, large)
        for i, j in np.ndindex(3, 2):
            (scores,) = evaluate(net, large[:, :, 4 * i : 4 * i + 32, 4 * j : 4 * j + 32])
            np.testing.assert_allclose(maps[:, :, i, j], scores, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "first"),
    [("alexnet", ("classifier.1.weight", 256, 6)), pytest.param("vgg16", ("classifier.0.weight", 512, 7), marks=pytest.mark.exhaustive)],
)
def test_large_classifiers_as_convolutions(name, first):
    sliding = nn.to_convolutional(built(name), (1, 3, 224, 224))
    key, channels, kernel = first
    weight = sliding.named_parameters()[key]
    assert weight.shape == (4096, channels, kernel, kernel)
    np.testing.assert_array_equal(weight.value.reshape(4096, -1)[:3], built(name).named_parameters()[key].value[:3])
    assert scores_shape(sliding, 1, 3, 224, 224) == (1, 1000, 1, 1)
    assert scores_shape(sliding, 1, 3, 224 + 64, 224 + 32) == (1, 1000, 3, 2)


def test_converted_weights_are_copies_and_keep_being_frozen():
    net = models.lenet5()
    net.freeze("fc1.*", "conv1.*")
    sliding = nn.to_convolutional(net, (1, 1, 28, 28))
    assert [name for name, p in sliding.named_parameters().items() if not p.trainable] == [
        "conv1.weight", "conv1.bias", "fc1.weight", "fc1.bias",
    ]  # fmt: skip
    sliding.conv1.weight.value = np.zeros((6, 1, 5, 5))
    assert np.any(net.conv1.weight.value)


@pytest.mark.parametrize(
    ("net", "shape", "error", "words"),
    [
        (lambda: nn.Identity(), (1, 1), UnsupportedError, "takes a Sequential of layers, got Identity"),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 1)), (1, 1, 2, 2), UnsupportedError, "exactly one Flatten layer .* found 0"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Flatten()), (1, 1, 2, 2), UnsupportedError, "found 2: 0, 1"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.BatchNorm1d(2)), (1, 1, 2, 2), UnsupportedError,
            r"2, BatchNorm1d\(.*\), has no form on maps",
        ),
        (lambda: models.lenet5(), (1, 1, 32, 32), GeometryError, "fc1 has in_features 400, but the maps before it have 16 x 6 x 6 = 576"),
        (lambda: built("alexnet"), (1, 3, 256, 256), GeometryError, r"avgpool turns maps of \(7, 7\) into \(6, 6\)"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_converted_are_refused(net, shape, error, words):
    with pytest.raises(error, match=words):
        nn.to_convolutional(net(), shape)


def test_conversion_in_one_and_three_dimensions():
    rng = np.random.default_rng(0)
    for conv, shape in ((nn.Conv1d, (2, 2, 9)), (nn.Conv3d, (2, 2, 4, 3, 5))):
        net = nn.Sequential(conv(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * math.prod(n - 1 for n in shape[2:]), 4), nn.Softmax(1))
        x = rng.standard_normal(shape)
        (scores,), (maps,) = evaluate(net, x), evaluate(nn.to_convolutional(net, shape), x)
        np.testing.assert_allclose(maps.reshape(2, 4), scores, rtol=1e-9)
