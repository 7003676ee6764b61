"""Softmax regression of document vectors to its minimum, at several strengths of the penalty."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from experiments.text_classification.documents import Split
from experiments.text_classification.readings import AnyArray, Reading
from jaxdl import losses, models, optim
from jaxdl.sweep import sweep
from jaxdl.types import Batch, Examples, LossFn, Params, Static

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""What the sum of the losses is multiplied by, beside half the sum of the squared weights: the C of
scikit-learn's LogisticRegression."""
TOLERANCE, MOST_STEPS = 1e-6, 1000
"""The gradient's norm at which a minimum is reached, and the steps after which it is given up."""


class Regression(NamedTuple):
    """Softmax regressions, one for each seed, of the strength that did best on its validation set.

    Attributes:
        strength: of the penalty, an entry of `STRENGTHS`.
        validation_accuracy: with it.
        classes: that it takes the test documents for.
        weights: of each word for each class.
        steps: that the longest of the descents took.
        gradient_norm: where the worst of them ended.
    """

    strength: Float[AnyArray, " seeds"]
    validation_accuracy: Float[AnyArray, " seeds"]
    classes: Int[AnyArray, "seeds test"]
    weights: Float[AnyArray, "seeds vocabulary classes"]
    steps: Int[AnyArray, " seeds"]
    gradient_norm: Float[AnyArray, " seeds"]

    @property
    def reading(self) -> Reading:
        """What they make of the documents."""
        return Reading(np.asarray(self.validation_accuracy), np.asarray(self.classes))


def regress(
    vectors: Float[np.ndarray, "documents vocabulary"],
    targets: Int[np.ndarray, " documents"],
    parts: Split,
    mesh: Mesh | None = None,
) -> Regression:
    """Fits one for each seed, over the devices of ``mesh``."""
    examples = Examples(jnp.asarray(vectors), jnp.asarray(targets))
    run = Partial(regress_one, Static(int(targets.max()) + 1), examples, jnp.asarray(parts.test))
    rows = {"train": parts.train, "validation": parts.validation}
    # Nothing is drawn: the key is there since every sweep has one.
    found = sweep(run, jax.random.split(jax.random.key(0), 1), rows, mesh=mesh)
    return Regression(*(of[:, 0] for of in found))


def regress_one(classes: Static[int], examples: Examples, test: Array, key, rows) -> Regression:
    """The path of minima from the strongest penalty to the weakest, and the best of them."""
    train, validation = (take(examples, rows[name]) for name in ("train", "validation"))
    model = models.mlp([], classes=classes.value)
    plain = losses.classification_loss(model)

    def descend(params: Params, strength: Array):
        penalty = 1 / (2 * strength * len(train.targets))
        loss_fn = losses.with_penalty(plain, Partial(losses.l2, strength=penalty))
        params, steps, gradient_norm = minimize(loss_fn, params, train)
        _, aux = plain(params, {}, validation, None)
        accuracy = aux.metrics["accuracy"].mean()
        return params, (params, steps, gradient_norm, accuracy)

    start = jax.tree.map(jnp.zeros_like, model.init(key, train.inputs[:1]).params)
    _, (path, steps, norms, accuracies) = lax.scan(descend, start, jnp.array(STRENGTHS))
    best = jnp.argmax(accuracies)
    params = jax.tree.map(lambda of: of[best], path)
    return Regression(
        jnp.array(STRENGTHS)[best],
        accuracies[best],
        model.apply(params, {}, examples.inputs[test], None)[0].argmax(axis=1),
        params["Dense_0"]["kernel"],
        steps.max(),
        norms.max(),
    )


def take(examples: Examples, rows: Array) -> Batch:
    """Some of the examples, all of weight 1."""
    return Batch(examples.inputs[rows], examples.targets[rows], jnp.ones(rows.shape))


def minimize(loss_fn: LossFn, params: Params, batch: Batch) -> tuple[Params, Array, Array]:
    """The minimum of a convex mean loss by L-BFGS (Liu and Nocedal 1989), from ``params`` on.

    Returns:
        The parameters, the steps that were taken, and the norm of the gradient there.
    """

    def mean_loss(params: Params) -> Float[Array, ""]:
        return loss_fn(params, {}, batch, None)[0].mean()

    optimizer = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(mean_loss)

    def unfinished(carry):
        _, _, steps, gradient_norm = carry
        return (steps < MOST_STEPS) & (gradient_norm > TOLERANCE)

    def step(carry):
        params, state, steps, _ = carry
        value, gradient = value_and_gradient(params, state=state)
        updates, state = optimizer.update(
            gradient, state, params, value=value, grad=gradient, value_fn=mean_loss
        )
        params = optax.apply_updates(params, updates)
        norm = optim.global_norm(optax.tree.get(state, "grad"))
        return params, state, steps + 1, norm

    start = (params, optimizer.init(params), jnp.int32(0), jnp.float32(jnp.inf))
    params, _, steps, gradient_norm = lax.while_loop(unfinished, step, start)
    return params, steps, gradient_norm
