"""Losses and penalties against NumPy in float64, numbers by hand and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from toy import examples, linear_model

from jaxdl import losses
from jaxdl.types import Batch

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)).astype(np.float32) * 3
LABELS = np.array([0, 1, 2, 3, 1, 1], np.int32)


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("form", ["integers", "one-hot"])
def test_softmax_cross_entropy(smoothing, form):
    one_hot = np.eye(4, dtype=np.float32)[LABELS]
    smooth = (1 - smoothing) * one_hot + smoothing / 4
    expected = -(smooth * log_softmax(LOGITS)).sum(1)
    labels = jnp.asarray(LABELS if form == "integers" else one_hot)
    actual = losses.softmax_cross_entropy(jnp.asarray(LOGITS), labels, smoothing)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_sigmoid_binary_cross_entropy():
    labels = (LOGITS > 1).astype(np.float32)
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    expected = -(labels * np.log(p) + (1 - labels) * np.log1p(-p)).sum(1)
    actual = losses.sigmoid_binary_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(labels))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_no_overflow(logit):
    """At a logit of 1000 the wrong label costs 1000 nats and the right one nothing."""
    binary = losses.sigmoid_binary_cross_entropy(jnp.array([[logit], [logit]]), jnp.eye(2)[:, :1])
    assert sorted(binary.tolist()) == [0.0, 1000.0]
    softmax = losses.softmax_cross_entropy(
        jnp.array([[logit, 0.0]] * 2), jnp.array([0, 1], jnp.int32)
    )
    assert sorted(softmax.tolist()) == [0.0, 1000.0]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (losses.squared_error, [0.25 + 9, 4]),
        (losses.absolute_error, [0.5 + 3, 2]),
        (losses.huber, [0.125 + 2.5, 1.5]),
        (Partial(losses.huber, delta=2.0), [0.125 + 2 * (3 - 1), 2]),
    ],
)
def test_regression_losses_by_hand(loss, expected):
    predictions, targets = jnp.array([[0.5, 3.0], [1.0, 0.0]]), jnp.array([[0.0, 0], [1, 2]])
    np.testing.assert_allclose(loss(predictions, targets), expected)


def test_accuracy():
    labels = jnp.array([2, 1], jnp.int32)
    logits = jnp.array([[0.0, 1, 3], [5, 4, 3]])
    assert losses.accuracy(logits, labels).tolist() == [1, 0]
    assert losses.accuracy(logits, jax.nn.one_hot(labels, 3)).tolist() == [1, 0]


PARAMS = {"kernel": jnp.array([[1.0, -2], [3, 0]]), "bias": jnp.array([10.0, 10])}


@pytest.mark.parametrize(
    ("penalty", "value"),
    [
        (Partial(losses.l1, strength=0.5), 3.0),
        (Partial(losses.l2, strength=0.5), 7.0),
        (Partial(losses.elastic_net, l1_strength=1.0, l2_strength=0.5), 13.0),
    ],
)
def test_penalties_spare_biases(penalty, value):
    assert float(penalty(PARAMS)) == value


def test_soft_threshold_is_the_proximal_operator_of_l1():
    """By search over a grid; biases stay as they are."""
    threshold, grid = 0.75, np.linspace(-4, 4, 3201)
    weights = np.array([[-3.0, -0.75, -0.5], [0.0, 0.7, 2.5]])
    found = losses.soft_threshold({"kernel": jnp.asarray(weights), "bias": jnp.ones(3)}, threshold)
    objective = threshold * np.abs(grid) + np.square(grid - weights[..., None]) / 2
    np.testing.assert_allclose(found["kernel"], grid[objective.argmin(axis=-1)], atol=1e-6)
    assert np.sum(found["kernel"] == 0) == 4
    assert found["bias"].tolist() == [1, 1, 1]


def test_penalty_is_added_once_to_the_mean_and_not_to_the_metric():
    data = examples(10)
    batch = Batch(*data, jnp.ones(10))
    plain = losses.classification_loss(linear_model())
    with_l2 = losses.with_penalty(plain, Partial(losses.l2, strength=0.1))
    params = {"w": jnp.ones((5, 3)), "b": jnp.zeros(3)}
    without, _ = plain(params, {}, batch, None)
    total, aux = with_l2(params, {}, batch, None)
    np.testing.assert_allclose(total - without, np.full(10, 0.1 * 15), rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["loss"], without)


def test_label_smoothing_and_augmentation_are_for_training_only():
    batch = Batch(*examples(10), jnp.ones(10))
    params = {"w": jnp.ones((5, 3)) * jnp.arange(3.0)[None], "b": jnp.zeros(3)}
    plain = losses.classification_loss(linear_model())
    smoothed = losses.classification_loss(linear_model(), label_smoothing=0.2)
    doubled = losses.with_augmentation(plain, lambda inputs, keys: 2 * inputs)
    keys = jax.random.split(jax.random.key(0), 10)
    reference = plain(params, {}, batch, None)[0]
    for loss_fn in (smoothed, doubled):
        np.testing.assert_allclose(loss_fn(params, {}, batch, None)[0], reference)
        assert not np.allclose(loss_fn(params, {}, batch, keys)[0], reference)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "sigmoid_binary_cross_entropy", "huber"])
def test_gradients_against_finite_differences(name):
    loss = getattr(losses, name)
    targets = jnp.asarray(np.eye(4, dtype=np.float32)[LABELS])

    def total(logits):
        return loss(logits, targets).sum()

    gradient = np.asarray(jax.grad(total)(jnp.asarray(LOGITS)))
    step = 1e-2
    for row, column in [(0, 0), (2, 3), (5, 1)]:
        moved = np.zeros_like(LOGITS)
        moved[row, column] = step
        above, below = total(jnp.asarray(LOGITS + moved)), total(jnp.asarray(LOGITS - moved))
        difference = (above - below) / (2 * step)
        assert gradient[row, column] == pytest.approx(float(difference), abs=2e-3)
