"""Each activation as a function: its values, its slope, its range, and where it is flat."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.nn import ACTIVATIONS

INFINITY = float("inf")
X = (np.arange(20_000) - 9_999.5) / 250
"""From -40 to 40, without 0, where some have no slope."""
EXACT = 1e-12
"""How far slopes in float64 may be from their formulas."""
NEAR = 1e-4
"""How near the ends of a range, and the steepest slope, are to be to the table's."""

Values = Float[np.ndarray, " points"]


class Shape(NamedTuple):
    """What is known of an activation.

    Attributes:
        slope: its derivative, by its formula.
        low: lower end of its range.
        high: upper end.
        steepest: its largest slope.
        flat_below: whether its slope comes to 0 far below 0.
        flat_above: the same above.
    """

    slope: Callable[[Values], Values]
    low: float
    high: float
    steepest: float
    flat_below: bool
    flat_above: bool


def _sigmoid(x: Values) -> Values:
    return 1 / (1 + np.exp(-x))


def _sigmoid_slope(x: Values) -> Values:
    return np.exp(-np.abs(x)) / np.square(1 + np.exp(-np.abs(x)))


def _gelu_slope(x: Values) -> Values:
    """Of ``x (1 + tanh u) / 2`` with ``u = sqrt(2 / pi) (x + 0.044715 x^3)``."""
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x * (1 - np.square(t)) * c * (1 + 3 * 0.044715 * np.square(x)) / 2


SHAPES = {
    "linear": Shape(np.ones_like, -INFINITY, INFINITY, 1, False, False),
    "step": Shape(np.zeros_like, 0, 1, 0, True, True),
    "sign": Shape(np.zeros_like, -1, 1, 0, True, True),
    "sigmoid": Shape(_sigmoid_slope, 0, 1, 1 / 4, True, True),
    "tanh": Shape(lambda x: 1 / np.square(np.cosh(x)), -1, 1, 1, True, True),
    "relu": Shape(lambda x: np.where(x > 0, 1.0, 0.0), 0, INFINITY, 1, True, False),
    "leaky_relu": Shape(lambda x: np.where(x > 0, 1, 0.01), -INFINITY, INFINITY, 1, False, False),
    "elu": Shape(lambda x: np.exp(np.minimum(x, 0)), -1, INFINITY, 1, True, False),
    "gelu": Shape(_gelu_slope, -0.1700, INFINITY, 1.1290, True, False),
    "silu": Shape(
        lambda x: _sigmoid(x) + x * _sigmoid_slope(x), -0.2785, INFINITY, 1.0998, True, False
    ),
    "softplus": Shape(_sigmoid, 0, INFINITY, 1, True, False),
}
"""Of each of `jaxdl.nn.ACTIVATIONS`, as its formula has it; to four digits where it is no number of
the formula's own: those of GELU and SiLU."""


class Curve(NamedTuple):
    """Values and slopes at `X`."""

    values: Values
    slopes: Values

    def low(self) -> float:
        """The lower end of the range, as far as `X` goes; -infinity if values go on falling."""
        return -INFINITY if self.values[0] < self.values[1] - 1e-6 else float(self.values.min())

    def high(self) -> float:
        """The upper end, likewise."""
        return INFINITY if self.values[-1] > self.values[-2] + 1e-6 else float(self.values.max())

    def steepest(self) -> float:
        """The largest slope in size."""
        return float(np.abs(self.slopes).max())

    def is_flat(self) -> tuple[bool, bool]:
        """Whether the slope comes to 0 far below and far above 0."""
        below, above = np.abs(self.slopes[[0, -1]]) < 1e-3
        return bool(below), bool(above)


def measure() -> dict[str, Curve]:
    """Of each activation, in float64: values, and slopes by `jax.grad`."""

    @jax.jit
    def both(x):
        return {
            name: (jax.vmap(activation)(x), jax.vmap(jax.grad(activation))(x))
            for name, activation in ACTIVATIONS.items()
        }

    found = both(jnp.asarray(X))
    return {name: Curve(*map(np.asarray, found[name])) for name in SHAPES}


def curves_claim(found: dict[str, Curve]) -> Claim:
    """As the table has them."""
    off = {
        name: float(np.abs(of.slopes - SHAPES[name].slope(X)).max()) for name, of in found.items()
    }
    worst = max(off, key=lambda name: off[name])
    return Claim(
        "slope, range and flat sides of each activation are those of the textbook",
        off[worst] < EXACT and all(is_as_known(of, SHAPES[name]) for name, of in found.items()),
        f"{len(found)} activations at {len(X):,} points: slopes by autodiff off by "
        f"{off[worst]:.0e} at most ({worst}), expected below {EXACT:.0e}; steepest "
        + ", ".join(f"{name} {of.steepest():.4f}" for name, of in found.items())
        + "; lowest "
        + ", ".join(f"{name} {of.low():.4f}" for name, of in found.items() if np.isfinite(of.low()))
        + f", expected to {NEAR:g} as in the table; flat on both sides "
        + ", ".join(name for name, of in found.items() if all(of.is_flat())),
    )


def is_as_known(found: Curve, known: Shape) -> bool:
    """Whether range, steepest slope and flat sides are."""
    measured = found.low(), found.high(), found.steepest()
    expected = known.low, known.high, known.steepest
    # Not np.allclose on infinities less infinities.
    near = all(a == b or abs(a - b) < NEAR for a, b in zip(measured, expected, strict=True))
    return near and found.is_flat() == (known.flat_below, known.flat_above)


@plots.styled
def draw(found: dict[str, Curve]) -> Figure:
    """Values and slopes of each about 0."""
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    all_axes = figure.subplots(3, 4, sharex=True)
    for axes, (name, curve) in zip(all_axes.flat, found.items(), strict=False):
        draw_curve(axes, curve)
        known = SHAPES[name]
        axes.set_title(f"{name}, range {write_end(known.low)} to {write_end(known.high)}")
    last = all_axes.flat[-1]
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    last.legend(handles, labels, loc="center", fontsize=11)
    last.axis("off")
    for axes in all_axes[-1, :-1]:
        axes.set_xlabel("x")
    return figure


def draw_curve(axes: Axes, curve: Curve) -> None:
    """One of them."""
    shown = np.abs(X) <= 6
    axes.axhline(0, color="black", lw=0.6)
    axes.axvline(0, color="black", lw=0.6)
    axes.plot(X[shown], curve.values[shown], color=plots.BLUE, label="value")
    axes.plot(X[shown], curve.slopes[shown], "--", color=plots.RED, label="slope")
    axes.set(ylim=(-1.4, 2.4), xlim=(-6, 6), yticks=[-1, 0, 1, 2])


def write_end(end: float) -> str:
    """Of a range.

    >>> write_end(INFINITY), write_end(-0.17), write_end(1)
    ('∞', '-0.17', '1')
    """
    return f"{end:g}" if np.isfinite(end) else ("∞" if end > 0 else "-∞")
