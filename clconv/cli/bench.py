"""clconv bench."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from clconv.cli.bench_compare import compare
from clconv.cli.bench_layers import conv, layers, scaling
from clconv.cli.bench_options import batches_option, carry_out, common_options
from clconv.cli.options import size_option

if TYPE_CHECKING:
    from clconv.bench.contest import Settings
    from clconv.bench.networks import Subject
    from clconv.bench.report import Row


class Networks(click.Group):
    """A group that takes its options to be those of the command `network` where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["network", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Networks)
def bench() -> None:
    """Time problems, layers and whole networks, also against other libraries.

    Without a COMMAND, options are those of `network`: clconv bench --onnx model.onnx --against onnxruntime,openvino

    Times are medians of blocks of calls that alternate between all that is measured; spread is the distance of the quartiles as a share of
    the median. "of peak" is the share of what two small kernels reach on the same device: of its arithmetic, or of reading its memory,
    whichever is nearer. "first run" is the time from nothing to the first result, with rendering and building. A measurement that the host,
    other programs or its own spread make doubtful is called DISTURBED.

    Rivals (--against) run in the same process, in blocks of their own after a pause and a warm-up, on as many threads as the device has
    compute units, each with its best settings. "ratio" is their time over ours: above 1 they are slower. Their results are always compared
    with ours; a difference above 1e-3 of the largest value ends with exit code 1, as does a result that --check finds wrong.
    """


@bench.command(short_help="Inference or training steps of whole networks.")
@click.argument("names", metavar="[NETWORK]...", nargs=-1)
@click.option(
    "--onnx", "files", metavar="FILE", multiple=True, type=click.Path(exists=True, dir_okay=False), help="The network in this ONNX file."
)
@click.option("--light", metavar="NAME[,NAME..]", help="Topologies that the package onnx ships (resnet50,vgg19; all), with random weights.")
@click.option("--without", metavar="OPERATOR[,..]", help="Of ONNX files, leave out these operators for everybody, such as LRN.")
@click.option("--train", is_flag=True, help="Time a training step instead of inference.")
@click.option("--separate", is_flag=True, help="Inference launch by launch, as each network begins, instead of as one launch.")
@batches_option
@size_option
@common_options
def network(
    names: tuple[str, ...], files: tuple[str, ...], light: str | None, without: str | None, train: bool, separate: bool,
    batches: tuple[int, ...], size: int | None, **options: Any,
) -> None:  # fmt: skip
    """Time inference of each NETWORK (resnet18), or a training step of it (--train).

    Everything is included: the input is a plain array (N, C, H, W) on the device, which for a processor is its own memory, and the result
    comes back as a NumPy array. Rivals take and give NumPy arrays of the same kind. ONNX Runtime and OpenVINO read the same ONNX file
    (one is made of NETWORK); PyTorch runs the same graph with the same weights, eagerly. Of several networks the last table has all
    ratios, those to the fastest rival of each, and their geometric means.

    A training step is forward pass, cross entropy, gradients and SGD with momentum on one batch. Before the clock starts, the weights'
    changes in one step without dropout are compared with the rival's; 5 % of their length may be rounding, because maxima and ReLUs turn
    gradients one way or the other.

    With PoCL a network is timed as one launch, which it becomes after 64 calls; building that comes before the first run.

    ONNX Runtime's LRN is slow: --without LRN compares AlexNet and Inception v1 without it.
    """
    sources = [*(("model", name) for name in names), *(("file", name) for name in files), *(("light", name) for name in light_names(light))]
    if not sources:
        raise click.UsageError("give a NETWORK, --onnx FILE or --light NAME")
    if size and (files or light):
        raise click.UsageError("--size goes with a NETWORK; an ONNX file says its size")
    if train and separate:
        raise click.UsageError("--separate goes with inference: a training step is launch by launch")
    if without and names:
        raise click.UsageError("--without goes with --onnx and --light")

    def run(queue: Any, settings: Settings) -> Iterator[list[Row]]:
        from clconv.bench.networks import bench_inference
        from clconv.bench.training import bench_training

        for kind, name in sources:
            for batch in batches:
                subject = subject_of(kind, name, batch, size, train, listed(without))
                yield [bench_training(subject, queue, settings) if train else bench_inference(subject, queue, settings, separate)]

    carry_out(options, run)


def listed(text: str | None) -> tuple[str, ...]:
    """The entries between commas.

    >>> listed("a, b"), listed(None)
    (('a', 'b'), ())
    """
    return tuple(part for entry in (text or "").split(",") if (part := entry.strip()))


def light_names(text: str | None) -> tuple[str, ...]:
    """The light topologies that are asked for; "all" are all."""
    from clconv.bench.light import NAMES

    return NAMES if text == "all" else listed(text)


def subject_of(kind: str, name: str, batch: int, size: int | None, train: bool, without: tuple[str, ...]) -> Subject:
    """The network that the command names. For training, models start from the values they are meant to start from."""
    from clconv.bench import networks

    if kind == "file":
        return networks.from_file(name, batch, without)
    if kind == "light":
        return networks.light(name, batch, without)
    return networks.named(name, batch, size, enliven=not train)


for command in (conv, layers, scaling, compare):
    bench.add_command(command)
