"""Figures. Each function returns a matplotlib figure that needs no screen; `save` writes it.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; nothing is said by
colour alone.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Int, Num
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"

STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "image.cmap": "gray",
}

Images = Num[np.ndarray, "count height width 1"]
Labels = Int[np.ndarray, " count"]
Probabilities = Float[np.ndarray, "count classes"]


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    @wraps(draw)
    def styled(*arguments: Any, **options: Any) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return styled


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG of 150 dots an inch, whole or not at all."""
    unfinished = path.with_name(f".{path.name}")
    figure.savefig(unfinished, format="png", dpi=150)
    unfinished.replace(path)


@_styled
def learning_curves(epochs: Mapping[str, Float[np.ndarray, "..."]]) -> Figure:
    """Loss and accuracy against epochs, for training and each evaluation.

    Args:
        epochs: ``loss``, ``accuracy``, ``test_loss`` and so on, ``(epochs,)``, or ``(seeds,
            epochs)``: then the mean is drawn, and a band from the least to the most.
    """
    figure = Figure(figsize=(9, 3.6))
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        scale = 100 if metric == "accuracy" else 1
        names = [name for name in epochs if name == metric or name.endswith(f"_{metric}")]
        styles = zip((BLUE, ORANGE, GREEN), ("-o", "--s", ":^"), strict=True)
        for name, (colour, style) in zip(sorted(names, key=len), styles, strict=False):
            values = scale * np.atleast_2d(epochs[name])
            places = 1 + np.arange(values.shape[1])
            label = name.removesuffix(metric).rstrip("_") or "training"
            axes.plot(places, values.mean(0), style, color=colour, label=label, markersize=4)
            if len(values) > 1:
                axes.fill_between(
                    places, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0
                )
        axes.set(xlabel="epoch", ylabel="accuracy (%)" if scale == 100 else "loss (nats)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    return figure


@_styled
def digit_grid(
    images: Images,
    predictions: Labels,
    truths: Labels,
    classes: Sequence[str],
    *,
    rows: int = 4,
    columns: int = 8,
) -> Figure:
    """The first images, each titled with what was predicted and what is true."""
    figure = Figure(figsize=(1.3 * columns, 1.65 * rows))
    for place, axes in enumerate(_image_axes(figure, rows, columns, len(images))):
        right = predictions[place] == truths[place]
        axes.imshow(images[place, ..., 0])
        axes.set_title(
            f"{classes[predictions[place]]}\n"
            + ("✓" if right else f"✗ is {classes[truths[place]]}"),
            color=GREEN if right else RED,
            fontsize=_size_for(classes),
        )
    figure.suptitle("What the network reads (✓ right, ✗ wrong)")
    return figure


@_styled
def worst_mistakes(
    images: Images,
    probabilities: Probabilities,
    truths: Labels,
    classes: Sequence[str],
    *,
    rows: int = 3,
    columns: int = 6,
) -> Figure:
    """The misread images, from the one whose true class was thought least likely."""
    predictions = probabilities.argmax(1)
    of_truth = probabilities[np.arange(len(truths)), truths]
    order = np.argsort(of_truth, kind="stable")
    order = order[predictions[order] != truths[order]]
    figure = Figure(figsize=(1.7 * columns, 2.1 * rows))
    for place, axes in zip(order, _image_axes(figure, rows, columns, len(order)), strict=False):
        read, true = classes[int(predictions[place])], classes[int(truths[place])]
        axes.imshow(images[place, ..., 0])
        axes.set_title(
            f"read {read}, {probabilities[place, predictions[place]]:.1%}\n"
            f"is {true}, {of_truth[place]:.1%}",
            fontsize=_size_for(classes),
        )
    figure.suptitle(
        f"The worst of {len(order)} mistakes in {len(truths):,} images"
        if order.size
        else f"No mistake in {len(truths):,} images"
    )
    return figure


@_styled
def confusion_matrix(truths: Labels, predictions: Labels, classes: Sequence[str]) -> Figure:
    """How often each class was read as each; shades are of the share among the row's images."""
    count = len(classes)
    matrix = np.bincount(count * truths + predictions, minlength=count**2).reshape(count, count)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(7.4, 6.6))
    axes = figure.subplots()
    # The cube root tells one mistake in a thousand from none.
    axes.imshow(np.cbrt(shares), cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(matrix):
        if number:
            colour = "white" if np.cbrt(shares[row, column]) > 0.6 else "black"
            axes.text(column, row, f"{number}", ha="center", va="center", color=colour, fontsize=9)
    slanted = {"rotation": 40, "ha": "right"} if max(map(len, classes)) > 2 else {}
    axes.set_xticks(range(count), classes, **slanted)
    axes.set_yticks(range(count), classes)
    right = np.trace(matrix)
    axes.set(
        xlabel="read as",
        ylabel="is",
        title=f"{right:,} of {matrix.sum():,} right ({right / max(matrix.sum(), 1):.2%})",
    )
    axes.grid(visible=False)
    return figure


@_styled
def filters(kernel: Float[np.ndarray, "height width channels features"]) -> Figure:
    """Each filter's weights on its first channel; red is positive, blue negative, white zero."""
    kernel = np.asarray(kernel)
    features = kernel.shape[-1]
    columns = min(features, 8)
    rows = -(-features // columns)
    figure = Figure(figsize=(1.5 * columns, 1.7 * rows + 0.5))
    bound = np.abs(kernel[:, :, 0]).max()
    grid = _image_axes(figure, rows, columns, features)
    scale = {"cmap": "RdBu_r", "norm": Normalize(-bound, bound)}
    for place, axes in enumerate(grid):
        axes.imshow(kernel[:, :, 0, place], **scale)
        axes.set_title(f"filter {place + 1}")
    figure.colorbar(ScalarMappable(**scale), ax=grid, label="weight")
    return figure


@_styled
def feature_maps(
    layers: Sequence[tuple[str, Float[np.ndarray, "height width features"]]],
    image: Num[np.ndarray, "height width 1"],
    *,
    columns: int = 8,
) -> Figure:
    """An image and the first maps that each layer makes of it; brighter is larger."""
    figure = Figure(figsize=(1.15 * (columns + 1), 1.3 * len(layers) + 0.4))
    grid = np.atleast_2d(figure.subplots(len(layers), columns + 1))
    for row, (name, maps) in zip(grid, layers, strict=True):
        maps = np.asarray(maps)
        for axes in row:
            axes.axis("off")
        for place, axes in enumerate(list(row)[1 : maps.shape[-1] + 1]):
            axes.imshow(maps[..., place], vmin=0, vmax=maps.max())
        row[1].set_title(f"{name}: {min(columns, maps.shape[-1])} of {maps.shape[-1]}", loc="left")
    grid[0, 0].imshow(image[..., 0])
    grid[0, 0].set_title("image", loc="left")
    return figure


@_styled
def probability_bars(
    image: Num[np.ndarray, "height width 1"],
    probabilities: Float[np.ndarray, " classes"],
    classes: Sequence[str],
) -> Figure:
    """What the network saw, and how likely it holds each class to be."""
    figure = Figure(figsize=(6.5, 2.8))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
    left.imshow(image[..., 0])
    left.set_title("what the network saw")
    left.axis("off")
    best = int(np.argmax(probabilities))
    places = np.arange(len(classes))
    colours = [ORANGE if place == best else BLUE for place in places]
    right.barh(places, 100 * probabilities, color=colours)
    right.set_yticks(places, classes)
    right.invert_yaxis()
    right.set(xlim=(0, 100), xlabel="probability (%)")
    right.set_title(f"{classes[best]}, {probabilities[best]:.1%}")
    right.grid(visible=False, axis="y")
    return figure


def _image_axes(figure: Figure, rows: int, columns: int, count: int) -> list[Axes]:
    """The axes of a grid, as many as there are images; none of them has ticks."""
    every = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axes in every:
        axes.axis("off")
    return every[:count]


def _size_for(classes: Sequence[str]) -> int:
    """A font size at which two names fit above a small image."""
    return 9 if max(map(len, classes)) <= 5 else 7
