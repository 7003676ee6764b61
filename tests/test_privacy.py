"""Accounting against dp-accounting by hand, samples against counts, runs against a loop."""

import math

import dp_accounting
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from dp_accounting import pld, rdp

from jaxdl import losses, optim, privacy, train
from jaxdl.errors import InputError
from jaxdl.gradients import clipped_gradient, layer_clipped_gradient
from jaxdl.models import mlp
from jaxdl.optim import OptimizerConfig
from jaxdl.types import Batch, as_pytree

RATE, NOISE, STEPS, DELTA = 0.02, 1.1, 500, 1e-5


# --- what is spent -------------------------------------------------------------------------------


def by_hand(accountant, steps=STEPS, noise=NOISE):
    event = dp_accounting.PoissonSampledDpEvent(RATE, dp_accounting.GaussianDpEvent(noise))
    accountant.compose(dp_accounting.SelfComposedDpEvent(event, steps))
    return accountant.get_epsilon(DELTA)


def test_epsilon_is_that_of_dp_accounting():
    """With its own defaults: orders of RDP, and a grid of PLD ten times as fine."""
    by_rdp = privacy.rdp_epsilon(RATE, NOISE, STEPS, DELTA)
    by_pld = privacy.pld_epsilon(RATE, NOISE, STEPS, DELTA)
    assert by_rdp == pytest.approx(by_hand(rdp.RdpAccountant()), rel=1e-12)
    assert by_pld == pytest.approx(by_hand(pld.PLDAccountant()), abs=3e-3)
    assert 0 < by_pld < by_rdp
    assert privacy.rdp_epsilon(RATE, NOISE, 0, DELTA) == 0
    assert privacy.pld_epsilon(RATE, NOISE, 0, DELTA) == 0


def test_one_step_on_all_examples_is_the_gaussian_mechanism():
    """Its delta in closed form (Balle and Wang 2018, arXiv:1805.06530, theorem 8)."""
    epsilon = privacy.pld_epsilon(1.0, NOISE, 1, DELTA)

    def below(x):
        return math.erfc(-x / math.sqrt(2)) / 2

    half, far = 1 / (2 * NOISE), epsilon * NOISE
    delta = below(half - far) - math.exp(epsilon) * below(-half - far)
    assert delta == pytest.approx(DELTA, rel=0.02)


def test_neighbours_differ_by_one_example():
    assert privacy.NEIGHBOURS.name == "ADD_OR_REMOVE_ONE"


def test_calibrated_noise_spends_the_budget_and_no_more():
    noise = privacy.calibrate_noise(3.0, DELTA, RATE, STEPS)
    assert privacy.rdp_epsilon(RATE, noise, STEPS, DELTA) <= 3.0
    assert privacy.rdp_epsilon(RATE, noise - 2e-4, STEPS, DELTA) > 3.0
    with pytest.raises(InputError, match="no noise multiplier"):
        privacy.calibrate_noise(1e-6, DELTA, 1.0, 10**6)


def test_affordable_steps():
    """The last step within the budget, found among all by counting."""
    steps = privacy.affordable_steps(1.0, DELTA, RATE, NOISE, STEPS)
    assert 0 < steps < STEPS
    assert privacy.rdp_epsilon(RATE, NOISE, steps, DELTA) <= 1.0
    assert privacy.rdp_epsilon(RATE, NOISE, steps + 1, DELTA) > 1.0
    assert privacy.affordable_steps(1e3, DELTA, RATE, NOISE, STEPS) == STEPS
    assert privacy.affordable_steps(1e-3, DELTA, 1.0, 0.1, STEPS) == 0


# --- the samples ---------------------------------------------------------------------------------


def test_overflow_probability():
    """A binomial tail, summed by hand."""
    count, rate = 20, 0.3
    terms = [math.comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(count + 1)]
    sizes = np.arange(count + 1)
    tails = [sum(terms[k + 1 :]) for k in sizes]
    np.testing.assert_allclose(
        privacy.overflow_probability(sizes, count, rate), tails, rtol=1e-12, atol=1e-300
    )


def test_capacity():
    """The least with which delta keeps its share for overflows, then the next multiple.

    That of the neighbouring data set too, which has 4,001 examples.
    """
    numbers = {"steps": 100, "epsilon": 2.0, "delta": DELTA}
    capacity = privacy.batch_capacity(4000, RATE, **numbers)
    enough = 1e-3 * DELTA / (1 + math.exp(2)) / 100
    sizes = np.array([capacity - 1, capacity])
    more, less = privacy.overflow_probability(sizes, 4001, RATE)
    assert less <= enough < more
    assert privacy.accounted_delta(DELTA) + (1 + math.exp(2)) * 100 * less <= DELTA
    multiple = privacy.batch_capacity(4000, RATE, **numbers, multiple=64)
    assert multiple % 64 == 0
    assert 0 <= multiple - capacity < 64
    assert privacy.batch_capacity(50, 1.0, **numbers) == 50


def sample_indices(keys, sampling, count):
    """Which examples each batch holds: examples are numbered by their targets."""
    examples = toy.examples(count)._replace(targets=jnp.arange(count))
    batches = jax.jit(jax.vmap(lambda key: privacy.poisson_batch(key, examples, sampling)))(keys)
    np.testing.assert_array_equal(batches.inputs, examples.inputs[batches.targets])
    return np.asarray(batches.targets), np.asarray(batches.weights)


def test_each_example_joins_by_itself():
    """Means, variance of the size, and no correlation between two, within five deviations."""
    draws, count, rate = 4000, 30, 0.2
    keys = jax.random.split(jax.random.key(0), draws)
    indices, weights = sample_indices(keys, privacy.Sampling(rate, count), count)
    assert set(np.unique(weights)) == {0.0, 1.0}
    joined = np.zeros((draws, count))
    for row, (index, weight) in enumerate(zip(indices, weights, strict=True)):
        np.add.at(joined[row], index, weight)
    assert joined.max() == 1  # no example twice
    deviation = np.sqrt(rate * (1 - rate) / draws)
    assert np.abs(joined.mean(axis=0) - rate).max() < 5 * deviation
    sizes = joined.sum(axis=1)
    variance = count * rate * (1 - rate)
    assert abs(sizes.var() - variance) < 5 * variance * np.sqrt(2 / draws)
    correlations = np.corrcoef(joined.T) - np.eye(count)
    assert np.abs(correlations).max() < 5 / np.sqrt(draws)


@pytest.mark.parametrize(("rate", "joining"), [(0.0, 0), (1.0, 30)])
def test_extreme_rates(rate, joining):
    _, weights = sample_indices(
        jax.random.split(jax.random.key(1), 50), privacy.Sampling(rate, 30), 30
    )
    np.testing.assert_array_equal(weights.sum(axis=1), joining)


def test_an_overflowing_batch_is_full():
    keys = jax.random.split(jax.random.key(1), 3)
    whole, cut = (sample_indices(keys, privacy.Sampling(0.9, size), 30)[0] for size in (30, 10))
    np.testing.assert_array_equal(cut, whole[:, :10])


# --- the bound on an example ---------------------------------------------------------------------

MODEL = mlp([8], classes=toy.CLASSES, activation="tanh")
LOSS = losses.classification_loss(MODEL)
MAX_NORM = 0.3


def adversaries():
    """A batch of 8 whose last example is made to move the gradient."""
    inputs, targets = toy.examples(8)
    wrong = (targets + 1) % toy.CLASSES
    ones = jnp.ones(8)
    yield "ordinary", Batch(inputs, targets, ones)
    yield "mislabelled", Batch(inputs, targets.at[-1].set(wrong[-1]), ones)
    for value in (1e4, 1e30, jnp.inf, jnp.nan):
        yield str(value), Batch(inputs.at[-1].set(value), targets.at[-1].set(wrong[-1]), ones)
    yield "copies", Batch(*(jnp.broadcast_to(a[-1], a.shape) for a in (inputs, wrong)), ones)
    opposed = Batch(inputs.at[:].set(inputs[0]), targets.at[:-1].set(wrong[0]), ones)
    yield "opposed", opposed


@pytest.mark.parametrize("microbatch_size", [None, 2])
def test_no_example_moves_the_sum_by_more_than_the_norm(microbatch_size):
    gradient_fn = as_pytree(
        clipped_gradient(LOSS, MAX_NORM, expected_examples=1.0, microbatch_size=microbatch_size)
    )
    params = MODEL.init(jax.random.key(0), jnp.zeros((1, toy.FEATURES))).params
    influence = jax.jit(privacy.influence)
    found = {name: float(influence(gradient_fn, params, b)) for name, b in adversaries()}
    assert max(found.values()) <= MAX_NORM * (1 + 1e-5)
    assert found["mislabelled"] == pytest.approx(MAX_NORM, rel=1e-4)
    assert found["nan"] == found["inf"] == 0


def test_the_influence_shows_a_gradient_that_is_clipped_otherwise():
    """Layer by layer the bound is larger, by the root of the number of layers."""
    gradient_fn = layer_clipped_gradient(LOSS, MAX_NORM, expected_examples=1.0)
    params = MODEL.init(jax.random.key(0), jnp.zeros((1, toy.FEATURES))).params
    _, batch = list(adversaries())[1]
    influence = privacy.influence(gradient_fn, params, batch)
    assert influence == pytest.approx(np.sqrt(2) * MAX_NORM, rel=1e-4)


# --- a run ---------------------------------------------------------------------------------------

COUNT, SPE, EPOCHS = 60, 5, 3
SAMPLING = privacy.Sampling(0.2, 32)


def private_parts(learning_rate=0.5):
    optimizer = optim.make_optimizer(OptimizerConfig("sgd", learning_rate, average=0.9))
    gradient_fn = clipped_gradient(LOSS, 1.0, noise_multiplier=0.7, expected_examples=12.0)
    examples = toy.examples(COUNT)
    state = train.init_state(jax.random.key(3), MODEL, optimizer, examples.inputs[:1])
    return train.make_update(gradient_fn, optimizer), state, examples


def run(steps):
    update, state, examples = private_parts()
    return privacy.fit_privately(
        update,
        state,
        examples,
        sampling=SAMPLING,
        epochs=EPOCHS,
        steps_per_epoch=SPE,
        steps=steps,
        loss_fn=LOSS,
        evaluations={"test": toy.examples(20, seed=1)},
    )


def test_a_run_is_a_loop_over_poisson_batches():
    """The budget ends in the middle of the second epoch: nothing moves from there on."""
    steps = 8
    final, history = run(steps)
    update, state, examples = private_parts()
    key = jax.random.fold_in(state.key, privacy._SAMPLING)
    seen = []
    draw = jax.jit(privacy.poisson_batch, static_argnums=2)
    for step in range(steps):
        batch = draw(jax.random.fold_in(key, step), examples, SAMPLING)
        state, metrics = update(state, batch)
        seen.append(metrics)
    for one, other in zip(*map(jax.tree.leaves, (final.params, state.params)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(history["steps"], [5, 8, 8])
    sizes = np.array([metrics["examples"] for metrics in seen])
    assert len(set(sizes)) > 3
    losses = np.array([metrics["loss"] for metrics in seen])
    means = [np.average(losses[part], weights=sizes[part]) for part in (slice(5), slice(5, 8))]
    np.testing.assert_allclose(history["loss"], [*means, np.nan], rtol=1e-5)
    np.testing.assert_array_equal(history["largest_batch"], [sizes[:5].max(), sizes[5:].max(), 0])
    averaged = optim.averaged_params(state.opt_state, state.params)
    tested = train.evaluate(LOSS, averaged, {}, toy.examples(20, seed=1))
    np.testing.assert_allclose(history["test_loss"][1:], tested["loss"], rtol=1e-5)


def test_another_budget_compiles_nothing():
    run(8)
    before = privacy._fit_privately._cache_size()
    final, history = run(100)
    assert privacy._fit_privately._cache_size() == before
    np.testing.assert_array_equal(history["steps"], [5, 10, 15])
    assert final.step == EPOCHS * SPE
    nothing, _ = run(0)
    _, state, _ = private_parts()
    jax.tree.map(np.testing.assert_array_equal, nothing.params, state.params)


def test_the_noise_of_a_step():
    """Of clip norm 1 and multiplier 0.7 over 12 expected examples, whatever the batch holds."""
    update, state, examples = private_parts(learning_rate=1.0)
    quiet = train.make_update(
        clipped_gradient(LOSS, 1.0, expected_examples=12.0),
        optim.make_optimizer(OptimizerConfig("sgd", 1.0, average=0.9)),
    )
    batch = privacy.poisson_batch(jax.random.key(9), examples, SAMPLING)

    def noise(key):
        ends = [step(state._replace(key=key), batch)[0].params for step in (update, quiet)]
        difference = jax.tree.map(jnp.subtract, *ends)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(difference)])

    draws = jax.jit(jax.vmap(noise))(jax.random.split(jax.random.key(4), 200))
    deviation = 0.7 * 1.0 / 12
    assert float(jnp.std(draws)) == pytest.approx(deviation, rel=5 / np.sqrt(2 * draws.size))
    assert abs(float(draws.mean())) < 5 * deviation / np.sqrt(draws.size)
