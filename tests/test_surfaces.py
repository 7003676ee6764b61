"""The test surfaces against NumPy and scipy, and what is said of them against their derivatives."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import rosen

from jaxdl import surfaces
from jaxdl.surfaces import SURFACES

BY_THE_WALL = [5.0, -2.61]
POINTS = np.vstack([np.random.default_rng(0).normal(size=(5, 2)), BY_THE_WALL])
NAMED = pytest.mark.parametrize("name", SURFACES)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def cliff(weight, bias):
    x = 0.5
    for _ in range(50):
        x = weight / (1 + math.exp(-x)) + bias
    return (1 / (1 + math.exp(-x)) - 0.7) ** 2


def turned(x, y):
    along, across = math.hypot(x, y), math.atan2(y, x) - math.pi / 4
    return ((along * math.cos(across)) ** 2 + 100 * (along * math.sin(across)) ** 2) / 2


WRITTEN_OUT = {
    "bowl": lambda x, y: (x * x + y * y) / 2,
    "ill-conditioned": lambda x, y: (x * x + 100 * y * y) / 2,
    "ill-conditioned, turned": turned,
    "rosenbrock": lambda x, y: rosen([x, y]),
    "himmelblau": lambda x, y: (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
    "beale": lambda x, y: sum(
        (c - x + x * y**i) ** 2 for i, c in enumerate((1.5, 2.25, 2.625), start=1)
    ),
    "saddle": lambda x, y: x * x / 2 - y * y / 2 + y**4 / 4,
    "cliff": cliff,
}


@NAMED
def test_values(name):
    expected = [WRITTEN_OUT[name](*map(float, point)) for point in POINTS]
    values = jax.vmap(SURFACES[name].function)(jnp.array(POINTS))
    np.testing.assert_allclose(values, expected, rtol=1e-12)


@NAMED
def test_minima(name):
    """Each is level, curves up, and has the lowest value; no point drawn is below it."""
    surface = SURFACES[name]
    for point in surface.minima:
        at = jnp.array(point)
        assert float(surface.function(at)) == pytest.approx(surface.lowest, abs=1e-15)
        np.testing.assert_allclose(jax.grad(surface.function)(at), 0, atol=1e-13)
        assert np.linalg.eigvalsh(jax.hessian(surface.function)(at)).min() > -1e-12
    left, right, bottom, top = surface.region
    x, y = np.meshgrid(np.linspace(left, right, 30), np.linspace(bottom, top, 30))
    points = jnp.stack([x.ravel(), y.ravel()], axis=1)
    assert jax.vmap(surface.function)(points).min() >= surface.lowest


@NAMED
def test_the_region_holds_the_start_and_the_minima(name):
    surface = SURFACES[name]
    left, right, bottom, top = surface.region
    for x, y in (surface.start, *surface.minima):
        assert left < x < right
        assert bottom < y < top


@NAMED
def test_lipschitz_is_the_largest_curvature_anywhere(name):
    surface = SURFACES[name]
    curvatures = [
        np.abs(np.linalg.eigvalsh(jax.hessian(surface.function)(jnp.array(scale * point)))).max()
        for point in POINTS
        for scale in (1, 10)
    ]
    if surface.lipschitz is None:
        assert np.ptp(curvatures) > 0
    else:
        np.testing.assert_allclose(curvatures, surface.lipschitz, rtol=1e-12)


def test_the_saddle_is_one():
    at = jnp.zeros(2)
    np.testing.assert_array_equal(jax.grad(surfaces.saddle)(at), 0)
    np.testing.assert_array_equal(jax.hessian(surfaces.saddle)(at), np.diag([1, -1]))


@pytest.mark.parametrize(
    ("x", "value", "slope", "curvature"),
    [(2.25, 2 - 2187 / 256, 0, 81 / 4), (0.0, 2, 0, 0), (6.0, 650, 540, 324)],
)
def test_the_quartic(x, value, slope, curvature):
    x = jnp.array(x)
    assert float(surfaces.quartic(x)) == value
    assert float(jax.grad(surfaces.quartic)(x)) == slope
    assert float(jax.grad(jax.grad(surfaces.quartic))(x)) == curvature
