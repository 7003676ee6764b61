"""What a trained generator is called with, and samples as pixels."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import generators, judge, models, train
from jaxdl.adversarial import adversarial_loss, generate, init_game, make_game
from jaxdl.objectives import make_objective
from jaxdl.parallel import make_mesh
from jaxdl.sessions import Trained
from jaxdl.types import Batch, Examples, Players, Variables

EXAMPLES = Examples(jnp.zeros((10, 28, 28, 1), jnp.uint8), jnp.zeros(10, jnp.int32))


@pytest.mark.parametrize("seeds", [None, 2])
def test_batch_statistics_are_those_of_the_given_parameters(seeds, monkeypatch):
    """Of the first norm: a unit is normal, with its bias and the length of its weights."""
    players = models.dcgan(2)
    game = make_game(*players, make_objective("hinge"), latent=generators.LATENT)
    params, model_state = players.generator.init(
        jax.random.key(0), jnp.zeros((1, generators.LATENT))
    )
    rng = np.random.default_rng(0)
    params["Dense_0"]["bias"] = jnp.float32(rng.normal(size=params["Dense_0"]["bias"].shape))
    variables = Variables(params, model_state)
    if seeds:
        variables = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), variables)
    pairs = Players(variables.params, {}), Players(variables.model_state, {})
    monkeypatch.setattr(train, "final_params", lambda state: pairs)
    nothing = dict.fromkeys(train.FitState._fields)
    state = train.FitState(**{**nothing, "stopped": jnp.zeros(seeds or (), bool)})
    found = generators.generators_of(game, state, EXAMPLES)
    for place in range(seeds or 1):
        of = generators.one_of(found, place, seeds or 1)
        layer = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), of.params["Dense_0"])
        bias = layer["bias"].reshape(7, 4, 7)  # width, features, height
        squares = np.square(layer["kernel"]).sum(axis=0).reshape(bias.shape)
        mean = bias.mean(axis=(0, 2))
        variance = (squares + bias**2).mean(axis=(0, 2)) - mean**2
        seen = of.model_state["batch_stats"]["BatchNorm_0"]
        np.testing.assert_allclose(seen["mean"], mean, atol=0.02 * np.sqrt(variance).max())
        np.testing.assert_allclose(seen["var"], variance, rtol=0.03)


def test_an_evaluation_takes_the_statistics_of_the_parameters_that_are_given():
    """As `generators_of` settles them, not those that were seen in training."""
    players = models.dcgan(4, 16)
    game = make_game(*players, make_objective("hinge"), latent=generators.LATENT)
    images = np.random.default_rng(0).integers(0, 256, (200, 28, 28, 1)).astype(np.uint8)
    examples = Examples(jnp.asarray(images), jnp.zeros(200, jnp.int32))
    sgd = optax.sgd(0.0)
    state = init_game(jax.random.key(0), game, Players(sgd, sgd), examples.inputs[:1])
    loose = jax.tree.map(lambda of: 50 * of, state.params)  # scores that lie apart

    def scores(of_generator):
        model_state = state.model_state._replace(generator=of_generator)
        return train.evaluate(adversarial_loss(game), loose, model_state, examples)

    def fitted(params):
        nothing = dict.fromkeys(train.FitState._fields)
        of_train = state._replace(params=params)
        return train.FitState(**{**nothing, "train": of_train, "stopped": jnp.bool_(False)})

    settled = generators.generators_of(game, fitted(loose), examples)
    batch = Batch(examples.inputs / 255, examples.targets, jnp.ones(200))
    samples = generate(game, settled, batch, jax.random.split(jax.random.key(0), 200))
    expected, _ = game.discriminator.apply(
        loose.discriminator, state.model_state.discriminator, samples, None
    )
    found = scores(state.model_state.generator)["score_of_generated"]
    np.testing.assert_allclose(found, expected.mean(), rtol=0.02)
    wrong = jax.tree.map(lambda of: of + 1.0, state.model_state.generator)
    np.testing.assert_array_equal(scores(wrong)["score_of_generated"], found)


@pytest.mark.parametrize("seeds", [None, 2])
def test_a_failed_step_is_a_game_that_has_diverged(seeds):
    """Step 5 of epochs of 3 steps is in the second one, whose mean is finite."""
    shape = (2, 2) if seeds else (2,)
    epochs = {name: np.full(shape, 0.9) for name in ("loss", "discriminator_accuracy", "spread")}
    nothing = dict.fromkeys(train.FitState._fields)
    failed = np.array([train.NEVER, 5]) if seeds else np.array(5)
    state = train.FitState(**{**nothing, "failed_step": failed})
    (found,) = generators.failures_of(Trained(state, epochs, 0.0, 0.0), 3)
    assert (found["seed"], found["epoch"]) == (seeds or 1, 2)
    assert "diverged" in found["failure"]


def test_pixels():
    images = jnp.array([-0.2, 0.0, 0.5, 1.0, 1.3]).reshape(5, 1, 1, 1)
    np.testing.assert_array_equal(generators.as_pixels(images).ravel(), [0, 0, 128, 255, 255])


@pytest.mark.parametrize("labels", [None, np.arange(192) % 10])
def test_a_network_is_trained_on_as_many_samples_as_images(labels, few_digits, monkeypatch, capsys):
    """And the first of them are judged; the judge itself is such a network of real images."""
    config = generators.GeneratorOptions(samples=30)
    images = np.zeros((192, 28, 28, 1), np.uint8)
    read = np.eye(10)[(np.arange(192) + (np.arange(192) < 6)) % 10]
    reader = SimpleNamespace(accuracy=0.9)
    seen = {}

    def train_on(examples, test, classes, recipe, *, mesh):
        seen.update(trained=examples, mesh=mesh)
        return 0.8

    monkeypatch.setattr(judge, "judge_in", lambda *_, mesh: reader)
    monkeypatch.setattr(judge, "make_reference", lambda *_: None)
    monkeypatch.setattr(judge, "score", lambda _, some, *__, seed: {"images": float(len(some))})
    monkeypatch.setattr(judge, "read", lambda _, some: read[: len(some)])
    monkeypatch.setattr(judge, "bounds", lambda *_, seed: {"real train": {}, "noise": {}})
    monkeypatch.setattr(judge, "classification_accuracy_score", train_on)
    monkeypatch.setattr(judge, "table", lambda *_: "")
    mesh = make_mesh(2)
    scores, bounds = generators.judged(config, few_digits, [images], labels, mesh=mesh)
    assert scores[0]["images"] == 30
    assert bounds["real train"]["classification_accuracy"] == 0.9
    assert seen["mesh"] is mesh
    assert len(seen["trained"].inputs) == 192
    known = read.argmax(axis=1) if labels is None else labels
    np.testing.assert_array_equal(seen["trained"].targets, known)
    assert scores[0].get("read_as_asked") == (None if labels is None else 24 / 30)
