"""Our side of the benchmark `recurrent`, and Flax': run by it.

Arguments: those of `recurrent_worker`; the way is ``ours``, where an epoch is one of a run, as
users train, split over all cores; or ``flax``, a jitted step that Python calls, on one device, as
in Flax' own examples.
"""

import sys
from collections.abc import Callable
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from recurrent_worker import CLASSES, CLIP_NORM, EMBEDDING, RATE, VOCABULARY, Work
from worker import serve

from jaxdl import cli, losses, models, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.types import Examples

EPOCHS = 10_000
FLAX_CELLS = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}

Epoch = Callable[[], float]


def main(way: str, work: Work) -> None:
    """Trains."""
    mesh = cli.use_devices() if way == "ours" else None
    examples = Examples(*map(jnp.asarray, work.load()))
    parameters, epoch = our_epochs(work, examples, mesh) if mesh else flax_epochs(work, examples)
    serve(work.steps, epoch, parameters=parameters, version=jax.__version__)


# --- ours ----------------------------------------------------------------------------------------


def our_epochs(work: Work, examples: Examples, mesh) -> tuple[int, Epoch]:
    """The number of parameters, and what runs an epoch."""
    units = [work.units] * work.layers
    if work.is_text:
        model = models.language_model(VOCABULARY, cell=work.cell, units=units, embedding=EMBEDDING)
        loss_fn = losses.supervised_loss(model, mean_over_positions)
    else:
        model = models.sequence_classifier(work.cell, units, classes=CLASSES)
        loss_fn = losses.supervised_loss(model, losses.softmax_cross_entropy)
    clip = optim.ClipConfig(global_norm=CLIP_NORM if work.is_text else None)
    optimizer = optim.make_optimizer(optim.OptimizerConfig("adam", RATE, clip=clip))
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(jax.random.key(0), model, optimizer, examples.inputs[:1])
    run = train.fit_in_segments(
        update, state, examples, epochs=EPOCHS, batch_size=work.batch, mesh=mesh
    )

    def epoch() -> float:
        segment = jax.block_until_ready(next(run))
        assert segment.epoch is not None
        return float(segment.epoch["loss"])

    return count(state.params), epoch


def mean_over_positions(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """The loss of each sequence."""
    each = losses.softmax_cross_entropy(logits.reshape(-1, VOCABULARY), tokens.reshape(-1))
    return each.reshape(tokens.shape).mean(axis=1)


# --- Flax ----------------------------------------------------------------------------------------


class FlaxNetwork(nn.Module):
    """The classifier, or the language model."""

    work: Work

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Logits of the last state, or of all."""
        values = nn.Embed(VOCABULARY, EMBEDDING)(inputs) if self.work.is_text else inputs
        for _ in range(self.work.layers):
            values = cast(jax.Array, nn.RNN(FLAX_CELLS[self.work.cell](self.work.units))(values))
        return nn.Dense(self.work.outputs)(values if self.work.is_text else values[:, -1])


def flax_epochs(work: Work, examples: Examples) -> tuple[int, Epoch]:
    """The same of Flax' layers and Optax."""
    model = FlaxNetwork(work)
    params = model.init(jax.random.key(0), examples.inputs[:1])
    optimizer = optax.adam(RATE)
    if work.is_text:
        optimizer = optax.chain(optax.clip_by_global_norm(CLIP_NORM), optimizer)
    state = params, optimizer.init(params)

    def loss_of(params, inputs, targets):
        logits = cast(jax.Array, model.apply(params, inputs))
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    @jax.jit
    def step(params, opt_state, inputs, targets):
        loss, gradient = jax.value_and_grad(loss_of)(params, inputs, targets)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    inputs, targets = map(np.asarray, examples)
    random = np.random.default_rng(0)

    def epoch() -> float:
        nonlocal state
        seen = []
        for rows in random.permutation(len(inputs)).reshape(-1, work.batch):
            *state, loss = step(*state, inputs[rows], targets[rows])
            seen.append(loss)
        return float(np.mean(jax.block_until_ready(seen)))

    return count(params), epoch


def count(params) -> int:
    """How many numbers there are."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


if __name__ == "__main__":
    main(sys.argv[1], Work.read(sys.argv[2:]))
