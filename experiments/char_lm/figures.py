"""Figures of a language model: its learning curves, and what its units follow."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.char_lm.structure import followers
from experiments.char_lm.vocabularies import AnyVocabulary
from jaxdl import models, plots
from jaxdl.data import Text

READ = 4000
"""Characters of the validation text in which followers are looked for."""
LINES, COLUMNS = 14, 88
"""Of the text that is shown."""


def draw(
    cell: str,
    params: Any,
    vocabulary: AnyVocabulary,
    text: Text,
    epochs: dict[str, np.ndarray],
    folder: Path,
) -> None:
    """Draws the figures of a run.

    Args:
        cell: of the model.
        params: of the model.
        vocabulary: of the model.
        text: it was trained on.
        epochs: of its history.
        folder: to write to.
    """
    figures = {}
    seen = text.validation[:READ]
    tokens = vocabulary.encode(seen)
    if len(tokens) == len(seen):  # a byte may be a part of a character
        hidden = models.hidden_units(cell, params, jnp.asarray(tokens, jnp.int32)[None])
        figures["units"] = draw_units(np.asarray(hidden[0]), seen)
    figures["learning_curves"] = plots.learning_curves(epochs)
    plots.save_all(figures, folder)


@plots.styled
def draw_units(hidden: Float[np.ndarray, "characters units"], text: str) -> Figure:
    """The text, coloured by the unit that follows each of its structures best."""
    found = followers(hidden, text)
    figure = Figure(figsize=(9.6, 0.4 + 2.5 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axes, (name, (unit, correlation)) in zip(panels, found.items(), strict=True):
        values = hidden[:, unit] * np.sign(correlation)
        _show_text(axes, text, values)
        axes.set_title(
            f"{name}: unit {unit}, correlation {abs(correlation):.2f} in {len(text):,} characters",
            loc="left",
        )
    return figure


def _show_text(axes: Axes, text: str, values: Float[np.ndarray, " characters"]) -> None:
    """Lines of text, each character on a ground of its unit's level: red high, blue low."""
    start, grid = 0, np.full((LINES, COLUMNS), np.nan)
    for row, line in enumerate(text.splitlines(keepends=True)[:LINES]):
        shown = line.rstrip("\n")[:COLUMNS]
        grid[row, : len(shown)] = values[start : start + len(shown)]
        for column, character in enumerate(shown):
            axes.text(
                column, row, character, family="monospace", size=6.5, ha="center", va="center"
            )
        start += len(line)
    axes.imshow(grid, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", alpha=0.7)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
