"""Our side of the benchmark `example_gradients`: run by it, in a process of its own.

Arguments: the work, the model, its width, the batch, the steps in a block. A line in, a block of
steps, a line of JSON out. A step takes a gradient and goes a little against it.
"""

import json
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdl import losses, models
from jaxdl.gradients import (
    clipped_gradient,
    mean_gradient,
    observed_gradient,
    per_example_gradients,
)
from jaxdl.types import Batch

RATE = 1e-3


def by_vmap(loss_fn):
    """The mean gradient and all norms from the gradient of each example, held in memory."""

    def gradient_fn(params, model_state, batch, keys):
        gradients = per_example_gradients(loss_fn, params, model_state, batch, keys)
        squares = [jnp.sum(g.reshape(len(g), -1) ** 2, axis=1) for g in jax.tree.leaves(gradients)]
        return jax.tree.map(lambda g: g.mean(axis=0), gradients), jnp.sqrt(sum(squares))

    return gradient_fn


def norms(observation):
    """All of them: an instrument that reads less might let XLA work out less."""
    return {"norms": observation.norms}


WORKS = {
    "mean": mean_gradient,
    "norms": lambda loss_fn: observed_gradient(loss_fn, norms),
    "clipped": lambda loss_fn: clipped_gradient(loss_fn, 1.0),
    "vmap": by_vmap,
}


def main(work: str, model_name: str, width: int, batch_size: int, steps: int) -> None:
    """Prints a line about the work, one per block, and one at the end."""
    random = np.random.default_rng(0)
    model = models.lenet(dropout_rates=(0.0, 0.0))
    if model_name == "mlp":
        model = models.mlp([width, width], classes=10)
    batch = Batch(
        jnp.asarray(random.random((batch_size, 28, 28, 1), np.float32)),
        jnp.asarray(random.integers(0, 10, batch_size, np.int32)),
        jnp.ones(batch_size),
    )
    params, _ = model.init(jax.random.key(0), batch.inputs[:1])
    gradient_fn = WORKS[work](losses.classification_loss(model))

    @jax.jit
    def block(params, batch):
        def step(params, _):
            gradient, seen = gradient_fn(params, {}, batch, None)
            return jax.tree.map(lambda p, g: p - RATE * g, params, gradient), seen

        return lax.scan(step, params, None, length=steps)

    def timed() -> float:
        start = time.perf_counter()
        jax.block_until_ready(block(params, batch))
        return time.perf_counter() - start

    first, steady = timed(), timed()
    say(first_step_s=first - steady, version=jax.__version__)
    for _ in sys.stdin:
        say(ms_per_step=timed() / steps * 1e3)
    say(peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def say(**values) -> None:
    """A line of JSON."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
