"""What a figure shows, in words, for those who cannot see it."""

from collections.abc import Iterable

from matplotlib.figure import Figure

_SHOWN = 8
_SIGNS = str.maketrans("", "", "$`")


def describe(figure: Figure) -> str:
    """What ``figure`` shows, in plain text: made of what is written in it.

    First what the docstring of the function that drew it begins with, where that is
    `jaxdl.plots.styled`; then titles, the names of the axes and the legend, each of them once, and
    the first eight where there are more.

    >>> figure = Figure()
    >>> axes = figure.subplots()
    >>> lines = axes.plot([1, 2], label="train") + axes.plot([2, 3], label="test")
    >>> _ = axes.set(xlabel="epoch", ylabel="loss"), axes.legend()
    >>> describe(figure)
    'Axes: loss against epoch. Legend: train; test.'
    """
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    titles = (axes.get_title(side) for axes in figure.axes for side in ("left", "center", "right"))
    named = [(figure.get_supylabel(), figure.get_supxlabel())]
    named += [(axes.get_ylabel(), axes.get_xlabel()) for axes in figure.axes]
    written = {
        "": [str(figure.get_label())],
        "Titles: ": [figure.get_suptitle(), *titles],
        "Axes: ": [" against ".join(filter(None, names)) for names in named],
        "Legend: ": [
            text.get_text() for legend in legends if legend for text in legend.get_texts()
        ],
    }
    sentences = {kind: _listed(texts) for kind, texts in written.items()}
    return " ".join(f"{kind}{listed.rstrip('.')}." for kind, listed in sentences.items() if listed)


def _listed(texts: Iterable[str]) -> str:
    """Each text once, on one line, without the signs around mathematics and names of code."""
    plain = (" ".join(text.translate(_SIGNS).split()) for text in texts)
    different = list(dict.fromkeys(filter(None, plain)))
    left = len(different) - _SHOWN
    return "; ".join(different[:_SHOWN] + ([f"and {left} more"] if left > 0 else []))
