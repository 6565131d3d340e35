"""clconv run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from clconv.cli.options import device_option

if TYPE_CHECKING:
    import numpy as np

    from clconv.onnx import OnnxNetwork

Floats = tuple[float, ...]


class FloatList(click.ParamType):
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Floats:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} must be numbers with commas between them, such as 0.5,0.5,0.5", param, ctx)


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--input", "source", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A picture, or an array (.npy).")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the result as an array (.npy).")
@click.option("--size", type=click.IntRange(min=1), help="Height and width, if the model leaves them open.  [default: 224]")
@click.option("--mean", type=FloatList(), help="Taken off each channel, values from 0 to 1.  [default: ImageNet's]")
@click.option("--std", type=FloatList(), help="What each channel is divided by then.  [default: ImageNet's]")
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Names of the classes, one a line.")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes to print.")
@click.option("--list", "listed", is_flag=True, help="Print the graph: operations, shapes, algorithms, multiply-adds, parameters.")
@click.option("--profile", is_flag=True, help="Print the time of every launch.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Most memory of the model, host and device each.  [default: what they have]")
@click.option("--explain", is_flag=True, help="Say which algorithm each operation gets, and why.")
@click.option("--fallback", type=click.Choice(["host"]), help="Let the host compute what is not supported, slowly.")
@device_option
def run(
    model: Path,
    source: Path | None,
    output: Path | None,
    size: int | None,
    mean: Floats | None,
    std: Floats | None,
    labels: Path | None,
    top: int,
    listed: bool,
    profile: bool,
    max_bytes: int | None,
    explain: bool,
    fallback: Literal["host"] | None,
    device: str | None,
) -> None:
    """Run an ONNX MODEL on a picture or an array, or look at it.

    A picture's shorter side becomes 8/7 of --size, its middle is cut out, and its values, from 0 to 1, are normalised.
    """
    import numpy as np

    from clconv.cli.run_list import print_graph
    from clconv.errors import printable
    from clconv.graph.compile import compile
    from clconv.onnx import load
    from clconv.runtime.context import default_queue

    if not (source or listed or explain):
        raise click.UsageError("give --input, --list or --explain")
    if profile and not source:
        raise click.UsageError("--profile needs an --input to run on")
    with _said():
        net = load(model, max_bytes=max_bytes, fallback=fallback)
    is_array = source is not None and source.suffix.lower() == ".npy"
    array = _array(source, net) if source and is_array else None
    shape = tuple(array.shape) if array is not None else _shape(net, size)
    if listed:
        with _said():
            print_graph(net, shape, default_queue(device))
    if not (source or explain):
        return
    with _said():
        compiled = compile(net, shape, default_queue(device))
    if explain:
        click.echo(compiled.explain())
    if source is None:
        return
    if array is None:
        array = _picture(source, shape, mean, std)
    if profile:
        click.echo(str(compiled.profile(array)))
    results = compiled(array)
    results = results if isinstance(results, tuple) else (results,)
    if output is not None:
        np.save(output, results[0].get())
        click.echo(f"{output}: {printable(net.output_names[0])} {results[0].shape}")
    elif is_array:
        for name, result in zip(net.output_names, results, strict=True):
            click.echo(f"{printable(name)} {result.shape}{_range(result.get())}")
    elif not results[0].size:
        click.echo(f"{printable(net.output_names[0])} {results[0].shape}")
    else:
        _classes(results[0].get(), labels, top)


@contextmanager
def _said() -> Iterator[None]:
    """What turns out to be computed on the host is said in a line of its own."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        click.echo(f"{warning.category.__name__}: {warning.message}", err=True)


def _range(values: np.ndarray) -> str:
    """The smallest and the largest of what there is."""
    return f": from {float(values.min()):.6g} to {float(values.max()):.6g}" if values.size else ""


def _array(path: Path, net: OnnxNetwork) -> np.ndarray:
    """The array in the type of the first input."""
    import numpy as np

    from clconv.errors import DataError

    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise DataError(f"{path}: must hold one array of numbers")
    return array.astype(next((net.input_type(name) for name in net.dimensions), "float32"))


def _shape(net: OnnxNetwork, size: int | None) -> tuple[int, ...]:
    """The shape of the one input, the sizes that the file leaves open filled in: one image, three channels, `size` or 224."""
    from clconv.errors import OnnxError

    if len(net.dimensions) != 1:
        raise OnnxError(f"{net!r}: has {len(net.dimensions)} inputs; only networks with one are run from the command line")
    (name, sizes), usual = next(iter(net.dimensions.items())), (1, 3, size or 224, size or 224)
    if len(sizes) != 4 and any(isinstance(n, str) for n in sizes):
        raise OnnxError(f"{net!r}: input {name!r} is no picture and leaves sizes open; give an array with --input x.npy")
    shape = tuple(n if isinstance(n, int) and not (size and i > 1) else usual[i] for i, n in enumerate(sizes))
    return (1, *shape[1:]) if len(sizes) == 4 else shape


def _picture(path: Path, shape: tuple[int, ...], mean: Floats | None, std: Floats | None) -> np.ndarray:
    from clconv.errors import DataError
    from clconv.train.images import IMAGENET_MEAN, IMAGENET_STD, Preparation, read_image

    if len(shape) != 4 or shape[1] not in (1, 3):
        raise DataError(f"{path}: a picture does not fit the input of shape {shape}; give an array (.npy)")
    usual = (IMAGENET_MEAN, IMAGENET_STD) if shape[1] == 3 else ((0.5,), (0.5,))
    return read_image(path, Preparation((shape[2], shape[3]), shape[1], mean or usual[0], std or usual[1]))[None]


def _classes(scores: np.ndarray, labels: Path | None, top: int) -> None:
    """The likeliest classes of the first image; scores that are no probabilities are made some by softmax."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    values = np.atleast_1d(scores)[0].reshape(-1).astype(np.float64)
    if not (values.min() >= 0 and abs(values.sum() - 1) < 1e-3):
        values = np.exp(values - values.max())
        values /= values.sum()
    names = labels.read_text(encoding="utf-8").splitlines() if labels else []
    table = Table("class", *(["name"] if names else []), "probability", box=None, pad_edge=False)
    for number in np.argsort(-values, kind="stable")[:top]:
        name = [names[number] if number < len(names) else "?"] if names else []
        table.add_row(str(number), *name, f"{values[number]:.2%}")
    Console(highlight=False, markup=False).print(table)
