import dataclasses
import json

import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import sequential_mnist


def summary(out) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.mark.parametrize(
    "flags",
    [
        "--cell gru --diagnostics",
        "--cell rnn --units 8 6 --bidirectional --dropout 0.2 --recurrent-dropout 0.2 --seeds 2",
    ],
)
def test_a_run_writes_its_results(flags, few_digits, tmp_path):
    out = tmp_path / "run"
    start(sequential_mnist, f"--units 8 --epochs 2 --seeds 1 --quiet {flags}", out)
    seen = summary(out)
    assert 0 <= seen["test_accuracy"] <= 1
    assert len(seen["test_accuracy_of_seeds"]) == (2 if "--seeds 2" in flags else 1)
    assert seen["claims"] == []
    pictures = {path.stem for path in (out / "figures").glob("*.png")}
    assert {"learning_curves", "confusion", "worst_mistakes"} <= pictures
    assert ("reading" in pictures) is ("bidirectional" not in flags)
    header = (out / "metrics.csv").read_text().splitlines()[0]
    assert ("example_norm_median" in header) is ("diagnostics" in flags)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--unit 8", "--units"),
        ("--units 0", "--units 0"),
        ("--recurrent-dropout 1.5", "--recurrent-dropout 1.5"),
        ("--seeds 0", "--seeds 0"),
        ("--batch-size 0", "--batch-size 0"),
    ],
)
def test_bad_input(flags, told, tmp_path, capsys):
    assert_refused(sequential_mnist, flags, tmp_path / "run", capsys, told)


def test_claims_are_made_of_known_settings_only_and_can_fail():
    for (recipe, cell, order, epochs), (_, least) in sequential_mnist.EXPECTED.items():
        known = sequential_mnist.RECIPES[recipe]
        config = dataclasses.replace(known, cell=cell, order=order, epochs=epochs)
        for accuracy, holds in ((least, True), (np.nextafter(least, 0), False)):
            (claim,) = sequential_mnist.accuracy_claims(config, {"accuracy": [accuracy]})
            assert claim.holds is holds
        other = dataclasses.replace(config, units=(7,))
        assert sequential_mnist.accuracy_claims(other, {"accuracy": [0.99]}) == []
