"""Losses that give one value per example, penalties on parameters, and the loss of a model.

A loss here is never averaged: the mean is taken in one place (`jaxdl.gradients`), where padding and
devices are known. Numbers are bound with `jax.tree_util.Partial`, so that changing one recompiles
nothing: ``Partial(huber, delta=0.5)``.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Integer, Key

from jaxdl.pixels import scale_pixels
from jaxdl.types import (
    Batch,
    Keys,
    LossAux,
    LossFn,
    Model,
    ModelState,
    Number,
    Params,
    as_pytree,
)

Labels = Int[Array, " batch"] | Float[Array, "batch classes"]


def softmax_cross_entropy(
    logits: Float[Array, "batch classes"], labels: Labels, label_smoothing: Number = 0.0
) -> Float[Array, " batch"]:
    """``-sum_k q_k log softmax(logits)_k`` in nats, stable for any finite logits.

    Args:
        logits: before the softmax.
        labels: classes as integers, or probabilities (one-hot), one row an example.
        label_smoothing: ``s`` in ``q = (1 - s) * onehot + s / classes`` (Szegedy et al. 2016,
            arXiv:1512.00567, section 7).

    >>> softmax_cross_entropy(jnp.zeros((1, 4)), jnp.array([2]))
    Array([1.3862944], dtype=float32)
    """
    if labels.ndim == 1:
        labels = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    chex.assert_equal_shape([logits, labels])
    return optax.losses.softmax_cross_entropy(
        logits, optax.losses.smooth_labels(labels, label_smoothing)
    )


def sigmoid_binary_cross_entropy(
    logits: Float[Array, "batch ..."], labels: Array
) -> Float[Array, " batch"]:
    """``-y log p - (1 - y) log(1 - p)`` with ``p = sigmoid(logit)``, in nats, summed over outputs.

    Args:
        logits: before the sigmoid; any finite value is safe.
        labels: 0 or 1 (or a probability), in the shape of ``logits``.
    """
    chex.assert_equal_shape([logits, labels])
    return _sum_outputs(optax.losses.sigmoid_binary_cross_entropy(logits, labels))


def squared_error(
    predictions: Float[Array, "batch ..."], targets: Float[Array, "batch ..."]
) -> Float[Array, " batch"]:
    """``sum (prediction - target)^2`` over an example's outputs."""
    return _sum_outputs(optax.losses.squared_error(predictions, targets))


def half_squared_error(
    predictions: Float[Array, "batch ..."], targets: Float[Array, "batch ..."]
) -> Float[Array, " batch"]:
    """``sum (prediction - target)^2 / 2`` over an example's outputs; its slope is the error."""
    return squared_error(predictions, targets) / 2


def absolute_error(
    predictions: Float[Array, "batch ..."], targets: Float[Array, "batch ..."]
) -> Float[Array, " batch"]:
    """``sum |prediction - target|`` over an example's outputs."""
    chex.assert_equal_shape([predictions, targets])
    return _sum_outputs(jnp.abs(predictions - targets))


def huber(
    predictions: Float[Array, "batch ..."],
    targets: Float[Array, "batch ..."],
    delta: Number = 1.0,
) -> Float[Array, " batch"]:
    """``e^2 / 2`` where ``|e| <= delta``, else ``delta (|e| - delta / 2)`` (Huber 1964), summed.

    >>> huber(jnp.array([[0.5], [3.0]]), jnp.zeros((2, 1)))
    Array([0.125, 2.5  ], dtype=float32)
    """
    return _sum_outputs(optax.losses.huber_loss(predictions, targets, delta=delta))


def accuracy(logits: Float[Array, "batch classes"], labels: Labels) -> Float[Array, " batch"]:
    """1 where the largest logit is the label's, else 0."""
    if labels.ndim == 2:
        labels = jnp.argmax(labels, axis=-1)
    return (jnp.argmax(logits, axis=-1) == labels).astype(logits.dtype)


def token_cross_entropy(
    logits: Float[Array, "batch time tokens"], targets: Integer[Array, "batch time"]
) -> Float[Array, " batch"]:
    """`softmax_cross_entropy` of each token, in nats, the mean over a sequence's tokens.

    >>> token_cross_entropy(jnp.zeros((1, 3, 2)), jnp.array([[0, 1, 1]]))
    Array([0.6931472], dtype=float32)
    """
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets)
    return losses.mean(axis=1)


def token_accuracy(
    logits: Float[Array, "batch time tokens"], targets: Integer[Array, "batch time"]
) -> Float[Array, " batch"]:
    """The share of a sequence's tokens that have the largest logit."""
    return (jnp.argmax(logits, axis=-1) == targets).astype(logits.dtype).mean(axis=1)


def supervised_loss(
    model: Model,
    example_loss: Callable[[Array, Array], Float[Array, " batch"]],
    **metrics: Callable[[Array, Array], Float[Array, " batch"]],
) -> LossFn:
    """The loss of a model's outputs against the targets.

    Args:
        model: gives ``outputs`` for ``batch.inputs``.
        example_loss: ``(outputs, targets) -> (batch,)``.
        **metrics: more functions like it, recorded under their names.

    Returns:
        A `LossFn`. Its metrics hold ``loss`` (this one, whatever penalty is added around it later)
        and one entry per metric.

    >>> from jaxdl.models import mlp
    >>> loss_fn = supervised_loss(mlp([8], classes=10), softmax_cross_entropy, accuracy=accuracy)
    """
    return Partial(_supervised_loss, as_pytree(model), as_pytree(example_loss), as_pytree(metrics))


def classification_loss(model: Model, label_smoothing: Number = 0.0) -> LossFn:
    """`supervised_loss` by softmax cross-entropy, with the accuracy among its metrics.

    Label smoothing acts while training; an evaluation (``keys=None``) has none, so that its loss
    can be compared between runs.
    """
    training = supervised_loss(
        model, Partial(softmax_cross_entropy, label_smoothing=label_smoothing), accuracy=accuracy
    )
    evaluation = supervised_loss(model, softmax_cross_entropy, accuracy=accuracy)
    return Partial(_train_or_evaluate, training, evaluation)


def language_loss(model: Model) -> LossFn:
    """`supervised_loss` by the cross-entropy of each next token, in nats, with its accuracy."""
    return supervised_loss(model, token_cross_entropy, accuracy=token_accuracy)


def with_penalty(loss_fn: LossFn, penalty: Callable[[Params], Float[Array, ""]]) -> LossFn:
    """Adds ``penalty(params)`` to each example's loss, and so once to their mean.

    The metric ``loss`` stays the loss without it. Decoupled weight decay is another thing: see
    `jaxdl.optim`.

    >>> loss_fn = with_penalty(lambda *arguments: ..., Partial(l2, strength=1e-4))
    """
    return Partial(_with_penalty, as_pytree(loss_fn), as_pytree(penalty))


def with_augmentation(
    loss_fn: LossFn, augment: Callable[[Array, Key[Array, " batch"]], Array]
) -> LossFn:
    """Gives the loss ``augment(inputs, keys)`` in place of the inputs while training.

    An evaluation (``keys=None``) sees the inputs as they are. Pixels come to ``augment`` scaled to
    [0, 1] (`jaxdl.pixels.scale_pixels`).
    """
    return Partial(_with_augmentation, as_pytree(loss_fn), as_pytree(augment))


def l1(params: Params, strength: Number) -> Float[Array, ""]:
    """``strength * sum |w|`` over the weights (not biases and scales: arrays of one axis)."""
    return strength * sum((jnp.sum(jnp.abs(w)) for w in _weights(params)), jnp.float32(0))


def soft_threshold(params: Params, threshold: Number) -> Params:
    """Brings each weight nearer to 0 by ``threshold``, and those that are as near to 0 exactly.

    ``sign(w) max(|w| - threshold, 0)``, the proximal operator of `l1`: it minimizes ``l1(v,
    threshold) + |v - w|^2 / 2`` over ``v`` (Donoho and Johnstone 1994; Beck and Teboulle 2009,
    equation 1.5). Arrays of one axis stay as they are.

    >>> soft_threshold(jnp.array([[3.0, -0.5, -2.0]]), 1.0)
    Array([[ 2., -0., -1.]], dtype=float32)
    """

    def shrink(leaf: Array) -> Array:
        return jnp.sign(leaf) * jnp.maximum(jnp.abs(leaf) - threshold, 0)

    return jax.tree.map(lambda leaf: shrink(leaf) if _is_weight(leaf) else leaf, params)


def l2(params: Params, strength: Number) -> Float[Array, ""]:
    """``strength * sum w^2`` over the weights (not biases and scales: arrays of one axis).

    >>> l2({"kernel": jnp.full((2, 2), 3.0), "bias": jnp.ones(2)}, strength=0.5)
    Array(18., dtype=float32)
    """
    return strength * sum((jnp.sum(jnp.square(w)) for w in _weights(params)), jnp.float32(0))


def elastic_net(params: Params, l1_strength: Number, l2_strength: Number) -> Float[Array, ""]:
    """``l1_strength * sum |w| + l2_strength * sum w^2`` (Zou and Hastie 2005, equation 3)."""
    return l1(params, l1_strength) + l2(params, l2_strength)


def _weights(params: Params) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(params) if _is_weight(leaf)]


def _is_weight(leaf: Array) -> bool:
    return leaf.ndim > 1


def _sum_outputs(values: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))


def _supervised_loss(
    model, example_loss, metrics, params: Params, model_state: ModelState, batch: Batch, keys: Keys
):
    outputs, model_state = model.apply(params, model_state, batch.inputs, keys)
    losses = example_loss(outputs, batch.targets)
    chex.assert_shape(losses, batch.weights.shape)
    seen = {name: metric(outputs, batch.targets) for name, metric in metrics.items()}
    return losses, LossAux(model_state, {"loss": losses, **seen})


def _train_or_evaluate(
    training, evaluation, params: Params, model_state: ModelState, batch: Batch, keys: Keys
):
    loss_fn = evaluation if keys is None else training
    return loss_fn(params, model_state, batch, keys)


def _with_penalty(
    loss_fn, penalty, params: Params, model_state: ModelState, batch: Batch, keys: Keys
):
    losses, aux = loss_fn(params, model_state, batch, keys)
    return losses + penalty(params), aux


def _with_augmentation(
    loss_fn, augment, params: Params, model_state: ModelState, batch: Batch, keys: Keys
):
    if keys is not None:
        batch = batch._replace(inputs=augment(scale_pixels(batch.inputs), keys))
    return loss_fn(params, model_state, batch, keys)
