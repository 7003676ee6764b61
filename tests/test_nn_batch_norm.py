"""Batch norm on several devices against one device, and models that would differ there."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import models, train
from jaxdl.adversarial import init_game, make_adversarial_update, make_game
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient
from jaxdl.losses import classification_loss
from jaxdl.nn import batch_norm, flax_model
from jaxdl.objectives import make_objective
from jaxdl.parallel import make_mesh
from jaxdl.types import Examples, Players

SGD = optax.sgd(0.1)


class Normed(nn.Module):
    """A classifier whose norm is given."""

    make_norm: Callable[[bool], nn.Module] = batch_norm

    @nn.compact
    def __call__(self, inputs, train: bool):
        hidden = self.make_norm(not train)(nn.Dense(5)(inputs))
        return nn.Dense(3)(nn.tanh(hidden))


class WithDropout(Normed):
    @nn.compact
    def __call__(self, inputs, train: bool):
        hidden = nn.Dropout(0.5, deterministic=not train)(batch_norm(not train)(inputs))
        return nn.Dense(3)(hidden)


class Counter(nn.Module):
    """Keeps the mean of its inputs."""

    use_running_average: bool

    @nn.compact
    def __call__(self, inputs):
        seen = self.variable("batch_stats", "mean", jnp.zeros, inputs.shape[1:])
        if not self.use_running_average:
            seen.value = inputs.mean(axis=0)
        return inputs - seen.value[None]


class Spectral(nn.Module):
    @nn.compact
    def __call__(self, inputs, train: bool):
        hidden = nn.SpectralNorm(nn.Dense(5))(inputs, update_stats=train)
        return nn.Dense(3)(nn.tanh(hidden))


def fitted(module, devices):
    rng = np.random.default_rng(0)
    examples = Examples(jnp.float32(rng.normal(size=(14, 4))), jnp.arange(14) % 3)
    model = flax_model(module)
    update = train.make_update(mean_gradient(classification_loss(model)), SGD)
    state = train.init_state(jax.random.key(0), model, SGD, examples.inputs)
    mesh = make_mesh(devices) if devices else None
    return train.fit(update, state, examples, epochs=3, batch_size=8, mesh=mesh)[0].train


def assert_close(one, other, **tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), one, other)


@pytest.mark.parametrize("module", [Normed(), Spectral()], ids=["batch", "spectral"])
def test_devices_agree_to_rounding(module):
    """Also where the last batch is filled up; parameters and statistics."""
    one = fitted(module, None)
    for devices in (1, 2, 4):
        many = fitted(module, devices)
        assert_close(one.params, many.params, rtol=1e-5, atol=1e-6)
        assert_close(one.model_state, many.model_state, rtol=1e-5, atol=1e-6)


def test_on_one_device_it_is_flaxs():
    assert_close(fitted(Normed(), None).params, fitted(Normed(nn.BatchNorm), None).params, rtol=0)


REFUSED = [
    (Normed(nn.BatchNorm), "BatchNorm_0.* take jaxdl.nn.batch_norm"),
    (Normed(Counter), "Counter_0"),
    (WithDropout(), "dropout beside batch norm"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED)
def test_what_is_of_one_device_is_refused(module, message):
    fitted(module, None)
    with pytest.raises(InputError, match=message):
        fitted(module, 2)


def test_one_device_of_a_mesh_sees_the_whole_batch():
    module = Normed(nn.BatchNorm)
    assert_close(fitted(module, None).params, fitted(module, 1).params, rtol=1e-6)


def test_unequal_shares_are_refused():
    """Copies would fill them up, and count in the statistics."""
    with pytest.raises(InputError, match=r"8 over 3 devices.*a multiple"):
        fitted(Normed(), 3)


def test_a_step_of_a_dcgan_is_the_same_on_two_devices():
    game = make_game(*models.dcgan(2), make_objective("non_saturating"), latent=8)
    update = make_adversarial_update(game, Players(SGD, SGD))
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (8, 28, 28, 1)), jnp.uint8)
    examples = Examples(images, jnp.zeros(8, jnp.int32))
    one, two = (
        train.fit(
            update,
            init_game(jax.random.key(0), game, Players(SGD, SGD), images[:1]),
            examples,
            epochs=1,
            batch_size=8,
            mesh=mesh,
        )[0].train
        for mesh in (None, make_mesh(2))
    )
    assert_close(one.params, two.params, rtol=1e-4, atol=1e-6)
    assert_close(one.model_state, two.model_state, rtol=1e-4, atol=1e-6)
