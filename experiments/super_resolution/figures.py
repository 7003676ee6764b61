"""Enlargements side by side, and what is lost where they are made to look real."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from experiments.super_resolution.scores import Scores, of_seeds
from jaxdl import plots

COLUMNS = 12

Images = UInt8[np.ndarray, "count height width 1"]


def draw_side_by_side(rows: Mapping[str, Images], factor: int) -> Figure:
    """The first images in each way.

    Args:
        rows: by what they are, small images among them.
        factor: of the enlargement.
    """
    images = [_filling(of[:COLUMNS]) for of in rows.values()]
    size = len(images[0][0]) // factor
    return plots.image_tiles(np.stack(images), f"from {size}x{size} pixels", list(rows))


@plots.styled
def draw_tradeoff(of_factors: Mapping[int, Mapping[str, list[Scores]]]) -> Figure:
    """Distortion against perception (Blau and Michaeli 2018, arXiv:1711.06077, figure 1).

    Args:
        of_factors: scores of each seed, by method, by factor.
    """
    count = len(of_factors)
    figure = Figure(figsize=(5.2 * count, 4), layout="constrained")
    for axes, (factor, methods) in zip(
        figure.subplots(1, count, squeeze=False)[0], of_factors.items(), strict=True
    ):
        for (method, scores), colour in zip(methods.items(), plots.COLOURS, strict=False):
            psnr, distance = (of_seeds(scores, name) for name in ("psnr", "frechet_distance"))
            axes.scatter(psnr, distance, color=colour, label=method, s=24)
        axes.set_yscale("log")
        axes.set_xlabel("PSNR in dB: to the right, nearer to the original")
        axes.set_title(f"{28 // factor}x{28 // factor} to 28x28")
        axes.legend(fontsize=8)
    figure.axes[0].set_ylabel("Fréchet distance: below, more like real images")
    return figure


def _filling(images: Images) -> Images:
    """Small images by squares of pixels, as large as 28x28."""
    times = 28 // images.shape[1]
    return images.repeat(times, axis=1).repeat(times, axis=2)
