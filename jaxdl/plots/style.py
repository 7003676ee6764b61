"""The one style of all figures: its colours, what is told apart by them, and its settings.

Colours are those of Okabe and Ito (2008), which colour-blind readers tell apart too, and nothing is
said by colour alone.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)
"""All of them, in the order in which to take them."""

_MARKERS = "os^Dv"
_SETTINGS: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "image.interpolation": "nearest",
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Lets ``draw``, a function that returns a figure, work under the one style of all figures.

    The first paragraph of its docstring, without "Draws", becomes the figure's label, with which
    `jaxdl.plots.describe` begins.
    """

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_SETTINGS):
            figure = draw(*args, **kwargs)
        shown = (inspect.getdoc(draw) or "").partition("\n\n")[0].removeprefix("Draws ")
        figure.set_label(shown[:1].upper() + shown[1:])
        return figure

    return styled


def family_styles(families: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """A colour for each family and a marker for each of its members, as options of ``Axes.plot``.

    Args:
        families: The members of each family by its name, such as `jaxdl.optim.classic.FAMILIES`:
            five families of five members at most.

    Returns:
        ``{"color": ..., "marker": ...}`` by member.

    >>> styles = family_styles({"descent": ("GD", "momentum"), "signs": ("Lion",)})
    >>> styles["momentum"], styles["Lion"]["marker"]
    ({'color': '#0072B2', 'marker': 's'}, 'o')

    Raises:
        ValueError: there are more families or members than can be told apart.
    """
    if len(families) > len(COLOURS) or any(len(of) > len(_MARKERS) for of in families.values()):
        raise ValueError("more than five families, or more than five members of one")
    return {
        member: {"color": colour, "marker": marker}
        for members, colour in zip(families.values(), COLOURS, strict=False)
        for member, marker in zip(members, _MARKERS, strict=False)
    }


def shades(count: int) -> Float[np.ndarray, "count 4"]:
    """Colours of an order, from dark to light, of lines on white; also in black and white."""
    return matplotlib.colormaps["viridis"](np.linspace(0, 0.92, count))
