"""The norms of examples' gradients before and after training, and how many of them are clipped."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxdl import losses, models, optim, plots, train
from jaxdl.gradients import per_example_norms
from jaxdl.optim import OptimizerConfig
from jaxdl.types import Batch, Examples, Params

SHOWN = 2048
"""Training examples whose gradient norms are drawn."""


def measure(examples: Examples, params: Params, *, seed: int) -> dict[str, np.ndarray]:
    """The norm of examples' gradients before and after the training of the first seed."""
    model = models.small_cnn()
    loss_fn = losses.classification_loss(model)
    first = train.init_state(
        jax.random.key(seed),
        model,
        optim.make_optimizer(OptimizerConfig()),
        examples.inputs[:1],
    )
    inputs, targets = examples.inputs[:SHOWN], examples.targets[:SHOWN]
    batch = Batch(inputs, targets, jnp.ones(len(targets)))
    norms = jax.jit(per_example_norms)
    return {
        "before training": np.asarray(norms(loss_fn, first.params, {}, batch, None)),
        "after training": np.asarray(
            norms(loss_fn, jax.tree.map(lambda leaf: leaf[0], params), {}, batch, None)
        ),
    }


@plots.styled
def draw(norms: dict[str, np.ndarray], max_norm: float) -> Figure:
    """How long examples' gradients are, before and after clipping."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, len(norms), sharey=True)
    every = np.concatenate([values[values > 0] for values in norms.values()])
    edges = np.geomspace(min(every.min(), max_norm) / 1.2, every.max() * 1.2, 50)
    for axes, (when, values) in zip(panels, norms.items(), strict=True):
        clipped = np.minimum(values, max_norm)
        axes.hist(values, edges, color=plots.BLUE, alpha=0.5, label="before clipping")
        label = f"after clipping to {max_norm:g}"
        axes.hist(clipped, edges, histtype="step", color=plots.RED, lw=1.8, label=label)
        share = np.mean(values > max_norm)
        axes.set(xscale="log", xlabel="norm of an example's gradient")
        axes.set_title(f"{when}: {share:.0%} are clipped")
    panels[0].set(yscale="log", ylabel=f"examples, of {len(norms['after training']):,}")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
