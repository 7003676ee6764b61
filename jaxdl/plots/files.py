"""Figures and animations as files, each whole or not at all."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from jaxdl.plots.description import describe
from jaxdl.plots.style import COLOURS


def save(figure: Figure, path: str | Path) -> None:
    """Writes ``figure`` to ``path`` as PNG at 150 dots per inch, whole or not at all.

    What `describe` says of it is the file's ``Description``, one of the keywords of PNG.
    """
    with _whole(Path(path)) as partial:
        metadata = {"Description": describe(figure)}
        figure.savefig(partial, format="png", dpi=150, metadata=metadata)


def save_all(figures: Mapping[str, Figure], folder: str | Path) -> None:
    """Writes each figure to ``folder`` as its name and ``.png``, as `save` does."""
    for name, figure in figures.items():
        save(figure, Path(folder) / f"{name}.png")


def save_animation(pictures: Iterable[Image.Image], path: str | Path) -> None:
    """Writes a GIF that goes round, whole or not at all; its last picture stays two seconds.

    Each other picture stays 120 ms. Colours become the nearest of those of `jaxdl.plots.style`,
    black, and their shades into white.

    Args:
        pictures: At least one, all of one size, in colour (mode "RGB").
        path: Where to write it.
    """
    palette = Image.new("P", (1, 1))
    palette.putpalette(_shades())
    first, *others = (p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures)
    durations = [120] * len(others) + [2000]
    with _whole(Path(path)) as partial:
        first.save(partial, "GIF", save_all=True, append_images=others, loop=0, duration=durations)


def _shades() -> list[int]:
    """Reds, greens and blues of what a figure shows: its colours, fading into white.

    A palette that is fitted to a picture would give colours that are rare in it one shade.
    """
    fading = np.linspace(0, 1, 16)[:, None]
    faded = [np.array(to_rgb(c)) * (1 - fading) + fading for c in ("black", *COLOURS)]
    return np.rint(255 * np.concatenate(faded)).astype(int).ravel().tolist()


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A place to write to that becomes ``path`` if all goes well, and goes away if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
