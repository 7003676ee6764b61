"""A run as a user lives it: shown, recorded, saved, stopped and gone on with.

`train` computes, `checkpoint` saves, `runs` and `progress` tell; this is the loop that joins them,
the same for every experiment that trains.
"""

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from jaxdl import checkpoint, train
from jaxdl.progress import Progress
from jaxdl.runs import Run
from jaxdl.signals import stop_on_signals
from jaxdl.types import Examples, LossFn, TrainState, Update

SEGMENT_STEPS = 100
"""A signal waits for at most so many steps, and a terminal's progress line renews as often."""


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
