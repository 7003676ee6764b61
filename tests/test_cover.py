"""Cover's count against a count of all labellings, and claims on wrong numbers."""

import itertools
import json

import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import cover as experiment
from jaxdl.separability import separating_plane


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick --draws 20", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 2
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"theorem", "rings"}


@pytest.mark.parametrize(("flags", "named"), [("--draws 19", "20 or more"), ("--seed -1", "0")])
def test_bad_input(flags, named, tmp_path, capsys):
    assert_refused(experiment, flags, tmp_path / "run", capsys, flags.split()[0], named)


@pytest.mark.parametrize(("points", "weights"), [(3, 2), (5, 2), (5, 3), (6, 4)])
def test_the_count_by_trying_all_labellings(points, weights):
    places = np.random.default_rng(0).normal(size=(points, weights - 1))
    labellings = itertools.product([False, True], repeat=points)
    parted = [separating_plane(places, np.array(of)) is not None for of in labellings]
    assert experiment.dichotomies(points, weights) == sum(parted)


def test_all_labellings_of_few_points():
    assert [experiment.dichotomies(n, 7) for n in (1, 4, 7)] == [2, 16, 128]
    assert experiment.dichotomies(14, 7) == 2**13


def parted(weights, points, share):
    return experiment.Parted(weights, points, np.arange(200) < 200 * share)


def test_claims_can_fail():
    good = [parted(5, 5, 1.0), parted(5, 10, 0.5)]
    assert experiment.theorem_claim(good).holds
    assert not experiment.theorem_claim([good[0], parted(5, 10, 0.7)]).holds
    # Each a little off, and all to the same side.
    assert not experiment.theorem_claim([good[0], *[parted(5, 10, 0.58)] * 8]).holds
    assert not experiment.theorem_claim([parted(5, 5, 0.995), good[1]]).holds

    def rings(*shares):
        counts = (0, *experiment.FEATURES)
        return {n: np.arange(100) < 100 * of for n, of in zip(counts, shares, strict=False)}

    assert experiment.rings_claim(rings(0, 0, 0.2, 0.8, 0.95)).holds
    assert not experiment.rings_claim(rings(1, 0, 0.2, 0.8, 0.95)).holds
    assert not experiment.rings_claim(rings(0, 0, 0.2, 0.8, 0.85)).holds
    assert not experiment.rings_claim(rings(0, 0.5, 0.2, 0.8, 0.95)).holds
