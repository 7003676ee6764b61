"""A network too large for its data, with and without dropout, and as an ensemble of its masks."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from jaxdl import data, losses, models, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.statistics import is_above_zero, write_interval
from jaxdl.sweep import SweepFn, cpu_piece
from jaxdl.types import Examples, Model, Number, Params, Static

INPUT_RATE, HIDDEN_RATE = 0.2, 0.5
"""Of dropout: those of Srivastava et al. 2014, appendix A.4. Nothing here was tuned for them."""
BATCH, RATE = 50, 1e-3
ENOUGH, TOO_FEW = 1000, 250
"""Numbers of digits from which on dropout is to help, and to which it is not to be enough."""
SURE = 10
"""Seeds from which on accuracies are compared: they differ by a few of the test images."""
NEAR = 0.005
"""How near to the scaled network's the accuracy of many masks is to come."""


class Plan(NamedTuple):
    """What is static in a run; see `experiments.dropout.Config`.

    Attributes:
        width: of the hidden layer.
        length: examples in an epoch, some of them more than once where there are fewer.
        epochs: how many.
        passes: numbers of masks that are averaged, ascending.
    """

    width: int
    length: int
    epochs: int
    passes: tuple[int, ...]


class Member(NamedTuple):
    """Numbers of a run: examples to learn from, rates of dropout."""

    examples: Number
    inputs: Number
    hidden: Number


class Found(NamedTuple):
    """What a run ends with, the network scaled.

    Attributes:
        loss: of the test images after each epoch, ``(epochs,)``.
        accuracy: the same.
        training_loss: of the examples that were learnt from, after each epoch, with masks.
        ensemble: accuracy of the mean probabilities of so many masks, ``(passes,)``.
    """

    loss: Array
    accuracy: Array
    training_loss: Array
    ensemble: Array


class Pair(NamedTuple):
    """The runs from as many examples, without dropout and with it, a row for each seed."""

    without: Found
    with_it: Found

    def gain(self) -> Float[np.ndarray, " seeds"]:
        """By how much dropout raises the accuracy at the end."""
        return np.asarray(self.with_it.accuracy[:, -1] - self.without.accuracy[:, -1], float)

    def fall(self) -> Float[np.ndarray, " seeds"]:
        """By how much it lowers the loss of the best epoch."""
        return np.asarray(self.without.loss.min(axis=1) - self.with_it.loss.min(axis=1), float)

    def rise(self) -> Float[np.ndarray, " seeds"]:
        """By how much its loss at the end is above that of the best epoch without it."""
        return np.asarray(self.with_it.loss[:, -1] - self.without.loss.min(axis=1), float)


def measure(
    sweep_fn: SweepFn,
    dataset: data.Dataset,
    plan: Plan,
    sizes: Sequence[int],
    *,
    seeds: int,
    seed: int,
) -> dict[int, Pair]:
    """Trains from each number of examples, each seed with examples of its own.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        dataset: digits.
        plan: of all runs.
        sizes: numbers of examples.
        seeds: runs of each kind.
        seed: of all.
    """
    rates = ((0.0, 0.0), (INPUT_RATE, HIDDEN_RATE))
    members = np.array([(size, *of) for size in sizes for of in rates], np.float32)
    found = sweep_fn(
        Partial(train_once, Static(plan), dataset.train, dataset.test),
        jax.random.split(jax.random.key(seed), seeds),
        Member(*map(jnp.asarray, members.T)),
        piece_size=cpu_piece(seeds),
    )
    each = [jax.tree.map(lambda of, i=i: of[i], found) for i in range(len(members))]
    return dict(zip(sizes, map(Pair, each[::2], each[1::2]), strict=True))


def train_once(
    plan: Static[Plan], examples: Examples, test: Examples, key: Key[Array, ""], member: Member
) -> Found:
    """One run: the same key has the same examples, start and order, whatever the rates."""
    width, length, epochs, passes = plan.value
    of_choice, of_run, of_masks = jax.random.split(key, 3)
    order = jax.random.permutation(of_choice, len(examples.targets))
    chosen = data.repeat_first(examples, order, member.examples, length)
    model = models.mlp(
        [width], classes=10, dropout_rate=member.hidden, input_dropout_rate=member.inputs
    )
    loss_fn = losses.classification_loss(model)
    optimizer = optim.make_optimizer(OptimizerConfig("adam", RATE))
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(of_run, model, optimizer, chosen.inputs[:1])
    fitted, history = train.fit(
        update,
        state,
        chosen,
        epochs=epochs,
        batch_size=BATCH,
        loss_fn=loss_fn,
        evaluations={"test": test},
    )
    average = partial(ensemble_accuracies, model, passes)
    ensemble = lax.cond(
        member.hidden > 0,
        average,
        lambda *_: jnp.full(len(passes), jnp.nan),  # all masks are one
        fitted.train.params,
        test,
        of_masks,
    )
    seen = history.epochs
    return Found(seen["test_loss"], seen["test_accuracy"], seen["loss"], ensemble)


def ensemble_accuracies(
    model: Model, passes: tuple[int, ...], params: Params, test: Examples, key: Key[Array, ""]
) -> Float[Array, " passes"]:
    """Of the mean probabilities of the first so many masks, each drawn anew for each image."""

    def add(total: Array, key: Key[Array, ""]):
        keys = jax.random.split(key, len(test.targets))
        logits, _ = model.apply(params, {}, test.inputs, keys)
        total = total + jax.nn.softmax(logits)
        return total, jnp.mean(total.argmax(axis=1) == test.targets)

    start = jnp.zeros((len(test.targets), 10))
    _, accuracies = lax.scan(add, start, jax.random.split(key, passes[-1]))
    return accuracies[np.array(passes) - 1]


def summary(pair: Pair) -> dict[str, Any]:
    """Means over seeds, for ``summary.json``."""
    return {
        name: {
            "test_accuracy": of.accuracy[:, -1].mean(),
            "test_loss": of.loss[:, -1].mean(),
            "lowest_test_loss": of.loss.min(axis=1).mean(),
            "training_loss": of.training_loss[:, -1].mean(),
        }
        for name, of in (("without", pair.without), ("with", pair.with_it))
    }


# --- what is claimed -----------------------------------------------------------------------------


def claims(plan: Plan, found: dict[int, Pair]) -> list[Claim]:
    """What dropout is good for, and where it is not enough."""
    most = found[max(found)]
    large = {size: pair for size, pair in found.items() if size >= ENOUGH}
    small = {size: pair for size, pair in found.items() if size <= TOO_FEW}
    made = [ensemble_claim(plan.passes, most.with_it)]
    if large:
        made.append(loss_claim(large))
    if large and len(most.gain()) >= SURE:
        made.append(accuracy_claim(large))
    if small:
        made.append(too_few_claim(small))
    return made


def loss_claim(found: dict[int, Pair]) -> Claim:
    """At the best epoch of both: to stop there is a remedy too."""
    return Claim(
        "dropout lowers the loss of a network too large for its data, at the best epoch of each",
        all(is_above_zero(pair.fall()) for pair in found.values()),
        "; ".join(
            f"of {size:,} digits {write_interval(pair.with_it.loss.min(axis=1), '.3f')}, without "
            f"{pair.without.loss.min(axis=1).mean():.3f}: lower by "
            f"{write_interval(pair.fall(), '.3f')}; in the end "
            f"{pair.with_it.loss[:, -1].mean():.3f} and {pair.without.loss[:, -1].mean():.3f}"
            for size, pair in found.items()
        ),
    )


def accuracy_claim(found: dict[int, Pair]) -> Claim:
    """At the end of both."""
    return Claim(
        "with dropout it is right more often",
        all(is_above_zero(pair.gain()) for pair in found.values()),
        "; ".join(
            f"of {size:,} digits {write_interval(pair.with_it.accuracy[:, -1], '.2%')} of the test "
            f"images, without {write_interval(pair.without.accuracy[:, -1], '.2%')}: more by "
            f"{write_interval(pair.gain(), '.2%')}"
            for size, pair in found.items()
        ),
    )


def too_few_claim(found: dict[int, Pair]) -> Claim:
    """The masks' noise is learnt by heart too."""
    return Claim(
        "of too few digits it is no remedy against learning them by heart",
        all(is_above_zero(pair.rise()) for pair in found.values()),
        "; ".join(
            f"of {size:,} digits it ends above the best epoch without by "
            f"{write_interval(pair.rise(), '.3f')}, at a training loss of "
            f"{pair.with_it.training_loss[:, -1].mean():.4f} with masks"
            for size, pair in found.items()
        ),
    )


def ensemble_claim(passes: Sequence[int], found: Found) -> Claim:
    """One pass beside many."""
    scaled = found.accuracy[:, -1]
    lacking = np.asarray(scaled[:, None] - found.ensemble, float)
    return Claim(
        "averaged over ever more masks its accuracy rises to that of the scaled network",
        is_above_zero(lacking[:, 0]) and abs(lacking[:, -1].mean()) < NEAR,
        f"{', '.join(f'{mean:.2%}' for mean in found.ensemble.mean(axis=0))} with "
        f"{', '.join(map(str, passes))} masks, scaled {write_interval(scaled, '.2%')}; the last "
        f"lack {write_interval(lacking[:, -1], '+.2%')}, expected less than {NEAR:.1%}",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_sizes(plan: Plan, found: dict[int, Pair]) -> Figure:
    """The course of the loss from each number of digits; what dropout gains in the end."""
    figure = Figure(figsize=(3.2 * len(found) + 3.4, 4.1), layout="constrained")
    *all_axes, last = figure.subplots(1, len(found) + 1)
    for axes, (size, pair) in zip(all_axes, found.items(), strict=True):
        draw_courses(axes, plan, pair)
        axes.set_title(f"{size:,} digits")
    all_axes[0].set_ylabel("cross-entropy (nats)")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(2 * len(found), 4))
    gains = 100 * np.stack([pair.gain() for pair in found.values()], axis=1)
    plots.draw_errorbars(last, np.array(list(found)), gains, color=plots.BLUE, marker="o", ls="")
    last.axhline(0, color="black", lw=1)
    last.set(xscale="log", xlabel="digits learnt from", title="in the end, 95% intervals")
    last.set(ylabel="gain in test accuracy by dropout (points)")
    last.set_xticks(list(found), [f"{size:,}" for size in found])
    last.minorticks_off()
    return figure


def draw_courses(axes: Axes, plan: Plan, pair: Pair) -> None:
    """The loss of test images, and of the digits that are learnt from as they are met."""
    updates = plan.length / BATCH * np.arange(1, plan.epochs + 1)
    styles = ((plots.RED, "--", "without dropout"), (plots.BLUE, "-", "with dropout"))
    for of, (colour, style, label) in zip(pair, styles, strict=True):
        plots.draw_band(axes, updates, of.loss, color=colour, ls=style, label=f"test, {label}")
    for of, (colour, _, label) in zip(pair, styles, strict=True):
        training = of.training_loss.mean(axis=0)
        axes.plot(updates, training, ":", color=colour, lw=1.2, label=f"learnt from, {label}")
    axes.set(xlabel="updates", ylim=(0, 2 * pair.without.loss[:, -1].mean()))


@plots.styled
def draw_ensemble(plan: Plan, found: dict[int, Pair]) -> Figure:
    """Accuracy against the number of masks."""
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.subplots()
    size = max(found)
    of = found[size].with_it
    plots.draw_errorbars(
        axes,
        np.array(plan.passes),
        of.ensemble,
        color=plots.BLUE,
        marker="o",
        label="mean over masks",
    )
    scaled = float(of.accuracy[:, -1].mean())
    axes.axhline(scaled, color=plots.RED, ls="--", label="scaled network, one pass")
    axes.set_xscale("log")
    axes.set_xticks(plan.passes, map(str, plan.passes))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(xlabel="masks averaged", ylabel="accuracy on test images")
    axes.set_title(f"{size:,} digits, 95% intervals over seeds")
    axes.legend(loc="lower right")
    return figure
