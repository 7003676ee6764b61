"""The experiment's pieces against scikit-learn and plain loops, and claims on wrong numbers."""

import json

import jax
import numpy as np
import pytest
from command_line import assert_refused, start
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from experiments import exam_scores as experiment
from experiments.exam_scores import descents, left_out, passing, scales
from jaxdl import losses
from jaxdl.data import EXAMS, PASS_LAW, PASSES, standardize_columns


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 10
    solution = LinearRegression().fit(standardize_columns(EXAMS[:, :3]), EXAMS[:, 3]).coef_
    np.testing.assert_allclose(summary["weights"], solution, rtol=1e-10)
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"scales", "weights", "left_out", "passing"}


BAD = [
    ("--seeds 1", "2 or more"),
    ("--epochs 99", "100 or more"),
    ("--passing-epochs 0", "100 or more"),
    ("--network-steps 0", "1 or more"),
    ("--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "way_out"), BAD, ids=[flags for flags, _ in BAD])
def test_bad_input(flags, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, flags, way_out)


def test_passes_were_made_as_is_told():
    rng = np.random.default_rng(2)
    lectures, hours = rng.integers(0, 15, 40), rng.integers(0, 41, 40)
    constant, of_lecture, of_hour = PASS_LAW
    chances = 1 / (1 + np.exp(-(constant + of_lecture * lectures + of_hour * hours)))
    made = np.stack([lectures, hours, rng.random(40) < chances], axis=1)
    np.testing.assert_array_equal(PASSES, made)


# --- scales --------------------------------------------------------------------------------------


def test_steps_by_a_loop():
    inputs = scales.with_constant(standardize_columns(EXAMS[:, :3]))
    targets, rate = EXAMS[:, 3], 0.5
    solution = LinearRegression(fit_intercept=False).fit(inputs, targets).coef_
    least = np.square(targets - inputs @ solution).mean()
    weights, steps, counted = np.zeros(4), 0, []
    for level in scales.LEVELS:
        enough = level * (np.square(targets).mean() - least)
        while np.square(targets - inputs @ weights).mean() - least > enough:
            weights = weights + rate * inputs.T @ (targets - inputs @ weights) / 8
            steps += 1
        counted.append(steps)
    assert scales.expected_steps(inputs, solution, rate) == counted[-1]
    with jax.enable_x64(True):
        found = scales.count_steps(losses.half_squared_error, inputs, targets, solution, rate)
    assert found.tolist() == counted


def scale(condition, steps, expected, outputs=0.0):
    return scales.Scale(condition, np.array(steps), expected, np.full(8, outputs))


def test_claims_of_scales_can_fail():
    exam = {
        scales.RAW: scale(1e5, (0, 1_000_000), 1_000_000),
        scales.STANDARDISED: scale(9.0, (0, 40), 40),
    }
    classes = {
        scales.RAW: scale(1e4, (50_000, 100_000), 50_500.0),
        scales.STANDARDISED: scale(6.0, (10, 50), 41.0),
    }
    assert [claim.holds for claim in scales.claims(exam, classes)] == [True] * 3
    for wrong in (scale(9.0, (0, 41), 40), scale(9.0, (0, 140), 140)):
        assert not scales.steps_claim({**exam, scales.STANDARDISED: wrong}).holds
    for wrong in (scale(6.0, (10, 53), 41.0), scale(6.0, (10, 48), 41.0)):
        assert not scales.late_claim({**classes, scales.STANDARDISED: wrong}).holds
    other = scale(9.0, (0, 40), 40, outputs=1e-7)
    assert not scales.same_claim({**exam, scales.STANDARDISED: other}, classes).holds
    assert not scales.same_claim(exam, {**classes, scales.STANDARDISED: other}).holds


# --- descents ------------------------------------------------------------------------------------


def test_the_square_of_two_rows_by_hand():
    """One weight and two rows: both orders shrink the distance alike, and move it otherwise."""
    (x, u), (y, v), rate = (1.0, 2.0), (0.5, -1.0), descents.RATE
    solution = (x * y + u * v) / (x**2 + u**2)
    e, f = y - solution * x, v - solution * u
    shrinks = (1 - rate * x**2) * (1 - rate * u**2)
    first = (1 - rate * u**2) * rate * x * e + rate * u * f
    moves = np.array([first, (1 - rate * x**2) * rate * u * f + rate * x * e])
    mean = moves.mean() / (1 - shrinks)
    square = (2 * shrinks * mean * moves.mean() + np.square(moves).mean()) / (1 - shrinks**2)
    rows = np.array([[x], [u]]), np.array([y, v]), np.array([solution])
    np.testing.assert_allclose(descents.expected_square(*rows, 1), square, rtol=1e-12)
    assert descents.expected_square(*rows, 2) < 1e-30


EXPECTED = {"mini-batch, 4": 0.02, "stochastic, 1": 2.5}


def seen_descents(hovering=1.0, off=0.0) -> descents.Descents:
    """Batch descent as it should be but for ``off``; others around the solution."""
    inputs, targets = standardize_columns(EXAMS[:, :3]), EXAMS[:, 3] - EXAMS[:, 3].mean()
    solution = np.linalg.lstsq(inputs, targets)[0]
    batch = descents.expected_path(inputs, solution, 1200) + off
    signs = np.where(np.arange(4) % 2, 1.0001, 0.9999)[:, None]  # seeds that differ a little
    paths = {
        name: solution + np.sqrt(hovering * square / 3) * np.ones((4, 800, 3)) * signs[..., None]
        for name, square in EXPECTED.items()
    }
    return descents.Descents(inputs, targets, solution, {"batch, all 8": batch[None], **paths})


def test_batch_descent_by_a_loop():
    descended = seen_descents()
    weights = np.zeros(3)
    for step in descended.paths["batch, all 8"][0, :20]:
        errors = descended.targets - descended.inputs @ weights
        weights = weights + descents.RATE * descended.inputs.T @ errors / 8
        np.testing.assert_allclose(step, weights, rtol=1e-10)


def test_claims_of_descents_can_fail():
    assert descents.path_claim(seen_descents()).holds
    assert not descents.path_claim(seen_descents(off=1e-7)).holds
    assert descents.hover_claim(seen_descents(), EXPECTED).holds
    for wrong in (0.98, 1.02):
        assert not descents.hover_claim(seen_descents(hovering=wrong), EXPECTED).holds
    unsure = seen_descents()
    unsure.paths["stochastic, 1"][:2] *= 2
    assert not descents.hover_claim(unsure, EXPECTED).holds


# --- left out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [left_out.ALL, ("study", "quiz")])
def test_leave_one_out_is_that_of_scikit_learn(names):
    inputs, targets = left_out.design(names), EXAMS[:, 3]
    foretold = cross_val_predict(LinearRegression(), inputs[:, 1:], targets, cv=LeaveOneOut())
    fitted = LinearRegression().fit(inputs[:, 1:], targets).predict(inputs[:, 1:])
    found = left_out.left_out_residuals(inputs, targets)
    np.testing.assert_allclose(found, [targets - fitted, targets - foretold], rtol=1e-9)


def test_nothing_is_known_of_who_is_left_out(monkeypatch):
    with jax.enable_x64(True):
        before = left_out.make_folds()
        other = EXAMS.copy()
        other[3] += 100
        monkeypatch.setattr(left_out, "EXAMS", other)
        after = left_out.make_folds()
    for name in ("inputs", "targets", "spread"):
        np.testing.assert_array_equal(getattr(before, name)[3], getattr(after, name)[3])
    assert (before.left_inputs[3] != after.left_inputs[3]).all()
    np.testing.assert_allclose(np.asarray(before.inputs).mean(axis=1), 0, atol=1e-12)


def seen_left_out(**changes) -> left_out.LeftOut:
    seen = left_out.LeftOut(
        linear={names: left_out.linear_errors(names) for names in left_out.SUBSETS},
        closed=np.ones(8),
        refitted=np.ones(8),
        fitted=np.array([[5.0, 0.2], [5.0, 0.3]]),
        left=np.array([[16.0, 20.0], [16.0, 20.2]]),
    )
    return seen._replace(**changes)


def test_claims_of_who_is_left_out_can_fail():
    def held(**changes):
        return [claim.holds for claim in left_out.claims(seen_left_out(**changes))]

    assert held() == [True] * 3
    assert held(refitted=np.ones(8) + 1e-5) == [False, True, True]
    linear = seen_left_out().linear
    for names, errors in (
        (left_out.ALL, left_out.Errors(9.7, 17.0)),
        (left_out.ALL, left_out.Errors(12.0, 21.4)),
    ):
        assert held(linear={**linear, names: errors}) == [True, False, True]
    assert held(fitted=np.full((2, 2), 1.5)) == [True, True, False]
    assert held(left=np.array([[16.0, 15.0], [16.0, 15.1]])) == [True, True, False]
    assert held(left=np.array([[16.0, 15.0], [16.0, 25.0]])) == [True, True, False]  # unsure


# --- passing -------------------------------------------------------------------------------------


def test_losses_of_those_left_out_are_those_of_scikit_learn():
    inputs = scales.with_constant(standardize_columns(PASSES[:, :2]))
    solver = LogisticRegression(C=np.inf, tol=1e-10)
    columns, passed = inputs[:, 1:], PASSES[:, 2] == 1
    chances = cross_val_predict(solver, columns, passed, cv=LeaveOneOut(), method="predict_proba")
    expected = -np.log(np.where(passed, *np.asarray(chances).T[::-1]))
    with jax.enable_x64(True):
        found = passing.left_out_losses(inputs, PASSES[:, 2])
        guess = passing.left_out_losses(inputs[:, :1], PASSES[:, 2])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    others = (PASSES[:, 2].sum() - PASSES[:, 2]) / 39
    np.testing.assert_allclose(guess, -np.log(np.where(PASSES[:, 2] == 1, others, 1 - others)))


def seen_passing(last=0.0, squares=(0.01, 2.0), **changes) -> passing.Passing:
    batch = np.zeros((4, 10, 3)) + last
    signs = np.where(np.arange(4) % 2, 1.01, 0.99)[:, None, None]
    hovering = [np.sqrt(square / 3) * signs * np.ones((4, 400, 3)) for square in squares]
    paths = dict(zip(passing.BATCHES, [batch, *hovering], strict=True))
    seen = passing.Passing(np.zeros(3), paths, fitted=0.3, left_out=0.5, guess=0.7)
    return seen._replace(**changes)


def test_claims_of_passing_can_fail():
    def held(**changes):
        return [claim.holds for claim in passing.claims(seen_passing(**changes))]

    assert held() == [True, True]
    assert held(last=1e-6) == [False, True]
    assert held(squares=(2.0, 2.0)) == [False, True]
    assert held(squares=(0.0, 2.0)) == [False, True]
    assert held(left_out=0.71) == [True, False]
    assert held(left_out=0.29) == [True, False]
