"""What a trained generator is called with, and samples as pixels."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import generators, judge, models, train
from jaxdl.adversarial import make_game
from jaxdl.objectives import make_objective
from jaxdl.parallel import make_mesh
from jaxdl.types import Examples, Players, Variables

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
