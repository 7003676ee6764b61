"""Samples of the games, an animation of one, and the theory beside its measurement."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from experiments.toy_gan import theory
from experiments.toy_gan.mixtures import MIXTURES, coverage
from experiments.toy_gan.training import EXTENT, LOOKS, Kind, Played
from jaxdl import plots

SHOWN = 1000
"""Samples in a picture."""
SURFACE = LinearSegmentedColormap.from_list("surface", [plots.ORANGE, "white", plots.BLUE])
"""Of colours that an animation has."""


@plots.styled
def draw_samples(found: Mapping[Kind, Played]) -> Figure:
    """The samples of each game from its first seed, and how much all of them cover."""
    mixtures = list(dict.fromkeys(kind.mixture for kind in found))
    rows = [[kind for kind in found if kind.mixture == mixture] for mixture in mixtures]
    columns = max(map(len, rows))
    figure = Figure(figsize=(2.5 * columns, 3.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for of_row, kinds in zip(axes, rows, strict=True):
        for one in of_row[len(kinds) :]:
            one.set_axis_off()
        for one, kind in zip(of_row, kinds, strict=False):
            draw_plane(one, kind, np.asarray(found[kind].samples)[0, -1])
            seen = coverage(MIXTURES[kind.mixture], np.asarray(found[kind].samples)[:, -1])
            one.set_title(
                f"{kind}\nmodes {seen.modes.mean():.1f} of {len(MIXTURES[kind.mixture].centres)}, "
                f"good {seen.good.mean():.0%}"
            )
    return figure


def draw_plane(axes: Axes, kind: Kind, samples: np.ndarray) -> None:
    """Samples and the centres of the mixture."""
    centres = MIXTURES[kind.mixture].centres
    axes.plot(*samples[:SHOWN].T, ".", color="black", ms=2, alpha=0.4)
    axes.plot(*centres.T, "x", color=plots.RED, ms=5, mew=1.2)
    reach = EXTENT * np.abs(centres).max()
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])


def animate(kind: Kind, played: Played, steps: int) -> Iterator[Image.Image]:
    """The first seed's samples over the discriminator's surface, as they move."""
    samples, surfaces = np.asarray(played.samples)[0], np.asarray(played.surface)[0]
    figure = draw_surface(kind, samples[0], surfaces[0])
    canvas, axes = FigureCanvasAgg(figure), figure.axes[0]
    for place in range(LOOKS):
        axes.set_title(f"{kind}, after {(place + 1) * steps // LOOKS:,} updates")
        axes.lines[0].set_data(*samples[place, :SHOWN].T)
        axes.images[0].set_data(surfaces[place])
        canvas.draw()
        # All others are laid out as the first.
        figure.set_layout_engine("none")
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


@plots.styled
def draw_surface(kind: Kind, samples: np.ndarray, surface: np.ndarray) -> Figure:
    """Samples over the discriminator's surface."""
    figure = Figure(figsize=(4.6, 4.4), dpi=80, layout="constrained")
    axes = figure.subplots()
    draw_plane(axes, kind, samples)
    reach = EXTENT * np.abs(MIXTURES[kind.mixture].centres).max()
    drawn = axes.imshow(
        surface,
        origin="lower",
        extent=(-reach, reach, -reach, reach),
        cmap=SURFACE,
        vmin=0,
        vmax=1,
    )
    figure.colorbar(drawn, ax=axes, label="sigmoid of the score")
    return figure


@plots.styled
def draw_curves(found: Mapping[Kind, Played], steps: int) -> Figure:
    """How many modes are covered, and how far the samples spread, as the games go on."""
    mixtures = list(dict.fromkeys(kind.mixture for kind in found))
    figure = Figure(figsize=(9.6, 3.2 * len(mixtures)), layout="constrained")
    axes = figure.subplots(len(mixtures), 2, squeeze=False)
    updates = steps // LOOKS * np.arange(1, LOOKS + 1)
    for (left, right), mixture in zip(axes, mixtures, strict=True):
        kinds = [kind for kind in found if kind.mixture == mixture]
        for place, kind in enumerate(kinds):
            played = found[kind]
            seen = coverage(MIXTURES[mixture], np.asarray(played.samples))
            style = {"color": plots.COLOURS[place % len(plots.COLOURS)], "label": str(kind)}
            if not kind.is_penalized:
                style["linestyle"] = "--"
            plots.draw_band(left, updates, seen.modes.astype(float), **style)
            plots.draw_band(right, updates, np.asarray(played.metrics["spread"]), **style)
        modes = len(MIXTURES[mixture].centres)
        left.axhline(modes, color="black", ls=":", lw=1)
        left.set_ylim(0, 1.1 * modes)
        right.axhline(1, color="black", ls=":", lw=1)
        left.set(title=f"{mixture}: modes covered", xlabel="update", ylabel="modes")
        right.set(title=f"{mixture}: spread of the samples", xlabel="update")
        right.set(ylabel="standard deviation (data: 1)", ylim=(0, 2))
        right.legend(fontsize=8)
    return figure


@plots.styled
def draw_theory(seen: theory.Theory) -> Figure:
    """The best discriminator, and the gradients that it leaves to a generator: the worst seed's."""
    figure = Figure(figsize=(11.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    optimum = max(seen.optima, key=lambda of: of.off)
    left.plot(
        theory.GRID,
        np.where(optimum.seen, optimum.best, np.nan),
        color="black",
        ls="--",
        label="p / (p + q)",
    )
    shown = np.where(optimum.seen, optimum.probability, np.nan)
    left.plot(theory.GRID, shown, color=plots.BLUE, label="learned from samples")
    left.set(
        xlabel="x",
        ylabel="taken for real with probability",
        title=f"value {optimum.value:.3f}, -log 4 + 2 JSD = {optimum.best_value:.3f}",
        ylim=(0, 1),
    )
    left.legend()
    for form, colour in zip(theory.FORMS, (plots.RED, plots.BLUE), strict=True):
        norms, label = seen.norms[form], form.replace("_", " ")
        right.plot(norms.T, color=colour, lw=0.8, label=[label, *[None] * (len(norms) - 1)])
    right.set(
        yscale="log",
        xlabel="steps of the discriminator, the generator fixed",
        ylabel="norm of the generator's gradient",
        title="what a generator learns from a better discriminator",
    )
    right.legend()
    return figure
