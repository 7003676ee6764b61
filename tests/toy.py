"""A small classification problem and a linear model with dropout, as plain functions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from jaxdl import losses
from jaxdl.gradients import mean_gradient
from jaxdl.train import init_state, make_update
from jaxdl.types import Examples, Model, Variables

FEATURES, CLASSES = 5, 3


def examples(count=100, seed=0) -> Examples:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, FEATURES)).astype(np.float32)
    targets = np.argmax(inputs[:, :CLASSES] + 0.1 * rng.normal(size=(count, CLASSES)), axis=1)
    return Examples(jnp.asarray(inputs), jnp.asarray(targets, jnp.int32))


def _init(key, inputs):
    weights = jax.random.normal(key, (inputs.shape[-1], CLASSES))
    return Variables({"w": weights, "b": jnp.zeros(CLASSES)}, {})


def _apply(rate, params, model_state, inputs, keys):
    if keys is not None:
        keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (FEATURES,)))(keys)
        inputs = inputs * keep
    return inputs @ params["w"] + params["b"][None], model_state


def linear_model(dropout_rate=0.0) -> Model:
    return Model(_init, Partial(_apply, dropout_rate))


def _scale(rate, gradient, state, params=None):
    return jax.tree.map(lambda g: -rate * g, gradient), state


def _no_state(params):
    return ()


def gradient_descent(learning_rate) -> optax.GradientTransformation:
    return optax.GradientTransformation(_no_state, Partial(_scale, learning_rate))


def setup(learning_rate=0.1, dropout_rate=0.2, seed=0, optimizer=None):
    """An update, a state and a loss function for `examples`."""
    model = linear_model(dropout_rate)
    loss_fn = losses.classification_loss(model)
    optimizer = optimizer or gradient_descent(learning_rate)
    update = make_update(mean_gradient(loss_fn), optimizer)
    state = init_state(jax.random.key(seed), model, optimizer, jnp.zeros((1, FEATURES)))
    return update, state, loss_fn
