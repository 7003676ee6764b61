"""The page of instruments: a panel for each quantity that `jaxdl.diagnostics` measures."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import matplotlib
import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jaxdl import diagnostics
from jaxdl.plots.axes import AnyArray, draw_band, make_logarithmic
from jaxdl.plots.style import BLUE, COLOURS, GREY, ORANGE, styled

Runs = Float[np.ndarray, "seeds steps"]


@styled
def instruments(history: Mapping[str, Num[AnyArray, "*seeds steps"]], unit: str = "step") -> Figure:
    """Draws one page of what a run's gradients and steps say, as Cockpit does (Schneider et al.
    2021, arXiv:2102.06604): a panel for each quantity of `jaxdl.diagnostics` that was measured.

    Of one run, each value is drawn pale, and over it a running mean over a fortieth of the run; of
    several seeds, the mean of their running means with its 95% interval (Student's t). The noise
    scale, and where steps end on the parabola of the loss along them, are ratios of means over a
    tenth of the run and all seeds, pale for each seed. Values
    that are not finite, such as those after a run stopped, are left out, and single values far from
    all others may lie outside their panel.

    Args:
        history: One value per step or, with a leading axis, per seed and step, by the names that
            `jaxdl.diagnostics` lists. Other entries are left out. Means over epochs will do.
        unit: What the values are one of each: "step" or "epoch".
    """
    runs = {name: np.atleast_2d(np.asarray(v, np.float64)) for name, v in history.items()}
    panels = [panel for panel in _PANELS if panel.chosen(runs)]
    rows = max(1, math.ceil(len(panels) / _COLUMNS))
    figure = Figure(figsize=(12.5, 2.7 * rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(rows, _COLUMNS)
    for place, panel in enumerate(panels):
        row, column = divmod(place, _COLUMNS)
        end = None if place + 1 == len(panels) else column + 1  # the last fills its row
        axes = figure.add_subplot(grid[row, column:end])
        panel.draw(axes, {name: runs[name] for name in panel.chosen(runs)})
        axes.set_title(panel.title, loc="left")
        axes.grid(True)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        if row + 1 == rows:
            axes.set_xlabel(unit)
    if runs:
        seeds, steps = next(iter(runs.values())).shape
        figure.suptitle(_explanation(seeds, steps, unit), fontsize=9)
    return figure


_COLUMNS = 3


def _explanation(seeds: int, steps: int, unit: str) -> str:
    """What lines, bands and pale lines are."""
    window = _window(steps)
    means = f"means over {window} {unit}s" if window > 1 else ""
    if seeds > 1:
        return f"mean of {seeds} seeds, 95% interval" + (f", {means}" if means else "")
    return f"pale: each {unit}; lines: {means}" if means else ""


class _Panel(NamedTuple):
    """One instrument: a title, the metrics it shows (a prefix of names ends in _), its painter.

    Without all of the first ``needed`` metrics it is left out, as it is without any and where the
    metric ``unless`` is there, whose panel shows as much.
    """

    title: str
    metrics: tuple[str, ...]
    draw: Callable[[Axes, dict[str, Runs]], None]
    needed: int = 0
    unless: str = ""

    def chosen(self, runs: Mapping[str, Runs]) -> list[str]:
        """The metrics that are there to be drawn; none if the panel is to be left out."""
        if self.unless in runs:
            return []
        names = [
            name
            for metric in self.metrics
            for name in runs
            if name == metric or (metric.endswith("_") and name.startswith(metric))
        ]
        seen = [name for name in names if np.isfinite(runs[name]).any()]
        return seen if {*self.metrics[: self.needed]} <= {*seen} else []


_LABELS = {
    "gradient_cosine": "examples to their mean",
    "step_cosine": "successive steps",
    "clipped_examples": "examples",
    "clipped_steps": "steps",
    "clipped_entries": "entries of the gradient",
}
_LINES = ("-", "--", "-.", ":")


def _draw_lines(
    axes: Axes, runs: dict[str, Runs], *, log: bool = False, marks: Mapping[float, str] = {}
) -> None:
    """A line for each metric; ``marks`` are heights that mean something, and what."""
    for place, (name, values) in enumerate(runs.items()):
        label = _LABELS.get(name, name.partition("_norm_")[2]) if len(runs) > 1 else None
        colour = COLOURS[place % len(COLOURS)]
        _draw_runs(axes, values, color=colour, linestyle=_LINES[place % len(_LINES)], label=label)
    for height, meaning in marks.items():
        _mark(axes, height, meaning)
    _set_range(axes, list(runs.values()), log=log, heights=[*marks] if log else [0.0, *marks])
    if len(runs) > 1:
        _legend(axes)


def _draw_shares(axes: Axes, runs: dict[str, Runs]) -> None:
    _draw_lines(axes, runs)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))


def _draw_norms(axes: Axes, runs: dict[str, Runs]) -> None:
    """The spread of the examples' norms as bands, and the norm of their mean."""
    line = {name: _mean_of_seeds(_running_mean(values)) for name, values in runs.items()}
    step = np.arange(1, len(line["example_norm_median"]) + 1)
    for low, high, alpha, label in (
        ("min", "max", 0.15, "all examples"),
        ("q25", "q75", 0.35, "middle half"),
    ):
        low, high = line[f"example_norm_{low}"], line[f"example_norm_{high}"]
        axes.fill_between(step, low, high, color=BLUE, alpha=alpha, lw=0, label=label)
    axes.plot(step, line["example_norm_median"], color=BLUE, label="median")
    if "gradient_norm" in line:
        axes.plot(step, line["gradient_norm"], "--", color=ORANGE, label="mean gradient")
    # Examples learned long ago have norms of nearly 0, whose exact size tells nothing.
    lowest = 0.1 * np.nanmin(line["example_norm_q25"])
    ranges = [np.maximum(values, lowest) for values in line.values()]
    _set_range(axes, [np.stack(ranges)], log=True)
    _legend(axes, ncols=2)


def _draw_noise_scale(axes: Axes, runs: dict[str, Runs]) -> None:
    """The ratio of means over a tenth of the run, beside the batch that was taken."""
    variance, squared, *examples = runs.values()

    def scale(variance, squared):
        return np.asarray(diagnostics.noise_scale(jnp.asarray(variance), jnp.asarray(squared)))

    _draw_ratio(axes, scale, variance, squared)
    axes.set_ylabel("examples")
    if examples:
        _mark(axes, float(np.nanmax(examples)), "batch")
    _set_range(axes, [np.asarray(line.get_ydata()) for line in axes.lines], log=True)


def _draw_alpha(axes: Axes, runs: dict[str, Runs]) -> None:
    """Where the steps end on the parabola: the ratio of means over a tenth of the run."""

    def end(slope, bend):
        return np.asarray(diagnostics.alpha(jnp.asarray(slope), jnp.asarray(bend)))

    _draw_ratio(axes, end, *runs.values())
    for height, meaning in {-1.0: "start", 0.0: "bottom", 1.0: "as high\nagain"}.items():
        _mark(axes, height, meaning)
    _set_range(axes, [np.asarray(line.get_ydata()) for line in axes.lines])


def _draw_ratio(axes: Axes, ratio: Callable, first: Runs, second: Runs) -> None:
    """A ratio of means over a tenth of the run and all seeds; pale, of each seed."""
    first, second = _running_mean(first, 10), _running_mean(second, 10)
    step = np.arange(1, first.shape[1] + 1)
    if len(first) > 1:
        axes.plot(step, ratio(first, second).T, color=BLUE, alpha=0.25, lw=0.8)
    axes.plot(step, ratio(_mean_of_seeds(first), _mean_of_seeds(second)), color=BLUE)


def _draw_classes(axes: Axes, runs: dict[str, Runs]) -> None:
    """Shares stacked upon each other, over a tenth of the run, and a legend in their order."""
    shares = np.stack([_mean_of_seeds(_running_mean(values, 10)) for values in runs.values()])
    axes.stackplot(
        np.arange(1, shares.shape[1] + 1),
        shares,
        colors=matplotlib.colormaps["cividis"](np.linspace(0.1, 1, len(shares))),
        labels=[name.removeprefix("class_share_") for name in runs],
        edgecolor="white",
        lw=0.4,
    )
    axes.legend(fontsize=7, reverse=True, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.margins(x=0)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))


def _draw_runs(axes: Axes, values: Runs, **style: Any) -> None:
    """The running mean of one run over its pale values, or of several with their interval."""
    means = _running_mean(values)
    step = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        draw_band(axes, step, means, **style)
    else:
        axes.plot(step, values[0], color=style["color"], alpha=0.25, lw=0.7)
        axes.plot(step, means[0], **style)


def _window(steps: int, parts: int = 40) -> int:
    return max(1, steps // parts)


def _running_mean(values: Runs, parts: int = 40) -> Runs:
    """Centred means over one of so many parts of each row; what is not finite does not count."""
    window = np.ones(_window(values.shape[1], parts))
    finite = np.isfinite(values)

    def sums(rows):
        return np.stack([np.convolve(row, window, "same") for row in rows.astype(np.float64)])

    counts = np.maximum(sums(finite), 1)
    return np.where(finite, sums(np.where(finite, values, 0)) / counts, np.nan)


def _mean_of_seeds(values: Runs) -> Float[np.ndarray, " steps"]:
    """The mean of those that are finite; NaN where none is, without a warning."""
    finite = np.isfinite(values)
    counts = finite.sum(axis=0)
    sums = np.where(finite, values, 0).sum(axis=0)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def _mark(axes: Axes, height: float, meaning: str) -> None:
    """A thin line across, and beside it what it means."""
    axes.axhline(height, color=GREY, lw=0.9, ls=":")
    axes.annotate(
        meaning,
        (1.01, height),
        xycoords=("axes fraction", "data"),
        fontsize=8,
        color=GREY,
        va="center",
    )


def _legend(axes: Axes, **options: Any) -> None:
    axes.legend(fontsize=8, frameon=True, framealpha=0.8, edgecolor="none", **options)


def _set_range(
    axes: Axes, values: Sequence[np.ndarray], *, log: bool = False, heights: Sequence[float] = ()
) -> None:
    """Shows ``heights`` and all but the outermost hundredths of the values."""
    ends = [np.nanpercentile(of, (1, 99)) for of in values if np.isfinite(of).any()]
    if not (len(ends) or len(heights)):
        return
    low, high = np.min([*np.ravel(ends), *heights]), np.max([*np.ravel(ends), *heights])
    if log and low > 0:
        make_logarithmic(axes.yaxis, (1,) if high > 1000 * low else (1, 2, 5))
        axes.set_ylim(low / (high / low) ** 0.08 / 1.05, high * (high / low) ** 0.08 * 1.05)
    else:
        margin = 0.08 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)


_draw_log = functools.partial(_draw_lines, log=True)
_PANELS = (
    _Panel("loss", ("loss",), _draw_log),
    _Panel("accuracy", ("accuracy",), _draw_shares),
    _Panel("learning rate", ("learning_rate",), _draw_lines),
    _Panel(
        "gradient norm of each example",
        (*(f"example_norm_{k}" for k in diagnostics.FIVE_NUMBERS), "gradient_norm"),
        _draw_norms,
        needed=5,
    ),
    _Panel("gradient norm", ("gradient_norm",), _draw_log, unless="example_norm_median"),
    _Panel(
        "gradient noise scale",
        ("gradient_variance", "squared_gradient", "examples"),
        _draw_noise_scale,
        needed=2,
    ),
    _Panel(
        "cosines",
        ("gradient_cosine", "step_cosine"),
        functools.partial(_draw_lines, marks={0.0: "right\nangle"}),
    ),
    _Panel("step length", ("step_length",), _draw_log),
    _Panel("distance from start", ("distance_from_start",), _draw_lines),
    _Panel("mean gradient norm by layer", ("layer_norm_",), _draw_log),
    _Panel("curvature along the step", ("curvature",), _draw_lines),
    _Panel(
        "end of the steps on the parabola along them",
        ("step_slope", "step_bend"),
        _draw_alpha,
        needed=2,
    ),
    _Panel("clipped", ("clipped_examples", "clipped_steps", "clipped_entries"), _draw_shares),
    _Panel("share of each class in the gradient norms", ("class_share_",), _draw_classes),
)
