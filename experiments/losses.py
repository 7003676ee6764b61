"""Losses: what each says of the same mistakes, where it leads, and where it can be computed.

Claims:

    - The binary cross-entropy of eight predictions is that of a much copied table, to every digit,
      by logarithms to base 10; ours is the same in nats.
    - Squared error leads to the mean, absolute error to the median, which an outlier does not move,
      and Huber's loss (1964) to the one with a large delta and to the other with a small one.
    - As its formula is written, cross-entropy is infinite or NaN where a probability rounds to 0 or
      1; of logits it is exact as far as the logits go, and so is its gradient.
    - Softmax cross-entropy of two classes is the binary one of the difference of their logits.
    - A classifier by squared error that starts wrong learns nothing at first: its steps to come
      right grow exponentially with the logit, those of cross-entropy linearly.

    python -m experiments.losses            seconds, nothing is drawn at random
    python -m experiments.losses --quick    the same
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import cli, losses, plots
from jaxdl.claims import Claim, conclude
from jaxdl.runs import ExperimentOptions, check_no_diagnostics, open_run

ACTUAL = np.array([1, 1, 1, 0, 0, 1, 1, 0])
PREDICTED = np.array([0.94, 0.90, 0.78, 0.56, 0.51, 0.47, 0.32, 0.10])
CORRECTED = (0.94, 0.90, 0.78, 0.44, 0.49, 0.47, 0.32, 0.90)
"""The table's probabilities of what is the case."""
LOGARITHMS = (
    *("-0.0268721464", "-0.0457574906", "-0.1079053973", "-0.3565473235"),
    *("-0.30980392", "-0.3279021421", "-0.4948500217", "-0.0457574906"),
)
"""And their logarithms to base 10, as it prints them."""
TARGETS = np.array([1.0, 1.2, 1.9, 2.3, 2.4, 3.1, 3.3])
OUTLIER = 30.0
DELTAS = (1e-3, 0.1, 0.5, 2.0, 10.0, 1e3)
WRONG_LOGITS = np.arange(2.0, 11.0)
"""How wrong classifiers start: the logit of the class that is not the case."""
STEPS = 200_000
RATE = 1.0
SMALLEST = float(np.finfo(np.float32).tiny)
LOGITS = np.array([-1000.0, -100.0, -20.0, -5.0, 0.0, 5.0, 20.0, 100.0, 1000.0])


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """There is nothing to set."""


QUICK = Config(quick=True)


def run(config: Config) -> None:
    """Computes, draws, and checks each claim, in float64 but for what is to overflow."""
    check_no_diagnostics(config)
    with jax.enable_x64(True), open_run("losses", config) as directory:
        table = make_table()
        ends = {name: steps_to_come_right(name) for name in CLASSIFIERS}
        claims = [
            table_claim(table),
            location_claim(),
            stability_claim(measure_stability()),
            two_classes_claim(),
            wrong_start_claim(ends),
        ]
        drawn = {
            "errors": draw_errors(),
            "cross_entropy": draw_cross_entropy(table),
            "wrong_start": draw_wrong_start(ends),
        }
        plots.save_all(drawn, directory.figures)
        results = {
            "mean_base_10": table.mean_base_10,
            "mean_nats": table.mean_nats,
            "steps_to_come_right": ends,
        }
        conclude(directory, results, claims)


# --- the table of eight ---------------------------------------------------------------------------


class Table(NamedTuple):
    """Eight predictions and what cross-entropy says of them.

    Attributes:
        corrected: the probability given to what is the case.
        base_10: its logarithms.
        nats: the loss of each by `jaxdl.losses`, of logits.
    """

    corrected: Float[np.ndarray, " predictions"]
    base_10: Float[np.ndarray, " predictions"]
    nats: Float[np.ndarray, " predictions"]

    @property
    def mean_base_10(self) -> float:
        """The loss as the table has it."""
        return float(-self.base_10.mean())

    @property
    def mean_nats(self) -> float:
        """The same to base e."""
        return float(self.nats.mean())


def make_table() -> Table:
    """The table's way, and ours."""
    corrected = np.where(ACTUAL == 1, PREDICTED, 1 - PREDICTED)
    logits = jnp.log(PREDICTED) - jnp.log1p(-PREDICTED)
    nats = losses.sigmoid_binary_cross_entropy(logits[:, None], jnp.asarray(ACTUAL)[:, None])
    return Table(corrected, np.log10(corrected), np.asarray(nats))


def as_printed(value: float, printed: str) -> str:
    """A value to as many digits as another is printed with, that end in no 0.

    >>> as_printed(-0.30980391997, "-0.30980392")
    '-0.30980392'
    """
    return f"{value:.{len(printed.partition('.')[2])}f}"


def table_claim(table: Table) -> Claim:
    """Each digit, and both bases."""
    same = [
        as_printed(value, of) == of for value, of in zip(table.base_10, LOGARITHMS, strict=True)
    ]
    off = abs(table.mean_nats / np.log(10) - table.mean_base_10)
    return Claim(
        "the cross-entropy of the eight predictions is that of the table, to every digit",
        all(same) and np.allclose(table.corrected, CORRECTED, rtol=1e-15, atol=0) and off < 1e-14,
        f"{sum(same)} of {len(same)} logarithms; mean {table.mean_base_10:.10f} to base 10, "
        f"{table.mean_nats:.10f} nats, the same but for {off:.0e}",
    )


# --- where a loss leads --------------------------------------------------------------------------


def best_constant(example_loss, targets: Float[np.ndarray, " examples"]) -> float:
    """The prediction for all targets whose mean loss is least, by bisection of its slope."""
    shown = jnp.asarray(targets)[:, None]

    def mean_loss(prediction: Array) -> Array:
        return example_loss(jnp.full_like(shown, prediction), shown).mean()

    slope = jax.jit(jax.grad(mean_loss))
    low, high = targets.min(), targets.max()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float((low + high) / 2)


def location_claim() -> Claim:
    """The mean, the median, and what is between."""
    spoilt = np.append(TARGETS[:-1], OUTLIER)
    squared, absolute = losses.squared_error, losses.absolute_error
    means = [best_constant(squared, of) for of in (TARGETS, spoilt)]
    medians = [best_constant(absolute, of) for of in (TARGETS, spoilt)]
    between = [best_constant(Partial(losses.huber, delta=delta), spoilt) for delta in DELTAS]
    return Claim(
        "squared error leads to the mean, absolute error to the median, Huber's to either",
        np.allclose(means, [TARGETS.mean(), spoilt.mean()], atol=1e-9)
        and np.allclose(medians, [np.median(TARGETS), np.median(spoilt)], atol=1e-9)
        and np.allclose([between[0], between[-1]], [medians[1], means[1]], atol=1e-2),
        f"one of {len(TARGETS)} numbers made {OUTLIER:g}: mean {means[0]:.3f} to {means[1]:.3f}, "
        f"median {medians[0]:.3f} to {medians[1]:.3f}; Huber's at delta "
        f"{', '.join(f'{delta:g}' for delta in DELTAS)}: "
        f"{', '.join(f'{of:.3f}' for of in between)}",
    )


# --- where it can be computed --------------------------------------------------------------------


class Stability(NamedTuple):
    """Of the labels 0 and 1 at each of `LOGITS`, in float32, ``(2, logits)``.

    Attributes:
        naive: loss by the formula as it is written.
        naive_slope: its derivative by the logit.
        stable: loss by `jaxdl.losses`.
        stable_slope: its derivative.
    """

    naive: np.ndarray
    naive_slope: np.ndarray
    stable: np.ndarray
    stable_slope: np.ndarray


def naive_cross_entropy(logit: Float[Array, ""], label: Float[Array, ""]) -> Float[Array, ""]:
    """``-y log p - (1 - y) log(1 - p)`` as it is written."""
    p = 1 / (1 + jnp.exp(-logit))
    return -label * jnp.log(p) - (1 - label) * jnp.log(1 - p)


def stable_cross_entropy(logit: Float[Array, ""], label: Float[Array, ""]) -> Float[Array, ""]:
    """Ours, of one logit."""
    return losses.sigmoid_binary_cross_entropy(logit[None, None], label[None, None])[0]


def measure_stability() -> Stability:
    """Both ways for both labels."""
    logits, labels = jnp.float32(LOGITS), jnp.float32([0, 1])
    found = []
    for loss in (naive_cross_entropy, stable_cross_entropy):
        for function in (loss, jax.grad(loss)):
            of_logits = jax.vmap(function, in_axes=(0, None))
            found.append(np.asarray(jax.vmap(of_logits, in_axes=(None, 0))(logits, labels)))
    return Stability(*found)


def stability_claim(seen: Stability) -> Claim:
    """Where the formula breaks, and that ours does not."""
    exact = np.stack([np.logaddexp(0, LOGITS), np.logaddexp(0, -LOGITS)])
    slopes = np.stack([np.exp(-np.logaddexp(0, -LOGITS)), -np.exp(-np.logaddexp(0, LOGITS))])
    broken = ~(np.isfinite(seen.naive) & np.isfinite(seen.naive_slope))
    # Relative, down to the smallest normal numbers.
    off = [
        float((np.abs(ours - of) / np.maximum(np.abs(of), SMALLEST)).max())
        for ours, of in ((seen.stable, exact), (seen.stable_slope, slopes))
    ]
    return Claim(
        "as it is written cross-entropy breaks at large logits; of logits it is exact",
        bool(broken[:, np.abs(LOGITS) >= 100].any(axis=0).all()) and max(off) < 1e-5,
        f"of {broken.size} values and slopes at logits {', '.join(f'{z:g}' for z in LOGITS)} "
        f"{broken.sum()} are infinite or NaN; ours are off by {off[0]:.0e} and {off[1]:.0e} of the "
        "value",
    )


def two_classes_claim() -> Claim:
    """One formula for any number of classes."""
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(scale=20, size=(1000, 2)))
    labels = jnp.asarray(rng.integers(0, 2, 1000))
    softmax = losses.softmax_cross_entropy(logits, labels)
    binary = losses.sigmoid_binary_cross_entropy(
        (logits[:, 1] - logits[:, 0])[:, None], labels[:, None]
    )
    off = float(jnp.abs(softmax - binary).max())
    return Claim(
        "softmax cross-entropy of two classes is the binary one of the difference of logits",
        off < 1e-12,
        f"1,000 pairs of logits, off by {off:.0e} at most",
    )


# --- a classifier that starts wrong --------------------------------------------------------------


def squared_error_of_probability(logit: Float[Array, ""]) -> Float[Array, ""]:
    """Of the probability of what is the case."""
    return losses.squared_error(jax.nn.sigmoid(logit)[None, None], jnp.ones((1, 1)))[0]


def cross_entropy_of_logit(logit: Float[Array, ""]) -> Float[Array, ""]:
    """The same by cross-entropy."""
    return stable_cross_entropy(logit, jnp.ones(()))


CLASSIFIERS = {
    "squared error": squared_error_of_probability,
    "cross-entropy": cross_entropy_of_logit,
}


def steps_to_come_right(name: str) -> Int[np.ndarray, " starts"]:
    """Steps of gradient descent on a logit until it is above 0, from each wrong one."""
    slope = jax.grad(CLASSIFIERS[name])

    def descend(logit: Array) -> Array:
        def go_on(state):
            logit, steps = state
            return (logit <= 0) & (steps < STEPS)

        def step(state):
            logit, steps = state
            return logit - RATE * slope(logit), steps + 1

        return lax.while_loop(go_on, step, (logit, jnp.zeros((), int)))[1]

    return np.asarray(jax.jit(jax.vmap(descend))(-jnp.asarray(WRONG_LOGITS)))


def wrong_start_claim(ends: dict[str, Int[np.ndarray, " starts"]]) -> Claim:
    """Exponential against linear."""
    far = WRONG_LOGITS >= 5
    squared, entropy = (ends[name] for name in CLASSIFIERS)
    growth = float(np.polyfit(WRONG_LOGITS[far], np.log(squared[far]), 1)[0])
    slope = float(np.polyfit(WRONG_LOGITS[far], entropy[far], 1)[0])
    return Claim(
        "by squared error a classifier that starts wrong is stuck, by cross-entropy it is not",
        abs(growth - 1) < 0.05 and abs(slope * RATE - 1) < 0.1,
        f"from a logit of {-WRONG_LOGITS[-1]:g} {squared[-1]:,} steps against {entropy[-1]}; for "
        f"each unit of logit {np.exp(growth):.2f} times as many, expected e = 2.72, against "
        f"{slope:.2f} more, expected 1 at rate {RATE:g}",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_errors() -> Figure:
    """Losses of an error, and their slopes."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    errors = jnp.linspace(-3, 3, 301)
    curves = {
        "squared": losses.squared_error,
        "absolute": losses.absolute_error,
        "Huber, delta 1": losses.huber,
    }

    def of_error(example_loss, error: Array) -> Array:
        return example_loss(error[None, None], jnp.zeros((1, 1)))[0]

    for (name, loss), colour, style in zip(
        curves.items(), plots.COLOURS, ("-", "--", "-."), strict=False
    ):
        one = partial(of_error, loss)
        left.plot(errors, jax.vmap(one)(errors), style, color=colour, label=name)
        right.plot(errors, jax.vmap(jax.grad(one))(errors), style, color=colour, label=name)
    left.set(xlabel="prediction - target", ylabel="loss", ylim=(0, 5))
    right.set(xlabel="prediction - target", ylabel="slope of the loss", ylim=(-4, 4))
    left.legend()
    return figure


@plots.styled
def draw_cross_entropy(table: Table) -> Figure:
    """The eight predictions on the curve."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    p = np.linspace(0.02, 1, 400)
    axes.plot(p, -np.log(p), color=plots.BLUE, label="-log p, in nats")
    axes.plot(table.corrected, table.nats, "o", color=plots.RED, label="the eight predictions")
    axes.axhline(table.mean_nats, color="black", ls=":", lw=1, label=f"mean {table.mean_nats:.4f}")
    axes.set(xlabel="probability given to what is the case", ylabel="cross-entropy (nats)")
    axes.legend()
    return figure


@plots.styled
def draw_wrong_start(ends: dict[str, Int[np.ndarray, " starts"]]) -> Figure:
    """Slopes and steps against the logit."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    logits = jnp.linspace(-10, 5, 301)
    for (name, loss), colour, style in zip(
        CLASSIFIERS.items(), (plots.RED, plots.BLUE), ("--", "-"), strict=True
    ):
        slopes = -jax.vmap(jax.grad(loss))(logits)
        left.plot(logits, slopes, style, color=colour, label=name)
        right.semilogy(-WRONG_LOGITS, ends[name], f"o{style}", color=colour, label=name)
    label_wrong(left, "-slope of the loss by the logit")
    label_wrong(right, "steps of descent until it is right")
    left.legend()
    return figure


def label_wrong(axes: Axes, what: str) -> None:
    """Both have the logit below."""
    axes.set(xlabel="logit of what is the case (below 0: wrong)", ylabel=what)


if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
