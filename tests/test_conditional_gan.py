"""A small run end to end, and claims that can fail."""

import dataclasses
import json
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import conditional_gan as experiment
from jaxdl import judge


@pytest.mark.slow
@pytest.mark.usefixtures("few_digits")
def test_a_run_writes_its_results(tmp_path, monkeypatch):
    quick = judge.Recipe(epochs=1, batch_size=64)
    monkeypatch.setattr(judge, "Recipe", lambda epochs: quick)
    flags = "--epochs 1 --features 2 --hidden 8 --samples 150 --quick --quiet"
    flags += f" --judges {tmp_path / 'judges'}"
    with pytest.raises(SystemExit) as leaving:
        start(experiment, flags, tmp_path / "run")
    assert leaving.value.code == 1  # after so few updates the samples are no digits
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert 0 <= summary["read_as_asked"] <= 1
    assert summary["scores_of_seeds"][0]["read_as_asked"] == summary["read_as_asked"]
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"samples", "learning_curves"}


@pytest.mark.slow
def test_killed_or_not_both_players_end_in_the_same_parameters(tmp_path):
    def command(out) -> list[str]:
        flags = f"--quick --judges {tmp_path / 'judges'}"
        program = [sys.executable, "-m", "experiments.conditional_gan"]
        return [*program, *flags.split(), "--resume", "--out", str(tmp_path / out)]

    def summary(out) -> dict:
        return json.loads((tmp_path / out / "summary.json").read_text())

    subprocess.run(command("first"), check=True, capture_output=True)  # it trains the judge too
    began = time.monotonic()
    subprocess.run(command("whole"), check=True, capture_output=True)
    seconds = time.monotonic() - began
    moments = random.Random(0)
    for _ in range(2):
        process = subprocess.Popen(command("killed"), stdout=-3, stderr=-3)
        try:
            process.wait(moments.uniform(0.5 * seconds, 0.9 * seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run(command("killed"), check=True, capture_output=True)
    for out in ("first", "killed"):
        assert summary(out)["params_sha256"] == summary("whole")["params_sha256"]
        assert summary(out)["frechet_distance"] == summary("whole")["frechet_distance"]
    rows = [(tmp_path / name / "metrics.csv").read_text() for name in ("killed", "whole")]
    assert rows[0] == rows[1]


def test_a_row_for_each_class():
    """What was asked for one after the other is drawn in rows."""
    shades = np.arange(30, dtype=np.uint8) % 10
    samples = np.broadcast_to(shades[:, None, None, None], (30, 28, 28, 1))
    figure = experiment.draw_by_class(samples, tuple("0123456789"))
    (axes,) = figure.axes
    picture = axes.images[0].get_array()
    np.testing.assert_array_equal(picture[::28, ::28], np.arange(10)[:, None] * np.ones((1, 3)))
    assert [label.get_text() for label in axes.get_yticklabels()] == list("0123456789")


def test_wrong_labels_can_be_left_out():
    assert experiment.build_game(experiment.Config()).mismatch is not None
    assert experiment.build_game(experiment.Config(wrong_labels=False)).mismatch is None


def test_claims_can_fail():
    def holds(config, *seeds) -> list[bool]:
        names = ("read_as_asked", "classification_accuracy")
        scores = [dict(zip(names, of, strict=True)) for of in seeds]
        return [claim.holds for claim in experiment.claims(config, scores)]

    config = experiment.RECIPES["mnist"]
    assert holds(config, (0.996, 0.975), (0.995, 0.968)) == [True, True]
    assert holds(config, (0.996, 0.975), (0.994, 0.966)) == [False, False]
    assert holds(experiment.QUICK, (0.91, 0.1)) == [True]
    assert holds(experiment.QUICK, (0.89, 0.1)) == [False]
    assert holds(dataclasses.replace(config, dataset="mnist_5k"), (0.91, 0.1)) == [True]


def test_bad_input(tmp_path, capsys):
    assert_refused(experiment, "--epochs 0", tmp_path / "run", capsys, "--epochs 0", "1 or more")
    assert_refused(experiment, "--samples 134", tmp_path / "run", capsys, "134", "multiple of 10")
