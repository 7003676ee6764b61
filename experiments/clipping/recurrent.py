"""A recurrent network on the latch problem, trained at many learning rates and clip norms."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.nn.initializers import glorot_uniform, orthogonal
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdl import diagnostics, losses, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import ClipConfig, OptimizerConfig
from jaxdl.sweep import SweepFn, cpu_piece, sweep
from jaxdl.types import Examples, GradientFn, Metrics, Model, Static, Variables

CLASSES, LENGTH, UNITS, GAIN, NOISE = 4, 30, 32, 1.4, 0.2
TRAINING, TESTING, SEQUENCES = 1600, 400, 32
"""Sequences to train on and to test on, and in a batch."""
RATE, CLIP_NORM = 0.1, 1.0
"""Where the network is trained with and without clipping, while the other of the two is swept."""
SMALLEST_NORM = 0.01
"""A clip norm so small that every step is clipped."""
GUESS = math.log(CLASSES)
"""The loss of a guess: a run that ends above it, or at no finite loss, is lost."""
TARGET, WINDOW = 0.1, 25
"""A run is trained when its loss, the mean of so many steps, is below the target."""
PIECE = 16
"""Runs between two checkpoints: a CPU takes a few seconds for them."""


def latch_problem(seed: int, count: int) -> Examples:
    """Sequences ``(count, LENGTH, CLASSES)`` of noise; the first step tells the class."""
    rng = np.random.default_rng((seed, count))
    classes = rng.integers(CLASSES, size=count)
    inputs = NOISE * rng.normal(size=(count, LENGTH, CLASSES))
    inputs[np.arange(count), 0, classes] += 1
    return Examples(jnp.asarray(inputs, jnp.float32), jnp.asarray(classes))


def recurrent_network() -> Model:
    """``h_t = elu(x_t U + h_(t-1) W + b)`` from 0; the logits are ``h_T V + c``."""
    return Model(Partial(_init_recurrent), Partial(_apply_recurrent))


def _init_recurrent(key, inputs) -> Variables:
    input_key, recurrent_key, output_key = jax.random.split(key, 3)
    cell = {
        "inputs": glorot_uniform()(input_key, (CLASSES, UNITS)),
        "recurrent": orthogonal(GAIN)(recurrent_key, (UNITS, UNITS)),
        "bias": jnp.zeros(UNITS),
    }
    kernel = glorot_uniform()(output_key, (UNITS, CLASSES))
    return Variables({"cell": cell, "head": {"kernel": kernel, "bias": jnp.zeros(CLASSES)}}, {})


def _apply_recurrent(params, model_state, inputs, keys):
    cell, head = params["cell"], params["head"]
    driven = jnp.swapaxes(inputs, 0, 1) @ cell["inputs"] + cell["bias"][None, None]

    def step(hidden, driven):
        return jax.nn.elu(driven + hidden @ cell["recurrent"]), None

    hidden, _ = lax.scan(step, jnp.zeros_like(driven[0]), driven)
    return hidden @ head["kernel"] + head["bias"][None], model_state


class Runs(NamedTuple):
    """Trained recurrent networks, with leading axes ``(members, seeds)`` but for the members' own.

    Attributes:
        rates: ``(members,)``.
        clip_norms: ``(members,)``, infinite for no clipping.
        failed: whether loss or gradient were once not finite, which ends a run.
        losses: of each step's batch ``(..., steps)``; NaN after the end, as all that follows.
        gradient_norms: before clipping.
        clipped_norms: after it.
        clipped: 1 for a step that was clipped, else 0.
        test_loss: at the end.
        test_accuracy: at the end.
    """

    rates: np.ndarray
    clip_norms: np.ndarray
    failed: np.ndarray
    losses: np.ndarray
    gradient_norms: np.ndarray
    clipped_norms: np.ndarray
    clipped: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray

    def where(self, chosen: np.ndarray) -> "Runs":
        """Some of the members."""
        return Runs(*(of[chosen] for of in self))

    def at_rate(self, rate: float) -> "Runs":
        """Those of one learning rate, by growing clip norm."""
        return self.where(np.isclose(self.rates, rate))

    def at_norm(self, clip_norm: float) -> "Runs":
        """Those of one clip norm, by growing learning rate."""
        return self.where(np.isclose(self.clip_norms, clip_norm))

    def diverged(self) -> np.ndarray:
        """Which runs end with no finite loss, or one above that of their first step."""
        loss = np.where(self.failed, np.inf, self.test_loss)
        return np.logical_not(loss <= self.losses[..., 0])

    def lost(self) -> np.ndarray:
        """Which runs end with no finite loss, or one above a guess's."""
        loss = np.where(self.failed, np.inf, self.test_loss)
        return np.logical_not(loss < GUESS)

    def all_train(self) -> np.ndarray:
        """The members of which no seed is lost and every seed comes to the target."""
        return np.all(~self.lost() & np.isfinite(self.steps()), axis=-1)

    def steps(self) -> np.ndarray:
        """After how many the mean loss of the last `WINDOW` is below `TARGET`; or infinity."""
        below = running_mean(self.losses) < TARGET
        return np.where(below.any(axis=-1), below.argmax(axis=-1) + WINDOW, np.inf)


def running_mean(values: np.ndarray) -> np.ndarray:
    """Means of `WINDOW` steps in a row, the first of which is of steps 1 to `WINDOW`."""
    return np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=-1).mean(axis=-1)


def measure(
    sweep_fn: SweepFn,
    *,
    rates: Sequence[float],
    clip_norms: Sequence[float],
    seeds: int,
    epochs: int,
    seed: int,
) -> Runs:
    """Both sweeps as one program: rates with and without clipping, and clip norms at one rate.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        rates: of the runs; `RATE` is added.
        clip_norms: of the runs at `RATE`; see `members`.
        seeds: of each pair.
        epochs: of each run.
        seed: of all.
    """
    member_rates, member_norms = members(rates, clip_norms).T
    swept = {"rates": list(rates), "clip_norms": list(clip_norms)}
    problems = (latch_problem(seed, count) for count in (TRAINING, TESTING))
    hparams = {"rate": jnp.asarray(member_rates), "clip_norm": jnp.asarray(member_norms)}
    keys = jax.random.split(jax.random.key(seed), seeds)
    run = Partial(train_one, Static(epochs), *problems)
    failed, *numbers = sweep_fn(
        run,
        keys,
        hparams,
        config={**swept, "seeds": seeds, "epochs": epochs, "seed": seed},
        name="recurrent",
        piece_size=cpu_piece(PIECE),
    )
    return Runs(member_rates, member_norms, failed, *(of.astype(float) for of in numbers))


def members(rates: Sequence[float], clip_norms: Sequence[float]) -> Float[np.ndarray, "members 2"]:
    """Pairs of a learning rate and a clip norm, none twice, in order."""
    pairs = {(rate, norm) for rate in (RATE, *rates) for norm in (CLIP_NORM, np.inf)}
    return np.array(sorted(pairs | {(RATE, norm) for norm in (SMALLEST_NORM, *clip_norms)}))


def train_one(epochs: Static[int], examples: Examples, tests: Examples, key, member) -> tuple:
    """One run; its results are what `Runs` has of each."""
    model = recurrent_network()
    loss_fn = losses.classification_loss(model)
    state, steps = fit(model, mean_gradient(loss_fn), clipped(member), epochs, examples, key)
    seen = train.evaluate(loss_fn, state.train.params, {}, tests)
    names = ("loss", "gradient_norm", "clipped_gradient_norm", "clipped_steps")
    measured = (steps[name] for name in names)
    return state.failed_step != train.NEVER, *measured, seen["loss"], seen["accuracy"]


def clipped(member: dict[str, Array]) -> optax.GradientTransformation:
    """Gradient descent with a member's rate and clip norm."""
    clip = ClipConfig(global_norm=member["clip_norm"])
    return optim.make_optimizer(OptimizerConfig("sgd", member["rate"], clip=clip))


def fit(
    model: Model,
    gradient_fn: GradientFn,
    optimizer: optax.GradientTransformation,
    epochs: Static[int],
    examples: Examples,
    key,
) -> tuple[train.FitState, Metrics]:
    """The end of a run, and its metrics ``(steps,)``."""
    update = train.make_update(gradient_fn, optimizer)
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    state, history = train.fit(update, state, examples, epochs=epochs.value, batch_size=SEQUENCES)
    return state, jax.tree.map(jnp.ravel, history.steps)


def watch(*, seeds: int, epochs: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """What gradients and steps look like at `RATE` when clipped to `CLIP_NORM` and when not.

    Each with the metrics of `jaxdl.diagnostics.watched`, ``(seeds, steps)``.
    """
    norms = {"clipped": CLIP_NORM, "not_clipped": np.inf}
    hparams = {"rate": jnp.full(2, RATE), "clip_norm": jnp.asarray(list(norms.values()))}
    keys = jax.random.split(jax.random.key(seed), seeds)
    seen = sweep(Partial(watch_one, Static(epochs), latch_problem(seed, TRAINING)), keys, hparams)
    return {
        name: {metric: values[place] for metric, values in seen.items()}
        for place, name in enumerate(norms)
    }


def watch_one(epochs: Static[int], examples: Examples, key, member) -> Metrics:
    """One run, as in `train_one`, with its gradients and steps in sight."""
    model = recurrent_network()
    loss_fn = losses.classification_loss(model)
    gradient_fn, optimizer = diagnostics.watched(loss_fn, clipped(member), CLASSES)
    return fit(model, gradient_fn, optimizer, epochs, examples, key)[1]


def summarize(runs: Runs) -> list[dict[str, Any]]:
    """For ``summary.json``: an entry for each rate and clip norm."""
    columns = {
        "learning_rate": runs.rates,
        "clip_norm": runs.clip_norms,  # null for infinity
        "diverged": runs.diverged().sum(axis=1),
        "no_better_than_a_guess": runs.lost().sum(axis=1),
        "not_finite": runs.failed.sum(axis=1),
        "steps_to_target": runs.steps(),
        "test_loss": runs.test_loss,
        "test_accuracy": runs.test_accuracy,
        "clipped_steps": np.nanmean(runs.clipped, axis=(1, 2)),
        "median_gradient_norm": np.nanmedian(runs.gradient_norms, axis=(1, 2)),
        "largest_gradient_norm": np.nanmax(runs.gradient_norms, axis=(1, 2)),
        "median_clipped_norm": np.nanmedian(runs.clipped_norms, axis=(1, 2)),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
