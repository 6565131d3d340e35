"""The pictures that `clconv demo` draws: learning curves, misread digits, and what the first layer looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clconv.train import Epoch

Array = NDArray[Any]
TRAINING, TESTING = "#8a8f98", "#1f5fa8"
MOST_MISTAKES = 40


def _figure(width: float, height: float, title: str, **more: Any) -> Figure:
    """A figure of its own canvas: nothing global is touched, no window system is needed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white", **more)
    figure.suptitle(title, fontsize=13)
    return figure


def curves(history: Sequence[Epoch]) -> Figure:
    """Loss while training and on the test digits, and accuracy on the test digits, by epoch."""
    from matplotlib.ticker import LogLocator, NullLocator

    accuracy = [100 * (epoch.validation_accuracy or 0.0) for epoch in history]
    figure = _figure(10, 4, f"LeNet-5 on MNIST digits: {accuracy[-1]:.1f} % of the test digits are read right")
    epochs = [epoch.number for epoch in history]
    losses, rates = figure.subplots(1, 2)
    losses.plot(epochs, [epoch.loss for epoch in history], "o-", markersize=3, color=TRAINING, label="training, shifted digits")
    losses.plot(epochs, [epoch.validation_loss for epoch in history], "o-", markersize=3, color=TESTING, label="test")
    losses.set(title="loss (cross entropy)", xlabel="epoch", yscale="log")
    losses.legend(frameon=False)
    losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    losses.yaxis.set_major_formatter("{x:g}")
    losses.yaxis.set_minor_locator(NullLocator())
    rates.plot(epochs, accuracy, "o-", markersize=3, color=TESTING)
    rates.axhline(97, color=TRAINING, linewidth=1, linestyle="--")
    rates.annotate("97 %", (epochs[0], 97), xytext=(0, 3), textcoords="offset points", color=TRAINING, fontsize=9)
    low = min(90.0, float(np.floor(np.sort(accuracy)[len(accuracy) // 4])) - 1)
    rates.set(title="test accuracy (%)", xlabel="epoch", ylim=(low, 100))
    for axes in (losses, rates):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def mistakes(images: Array, labels: Array, scores: Array) -> Figure:
    """The wrongly read digits, most confident first, each with what it is and what it was read as. images (N, 1, H, W), scores (N, 10)."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    read = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(read != labels)
    wrong = wrong[np.argsort(-probabilities[wrong, read[wrong]], kind="stable")]
    shown = wrong[:MOST_MISTAKES]
    rows = max(1, -(-len(shown) // 8))
    more = f", the {len(shown)} most confident" if len(shown) < len(wrong) else ""
    figure = _figure(10, 0.6 + 1.6 * rows, f"{len(wrong)} of {len(labels)} test digits are read wrongly{more}")
    for axes in figure.subplots(rows, 8, squeeze=False).flat:
        axes.axis("off")
    for axes, index in zip(figure.axes, shown, strict=False):
        axes.imshow(images[index, 0], cmap="gray_r")
        axes.set_title(f"{labels[index]} read as {read[index]}\n{100 * probabilities[index, read[index]]:.0f} % sure", fontsize=9)
    return figure


def filters(weights: Array, images: Array, maps: Array) -> Figure:
    """Filters (K, 1, R, S) of the first layer, each with the maps (N, K, H, W) that it makes of images (N, 1, H, W)."""
    count, examples = len(weights), len(images)
    figure = _figure(1.05 * (examples + 1) + 0.4, count + 1.5, "First layer: each filter and the feature maps it makes, after ReLU")
    grid = figure.subplots(count + 1, examples + 1)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    most = float(np.abs(weights).max())
    grid[0, 0].text(1.0, 0.5, "digits", ha="right", va="center", fontsize=10, transform=grid[0, 0].transAxes)
    grid[1, 0].set_title("filters", fontsize=10)
    for column, image in enumerate(images, start=1):
        grid[0, column].imshow(image[0], cmap="gray_r")
    for row, weight in enumerate(weights, start=1):
        colours = grid[row, 0].imshow(weight[0], cmap="RdBu_r", vmin=-most, vmax=most)
        brightest = float(maps[:, row - 1].max()) or 1.0
        for column in range(1, examples + 1):
            grid[row, column].imshow(maps[column - 1, row - 1], cmap="magma", vmin=0, vmax=brightest)
    bar = figure.colorbar(colours, ax=grid[1:, 0], location="left", shrink=0.6)
    bar.set_label("weight", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure
