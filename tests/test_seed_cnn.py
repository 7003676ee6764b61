"""The seed CNN and its Adadelta update against a NumPy loop in float64; finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import losses, models, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.parallel import make_mesh
from jaxdl.types import Batch, Examples

BATCH = 4
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (BATCH, 28, 28, 1)).astype(np.uint8)
LABELS = np.array([3, 1, 4, 1], np.int32)


# --- the network and its gradient, written out ---------------------------------------------------


def conv(x, kernel, bias):
    """Same padding, stride 1, NHWC: one product for each of the kernel's places."""
    kh, kw, _, features = kernel.shape
    padded = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    out = np.zeros((*x.shape[:3], features)) + bias
    for i in range(kh):
        for j in range(kw):
            out += padded[:, i : i + x.shape[1], j : j + x.shape[2]] @ kernel[i, j]
    return out


def conv_backward(x, kernel, d_out):
    kh, kw, _, _ = kernel.shape
    ph, pw = kh // 2, kw // 2
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    d_padded, d_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    height, width = x.shape[1:3]
    for i in range(kh):
        for j in range(kw):
            window = padded[:, i : i + height, j : j + width]
            d_kernel[i, j] = np.tensordot(window, d_out, ((0, 1, 2), (0, 1, 2)))
            d_padded[:, i : i + height, j : j + width] += d_out @ kernel[i, j].T
    d_x = d_padded[:, ph : ph + height, pw : pw + width]
    return d_x, {"kernel": d_kernel, "bias": d_out.sum((0, 1, 2))}


def pool(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def pool_backward(x, out, d_out):
    """To the places of the maxima; an all-zero window after a ReLU passes nothing on anyway."""
    spread = np.repeat(np.repeat(out, 2, 1), 2, 2)
    return (x == spread) * np.repeat(np.repeat(d_out, 2, 1), 2, 2)


def loss_and_gradient(params, images, labels):
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    x = images / 255.0
    a1 = conv(x, **p["conv1"])
    r1 = np.maximum(a1, 0)
    m1 = pool(r1)
    a2 = conv(m1, **p["conv2"])
    r2 = np.maximum(a2, 0)
    m2 = pool(r2)
    a3 = conv(m2, **p["conv3"])
    flat = np.maximum(a3, 0).reshape(len(images), -1)
    a4 = flat @ p["dense1"]["kernel"] + p["dense1"]["bias"]
    r4 = np.maximum(a4, 0)
    logits = r4 @ p["dense2"]["kernel"] + p["dense2"]["bias"]
    q = np.exp(logits - logits.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    rows = np.arange(len(images))
    loss = -np.log(q[rows, labels]).mean()

    g = {}
    q[rows, labels] -= 1
    d = q / len(images)
    g["dense2"] = {"kernel": r4.T @ d, "bias": d.sum(0)}
    d = (d @ p["dense2"]["kernel"].T) * (a4 > 0)
    g["dense1"] = {"kernel": flat.T @ d, "bias": d.sum(0)}
    d = (d @ p["dense1"]["kernel"].T).reshape(a3.shape) * (a3 > 0)
    d, g["conv3"] = conv_backward(m2, p["conv3"]["kernel"], d)
    d = pool_backward(r2, m2, d) * (a2 > 0)
    d, g["conv2"] = conv_backward(m1, p["conv2"]["kernel"], d)
    d = pool_backward(r1, m1, d) * (a1 > 0)
    _, g["conv1"] = conv_backward(x, p["conv1"]["kernel"], d)
    return loss, logits, g


def first_adadelta_step(gradient, rho=0.95, epsilon=1e-7):
    """Zeiler 2012, algorithm 1, from accumulators of zero, learning rate 1."""
    return jax.tree.map(
        lambda g: -np.sqrt(epsilon) / np.sqrt((1 - rho) * g**2 + epsilon) * g, gradient
    )


# --- the tests -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cnn():
    model = models.lenet(dropout_rates=(0.0, 0.0))
    optimizer = optim.make_optimizer(optim.OptimizerConfig())
    loss_fn = losses.classification_loss(model)
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(jax.random.key(0), model, optimizer, jnp.asarray(IMAGES[:1]))
    batch = Batch(jnp.asarray(IMAGES), jnp.asarray(LABELS), jnp.ones(BATCH))
    params = jax.tree.map(np.asarray, state.params)
    new_state, metrics = update(state, batch)
    return model, loss_fn, params, batch, new_state, metrics


def test_it_has_the_parameters_of_the_seed(cnn):
    assert sum(leaf.size for leaf in jax.tree.leaves(cnn[2])) == 545_546


def test_forward(cnn):
    model, _, params, batch, _, metrics = cnn
    loss, logits, _ = loss_and_gradient(params, IMAGES, LABELS)
    outputs, _ = model.apply(jax.tree.map(jnp.asarray, params), {}, batch.inputs, None)
    np.testing.assert_allclose(outputs, logits, atol=2e-5)
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-5)


def test_one_adadelta_update(cnn):
    _, _, params, _, new_state, _ = cnn
    _, _, gradient = loss_and_gradient(params, IMAGES, LABELS)
    expected = jax.tree.map(np.add, params, first_adadelta_step(gradient))
    for (path, value), (_, actual) in zip(
        jax.tree_util.tree_leaves_with_path(expected),
        jax.tree_util.tree_leaves_with_path(dict(new_state.params)),
        strict=True,
    ):
        np.testing.assert_allclose(actual, value, atol=2e-7, err_msg=str(path))


def test_gradient_against_the_loop_and_finite_differences(cnn):
    _, loss_fn, params, batch, _, _ = cnn
    arrays = jax.tree.map(jnp.asarray, params)
    actual, _ = mean_gradient(loss_fn)(arrays, {}, batch, None)
    _, _, expected = loss_and_gradient(params, IMAGES, LABELS)
    for layer, arrays in expected.items():
        for name, value in arrays.items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(actual[layer][name] / scale, value / scale, atol=1e-5)
    # The loop itself against differences, in float64, at each kernel's steepest entry.
    for layer in expected:
        steepest = np.unravel_index(
            np.abs(expected[layer]["kernel"]).argmax(), params[layer]["kernel"].shape
        )
        sides = []
        for step in (1e-4, -1e-4):
            moved = {
                k: {n: np.array(a, np.float64) for n, a in v.items()} for k, v in params.items()
            }
            moved[layer]["kernel"][steepest] += step
            sides.append(loss_and_gradient(moved, IMAGES, LABELS)[0])
        difference = (sides[0] - sides[1]) / 2e-4
        assert difference == pytest.approx(expected[layer]["kernel"][steepest], rel=1e-3)


def seed_run():
    """The seed's model, optimizer and update, and 80 random digits."""
    # Of images 1, rounding decides a tie in a pool: with 30 in a batch otherwise than with 15.
    rng = np.random.default_rng(2)
    images, labels = rng.integers(0, 256, (80, 28, 28, 1)), rng.integers(0, 10, 80)
    examples = Examples(jnp.asarray(images, jnp.uint8), jnp.asarray(labels, jnp.int32))
    model = models.lenet()
    optimizer = optim.make_optimizer(optim.OptimizerConfig())
    update = train.make_update(mean_gradient(losses.classification_loss(model)), optimizer)
    return model, optimizer, update, examples


@pytest.mark.slow
def test_one_two_and_eight_devices_agree():
    """An epoch of the seed CNN, dropout and Adadelta on, ends in the same parameters.

    The last batch is smaller, and 30 does not divide by 8.
    """
    model, optimizer, update, examples = seed_run()
    params = []
    for devices in (1, 2, 8):
        state = train.init_state(jax.random.key(0), model, optimizer, examples.inputs[:1])
        *_, last = train.fit_in_segments(
            update, state, examples, epochs=1, batch_size=30, mesh=make_mesh(devices)
        )
        params.append(jax.tree.leaves(last.state.train.params))
    for other in params[1:]:
        for a, b in zip(params[0], other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_one_program_and_segments_agree_to_the_bit():
    model, optimizer, update, examples = seed_run()
    state = train.init_state(jax.random.key(0), model, optimizer, examples.inputs[:1])
    whole, _ = train.fit(update, state, examples, epochs=2, batch_size=32)
    *_, last = train.fit_in_segments(update, state, examples, epochs=2, batch_size=32)
    for a, b in zip(
        *map(jax.tree.leaves, (whole.train.params, last.state.train.params)), strict=True
    ):
        assert (a == b).all()
