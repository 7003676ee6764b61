"""A game's update against both players' steps written out, and its life in runs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from jaxdl import models, train
from jaxdl.adversarial import (
    Game,
    adversarial_loss,
    failures,
    first_failures,
    generate,
    init_game,
    make_adversarial_update,
    make_conditional_game,
    make_game,
    noise,
    with_wrong_labels,
)
from jaxdl.diagnostics import norm_instruments
from jaxdl.errors import InputError
from jaxdl.gradients import clipped_gradient, observed_gradient
from jaxdl.objectives import gradient_penalty, make_objective, r1_penalty
from jaxdl.optim import OptimizerConfig, averaged_params, make_optimizer
from jaxdl.parallel import make_mesh
from jaxdl.types import Batch, Examples, Players, Variables

LATENT = 3
SGD = Players(optax.sgd(0.1), optax.sgd(0.2))


@functools.cache
def toy(objective="non_saturating", penalty=False):
    generator = models.mlp([5], classes=2, activation="tanh")
    discriminator = models.mlp([4], classes=1, activation="tanh")
    extra = gradient_penalty(2.0) if penalty else None
    return make_game(
        generator, discriminator, make_objective(objective, penalty=extra), latent=LATENT
    )


def points(count):
    rng = np.random.default_rng(0)
    return Examples(jnp.float32(rng.normal(size=(count, 2))), jnp.zeros(count, jnp.int32))


def batch_of(examples, weights=None):
    weights = jnp.ones(len(examples.inputs)) if weights is None else weights
    return Batch(*examples, weights)


def start(game=None, key=0, optimizers=SGD):
    return init_game(jax.random.key(key), game or toy(), optimizers, points(1).inputs)


def perceptron(params, inputs):
    """`jaxdl.models.mlp` of one hidden layer, in NumPy."""
    hidden = np.tanh(inputs @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
    return hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]


def to_float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def softplus(values):
    return np.logaddexp(0, values)


def differences(function, params, step=1e-6):
    """The gradient by central differences, in float64."""
    gradient = jax.tree.map(np.zeros_like, params)
    leaves, slopes = jax.tree.leaves(params), jax.tree.leaves(gradient)
    for leaf, slope in zip(leaves, slopes, strict=True):
        for place in np.ndindex(leaf.shape):
            kept = leaf[place]
            leaf[place] = kept + step
            ahead = function(params)
            leaf[place] = kept - step
            slope[place] = (ahead - function(params)) / (2 * step)
            leaf[place] = kept
    return gradient


def assert_close(actual, expected, rtol=1e-4, atol=1e-6):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), actual, expected
    )


def drawn(state, count, whose):
    """The noise of a step, as `jaxdl.adversarial` says that it is drawn."""
    keys = train.example_keys(state, count)
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, whose)
    return np.asarray(noise(keys, LATENT), np.float64)


def test_a_step_by_hand():
    """First the discriminator's, then the generator's against the new one, by differences."""
    state, batch = start(), batch_of(points(6))
    real = np.asarray(batch.inputs, np.float64)
    of_discriminator, of_generator = drawn(state, 6, 0), drawn(state, 6, 1)
    generator, discriminator = to_float64(state.params)

    def discriminator_loss(params):
        generated = perceptron(generator, of_discriminator)
        caught = softplus(-perceptron(params, real)) + softplus(perceptron(params, generated))
        return caught.mean()

    loss = discriminator_loss(discriminator)
    slope = differences(discriminator_loss, discriminator)
    new = jax.tree.map(lambda p, g: p - 0.2 * g, discriminator, slope)

    def generator_loss(params):
        return softplus(-perceptron(new, perceptron(params, of_generator))).mean()

    made = generator_loss(generator)
    slope_of_generator = differences(generator_loss, generator)
    expected = Players(jax.tree.map(lambda p, g: p - 0.1 * g, generator, slope_of_generator), new)
    after, metrics = make_adversarial_update(toy(), SGD)(state, batch)
    assert_close(after.params, expected)
    assert_close([metrics["loss"], metrics["generator_loss"]], [loss, made])
    norms = [
        np.sqrt(sum(np.sum(g**2) for g in jax.tree.leaves(s))) for s in (slope, slope_of_generator)
    ]
    assert_close([metrics[f"{who}_gradient_norm"] for who in ("discriminator", "generator")], norms)
    assert_close(metrics["gradient_norm"], np.hypot(*norms))
    samples = perceptron(generator, of_generator)
    assert_close(metrics["spread"], np.sqrt(samples.var(0).sum() / real.var(0).sum()))
    assert after.step == 1


def test_a_step_with_a_penalty_by_hand():
    """R1 at the real samples, its gradient by differences of differences."""
    strength, real = 3.0, points(4)
    game = make_game(
        *toy()[:2],
        make_objective("non_saturating", penalty=r1_penalty(strength)),
        latent=LATENT,
    )
    state, batch = start(game), batch_of(real)
    of_discriminator = drawn(state, 4, 0)
    generator, discriminator = to_float64(state.params)
    generated = perceptron(generator, of_discriminator)
    real = np.asarray(batch.inputs, np.float64)

    def slopes(params):
        step = 1e-4 * np.eye(real.shape[1])[:, None]
        rises = [perceptron(params, real + d) - perceptron(params, real - d) for d in step]
        return np.concatenate([rise.reshape(1, -1) / 2e-4 for rise in rises])

    def loss(params):
        caught = softplus(-perceptron(params, real)) + softplus(perceptron(params, generated))
        return caught.mean() + strength / 2 * np.square(slopes(params)).sum(axis=0).mean()

    slope = differences(loss, discriminator)
    expected = jax.tree.map(lambda p, g: p - 0.2 * g, discriminator, slope)
    after, metrics = make_adversarial_update(game, SGD)(state, batch)
    assert_close(after.params.discriminator, expected)
    assert_close(
        metrics["discriminator_penalty"],
        strength / 2 * np.square(slopes(discriminator)).sum(axis=0).mean(),
    )


def with_labels(samples, batch):
    """Each sample with its label behind."""
    return jnp.concatenate([samples, batch.targets[:, None].astype(float)], axis=1)


def test_a_step_with_wrong_labels_by_hand():
    """Real samples are held against generated ones and against real ones of another class."""
    game = with_wrong_labels(toy()._replace(show=Partial(with_labels)), classes=3)
    state, batch = start(game), batch_of(Examples(points(6).inputs, jnp.arange(6) % 3))
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(train.example_keys(state, 6), 0)
    wrong = game.mismatch(batch, keys)
    generator, discriminator = to_float64(state.params)
    generated = perceptron(generator, drawn(state, 6, 0))
    labels = np.asarray(batch.targets, float)[:, None]
    real, false, odd = (
        np.concatenate(both, axis=1)
        for both in (
            (batch.inputs, labels),
            (generated, labels),
            (batch.inputs, np.asarray(wrong.targets, float)[:, None]),
        )
    )

    def loss(params):
        caught = (softplus(perceptron(params, false)) + softplus(perceptron(params, odd))) / 2
        return (softplus(-perceptron(params, real)) + caught).mean()

    slope = differences(loss, discriminator)
    expected = jax.tree.map(lambda p, g: p - 0.2 * g, discriminator, slope)
    after, metrics = make_adversarial_update(game, SGD)(state, batch)
    assert_close(after.params.discriminator, expected)
    scores = perceptron(discriminator, odd)
    assert_close(metrics["discriminator_score_of_mismatched"], scores.mean())


def test_wrong_labels_are_the_others_alike():
    game = with_wrong_labels(toy(), classes=4)
    batch = batch_of(Examples(jnp.zeros((6000, 2)), jnp.full(6000, 2)))
    wrong = np.asarray(game.mismatch(batch, jax.random.split(jax.random.key(0), 6000)).targets)
    counts = np.bincount(wrong, minlength=4)
    assert counts[2] == 0
    assert np.delete(counts, 2).min() > 1880


def test_accuracy_and_spread_of_a_single_pair():
    """Whatever the scores mean: a pair is told rightly or not; one sample has no spread."""
    update = make_adversarial_update(toy("least_squares"), SGD)
    _, metrics = update(start(), batch_of(points(1)))
    assert metrics["discriminator_accuracy"] in (0, 1)
    assert metrics["spread"] == 1


def test_steps_of_the_discriminator():
    """Two steps on the halves of a batch, then one of the generator: as updates one by one."""
    state, batch = start(), batch_of(points(8))
    both, metrics = make_adversarial_update(toy(), SGD, discriminator_steps=2)(state, batch)
    state = start()
    keys = train.example_keys(state, 8)
    params = state.params
    losses = []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        params, loss = discriminator_step(params, batch.inputs[part], keys[part])
        losses.append(loss)
    assert_close(both.params.discriminator, params.discriminator, rtol=1e-5)
    assert_close(both.params.generator, generator_step(params, keys[1::2]), rtol=1e-5)
    assert_close(metrics["loss"], np.mean(losses), rtol=1e-5)
    assert metrics["examples"] == 8


def discriminator_step(params, real, keys):
    """In plain JAX."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 0)
    generator, discriminator = (
        models.mlp([5], classes=2, activation="tanh"),
        models.mlp([4], classes=1, activation="tanh"),
    )
    generated, _ = generator.apply(params.generator, {}, noise(keys, LATENT), None)

    def loss(p):
        scores = [discriminator.apply(p, {}, samples, None)[0] for samples in (real, generated)]
        return jnp.mean(jax.nn.softplus(-scores[0]) + jax.nn.softplus(scores[1]))

    value, slope = jax.value_and_grad(loss)(params.discriminator)
    new = jax.tree.map(lambda p, g: p - 0.2 * g, params.discriminator, slope)
    return Players(params.generator, new), value


def generator_step(params, keys):
    """Against the new discriminator, on the noise of the last part."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 1)
    generator, discriminator = (
        models.mlp([5], classes=2, activation="tanh"),
        models.mlp([4], classes=1, activation="tanh"),
    )

    def loss(p):
        samples, _ = generator.apply(p, {}, noise(keys, LATENT), None)
        scores, _ = discriminator.apply(params.discriminator, {}, samples, None)
        return jnp.mean(jax.nn.softplus(-scores))

    slope = jax.grad(loss)(params.generator)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params.generator, slope)


def test_padding_does_not_count():
    game, update = (
        toy("wasserstein", penalty=True),
        make_adversarial_update(toy("wasserstein", penalty=True), SGD),
    )
    few = batch_of(points(8), jnp.array([1.0] * 5 + [0.0] * 3))
    other = few._replace(inputs=few.inputs.at[5:].add(7.0))
    one, metrics = update(start(game), few)
    two, again = update(start(game), other)
    assert_close(one.params, two.params, rtol=0, atol=0)
    assert metrics["examples"] == 5
    assert_close(metrics, again, rtol=0, atol=0)


def test_two_devices_are_one():
    game = toy("wasserstein", penalty=True)
    update, examples = make_adversarial_update(game, SGD), points(14)
    ends = [
        train.fit(update, start(game), examples, epochs=2, batch_size=4, mesh=mesh)
        for mesh in (None, make_mesh(2))
    ]
    (one, seen), (two, seen_by_two) = ends
    assert_close(one.train.params, two.train.params, rtol=1e-5)
    assert_close(seen.epochs, seen_by_two.epochs, rtol=1e-4)


def test_two_devices_are_one_for_images():
    """With all that could tell devices apart: batch norm, labels, spectral norm, a hinge and R1."""
    generator, _ = models.conditional_dcgan(10, features=4, hidden=16)
    _, normed = models.dcgan(features=4, hidden=16, spectral_norm=True)
    objective = make_objective("hinge", penalty=r1_penalty(1.0))
    game = make_conditional_game(generator, normed, objective, latent=LATENT)
    game = game._replace(show=toy().show)  # this discriminator takes no label
    rng = np.random.default_rng(0)
    images = jnp.uint8(rng.integers(0, 256, (8, 28, 28, 1)))
    examples = Examples(images, jnp.arange(8) % 10)
    update = make_adversarial_update(game, SGD)
    state = init_game(jax.random.key(0), game, SGD, images[:1])
    (one, seen), (two, seen_by_two) = (
        train.fit(update, state, examples, epochs=1, batch_size=8, mesh=mesh)
        for mesh in (None, make_mesh(2))
    )
    assert_close(one.train.params, two.train.params, rtol=1e-4, atol=1e-6)
    assert_close(one.train.model_state, two.train.model_state, rtol=1e-4, atol=1e-6)
    assert_close(seen.epochs, seen_by_two.epochs, rtol=1e-4)


def test_a_run_is_the_same_again_and_in_segments():
    update, examples = make_adversarial_update(toy(), SGD), points(10)
    whole, _ = train.fit(update, start(), examples, epochs=3, batch_size=4)
    *_, last = train.fit_in_segments(
        update, start(), examples, epochs=3, batch_size=4, segments_per_epoch=2
    )
    assert_close(whole.train.params, last.state.train.params, rtol=0, atol=0)
    other, _ = train.fit(update, start(key=1), examples, epochs=3, batch_size=4)
    assert not np.allclose(
        other.train.params.generator["Dense_0"]["kernel"],
        whole.train.params.generator["Dense_0"]["kernel"],
    )


def test_a_number_recompiles_nothing():
    optimizers = [
        Players(
            make_optimizer(OptimizerConfig("adam", rate)),
            make_optimizer(OptimizerConfig("adam", rate)),
        )
        for rate in (1e-3, 1e-2)
    ]
    games = [
        make_game(
            *toy()[:2],
            make_objective("minimax", label_smoothing=share, penalty=gradient_penalty(share)),
            latent=LATENT,
        )
        for share in (0.1, 0.2)
    ]
    batch = batch_of(points(4))
    from jaxdl.adversarial import _update

    before = _update._cache_size()
    for game, of in zip(games, optimizers, strict=True):
        make_adversarial_update(game, of)(start(game, optimizers=of), batch)
    assert _update._cache_size() == before + 1


def test_the_average_of_the_generator():
    optimizers = Players(
        make_optimizer(OptimizerConfig("sgd", 0.1, average=0.9)),
        make_optimizer(OptimizerConfig("sgd", 0.1)),
    )
    update, examples = make_adversarial_update(toy(), optimizers), points(8)
    final, _ = train.fit(
        update,
        start(optimizers=optimizers),
        examples,
        epochs=3,
        batch_size=4,
        loss_fn=adversarial_loss(toy()),
        evaluations={"test": examples},
    )
    params, _ = train.final_params(final)
    state = final.train
    assert_close(
        params.generator, averaged_params(state.opt_state.generator, state.params.generator), 0, 0
    )
    assert_close(params.discriminator, state.params.discriminator, 0, 0)
    assert not np.allclose(
        params.generator["Dense_0"]["kernel"], state.params.generator["Dense_0"]["kernel"]
    )


def test_clipped_gradients_of_both():
    """Any gradient function: each example's gradient clipped to 0 moves nobody."""
    clip = Partial(clipped_gradient, max_norm=0.0)
    update = make_adversarial_update(toy(), SGD, gradient=clip)
    after, _ = update(start(), batch_of(points(4)))
    assert_close(after.params, start().params, 0, 0)


def test_each_examples_gradient_of_both():
    """Of one pair alone, its gradient is the batch's."""
    observe = Partial(observed_gradient, instruments=norm_instruments)
    _, metrics = make_adversarial_update(toy(), SGD, gradient=observe)(start(), batch_of(points(1)))
    for player in Players._fields:
        assert metrics[f"{player}_gradient_norm"] > 0
        assert_close(
            metrics[f"{player}_example_norm_mean"], metrics[f"{player}_gradient_norm"], 1e-5
        )


def test_images_with_batch_norm():
    """DCGAN's generator trains; its averages move, and evaluation uses them."""
    game = make_game(*models.dcgan(features=4, hidden=16), make_objective("hinge"), latent=LATENT)
    images = jnp.uint8(np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1)))
    state = init_game(jax.random.key(0), game, SGD, images[:1])
    before = jax.tree.map(jnp.copy, state.model_state)
    after, metrics = make_adversarial_update(game, SGD)(
        state, batch_of(Examples(images, jnp.zeros(8, jnp.int32)))
    )
    assert jax.tree.all(jax.tree.map(np.isfinite, metrics))
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after.model_state, before)
    assert min(jax.tree.leaves(moved.generator)) > 0
    keys = jax.random.split(jax.random.key(1), 3)
    batch = batch_of(Examples(images[:3], jnp.zeros(3, jnp.int32)))
    of_generator = Variables(after.params.generator, after.model_state.generator)
    samples = generate(game, of_generator, batch, keys)
    assert samples.shape == (3, 28, 28, 1)
    assert (samples >= 0).all()
    assert (samples <= 1).all()
    alone = generate(game, of_generator, jax.tree.map(lambda of: of[:1], batch), keys[:1])
    np.testing.assert_allclose(alone[0], samples[0], rtol=1e-4, atol=1e-5)


def test_labels():
    """The label reaches both players: another label, other samples and other scores."""
    game = make_conditional_game(
        *models.conditional_dcgan(10, features=4, hidden=16), make_objective("hinge"), latent=LATENT
    )
    images = jnp.uint8(np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)))
    labels = jnp.array([3, 1, 4, 1])
    state = init_game(jax.random.key(0), game, SGD, images[:1])
    after, _ = make_adversarial_update(game, SGD)(state, batch_of(Examples(images, labels)))
    of_generator = Variables(after.params.generator, after.model_state.generator)
    keys = jax.random.split(jax.random.key(1), 4)
    one, other = (
        generate(game, of_generator, batch_of(Examples(images, of)), keys)
        for of in (labels, labels + 1)
    )
    assert not np.allclose(one, other)
    of_discriminator = after.params.discriminator, after.model_state.discriminator
    scores = [
        game.discriminator.apply(*of_discriminator, (one, of), None)[0]
        for of in (labels, labels + 1)
    ]
    assert not np.allclose(*scores)


def test_content_is_added():
    def content(samples, batch):
        return 1e6 * jnp.sum(jnp.square(samples - batch.inputs), axis=1)

    game = Game(*toy()[:5], Partial(content))
    _, metrics = make_adversarial_update(game, SGD)(start(), batch_of(points(4)))
    assert metrics["generator_content"] > 1e5
    assert metrics["generator_gradient_norm"] > 1e5


def test_failures_are_named():
    good = {"loss": 1.2, "discriminator_accuracy": 0.7, "spread": 0.95}
    assert failures(good) == []
    for name, value, told in (
        ("loss", float("nan"), "diverged"),
        ("discriminator_accuracy", 0.995, "saturated: it tells 99.5%"),
        ("spread", 0.2, "collapsed: they spread 0.20 times"),
    ):
        (found,) = failures({**good, name: value})
        assert told in found


def test_first_failures():
    """By hand: of two seeds over three epochs, whose means leave a failed step out."""
    good = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, np.nan]])
    metrics = {
        "loss": good,
        "discriminator_accuracy": np.array([[0.7, 0.995, 0.999], [0.7, 1.0, np.nan]]),
        "spread": np.array([[0.4, 0.9, 0.3], [0.9, 0.1, np.nan]]),
    }
    found = first_failures(metrics, np.array([0, 2]))
    assert [(of["seed"], of["epoch"], of["failure"].split(":")[0]) for of in found] == [
        (1, 1, "the samples have collapsed"),
        (1, 2, "the discriminator is saturated"),
        (2, 2, "the game has diverged"),
    ]
    assert np.isfinite(metrics["loss"][1, 1])


def test_steps_that_do_not_divide_the_batch():
    update = make_adversarial_update(toy(), SGD, discriminator_steps=3)
    with pytest.raises(InputError, match="3 steps of the discriminator on 4 examples"):
        update(start(), batch_of(points(4)))
