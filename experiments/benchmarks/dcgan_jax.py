"""Our side of the benchmark `dcgan`: run by it. Arguments: steps in a block, a file of images."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from worker import serve

from jaxdl import models, optim, train
from jaxdl.adversarial import init_game, make_adversarial_update, make_game
from jaxdl.objectives import make_objective
from jaxdl.types import Examples, Players

BATCH = 128
EPOCHS = 10_000
LATENT = 64


def main(steps: int, path: str) -> None:
    """Trains; a block is an epoch of a run, as users train."""
    images = jnp.asarray(np.load(path)[..., None])
    game = make_game(*models.dcgan(), make_objective("non_saturating"), latent=LATENT)
    config = optim.OptimizerConfig("adam", 2e-4, arguments={"b1": 0.5})
    optimizers = Players(*(optim.make_optimizer(config) for _ in range(2)))
    state = init_game(jax.random.key(0), game, optimizers, images[:1])
    run = train.fit_in_segments(
        make_adversarial_update(game, optimizers),
        state,
        Examples(images, jnp.zeros(len(images), jnp.int32)),
        epochs=EPOCHS,
        batch_size=BATCH,
    )

    def epoch() -> float:
        segment = jax.block_until_ready(next(run))
        assert segment.epoch is not None
        return float(segment.epoch["loss"])

    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    serve(steps, epoch, parameters=parameters, version=jax.__version__)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
