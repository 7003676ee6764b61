"""Each objective against the formulas in NumPy, its gradients and penalties against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.objectives import (
    OBJECTIVES,
    choose_objective,
    gradient_penalty,
    make_objective,
    r1_penalty,
)

REAL = np.array([-2.0, -0.3, 0.0, 0.7, 3.0])
GENERATED = np.array([1.5, -0.4, 0.0, -2.5, 0.6])


def sigmoid(score):
    return 1 / (1 + np.exp(-score))


BY_HAND = {
    "minimax": (
        -np.log(sigmoid(REAL)) - np.log(1 - sigmoid(GENERATED)),
        np.log(1 - sigmoid(GENERATED)),
    ),
    "non_saturating": (
        -np.log(sigmoid(REAL)) - np.log(1 - sigmoid(GENERATED)),
        -np.log(sigmoid(GENERATED)),
    ),
    "least_squares": ((REAL - 1) ** 2 / 2 + GENERATED**2 / 2, (GENERATED - 1) ** 2 / 2),
    "wasserstein": (GENERATED - REAL, -GENERATED),
    "hinge": (np.maximum(0, 1 - REAL) + np.maximum(0, 1 + GENERATED), -GENERATED),
}


def test_all_are_here():
    assert set(BY_HAND) == set(OBJECTIVES)


@pytest.mark.parametrize("name", BY_HAND)
def test_losses(name):
    objective = make_objective(name)
    of_discriminator, of_generator = BY_HAND[name]
    real, generated = jnp.float32(REAL), jnp.float32(GENERATED)
    np.testing.assert_allclose(objective.discriminator(real, generated), of_discriminator, 1e-5)
    np.testing.assert_allclose(objective.generator(generated), of_generator, 1e-5)


def test_smoothed_labels():
    """Of real samples only: 0.9 of them are to be taken for real (Salimans et al. 2016)."""
    real, generated = jnp.float32(REAL), jnp.float32(GENERATED)
    entropy = make_objective("non_saturating", label_smoothing=0.1)
    expected = (
        -0.9 * np.log(sigmoid(REAL))
        - 0.1 * np.log(1 - sigmoid(REAL))
        - np.log(1 - sigmoid(GENERATED))
    )
    np.testing.assert_allclose(entropy.discriminator(real, generated), expected, 1e-5)
    squares = make_objective("least_squares", label_smoothing=0.1)
    expected = (REAL - 0.9) ** 2 / 2 + GENERATED**2 / 2
    np.testing.assert_allclose(squares.discriminator(real, generated), expected, 1e-5)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_large_scores_are_safe(name):
    objective = make_objective(name)
    scores = jnp.array([-1e4, 1e4])
    for values in (objective.discriminator(scores, scores), objective.generator(scores)):
        assert np.isfinite(values).all()
    gradient = jax.grad(lambda scores: objective.generator(scores).sum())(scores)
    assert np.isfinite(gradient).all()


def test_only_the_non_saturating_form_helps_a_generator_that_is_caught():
    """Where the discriminator is sure, at score -10: slopes by hand, sigmoid(g) and 1 - sigmoid."""
    slopes = {}
    for name in ("minimax", "non_saturating"):
        loss = make_objective(name).generator
        slopes[name] = float(jax.grad(loss_sum, argnums=1)(loss, jnp.array([-10.0]))[0])
    np.testing.assert_allclose(slopes["minimax"], -sigmoid(-10.0), rtol=1e-4)
    np.testing.assert_allclose(slopes["non_saturating"], -(1 - sigmoid(-10.0)), rtol=1e-4)


def loss_sum(loss, scores):
    return loss(scores).sum()


def score(samples):
    """A score with a gradient known by hand: ``(2 x_0, 3 cos(x_1))``."""
    return samples[:, 0] ** 2 + 3 * jnp.sin(samples[:, 1])


def differences(samples, step=1e-5):
    """The norm of each sample's gradient by central differences, in float64."""
    slopes = []
    for axis in range(samples.shape[1]):
        ahead, behind = samples.copy(), samples.copy()
        ahead[:, axis] += step
        behind[:, axis] -= step
        f = [s[:, 0] ** 2 + 3 * np.sin(s[:, 1]) for s in (ahead, behind)]
        slopes.append((f[0] - f[1]) / (2 * step))
    return np.sqrt(np.square(slopes).sum(axis=0))


def test_r1_penalty():
    real = np.random.default_rng(0).normal(size=(6, 2))
    keys = jax.random.split(jax.random.key(0), 6)
    actual = r1_penalty(3.0)(score, jnp.float32(real), jnp.zeros((6, 2)), keys)
    np.testing.assert_allclose(actual, 1.5 * differences(real) ** 2, rtol=1e-4)


def test_gradient_penalty():
    """Between equal samples the drawn place does not matter; between others it is on the line."""
    real = np.random.default_rng(0).normal(size=(6, 2))
    keys = jax.random.split(jax.random.key(0), 6)
    same = gradient_penalty(10.0)(score, jnp.float32(real), jnp.float32(real), keys)
    np.testing.assert_allclose(same, 10 * (differences(real) - 1) ** 2, rtol=1e-4)

    def slope_tells_place(samples):
        return samples[:, 0] ** 2 / 2  # the slope is x_0

    ends = jnp.zeros((6, 2)), jnp.full((6, 2), 1.0)
    penalties = gradient_penalty(1.0)(slope_tells_place, *ends, keys)
    places = 1 - np.sqrt(penalties)
    assert ((places > 0) & (places < 1)).all()
    assert len(np.unique(places)) == 6
    again = gradient_penalty(1.0)(slope_tells_place, *(end[:3] for end in ends), keys[:3])
    np.testing.assert_array_equal(again, penalties[:3])  # the draw is the example's


def test_flat_scores_have_a_penalty_with_a_gradient():
    """At a gradient of 0 the norm has no slope; the penalty's must not be NaN."""

    def penalty(weight):
        def flat(samples):
            return weight * samples[:, 0]

        keys = jax.random.split(jax.random.key(0), 2)
        return gradient_penalty()(flat, jnp.ones((2, 2)), jnp.zeros((2, 2)), keys).sum()

    value, slope = jax.value_and_grad(penalty)(0.0)
    assert (value, slope) == (20.0, 0.0)


def test_bad_input():
    with pytest.raises(InputError, match="no objective 'hing'; did you mean hinge"):
        make_objective("hing")
    with pytest.raises(InputError, match="has no labels"):
        make_objective("hinge", label_smoothing=0.1)


def test_a_chosen_objective():
    """By a traced number: the losses by hand, and each one's own penalty."""
    penalties = [r1_penalty(3.0), gradient_penalty(10.0)]
    forms = [make_objective(name, penalty=penalties[name == "wasserstein"]) for name in OBJECTIVES]
    scores = jnp.float32(REAL), jnp.float32(GENERATED)
    real = np.random.default_rng(0).normal(size=(6, 2))
    same = jnp.float32(real), jnp.float32(real), jax.random.split(jax.random.key(0), 6)

    @jax.jit
    def all_of(number):
        form = choose_objective(number, forms)
        return form.discriminator(*scores), form.generator(scores[1]), form.penalty(score, *same)

    for number, name in enumerate(OBJECTIVES):
        squares = 10 * (differences(real) - 1) ** 2, 1.5 * differences(real) ** 2
        expected = *BY_HAND[name], squares[name != "wasserstein"]
        for one, by_hand in zip(all_of(number), expected, strict=True):
            np.testing.assert_allclose(one, by_hand, 1e-4, err_msg=name)


def test_a_choice_with_and_without_penalties():
    forms = [make_objective("hinge"), make_objective("hinge", penalty=r1_penalty())]
    with pytest.raises(InputError, match="strength 0"):
        choose_objective(jnp.int32(0), forms)
    assert choose_objective(jnp.int32(0), forms[:1]).penalty is None
