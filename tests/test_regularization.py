"""Each law against another way to it, the choice of strengths, and claims on wrong numbers."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from command_line import assert_refused, start
from sklearn.linear_model import Lasso, Ridge

from experiments import regularization as experiment
from experiments.regularization import decays, remedies, sparsity, stopping
from experiments.regularization.remedies import Found, Trials
from jaxdl import losses
from jaxdl.types import Examples


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("quick") / "run"
    start(experiment, "--quick", out)
    return out


@pytest.mark.slow
def test_every_claim_holds(quick):
    summary = json.loads((quick / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 8
    drawn = {path.stem for path in (quick / "figures").iterdir()}
    assert drawn == {"remedies", "courses", "sparsity", "decays", "stopping"}


@pytest.mark.slow
def test_a_finished_run_is_read_and_not_run_again(quick, capsys):
    before = json.loads((quick / "summary.json").read_text())
    start(experiment, f"--config {quick / 'config.json'} --resume", quick)
    after = json.loads((quick / "summary.json").read_text())
    assert [after[name] for name in ("by_descent", "claims")] == [
        before[name] for name in ("by_descent", "claims")
    ]
    assert "run " not in capsys.readouterr().err  # no progress, for there is nothing to do


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_strengths(quick, capsys):
    with pytest.raises(SystemExit):
        start(experiment, f"--config {quick / 'config.json'} --resume --strengths 2", quick)
    assert "strengths was 1, is 2" in capsys.readouterr().err


BAD = [
    ("--strengths 0", "--strengths 0", "1 or more"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--epochs 0", "--epochs 0", "1 or more"),
    ("--seed -1", "--seed -1", "0 to"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- the laws ------------------------------------------------------------------------------------


def test_sparse_weights_are_those_of_scikit_learn():
    with jax.enable_x64(True):
        seen = sparsity.measure(0)
    minimum = np.random.default_rng(0).normal(size=sparsity.WEIGHTS)
    inputs = np.diag(np.sqrt(sparsity.WEIGHTS * sparsity.CURVATURES))
    model = Lasso(sparsity.STRENGTH, fit_intercept=False, tol=1e-14)
    expected = model.fit(inputs, inputs @ minimum).coef_
    for found in (seen.exact, seen.proximal):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert sparsity.exact_claim(seen).holds
    for wrong in (
        {"proximal": seen.slope},
        {"proximal": seen.proximal + 1e-9 * (seen.proximal != 0)},
        {"slope": seen.proximal},
        {"slope": seen.slope + 1},
    ):
        assert not sparsity.exact_claim(seen._replace(**wrong)).holds


@pytest.fixture
def short_walk(monkeypatch):
    """Of six steps."""
    monkeypatch.setattr(decays, "STEPS", 6)
    monkeypatch.setattr(decays, "REPLICAS", 2)
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("short_walk")
@pytest.mark.parametrize(("strength", "decay"), [(0.3, 0.0), (0.0, 0.6)])
def test_adam_by_a_loop(strength, decay):
    weights = np.ones((2, len(decays.SCALES)))
    first = second = np.zeros_like(weights)
    for step, key in enumerate(jax.random.split(jax.random.key(4), 6), start=1):
        noise = decays.SCALES * np.asarray(jax.random.normal(key, weights.shape))
        gradient = noise + 2 * strength * weights
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        slope = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        weights = weights - decays.RATE * (slope + decay * weights)
    np.testing.assert_allclose(decays.walk(4, "adam", strength, decay), weights, rtol=1e-6)


GOOD_DECAYS = decays.Seen(1e-15, 1 / decays.SCALES, np.ones(len(decays.SCALES)))


def test_claim_of_decays_can_fail():
    assert decays.law_claim(GOOD_DECAYS).holds
    for wrong in (
        {"apart": 1e-6},
        {"l2": np.ones(len(decays.SCALES))},
        {"l2": 1.1 / decays.SCALES},
        {"decay": 1 / decays.SCALES},
    ):
        assert not decays.law_claim(GOOD_DECAYS._replace(**wrong)).holds


@pytest.fixture(scope="module")
def stopped():
    with jax.enable_x64(True):
        return stopping.measure(0)


def test_ridge_is_that_of_scikit_learn(stopped):
    curvatures, count = stopping.CURVATURES, stopping.DIRECTIONS
    inputs = np.diag(np.sqrt(curvatures))
    for place in (3, 12, 20):
        # scikit-learn's errors are not halved: its alpha is twice the strength.
        alpha = 2 / (2 * stopping.RATE * stopping.STEPS[place])
        model = Ridge(alpha, fit_intercept=False, solver="cholesky")
        expected = model.fit(inputs, inputs @ np.ones(count)).coef_
        np.testing.assert_allclose(stopped.ridge[place], expected, rtol=1e-9)


def test_strengths_of_stopping_are_those_of_the_penalty(stopped):
    """The loss of the directions with `losses.l2` has no slope where the ridge lies."""

    def loss(shares, strength):
        errors = stopping.CURVATURES @ jnp.square(shares - 1) / 2
        return errors + losses.l2(shares[None], strength)

    with jax.enable_x64(True):
        for place in (3, 12, 20):
            strength = 1 / (2 * stopping.RATE * stopping.STEPS[place])
            slopes = jax.grad(loss)(jnp.asarray(stopped.ridge[place]), strength)
            np.testing.assert_allclose(slopes, 0, atol=1e-9 * strength)
    shares = stopping.CURVATURES / (stopping.CURVATURES + 2 * 0.03)
    assert stopping.nearest_strength(shares) == pytest.approx(0.03, rel=1e-4)


def test_constants_by_other_ways():
    # Where the derivative of (1 - exp(-x)) (1 + x) / x, times x^2, is 0.
    x: Any = scipy.optimize.brentq(lambda x: np.exp(-x) * (x**2 + x + 1) - 1, 0.5, 5)
    assert stopping.largest_ratio() == pytest.approx((1 - np.exp(-x)) * (1 + x) / x, abs=1e-9)
    assert stopping.largest_ratio() ** 2 == pytest.approx(1.69, abs=0.005)

    def slope(c):  # of the distance by c, as an integral
        def integrand(x):
            return 2 * (-np.expm1(-x) - x / (x + c)) / (x + c) ** 2

        return scipy.integrate.quad(integrand, 0, np.inf)[0]

    assert stopping.nearest_ratio() == pytest.approx(scipy.optimize.brentq(slope, 0.1, 5), abs=1e-4)


def test_claims_of_stopping_hold_and_can_fail(stopped):
    assert [claim.holds for claim in stopping.claims(stopped)] == [True, True]
    for wrong, which in (
        ({"early": stopped.early * (1 + 1e-6)}, 0),
        ({"ridge": stopped.ridge * 0.9}, 0),
        ({"nearest": 1 / (2 * stopping.RATE * stopping.STEPS)}, 1),
        ({"nearest": stopped.nearest * 2}, 1),
        ({"nearest": stopped.nearest * 1.1}, 1),
    ):
        holds = [claim.holds for claim in stopping.claims(stopped._replace(**wrong))]
        assert holds == [place != which for place in range(2)]


# --- the network ---------------------------------------------------------------------------------

SEEDS = 6
WOBBLE = 1e-3 * np.arange(SEEDS)


def trials(*tests, validations=None, training=0.01, best_test=0.42, zeros=0.0, near=0.0, blank=1.0):
    """Of one strength for each test loss, three decades in all."""

    def each(values):
        values = np.broadcast_to(np.asarray(values, float), (len(tests),))
        return np.stack([value + WOBBLE for value in values])

    course = each(tests if validations is None else validations)
    found: dict[str, Any] = {
        "training": np.full((len(tests), SEEDS, 3), training),
        "validation": np.stack([course + 1, course - 1, course], axis=-1),
        "test": each(tests),
        "accuracy": each(0.9),
        "best_test": each(best_test),
        "best_accuracy": each(0.91),
        "zeros": np.full((len(tests), SEEDS), zeros),
        "near": np.full((len(tests), SEEDS), near),
        "blank": np.broadcast_to(np.asarray(blank, float)[..., None], (len(tests), SEEDS)),
    }
    return Trials(np.geomspace(1e-4, 1e-1, len(tests)), Found(**found))


def all_trials(**wrong):
    helped = trials(0.46, 0.44, 0.5, zeros=0.3, near=0.29)
    plain = dict.fromkeys(remedies.BY_DESCENT, helped)
    return {
        **plain,
        remedies.NOTHING: trials(0.48),
        remedies.MORE_DATA: trials(0.38),
        remedies.L1_IN_LOSS: trials(0.46, 0.44, 0.5, near=0.3),
        **wrong,
    }


def test_middles():
    np.testing.assert_allclose(remedies.middles(1, 100, 1), [10])
    ratios = np.diff(np.log10(remedies.middles(1e-3, 1e-1, 5)))
    np.testing.assert_allclose(ratios, 0.4)


def test_strengths_are_chosen_by_the_last_validation_loss():
    of = trials(0.3, 0.4, 0.5, validations=(0.5, 0.5, 0.4))
    assert of.best() == 2
    assert of.strength() == pytest.approx(0.1)
    np.testing.assert_array_equal(of.chosen().test, of.found.test[2])


def test_early_stopping_is_the_best_of_the_runs_without_a_remedy():
    found = remedies.outcome(all_trials(), remedies.EARLY)
    np.testing.assert_allclose(found.test, 0.42 + WOBBLE)
    np.testing.assert_allclose(remedies.falls(all_trials())[remedies.EARLY], 0.06)
    np.testing.assert_allclose(remedies.gains(all_trials())[remedies.EARLY], 0.01)


def test_claims_of_remedies_can_fail():
    def holds(**wrong):
        return [claim.holds for claim in remedies.claims(all_trials(**wrong))]

    assert holds() == [True] * 4
    assert holds(nothing=trials(0.48, training=0.05)) == [False, True, True, True]
    assert holds(nothing=trials(0.48, best_test=0.49)) == [False, False, True, True]
    assert holds(dropout=trials(0.49, 0.485, 0.5)) == [True, False, True, True]
    assert holds(dropout=trials(0.37, 0.36, 0.4)) == [True, True, False, True]
    assert holds(dropout=trials(0.41, 0.42, 0.43)) == [True, True, True, False]
    # No strengths to choose from, and none that could be inside.
    assert len(remedies.claims(all_trials(L1=trials(0.44)))) == 3


def test_claim_of_zeros_can_fail():
    def holds(**wrong):
        return sparsity.network_claim(all_trials(**wrong)).holds

    slope = remedies.L1_IN_LOSS
    assert holds()
    assert not holds(**{slope: trials(0.46, 0.44, 0.5, near=0.3, zeros=0.01)})
    assert not holds(**{slope: trials(0.46, 0.44, 0.5, near=0.2)})
    assert not holds(**{slope: trials(0.46, 0.48, 0.5, near=0.3)})
    assert not holds(L1=trials(0.46, 0.44, 0.5))


def test_claim_of_adam_can_fail():
    strengths, updates = trials(0.5, 0.4, 0.3).strengths, 200
    rates = remedies.RATES
    by_descent = (1 - 2 * rates["sgd"] * strengths) ** updates
    by_decay = (1 - rates["adam"] * strengths) ** updates
    little = np.full(3, 0.01)

    def holds(descent=by_descent, l2=little, decay=by_decay):
        def of(blank):
            return trials(0.5, 0.4, 0.3, blank=blank)

        adam = {remedies.NOTHING: trials(0.6), remedies.L2: of(l2), remedies.DECAY: of(decay)}
        return decays.network_claim({remedies.L2: of(descent)}, adam, updates).holds

    assert holds()
    assert not holds(l2=by_decay)
    assert not holds(l2=np.array([0.2, 0.01, 0.01]))
    assert not holds(decay=by_descent)
    assert not holds(descent=by_descent * 1.02)


def test_weights_from_blank_pixels():
    images = jnp.array([[[0, 3], [0, 0]], [[0, 1], [2, 0]]], jnp.uint8)
    kernel = jnp.array([[3.0, 0.0], [7.0, 7.0], [7.0, 7.0], [0.0, -4.0]])
    params = {"Dense_0": {"kernel": kernel, "bias": jnp.ones(2)}}
    assert remedies.norm_from_blank(params, Examples(images, jnp.zeros(2))) == 5


def test_remedies_are_numbers_of_one_program():
    """Each kind makes the same structure, and changes what it is named for."""
    kinds = {**remedies.BY_DESCENT, **remedies.BY_ADAM}
    made = {name: kind.make(0.5) for name, kind in kinds.items()}
    changed = {
        name: {field for field, value in of._asdict().items() if value != getattr(plain, field)}
        for plain in [remedies.Remedy()]
        for name, of in made.items()
    }
    assert changed == {
        "nothing": set(),
        "L2": {"l2"},
        "L1": {"l1"},
        "L1, by its slope": {"l1_in_loss"},
        "elastic net": {"l1", "l2"},
        "dropout": {"dropout"},
        "more data": {"examples"},
        "weight decay": {"decay"},
    }
    assert made["elastic net"].l2 == remedies.BETA * made["elastic net"].l1
