"""Rosenblatt's rule against loops in NumPy and scikit-learn, and claims on wrong numbers."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start
from sklearn.linear_model import Perceptron

from experiments import perceptron as experiment


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 7
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"mistakes", "noisy", "functions"}


@pytest.mark.parametrize(("flags", "named"), [("--draws 1", "2 or more"), ("--diagnostics", "out")])
def test_bad_input(flags, named, tmp_path, capsys):
    assert_refused(experiment, flags, tmp_path / "run", capsys, flags.split()[0], named)


def data():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 4)).astype(np.float32)
    return points, points @ rng.normal(size=4) + rng.normal(size=30) > 0


@pytest.mark.parametrize("low", [0, -1])
def test_the_rule_by_hand(low):
    points, labels = data()
    weights = np.array([0.3, -0.2, 0.1, 0.5, -0.4])
    learned = experiment.learn(points, labels, jnp.float32(weights), 0.25, passes=3, low=low)
    for after, counted in zip(learned.weights, learned.mistakes, strict=True):
        mistakes = 0
        for point, label in zip(points, labels, strict=True):
            values = np.append(point, 1.0)
            output, target = (1 if up else low for up in (weights @ values >= 0, label))
            weights = weights + 0.25 * (target - output) * values
            mistakes += output != target
        np.testing.assert_allclose(after, weights, atol=1e-5)
        assert counted == mistakes


def test_it_is_scikit_learns():
    """Theirs moves by the rate where ours, with steps to -1 and 1, moves by twice the rate."""
    points, labels = data()
    theirs = Perceptron(shuffle=False, max_iter=5, tol=None, eta0=1.0).fit(points, labels)
    ours = experiment.learn(points, labels, jnp.zeros(5), 0.5, passes=5).weights[-1]
    np.testing.assert_allclose(ours[:-1], theirs.coef_[0], atol=1e-4)
    np.testing.assert_allclose(ours[-1], theirs.intercept_[0], atol=1e-4)


def test_periods_by_hand():
    weights = jnp.array([[5.0], [1], [2], [3], [1], [2]])
    assert experiment.period_of(weights) == 3
    assert experiment.period_of(weights[:4]) == 0


def test_the_bound_by_hand():
    """Points at -1 and 3, whose plane is at 1/sqrt(2) (x - 1), are sqrt(2) from it."""
    points = np.array([[-1.0], [3.0]])
    np.testing.assert_allclose(experiment.bound_of(points, np.array([False, True])), 10 / 2)


def test_claims_can_fail():
    good = experiment.Bounded(0.1, np.array([9, 19]), np.array([10.0, 20.0]), np.ones(2, bool))
    assert experiment.bound_claim([good]).holds
    assert not experiment.bound_claim([good, good._replace(mistakes=np.array([11, 2]))]).holds
    assert not experiment.bound_claim([good._replace(is_done=np.array([True, False]))]).holds
    same, rising = np.array([[3, 4]] * 3), np.array([[3, 4], [5, 6], [9, 10]])
    rates = experiment.Rates(same, rising, is_done=True)
    assert [claim.holds for claim in experiment.rate_claims(rates)] == [True] * 2
    assert not any(c.holds for c in experiment.rate_claims(rates._replace(is_done=False)))
    found = experiment.rate_claims(experiment.Rates(rising, same, is_done=True))
    assert [claim.holds for claim in found] == [False] * 2
    unsure = rates._replace(from_others=np.array([[3, 4], [4, 5], [4, 20]]))
    assert [claim.holds for claim in experiment.rate_claims(unsure)] == [True, False]


def test_claims_of_noisy_data_can_fail():
    rng = np.random.default_rng(0)
    curves = rng.normal(0.75, 0.02, (40, 60))
    curves[:, 0] -= 0.1
    steady = 0.8 + rng.normal(0, 0.002, (40, 60))
    noisy = experiment.Noisy(curves, curves, steady, np.full((40, 60), 5))

    def holds(**changed) -> list[bool]:
        return [claim.holds for claim in experiment.noisy_claims(noisy._replace(**changed))]

    assert holds() == [True] * 2
    assert holds(mistakes=np.array([[5] * 59 + [0]] * 40)) == [False, True]
    assert holds(pocket=curves) == [False] * 2
    assert holds(test=rng.normal(0.75, 0.02, (40, 60))) == [False, True]  # no rise
    assert holds(test=curves + np.linspace(0, 0.04, 60)) == [False, True]  # and none that stays
    assert holds(test=curves - np.linspace(0, 0.04, 60)) == [False, True]  # nor a fall


def test_claims_of_functions_can_fail():
    learned = experiment.learn_functions()
    assert [claim.holds for claim in experiment.function_claims(learned)] == [True] * 2
    mistakes = learned.mistakes.at[experiment.XOR, 0, -1].set(0)
    found = experiment.function_claims(learned._replace(mistakes=mistakes))
    assert [claim.holds for claim in found] == [False, True]
    weights = learned.weights.at[experiment.XNOR, 0, :, 0].add(np.arange(40))
    found = experiment.function_claims(learned._replace(weights=weights))
    assert [claim.holds for claim in found] == [True, False]
