"""The theory of wide random networks against integrals, closed forms and a loop of draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from jaxdl.errors import InputError
from jaxdl.models.deep_mlp import Layer
from jaxdl.models.mean_field import expected_signals, moments

FUNCTIONS = {  # values, slopes
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    ),
    "relu": (lambda x: max(x, 0), lambda x: float(x > 0)),
    "elu": (lambda x: x if x > 0 else np.expm1(x), lambda x: min(1, np.exp(x))),
    "linear": (lambda x: x, lambda x: 1.0),
}


@pytest.mark.parametrize("variance", [0.1, 3.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_moments(name, variance):
    value, slope = FUNCTIONS[name]

    def mean(function):
        def integrand(z):
            return norm.pdf(z) * function(np.sqrt(variance) * z)

        return quad(integrand, -9, 9, points=[0], epsabs=1e-10)[0]

    expected = (mean(value), mean(lambda x: value(x) ** 2), mean(lambda x: slope(x) ** 2))
    np.testing.assert_allclose(moments(name, variance), expected, atol=1e-5)


GAINS = [0.7, 1.5, 2.0, 1.0]
LAYERS = [
    Layer("tanh"),
    Layer("sigmoid", "layer"),
    Layer("relu", is_residual=True),
    Layer("sigmoid", "layer", is_residual=True),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_expected_signals(layer):
    """By the sums of one wide layer after another, in NumPy; back with normal gradients."""
    rng, width = np.random.default_rng(0), 2000
    value, slope = map(np.vectorize, FUNCTIONS[layer.activation])
    values = rng.normal(size=width)
    before, outputs, factors = [], [], []
    for place, gain in enumerate(GAINS):
        kernel = rng.normal(size=(width, width)) * np.sqrt(gain / width)
        sums = values @ kernel
        scale = sums.std() if layer.normalization == "layer" else 1.0
        sums = sums / scale
        is_residual = layer.is_residual and place > 0
        gradient = rng.normal(size=width)
        back = kernel @ (gradient * slope(sums)) / scale + is_residual * gradient
        values = value(sums) + is_residual * values
        before.append(np.mean(sums**2))
        outputs.append(np.mean(values**2))
        factors.append(np.mean(back**2) / np.mean(gradient**2))
    expected = expected_signals(layer, GAINS, square=1.0)
    np.testing.assert_allclose(expected.before, before, rtol=0.15)
    np.testing.assert_allclose(expected.outputs, outputs, rtol=0.15)
    np.testing.assert_allclose(expected.factors, factors[1:], rtol=0.2)
    np.testing.assert_allclose(expected.gradients[0], np.prod(expected.factors))


def test_batch_norm():
    """The limit of Yang et al.; with residual connections products of 1 + limit / layer."""
    limit = np.pi / (np.pi - 1)
    alone = expected_signals(Layer("relu", "batch"), [0.3, 5.0, 1.0, 1.0])
    np.testing.assert_allclose(alone.factors, limit, rtol=1e-4)
    np.testing.assert_allclose(alone.gradients, limit ** np.arange(3, -1, -1.0), rtol=1e-3)
    residual = expected_signals(Layer("relu", "batch", is_residual=True), [1.0] * 4)
    np.testing.assert_allclose(residual.factors, 1 + limit / np.arange(1, 4), rtol=1e-4)
    linear = expected_signals(Layer("linear", "batch"), [1.0] * 3)
    np.testing.assert_allclose(linear.factors, 1, rtol=1e-6)


def test_it_is_exact_in_float64():
    with jax.enable_x64(True):
        relu = moments("relu", 1.0)
    np.testing.assert_allclose(relu.square, 0.5, rtol=1e-12)
    np.testing.assert_allclose(relu.squared_slope, 0.5, rtol=1e-12)
    assert jnp.zeros(1).dtype == np.float32


def test_no_theory_of_a_norm():
    with pytest.raises(InputError, match="'rms' has no theory here: give none or layer or batch"):
        expected_signals(Layer(normalization="rms"), [1.0])


@pytest.mark.parametrize(("activation", "slope"), [("tanh", 1.0), ("relu", 0.5)])
def test_signals_far_below_what_float32_holds(activation, slope):
    """Of inputs so small tanh is the identity, and ReLU that of half of them."""
    seen = expected_signals(Layer(activation), [1e-3] * 50)
    np.testing.assert_allclose(seen.factors[1:], 1e-3 * slope, rtol=1e-2)
    np.testing.assert_allclose(np.log10(seen.outputs[-1]), 50 * np.log10(1e-3 * slope), rtol=1e-2)
