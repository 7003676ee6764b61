"""Diagnostics against loops over examples in NumPy float64, closed forms, and eight devices."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from toy import CLASSES, FEATURES, examples, gradient_descent, linear_model

from jaxdl import diagnostics, losses, optim, train
from jaxdl.gradients import mean_gradient, per_example_gradients
from jaxdl.optim import OptimizerConfig, global_norm
from jaxdl.parallel import DATA_AXIS, make_mesh
from jaxdl.types import Batch, GradientAux, LossAux, Observation, as_pytree

WEIGHTS = np.array([1, 0.5, 0, 2, 1, 1, 0, 3])
LOSS = losses.classification_loss(linear_model())
INSTRUMENTS = diagnostics.combine(
    diagnostics.gradient_instruments,
    diagnostics.layer_instruments,
    diagnostics.class_instruments(CLASSES),
    diagnostics.clip_instruments(1.0),
)


def watched_gradient(loss_fn, instruments):
    """The mean gradient with instruments, from every example's own gradient."""
    return Partial(_watched_gradient, as_pytree(loss_fn), as_pytree(instruments))


def _watched_gradient(loss_fn, instruments, params, model_state, batch, keys):
    mean, aux = mean_gradient(loss_fn)(params, model_state, batch, keys)
    gradients = per_example_gradients(loss_fn, params, model_state, batch, keys)
    norms = jnp.where(batch.weights == 0, 0.0, jax.vmap(global_norm)(gradients))
    values = loss_fn(params, model_state, batch, keys)[0]
    seen = instruments(Observation(batch, values, mean, {"dense": norms}, norms))
    return mean, GradientAux(aux.model_state, {**aux.metrics, **seen})


def make_batch(weights=WEIGHTS):
    """Examples of which those of weight 0 are NaN."""
    data = examples(len(weights))
    hidden = jnp.asarray(weights == 0)
    inputs = jnp.where(hidden[:, None], jnp.nan, data.inputs)
    return Batch(inputs, data.targets, jnp.asarray(weights, jnp.float32))


@functools.cache
def observed():
    """A batch's observation, its gradients as flat float64 rows, the parameters."""
    batch = make_batch()
    params = linear_model().init(jax.random.key(1), batch.inputs).params

    @jax.jit
    def gradient_of(example):
        return jax.grad(lambda params: LOSS(params, {}, example, None)[0][0])(params)

    rows = []
    for place in range(len(WEIGHTS)):
        one = Batch(*(leaf[place : place + 1] for leaf in batch[:2]), jnp.ones(1))
        gradient = gradient_of(one)
        rows.append(np.concatenate([np.ravel(gradient[name]) for name in ("b", "w")]))
    rows = np.where((WEIGHTS == 0)[:, None], 0.0, np.asarray(rows, np.float64))
    share = WEIGHTS / WEIGHTS.sum()
    flat = share @ rows
    gradient = {"b": flat[:CLASSES], "w": flat[CLASSES:].reshape(FEATURES, CLASSES)}
    norms = jnp.asarray(np.linalg.norm(rows, axis=1), jnp.float32)
    observation = Observation(
        batch,
        losses=jnp.zeros(len(WEIGHTS)),
        gradient=jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient),
        layer_norms={"dense": norms},
        norms=norms,
    )
    return observation, rows, params


# --- moments and the noise scale -----------------------------------------------------------------


def test_moments_of_a_batch_are_the_sample_variance_and_the_mean_over_pairs():
    """Unit weights, and two examples of padding that must not count."""
    _, rows, _ = observed()
    weights = (WEIGHTS > 0).astype(float)
    real = rows[WEIGHTS > 0]
    moments = diagnostics.gradient_moments(
        jnp.linalg.norm(rows, axis=1).at[2].set(jnp.nan),
        jnp.asarray(weights, jnp.float32),
        jnp.float32(np.linalg.norm(real.mean(axis=0))),
    )
    products = real @ real.T
    pairs = (products.sum() - np.trace(products)) / (len(real) * (len(real) - 1))
    np.testing.assert_allclose(moments.variance, real.var(axis=0, ddof=1).sum(), rtol=1e-5)
    np.testing.assert_allclose(moments.squared_mean, pairs, rtol=1e-5)


def test_a_batch_of_one_has_no_variance():
    moments = diagnostics.gradient_moments(jnp.array([2.0, 5]), jnp.array([0.3, 0]), jnp.float32(2))
    assert np.isnan(moments.variance)
    assert np.isnan(moments.squared_mean)


@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1, 1, 1, 0), (1, 0.5, 2, 0, 0.1)])
def test_moments_have_no_bias_and_the_noise_scale_is_that_of_the_closed_form(weights):
    """Linear regression, ``y = w* . x + e``, x normal with covariance S, e with variance s^2.

    The gradient of ``(w . x - y)^2 / 2`` is ``g = x (x . d - e)`` with ``d = w - w*``. Its mean is
    ``S d`` and by Isserlis' theorem ``E |g|^2 = tr S (d.S d + s^2) + 2 |S d|^2``.
    """
    random, count, sigma = np.random.default_rng(0), 40_000, 0.7
    root = np.array([[1.0, 0, 0], [0.5, 0.8, 0], [-0.3, 0.2, 0.5]])
    covariance, d = root @ root.T, np.array([0.5, -1.0, 0.8])
    squared = np.sum((covariance @ d) ** 2)
    trace = np.trace(covariance) * (d @ covariance @ d + sigma**2) + squared

    x = random.normal(size=(count, len(weights), 3)) @ root.T
    g = x * (x @ d - sigma * random.normal(size=x.shape[:2]))[..., None]
    mean = np.einsum("bie,i->be", g, np.divide(weights, np.sum(weights)))
    variances, means = jax.vmap(diagnostics.gradient_moments, (0, None, 0))(
        jnp.asarray(np.linalg.norm(g, axis=-1)),
        jnp.asarray(weights, jnp.float32),
        jnp.asarray(np.linalg.norm(mean, axis=-1)),
    )
    for estimates, expected in ((variances, trace), (means, squared)):
        estimates = np.asarray(estimates, np.float64)
        error = estimates.std() / np.sqrt(count)
        assert abs(estimates.mean() - expected) < 3 * error
        assert error < 0.05 * expected  # so the test has the power to see a wrong factor
    scale = diagnostics.noise_scale(variances.mean(), means.mean())
    np.testing.assert_allclose(scale, trace / squared, rtol=0.1)
    ratio = diagnostics.signal_to_noise(variances.mean(), means.mean(), 10.0)
    np.testing.assert_allclose(ratio, 10 / scale, rtol=1e-5)


def test_a_gradient_lost_in_noise_has_no_noise_scale():
    scales = diagnostics.noise_scale(jnp.ones(3), jnp.array([0.5, 0, -0.1]))
    np.testing.assert_array_equal(scales, [2, np.nan, np.nan])


# --- norms, classes, cosines ---------------------------------------------------------------------


def test_instruments_against_a_loop():
    observation, rows, _ = observed()
    norms, labels = np.linalg.norm(rows, axis=1), np.asarray(observation.batch.targets)
    seen = jax.jit(lambda o: INSTRUMENTS(o))(observation)
    assert all(np.isfinite(value) and value.shape == () for value in seen.values())
    average = WEIGHTS @ norms / WEIGHTS.sum()
    expected = {
        "example_norm_mean": average,
        "example_norm_min": norms[WEIGHTS > 0].min(),
        "example_norm_max": norms[WEIGHTS > 0].max(),
        "layer_norm_dense": average,
        "clipped_examples": WEIGHTS[norms > 1].sum() / WEIGHTS.sum(),
        **{
            f"class_share_{c}": (WEIGHTS * norms)[labels == c].sum() / (WEIGHTS @ norms)
            for c in range(CLASSES)
        },
    }
    assert 0 < expected["clipped_examples"] < 1
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name], value, rtol=1e-5, err_msg=name)
    onehot = observation.batch._replace(targets=jax.nn.one_hot(labels, CLASSES))
    again = INSTRUMENTS(observation._replace(batch=onehot))
    chex.assert_trees_all_close(again, seen)


@pytest.mark.parametrize("size", [1, 2, 5, 128])
def test_quantiles_are_those_of_numpy(size):
    random = np.random.default_rng(size)
    values = random.normal(size=size).astype(np.float32)
    weights = random.integers(0, 4, size).astype(np.float32)
    weights[0] = 1
    levels = np.array([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], np.float32)
    actual = diagnostics.weighted_quantiles(*map(jnp.asarray, (values, weights, levels)))
    expected = np.quantile(values, levels, weights=weights, method="inverted_cdf")
    # NumPy's quantile 0 is the smallest value of any weight.
    expected[0] = values[weights > 0].min()
    np.testing.assert_array_equal(actual, expected)


@jax.jit
def exactly(observation, params):
    """Cosines to the mean and projections on it, the latter in two ways."""
    gradients = per_example_gradients(LOSS, params, {}, observation.batch, None)
    mean = observation.gradient
    return (
        diagnostics.cosines_to_mean(gradients, mean),
        diagnostics.projections_on_mean(gradients, mean),
        diagnostics.directional_derivatives(LOSS, params, {}, observation.batch, None, mean),
    )


def test_cosines_projections_and_the_parts_of_classes():
    observation, rows, params = observed()
    batch, mean = observation.batch, WEIGHTS @ rows / WEIGHTS.sum()
    seen = WEIGHTS > 0

    cosines, projections, slopes = exactly(observation, params)
    expected = rows @ mean / np.maximum(np.linalg.norm(rows, axis=1), 1e-9) / np.linalg.norm(mean)
    np.testing.assert_allclose(cosines[seen], expected[seen], rtol=1e-4, atol=1e-5)

    # The norm-weighted mean cosine needs none of them.
    pull = WEIGHTS * np.linalg.norm(rows, axis=1)
    from_norms = diagnostics.gradient_instruments(observation)["gradient_cosine"]
    np.testing.assert_allclose(from_norms, pull @ expected / pull.sum(), rtol=1e-5)

    np.testing.assert_allclose(projections[seen], (rows @ mean)[seen], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(slopes[seen], projections[seen], rtol=1e-4, atol=1e-5)

    labels = np.asarray(batch.targets)
    parts = np.stack([(WEIGHTS * (labels == c)) @ rows / WEIGHTS.sum() for c in range(CLASSES)])
    shares = diagnostics.class_shares(
        projections, batch.weights, batch.targets, jnp.arange(CLASSES)
    )
    np.testing.assert_allclose(shares, parts @ mean / (mean @ mean), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-5)


def test_nothing_is_divided_by_zero():
    """Gradients that are all 0 have shares and cosines of 0, not NaN."""
    observation, _, _ = observed()
    nothing = jnp.zeros_like(observation.norms)
    gradient = jax.tree.map(jnp.zeros_like, observation.gradient)
    still = observation._replace(norms=nothing, layer_norms={}, gradient=gradient)
    seen = INSTRUMENTS(still)
    assert all(value == 0 for value in seen.values())
    gradients = {"w": jnp.zeros((4, 2)).at[0].set(1.0)}
    cosines = diagnostics.cosines_to_mean(gradients, {"w": jnp.array([0.25, 0.25])})
    np.testing.assert_allclose(cosines, [1, 0, 0, 0], rtol=1e-6)


def test_another_bound_is_the_same_program():
    observation, _, _ = observed()

    @jax.jit
    @chex.assert_max_traces(1)
    def see(instruments, observation):
        return instruments(observation)["clipped_examples"]

    def build(max_norm):
        bound = diagnostics.clip_instruments(max_norm)
        return diagnostics.combine(diagnostics.class_instruments(CLASSES), bound)

    assert see(build(0.0), observation) == 1
    assert see(build(1e9), observation) == 0


# --- curvature -----------------------------------------------------------------------------------

HESSIAN = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, -0.5], [0.0, -0.5, 0.2]])


def quadratic(params, model_state, batch, keys):
    """Every example's loss is ``target * p.H p / 2``."""
    values = batch.targets * (params @ jnp.asarray(HESSIAN, jnp.float32) @ params) / 2
    return values, LossAux(model_state, {"loss": values})


def test_curvature_of_a_quadratic_is_the_rayleigh_quotient():
    params, d = jnp.array([1.0, -2.0, 0.5]), np.array([0.3, 1.0, -2.0])
    batch = Batch(jnp.zeros(3), jnp.array([1.0, 4.0, 9.0]), jnp.array([1.0, 3.0, 0.0]))
    factor = (1 * 1 + 3 * 4) / 4  # the weighted mean target
    along = diagnostics.parabola(quadratic, params, {}, batch, None, jnp.asarray(d, jnp.float32))
    slope = factor * d @ HESSIAN @ np.asarray(params)
    np.testing.assert_allclose(along.slope, slope, rtol=1e-5)
    np.testing.assert_allclose(along.curvature, factor * d @ HESSIAN @ d / (d @ d), rtol=1e-5)


@pytest.mark.parametrize("times", [0.0, 1.0, 2.0, 3.0])
def test_alpha_tells_where_on_the_parabola_a_step_ends(times):
    """Descent by so many times the exact line search: 0 is its bottom, 1 as high as before."""
    start = np.array([1.0, -2.0, 0.5])
    gradient = HESSIAN @ start
    rate = times * (gradient @ gradient) / (gradient @ HESSIAN @ gradient)
    optimizer = gradient_descent(rate)
    params = jnp.asarray(start, jnp.float32)
    state = train.TrainState(jnp.int32(0), params, {}, optimizer.init(params), jax.random.key(0))
    update = train.make_update(mean_gradient(quadratic), optimizer)
    update = diagnostics.with_curvature(update, quadratic)
    batch = Batch(jnp.zeros(2), jnp.ones(2), jnp.ones(2))
    state, metrics = update(state, batch)
    np.testing.assert_allclose(state.params, start - rate * gradient, rtol=1e-5, atol=1e-6)
    if times:
        alpha = diagnostics.alpha(metrics["step_slope"], metrics["step_bend"])
        np.testing.assert_allclose(alpha, times - 1, atol=1e-4)
        expected = gradient @ HESSIAN @ gradient / (gradient @ gradient)
        np.testing.assert_allclose(metrics["curvature"], expected, rtol=1e-4)
    else:
        assert metrics["curvature"] == 0


def tanh_model():
    """The toy with dropout, a tanh, and a second layer."""
    linear = linear_model(dropout_rate=0.3)

    def apply(params, model_state, inputs, keys):
        hidden, model_state = linear.apply(params, model_state, inputs, keys)
        return jnp.tanh(hidden) @ params["out"], model_state

    return linear._replace(apply=apply)


def draw_params(seed):
    random = np.random.default_rng(seed)
    shapes = {"w": (FEATURES, CLASSES), "b": (CLASSES,), "out": (CLASSES, CLASSES)}
    return {k: jnp.asarray(random.normal(size=v), jnp.float32) for k, v in shapes.items()}


def test_curvature_of_a_network_is_that_of_its_whole_hessian():
    """Dropout, weights and padding: d^T H d with H from `jax.hessian`."""
    batch, weights = examples(4), np.array([1.0, 2, 0, 1])
    batch = Batch(*batch, jnp.asarray(weights, jnp.float32))
    loss_fn = losses.classification_loss(tanh_model())
    params, direction = draw_params(0), draw_params(1)
    keys = jax.random.split(jax.random.key(0), 4)
    flat, unravel = jax.flatten_util.ravel_pytree(params)

    @jax.jit
    def both(flat):
        along = diagnostics.parabola(loss_fn, unravel(flat), {}, batch, keys, direction)

        def mean_loss(flat):
            real = jax.tree.map(lambda leaf: leaf[np.array([0, 1, 3])], (batch, keys))
            return loss_fn(unravel(flat), {}, *real)[0] @ real[0].weights / 4

        return along, jax.grad(mean_loss)(flat), jax.hessian(mean_loss)(flat)

    along, gradient, hessian = both(flat)
    d = np.asarray(jax.flatten_util.ravel_pytree(direction)[0], np.float64)
    np.testing.assert_allclose(along.bend, d @ hessian @ d, rtol=1e-4)
    np.testing.assert_allclose(along.slope, d @ gradient, rtol=1e-4)
    np.testing.assert_allclose(along.squared_length, d @ d, rtol=1e-5)


# --- devices and runs ----------------------------------------------------------------------------


def test_eight_devices_see_what_one_sees():
    """Shares of two examples, the last of them padding alone; dropout is on."""
    weights = jnp.asarray([*WEIGHTS, 1, 1, 1, 1, 1, 0, 0, 0], jnp.float32)
    batch = Batch(*examples(16), weights)
    keys = jax.random.split(jax.random.key(0), 16)
    loss_fn = losses.classification_loss(tanh_model())
    gradient_fn = watched_gradient(loss_fn, INSTRUMENTS)
    params, direction = draw_params(0), draw_params(1)

    def see(batch, keys):
        along = diagnostics.parabola(loss_fn, params, {}, batch, keys, direction)
        return gradient_fn(params, {}, batch, keys)[1].metrics, along

    split, whole = jax.sharding.PartitionSpec(DATA_AXIS), jax.sharding.PartitionSpec()
    on_devices = jax.shard_map(
        see, mesh=make_mesh(8), in_specs=split, out_specs=whole, check_vma=False
    )
    alone, together = jax.jit(see)(batch, keys), jax.jit(on_devices)(batch, keys)
    assert {"gradient_variance", "example_norm_median", "class_share_2"} <= alone[0].keys()
    for one, eight in zip(*map(jax.tree.leaves, (alone, together)), strict=True):
        assert np.isfinite(one)
        np.testing.assert_allclose(eight, one, rtol=1e-4)


def test_instruments_change_no_step():
    data = examples(32)
    batches = [Batch(*(leaf[at : at + 16] for leaf in data), jnp.ones(16)) for at in (0, 16)]
    model = linear_model(dropout_rate=0.2)
    loss_fn = losses.classification_loss(model)
    optimizer = optim.watch_steps(optim.make_optimizer(OptimizerConfig("sgd", 0.1)))
    plain = train.make_update(mean_gradient(loss_fn), optimizer)
    watched = train.make_update(watched_gradient(loss_fn, INSTRUMENTS), optimizer)
    watched = diagnostics.with_curvature(watched, loss_fn)
    ends = []
    for update in (plain, watched):
        state = train.init_state(jax.random.key(0), model, optimizer, data.inputs[:1])
        for batch in batches:
            state, metrics = update(state, batch)
        ends.append(state.params)
    chex.assert_trees_all_close(*ends, rtol=1e-5)
    assert all(np.isfinite(value) and value.shape == () for value in metrics.values())
    assert {"step_cosine", "step_slope", "squared_gradient", "learning_rate"} <= metrics.keys()
