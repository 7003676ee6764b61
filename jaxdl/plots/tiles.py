"""Many small images as one picture."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from jaxdl.plots.style import styled


@styled
def image_tiles(
    images: UInt8[np.ndarray, "rows columns height width 1"],
    title: str,
    labels: Sequence[str] = (),
) -> Figure:
    """Draws grey images side by side, nothing between them.

    Args:
        images: in rows.
        title: of all.
        labels: of the rows; none by default.
    """
    rows, columns, height, _, _ = images.shape
    figure = Figure(figsize=(0.5 * columns + 1.5, 0.5 * rows + 0.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(tiled(images), cmap="gray", vmin=0, vmax=255)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks((height * (np.arange(rows) + 0.5))[: len(labels)], labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def tiled(
    images: UInt8[np.ndarray, "rows columns height width 1"],
) -> UInt8[np.ndarray, "all_height all_width"]:
    """One picture of all."""
    rows, columns, height, width, _ = images.shape
    return images[..., 0].swapaxes(1, 2).reshape(rows * height, columns * width)
