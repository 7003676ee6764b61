"""A run as a user lives it: shown, recorded, saved, stopped and gone on with.

`train` computes, `checkpoint` saves, `runs` and `progress` tell; this is the loop that joins them,
the same for every experiment that trains.
"""

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array

from jaxdl import checkpoint, diagnostics, optim, train
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.progress import Progress
from jaxdl.runs import (
    ExperimentOptions,
    ResumableOptions,
    Run,
    check_least,
    check_seed,
    resolved_config,
)
from jaxdl.signals import stop_on_signals
from jaxdl.types import Examples, LossFn, Model, Params, TrainState, Update

SEGMENT_STEPS = 100
"""A signal waits for at most so many steps, and a terminal's progress line renews as often."""


CHANGE_NOTHING = ("data_dir", "raw_dir", "devices", "checkpoint_steps", "quick")
"""Settings that may differ when a run goes on, since its parameters do not depend on them."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions(ResumableOptions, ExperimentOptions):
    """Those of an experiment that trains a model and keeps it; each has defaults of its own."""

    epochs: int = 10
    """Passes over the training examples."""
    batch_size: int = 32
    """Examples in a step, over all devices."""
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    """How the parameters move."""
    patience: int | None = None
    """Stop after so many epochs without a lower validation loss."""
    seed: int = 0
    """Of parameters, order and draws."""
    curvature: bool = False
    """With --diagnostics, also the curvature along each step; a step takes 2 to 3 times as long."""
    checkpoint_steps: int | None = None
    """Save a checkpoint every so many steps; by default at the end of each epoch."""


class Trained(NamedTuple):
    """What a session ends with.

    Attributes:
        state: at the end.
        epochs: metrics by name, an array over the epochs; with several seeds ``(seeds, epochs)``.
        seconds_compiling: of all sittings together.
        seconds_running: of all sittings together, compiling left out.
    """

    state: train.FitState
    epochs: dict[str, np.ndarray]
    seconds_compiling: float
    seconds_running: float

    @property
    def failed_step(self) -> int | None:
        """The first step of any seed whose loss or gradient was not finite."""
        first = int(self.state.failed_step.min())
        return None if first == train.NEVER else first

    @property
    def best(self) -> dict[str, np.ndarray]:
        """``best_epoch``, from 1, and ``best_validation_loss``; with several seeds ``(seeds,)``.

        Empty without a validation set. Where no epoch ended well they are 0 and infinity.
        """
        best = self.state.best
        if best is None:
            return {}
        return {
            "best_epoch": np.asarray(best.epoch),
            "best_validation_loss": np.asarray(best.loss),
        }


def summary(trained: Trained, params: Params) -> dict[str, Any]:
    """What ``summary.json`` holds of any training, ``params`` being what it is for."""
    return {
        "epochs": trained.epochs["loss"].shape[-1],
        "failed_step": trained.failed_step,
        **trained.best,
        "params_sha256": tree_sha256(params),
        "seconds_compiling": trained.seconds_compiling,
        "seconds_running": trained.seconds_running,
    }


def report_failure(trained: Trained) -> None:
    """Says whether the run has failed."""
    if trained.failed_step is not None:
        print(f"stopped early: loss or gradient were not finite at step {trained.failed_step}")


def check(config: TrainingOptions, *, seeds: int = 1) -> None:
    """Checks what a user asked of the training, before anything is loaded or compiled.

    Raises:
        InputError: something that cannot be.
    """
    counts = ("epochs", "batch_size", "patience", "checkpoint_steps")
    check_least(config, dict.fromkeys(counts, 1))
    check_seed(config.seed, seeds)
    if config.curvature and not config.diagnostics:
        raise InputError("--curvature needs --diagnostics")
    optim.check(config.optimizer)


def fit(
    run: Run,
    config: TrainingOptions,
    model: Model,
    loss_fn: LossFn,
    examples: Examples,
    evaluations: Mapping[str, Examples],
    *,
    of_data: Mapping[str, str],
    seeds: int = 1,
    classes: int | None = None,
    mesh: Mesh | None = None,
    in_order: bool = False,
) -> Trained:
    """Trains as a user asked: the optimizer, its gradient, the update, the first state, the run.

    Args:
        run: the open run directory.
        config: what was asked for; all of it but `CHANGE_NOTHING` is what a run is held to.
        model: whose parameters are drawn.
        loss_fn: of the model, with whatever is added to it.
        examples: to train on.
        evaluations: to evaluate at each epoch's end, by name.
        of_data: what tells the data from others, a hash say: a run is held to it too.
        seeds: ``config.seed`` and up; with several, all that is returned has an axis of them.
        classes: how many, where the gradients that are watched are a classifier's.
        mesh: devices over which to split each batch.
        in_order: do not shuffle.

    Raises:
        InputError: see `train_in_run`.
        Interrupted: see there.
    """
    steps = config.epochs * train.steps_per_epoch(len(examples.targets), config.batch_size)
    optimizer = optim.make_optimizer(config.optimizer, steps)
    gradient_fn = mean_gradient(loss_fn)
    if config.diagnostics:
        gradient_fn, optimizer = diagnostics.watched(loss_fn, optimizer, classes)
    update = train.make_update(gradient_fn, optimizer)
    if config.curvature:
        update = diagnostics.with_curvature(update, loss_fn)
    state = init_states(config.seed, seeds, model, optimizer, examples.inputs[: config.batch_size])
    return train_in_run(
        run,
        update,
        state,
        examples,
        epochs=config.epochs,
        batch_size=config.batch_size,
        loss_fn=loss_fn,
        evaluations=evaluations,
        config={**resolved_config(config, without=CHANGE_NOTHING), **of_data},
        resume=config.resume,
        quiet=config.quiet,
        patience=config.patience,
        mesh=mesh,
        in_order=in_order,
        checkpoint_steps=config.checkpoint_steps,
    )


def init_states(
    seed: int,
    seeds: int,
    model: Model,
    optimizer: optax.GradientTransformation,
    inputs: Array,
) -> TrainState:
    """The state before the first step; with several seeds, ``seed`` and up, along a leading axis.

    Args:
        seed: of the first.
        seeds: how many.
        model: see `jaxdl.train.init_state`, like the next two.
        optimizer: see there.
        inputs: see there.
    """

    def init(key):
        return train.init_state(key, model, optimizer, inputs)

    keys = jax.vmap(jax.random.key)(seed + jnp.arange(seeds))
    return jax.jit(jax.vmap(init))(keys) if seeds > 1 else jax.jit(init)(keys[0])


def train_in_run(
    run: Run,
    update: Update,
    state: TrainState,
    examples: Examples,
    *,
    epochs: int,
    batch_size: int,
    loss_fn: LossFn,
    evaluations: Mapping[str, Examples],
    config: dict[str, Any],
    resume: bool = False,
    quiet: bool = False,
    patience: int | None = None,
    mesh: Mesh | None = None,
    in_order: bool = False,
    checkpoint_steps: int | None = None,
    at_epoch_end: Callable[[int, train.FitState], None] | None = None,
) -> Trained:
    """Trains as `jaxdl.train.fit` does, with progress, a row an epoch and checkpoints.

    A checkpoint is saved at the end of each epoch, and every ``checkpoint_steps`` steps where that
    is given. SIGINT and SIGTERM save one more and leave.

    Args:
        run: the open run directory.
        update: as for `jaxdl.train.fit`, like those that say no more here.
        state: may have a leading axis of seeds; a row is then of their means.
        examples: to train on.
        epochs: of the whole run.
        batch_size: of a step.
        loss_fn: for the evaluations.
        evaluations: examples to evaluate at each epoch's end, by name.
        config: what must be equal for a checkpoint to be gone on with.
        resume: go on from the newest checkpoint that is whole, or begin if there is none.
        quiet: show no progress.
        patience: epochs without a lower validation loss.
        mesh: devices.
        in_order: do not shuffle.
        checkpoint_steps: save at least so often; a run may go on with another number.
        at_epoch_end: called with the number of epochs done and the state, which it must not keep,
            before that epoch's checkpoint: what it writes of an epoch is there if the run goes on.

    Raises:
        InputError: see `jaxdl.train.fit` and `jaxdl.checkpoint.resume`.
        Interrupted: a signal arrived, and the run is saved.
    """
    keep_best = train.VALIDATION in evaluations
    start = train.begin(update, state, examples, batch_size, keep_best=keep_best)
    notes: dict[str, Any] = {"epochs": [], "seconds_compiling": 0.0, "seconds_running": 0.0}
    if resume:
        restored = checkpoint.resume(run.checkpoints, start, config=config)
        if restored is not None:
            start, notes = restored.state, restored.notes
    count = examples.targets.shape[0]
    steps = train.steps_per_epoch(count, batch_size)
    save_every = checkpoint_steps or steps
    segments_per_epoch = -(-steps // min(SEGMENT_STEPS, save_every))
    segment_steps = -(-steps // segments_per_epoch)
    segments = train.fit_in_segments(
        update,
        start,
        examples,
        epochs=epochs,
        batch_size=batch_size,
        loss_fn=loss_fn,
        evaluations=evaluations,
        patience=patience,
        mesh=mesh,
        in_order=in_order,
        segments_per_epoch=segments_per_epoch,
    )
    before = dict(notes)
    saved = int(start.train.step.max())
    done = saved / steps
    runs = max(1, start.stopped.size)
    final = start
    shown = Progress(epochs, examples=count * runs, done=done, quiet=quiet)
    with stop_on_signals() as stop, shown:
        for segment in segments:
            final = segment.state
            if segment.epoch is not None:
                epoch = {name: np.asarray(v).tolist() for name, v in segment.epoch.items()}
                notes["epochs"].append(epoch)
                run.record(len(notes["epochs"]), {k: _mean_of_finite(v) for k, v in epoch.items()})
                if at_epoch_end is not None:
                    at_epoch_end(len(notes["epochs"]), final)
            notes["seconds_compiling"] = before["seconds_compiling"] + shown.seconds_compiling
            notes["seconds_running"] = before["seconds_running"] + shown.seconds_running
            step = int(final.train.step.max())
            next_step = min(step + segment_steps, (step // steps + 1) * steps)
            if segment.epoch is not None or stop.requested or next_step - saved > save_every:
                checkpoint.save(run.checkpoints, step, final, config=config, notes=notes)
                saved = step
            shown.update(*_progress(segment, steps))
            if saved == step:
                stop.leave(f"saved; go on with --out {shlex.quote(str(run.directory))} --resume")
    names = notes["epochs"][0] if notes["epochs"] else {}
    history = {
        name: np.stack([np.asarray(epoch[name]) for epoch in notes["epochs"]], axis=-1)
        for name in names
    }
    return Trained(final, history, notes["seconds_compiling"], notes["seconds_running"])


def _progress(segment: train.Segment, steps: int) -> tuple[float, dict[str, float]]:
    """How many epochs are done, and the metrics worth showing: the last known ones."""
    metrics = segment.steps if segment.epoch is None else segment.epoch
    wanted = [name for name in metrics if name.split("_")[-1] in ("loss", "accuracy")]
    shown = {name: _mean_of_finite(metrics[name]) for name in wanted}
    return float(segment.state.train.step.max()) / steps, shown


def _mean_of_finite(values: Any) -> float:
    """The mean over steps and seeds, but for those that stopped."""
    values = np.asarray(values)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")
