"""The experiment as it is, its ways against others, and its claims where something is wrong."""

import functools
import json

import jax
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import losses as experiment


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 5
    assert summary["mean_base_10"] == pytest.approx(0.2144244915, abs=5e-11)
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"errors", "cross_entropy", "wrong_start"}


def test_diagnostics_are_refused(tmp_path, capsys):
    assert_refused(experiment, "--diagnostics", tmp_path / "run", capsys, "leave it out")


def test_digits_as_printed():
    assert experiment.as_printed(-0.0268721463996, "-0.0268721464") == "-0.0268721464"
    assert experiment.as_printed(-0.0268721465996, "-0.0268721464") != "-0.0268721464"


def test_best_constants_by_hand():
    targets = np.array([0.0, 1.0, 5.0])
    with jax.enable_x64(True):
        mean = experiment.best_constant(experiment.losses.squared_error, targets)
        median = experiment.best_constant(experiment.losses.absolute_error, targets)
    assert (mean, median) == pytest.approx((2, 1))


def test_steps_by_a_loop():
    logit, steps = -float(experiment.WRONG_LOGITS[0]), 0
    while logit <= 0:
        p = 1 / (1 + np.exp(-logit))
        logit += 2 * (1 - p) * p * (1 - p)
        steps += 1
    assert experiment.steps_to_come_right("squared error")[0] == steps


def test_claims_can_fail():
    with jax.enable_x64(True):
        table = experiment.make_table()
        assert experiment.table_claim(table).holds
        assert not experiment.table_claim(table._replace(base_10=table.base_10 + 1e-9)).holds
        assert not experiment.table_claim(table._replace(nats=table.nats * (1 + 1e-9))).holds
        seen = experiment.measure_stability()
        assert not experiment.stability_claim(seen._replace(stable=seen.naive)).holds
        unbroken = seen._replace(naive=seen.stable, naive_slope=seen.stable_slope)
        assert not experiment.stability_claim(unbroken).holds
    ends = {name: experiment.steps_to_come_right(name) for name in experiment.CLASSIFIERS}
    assert experiment.wrong_start_claim(ends).holds
    assert not experiment.wrong_start_claim({**ends, "squared error": ends["cross-entropy"]}).holds
    assert not experiment.wrong_start_claim({**ends, "cross-entropy": ends["squared error"]}).holds


def test_a_loss_that_leads_elsewhere_fails(monkeypatch):
    with jax.enable_x64(True):
        assert experiment.two_classes_claim().holds
        assert experiment.location_claim().holds
        monkeypatch.setattr(experiment.losses, "squared_error", experiment.losses.absolute_error)
        assert not experiment.location_claim().holds
        smoothed = functools.partial(experiment.losses.softmax_cross_entropy, label_smoothing=1e-6)
        monkeypatch.setattr(experiment.losses, "softmax_cross_entropy", smoothed)
        assert not experiment.two_classes_claim().holds
