"""Figures: learning curves, predictions, mistakes, confusion, filters, feature maps, instruments.

Each of these takes arrays and returns a `matplotlib.figure.Figure`, which a notebook shows and
`save` writes, with what `describe` says of it. A figure of one's own is drawn by a function under
`styled`; `draw_band`, `draw_errorbars` and `make_logarithmic` draw into its axes what several
figures have in common. None touches pyplot, so they need no display and leave nothing behind.
"""

from jaxdl.plots.axes import draw_band, draw_errorbars, draw_shares, make_logarithmic
from jaxdl.plots.curves import learning_curves
from jaxdl.plots.description import describe
from jaxdl.plots.features import feature_maps, filters
from jaxdl.plots.files import save, save_all, save_animation
from jaxdl.plots.instrument_panels import instruments
from jaxdl.plots.predictions import (
    confusion_matrix,
    digit_grid,
    probability_bars,
    worst_mistakes,
)
from jaxdl.plots.reading import reading
from jaxdl.plots.style import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    ORANGE,
    RED,
    family_styles,
    shades,
    styled,
)
from jaxdl.plots.tiles import image_tiles

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GREY",
    "ORANGE",
    "RED",
    "confusion_matrix",
    "describe",
    "digit_grid",
    "draw_band",
    "draw_errorbars",
    "draw_shares",
    "family_styles",
    "feature_maps",
    "filters",
    "image_tiles",
    "instruments",
    "learning_curves",
    "make_logarithmic",
    "probability_bars",
    "reading",
    "save",
    "save_all",
    "save_animation",
    "shades",
    "styled",
    "worst_mistakes",
]
