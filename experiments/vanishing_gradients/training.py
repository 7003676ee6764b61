"""Networks that learn, or do not: which of their weights move, and what clipping saves."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from experiments.vanishing_gradients.networks import CLASSES, HE, XAVIER, network
from jaxdl import losses, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.data import Dataset
from jaxdl.gradients import mean_gradient
from jaxdl.models.deep_mlp import DeepParams, Layer
from jaxdl.models.mean_field import expected_signals
from jaxdl.optim import ClipConfig, OptimizerConfig
from jaxdl.statistics import lowest_mean, mean_and_interval, write_interval, write_share
from jaxdl.sweep import SweepFn
from jaxdl.types import Examples, Static

DEPTH, WIDTH, BATCH, MOMENTUM = 10, 64, 100, 0.9
RATES = (0.1, 0.03, 0.01)
EXPLODING = 6.0
"""A gain by which a layer of ReLU triples squared gradients."""
CLIP_NORM = 1.0
LEARNT = 0.5
"""Test accuracy; a guess has 0.1."""
STILL, ALIKE = 1e-3, 10.0
"""What the least moved layer's change is of the most moved one's, and their ratio, at the most."""


class Case(NamedTuple):
    """A network and how it is trained.

    Attributes:
        layer: what its hidden layers do.
        gain: of its kernels at the start.
        clip_norm: the longest gradient that an update gets.
    """

    layer: Layer
    gain: float
    clip_norm: float = np.inf


PLAIN, RELU, FREE, CLIPPED = "sigmoid", "relu", "relu, exploding", "relu, exploding, clipped"
CASES = {
    PLAIN: Case(Layer("sigmoid"), XAVIER),
    "sigmoid, batch norm": Case(Layer("sigmoid", "batch"), XAVIER),
    "sigmoid, residual": Case(Layer("sigmoid", is_residual=True), XAVIER),
    RELU: Case(Layer("relu"), HE),
    FREE: Case(Layer("relu"), EXPLODING),
    CLIPPED: Case(Layer("relu"), EXPLODING, CLIP_NORM),
}
EXPLODING_CASES = (RELU, FREE, CLIPPED)


class Member(NamedTuple):
    """Numbers of a run: of one program.

    Attributes:
        gain: of the kernels.
        rate: of gradient descent.
        clip_norm: the longest gradient that an update gets.
    """

    gain: Any
    rate: Any
    clip_norm: Any


class Learned(NamedTuple):
    """Of each run.

    Attributes:
        loss: of the last epoch; NaN where the run has failed.
        accuracy: on the test set; 0 where it has failed.
        moved: how far each hidden layer's kernel has come, in those of its own norm at the start,
            ``(..., depth)``.
    """

    loss: Any
    accuracy: Any
    moved: Any


def measure(
    sweep_fn: SweepFn,
    cases: Sequence[str],
    dataset: Dataset,
    *,
    epochs: int,
    keys: Key[Array, " seeds"],
) -> dict[str, Learned]:
    """Some of `CASES` at each rate, ``(rates, seeds)``; those of one layer are one program.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        cases: by name.
        dataset: its pixels are standardized.
        epochs: of each run.
        keys: one for each seed.
    """
    found = {}
    for layer in dict.fromkeys(CASES[name].layer for name in cases):
        names = [name for name in cases if CASES[name].layer == layer]
        members = [
            Member(CASES[name].gain, rate, CASES[name].clip_norm)
            for name, rate in itertools.product(names, RATES)
        ]
        learned = sweep_fn(
            Partial(learn, Static((layer, epochs)), dataset.train, dataset.test),
            keys,
            Member(*(jnp.array(of) for of in zip(*members, strict=True))),
            name="_".join(names).replace(", ", "_"),
        )
        for place, name in enumerate(names):
            rows = slice(place * len(RATES), (place + 1) * len(RATES))
            found[name] = Learned(*(of[rows].astype(float) for of in learned))
    return {name: found[name] for name in cases}


def learn(
    plan: Static[tuple[Layer, int]],
    examples: Examples,
    tests: Examples,
    key: Key[Array, ""],
    member: Member,
) -> Learned:
    """One run, by gradient descent with momentum."""
    layer, epochs = plan.value
    model = network(layer, DEPTH, WIDTH, member.gain)
    loss_fn = losses.classification_loss(model)
    clip = ClipConfig(global_norm=member.clip_norm)
    config = OptimizerConfig("sgd", member.rate, {"momentum": MOMENTUM}, clip=clip)
    optimizer = optim.make_optimizer(config)
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    fitted, history = train.fit(update, state, examples, epochs=epochs, batch_size=BATCH)
    end = fitted.train
    accuracy = train.evaluate(loss_fn, end.params, end.model_state, tests)["accuracy"]
    has_failed = fitted.failed_step != train.NEVER
    return Learned(
        history.epochs["loss"][-1],
        jnp.where(has_failed, 0.0, accuracy),
        relative_change(state.params, end.params),
    )


def relative_change(before: DeepParams, after: DeepParams) -> Float[Array, " depth"]:
    """Of the kernel of each hidden layer, by its Frobenius norm."""

    def of(old: Array, new: Array) -> Array:
        return jnp.linalg.norm(new - old, axis=(-2, -1)) / jnp.linalg.norm(old, axis=(-2, -1))

    first = of(before.first.kernel, after.first.kernel)
    return jnp.append(first, of(before.hidden.kernel, after.hidden.kernel))


def best(learned: Learned) -> int:
    """The place of the rate with the lowest loss, the mean of the seeds."""
    return int(lowest_mean(learned.loss))


def moved(learned: Learned) -> Float[np.ndarray, "seeds depth"]:
    """At that rate."""
    return learned.moved[best(learned)]


# --- what is claimed -----------------------------------------------------------------------------


def moved_claim(found: Mapping[str, Learned]) -> Claim:
    """Which weights of sigmoid's network move, and of those that are cured."""
    cured = [name for name in found if name not in (PLAIN, FREE, CLIPPED)]
    changes = {name: np.exp(np.log(moved(found[name])).mean(axis=0)) for name in (PLAIN, *cured)}
    accuracies = {name: found[name].accuracy[best(found[name])] for name in changes}
    spreads = {name: of.max() / of.min() for name, of in changes.items()}
    layers = [CASES[PLAIN].gain] * DEPTH
    foretold = expected_signals(CASES[PLAIN].layer, layers).factors.mean() ** 0.5
    factor = (changes[PLAIN][1] / changes[PLAIN][-1]) ** (1 / (DEPTH - 2))
    return Claim(
        "under sigmoid only the weights of the last layers move, and nothing is learnt; of cured "
        "networks all move and all learn",
        bool(
            1 / spreads[PLAIN] < STILL
            and accuracies[PLAIN].max() < 2 / CLASSES
            and all(spreads[name] < ALIKE and accuracies[name].min() > LEARNT for name in cured)
        ),
        f"relative change of the kernels of sigmoid {changes[PLAIN].min():.1e} at the least and "
        f"{changes[PLAIN].max():.1e} at the most (ratio expected below {STILL:g}), {factor:.2f} of "
        f"it a layer further back, {foretold:.2f} at the start by theory; accuracy "
        f"{write_interval(accuracies[PLAIN], '.0%')}; ratio of the most to the least moved layer "
        f"(expected below {ALIKE:g}) and accuracy (expected above {LEARNT:.0%}): "
        + "; ".join(
            f"{name} {spreads[name]:.1f}, {write_interval(accuracies[name], '.0%')}"
            for name in cured
        ),
    )


def clipping_claim(found: Mapping[str, Learned]) -> Claim:
    """Of the exploding network, every run at each rate; He's start learns at the best of them."""
    lost = found[FREE].accuracy <= 2 / CLASSES
    clipped = found[CLIPPED].accuracy[best(found[CLIPPED])]
    usual = found[RELU].accuracy
    mean, half_width = mean_and_interval(clipped)
    return Claim(
        "where squared gradients triple a layer, training fails at each usual rate, from every "
        "seed, and learns with the gradient clipped by its norm",
        bool(lost.all() and mean - half_width > LEARNT and usual[best(found[RELU])].min() > LEARNT),
        f"from gain {EXPLODING:g} no better than a guess end "
        + ", ".join(
            f"{of.sum()} of {of.size} runs at rate {rate:g}"
            for rate, of in zip(RATES, lost, strict=True)
        )
        + f", expected all (95% interval of all together {write_share(lost.ravel())}); where He's "
        f"start gets {', '.join(f'{of.mean():.0%}' for of in usual)} right, expected above "
        f"{LEARNT:.0%} at its best rate; clipped to {CLIP_NORM:g} the best rate gets "
        f"{write_interval(clipped, '.0%')}, expected above {LEARNT:.0%}",
    )


def summarize(found: Mapping[str, Learned]) -> dict[str, Any]:
    """For ``summary.json``: by network and rate."""
    return {
        name: {
            f"rate {rate:g}": {
                "accuracy": mean_and_interval(learned.accuracy[place]),
                "relative_change": np.exp(np.log(learned.moved[place]).mean(axis=0)),
            }
            for place, rate in enumerate(RATES)
        }
        for name, learned in found.items()
    }


# --- pictures ------------------------------------------------------------------------------------

STYLES: dict[str, dict[str, Any]] = {
    PLAIN: {"color": "black", "marker": "v"},
    "sigmoid, batch norm": {"color": plots.RED, "marker": "^"},
    "sigmoid, residual": {"color": plots.BLUE, "marker": "s"},
    RELU: {"color": plots.GREEN, "marker": "o"},
    FREE: {"color": plots.GREY, "marker": "x", "ls": "--"},
    CLIPPED: {"color": plots.ORANGE, "marker": "D"},
}


@plots.styled
def draw_moved(found: Mapping[str, Learned]) -> Figure:
    """Relative change by layer."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for name, learned in found.items():
        if name not in (FREE, CLIPPED):
            right = f"{learned.accuracy[best(learned)].mean():.0%}"
            logarithms = np.log10(moved(learned))
            plots.draw_band(
                axes,
                np.arange(1, DEPTH + 1),
                logarithms,
                label=f"{name}: {right} right",
                **STYLES[name],
            )
    axes.yaxis.set_major_formatter(lambda value, _: f"$10^{{{value:g}}}$")
    axes.set(xlabel="hidden layer", ylabel="change of its kernel, in its norm at the start")
    axes.set_title("after training, geometric means and 95% intervals of the seeds")
    axes.grid(True)
    axes.legend()
    return figure


@plots.styled
def draw_clipping(found: Mapping[str, Learned]) -> Figure:
    """Accuracy by rate, of the start that explodes and of He's."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    labels = {
        RELU: "gain 2 (He), not clipped",
        CLIPPED: f"gain {EXPLODING:g}, clipped to norm {CLIP_NORM:g}",
        FREE: f"gain {EXPLODING:g}, not clipped",
    }
    for name, label in labels.items():
        style = {**STYLES[name], "ms": 6}
        plots.draw_errorbars(axes, np.array(RATES), found[name].accuracy.T, label=label, **style)
    axes.axhline(1 / CLASSES, color="black", ls=":", lw=1, label="a guess")
    axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy (0: no finite loss)")
    axes.set(ylim=(-0.02, 1), title=f"{DEPTH} hidden layers of ReLU")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xticks(RATES, [f"{rate:g}" for rate in RATES], minor=False)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True)
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.31))
    return figure
