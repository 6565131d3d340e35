"""clconv demo: LeNet-5 on handwritten digits, from nothing to pictures in a minute."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clconv.cli.options import device_option

if TYPE_CHECKING:
    from rich.console import Console

    from clconv.train import Dataset, Epoch, Trainer

EPOCHS = 20
BATCH = 64
FIRST_LAYER = f"conv n{BATCH}c1i28x28k6f5x5p2+bias+relu"


def trainer_for(seed: int = 0, queue: Any = None) -> Trainer:
    """LeNet-5 and the optimiser that suits it: Nesterov's momentum and some weight decay."""
    from clconv.nn.models import lenet5
    from clconv.train import SGD, Trainer

    optimiser = SGD(lr=0.05, momentum=0.9, weight_decay=2e-3, nesterov=True)
    return Trainer(lenet5(seed=seed), optimiser=optimiser, queue=queue, seed=seed)


def lesson(epochs: int = EPOCHS) -> dict[str, Any]:
    """What to `fit` it with: images moved by up to 2 pixels, a cosine schedule. Gives 97.6 to 98.3 % over seeds 0 to 3."""
    from clconv.train import digits, random_shift, schedule
    from clconv.train.digits import PAPER

    train, test = digits(random_shift(2, fill=PAPER), standardise=True)
    plan = schedule.cosine(epochs, warmup=0.15 * epochs)
    return {"data": train, "epochs": epochs, "batch_size": BATCH, "validation": test, "schedule": plan}


@click.command()
@click.option("--epochs", metavar="N", type=click.IntRange(min=1), default=EPOCHS, show_default=True, help="Times through the digits.")
@click.option("--seed", metavar="S", type=click.IntRange(min=0), default=0, show_default=True, help="For weights, order and shifts.")
@device_option
@click.option(
    "--output", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), default=Path("clconv-demo"), show_default=True,
    help="Where pictures and weights go.",
)  # fmt: skip
def demo(epochs: int, seed: int, device: str | None, output: Path) -> None:
    """Train LeNet-5 on 4,000 handwritten digits, test it on 1,000 others, and draw what it learned."""
    from rich.console import Console

    from clconv.errors import ClconvError
    from clconv.runtime.context import default_queue, traits_of
    from clconv.train import save_weights

    if importlib.util.find_spec("matplotlib") is None:
        raise ClconvError("demo: matplotlib, which draws the pictures, is not installed: pip install 'clconv[demo]'")
    console = Console(highlight=False, soft_wrap=True)
    queue = default_queue(device)
    traits = traits_of(queue.device)
    kind = "CPU" if traits.is_cpu else "GPU or accelerator"
    console.print(f"device: {traits.label}, {kind}, {traits.compute_units} compute units")
    trainer, arguments = trainer_for(seed, queue), lesson(epochs)
    train, test = arguments["data"], arguments["validation"]
    net = trainer.net
    console.print(f"LeNet-5, {net.parameter_count():,} parameters; {len(train):,} digits to train with, {len(test):,} others to test with")
    _build(console, queue, train, test)
    trainer.fit(**arguments, callbacks=[] if console.is_terminal else [lambda _, epoch: console.print(str(epoch))])
    with console.status("drawing"):
        output.mkdir(parents=True, exist_ok=True)
        _draw(trainer, test, output)
        save_weights(net, output / "lenet5.safetensors")
    _report(console, trainer.history, output, device)


def _build(console: Console, queue: Any, train: Dataset, test: Dataset) -> None:
    """Steps with a network to throw away: some drivers build at the first launch, and the first epoch's time shall be like the others'."""
    import time

    began, twin = time.perf_counter(), trainer_for(0, queue)
    with console.status("building kernels"):
        for size in (BATCH, len(train) % BATCH or BATCH):
            twin.step(*train.take(slice(0, size)))
        twin.evaluate(test)
    console.print(f"kernels built in {time.perf_counter() - began:.1f} s (kept for the next time)")


def _draw(trainer: Trainer, test: Dataset, output: Path) -> None:
    from clconv import nn
    from clconv.cli import demo_pictures as pictures
    from clconv.graph.compile import compile

    net: Any = trainer.net
    images, labels = test.take(slice(None))
    assert not isinstance(images, dict)
    scores = compile(net, images.shape, trainer.queue)(images).get()
    shown = images[[int((labels == digit).argmax()) for digit in range(10)]]
    first = nn.Sequential(conv1=net.conv1, relu1=net.relu1)
    maps = compile(first, shown.shape, trainer.queue)(shown).get()
    pictures.curves(trainer.history).savefig(output / "curves.png")
    pictures.mistakes(images, labels, scores).savefig(output / "mistakes.png")
    pictures.filters(net.state_dict()["conv1.weight"], shown, maps).savefig(output / "filters.png")


def _report(console: Console, history: list[Epoch], output: Path, device: str | None) -> None:
    seconds = sorted(epoch.seconds for epoch in history)[len(history) // 2]
    rate = sorted(epoch.examples_per_second for epoch in history)[len(history) // 2]
    accuracy = history[-1].validation_accuracy or 0.0
    chosen = f" --device {device!r}" if device else ""
    console.print(f"\nwritten to {output}/: curves.png, mistakes.png, filters.png, lenet5.safetensors")
    console.print(f"\n[bold]test accuracy: {100 * accuracy:.1f} %[/bold]")
    console.print(f"{seconds:.2f} s per epoch, {rate:,.0f} images/s")
    console.print("\ntry next:")
    console.print("  clconv devices")
    for command in ("explain", "source", "bench conv"):
        console.print(f'  clconv {command} "{FIRST_LAYER}"{chosen}', markup=False)
