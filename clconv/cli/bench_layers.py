"""clconv bench conv, layers, scaling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from clconv.cli.bench_options import Numbers, carry_out, common_options, refused_files
from clconv.cli.options import algorithm_name, problem_of

if TYPE_CHECKING:
    from clconv.bench.contest import Settings
    from clconv.bench.layers import Layer
    from clconv.bench.report import Row

pass_option = click.option(
    "--pass", "direction", type=click.Choice(["forward", "bwd_d", "bwd_w"]), help="The forward pass, the data or the weight gradient."
)
NETWORKS = "resnet50, alexnet, googlenet, vgg19, unet, dcgan"


def parameters(text: str | None) -> dict[str, str]:
    """ "tile_w=14,tile_k=2" by name."""
    pairs = [entry.partition("=") for entry in (text or "").split(",") if entry.strip()]
    for name, sign, value in pairs:
        if not (name.strip() and sign and value.strip()):
            raise click.UsageError(f"--params: {name}{sign}{value} is not name=value; join several by commas: tile_w=14,tile_k=2")
    return {name.strip(): value.strip() for name, _, value in pairs}


@click.command(short_help="One convolution or pooling, by one or all algorithms.")
@click.argument("problem")
@click.option("--algorithm", metavar="all|NAME", help="Time all that accept the problem, or this one, instead of the chosen one.")
@click.option("--params", metavar="NAME=VALUE,..", help="Parameters of the one algorithm: tile_w=14,tile_k=2.")
@click.option("--eager", is_flag=True, help="Also time the eager call, F.conv2d on plain arrays, and the compiled problem.")
@pass_option
@click.option("--batch", "batches", metavar="N[,N..]", type=Numbers(), help="Images in a batch, instead of the problem's own n.")
@common_options
def conv(
    problem: str, algorithm: str | None, params: str | None, eager: bool, direction: str | None, batches: tuple[int, ...] | None,
    **options: Any,
) -> None:  # fmt: skip
    """Time PROBLEM ("conv n1c64i56x56k64f3x3p1"; pooling too), by one or all of the algorithms that take it.

    Each algorithm runs alone, on tensors in the layouts that it asks for, as inside of a compiled network. With --against there is a line
    more, "compiled": plain arrays (N, C, H, W) in and out, everything included, weights packed beforehand. Rivals do the same on tensors
    of their own kind, which are neither copied in nor out; ratios are to that line. With --eager there are two lines more, "eager" and
    "compiled"; the eager call is timed with the same weights each time, as it is after some dozens of calls, when other processes have
    built what is best for it.
    """
    asked, given = problem_of(problem), parameters(params)

    def run(queue: Any, settings: Settings) -> Iterator[list[Row]]:
        from clconv.bench.layers import with_batch, with_pass
        from clconv.bench.problems import bench_problem

        for batch in batches or (None,):
            one = with_pass(with_batch(asked, batch), direction)
            chosen = algorithm if algorithm == "all" else algorithm_name(one, algorithm)
            yield bench_problem(one, queue, chosen, settings, given, eager=eager)

    carry_out(options, run)


@click.command(short_help="Each distinct layer of a network or of a CSV file.")
@click.option("--network", "network_name", metavar="NAME", help=f"The layers of this network: {NETWORKS}, or another of the models.")
@click.option("--file", "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="The layers in this CSV file.")
@click.option("--only", metavar="TEXT", default="", help="Of a file, only lines with this text in one of their cells.")
@pass_option
@click.option("--batch", "batches", metavar="N[,N..]", type=Numbers(), help="Images in a batch; else 1, or what the file says.")
@click.option("--own-layouts", is_flag=True, help="Time the chosen algorithm alone on the layouts it asks for, without rivals.")
@common_options
def layers(
    network_name: str | None, path: str | None, only: str, direction: str | None, batches: tuple[int, ...] | None, own_layouts: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Time each distinct convolution and pooling of a network or file, with how often it occurs.

    Each layer is compiled by itself: plain arrays (N, C, H, W) in and out, everything included, weights packed beforehand. Rivals do the
    same on tensors of their own kind, which are neither copied in nor out; of each, the table has its time over ours. "n" is how
    often the layer occurs. A network's layers are those of its compiled form: batch norm,
    bias, residual and ReLU belong to its convolutions. Linear layers and adaptive pooling are left out. The data gradient is a
    ConvTranspose for ONNX Runtime and OpenVINO; other gradients only PyTorch has.

    A CSV file has a header line and a layer a line: a column "problem" with the text form, or columns op (conv, deconv, pool or maxpool,
    avgpool), n, c_in, h_in, w_in, kh, kw, and c_out but for pooling; where they differ from their defaults groups, sh, sw (1), ph, pw
    (0), ph_end, pw_end (as ph, pw), dh, dw (1). h_out, w_out say how a deconv ends. name and count may be given; others are remarks.
    """
    if bool(network_name) == bool(path):
        raise click.UsageError("give --network NAME or --file FILE")
    if only and not path:
        raise click.UsageError("--only goes with --file")
    if own_layouts and options["against"]:
        raise click.UsageError("--own-layouts is without rivals: their layouts are their own; leave out --against")

    def run(queue: Any, settings: Settings) -> Iterator[list[Row]]:
        from clconv.bench.layers import bench_layer

        for batch in batches or (None,):
            for layer in asked_layers(network_name, path, batch, direction, only):
                yield bench_layer(layer, queue, settings, own_layouts)

    carry_out(options, run, wide=True)


def asked_layers(network_name: str | None, path: str | None, batch: int | None, direction: str | None, only: str) -> list[Layer]:
    """The layers of the network or file; lines of the file that describe none are said on the error stream."""
    from clconv.bench.layers import from_csv, of_network

    if network_name:
        return of_network(network_name, batch or 1, direction)
    assert path is not None
    found, refused = from_csv(path, batch, direction, only)
    for sentence in refused:
        click.echo(f"left out: {sentence}", err=True)
    return found


@click.command(short_help="How time grows with batch, image size and channels.")
@click.argument("problem", default="n1c64i56x56k64f3x3p1")
@click.option("--over", metavar="AXES", default="batch,size,channels", show_default=True, help="What is varied, joined by commas.")
@click.option("--figure", metavar="FILE", type=click.Path(dir_okay=False, writable=True), help="Draw time over each axis (PNG, SVG, PDF).")
@common_options
def scaling(problem: str, over: str, figure: str | None, **options: Any) -> None:
    """Show how time grows around PROBLEM with the batch, the image size and the channels, and whether it falls off a cliff.

    Each value is compiled by itself: plain arrays in and out. The values are powers of two, their neighbours and primes. "expected" is
    the time on the line between the two neighbouring values, on logarithmic axes; a value that takes more than twice that is marked as a
    cliff. Then come special cases: prime sizes everywhere, images of one pixel, one channel, 4096 channels. "ps/MAC" is the time in
    picoseconds for each multiply-add; of rivals the table has their time over ours.
    """
    axes = tuple(dict.fromkeys(axis.strip() for axis in over.split(",")))
    unknown = [axis for axis in axes if axis not in ("batch", "size", "channels")]
    if unknown:
        raise click.UsageError(f"--over: {unknown[0]!r} is not one of batch, size, channels")
    found: list[Any] = []

    def run(queue: Any, settings: Settings) -> Iterator[list[Row]]:
        from clconv.bench.scaling import bench_scaling

        for points in bench_scaling(problem, axes, queue, settings):
            found.append(points)
            yield [point.row for point in points]

    def show(rows: list[Row]) -> None:
        from clconv.cli.bench_lists import print_scaling

        print_scaling(found[-1])

    carry_out(options, run, show=show)
    if figure:
        from clconv.cli.bench_plot import plot_scaling

        with refused_files(figure):
            plot_scaling(found, problem, figure)
