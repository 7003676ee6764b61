"""The models against plain Flax layers with the same parameters."""

from itertools import pairwise

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.models import lenet, lenet_feature_maps, mlp
from jaxdl.nn import dropout
from jaxdl.types import as_pytree

RNG = np.random.default_rng(0)
PIXELS = jnp.asarray(RNG.integers(0, 256, (3, 28, 28, 1)), jnp.uint8)
KEYS = jax.random.split(jax.random.key(1), 3)
NO_DROPOUT = lenet(dropout_rates=(0.0, 0.0))


class PlainLeNet(nn.Module):
    """The seed network as a Keras tutorial would write it in Flax."""

    @nn.compact
    def __call__(self, images):
        maps = nn.relu(nn.Conv(6, (5, 5), name="conv1")(images / 255))
        maps = nn.max_pool(maps, (2, 2), (2, 2))
        maps = nn.relu(nn.Conv(16, (5, 5), name="conv2")(maps))
        maps = nn.max_pool(maps, (2, 2), (2, 2))
        maps = nn.relu(nn.Conv(120, (5, 5), name="conv3")(maps))
        hidden = nn.relu(nn.Dense(84, name="dense1")(maps.reshape(maps.shape[0], -1)))
        return nn.Dense(10, name="dense2")(hidden)


@pytest.fixture(scope="module")
def drawn():
    variables = NO_DROPOUT.init(jax.random.key(0), PIXELS[:1])
    assert variables.model_state == {}
    return variables.params


@pytest.fixture(scope="module")
def params(drawn):
    """With biases that matter."""
    return {name: {**layer, "bias": layer["bias"] + 0.01} for name, layer in drawn.items()}


def test_lenet_parameters(drawn):
    assert sum(leaf.size for leaf in jax.tree.leaves(drawn)) == 545_546
    for layer in drawn.values():
        assert not layer["bias"].any()
        *window, fan_in, fan_out = layer["kernel"].shape
        limit = np.sqrt(6 / (np.prod(window) * (fan_in + fan_out)))
        assert 0.95 * limit < np.abs(layer["kernel"]).max() <= limit * (1 + 1e-6)


def test_lenet_is_plain_flax(params):
    """Logits and gradients, to float32's rounding."""

    def ours(params):
        logits, _ = NO_DROPOUT.apply(params, {}, PIXELS, None)
        return jnp.sum(logits**2), logits

    def theirs(params):
        logits = PlainLeNet().apply({"params": params}, PIXELS.astype(jnp.float32))
        return jnp.sum(logits**2), logits

    @jax.jit
    def run(params):
        scaled, _ = NO_DROPOUT.apply(params, {}, PIXELS.astype(jnp.float32) / 255, None)
        return jax.grad(ours, has_aux=True)(params), jax.grad(theirs, has_aux=True)(params), scaled

    (gradient, logits), (their_gradient, their_logits), of_scaled = run(params)
    np.testing.assert_allclose(logits, their_logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, of_scaled, rtol=1e-6)
    for one, other in zip(*map(jax.tree.leaves, (gradient, their_gradient)), strict=True):
        assert np.linalg.norm(one - other) < 1e-5 * np.linalg.norm(other)


def test_lenet_drops_out_by_example(params):
    """Once with the batch, once alone; and another rate is no new trace."""
    traces = []

    @jax.jit
    def run(model, pixels, keys):
        traces.append(pixels.shape)
        return model.apply(params, {}, pixels, keys)[0]

    model = as_pytree(lenet())
    together = run(model, PIXELS, KEYS)
    alone = [run(model, PIXELS[i : i + 1], KEYS[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(together, jnp.stack(alone), rtol=1e-4, atol=1e-5)
    none = run(as_pytree(lenet(dropout_rates=(0.0, 0.0))), PIXELS, KEYS)
    np.testing.assert_allclose(none, run(NO_DROPOUT, PIXELS, KEYS), rtol=1e-6)
    for rates in [(0.0, 0.5), (0.25, 0.0)]:
        other = run(as_pytree(lenet(dropout_rates=rates)), PIXELS, KEYS)
        assert not np.allclose(other, none)
        assert not np.allclose(other, together)
    assert traces == [(3, 28, 28, 1), (1, 28, 28, 1)]


def test_lenet_vmapped_over_params(params):
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, 1.1 * leaf]), params)

    @jax.jit
    def run(several):
        pixels = PIXELS.astype(jnp.float32)
        together = jax.vmap(lambda p: NO_DROPOUT.apply(p, {}, PIXELS, None)[0])(several)
        apart = jax.lax.map(lambda p: PlainLeNet().apply({"params": p}, pixels), several)
        return together, apart

    np.testing.assert_allclose(*run(several), rtol=1e-4, atol=1e-5)


def test_lenet_feature_maps(params):
    maps = jax.jit(lenet_feature_maps)(params, PIXELS)
    shapes = {name: seen.shape[1:] for name, seen in maps.items()}
    assert shapes == {"conv1": (28, 28, 6), "conv2": (14, 14, 16), "conv3": (7, 7, 120)}
    first = nn.Conv(6, (5, 5)).apply({"params": params["conv1"]}, PIXELS / 255)
    np.testing.assert_allclose(maps["conv1"], nn.relu(first), rtol=1e-4, atol=1e-6)


WIDTHS = [49, 8, 6, 4]
DENSE = {
    f"Dense_{i}": {
        "kernel": RNG.normal(size=shape).astype(np.float32),
        "bias": RNG.normal(size=shape[1]).astype(np.float32),
    }
    for i, shape in enumerate(pairwise(WIDTHS))
}
SMALL = PIXELS[:, ::4, ::4]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_mlp(activation):
    """Against matrix products; uint8 is flattened and scaled."""
    model = mlp([8, 6], classes=4, activation=activation)
    shapes = jax.eval_shape(model.init, jax.random.key(0), SMALL[:1]).params
    chex.assert_trees_all_equal_shapes(shapes, DENSE)
    values = np.asarray(SMALL, np.float64).reshape(3, -1) / 255
    for i, layer in enumerate(DENSE.values()):
        values = values @ layer["kernel"] + layer["bias"]
        if i < 2:
            values = np.maximum(values, 0) if activation == "relu" else np.tanh(values)
    for keys in (None, KEYS):
        np.testing.assert_allclose(model.apply(DENSE, {}, SMALL, keys)[0], values, rtol=1e-4)


def test_mlp_dropout():
    run = jax.jit(lambda model, keys: model.apply(DENSE, {}, SMALL, keys)[0])
    model, without = (mlp([8, 6], classes=4, dropout_rate=rate) for rate in (0.5, 0.0))
    evaluated = run(model, None)
    assert not np.allclose(run(model, KEYS), evaluated)
    np.testing.assert_allclose(run(without, KEYS), evaluated, rtol=1e-5)
    assert jax.tree.structure(model) == jax.tree.structure(without)


def test_mlp_draws_differ_between_layers():
    """With the identity for weights, what the first layer kept the second drops anew."""
    model = mlp([100, 100], classes=100, dropout_rate=0.5)
    layer = {"kernel": jnp.eye(100), "bias": jnp.zeros(100)}
    outputs, _ = model.apply(
        {f"Dense_{i}": layer for i in range(3)}, {}, jnp.ones((1, 100)), KEYS[:1]
    )
    assert 0.1 < np.mean(outputs != 0) < 0.4
    assert set(np.unique(outputs)) == {0.0, 4.0}


def test_mlp_input_dropout():
    """It is that of a layer of its own before the first."""
    model = mlp([8, 6], classes=4, dropout_rate=0.5, input_dropout_rate=0.25)
    without = mlp([8, 6], classes=4, dropout_rate=0.5, input_dropout_rate=0.0)
    dropped = dropout(SMALL.reshape(3, -1) / 255, 0.25, KEYS, layer=2)
    outputs, _ = model.apply(DENSE, {}, SMALL, KEYS)
    np.testing.assert_allclose(outputs, without.apply(DENSE, {}, dropped, KEYS)[0], rtol=1e-5)
    assert 0.1 < np.mean(dropped == 0) - np.mean(SMALL == 0) < 0.4


def test_mlp_names():
    with pytest.raises(InputError, match="no activation 'rellu'; did you mean"):
        mlp([8], classes=2, activation="rellu")
    with pytest.raises(InputError, match="no initializer"):
        mlp([8], classes=2, kernel_initializer="he")
