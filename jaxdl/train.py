"""Training: a state, a pure update, and whole runs as compiled programs.

`init_state` and `make_update` are all that a training loop of one's own needs. `fit` is a whole run
as one program; `fit_in_segments` is the same run, stopping where someone wants to look on. Both are
made of the same two pieces, so they end in the same parameters to the bit:

- a *segment*: some steps of an epoch, one `lax.scan` over device-resident examples that are
  shuffled by index on the device;
- the *end of an epoch*: means, evaluations, early stopping, the best parameters.

Where a run stands is a function of ``state.step`` alone: the order of the examples and the key of
each step are folded from the run's key, so a run can go on from any state it ever had.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from jaxdl import optim
from jaxdl.errors import InputError
from jaxdl.gradients import masked_dot
from jaxdl.parallel import device_count, device_index, sum_over_devices
from jaxdl.types import (
    MEMORY,
    Batch,
    Examples,
    GradientFn,
    LossFn,
    Metrics,
    Model,
    ModelState,
    Params,
    TrainState,
    Update,
    as_pytree,
)

NEVER = 2**31 - 1
VALIDATION = "validation"
EVALUATION_BATCH = 1000


class Best(NamedTuple):
    """The parameters of the epoch with the lowest validation loss, and which epoch that was."""

    params: Params
    model_state: ModelState
    loss: Float[Array, ""]
    epoch: Int[Array, ""]


class FitState(NamedTuple):
    """A run under way: everything that its next step or epoch depends on, and so a checkpoint.

    Attributes:
        train: what the update reads and writes.
        previous: ``train`` at the start of the last segment, to fall back on.
        best: kept where there is a validation set, else None.
        totals: sums over this epoch's examples of each metric, for the epoch's means.
        failed_step: the first step whose loss or gradient was not finite; `NEVER` if none was.
        stopped: no step will change anything any more (early stopping, or a failed step).
    """

    train: TrainState
    previous: TrainState
    best: Best | None
    totals: Metrics
    failed_step: Int[Array, ""]
    stopped: Bool[Array, ""]


class History(NamedTuple):
    """What a run measured; NaN after it stopped.

    Attributes:
        epochs: means over each epoch's examples ``(epochs,)``, and ``NAME_METRIC`` of each
            evaluation at its end. The first is the first that this call ran.
        steps: the metrics of each update ``(epochs, steps)``.
    """

    epochs: Metrics
    steps: Metrics


class Segment(NamedTuple):
    """What `fit_in_segments` yields: see there."""

    state: FitState
    steps: Metrics
    epoch: Metrics | None


class _Program(NamedTuple):
    """The arguments of a run's compiled program."""

    update: Update
    loss_fn: LossFn | None
    state: FitState
    examples: Examples
    evaluations: dict[str, Examples]
    patience: Int[Array, ""]


class Plan(NamedTuple):
    """The static shape of a run; hashable, so it may be a static argument of a jitted program."""

    batch_size: int
    steps_per_epoch: int
    steps_per_segment: int
    in_order: bool = False


# --- one step ------------------------------------------------------------------------------------


def init_state(
    key: Key[Array, ""], model: Model, optimizer: optax.GradientTransformation, inputs: Array
) -> TrainState:
    """The state before the first step: parameters drawn, optimizer state zeroed.

    Args:
        key: the run's key; parameters, order of examples and every draw follow from it.
        model: drawn by its ``init``.
        optimizer: any Optax chain.
        inputs: an example batch, for its shape; one example is enough.
    """
    init_key, run_key = jax.random.split(key)
    params, model_state = model.init(init_key, inputs)
    return TrainState(jnp.int32(0), params, model_state, optimizer.init(params), run_key)


def make_update(gradient_fn: GradientFn, optimizer: optax.GradientTransformation) -> Update:
    """One training step ``(state, batch) -> (state, metrics)``, jitted, the given state donated.

    The numbers bound in ``gradient_fn`` and ``optimizer`` (see `jaxdl.types.as_pytree`) are traced:
    an update with another learning rate runs the same compiled program.

    The metrics are those of the gradient function and the optimizer's telemetry
    (`jaxdl.optim.telemetry`), all scalars; ``gradient_norm`` is among them with any Optax chain.
    """
    return Partial(_update, as_pytree(gradient_fn), as_pytree(optimizer))


@partial(jax.jit, donate_argnames="state")
def _update(gradient_fn, optimizer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    keys = example_keys(state, batch.weights.shape[0])
    gradient, aux = gradient_fn(state.params, state.model_state, batch, keys)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    seen = {"gradient_norm": optim.global_norm(gradient), **optim.telemetry(opt_state)}
    metrics = {**aux.metrics, **seen}
    return TrainState(state.step + 1, params, aux.model_state, opt_state, state.key), metrics


def example_keys(state: TrainState, batch_size: int) -> Key[Array, " batch"]:
    """One key for each of a device's examples at this step, by its place in the global batch.

    So one device, eight devices and any microbatch draw the same numbers for the same example.
    """
    step_key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
    places = device_index() * batch_size + jnp.arange(batch_size)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(step_key, places)


# --- evaluation ----------------------------------------------------------------------------------


@partial(jax.jit, static_argnames="batch_size")
def _evaluate(
    loss_fn, params: Params, model_state: ModelState, examples: Examples, batch_size: int
) -> Metrics:
    count = examples.targets.shape[0]
    batch_size = min(batch_size, count)
    rows = _rows(jnp.arange(count), -(-count // batch_size), batch_size)

    def sums(row) -> Metrics:
        batch = _take(examples, row)
        _, aux = loss_fn(params, model_state, batch, None)
        return {name: masked_dot(batch.weights, v) for name, v in aux.metrics.items()}

    totals = jax.tree.map(jnp.sum, lax.map(sums, rows))
    return {name: total / count for name, total in sum_over_devices(totals).items()}


def evaluate(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    examples: Examples,
    *,
    batch_size: int = EVALUATION_BATCH,
) -> Metrics:
    """The means of the loss function's metrics over all the examples, nothing drawn.

    The last batch is padded with examples of weight 0, so any ``batch_size`` gives the same means.
    """
    return _evaluate(as_pytree(loss_fn), params, model_state, examples, batch_size)


# --- whole runs ----------------------------------------------------------------------------------


def fit(
    update: Update,
    state: TrainState | FitState,
    examples: Examples,
    *,
    epochs: int,
    batch_size: int,
    loss_fn: LossFn | None = None,
    evaluations: Mapping[str, Examples] | None = None,
    patience: int | None = None,
    mesh: Mesh | None = None,
    in_order: bool = False,
) -> tuple[FitState, History]:
    """A whole run as one compiled program, from a state that stays as it is.

    Each epoch sees every example once, shuffled anew; where the batch size does not
    divide their number the last batch is smaller. Batch size 1, b and ``len(examples.targets)``
    are stochastic, mini-batch and batch gradient descent.

    Args:
        update: from `make_update`, or any function like it; its metrics hold ``loss`` and
            ``examples``.
        state: from `init_state`, or from an earlier run that is to go on.
        examples: to train on; put on the device if they are not there.
        epochs: of the whole run, those that ``state`` has behind it included.
        batch_size: static; on a mesh, the size of the global batch.
        loss_fn: for the evaluations.
        evaluations: examples to evaluate at each epoch's end, by name, with the moving average of
            the parameters where the optimizer keeps one. With an entry ``"validation"`` the
            parameters of its lowest loss are kept.
        patience: stop after this many epochs without a lower validation loss.
        mesh: devices over which to split each batch (`jaxdl.parallel.make_mesh`).
        in_order: take the examples of each epoch as they are given, for a model that carries its
            state from batch to batch (`jaxdl.data.contiguous_streams`).

    Returns:
        The state at the end and the history. After a step whose loss or gradient is not finite
        the run stops: ``failed_step`` names it, and ``train`` is the last state whose own loss was
        finite (where the very first step of an epoch failed, the start of the epoch before).

    Raises:
        InputError: a batch size or a number of epochs that cannot be; evaluations or patience
            without what they need; for a model with batch norm a batch that the devices of the
            mesh cannot share alike, and for one of Flax's any but `jaxdl.nn.batch_norm`.
    """
    plan, program = _prepare(
        update,
        state,
        examples,
        epochs=epochs,
        batch_size=batch_size,
        loss_fn=loss_fn,
        evaluations=evaluations,
        patience=patience,
        mesh=mesh,
        in_order=in_order,
        segments_per_epoch=1,
    )
    return _fit(*program, plan=plan, epochs=epochs, mesh=mesh)


def fit_in_segments(
    update: Update,
    state: TrainState | FitState,
    examples: Examples,
    *,
    epochs: int,
    batch_size: int,
    loss_fn: LossFn | None = None,
    evaluations: Mapping[str, Examples] | None = None,
    patience: int | None = None,
    mesh: Mesh | None = None,
    in_order: bool = False,
    segments_per_epoch: int = 1,
) -> Iterator[Segment]:
    """The same run as `fit`, seen between segments: for progress, checkpoints, logs.

    Yields a `Segment` after each: its state (donated when the next one is asked for: save or copy
    what is to be kept), the metrics of its steps ``(steps,)``, and at the end of an epoch that
    epoch's means (else None). Ends when all epochs are done or the run has stopped. A state that
    was yielded, or restored from a checkpoint, can be given back to go on from there (and is then
    donated; a `TrainState` stays as it is). A step that fails as the first of a segment is undone
    to the start of the segment before.

    A state with a leading axis is that many runs side by side, each stopping for itself
    (``jax.vmap(init_state, in_axes=(0, None, None, None))`` over keys makes one); all that is
    yielded has that axis too.
    """
    plan, program = _prepare(
        update,
        state,
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
    # A generator of its own, so that what is wrong is said here and not where it is iterated.
    return _segments(program, plan, epochs, mesh)


def _segments(program: _Program, plan: Plan, epochs: int, mesh: Mesh | None) -> Iterator[Segment]:
    update, loss_fn, fitted, examples, evaluations, patience = program
    step = int(fitted.train.step.max())
    while step < epochs * plan.steps_per_epoch and not fitted.stopped.all():
        epoch_end = (step // plan.steps_per_epoch + 1) * plan.steps_per_epoch
        step = min(step + plan.steps_per_segment, epoch_end)
        fitted, steps = _fit_segment(update, fitted, examples, plan=plan, mesh=mesh)
        epoch = None
        if step == epoch_end or fitted.stopped.all():
            fitted, epoch = _fit_end_of_epoch(
                loss_fn, fitted, evaluations, patience, plan=plan, mesh=mesh
            )
        yield Segment(fitted, steps, epoch)


def begin(
    update: Update, state: TrainState, examples: Examples, batch_size: int, *, keep_best: bool
) -> FitState:
    """The state of a run before its first step, which `fit` makes by itself of a `TrainState`.

    It is wanted by hand for its structure, into which a checkpoint is restored.

    Args:
        update: of the run, for the names of its metrics.
        state: from `init_state`; one run, or many along a leading axis.
        examples: to train on.
        batch_size: of the run.
        keep_best: whether there will be an evaluation named ``"validation"``.
    """

    def one(state: TrainState) -> FitState:
        def first_metrics() -> Metrics:
            return update(state, _take(examples, jnp.arange(batch_size)))[1]

        totals = {k: jnp.zeros(v.shape, v.dtype) for k, v in jax.eval_shape(first_metrics).items()}
        # Copies, since a donated buffer may stand in one place only, and the given state stays.
        first, previous = (jax.tree.map(jnp.copy, state) for _ in range(2))
        params, model_state = jax.tree.map(jnp.copy, (state.params, state.model_state))
        no_loss = jnp.full((), jnp.inf, totals["loss"].dtype)
        best = Best(params, model_state, no_loss, jnp.int32(0)) if keep_best else None
        return FitState(first, previous, best, totals, jnp.int32(NEVER), jnp.bool_(False))

    update, examples = as_pytree(update), jax.tree.map(jnp.asarray, examples)
    return jax.vmap(one)(state) if state.step.ndim else one(state)


def final_params(state: FitState) -> tuple[Params, ModelState]:
    """The parameters to use after a run, with their model state.

    The best ones where a validation set chose, else the moving average where the optimizer kept
    one, else the last.
    """
    if state.best is not None:
        return state.best.params, state.best.model_state
    train = state.train
    return optim.averaged_params(train.opt_state, train.params), train.model_state


def steps_per_epoch(count: int, batch_size: int) -> int:
    """How many updates an epoch over ``count`` examples has: the last batch may be smaller.

    Raises:
        InputError: the batch size is below 1 or above ``count``.
    """
    if not 1 <= batch_size <= count:
        raise InputError(f"batch size {batch_size} for {count} examples; choose 1 to {count}")
    return -(-count // batch_size)


# --- the two pieces of a run ---------------------------------------------------------------------


def _segment(update: Update, state: FitState, examples: Examples, plan: Plan):
    """Runs the next steps of an epoch; a failed step is undone as `fit` says."""
    entry = state.train
    rows = _segment_rows(entry, examples, plan)

    def attempt(limit):
        step = partial(_step, update, examples, limit)
        return lax.scan(step, (entry, state.totals, jnp.int32(NEVER)), rows)

    def unfinished(loop):
        return loop.again

    def once(loop):
        # The first attempt runs to the first failed step. If one fails, a second repeats it up to
        # the step before, whose loss was the last finite one.
        (train, totals, failed), steps = attempt(loop.limit)
        first = loop.failed == NEVER
        again = first & (failed != NEVER) & (failed > entry.step)
        totals, steps, failed = _select(
            first, (totals, steps, failed), (loop.totals, loop.steps, loop.failed)
        )
        return _Attempt(train, totals, steps, failed, failed - 1, again)

    shapes = jax.eval_shape(attempt, jnp.int32(NEVER))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[1])
    limit = jnp.where(state.stopped, -1, jnp.int32(NEVER))
    start = _Attempt(entry, state.totals, nothing, jnp.int32(NEVER), limit, again=jnp.bool_(True))
    # One or two rounds of a loop, and not a conditional second scan: the step is compiled once.
    train, totals, steps, failed, *_ = lax.while_loop(unfinished, once, start)
    train = _select(failed == entry.step, state.previous, train)
    return FitState(
        train,
        previous=entry,
        best=state.best,
        totals=totals,
        failed_step=jnp.minimum(state.failed_step, failed),
        stopped=state.stopped | (failed != NEVER),
    ), steps


class _Attempt(NamedTuple):
    train: TrainState
    totals: Metrics
    steps: Metrics
    failed: Int[Array, ""]
    limit: Int[Array, ""]
    again: Bool[Array, ""]


def _step(update: Update, examples: Examples, limit, carry, row):
    """One update, which counts if its step is below ``limit`` and nothing has failed so far."""
    train, totals, failed = carry
    new, metrics = update(train, _take(examples, row))
    active = (row[0] >= 0) & (train.step < limit) & (failed == NEVER)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics.get("gradient_norm", 0.0))
    failed = jnp.where(active & ~finite, train.step, failed)
    good = active & finite
    weighted = {k: v if k == "examples" else v * metrics["examples"] for k, v in metrics.items()}
    totals = _select(good, jax.tree.map(jnp.add, totals, weighted), totals)
    seen = {name: jnp.where(good, value, jnp.nan) for name, value in metrics.items()}
    return (_select(good, new, train), totals, failed), seen


def _end_of_epoch(
    loss_fn: LossFn | None,
    state: FitState,
    evaluations: dict[str, Examples],
    patience: Array,
    plan: Plan,
):
    """Means, evaluations, the best parameters, early stopping."""
    train, totals = state.train, state.totals
    epoch = {k: v / totals["examples"] for k, v in totals.items() if k != "examples"}
    params = optim.averaged_params(train.opt_state, train.params) if evaluations else None
    for name, examples in evaluations.items():
        seen = _evaluate(loss_fn, params, train.model_state, examples, EVALUATION_BATCH)
        epoch |= {f"{name}_{metric}": value for metric, value in seen.items()}
    ran = totals["examples"] > 0
    epoch = {name: jnp.where(ran, value, jnp.nan) for name, value in epoch.items()}
    state = state._replace(totals=jax.tree.map(jnp.zeros_like, totals))
    if state.best is None:
        return state, epoch
    number = train.step // plan.steps_per_epoch
    loss = epoch[f"{VALIDATION}_loss"]
    improved = (loss < state.best.loss) & (state.failed_step == NEVER)
    best = _select(improved, Best(params, train.model_state, loss, number), state.best)
    stopped = state.stopped | (number - best.epoch >= patience)
    return state._replace(best=best, stopped=stopped), epoch


@partial(jax.jit, static_argnames=("plan", "epochs", "mesh"))
def _fit(
    update,
    loss_fn,
    state: FitState,
    examples,
    evaluations,
    patience,
    *,
    plan: Plan,
    epochs: int,
    mesh: Mesh | None,
) -> tuple[FitState, History]:
    def program(update, loss_fn, state, examples, evaluations, patience):
        def go(state):
            state, steps = _segment(update, state, examples, plan)
            state, epoch = _end_of_epoch(loss_fn, state, evaluations, patience, plan)
            return state, History(epoch, steps)

        def skip(state):
            _, history = jax.eval_shape(go, state)
            return state, jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), history)

        def epoch(state, _):
            over = state.stopped | (state.train.step >= epochs * plan.steps_per_epoch)
            return lax.cond(over, skip, go, state)

        return lax.scan(epoch, state, None, length=epochs)

    return _on(mesh, program)(update, loss_fn, state, examples, evaluations, patience)


@partial(jax.jit, static_argnames=("plan", "mesh"), donate_argnames="state")
def _fit_segment(update, state: FitState, examples, *, plan: Plan, mesh: Mesh | None):
    def program(update, state, examples):
        return _each_run(lambda state: _segment(update, state, examples, plan), state)

    return _on(mesh, program)(update, state, examples)


@partial(jax.jit, static_argnames=("plan", "mesh"), donate_argnames="state")
def _fit_end_of_epoch(
    loss_fn, state: FitState, evaluations, patience, *, plan: Plan, mesh: Mesh | None
):
    def program(loss_fn, state, evaluations, patience):
        return _each_run(
            lambda state: _end_of_epoch(loss_fn, state, evaluations, patience, plan), state
        )

    return _on(mesh, program)(loss_fn, state, evaluations, patience)


def _each_run(function: Callable, state: FitState):
    """``function`` of each of the runs along the state's leading axis; of the run, if it has none.

    In turn on a CPU, whose cores one step fills already: five seeds of the seed CNN take two thirds
    of the time they take under `jax.vmap`.
    """
    if not state.stopped.ndim:
        return function(state)
    if jax.default_backend() == "cpu":
        return lax.map(function, state)
    return jax.vmap(function)(state)


def _on(mesh: Mesh | None, function: Callable) -> Callable:
    """Runs ``function`` on every device of a mesh; each takes its share of the batch (`_take`)."""
    if mesh is None:
        return function
    everywhere = PartitionSpec()
    return jax.shard_map(
        function, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False
    )


# --- order and batches ---------------------------------------------------------------------------


def _segment_rows(state: TrainState, examples: Examples, plan: Plan) -> Int[Array, "steps batch"]:
    """The indices of the segment that begins at ``state.step``, a row per step."""
    epoch, place = jnp.divmod(state.step, plan.steps_per_epoch)
    order = jnp.arange(examples.targets.shape[0])
    if not plan.in_order:
        key = jax.random.fold_in(jax.random.fold_in(state.key, 0), epoch)
        order = jax.random.permutation(key, order)
    # Rows of padding behind the epoch's last step, which a segment may run into.
    rows = _rows(order, plan.steps_per_epoch + plan.steps_per_segment, plan.batch_size)
    return lax.dynamic_slice_in_dim(rows, place, plan.steps_per_segment)


def _rows(order: Int[Array, " count"], steps: int, batch_size: int) -> Int[Array, "steps batch"]:
    """``order`` in rows, padded with examples of its own, so that their statistics are real ones.

    The index of an example that only pads is stored as its complement, ``~index``, below 0.
    """
    padding = steps * batch_size - order.shape[0]
    return jnp.append(order, ~jnp.resize(order, (padding,))).reshape(steps, batch_size)


def _take(examples: Examples, row: Int[Array, " batch"]) -> Batch:
    """This device's share of the examples that ``row`` names; padding has weight 0."""
    share = -(-row.shape[0] // device_count())
    row = jnp.pad(row, (0, share * device_count() - row.shape[0]), constant_values=~0)
    row = lax.dynamic_slice_in_dim(row, device_index() * share, share)
    index = jnp.where(row < 0, ~row, row)
    weights = (row >= 0).astype(jnp.float32)
    return Batch(examples.inputs[index], examples.targets[index], weights)


# --- before a run --------------------------------------------------------------------------------


def _prepare(
    update: Update,
    state: TrainState | FitState,
    examples: Examples,
    *,
    epochs: int,
    batch_size: int,
    loss_fn: LossFn | None,
    evaluations: Mapping[str, Examples] | None,
    patience: int | None,
    mesh: Mesh | None,
    in_order: bool,
    segments_per_epoch: int,
) -> tuple[Plan, _Program]:
    """Checks the arguments of a run and brings them into the form of its compiled program."""
    examples, evaluated = jax.tree.map(jnp.asarray, (examples, dict(evaluations or {})))
    steps = steps_per_epoch(examples.targets.shape[0], batch_size)
    if epochs < 0:
        raise InputError(f"{epochs} epochs; choose 0 or more")
    if evaluated and loss_fn is None:
        raise InputError("evaluations need a loss_fn")
    if patience is not None and VALIDATION not in evaluated:
        raise InputError(f"patience needs an evaluation named {VALIDATION!r}")
    segment = -(-steps // max(1, min(segments_per_epoch, steps)))
    plan = Plan(batch_size, steps, segment, in_order)
    if not isinstance(state, FitState):
        state = begin(update, state, examples, batch_size, keep_best=VALIDATION in evaluated)
    limit = jnp.int32(NEVER if patience is None else patience)
    program = _Program(as_pytree(update), as_pytree(loss_fn), state, examples, evaluated, limit)
    if mesh is not None:
        if batch_size % mesh.size and _is_moved(state.train.model_state):
            raise InputError(
                f"a batch of {batch_size} over {mesh.size} devices: for a model whose state each "
                "batch moves (batch norm) give a multiple"
            )
        program = jax.device_put(program, NamedSharding(mesh, PartitionSpec()))
    return plan, program


def _is_moved(model_state: ModelState) -> bool:
    """Whether there is any state besides that of the examples."""
    if isinstance(model_state, dict):
        model_state = {name: of for name, of in model_state.items() if name != MEMORY}
    return bool(jax.tree.leaves(model_state))


def _select(chosen: Bool[Array, ""], new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), new, old)
