"""The experiment as it is, and its claims where something is wrong."""

import json

import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import threshold_neuron as experiment


def test_every_claim_holds(tmp_path):
    start(experiment, "", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 4
    assert summary["functions"] == {"inputs_2": 14, "inputs_3": 104, "inputs_4": 1882}
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"functions", "xor"}


def test_diagnostics_are_refused(tmp_path, capsys):
    assert_refused(experiment, "--diagnostics", tmp_path / "run", capsys, "leave it out")


def test_a_neuron_by_hand():
    """Fires at the threshold, not only above it."""
    inputs = np.array([[0, 0, 1], [1, 1, 0], [1, 0, 0]])
    fires = experiment.Neuron((2, -1, 1), threshold=1).fires(inputs)
    assert fires.tolist() == [True, True, True]
    assert experiment.Neuron((2, -1, 1), threshold=2).fires(inputs).tolist() == [False, False, True]


BROKEN = [
    ("OR", experiment.Neuron((1, 1), 2)),
    ("NOT_AND", experiment.Neuron((-1, -1), -2)),
    ("AND", experiment.Neuron((1, 1), 1)),
]


@pytest.mark.parametrize(("name", "neuron"), BROKEN, ids=[name for name, _ in BROKEN])
def test_with_a_wrong_neuron_there_is_no_xor(name, neuron, monkeypatch):
    monkeypatch.setattr(experiment, name, neuron)
    assert not experiment.xor_claim().holds


def test_claims_can_fail(monkeypatch):
    everything = experiment.made_by_any_weights(2)
    assert not experiment.two_inputs_claim(everything[:-1], everything).holds
    assert not experiment.two_inputs_claim(everything, everything[:-1]).holds
    small = {inputs: experiment.made_by_one_neuron(inputs, 1) for inputs in (2, 3, 4)}
    assert not experiment.counts_claim(small, experiment.made_by_any_weights(3)).holds
    above = experiment.Neuron((1, 1), 3), [False, False, False, True]
    monkeypatch.setitem(experiment.GATES, "A and B", above)
    assert not experiment.gates_claim().holds
