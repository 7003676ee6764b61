"""A network that overfits a few digits, and what each remedy does for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxdl import data, losses, models, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.statistics import is_above_zero, mean_and_interval, write_interval
from jaxdl.sweep import SweepFn, cpu_piece
from jaxdl.types import Examples, Number, Params, Static

LEARNT, MORE, VALIDATION = 500, 2000, 500
"""Digits to learn from, four times as many, and those to choose by; every seed draws its own."""
BATCH = 50
RATES = {"sgd": 0.3, "adam": 2e-3}
BETA = 10.0
"""Of the elastic net, which is a strength times ``beta W^2 + |W|``."""


class Remedy(NamedTuple):
    """The numbers of a run; without any there is the optimizer and nothing else.

    Attributes:
        examples: how many different ones it learns from.
        l2: strength of the sum of squares in the loss.
        l1: strength of the sum of magnitudes, by proximal steps.
        l1_in_loss: the same in the loss, by its slope.
        dropout: rate in the hidden layer.
        decay: of the weights, decoupled.
    """

    examples: Number = LEARNT
    l2: Number = 0.0
    l1: Number = 0.0
    l1_in_loss: Number = 0.0
    dropout: Number = 0.0
    decay: Number = 0.0


class Kind(NamedTuple):
    """A remedy, and the range in which its strength is tried; None where it has none."""

    make: Callable[[float], Remedy]
    range: tuple[float, float] | None = None


NOTHING, L2, L1, L1_IN_LOSS = "nothing", "L2", "L1", "L1, by its slope"
EARLY, MORE_DATA, DECAY = "early stopping", "more data", "weight decay"
_OF_L2 = Kind(lambda strength: Remedy(l2=strength), (2e-4, 2e-2))
BY_DESCENT = {
    NOTHING: Kind(lambda _: Remedy()),
    L2: _OF_L2,
    L1: Kind(lambda strength: Remedy(l1=strength), (3e-5, 3e-3)),
    L1_IN_LOSS: Kind(lambda strength: Remedy(l1_in_loss=strength), (3e-5, 3e-3)),
    "elastic net": Kind(lambda strength: Remedy(l1=strength, l2=BETA * strength), (1e-5, 1e-3)),
    "dropout": Kind(lambda rate: Remedy(dropout=rate), (0.2, 0.9)),
    MORE_DATA: Kind(lambda _: Remedy(examples=MORE)),
}
BY_ADAM = {
    NOTHING: Kind(lambda _: Remedy()),
    L2: _OF_L2,
    DECAY: Kind(lambda strength: Remedy(decay=strength), (0.1, 10.0)),
}
NEIGHBOURS = 3
"""Strengths from which on the best one can have one on either side."""
REMEDIES = (L2, L1, "elastic net", "dropout", EARLY, MORE_DATA)
"""What is claimed to help."""


class Plan(NamedTuple):
    """What is static in a run.

    Attributes:
        optimizer: of `RATES`.
        width: of the hidden layer.
        epochs: of `MORE` digits.
    """

    optimizer: str
    width: int
    epochs: int

    def updates(self) -> int:
        """How many there are."""
        return self.epochs * MORE // BATCH


class Found(NamedTuple):
    """What a run ends with; with leading axes of strengths and seeds.

    Attributes:
        training: loss of the digits that it learns from, as it meets them, ``(epochs,)``.
        validation: loss of the validation digits after each epoch, ``(epochs,)``.
        test: loss of the test digits.
        accuracy: of these.
        best_test: their loss by the parameters of the epoch with the lowest validation loss.
        best_accuracy: by these parameters.
        zeros: the share of weights that are 0.
        near: the share that are 0 or no farther from it than a step of ``l1_in_loss`` goes.
        blank: the norm of those from pixels that all its digits leave blank, over that at first.
    """

    training: Array
    validation: Array
    test: Array
    accuracy: Array
    best_test: Array
    best_accuracy: Array
    zeros: Array
    near: Array
    blank: Array


class Trials(NamedTuple):
    """The runs of one remedy: its strengths, and what was found, ``(strengths, seeds)``."""

    strengths: Float[np.ndarray, " strengths"]
    found: Found

    def best(self) -> int:
        """The place of the strength whose mean validation loss in the end is lowest."""
        return int(np.argmin(self.found.validation[..., -1].mean(axis=1)))

    def strength(self) -> float:
        """The strength itself."""
        return float(self.strengths[self.best()])

    def chosen(self) -> Found:
        """The runs with it, ``(seeds,)``."""
        return jax.tree.map(lambda of: of[self.best()], self.found)


def measure(
    sweep_fn: SweepFn,
    dataset: data.Dataset,
    plan: Plan,
    kinds: Mapping[str, Kind],
    *,
    strengths: int,
    seeds: int,
    seed: int,
) -> dict[str, Trials]:
    """All remedies, each at so many strengths, from each seed: one program.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        dataset: digits.
        plan: of all runs.
        kinds: the remedies.
        strengths: how many of each.
        seeds: runs with each strength.
        seed: of all.
    """
    tried = {
        name: middles(*kind.range, strengths) if kind.range else np.zeros(1)
        for name, kind in kinds.items()
    }
    members = [kinds[name].make(value) for name, values in tried.items() for value in values]
    found = sweep_fn(
        Partial(train_once, Static(plan), dataset.train, dataset.test),
        jax.random.split(jax.random.key(seed), seeds),
        jax.tree.map(lambda *of: jnp.asarray(of, jnp.float32), *members),
        name=plan.optimizer,
        piece_size=cpu_piece(seeds),
    )
    ends = np.cumsum([len(values) for values in tried.values()])
    places = np.split(np.arange(len(members)), ends[:-1])
    return {
        name: Trials(values, jax.tree.map(lambda of, at=at: of[at], found))
        for (name, values), at in zip(tried.items(), places, strict=True)
    }


def middles(low: float, high: float, count: int) -> Float[np.ndarray, " count"]:
    """The middles of so many equal parts of a range, as logarithms go.

    >>> middles(0.01, 1.0, 2).round(3).tolist()
    [0.032, 0.316]
    """
    return np.geomspace(low, high, 2 * count + 1)[1::2]


def train_once(
    plan: Static[Plan], examples: Examples, test: Examples, key: Key[Array, ""], remedy: Remedy
) -> Found:
    """One run: the same key has the same digits, start and order, whatever the remedy."""
    name, width, epochs = plan.value
    of_choice, of_run = jax.random.split(key)
    order = jax.random.permutation(of_choice, len(examples.targets))
    learnt = data.repeat_first(examples, order, remedy.examples, MORE)
    validation = data.repeat_first(examples, order[MORE:], VALIDATION, VALIDATION)
    model = models.mlp([width], classes=10, dropout_rate=remedy.dropout)
    loss_fn = losses.classification_loss(model)
    penalty = Partial(losses.elastic_net, l1_strength=remedy.l1_in_loss, l2_strength=remedy.l2)
    optimizer = optim.proximal(
        optim.make_optimizer(OptimizerConfig(name, RATES[name], weight_decay=remedy.decay)),
        Partial(losses.soft_threshold, threshold=RATES[name] * remedy.l1),
    )
    update = train.make_update(mean_gradient(losses.with_penalty(loss_fn, penalty)), optimizer)
    state = train.init_state(of_run, model, optimizer, learnt.inputs[:1])
    fitted, history = train.fit(
        update,
        state,
        learnt,
        epochs=epochs,
        batch_size=BATCH,
        loss_fn=loss_fn,
        evaluations={"validation": validation},
    )
    params, (best, _) = fitted.train.params, train.final_params(fitted)
    seen, of_best = (train.evaluate(loss_fn, of, {}, test) for of in (params, best))
    weights = jnp.abs(jnp.concatenate([w.ravel() for w in jax.tree.leaves(params) if w.ndim > 1]))
    return Found(
        training=history.epochs["loss"],
        validation=history.epochs["validation_loss"],
        test=seen["loss"],
        accuracy=seen["accuracy"],
        best_test=of_best["loss"],
        best_accuracy=of_best["accuracy"],
        zeros=jnp.mean(weights == 0),
        near=jnp.mean(weights <= RATES[name] * remedy.l1_in_loss),
        blank=norm_from_blank(params, learnt) / norm_from_blank(state.params, learnt),
    )


def norm_from_blank(params: Params, examples: Examples) -> Float[Array, ""]:
    """Of the weights of the first layer whose pixel is blank in all of the examples."""
    is_blank = jnp.max(examples.inputs, axis=0).ravel() == 0
    return jnp.linalg.norm(jnp.where(is_blank[:, None], params["Dense_0"]["kernel"], 0))


# --- what is claimed -----------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What a remedy comes to in the end, of each seed."""

    test: Float[np.ndarray, " seeds"]
    accuracy: Float[np.ndarray, " seeds"]


def outcome(trials: Mapping[str, Trials], name: str) -> Outcome:
    """Of the chosen strength; early stopping has the runs without a remedy, at their best."""
    of = trials[NOTHING if name == EARLY else name].chosen()
    if name == EARLY:
        return Outcome(np.asarray(of.best_test), np.asarray(of.best_accuracy))
    return Outcome(np.asarray(of.test), np.asarray(of.accuracy))


def falls(trials: Mapping[str, Trials]) -> dict[str, Float[np.ndarray, " seeds"]]:
    """By how much each remedy lowers the test loss of the same seeds."""
    nothing = outcome(trials, NOTHING).test
    return {name: nothing - outcome(trials, name).test for name in REMEDIES}


def gains(trials: Mapping[str, Trials]) -> dict[str, Float[np.ndarray, " seeds"]]:
    """By how much each raises their test accuracy."""
    nothing = outcome(trials, NOTHING).accuracy
    return {name: outcome(trials, name).accuracy - nothing for name in REMEDIES}


def summary(trials: Mapping[str, Trials]) -> dict[str, dict[str, float]]:
    """Means over seeds of each remedy, for ``summary.json``."""
    outcomes = {name: outcome(trials, name) for name in (*trials, EARLY)}
    return {
        name: {
            **({} if name == EARLY else {"strength": trials[name].strength()}),
            "test_loss": float(of.test.mean()),
            "test_accuracy": float(of.accuracy.mean()),
        }
        for name, of in outcomes.items()
    }


def claims(trials: Mapping[str, Trials]) -> list[Claim]:
    """What overfitting is, what helps, and what helps most."""
    made = [overfit_claim(trials), remedies_claim(trials), more_data_claim(trials)]
    return [*made, tuning_claim(trials)] if len(trials[L1].strengths) >= NEIGHBOURS else made


def overfit_claim(trials: Mapping[str, Trials]) -> Claim:
    """A loss of next to nothing, and one that rises."""
    found, rise = trials[NOTHING].chosen(), falls(trials)[EARLY]
    training = float(found.training[:, -1].mean())
    return Claim(
        f"the network learns its {LEARNT} digits by heart, and then gets worse",
        training < 0.1 * float(found.test.mean()) and is_above_zero(rise),
        f"training loss {training:.4f}, expected below a tenth of the test loss, "
        f"{write_interval(found.test, '.3f')}, which is higher than where the validation loss was "
        f"lowest by {write_interval(rise, '.3f')}",
    )


def remedies_claim(trials: Mapping[str, Trials]) -> Claim:
    """In loss; accuracies beside it."""
    return Claim(
        "each remedy lowers the test loss",
        all(is_above_zero(fall) for fall in falls(trials).values()),
        "; ".join(
            f"{name} by {write_interval(fall, '.3f')} (accuracy {write_interval(gain, '+.2%')})"
            for (name, fall), gain in zip(
                falls(trials).items(), gains(trials).values(), strict=True
            )
        ),
    )


def more_data_claim(trials: Mapping[str, Trials]) -> Claim:
    """Against each of the others."""
    fall = falls(trials)
    beyond = {name: fall[MORE_DATA] - of for name, of in fall.items() if name != MORE_DATA}
    nearest = min(beyond, key=lambda name: beyond[name].mean())
    return Claim(
        "four times as many digits lower it most",
        all(is_above_zero(of) for of in beyond.values()),
        f"by {write_interval(fall[MORE_DATA], '.3f')}, next {nearest}, by "
        f"{write_interval(beyond[nearest], '.3f')} less",
    )


def tuning_claim(trials: Mapping[str, Trials]) -> Claim:
    """Of all remedies that have a strength."""
    tuned = {name: of for name, of in trials.items() if len(of.strengths) > 1}
    return Claim(
        "the best strength of each remedy lies inside of those tried",
        all(0 < of.best() < len(of.strengths) - 1 for of in tuned.values()),
        "; ".join(
            f"{name} {of.strength():.2g} of {of.strengths[0]:.2g} to {of.strengths[-1]:.2g}"
            for name, of in tuned.items()
        ),
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_remedies(trials: Mapping[str, Trials]) -> Figure:
    """Against the runs of the same seeds without a remedy."""
    lowered, raised = falls(trials), gains(trials)
    names = sorted(REMEDIES, key=lambda name: lowered[name].mean())
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    draw_rows(left, [lowered[name] for name in names])
    draw_rows(right, [100 * raised[name] for name in names])
    left.set_yticks(range(len(names)), names)
    left.set(xlabel="test loss lowered by (nats)")
    left.xaxis.set_major_locator(MaxNLocator(5))
    right.set(xlabel="test accuracy raised by (points)")
    title = f"{LEARNT} digits, strengths chosen on {VALIDATION} others, 95% intervals over seeds"
    figure.suptitle(title)
    return figure


def draw_rows(axes: Axes, values: Sequence[Float[np.ndarray, " seeds"]]) -> None:
    """A mean and its interval in each row."""
    means, bars = np.transpose([mean_and_interval(of) for of in values])
    axes.errorbar(means, range(len(values)), xerr=bars, fmt="o", color=plots.BLUE, capsize=3)
    axes.axvline(0, color="black", lw=1)


@plots.styled
def draw_courses(trials: Mapping[str, Trials]) -> Figure:
    """Losses in the course of training."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    nothing = trials[NOTHING].chosen()
    updates = MORE / BATCH * np.arange(1, nothing.training.shape[1] + 1)
    shown = (NOTHING, L2, L1, "dropout", MORE_DATA)
    for name, colour, style in zip(shown, plots.COLOURS, ("-", "--", "-.", ":", "-"), strict=True):
        course = trials[name].chosen().validation.mean(axis=0)
        axes.plot(updates, course, style, color=colour, label=f"validation: {name}")
    course = nothing.validation.mean(axis=0)
    place = int(course.argmin())
    axes.plot(updates[place], course[place], "k*", ms=11, label="validation: early stopping")
    axes.plot(updates, nothing.training.mean(axis=0), "k-", lw=1, label="training: nothing")
    axes.set(xlabel="updates", ylabel="cross-entropy (nats)", ylim=(0, 2 * course[-1]))
    axes.set_title(f"{LEARNT} digits, means over {len(nothing.test)} seeds")
    axes.legend(ncols=2, loc="upper right")
    return figure
