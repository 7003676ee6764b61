"""Samples: side by side, as they came to be, between two of them, and along a direction."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from jaxdl import plots

EPOCHS_SHOWN = 8
SHARES = np.linspace(0, 1, 12)
"""Of the way from one noise to another."""
ROWS, COLUMNS = 6, 16
SHOWN = 4 * COLUMNS
"""Samples of each seed in the grid."""
BOLD_SHARE = 0.05
"""Of the samples, the boldest and the faintest, whose mean noise makes a direction."""

Images = UInt8[np.ndarray, "count 28 28 1"]


def draw_through_training(samples: UInt8[np.ndarray, "epochs count 28 28 1"]) -> Figure:
    """The same noise at the ends of some epochs."""
    last = len(samples)
    epochs = np.unique(np.geomspace(1, last, min(EPOCHS_SHOWN, last)).round().astype(int))
    labels = [f"epoch {epoch}" for epoch in epochs]
    return plots.image_tiles(samples[epochs - 1, :16], "samples of the same noise", labels)


def bold_direction(
    noise: Float[np.ndarray, "count latent"], samples: Images
) -> Float[np.ndarray, " latent"]:
    """From the mean noise of faint samples to that of bold ones.

    Arithmetic as in Radford et al. 2016, arXiv:1511.06434, section 6.3.2.
    """
    ink = samples.mean(axis=(1, 2, 3))
    count = max(1, int(BOLD_SHARE * len(ink)))
    order = np.argsort(ink)
    return noise[order[-count:]].mean(axis=0) - noise[order[:count]].mean(axis=0)


@plots.styled
def draw_losses(epochs: Mapping[str, np.ndarray]) -> Figure:
    """Losses of both players, and what the discriminator thinks of real and generated images.

    Args:
        epochs: of a run, with several seeds ``(seeds, epochs)``.
    """
    seen = {name: np.atleast_2d(of) for name, of in epochs.items()}
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    places = np.arange(1, seen["loss"].shape[1] + 1)
    draws = [
        (left, {"loss": "discriminator", "generator_loss": "generator"}),
        (
            middle,
            {
                "discriminator_score_of_real": "real, in training",
                "discriminator_score_of_generated": "generated",
                "test_score_of_real": "real, in the test",
            },
        ),
        (right, {"discriminator_accuracy": "accuracy of the discriminator", "spread": "spread"}),
    ]
    for axes, names in draws:
        for (name, label), colour in zip(names.items(), plots.COLOURS, strict=False):
            plots.draw_band(axes, places, seen[name], color=colour, label=label)
        axes.set_xlabel("epoch")
        axes.legend()
    left.set_ylabel("loss")
    middle.set_ylabel("score")
    right.axhline(1, color="black", ls=":", lw=1)
    right.set_ylabel("share; data's spread: 1")
    return figure
