"""Runs: one program or many segments, one device or eight, any numbers, stops and failures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from toy import examples, gradient_descent, linear_model, setup

from jaxdl import models, optim, train
from jaxdl.data.augment import Moves, random_moves
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient
from jaxdl.losses import classification_loss, l2, with_augmentation, with_penalty
from jaxdl.parallel import make_mesh
from jaxdl.types import Batch, Examples, as_pytree

ONE = np.float32(1)
RUN = {"epochs": 3, "batch_size": 16}


def same(a, b) -> bool:
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


def numpy_softmax_regression(inputs, targets, w, b, orders, batch_size, learning_rate):
    """Mini-batch gradient descent in float64, the gradient written out."""
    inputs, w, b = (np.asarray(a, np.float64) for a in (inputs, w, b))
    for order in orders:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            logits = inputs[rows] @ w + b
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            p[np.arange(len(rows)), targets[rows]] -= 1
            w = w - learning_rate * inputs[rows].T @ p / len(rows)
            b = b - learning_rate * p.mean(0)
    return w, b


@pytest.mark.parametrize("batch_size", [1, 16, 100])
def test_fit_is_stochastic_mini_batch_and_batch_gradient_descent(batch_size):
    data = examples()
    update, state, _ = setup(dropout_rate=0.0)
    w, b = np.asarray(state.params["w"]), np.asarray(state.params["b"])
    shuffle_key = jax.random.fold_in(state.key, 0)
    orders = [
        np.asarray(jax.random.permutation(jax.random.fold_in(shuffle_key, epoch), 100))
        for epoch in range(2)
    ]
    fitted, history = train.fit(update, state, data, epochs=2, batch_size=batch_size)
    w, b = numpy_softmax_regression(*map(np.asarray, data), w, b, orders, batch_size, 0.1)
    np.testing.assert_allclose(fitted.train.params["w"], w, atol=1e-5)
    np.testing.assert_allclose(fitted.train.params["b"], b, atol=1e-5)
    assert fitted.train.step == 2 * -(-100 // batch_size)
    assert history.steps["examples"].sum() == 200


@pytest.mark.parametrize("segments", [1, 3, 7])
def test_one_program_and_segments_agree_to_the_bit(segments):
    data = examples()
    update, state, loss_fn = setup()
    options = {**RUN, "loss_fn": loss_fn, "evaluations": {"validation": data}}
    whole, history = train.fit(update, state, data, **options)
    _, state, _ = setup()
    seen = list(train.fit_in_segments(update, state, data, segments_per_epoch=segments, **options))
    assert same(whole.train.params, seen[-1].state.train.params)
    assert same(whole.best, seen[-1].state.best)
    losses = [segment.epoch["loss"] for segment in seen if segment.epoch is not None]
    assert (np.asarray(losses) == np.asarray(history.epochs["loss"])).all()


def test_a_run_goes_on_from_any_segment_to_the_same_bits():
    data = examples()
    update, state, _ = setup()
    whole, _ = train.fit(update, state, data, **RUN)
    _, state, _ = setup()
    segments = train.fit_in_segments(update, state, data, segments_per_epoch=3, **RUN)
    for _ in range(4):
        middle = next(segments).state
    *_, last = train.fit_in_segments(update, middle, data, segments_per_epoch=2, **RUN)
    assert same(whole.train.params, last.state.train.params)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_devices_agree_to_rounding(devices):
    """13 does not divide by 2 or 8: shares are padded, and dropout still draws the same."""
    data = examples()
    update, state, loss_fn = setup()
    options = {"epochs": 2, "batch_size": 13, "loss_fn": loss_fn, "evaluations": {"test": data}}
    alone, alone_history = train.fit(update, state, data, **options)
    _, state, _ = setup()
    split, history = train.fit(update, state, data, mesh=make_mesh(devices), **options)
    np.testing.assert_allclose(alone.train.params["w"], split.train.params["w"], rtol=1e-5)
    for name, values in alone_history.epochs.items():
        np.testing.assert_allclose(values, history.epochs[name], rtol=1e-5, err_msg=name)


def test_no_number_recompiles_anything():
    """Learning rate, dropout rate and penalty change; neither a trace nor a compilation more."""
    data = examples()
    traces = 0

    def counted(loss_fn, *arguments):
        nonlocal traces
        traces += 1
        return loss_fn(*arguments)

    def run(learning_rate, dropout_rate, strength):
        model = linear_model(dropout_rate)
        loss_fn = with_penalty(classification_loss(model), Partial(l2, strength=strength))
        optimizer = gradient_descent(learning_rate)
        update = train.make_update(mean_gradient(Partial(counted, loss_fn)), optimizer)
        state = train.init_state(jax.random.key(0), model, optimizer, data.inputs[:1])
        return train.fit(update, state, data, **RUN)[0].train.params["w"]

    first = run(0.1, 0.2, 1e-3)
    traced, compiled = traces, train._fit._cache_size()
    others = [run(0.2, 0.2, 1e-3), run(0.1, 0.5, 1e-3), run(0.1, 0.2, 1), run(0.1, 0.2, ONE / 2)]
    assert traced > 0
    assert (traces, train._fit._cache_size()) == (traced, compiled)
    assert not any(same(first, other) for other in others)


def test_no_number_of_a_whole_recipe_recompiles_anything():
    """An optimizer with all it can have, dropout, smoothing, moves of the images, a penalty."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (64, 8, 8, 1), np.uint8), rng.integers(0, 4, 64)
    data = Examples(jnp.asarray(images), jnp.asarray(labels))

    def run(**numbers):
        x = dict.fromkeys(("rate", "momentum", "clip", "decay", "average"), 0.1)
        x = {**x, "dropout": 0.5, "smoothing": 0.1, "rotation": 0.1, "l2": 1e-3, **numbers}
        model = models.mlp((16,), classes=4, dropout_rate=x["dropout"])
        loss_fn = classification_loss(model, x["smoothing"])
        loss_fn = with_augmentation(loss_fn, Partial(random_moves, Moves(rotation=x["rotation"])))
        loss_fn = with_penalty(loss_fn, Partial(l2, strength=x["l2"]))
        config = optim.OptimizerConfig(
            "sgd",
            x["rate"],
            {"momentum": x["momentum"]},
            optim.ScheduleConfig("one_cycle"),
            optim.ClipConfig(-x["clip"], x["clip"], x["clip"], x["clip"]),
            weight_decay=x["decay"],
            average=x["average"],
        )
        optimizer = optim.make_optimizer(config, 4)
        update = train.make_update(mean_gradient(loss_fn), optimizer)
        state = train.init_state(jax.random.key(0), model, optimizer, data.inputs[:1])
        fitted, _ = train.fit(update, state, data, epochs=1, batch_size=16)
        return train.final_params(fitted)

    first = run()
    compiled = train._fit._cache_size(), train._evaluate._cache_size()
    for name in ("rate", "momentum", "clip", "decay", "average", "dropout", "smoothing", "l2"):
        assert not same(first, run(**{name: 0.2})), name
    assert not same(first, run(rotation=1))
    assert (train._fit._cache_size(), train._evaluate._cache_size()) == compiled


def test_runs_side_by_side_equal_runs_alone():
    data = examples()
    seeds = jax.vmap(jax.random.key)(jnp.arange(3))
    update, _, loss_fn = setup()
    model, optimizer = as_pytree((linear_model(0.2), gradient_descent(0.1)))
    options = {**RUN, "loss_fn": loss_fn, "evaluations": {"validation": data}}

    def run(key):
        state = train.init_state(key, model, optimizer, data.inputs[:1])
        return train.fit(update, state, data, **options)

    together, history = jax.jit(jax.vmap(run))(seeds)
    states = jax.vmap(train.init_state, in_axes=(0, None, None, None))(
        seeds, model, optimizer, data.inputs[:1]
    )
    *_, last = train.fit_in_segments(update, states, data, **options)
    for place, key in enumerate(seeds):
        alone, alone_history = run(key)
        expected = alone.train.params["w"]
        np.testing.assert_allclose(together.train.params["w"][place], expected, rtol=1e-5)
        np.testing.assert_allclose(last.state.train.params["w"][place], expected, rtol=1e-5)
        np.testing.assert_allclose(
            history.epochs["loss"][place], alone_history.epochs["loss"], rtol=1e-5
        )


def test_evaluate_is_the_mean_whatever_the_batch():
    data = examples(count=37)
    _, state, loss_fn = setup()
    whole = train.evaluate(loss_fn, state.params, {}, data, batch_size=37)
    pieces = train.evaluate(loss_fn, state.params, {}, data, batch_size=8)
    logits = np.asarray(data.inputs) @ np.asarray(state.params["w"])
    right = (logits.argmax(1) == np.asarray(data.targets)).mean()
    assert float(whole["accuracy"]) == pytest.approx(right, abs=1e-6)
    for name, value in whole.items():
        assert float(pieces[name]) == pytest.approx(float(value), rel=1e-6)


# --- stopping ------------------------------------------------------------------------------------


def test_patience_stops_and_the_best_parameters_are_kept():
    """Validation on opposite labels worsens from the first epoch on, so the first is the best."""
    data = examples()
    worst = Examples(data.inputs, (data.targets + 1) % 3)
    update, state, loss_fn = setup(dropout_rate=0.0, learning_rate=0.5)
    options = {"loss_fn": loss_fn, "evaluations": {"validation": worst}, "batch_size": 16}
    fitted, history = train.fit(update, state, data, epochs=8, patience=2, **options)
    assert fitted.best.epoch == 1
    assert fitted.stopped
    assert fitted.train.step == 3 * 7
    assert np.isfinite(history.epochs["loss"]).tolist() == [True] * 3 + [False] * 5
    _, state, _ = setup(dropout_rate=0.0, learning_rate=0.5)
    one_epoch, _ = train.fit(update, state, data, epochs=1, **options)
    assert same(fitted.best.params, one_epoch.train.params)
    assert same(train.final_params(fitted)[0], fitted.best.params)


def test_a_vmapped_run_stops_some_of_its_members():
    """A learning rate of 0 never improves on its first epoch."""
    data = examples()
    _, _, loss_fn = setup(dropout_rate=0.0)

    def run(learning_rate):
        update, state, _ = setup(dropout_rate=0.0, learning_rate=learning_rate)
        options = {"loss_fn": loss_fn, "evaluations": {"validation": data}, "patience": 1}
        return train.fit(update, state, data, epochs=5, batch_size=50, **options)[0]

    fitted = jax.vmap(run)(jnp.array([0.1, 0.0]))
    assert fitted.stopped.tolist() == [False, True]
    assert fitted.train.step.tolist() == [10, 4]


def _explode_at(step, gradient, count, params=None):
    """Gradient descent that throws the parameters off after ``step`` updates."""
    off = count == step
    updates = jax.tree.map(lambda g: jnp.where(off, 3e38 * jnp.sign(g), -0.1 * g), gradient)
    return updates, count + 1


def _count(params):
    return jnp.int32(0)


@pytest.mark.parametrize(
    ("explode", "segments", "good_step"),
    [
        (3, None, 3),
        (3, 1, 3),
        (3, 7, 3),
        (8, None, 8),
        (8, 1, 8),
        (8, 7, 8),
        # Step 4 begins the second of two segments: what is kept is the start of the first.
        (3, 2, 0),
    ],
)
def test_a_failed_step_keeps_the_last_good_state(explode, segments, good_step):
    """Step `explode` moves parameters so far that the next loss overflows."""
    data = examples()
    optimizer = optax.GradientTransformation(_count, Partial(_explode_at, explode))
    good = optax.GradientTransformation(_count, Partial(_explode_at, -1))
    update, state, _ = setup(optimizer=optimizer)
    if segments is None:
        fitted, history = train.fit(update, state, data, **RUN)
        assert np.isfinite(history.steps["loss"]).sum() == explode + 1
    else:
        *_, last = train.fit_in_segments(update, state, data, segments_per_epoch=segments, **RUN)
        fitted = last.state
    assert fitted.stopped
    assert fitted.failed_step == explode + 1
    update, state, _ = setup(optimizer=good)
    order = train._segment_rows(state, data, train.Plan(16, 7, 7))
    assert fitted.train.step == good_step
    for step in range(good_step):
        if step == 7:
            order = train._segment_rows(state, data, train.Plan(16, 7, 7))
        state, _ = update(state, train._take(data, order[step % 7]))
    np.testing.assert_allclose(fitted.train.params["w"], state.params["w"], rtol=1e-6)


def test_failures_in_a_vmapped_run_leave_the_others_alone():
    data = examples()

    def run(learning_rate):
        update, state, _ = setup(learning_rate=learning_rate, dropout_rate=0.0)
        return train.fit(update, state, data, **RUN)[0]

    fitted = jax.vmap(run)(jnp.array([0.1, jnp.inf]))
    assert fitted.failed_step.tolist() == [train.NEVER, 1]
    np.testing.assert_allclose(
        fitted.train.params["w"][0], run(jnp.float32(0.1)).train.params["w"], rtol=1e-5
    )


# --- by hand -------------------------------------------------------------------------------------


def test_an_update_by_hand_donates_its_state():
    update, state, _ = setup()
    batch = Batch(*examples(8), jnp.ones(8))
    new, metrics = update(state, batch)
    assert state.params["w"].is_deleted()
    assert new.step == 1
    assert metrics["examples"] == 8


def test_padding_does_not_count():
    update, state, _ = setup(dropout_rate=0.0)
    data = examples(8)
    padded = Batch(*data, jnp.array([1.0] * 5 + [0.0] * 3))
    alone = Batch(data.inputs[:5], data.targets[:5], jnp.ones(5))
    new, _ = update(state, padded)
    _, state, _ = setup(dropout_rate=0.0)
    expected, _ = update(state, alone)
    np.testing.assert_allclose(new.params["w"], expected.params["w"], rtol=1e-6)


def test_padding_is_of_examples_of_its_own():
    """So the statistics of a last, smaller batch (batch norm) are those of different examples."""

    def update(state, batch):
        metrics = {"loss": jnp.float32(0), "seen": batch.inputs.sum(), "real": batch.weights.sum()}
        return state._replace(step=state.step + 1), {**metrics, "examples": jnp.float32(1)}

    _, state, _ = setup()
    digits = Examples(2.0 ** jnp.arange(10), jnp.zeros(10))
    _, history = train.fit(update, state, digits, epochs=1, batch_size=4)
    assert history.steps["real"].tolist() == [[4, 4, 2]]
    seen = [int(total) for total in history.steps["seen"][0]]
    assert [total.bit_count() for total in seen] == [4, 4, 4]
    assert sum(seen) - (2**10 - 1) == sum(seen[:2]) & seen[2]


def test_numpy_examples_will_do():
    update, state, loss_fn = setup()
    data = Examples(*map(np.asarray, examples()))
    options = {"loss_fn": loss_fn, "evaluations": {"test": data}, **RUN}
    plain, _ = train.fit(update, state, data, **options)
    expected, _ = train.fit(update, state, examples(), **options)
    assert same(plain.train.params, expected.train.params)


def test_segments_leave_the_given_state_as_it_is():
    update, state, _ = setup()
    list(train.fit_in_segments(update, state, examples(), **RUN))
    assert np.isfinite(state.params["w"]).all()


def test_segments_refuse_before_they_are_asked_for():
    update, state, _ = setup()
    with pytest.raises(InputError, match="-1 epochs"):
        train.fit_in_segments(update, state, examples(), epochs=-1, batch_size=16)


def test_a_chain_of_ones_own_is_watched_as_well():
    """The loss of the only step is finite, its gradient is not."""
    loss_fn = classification_loss(linear_model())

    def nan_gradient(*arguments):
        gradient, aux = mean_gradient(loss_fn)(*arguments)
        return jax.tree.map(lambda g: g * jnp.nan, gradient), aux

    _, state, _ = setup()
    update = train.make_update(nan_gradient, gradient_descent(0.1))
    fitted, _ = train.fit(update, state, examples(), epochs=1, batch_size=100)
    assert fitted.failed_step == 0
    assert same(fitted.train.params, state.params)


def test_in_float64():
    jax.config.update("jax_enable_x64", True)
    try:
        data = Examples(examples().inputs.astype(jnp.float64), examples().targets)
        update, state, loss_fn = setup()
        fitted, history = train.fit(
            update, state, data, loss_fn=loss_fn, evaluations={"validation": data}, **RUN
        )
        assert history.epochs["validation_loss"].dtype == fitted.best.loss.dtype == jnp.float64
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch size 0"),
        ({"batch_size": 101}, "batch size 101 for 100"),
        ({"epochs": -1}, "-1 epochs"),
        ({"patience": 2}, "patience needs"),
        ({"evaluations": {"test": examples(3)}}, "loss_fn"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(changes, message):
    update, state, _ = setup()
    with pytest.raises(InputError, match=message):
        train.fit(update, state, examples(), **{**RUN, **changes})


def test_more_devices_than_there_are():
    with pytest.raises(InputError, match="9 devices asked for, 8 there"):
        make_mesh(9)
