"""One training run, and many of them as one program whose results are saved."""

import dataclasses
import sys
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from experiments.optimizers.networks import NETWORKS
from jaxdl import diagnostics, losses, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.optim.classic import CLASSIC
from jaxdl.runs import Run
from jaxdl.sweep import SweepFn, cpu_piece
from jaxdl.types import Examples, Model, Number, Static


class Plan(NamedTuple):
    """What is static in a run.

    Attributes:
        epochs: its length.
        batch_size: of its steps.
        classes: how many there are, where its gradients and steps are watched; else None.
    """

    epochs: int
    batch_size: int
    classes: int | None


class Curves(NamedTuple):
    """What is measured in a run, on examples that it does not train on.

    Attributes:
        accuracy: at the end of each epoch; NaN after a run failed.
        loss: the same.
        failed: whether a loss or gradient was not finite.
        instruments: what was watched, means over each epoch's steps; empty if nothing was.
    """

    accuracy: Float[Array, "*runs epochs"]
    loss: Float[Array, "*runs epochs"]
    failed: Bool[Array, "*runs"]
    instruments: dict[str, Float[Array, "*runs epochs"]]


def train_once(
    plan: Static[Plan],
    model: Model,
    config: OptimizerConfig,
    examples: Examples,
    unseen: Examples,
    key: Key[Array, ""],
    rate: Number,
) -> Curves:
    """One run; its key gives the same first parameters, order and draws to every optimizer."""
    epochs, batch_size, classes = plan.value
    loss_fn = losses.classification_loss(model)
    gradient_fn = mean_gradient(loss_fn)
    optimizer = optim.make_optimizer(dataclasses.replace(config, learning_rate=rate))
    if classes is not None:
        gradient_fn, optimizer = diagnostics.watched(loss_fn, optimizer, classes)
    update = train.make_update(gradient_fn, optimizer)
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    fitted, history = train.fit(
        update,
        state,
        examples,
        epochs=epochs,
        batch_size=batch_size,
        loss_fn=loss_fn,
        evaluations={"unseen": unseen},
    )
    seen = dict(history.epochs)
    accuracy, loss = seen.pop("unseen_accuracy"), seen.pop("unseen_loss")
    failed = fitted.failed_step != train.NEVER
    return Curves(accuracy, loss, failed, {} if classes is None else seen)


class Trainer(NamedTuple):
    """Trains many runs of a network with an optimizer, all in the same way.

    Attributes:
        directory: of this run.
        sweep_fn: `jaxdl.sweep.sweep_in_run` of it.
        epochs: of each run.
        batch_size: of each step.
        quiet: show no progress.
    """

    directory: Run
    sweep_fn: SweepFn
    epochs: int
    batch_size: int
    quiet: bool

    def train(
        self,
        network: str,
        optimizer: str,
        part: str,
        examples: Examples,
        unseen: Examples,
        keys: Array,
        rates: Float[np.ndarray, " rates"],
        classes: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """A run with each rate and key.

        Args:
            network: of `NETWORKS`.
            optimizer: of `CLASSIC`.
            part: what the runs are for, in the names of their checkpoints.
            examples: to train on.
            unseen: to measure on.
            keys: one for each seed.
            rates: learning rates.
            classes: how many there are, if gradients and steps are to be watched.

        Returns:
            Accuracy, loss and instruments of `Curves`, each ``(rates, keys, epochs)``; a run that
            diverged has accuracy 0 and an infinite loss in all epochs.
        """
        if not self.quiet:
            print(f"{network}, {optimizer}: {part}", file=sys.stderr, flush=True)
        model, piece_size = NETWORKS[network].build(), NETWORKS[network].piece_size
        plan = Static(Plan(self.epochs, self.batch_size, classes))
        curves = self.sweep_fn(
            Partial(train_once, plan, model, CLASSIC[optimizer], examples, unseen),
            keys,
            jnp.asarray(rates),
            name=f"{network}_{optimizer}_{part}",
            piece_size=cpu_piece(piece_size),
        )
        diverged = np.asarray(curves.failed)[..., None]
        accuracy = np.where(diverged, 0, curves.accuracy).astype(np.float64)
        return accuracy, np.where(diverged, np.inf, curves.loss), curves.instruments
