"""Flax modules of every calling convention as models, and our layers against Flax's own."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.nn import Conv, DenseOfImages, change_layout, dropout, flax_model
from jaxdl.types import as_pytree

KEYS = jax.random.split(jax.random.key(1), 4)
INPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32))


class Plain(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(self.width)(inputs)


class WithKeys(nn.Module):
    @nn.compact
    def __call__(self, inputs, keys, rate):
        return nn.Dense(3)(dropout(inputs, rate, keys))


class WithFlag(nn.Module):
    @nn.compact
    def __call__(self, inputs, deterministic: bool):
        hidden = nn.Dense(50)(inputs)
        return nn.Dropout(0.5, deterministic=deterministic)(hidden)


class WithStatistics(nn.Module):
    @nn.compact
    def __call__(self, inputs, train: bool):
        normed = nn.BatchNorm(use_running_average=not train, momentum=0.9)(inputs)
        return nn.Dropout(0.5, deterministic=not train)(normed)


def start(model):
    return model.init(jax.random.key(0), INPUTS[:1])


apply = jax.jit(lambda model, *arguments: model.apply(*arguments))


def test_plain_module():
    model = flax_model(Plain())
    params, model_state = start(model)
    assert model_state == {}
    expected = INPUTS @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
    for keys in (None, KEYS):
        outputs, state = apply(model, params, model_state, INPUTS, keys)
        np.testing.assert_allclose(outputs, expected, rtol=1e-6)
        assert state == {}


def test_init_is_flax_init():
    chex.assert_trees_all_close(
        start(flax_model(Plain())).params,
        Plain().init(jax.random.key(0), INPUTS)["params"],
        rtol=1e-6,
    )


@pytest.mark.parametrize("model", [flax_model(WithKeys(), rate=0.5), flax_model(WithFlag())])
def test_draws_belong_to_the_example(model):
    params, model_state = start(model)
    with jax.enable_x64(True):  # in float32 a sum is rounded as the batch's size has it
        inputs = jnp.asarray(INPUTS, float)
        trained, _ = apply(model, params, model_state, inputs, KEYS)
        for i in range(4):
            alone, _ = apply(model, params, model_state, inputs[i : i + 1], KEYS[i : i + 1])
            np.testing.assert_allclose(trained[i], alone[0], rtol=1e-5)
        evaluated, _ = apply(model, params, model_state, inputs, None)
    assert not np.allclose(trained, evaluated)


def test_examples_draw_differently():
    """The same input twice in a batch is dropped differently."""
    model = flax_model(WithFlag())
    inputs = jnp.tile(INPUTS[:1], (2, 1))
    outputs, _ = apply(model, *start(model), inputs, KEYS[:2])
    assert not np.allclose(*outputs)


def test_batch_statistics():
    """Training moves them by the batch's own, an evaluation uses them and leaves them alone."""
    model = flax_model(WithStatistics())
    params, model_state = start(model)
    _, moved = apply(model, params, model_state, INPUTS, KEYS)
    mean = moved["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * np.mean(INPUTS, 0), rtol=1e-5)
    chex.assert_trees_all_equal_structs(moved, model_state)
    outputs, same = apply(model, params, moved, INPUTS, None)
    chex.assert_trees_all_equal(same, moved)
    variance = moved["batch_stats"]["BatchNorm_0"]["var"]
    expected = (INPUTS - mean[None]) / np.sqrt(variance[None] + 1e-5)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)


def test_equal_models_are_one_program():
    """Neither a second construction nor another number traces again; another module does."""
    traces = []

    @jax.jit
    def run(model, params, inputs, keys):
        traces.append(1)
        return model.apply(params, {}, inputs, keys)[0]

    params, _ = start(flax_model(WithKeys(), rate=0.5))
    outputs = [
        run(as_pytree(flax_model(WithKeys(), rate=rate)), params, INPUTS, KEYS)
        for rate in (0.5, 0.5, 0.9, 0.0)
    ]
    assert len(traces) == 1
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.allclose(outputs[0], outputs[2])
    structures = [jax.tree.structure(flax_model(Plain(width))) for width in (3, 3, 4)]
    assert structures[0] == structures[1] != structures[2]
    assert hash(structures[0]) == hash(structures[1])


def test_vmap_over_params():
    model = flax_model(WithKeys(), rate=0.5)
    init = jax.vmap(model.init, in_axes=(0, None))
    params, _ = init(jax.random.split(jax.random.key(0), 2), INPUTS)
    both = jax.jit(jax.vmap(lambda params: model.apply(params, {}, INPUTS, KEYS)[0]))(params)
    apart = jax.lax.map(lambda params: model.apply(params, {}, INPUTS, KEYS)[0], params)
    np.testing.assert_allclose(both, apart, rtol=1e-5)


def test_bad_modules():
    class Unhashable(nn.Module):
        widths: np.ndarray

        def __call__(self, inputs):
            return inputs

    with pytest.raises(InputError, match="Unhashable cannot be hashed"):
        flax_model(Unhashable(np.ones(2)))
    with pytest.raises(InputError, match=r"no argument 'rte'; did you mean rate\?"):
        flax_model(WithKeys(), rte=0.5)


@pytest.mark.parametrize("layout", ["NHWC", "WCHN"])
def test_layers_are_flax_layers(layout):
    """Same parameters, same outputs: a convolution, then a dense layer on all of it."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32))

    class Ours(nn.Module):
        @nn.compact
        def __call__(self, images):
            images = change_layout(images, "NHWC", layout)
            maps = Conv(4, (3, 2), strides=(2, 1), padding="valid", layout=layout, name="conv")
            return DenseOfImages(7, layout=layout, name="dense")(maps(images))

    class Theirs(nn.Module):
        @nn.compact
        def __call__(self, images):
            conv = nn.Conv(4, (3, 2), (2, 1), "VALID", kernel_init=glorot, name="conv")
            maps = conv(images).reshape(images.shape[0], -1)
            return nn.Dense(7, kernel_init=glorot, name="dense")(maps)

    glorot = jax.nn.initializers.glorot_uniform()

    @jax.jit
    def run(images):
        drawn = [module.init(jax.random.key(0), images) for module in (Ours(), Theirs())]
        variables = jax.tree.map(lambda leaf: leaf + 0.1, drawn[0])
        return drawn, Ours().apply(variables, images), Theirs().apply(variables, images)

    (ours, theirs), outputs, their_outputs = run(images)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(outputs, their_outputs, rtol=1e-5)
