"""Our side of the benchmark `mnist_cnn`: run by it, in a process of its own.

Argument: steps in a block. A line in, a block of steps, a line of JSON out. A block is an epoch of
a run, as users train.
"""

import json
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import losses, models, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.types import Examples

BATCH = 128
EPOCHS = 10_000


def main(steps: int) -> None:
    """Prints a line about the model, one per block, and one at the end."""
    random = np.random.default_rng(0)
    images = jnp.asarray(random.integers(0, 256, (BATCH * steps, 28, 28, 1), np.uint8))
    labels = jnp.asarray(random.integers(0, 10, BATCH * steps, np.int32))
    model = models.lenet()
    optimizer = optim.make_optimizer(optim.OptimizerConfig())
    update = train.make_update(mean_gradient(losses.classification_loss(model)), optimizer)
    state = train.init_state(jax.random.key(0), model, optimizer, images[:1])
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    run = train.fit_in_segments(
        update, state, Examples(images, labels), epochs=EPOCHS, batch_size=BATCH
    )
    first, _ = timed_block(run)
    steady, _ = timed_block(run)
    say(first_step_s=first - steady, parameters=parameters, version=jax.__version__)
    loss = float("nan")
    for _ in sys.stdin:
        seconds, loss = timed_block(run)
        say(ms_per_step=seconds / steps * 1e3)
    say(peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, loss=loss)


def timed_block(run) -> tuple[float, float]:
    """Seconds of the next epoch, and its mean loss."""
    start = time.perf_counter()
    segment = jax.block_until_ready(next(run))
    return time.perf_counter() - start, float(segment.epoch["loss"])


def say(**values) -> None:
    """A line of JSON."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
