"""Modules, containers, layers and initialisers: registration and names, shapes against torch's rules, the distributions, the refusals."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import clconv.functional as F
from clconv import nn
from clconv.errors import ArrayError, CheckpointError, ClconvError, GeometryError
from clconv.graph.node import topological
from clconv.nn import init
from tests.interpreter import evaluate


class Residual(nn.Module):
    """A user's own layer, as the documentation shows it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = nn.Parameter(np.ones((channels, 1, 1), np.float32))

    def forward(self, x):
        return F.relu(self.conv(x) * self.scale + x)


class Listed(nn.Module):
    """Modules in nested lists, called in an order of its own."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.ModuleList([nn.Conv2d(2, 2, 1)])
        self.blocks = nn.ModuleList([Residual(2), inner])
        self.blocks.append(nn.Conv2d(2, 3, 1))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 1, 1))

    def forward(self, x):
        return self.head(self.blocks[2](self.blocks[1][0](self.blocks[0](x))))


def shape_after(module, *shape, training=False):
    return module.trace(shape, training).outputs[0].shape


# --- Registration and names ----------------------------------------------------------------------------------------


def test_names_are_attributes_joined_by_dots_in_definition_order():
    assert list(Listed().named_parameters()) == [
        "blocks.0.scale", "blocks.0.conv.weight", "blocks.0.conv.bias", "blocks.1.0.weight", "blocks.1.0.bias",
        "blocks.2.weight", "blocks.2.bias", "head.1.weight", "head.1.bias",
    ]  # fmt: skip
    assert [name for name, _ in Listed().named_modules()] == [
        "", "blocks", "blocks.0", "blocks.0.conv", "blocks.1", "blocks.1.0", "blocks.2", "head", "head.0", "head.1",
    ]  # fmt: skip


def test_batch_norm_lists_its_running_statistics_untrained():
    parameters = nn.BatchNorm2d(3).named_parameters()
    assert list(parameters) == ["weight", "bias", "running_mean", "running_var"]
    assert [p.trainable for p in parameters.values()] == [True, True, False, False]
    assert [float(p.value[0]) for p in parameters.values()] == [1.0, 0.0, 0.0, 1.0]
    assert list(nn.BatchNorm2d(3, affine=False).named_parameters()) == ["running_mean", "running_var"]


def test_assigning_again_replaces_in_place_and_none_removes():
    net = nn.Sequential(a=nn.Conv2d(1, 1, 1), b=nn.Conv2d(1, 1, 1))
    net.a = nn.Conv2d(1, 2, 1, bias=False)
    assert list(net.named_parameters()) == ["a.weight", "b.weight", "b.bias"]
    assert net.named_parameters()["a.weight"].shape == (2, 1, 1, 1)
    net.a = None
    assert list(net.named_parameters()) == ["b.weight", "b.bias"]
    del net.b
    assert list(net.named_parameters()) == []
    assert not hasattr(net, "b")


def test_a_shared_parameter_is_listed_once():
    conv = nn.Conv2d(4, 4, 1)
    net = nn.Sequential(conv, nn.ReLU(), conv)
    assert list(net.named_parameters()) == ["0.weight", "0.bias"]
    assert len(net) == 3
    assert shape_after(net, 1, 4, 5, 5) == (1, 4, 5, 5)


@pytest.mark.parametrize(("name", "rule"), [("forward", "is a method or property"), ("a.b", "without dots"), ("", "non-empty")])
def test_names_that_cannot_be_members_are_refused(name, rule):
    with pytest.raises(ClconvError, match=rule):
        setattr(nn.Identity(), name, nn.ReLU())


def test_members_may_be_assigned_before_super_init():
    class Early(nn.Module):
        def __init__(self) -> None:
            self.conv = nn.Conv2d(1, 1, 1)
            super().__init__()

        def forward(self, x):
            return self.conv(x)

    assert list(Early().named_parameters()) == ["conv.weight", "conv.bias"]


def test_nodes_carry_the_path_of_the_module_that_made_them():
    graph = Listed().trace((1, 2, 4, 4))
    labels = [node.label for node in topological(graph.outputs) if node.op == "conv"]
    assert labels == ["blocks.0.conv", "blocks.1.0", "blocks.2", "head.1"]


def test_training_reaches_every_module_and_a_trace_restores_it():
    net = Listed()
    net.eval()
    assert not any(module.training for module in net.modules())
    net.trace((1, 2, 4, 4), training=True)
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())


def test_batch_norm_registers_updates_only_when_training():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    assert net.trace((4, 1, 5, 5)).updates == ()
    updates = net.trace((4, 1, 5, 5), training=True).updates
    assert [parameter.name for parameter, _ in updates] == ["1.running_mean", "1.running_var"]
    assert [node.shape for _, node in updates] == [(2,), (2,)]


def test_state_dict_round_trip_and_its_errors():
    net, other = Listed(), Listed()
    other.load_state_dict(net.state_dict())
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, net.state_dict()[name])
    state = net.state_dict() | {"blocks.2.weight": np.zeros((9, 9)), "surplus": np.zeros(1)}
    del state["head.1.bias"]
    with pytest.raises(CheckpointError) as failure:
        other.load_state_dict(state)
    for words in ("blocks.2.weight: (9, 9) given, (3, 2, 1, 1) needed", "missing: head.1.bias", "not in the network: surplus"):
        assert words in str(failure.value)


def test_a_deep_copy_has_parameters_of_its_own():
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    net.freeze("0.*")
    twin = copy.deepcopy(net)
    twin[0].weight.value = np.full((1, 1, 1, 1), 7.0)
    assert twin.state_dict()["0.weight"].item() == 7.0
    assert net.state_dict()["0.weight"].item() != 7.0
    assert [p.trainable for p in twin.named_parameters().values()] == [False, False, True, True, False, False]


def test_calling_a_module_on_an_array_says_how_to_run_it():
    with pytest.raises(ArrayError, match=r"Conv2d: .* got ndarray; to run it on arrays: clconv.compile\(net, shape\)\(array\)"):
        nn.Conv2d(1, 1, 1)(np.zeros((1, 1, 2, 2), np.float32))


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty().trace((1, 1))


# --- Containers ----------------------------------------------------------------------------------------------------


def test_sequential_by_position_by_name_and_sliced():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), head=nn.Conv2d(2, 1, 1))
    assert list(net.named_parameters()) == ["0.weight", "0.bias", "head.weight", "head.bias"]
    assert isinstance(net[1], nn.ReLU) and net[-1] is net.head
    tail = net[1:]
    assert isinstance(tail, nn.Sequential) and list(tail.named_parameters()) == ["head.weight", "head.bias"]
    assert tail[1].weight is net.head.weight
    assert shape_after(tail, 1, 2, 4, 4) == (1, 1, 4, 4)
    tail.append(nn.ReLU())
    assert [name for name, _ in tail.named_children()] == ["1", "head", "2"]
    assert [name for name, _ in net[1:2].append(nn.ReLU()).named_children()] == ["1", "2"]


@pytest.mark.parametrize("container", [lambda m: nn.Sequential(m), lambda m: nn.ModuleList([m])])
def test_only_modules_may_be_members(container):
    with pytest.raises(ClconvError, match=r"members must be modules, got type; write ReLU\(...\)"):
        container(nn.ReLU)
    with pytest.raises(ClconvError, match="members must be modules, got int"):
        container(3)


def test_a_module_list_is_not_called():
    with pytest.raises(ClconvError, match="ModuleList: a list computes nothing by itself"):
        nn.ModuleList([nn.ReLU()]).trace((1, 1))


def test_repr_shows_the_tree_and_the_arguments():
    net = nn.Sequential(nn.Conv2d(3, 8, (1, 3), stride=2, padding="valid", groups=1, bias=False), body=nn.Sequential(nn.BatchNorm2d(8)))
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Conv2d(3, 8, kernel_size=(1, 3), stride=2, padding=valid, bias=False)\n"
        "  (body): Sequential(\n"
        "    (0): BatchNorm2d(8, eps=1e-05, momentum=0.1)\n"
        "  )\n"
        ")"
    )


# --- Layers: shapes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (lambda: nn.Conv1d(4, 6, 5, padding="same"), (2, 4, 9), (2, 6, 9)),
        (lambda: nn.Conv1d(4, 6, 5, padding="full", groups=2), (2, 4, 9), (2, 6, 13)),
        (lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1), (1, 3, 224, 225), (1, 8, 112, 113)),
        (lambda: nn.Conv2d(3, 8, (1, 3), dilation=(1, 2), padding=((0, 0), (1, 2))), (1, 3, 5, 7), (1, 8, 5, 6)),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), (1, 3, 7, 8), (1, 4, 4, 4)),
        (lambda: nn.Conv3d(1, 2, (1, 2, 3)), (1, 1, 4, 5, 6), (1, 2, 4, 4, 4)),
        (lambda: nn.ConvTranspose1d(4, 2, 4, stride=2, padding=1), (1, 4, 8), (1, 2, 16)),
        (lambda: nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2), (1, 6, 5, 7), (1, 4, 10, 14)),
        (lambda: nn.ConvTranspose2d(6, 4, 3, dilation=2, bias=False), (1, 6, 5, 7), (1, 4, 9, 11)),
        (lambda: nn.ConvTranspose3d(1, 2, 2, stride=(1, 2, 3)), (1, 1, 2, 2, 2), (1, 2, 3, 4, 5)),
        (lambda: nn.MaxPool1d(3), (1, 2, 10), (1, 2, 3)),
        (lambda: nn.MaxPool2d(3, stride=2, ceil_mode=True), (1, 2, 112, 6), (1, 2, 56, 3)),
        (lambda: nn.MaxPool2d(2, stride=1, padding="same"), (1, 2, 5, 6), (1, 2, 5, 6)),
        (lambda: nn.MaxPool3d(2, dilation=2), (1, 1, 3, 4, 5), (1, 1, 1, 1, 2)),
        (lambda: nn.AvgPool1d(4, stride=3, padding=2), (1, 2, 10), (1, 2, 4)),
        (lambda: nn.AvgPool2d((2, 3), divisor_override=1), (1, 2, 5, 6), (1, 2, 2, 2)),
        (lambda: nn.AvgPool3d(2, ceil_mode=True), (1, 1, 3, 4, 5), (1, 1, 2, 2, 3)),
        (lambda: nn.AdaptiveAvgPool1d(3), (1, 2, 7), (1, 2, 3)),
        (lambda: nn.AdaptiveAvgPool2d((2, 5)), (1, 2, 7, 3), (1, 2, 2, 5)),
        (lambda: nn.AdaptiveAvgPool3d(1), (1, 2, 3, 4, 5), (1, 2, 1, 1, 1)),
        (lambda: nn.BatchNorm1d(5), (4, 5), (4, 5)),
        (lambda: nn.BatchNorm1d(5), (4, 5, 6), (4, 5, 6)),
        (lambda: nn.BatchNorm3d(5), (4, 5, 1, 2, 3), (4, 5, 1, 2, 3)),
        (lambda: nn.LocalResponseNorm(5), (1, 7, 2, 2), (1, 7, 2, 2)),
        (lambda: nn.Linear(6, 4), (3, 6), (3, 4)),
        (lambda: nn.Flatten(), (3, 2, 4, 5), (3, 40)),
        (lambda: nn.Flatten(2), (3, 2, 4, 5), (3, 2, 20)),
        (lambda: nn.Flatten(1, 2), (3, 2, 4, 5), (3, 8, 5)),
        (lambda: nn.Softmax(1), (3, 7), (3, 7)),
        (lambda: nn.GELU("tanh"), (3, 7), (3, 7)),
        (lambda: nn.Identity(), (3, 7), (3, 7)),
    ],
)  # fmt: skip
def test_output_shapes(layer, shape, expected):
    assert shape_after(layer(), *shape) == expected


@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(2.0), nn.Sigmoid(), nn.Tanh(), nn.ScaledTanh(), nn.GELU(), nn.SiLU()], ids=repr
)
def test_activations_keep_the_shape_and_are_elementwise(layer):
    assert shape_after(layer, 2, 3, 4) == (2, 3, 4)
    assert isinstance(layer, nn.Elementwise)


def test_weight_shapes_follow_torch():
    conv, up = nn.Conv2d(6, 4, (3, 5), groups=2), nn.ConvTranspose2d(6, 4, (3, 5), groups=2)
    assert (conv.weight.shape, conv.bias.shape) == ((4, 3, 3, 5), (4,))
    assert (up.weight.shape, up.bias.shape) == ((6, 2, 3, 5), (4,))
    assert nn.Linear(6, 4).weight.shape == (4, 6)
    assert nn.Conv2d(1, 1, 1, bias=False).bias is None


def test_dropout_is_there_in_training_only():
    net = nn.Sequential(nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5))

    def drops(training):
        return [node for node in topological(net.trace((2, 8), training).outputs) if node.op == "dropout"]

    assert drops(training=False) == []
    assert len(drops(training=True)) == 2


# --- Layers: refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: in_channels 3 is not a multiple of groups 2"),
        (lambda: nn.Conv1d(4, 3, 3, groups=2), "Conv1d: out_channels 3 is not a multiple of groups 2"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), r"Conv2d: kernel_size \(3, 3, 3\) has 3 entries for 2 spatial axes"),
        (lambda: nn.Conv2d(3, 4, 0), "Conv2d: kernel_size must be at least 1"),
        (lambda: nn.Conv2d(0, 4, 1), "Conv2d: in_channels must be at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), "Conv2d: stride must be at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding="reflect"), "Conv2d: padding 'reflect' is not one of"),
        (lambda: nn.Conv3d(3, 4, 3, padding=-1), "Conv3d: padding must be at least 0"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=1), "ConvTranspose2d: output_padding .* must be smaller than stride"),
        (lambda: nn.MaxPool2d(2, padding=2), "MaxPool2d: axis 0: padding .* at most half"),
        (lambda: nn.MaxPool2d(2, stride=0, padding="same"), "MaxPool2d: stride must be at least 1"),
        (lambda: nn.AdaptiveAvgPool2d(0), "AdaptiveAvgPool2d: output_size must be at least 1"),
        (lambda: nn.BatchNorm2d(3, eps=0.0), "BatchNorm2d: eps must be above 0"),
        (lambda: nn.BatchNorm2d(3, momentum=1.5), "BatchNorm2d: momentum must lie between 0 and 1"),
        (lambda: nn.BatchNorm2d(3).trace((2, 3, 4)), r"BatchNorm2d: takes inputs of 4 axes .* got shape \(2, 3, 4\)"),
        (lambda: nn.BatchNorm1d(3).trace((2, 4)), "BatchNorm1d: input channels 4 != num_features 3"),
        (lambda: nn.Dropout(1.0), "Dropout: p must be at least 0 and below 1, got 1.0"),
        (lambda: nn.GELU("erf"), "GELU: approximate must be"),
        (lambda: nn.Linear(0, 2), "Linear: in_features must be at least 1"),
        (lambda: nn.Conv2d(3, 4, 3).trace((1, 2, 5, 5)), "conv2d: "),
        (lambda: nn.Linear(3, 4).trace((1, 2)), "linear: "),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused_with_both_values(make, words):
    with pytest.raises(GeometryError, match=words):
        make()


# --- Initialisers --------------------------------------------------------------------------------------------------

GENERATOR_SEED = 5
SHAPE = (64, 32, 3, 3)  # fan_in 288, fan_out 576; 18,432 values
COUNT = math.prod(SHAPE)


def sample(initialiser):
    values = initialiser(np.random.default_rng(GENERATOR_SEED), SHAPE)
    assert values.dtype == np.float32 and values.shape == SHAPE
    return values.astype(np.float64)


def test_fans():
    assert init.fans(SHAPE) == (288, 576)
    assert init.fans((10, 7)) == (7, 10)
    with pytest.raises(GeometryError, match=r"shape \(3,\) has no fan-in"):
        init.fans((3,))


@pytest.mark.parametrize(
    ("initialiser", "bound"),
    [
        (init.uniform(0.5), 0.5),
        (init.kaiming_uniform(), 1 / math.sqrt(288)),  # torch's default for its layers
        (init.kaiming_uniform(0.0), math.sqrt(6 / 288)),
        (init.xavier_uniform(), math.sqrt(6 / (288 + 576))),
        (init.default_bias(SHAPE), 1 / math.sqrt(288)),
    ],
)
def test_uniform_initialisers_fill_their_interval(initialiser, bound):
    values = sample(initialiser)
    assert np.abs(values).max() <= bound * (1 + 2**-23)
    # All of n values miss a fraction q of the interval with probability (1 - q)^n: for q = 0.001 that is 1e-8.
    assert values.max() > 0.998 * bound and values.min() < -0.998 * bound
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * COUNT)


@pytest.mark.parametrize(
    ("initialiser", "std"),
    [
        (init.normal(0.02), 0.02),
        (init.kaiming_normal(), math.sqrt(2 / 576)),
        (init.kaiming_normal("fan_in"), math.sqrt(2 / 288)),
        (init.xavier_normal(), math.sqrt(2 / (288 + 576))),
        # The variance of a Gaussian cut at c is 1 - 2 c phi(c) / (2 Phi(c) - 1): 0.7737 for c = 2.
        (init.truncated_normal(0.01), 0.01 * math.sqrt(0.7737413)),
    ],
)
def test_normal_initialisers_have_their_deviation(initialiser, std):
    values = sample(initialiser)
    assert abs(values.mean()) < 5 * std / math.sqrt(COUNT)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * COUNT)  # five deviations of the estimate


def test_normal_with_a_mean_and_truncation():
    assert abs(sample(init.normal(0.02, mean=1.0)).mean() - 1) < 5 * 0.02 / math.sqrt(COUNT)
    values = sample(init.truncated_normal(0.01))
    assert np.abs(values).max() <= 0.02 * (1 + 2**-23)
    assert np.abs(values).max() > 0.0195
    assert np.all(sample(init.constant(3.0)) == 3.0)


def test_layers_begin_as_torch_begins_them():
    with init.seeded(1):
        conv, linear = nn.Conv2d(32, 64, 3, groups=2), nn.Linear(50, 2000)
    for layer, bound in ((conv, 1 / math.sqrt(16 * 9)), (linear, 1 / math.sqrt(50))):
        for values in (layer.weight.value, layer.bias.value):
            assert 0.8 * bound < np.abs(values).max() <= bound * (1 + 2**-23)


def test_a_seed_fixes_every_weight_and_another_changes_them():
    def build(seed):
        with init.seeded(seed):
            return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 5)).state_dict()

    first, again, other = build(3), build(3), build(4)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_two_layers_of_one_seed_differ_and_blocks_nest():
    with init.seeded(0):
        a, b = nn.Linear(8, 8), nn.Linear(8, 8)
    with init.seeded(0):
        c = nn.Linear(8, 8)
        with init.seeded(9):
            nn.Linear(8, 8)
        d = nn.Linear(8, 8)
    assert not np.array_equal(a.weight.value, b.weight.value)
    np.testing.assert_array_equal(a.weight.value, c.weight.value)
    np.testing.assert_array_equal(b.weight.value, d.weight.value)
    assert not np.array_equal(nn.Linear(8, 8).weight.value, nn.Linear(8, 8).weight.value)


def test_layers_take_initialisers():
    layer = nn.Conv2d(2, 3, 3, weight_init=init.constant(2.0), bias_init=init.constant(-1.0))
    assert np.all(layer.weight.value == 2.0) and np.all(layer.bias.value == -1.0)
    assert np.all(nn.BatchNorm2d(3, weight_init=init.constant(0.5)).weight.value == 0.5)


# --- Beside PyTorch ------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    # Positional arguments on purpose: their order is torch's.
    [
        ("Conv1d", (4, 6, 5, 2, 3, 2, 2), (2, 4, 13)),
        ("Conv2d", (3, 8, (1, 3), (2, 1), (0, 1), (1, 2), 1, False), (1, 3, 9, 10)),
        ("Conv3d", (2, 4, 2, 1, 1), (1, 2, 3, 4, 5)),
        ("ConvTranspose1d", (4, 2, 4, 2, 1), (1, 4, 8)),
        ("ConvTranspose2d", (6, 4, 3, 2, 1, 1, 2, True, 2), (1, 6, 5, 7)),
        ("ConvTranspose3d", (1, 2, 2, (1, 2, 3)), (1, 1, 2, 2, 2)),
        ("MaxPool1d", (3, 2, 1, 2), (1, 2, 10)),
        ("MaxPool2d", (3, 2, 1, 1, False, True), (1, 2, 8, 9)),
        ("MaxPool3d", (2,), (1, 1, 4, 5, 6)),
        ("AvgPool1d", (4, 3, 2, True, False), (1, 2, 10)),
        ("AvgPool2d", ((2, 3), None, 1, True, False, 5), (1, 2, 5, 6)),
        ("AvgPool3d", (2, 1), (1, 1, 3, 4, 5)),
        ("AdaptiveAvgPool1d", (3,), (1, 2, 7)),
        ("AdaptiveAvgPool2d", ((2, 5),), (1, 2, 7, 3)),
        ("AdaptiveAvgPool3d", (2,), (1, 2, 3, 4, 5)),
        ("BatchNorm1d", (5, 0.01), (4, 5)),
        ("BatchNorm2d", (5,), (4, 5, 2, 3)),
        ("BatchNorm3d", (5, 1e-5, 0.2, False), (4, 5, 1, 2, 3)),
        ("LocalResponseNorm", (5, 0.3, 0.5, 2.0), (2, 7, 3, 2)),
        ("Linear", (6, 4), (3, 6)),
        ("Flatten", (1, 2), (3, 2, 4, 5)),
        ("LeakyReLU", (0.2,), (3, 7)),
        ("ELU", (0.7,), (3, 7)),
        ("GELU", (), (3, 7)),
        ("SiLU", (), (3, 7)),
        ("Softmax", (1,), (3, 7)),
    ],
)  # fmt: skip
def test_layers_mean_what_torchs_mean(name, arguments, shape):
    import torch

    torch.manual_seed(0)
    theirs, ours = getattr(torch.nn, name)(*arguments).eval(), getattr(nn, name)(*arguments)
    for buffer in theirs.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = torch.randn(shape, dtype=torch.float64)
    np.testing.assert_allclose(evaluate(ours, x.numpy())[0], theirs.double()(x).detach().numpy(), rtol=1e-12, atol=1e-12)
