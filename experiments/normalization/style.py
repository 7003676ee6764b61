"""How each norm looks in every figure."""

from typing import Any

from experiments.normalization.network import Kind
from jaxdl import plots

_STYLES = {
    "none": {"color": "black", "marker": "o", "ls": ":"},
    "batch": {"color": plots.BLUE, "marker": "s", "ls": "-"},
    "renorm": {"color": plots.GREEN, "marker": "^", "ls": "-."},
    "layer": {"color": plots.ORANGE, "marker": "D", "ls": "-"},
    "rms": {"color": plots.RED, "marker": "v", "ls": "--"},
    "weight": {"color": plots.GREY, "marker": "x", "ls": ":"},
}


def style(kind: Kind) -> dict[str, Any]:
    """Options of ``Axes.plot``, the label among them."""
    noisy = {"ls": "--", "marker": "*"} if kind.noise else {}
    return {**_STYLES[kind.norm], **noisy, "label": kind.name}
