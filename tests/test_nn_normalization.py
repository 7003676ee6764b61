"""Norms against Flax's layers, forward and backward, and against loops in NumPy."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn
from jaxdl.errors import InputError
from jaxdl.nn import Moments, ScaleAndShift

DENSE, IMAGES = (6, 8), (5, 3, 4, 8)


def drawn(shape, seed=0):
    return jnp.float32(3 + 2 * np.random.default_rng(seed).normal(size=shape))


LEARNED = ScaleAndShift(drawn(8, 1), drawn(8, 2))
PARAMS = {"scale": LEARNED.scale, "bias": LEARNED.shift}
RUNNING = Moments(drawn(8, 3), jnp.square(drawn(8, 4)))
SETTINGS = {"epsilon": 1e-5, "use_fast_variance": False}

OF_EXAMPLES = {
    "layer": (flax.linen.LayerNorm(**SETTINGS), lambda x: nn.layer_norm(x, LEARNED)),
    "group": (flax.linen.GroupNorm(2, **SETTINGS), lambda x: nn.group_norm(x, LEARNED, groups=2)),
    "instance": (flax.linen.InstanceNorm(**SETTINGS), lambda x: nn.instance_norm(x, LEARNED)),
    "rms": (flax.linen.RMSNorm(epsilon=1e-5), lambda x: nn.rms_norm(x, LEARNED.scale)),
}


@pytest.mark.parametrize("shape", [DENSE, IMAGES])
@pytest.mark.parametrize("name", OF_EXAMPLES)
def test_of_examples(name, shape):
    if name == "instance" and shape == DENSE:
        pytest.skip("of images alone")
    layer, ours = OF_EXAMPLES[name]
    params = {"scale": LEARNED.scale} if name == "rms" else PARAMS
    assert_alike(ours, lambda x: layer.apply({"params": params}, x), drawn(shape))


def assert_alike(ours, flax_s, values):
    """In value and in gradient."""

    @jax.jit
    def both(values):
        weights = drawn(values.shape, 9)
        gradients = [
            jax.grad(lambda x, f=f: jnp.sum(weights * f(x)))(values) for f in (ours, flax_s)
        ]
        return (ours(values), flax_s(values)), gradients

    outputs, gradients = both(values)
    np.testing.assert_allclose(*outputs, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [DENSE, IMAGES])
def test_batch_norm(shape):
    def layer(is_evaluation):
        return flax.linen.BatchNorm(is_evaluation, momentum=0.7, **SETTINGS)

    variables = {
        "params": PARAMS,
        "batch_stats": {"mean": RUNNING.mean, "var": RUNNING.variance},
    }
    values = drawn(shape)

    def in_training(x):
        return layer(False).apply(variables, x, mutable=["batch_stats"])

    assert_alike(
        lambda x: nn.batch_norm_in_training(x, LEARNED, RUNNING)[0],
        lambda x: in_training(x)[0],
        values,
    )
    moved = nn.batch_norm_in_training(values, LEARNED, RUNNING, momentum=0.7)[1]
    expected = in_training(values)[1]["batch_stats"]
    np.testing.assert_allclose(moved.mean, expected["mean"], rtol=1e-5)
    np.testing.assert_allclose(moved.variance, expected["var"], rtol=1e-5)
    assert_alike(
        lambda x: nn.batch_norm_in_evaluation(x, LEARNED, RUNNING),
        lambda x: layer(True).apply(variables, x),
        values,
    )


def test_batch_norm_by_its_equations():
    """Of one feature of images, a loop over N, H and W in float64."""
    values = np.asarray(drawn(IMAGES), np.float64)
    feature = [values[n, h, w, 2] for n in range(5) for h in range(3) for w in range(4)]
    mean = sum(feature) / 60
    variance = sum((x - mean) ** 2 for x in feature) / 60
    expected = [(x - mean) / (variance + 1e-5) ** 0.5 for x in feature]
    plain = nn.init_scale_and_shift(8)
    outputs, moved = nn.batch_norm_in_training(
        jnp.float32(values), plain, nn.init_moments(8), momentum=0.9
    )
    np.testing.assert_allclose(outputs[..., 2].ravel(), expected, atol=1e-5)
    np.testing.assert_allclose(moved.mean[2], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(moved.variance[2], 0.9 + 0.1 * variance, rtol=1e-5)


def test_batch_renorm():
    """Within its limits what evaluation gives; with limits 1 and 0 what batch norm gives."""
    values = drawn(DENSE)
    outputs, moved = nn.batch_renorm(
        values, LEARNED, RUNNING, most_scale=1e3, most_shift=1e3, momentum=0.7
    )
    evaluated = nn.batch_norm_in_evaluation(values, LEARNED, RUNNING)
    np.testing.assert_allclose(outputs, evaluated, rtol=1e-4, atol=1e-4)
    plain, as_well = nn.batch_norm_in_training(values, LEARNED, RUNNING, momentum=0.7)
    jax.tree.map(np.testing.assert_array_equal, moved, as_well)
    limited, _ = nn.batch_renorm(values, LEARNED, RUNNING, most_scale=1, most_shift=0)
    np.testing.assert_allclose(limited, plain, rtol=1e-5, atol=1e-5)


def test_no_gradient_flows_through_the_correction():
    """So a common shift of all values changes nothing by its gradient, as in batch norm."""
    gradient = jax.grad(
        lambda shift: jnp.sum(nn.batch_renorm(drawn(DENSE) + shift, LEARNED, RUNNING)[0])
    )(0.0)
    assert abs(gradient) < 1e-3


def test_weight_norm():
    kernel, lengths = drawn((3, 3, 2, 8)), drawn(8, 5)
    normed = np.asarray(nn.weight_norm(kernel, lengths), np.float64)
    np.testing.assert_allclose(np.linalg.norm(normed.reshape(18, 8), axis=0), lengths, rtol=1e-5)
    ratio = normed / np.asarray(kernel)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1, :1, :1], ratio.shape), rtol=1e-5)
    layer = flax.linen.WeightNorm(flax.linen.Dense(8), epsilon=0.0)
    values = drawn((4, 5))
    dense, scale = {"kernel": drawn((5, 8)), "bias": drawn(8)}, drawn(8, 6)
    variables = {"params": {"layer_instance": dense, "layer_instance/kernel/scale": scale}}
    ours = values @ nn.weight_norm(dense["kernel"], scale) + dense["bias"][None]
    np.testing.assert_allclose(ours, layer.apply(variables, values), rtol=1e-5, atol=1e-5)


def test_groups_that_do_not_divide():
    with pytest.raises(InputError, match="3 groups of 8 features: give a divisor"):
        nn.group_norm(drawn(DENSE), LEARNED, groups=3)
